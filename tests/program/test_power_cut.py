"""The power fails after each of the program's steps: after replay, what is found is whole.

The program stops itself after a step; then the file system ends without another write. ext4 and XFS
have a call for that; of Btrfs, the image is copied as it is on the disk. The file system may have
committed just before, as it does every few seconds: that puts names on the disk without the data.
Each step is tried with and without that.

A reboot is part of it: what owners wrote down is older than it afterwards.
"""
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import unittest

import cachecheck
import mounts
import steps
import support
from support import DONE

SHUTDOWN = 0x8004587d  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
BTRFS_START_SYNC = 0x80089418  # a commit as the timer makes one
BTRFS_WAIT_SYNC = 0x40089416

# What happens just before the cut: 1 and 2 are flags of SHUTDOWN.
COMMIT = 1  # the journal is written, and no data
NOTHING = 2
FSYNC_OTHER = 3  # of a file that has nothing to do with it
FSYNC_NAMES = 4  # of each hash directory

NO_WRITE_BACK = {'ext4': ['commit=300'], 'btrfs': ['commit=300'], 'xfs': []}
TRIES = 100
STRIDE = 75  # of a sweep that is not full
NO_STEP = 0
SLOW_ROOT_MS = 1200


class Cut:
    """Caches on an image of a file system: what is tried with each kind, below."""

    kind = None
    before = (NOTHING, COMMIT)

    def setUp(self):
        super().setUp()
        stack = self.enter(contextlib.ExitStack())
        self.image = mounts.make_image(stack, self.kind, 0)
        self.work = self.path('work.img')

    # Images

    def copy_image(self, source, target):
        """As the disk is now; holes stay holes."""
        subprocess.run(['cp', '--sparse=always', source, target], check=True)

    @contextlib.contextmanager
    def mount(self, image):
        """Mounts an image; the cache is in it."""
        if self.kind == 'btrfs':  # it remembers the image that this one is a copy of
            forget = ['btrfs', 'device', 'scan', '--forget']
            subprocess.run(forget, check=False, capture_output=True)
        with mounts.mounted_image(self.kind, image, ['loop', *NO_WRITE_BACK[self.kind]]) as point:
            self.cache = os.path.join(point, 'cache')
            yield point

    def cut_power(self, point, before):
        """Ends the file system that is mounted there. Returns the image as it is then."""
        directory = os.open(point, os.O_RDONLY)
        try:
            if self.kind != 'btrfs':
                fcntl.ioctl(directory, SHUTDOWN, struct.pack('I', before))
                return self.work
            if before == COMMIT:
                transaction = fcntl.ioctl(directory, BTRFS_START_SYNC, bytes(8))
                fcntl.ioctl(directory, BTRFS_WAIT_SYNC, transaction)
            if before == FSYNC_OTHER:
                self.sync_other(point)
            if before == FSYNC_NAMES:
                self.sync_hash_directories()
            after = self.path('cut.img')
            self.copy_image(self.work, after)
            return after
        finally:
            os.close(directory)

    def sync_other(self, point):
        """As anybody may at any time."""
        with open(os.path.join(point, 'other'), 'wb') as file:
            os.fsync(file.fileno())

    def sync_hash_directories(self):
        """As any process may that works in the same ones."""
        if not os.path.exists(self.cache):
            return
        for path in cachecheck.hash_directories(self.cache, lambda *_: None):
            directory = os.open(path, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)

    def run_and_cut(self, command, number, before, durability, fresh=False, **environment):
        """Returns the image after the cut, what was the last step, and whether that was the end."""
        self.copy_image(self.image, self.work)
        with self.mount(self.work) as point:
            if fresh:
                command.prepare(self)
            options = [] if command.packs else ['--durability', durability]
            process = self.start_command(command, *options,
                                         **self.steps_environment(number, signal.SIGSTOP), **environment)
            state = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            image = self.cut_power(point, before)
            ended = state.si_code != os.CLD_STOPPED
            if not ended:
                process.kill()
            result = support.finish(process)
            if ended:
                self.assert_code(result, DONE)
        return image, result.err.strip(), ended

    # Afterwards

    def reboot(self):
        """Makes what owners left older than this boot."""
        for directory, directories, files in os.walk(self.cache):
            for name in directories + files:
                if name.startswith('.copying-') or directory.endswith('/.sys/staging'):
                    self.make_old(os.path.join(directory, name))

    def check(self, image, command, ended):
        """What is found is whole, a rerun completes; what had ended before the cut lasts."""
        with self.mount(image):
            self.reboot()
            self.assert_meanwhile(command)
            if ended and command.packs:
                self.assert_pack(command, True)
            elif ended:
                self.assertNotIn(None, self.get(*command.found(self)))
            self.rerun(command)
            self.assert_end(command)

    def sweep(self, name, durability='batch', stride=STRIDE, fresh=False):
        """Cuts the power after every step, or some, and after the end.

        fresh   what the command begins with was done just before, and is not on the disk yet
        """
        command = steps.COMMANDS[name]
        if not fresh:
            with self.mount(self.image):
                command.prepare(self)
        ended = False
        for number in steps.numbers(stride):
            for before in self.before:
                image, step, ended = self.run_and_cut(command, number, before, durability,
                                                      fresh)
                with self.subTest(f'{name}, step {number}: {step}; before: {before}'):
                    self.check(image, command, ended)
            if ended:
                break
        print(f'{name} {durability}: at most {number - 1} steps')

    def is_partial(self, image):
        """Whether something is found there that is not whole."""
        with self.mount(image):
            return bool(os.path.exists(os.path.join(self.cache, '.sys')) and cachecheck.check_cache(
                self.cache, self.variants, at_rest=False, partial=True, litter=True))

    def test_warm_in_batches(self):
        """One flush for all that are ready."""
        self.sweep('warm')

    def test_warm_each(self):
        """A flush for each."""
        self.sweep('warm', durability='each')

    def test_reuse(self):
        """What is cloned is as good as what was written."""
        self.sweep('reuse')

    def test_reuse_published(self):
        """The same by a published manifest."""
        self.sweep('reuse_published')

    def test_unpack(self):
        """From a pack."""
        self.sweep('unpack')

    def test_unpack_piped(self):
        """From a pack that comes through a pipe."""
        self.sweep('unpack_piped')

    def test_pack(self):
        """A pack is there as a whole, or not at all; when it was made, it lasts."""
        self.sweep('pack', stride=4)

    def test_pack_over_older(self):
        """So does the one before, until the new one is there."""
        self.sweep('pack_over_older', stride=4)

    def test_heal(self):
        """What is damaged is taken away and copied anew."""
        self.sweep('heal')

    def test_heal_at_once(self):
        """What was damaged a moment ago."""
        self.sweep('heal', fresh=True)

    def test_remove(self):
        """What stays is whole; what is removed is whole or not found."""
        self.sweep('remove')

    def test_remove_at_once(self):
        """What was cached a moment ago."""
        self.sweep('remove', fresh=True)

    def test_repair(self):
        """The damaged payload goes when the new one is there to stay."""
        self.sweep('repair')

    def test_clean(self):
        """Deletes what is damaged, and nothing else."""
        self.sweep('clean')

    def test_warm_without_durability(self):
        """Nothing is flushed: then something is found that is not whole, or this test sees nothing."""
        command = steps.COMMANDS['warm']
        for _ in range(TRIES):  # somebody else may flush everything just then, again and again
            image, _, ended = self.run_and_cut(command, NO_STEP, COMMIT, 'none')
            self.assertTrue(ended)
            if self.is_partial(image):
                return
        self.fail('a cut without any flush lost nothing')


