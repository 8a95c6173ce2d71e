"""`clean --share`, and the daemon's idle time: equal files share their blocks, and nothing else."""
import os
import unittest

import cachecheck
import daemons
import mounts
import support
import trees
from support import DONE, FAILED

KIB = 1024
COUNT = 12
SIZE = 64 * KIB
BYTES = sum(SIZE - i for i in range(COUNT))  # of the equal files of a version


class SharingTest(support.ProgramTest):
    """Has a cache on a file system of its own, and versions of a package that differ in a file."""

    kind = 'xfs'

    def setUp(self):
        super().setUp()
        self.point = self.enter(mounts.mounted(self.kind, 320 << 20))
        self.cache = os.path.join(self.point, 'cache')
        os.mkdir(self.cache)

    def fill(self, versions=3):
        """Caches versions of a package: COUNT equal files, an empty one, and one of its own."""
        equal = {f'lib/{i}': bytes([i]) * (SIZE - i) for i in range(COUNT)}
        variants = [self.make_variant(f'v{number}', {**equal, 'empty': b'', 'own': b'%d' % number * SIZE})
                    for number in range(versions)]
        self.assert_code(self.warm(variants), DONE)
        return variants

    def root(self, variant):
        """The root of a cached variant, without a look-up."""
        return cachecheck.found_roots(self.cache)[cachecheck.canonical(variant.handle)]

    def clean(self, *options, **how):
        """Runs `clean --share`."""
        return self.run_program('--cache', self.cache, '--json', 'clean', '--share', *options, **how)

    def shared(self, *options, **how):
        """How many files it had share blocks, and how many bytes came back."""
        result = self.clean(*options, **how)
        self.assert_code(result, DONE)
        document = result.json()['shared']
        return document['files'], document['bytes']

    def used(self):
        """Bytes of the file system that are in use, once all is written."""
        os.sync()
        state = os.statvfs(self.point)
        return (state.f_blocks - state.f_bfree) * state.f_frsize


