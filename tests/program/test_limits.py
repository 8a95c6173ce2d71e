"""A machine at its limits: few descriptors, threads or watches, a disk or a server that is slow."""
import contextlib
import ctypes
import errno
import multiprocessing
import os
import signal
import time
import unittest

import cachecheck
import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, INTERRUPTED, PARTLY, TERMINATED, Variant

LONELY = 54321  # a user without any other process
SLOWSYNC = os.environ.get('PKGCACHE_SLOWSYNC') or \
    os.path.join(support.TOP, 'build', 'tests', 'libslowsync.so')


def hold_inotify(uid, ready_fd):
    """Uses up all inotify instances of a user; says so, and waits for its end."""
    os.setuid(uid)
    library = ctypes.CDLL(None)
    while library.inotify_init() >= 0:
        pass
    os.write(ready_fd, b'!')
    signal.pause()


class LimitsTest(support.ProgramTest):
    """Runs the program under limits."""

    def under(self, limits, *arguments, uid=None, **environment):
        """Starts the program with limits as prlimit(1) takes them, e.g. ['--nofile=256:256']."""
        return self.start(*limits, self.program_for_anybody(), *arguments, uid=uid,
                          program='prlimit', **environment)

    def manifest(self, variants):
        """Writes a manifest of these variants."""
        return support.write_manifest(self.path('manifest.json'), variants)

    def staging(self):
        """What is in staging."""
        path = os.path.join(self.cache, '.sys', 'staging')
        return os.listdir(path) if os.path.isdir(path) else []

    def wait_for_start(self):
        """Returns when the program has opened the cache, and so takes signals its own way."""
        support.wait_until(lambda: os.path.isdir(os.path.join(self.cache, '.sys', 'to_delete')),
                           'the cache to be made')

    def preloaded(self, **variables):
        """Environment variables that change the disk or the kernel (tests/slowsync.c)."""
        self.skip_with_sanitizers('a sanitizer wants to be loaded first')
        if not os.path.exists(SLOWSYNC):
            self.skipTest(f'{SLOWSYNC} is not built')
        return {'LD_PRELOAD': SLOWSYNC, **variables}

    def slow_disk(self, seconds):
        """Environment variables that make flushes slow."""
        return self.preloaded(SLOWSYNC_S=str(seconds))


class SlowDisk(LimitsTest):
    """A flush takes seconds."""

    def test_placed_variants_do_not_use_up_the_descriptors(self):
        """However many wait for the flush."""
        root = self.make_variant(files={'file': b'1'}).root
        variants = [Variant(support.make_handle(name=f'p{number}'), root) for number in range(120)]
        process = self.under(['--nofile=256:256'], '--cache', self.cache, 'warm',
                             self.manifest(variants), **self.slow_disk(1))
        self.assert_code(support.finish(process), DONE)
        self.assert_sound(variants)

    def interrupt(self, durability, seconds, began):
        """A signal while a flush runs: it is not waited for."""
        variant = self.make_variant()
        environment = self.slow_disk(seconds)
        process = self.start('--cache', self.cache, '--durability', durability, 'warm',
                             self.manifest([variant]), **environment)
        support.wait_until(lambda: began(variant), 'a flush')
        since = time.monotonic()
        process.send_signal(signal.SIGTERM)
        result = support.finish(process, since=since)
        self.assert_code(result, TERMINATED)
        self.assertLess(result.seconds, seconds / 2)
        self.assertEqual(self.get(variant), [None])
        self.assertEqual(self.staging(), [])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
        self.assert_code(self.warm([variant]), DONE)
        self.assert_sound([variant])

    def has_staged(self, _variant):
        """Whether a sidecar waits for its flush."""
        return any(os.listdir(os.path.join(self.cache, '.sys', 'staging', name))
                   for name in self.staging() if not name.endswith('.owner'))

    def has_placed(self, variant):
        """Whether a payload does."""
        directory = rezlike.hash_directory(self.cache, variant.handle)
        return any(os.listdir(os.path.join(directory, name))
                   for name in cachecheck.slots_of(self.cache, variant.handle))

    def test_a_signal_while_sidecars_are_flushed(self):
        """The first flush."""
        for durability in ('batch', 'each'):
            self.cache = self.path(f'cache-{durability}')
            self.interrupt(durability, 20, self.has_staged)

    def test_a_signal_while_a_payload_is_flushed(self):
        """The second; what was placed is taken away."""
        self.interrupt('batch', 5, self.has_placed)


