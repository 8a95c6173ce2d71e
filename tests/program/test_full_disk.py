"""A full disk: wherever the room ends, it is said, nothing half is left, and clean makes room.

Where the room ends is not chosen by the step, which the file system's habits would decide, but by
leaving a little more each time, from none to plenty: so it ends once in every step.
"""
import contextlib
import os
import subprocess
import unittest

import mounts
import support
from support import DONE, FAILED, PARTLY

KIB, MIB = 1 << 10, 1 << 20
LEFT_KIB = [0, 4, 8, 12, 16, 20, 24, 32, 40, 56, 80, 128, 192, 320, 1024]
KINDS = {'ext4': 64 * MIB, 'xfs': 0, 'btrfs': 0, 'tmpfs': 16 * MIB}  # 0: the smallest there is


class FullDiskTest(support.ProgramTest):
    """A cache on a small file system of its own."""

    def setUp(self):
        super().setUp()
        self.good, self.removed = self.make_variant('good'), self.make_variant('removed')
        self.wanted = [self.make_variant(f'wanted{number}', {
            f'{name % 3}/{name}': os.urandom(3000) for name in range(12)}) for number in range(3)]

    def command(self, *arguments, **options):
        """Runs a command on the cache."""
        return self.run_program('--cache', self.cache, *arguments, **options)

    @contextlib.contextmanager
    def small_disk(self, kind):
        """A cache on it with one variant in it, and one that was removed and waits for clean."""
        with mounts.mounted(kind, KINDS[kind]) as point:
            self.cache = os.path.join(point, 'cache')
            self.assert_code(self.warm([self.good, self.removed]), DONE)
            self.assert_code(self.command('remove', self.removed.argument), DONE)
            yield Filler(os.path.join(point, 'filler'))

    def staged(self):
        """What is left in staging."""
        return os.listdir(os.path.join(self.cache, '.sys', 'staging'))

    def judge(self, result):
        """A `warm` of what is wanted on a disk that may be full."""
        self.assert_code(result, DONE, PARTLY, FAILED)
        if result.code != DONE:
            self.assert_message(result, ['No space left on device', 'pkgcache clean', self.cache])
        self.assert_sound([self.good, *self.wanted], partial=True)
        self.assertEqual(self.staged(), [])


class Filler:
    """A file that takes up what is free."""

    def __init__(self, path):
        self.path = path

    def leave(self, left):
        """Takes all, and gives this many bytes back."""
        self.remove()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for piece in (16 * MIB, MIB, 64 * KIB, 4 * KIB, KIB):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(fd, os.fstat(fd).st_size, piece)
            os.ftruncate(fd, max(0, os.fstat(fd).st_size - left))
            with contextlib.suppress(OSError):
                os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self):
        """Gives all back; at once, also on Btrfs."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        subprocess.run(['sync', '-f', os.path.dirname(self.path)], check=True)


class EachKind:
    """Tests `run_kind` with each kind of file system."""

    def test_ext4(self):
        """Of 64 MiB."""
        self.run_kind('ext4')

    def test_xfs(self):
        """As small as it can be."""
        self.run_kind('xfs')

    def test_btrfs(self):
        """Which has small files among its own records, and needs room to make room."""
        self.run_kind('btrfs')

    def test_tmpfs(self):
        """In memory."""
        self.run_kind('tmpfs')


class EveryPoint(EachKind, FullDiskTest):
    """The room ends a little later each time."""

    def run_kind(self, kind):
        """Everything is whole or not there, the rest goes in when there is room."""
        codes = set()
        with self.small_disk(kind) as filler:
            for left_kib in LEFT_KIB:
                with self.subTest(f'{kind}, {left_kib} KiB left'):
                    filler.leave(left_kib * KIB)
                    result = self.warm(self.wanted)
                    self.judge(result)
                    codes.add(result.code)
                    filler.remove()
                    found = [variant.argument for variant, root in
                             zip(self.wanted, self.get(*self.wanted)) if root]
                    if found:
                        self.assert_code(self.command('remove', *found), DONE)
            self.assert_code(self.warm(self.wanted), DONE)
            self.assert_code(self.command('clean'), DONE)
            self.assert_sound([self.good, *self.wanted], cleaned=True)
        self.assertIn(FAILED, codes)
        self.assertIn(DONE, codes)


class Full(EachKind, FullDiskTest):
    """Nothing at all is free."""

    def run_kind(self, kind):
        """What reads goes on, what takes away works, and then there is room again."""
        with self.small_disk(kind) as filler:
            filler.leave(0)
            self.judge(self.warm(self.wanted))
            self.assert_cached(self.good)
            self.assertEqual(len(self.listing()), 1)
            self.assert_code(self.command('clean'), DONE)
            self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
            filler.leave(0)
            self.assert_code(self.command('remove', self.good.argument), DONE)
            self.assertEqual(self.get(self.good), [None])
            self.assert_code(self.command('clean'), DONE)
            filler.remove()
            self.assert_code(self.warm([self.good, *self.wanted]), DONE)
            self.assert_sound([self.good, *self.wanted], cleaned=True)

    def test_a_cache_that_cannot_be_made(self):
        """Its directories do not fit; then they do."""
        with mounts.mounted('ext4', 8 * MIB) as point:
            filler = Filler(os.path.join(point, 'filler'))
            self.cache = os.path.join(point, 'cache')
            filler.leave(0)
            result = self.warm([self.good])
            self.assert_refused(result, FAILED, about=['No space left on device', self.cache])
            filler.remove()
            self.assert_code(self.warm([self.good]), DONE)
            self.assert_sound([self.good])

    def test_one_large_among_small(self):
        """What does not fit is gone before the end, so that the others have its room."""
        large = self.make_variant('large', {f'{name}': os.urandom(MIB) for name in range(24)})
        with mounts.mounted('ext4', 16 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            self.assert_refused(self.warm([large]), FAILED, about=['No space left on device'])
            status = os.statvfs(point)
            self.assertGreater(status.f_bavail * status.f_frsize, 10 * MIB)
            self.assert_code(self.warm([self.good, *self.wanted]), DONE)
            self.assert_sound([self.good, *self.wanted])


@unittest.skipIf(os.geteuid(), 'becoming another user needs root')
class Quota(FullDiskTest):
    """A user's share is used up: as if the disk were full, but it is called by its name."""

    def test_quota(self):
        """Said, nothing is left; and what fits goes in."""
        large = self.make_variant('large', {f'{name}': os.urandom(MIB) for name in range(24)})
        how = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        with mounts.mounted('xfs', 0, ['uquota']) as point:
            os.chmod(point, 0o1777)
            mounts.run_or_skip(['xfs_quota', '-x', '-c', f'limit bhard=8m {support.NOBODY}', point])
            self.cache = os.path.join(point, 'cache')
            self.assert_code(self.warm([self.good], **how), DONE)
            result = self.warm([large], **how)
            self.assert_refused(result, FAILED, about=['Disk quota exceeded', 'pkgcache clean'])
            self.assertEqual(self.staged(), [])
            self.assert_sound([self.good])
            self.assert_code(self.warm(self.wanted, **how), DONE)


if __name__ == '__main__':
    unittest.main()