class Ext4(Cut, steps.StepsTest):
    """The default of most distributions."""

    kind = 'ext4'


class Xfs(Cut, steps.StepsTest):
    """That of Red Hat and its kin."""

    kind = 'xfs'


class Btrfs(Cut, steps.StepsTest):
    """Writes no journal, but a log of what was flushed."""

    kind = 'btrfs'
    before = (NOTHING, COMMIT, FSYNC_OTHER, FSYNC_NAMES)

    def test_a_sidecar_that_was_flushed_alone(self):
        """The log knows its new name as soon as it is renamed: the slot must be there before."""
        late = SLOW_ROOT_MS  # so the sidecar is not flushed with others, at the start
        slow = self.enter(mounts.slow_mount(self.path('roots'), '--delay-ms', str(late)))
        manifest = support.write_manifest(self.path('slow.json'), [support.Variant(
            self.variants[0].handle, os.path.join(slow.path, 'one'))])
        command = steps.COMMANDS['warm']
        from_slow = command._replace(arguments=lambda test: ['warm', manifest])
        for before in self.before:
            slow.drop_caches()
            image, step, ended = self.run_and_cut(from_slow, 1, before, 'batch',
                                                  STEPS_CALL='renameat2')
            self.assertRegex(step, r'after renameat2 \w+\.json')
            with self.subTest(f'{step}; before: {before}'):
                self.check(image, command, ended)


if __name__ == '__main__':
    unittest.main()