class OldKernel(LimitsTest):
    """Before Linux 5.8, syncfs(2) does not say that something could not be written."""

    BAD_BYTES = 54321

    def warm_with_a_bad_file(self, release, error=errno.EIO):
        """A good variant, and one with a file that cannot be written to disk."""
        self.cache = self.path('cache-' + release)
        good = self.make_variant('good-' + release)
        bad = self.make_variant('bad-' + release, {'1': b'1', '2/3': b'x' * self.BAD_BYTES})
        os.symlink('nothing', os.path.join(bad.root, 'link'))
        os.mkfifo(os.path.join(good.root, '0', 'fifo'))
        environment = self.preloaded(SLOWSYNC_KERNEL=release, SLOWSYNC_BAD=str(self.BAD_BYTES),
                                     SLOWSYNC_ERROR=str(error))
        return good, bad, self.warm([good, bad], '--json', **environment)

    def test_every_file_is_asked(self):
        """The one that could not be written is said, and is not found; the other is."""
        for release in ('4.18.0-553.el8.x86_64', '5.7.19'):
            good, bad, result = self.warm_with_a_bad_file(release)
            self.assert_code(result, PARTLY)
            self.assertIn('Input/output error', result.err)
            self.assertEqual(result.json()['created'], 1)
            self.assertEqual(self.get(bad), [None])
            self.assertIsNotNone(self.get(good)[0])
            self.assertEqual(self.staging(), [])
            self.assert_code(self.warm([bad]), DONE)

    def test_a_server_that_says_late_that_there_is_no_room(self):
        """NFS does so when it is flushed. What to do is said."""
        for error in (errno.ENOSPC, errno.EDQUOT):
            _, bad, result = self.warm_with_a_bad_file(f'5.4.{error}', error)
            self.assert_code(result, PARTLY)
            self.assertIn(f'{os.strerror(error)}; make room with pkgcache clean', result.err)
            self.assertEqual(self.get(bad), [None])

    def test_a_new_kernel_says_it_itself(self):
        """Where that is so, files are not opened again."""
        for release in ('5.8.0', '6.1.0', 'unknown'):
            _, _, result = self.warm_with_a_bad_file(release)
            self.assert_code(result, DONE)


class SlowServer(LimitsTest):
    """Roots that take long to be looked at, or for ever."""

    def test_a_signal_while_roots_are_looked_at(self):
        """Forty roots of half a second each are no reason to wait."""
        names = [f'{number}' for number in range(40)]
        for name in names:
            os.makedirs(self.path('roots', name))
        with mounts.slow_mount(self.path('roots'), '--delay-ms', '500') as slow:
            variants = [Variant(support.make_handle(name=f'p{name}'), os.path.join(slow.path, name))
                        for name in names]
            process = self.start('--cache', self.cache, 'warm', self.manifest(variants))
            self.wait_for_start()
            time.sleep(0.3)
            since = time.monotonic()
            process.send_signal(signal.SIGINT)
            result = support.finish(process, since=since)
        self.assert_code(result, INTERRUPTED)
        self.assertLess(result.seconds, 10)  # of twenty
        self.assertEqual(self.staging(), [])

    def test_the_rest_does_not_wait(self):
        """A root that takes five seconds to be looked at comes when it comes."""
        quick, late = self.make_variant('quick'), self.make_variant('late')
        with mounts.slow_mount(late.root, '--delay-ms', '3000') as slow:
            process = self.start('--cache', self.cache, 'warm',
                                 self.manifest([Variant(late.handle, slow.path), quick]))
            self.wait_for_start()
            support.wait_until(lambda: self.get(quick) != [None], 'the quick one')
            if process.poll() is None:  # else this machine is slower than the server
                process.send_signal(signal.SIGINT)
            self.assert_code(support.finish(process), INTERRUPTED, DONE)