class OnXfs(SharingTest):
    """What is shared, and what it looks like afterwards."""

    def test_what_is_equal(self):
        """Names, contents and times are the same; the disk has its bytes back; once is enough."""
        variants = self.fill()
        before = self.used()
        kept = [trees.snapshot(self.root(variant)) for variant in variants]
        self.assertEqual(self.shared('--dry-run'), (2 * COUNT, 2 * BYTES))
        self.assertGreater(self.used(), before - BYTES)
        self.assertEqual(self.shared(), (2 * COUNT, 2 * BYTES))
        self.assertLess(self.used(), before - BYTES)
        self.assertEqual([trees.snapshot(self.root(variant)) for variant in variants], kept)
        self.assertEqual(self.shared(), (0, 0))
        self.assert_sound(variants)
        stats = self.run_program('--cache', self.cache, '--json', 'stats').json()
        self.assertEqual((stats['shared_files'], stats['shared_bytes']), (2 * COUNT, 2 * BYTES))

    def test_what_is_said(self):
        """A line; with -v each file, and whose blocks it has."""
        self.fill(versions=2)
        result = self.run_program('--cache', self.cache, '-v', 'clean', '--share', '--dry-run')
        self.assertIn(f'would share the blocks of {COUNT} files with equal ones: 768 KiB', result.out)
        self.assertEqual(result.err.count('would share '), COUNT)
        result = self.run_program('--cache', self.cache, 'clean', '--share')
        self.assertIn(f'shared the blocks of {COUNT} files with equal ones: 768 KiB', result.out)

    def test_what_a_program_writes_stays_its_own(self):
        """Shared blocks are no hard link."""
        first, second = self.fill(versions=2)
        self.shared()
        with open(os.path.join(self.root(first), 'lib/3'), 'r+b') as file:
            file.write(b'other')
        with open(os.path.join(self.root(second), 'lib/3'), 'rb') as file:
            self.assertEqual(file.read(), b'\3' * (SIZE - 3))

    def test_what_was_altered(self):
        """Of the same size and time: its manifest still says equal, and the kernel says not."""
        first, second = self.fill(versions=2)
        path = os.path.join(self.root(first), 'lib/3')
        status = os.stat(path)
        with open(path, 'r+b') as file:
            file.write(b'other')
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertEqual(self.shared()[0], COUNT - 1)
        for variant, start in ((first, b'other'), (second, b'\3\3\3\3\3')):
            with open(os.path.join(self.root(variant), 'lib/3'), 'rb') as file:
                self.assertEqual(file.read(5), start)

    def test_what_another_user_put_in_its_place(self):
        """A link, a fifo, a directory, nothing at all."""
        first, second = self.fill(versions=2)
        root = os.path.join(self.root(first), 'lib')
        outside = os.path.join(self.point, 'outside')
        with open(outside, 'wb') as file:
            file.write(b'\1' * (SIZE - 1))
        for number in range(1, 5):
            os.unlink(os.path.join(root, str(number)))
        os.symlink(outside, os.path.join(root, '1'))
        os.mkfifo(os.path.join(root, '2'))
        os.mkdir(os.path.join(root, '3'))
        with self.untouched(outside):
            self.assertEqual(self.shared()[0], COUNT - 4)
        os.rename(root, root + '.away')
        os.symlink(root + '.away', root)
        self.assertEqual(self.shared()[0], 0)
        self.assertTrue(os.path.isdir(self.root(second)))

    def test_within_a_time_limit(self):
        """Each run shares something, so they come to an end."""
        self.fill(versions=2)
        done = 0
        while done < COUNT:
            files = self.shared('--time-limit=0.000001')[0]
            self.assertGreater(files, 0)
            done += files
        self.assertEqual(self.shared()[0], 0)

    def test_of_other_users(self):
        """Each user shares what is theirs; root everything."""
        if os.geteuid():
            self.skipTest('becoming another user needs root')
        os.chmod(self.cache, 0o1777)
        self.fill(versions=2)
        nobody = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        os.chmod(self.point, 0o755)
        self.assertEqual(self.clean(**nobody).json()['shared']['files'], 0)
        self.assertEqual(self.shared()[0], COUNT)

    def test_while_the_daemon_is_idle(self):
        """When it is asked to; and again when more has come."""
        self.fill(versions=2)
        process = daemons.DaemonTest.start_daemon(self, '--share-idle=1')
        count = 0
        for expected in (COUNT, 2 * COUNT):
            support.wait_until(lambda wanted=expected: self.files_shared() == wanted, 'files to be shared')
            count += 1
            if count == 1:
                variant = self.make_variant('late', {f'lib/{i}': bytes([i]) * (SIZE - i) for i in range(COUNT)})
                self.assert_code(self.warm([variant]), DONE)
        support.kill_process(process)

    def files_shared(self):
        """By anybody so far."""
        return self.run_program('--cache', self.cache, '--json', 'stats').json()['shared_files']


class OnBtrfs(SharingTest):
    """Whose extents look different."""

    kind = 'btrfs'

    def test_what_is_equal(self):
        variants = self.fill()
        before = self.used()
        self.assertEqual(self.shared(), (2 * COUNT, 2 * BYTES))
        self.assertLess(self.used(), before - BYTES)
        self.assertEqual(self.shared(), (0, 0))
        self.assert_sound(variants)


class OnExt4(SharingTest):
    """Which cannot share."""

    kind = 'ext4'

    def test_is_told(self):
        """What else clean does is done."""
        variants = self.fill()
        self.assert_code(self.run_program('--cache', self.cache, 'remove', variants[0].argument), DONE)
        for option in ('--dry-run', '--quiet'):
            result = self.run_program('--cache', self.cache, 'clean', '--share', option)
            self.assert_refused(result, FAILED, about=[self.cache, '--share', 'XFS'])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
        self.assert_sound(variants[1:])


if __name__ == '__main__':
    unittest.main()
