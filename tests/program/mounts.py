"""File systems for tests: images on loop devices, and the slow one.

What is mounted is taken away when its context ends, else when Python ends, else by tests/cleanup.
"""
import contextlib
import glob
import os
import signal
import subprocess
import tempfile
import time
import unittest

from support import SLOWFS, at_the_end, end_process, spawn, temporary_name, wait_until

MIB = 1 << 20
SMALLEST = {'ext4': 8 * MIB, 'xfs': 320 * MIB, 'btrfs': 128 * MIB, 'tmpfs': MIB}
MAKE = {'ext4': ['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'nodiscard'],
        'xfs': ['mkfs.xfs', '-q', '-K', '-m', 'reflink=1'],
        'btrfs': ['mkfs.btrfs', '-q', '-K']}


def need_root():
    """Skips where mounting is not allowed."""
    if os.geteuid():
        raise unittest.SkipTest('mounting needs root')


@contextlib.contextmanager
def mounted(kind, size_bytes, options=(), features=()):
    """A fresh file system of at least this size; yields where it is mounted.

    kind      'ext4', 'xfs', 'btrfs' (on a loop device over memory) or 'tmpfs'
    options   for mount -o
    features  for the program that makes it
    """
    with contextlib.ExitStack() as stack:
        if kind == 'tmpfs':
            options = [f'size={max(size_bytes, SMALLEST[kind])}', *options]
            point = stack.enter_context(mounted_image(kind, 'tmpfs', options))
        else:
            image = make_image(stack, kind, size_bytes, features)
            point = stack.enter_context(mounted_image(kind, image, ['loop', *options]))
        os.chmod(point, 0o755)
        yield point


@contextlib.contextmanager
def mounted_image(kind, image, options=('loop',)):
    """What is in an image; yields where it is mounted."""
    need_root()
    point = temporary_name(tempfile.gettempdir())
    os.mkdir(point)
    with contextlib.ExitStack() as stack:
        at_the_end(stack.callback, os.rmdir, point)
        # What was unmounted here lives on in a mount namespace that another process made meanwhile;
        # until that has ended, the image is not whole.
        at_the_end(stack.callback, wait_until, lambda: not is_loop_file(image),
                   f'{image} to be let go of')
        run_or_skip(['mount', '-t', kind, '-o', ','.join(options), image, point])
        at_the_end(stack.callback, unmount, point)
        yield point


@contextlib.contextmanager
def bound(directory):
    """A part of a file system, mounted once more; yields where."""
    need_root()
    point = temporary_name(tempfile.gettempdir())
    os.mkdir(point)
    with contextlib.ExitStack() as stack:
        at_the_end(stack.callback, os.rmdir, point)
        run_or_skip(['mount', '--bind', directory, point])
        at_the_end(stack.callback, unmount, point)
        yield point


def make_image(stack, kind, size_bytes, features=()):
    """A file with a fresh file system in it, in memory where there is room; gone with the stack."""
    need_root()
    size_bytes = max(size_bytes, SMALLEST[kind])
    image = temporary_name(image_directory(size_bytes)) + '.img'
    with open(image, 'wb') as file:
        at_the_end(stack.callback, os.unlink, image)
        file.truncate(size_bytes)
    run_or_skip([*MAKE[kind], *features, image])
    return image


def image_directory(size_bytes):
    """Memory if it has the room, else the usual directory."""
    memory = '/dev/shm'
    try:
        room = os.statvfs(memory)
    except OSError:
        return tempfile.gettempdir()
    return memory if room.f_bavail * room.f_frsize > 2 * size_bytes else tempfile.gettempdir()


def run_or_skip(command):
    """Runs a command of the machine; what the machine cannot do is skipped, and why is said."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, errors='replace')
    except FileNotFoundError as error:
        raise unittest.SkipTest(f'{command[0]} is not installed') from error
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip()
        raise unittest.SkipTest(f'{" ".join(command)}: {why}') from error


def is_mounted(point):
    """Whether something is mounted there, also when nothing else can be asked of it."""
    with open('/proc/self/mounts', encoding='utf-8', errors='replace') as file:
        return any(line.split(' ')[1] == point for line in file)


def is_loop_file(image):
    """Whether a loop device has this file."""
    for path in glob.glob('/sys/block/loop*/loop/backing_file'):
        with contextlib.suppress(OSError), open(path, encoding='utf-8', errors='replace') as file:
            if file.read().rstrip('\n') == image:
                return True
    return False


def unmount(point):
    """Takes a mount away; when it stays busy, out of sight."""
    for _ in range(20):
        if not is_mounted(point):
            return
        if not subprocess.run(['umount', point], check=False, capture_output=True).returncode:
            return
        time.sleep(0.1)
    subprocess.run(['umount', '-l', point], check=False, capture_output=True)


class SlowMount:
    """A mounted slow view of a directory (tests/slowfs.c)."""

    def __init__(self, source, options):
        if not os.path.exists('/dev/fuse'):
            raise unittest.SkipTest('no /dev/fuse')
        self.path = temporary_name(tempfile.gettempdir())
        self._count_file = self.path + '.counts'
        os.mkdir(self.path)
        self._process = spawn([SLOWFS, *options, '--count-file', self._count_file, source,
                               self.path], stderr=subprocess.PIPE)
        wait_until(lambda: is_mounted(self.path) or self._process.poll() is not None,
                   'the slow file system to be mounted')
        if self._process.poll() is not None:
            why = self._process.stderr.read().decode(errors='replace').strip()
            self.close()
            raise unittest.SkipTest(f'slowfs: {why}')

    @property
    def pid(self):
        """Of the process that serves it."""
        return self._process.pid

    def drop_caches(self):
        """Makes the kernel forget names and attributes: the next to come asks the server. (Nothing
        there is ever unwritten; others' files stay so, which test_power_cut.py counts on.)"""
        with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as file:
            file.write('2')

    @contextlib.contextmanager
    def hanging(self):
        """Nothing is answered for a while. (Whoever waits cannot even be killed.)"""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self):
        """Unmounts; readers that hang get an error."""
        if self._process.poll() is None:
            self._process.terminate()
            end_process(self._process)
        unmount(self.path)
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def counts(self):
        """{path: (opens, reads)} of the files that were opened; only after close."""
        return {path: (opens, reads) for path, (opens, reads, _) in self._records().items()}

    def steps_back(self):
        """{path: how many bytes behind the end of what had been read a read began, at most}; only after close."""
        return {path: back for path, (_, _, back) in self._records().items()}

    def _records(self):
        """{path: (opens, reads, bytes back)}"""
        with open(self._count_file, 'rb') as file:
            records = file.read().split(b'\0')[:-1]
        found = {}
        for record in records:
            opens, reads, back, path = record.split(b' ', 3)
            found[path] = (int(opens), int(reads), int(back))
        return found

    def remove_counts(self):
        """Deletes the file that counts are read from."""
        with contextlib.suppress(OSError):
            os.unlink(self._count_file)


@contextlib.contextmanager
def slow_mount(source, *options):
    """A slow view of a directory: options as of tests/slowfs.c; yields a SlowMount."""
    mount = SlowMount(source, options)
    with contextlib.ExitStack() as stack:
        at_the_end(stack.callback, mount.remove_counts)
        at_the_end(stack.callback, mount.close)
        yield mount