@unittest.skipIf(os.geteuid(), 'becoming another user needs root')
class OfAUser(LimitsTest):
    """Limits that root does not have."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        os.chmod(self.cache, 0o777)
        self.variant = self.make_variant()

    def test_no_thread_to_be_had(self):
        """A message, nothing in staging; and clean still cleans, on the one thread there is."""
        self.skip_with_sanitizers('a sanitizer needs a thread of its own')
        line = ['--cache', self.cache, 'warm', self.manifest([self.variant])]
        result = support.finish(self.under(['--nproc=1:1'], *line, uid=LONELY))
        self.assert_refused(result, FAILED)
        self.assertEqual(self.staging(), [])
        self.assert_code(support.finish(self.under([], *line, uid=LONELY)), DONE)
        line = ['--cache', self.cache, 'remove', self.variant.argument]
        self.assert_code(support.finish(self.under(['--nproc=1:1'], *line, uid=LONELY)), DONE)
        line = ['--cache', self.cache, 'clean']
        self.assert_code(support.finish(self.under(['--nproc=1:1'], *line, uid=LONELY)), DONE)
        self.assert_sound([], cleaned=True)

    @contextlib.contextmanager
    def no_inotify(self, uid):
        """This user has used up all inotify instances."""
        read_fd, write_fd = os.pipe()
        process = multiprocessing.get_context('fork').Process(target=hold_inotify,
                                                              args=(uid, write_fd), daemon=True)
        process.start()
        try:
            os.read(read_fd, 1)
            yield
        finally:
            process.kill()
            process.join()
            os.close(read_fd)
            os.close(write_fd)

    def test_no_inotify(self):
        """Who has nothing to wait for does not need it; who has, looks now and then."""
        how = {'uid': LONELY, 'program': self.program_for_anybody()}
        os.chmod(self.path(), 0o777)
        other = self.make_variant('other')
        with self.no_inotify(LONELY):
            self.assert_code(self.warm([self.variant], **how), DONE)
            with mounts.slow_mount(other.root, '--delay-ms', '300') as slow:
                first = self.start('--cache', self.cache, 'warm',
                                   self.manifest([Variant(other.handle, slow.path)]))
                support.wait_until(
                    lambda: any(entry['status'] == 'copying' for entry in self.listing()), 'a copy')
                self.assert_code(self.warm([other]), DONE)
                self.assert_code(support.finish(first), DONE)
        self.assert_sound([self.variant, other])


class FewDescriptors(LimitsTest):
    """Fewer files are open at once then."""

    def test_many_files(self):
        """They are in memory, where many are opened and closed together."""
        source, destination = self.path('source'), self.path('copy')
        trees.make_plain_tree(source, {f'file{number}': b'x' for number in range(1000)})
        few = 48 + 8 * len(os.sched_getaffinity(0))  # each thread has some of its own
        for backend in ('ring', 'threads'):
            result = support.finish(self.under([f'--nofile={few}:{few}'], 'copy', '--backend', backend,
                                               source, destination))
            self.assert_code(result, DONE)
            self.assert_same_tree(source, destination)
            trees.remove_tree(destination)


class CopyOntoSomething(LimitsTest):
    """A destination that exists is nobody's to remove, whatever happens."""

    def test_interrupted_while_the_source_hangs(self):
        """The copy was refused at once, or never began."""
        source, destination = self.make_variant().root, self.path('mine')
        os.mkdir(destination)
        with open(os.path.join(destination, 'file'), 'wb') as file:
            file.write(b'precious')
        with mounts.slow_mount(source, '--delay-ms', '2000') as slow, self.untouched(destination):
            process = self.start('-v', 'copy', slow.path, destination)
            self.assertIn(b'backend', process.stderr.readline())
            process.send_signal(signal.SIGINT)
            self.assert_code(support.finish(process), INTERRUPTED, FAILED)


if __name__ == '__main__':
    unittest.main()
