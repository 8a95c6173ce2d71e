"""What is not cached, and why: refusals, and room that is kept free on the cache's disk."""
import os
import unittest

import mounts
import support
import trees
from support import DONE, FAILED, PARTLY, USAGE, Variant, make_handle

MIB = mounts.MIB


class RoomTest(support.ProgramTest):
    """Shorthands."""

    def add(self, variant, *arguments, **environment):
        """Runs `add`."""
        return self.run_program('--cache', self.cache, 'add', '--root', variant.root,
                                variant.argument, *arguments, **environment)

    def assert_skipped(self, result, *words):
        """One variant was asked for, and skipped for this reason."""
        self.assert_refused(result, FAILED, about=words)

    def free_bytes(self):
        """What is free on the cache's disk."""
        status = os.statvfs(self.cache)
        return status.f_bavail * status.f_frsize

    def staged(self):
        """What is left in staging."""
        return os.listdir(os.path.join(self.cache, '.sys', 'staging'))

    def large_variant(self, name, megabytes):
        """A variant of files of 1 MiB."""
        return self.make_variant(name, {f'{number}': os.urandom(MIB) for number in range(megabytes)})


class Refusals(RoomTest):
    """Each by its setting, in our words and in rez's variables; --force overrides what can be."""

    def test_same_device(self):
        """Only where a setting says so."""
        variant = self.make_variant()
        for how in ({'PKGCACHE_SAME_DEVICE': 'no'}, {'REZ_PACKAGE_CACHE_SAME_DEVICE': 'False'}):
            self.assert_skipped(self.add(variant, **how), "on the cache's own file system",
                                variant.root)
        result = self.warm([variant], '--same-device=no', '--json')
        self.assert_code(result, FAILED)
        self.assertEqual(result.json()['skipped'], 1)
        self.assertEqual(self.get(variant), [None])
        self.assert_code(self.add(variant, '--force', '--same-device=no'), DONE)
        self.assert_cached(variant)

    def test_another_mount(self):
        """Is what the setting is for."""
        variant = self.make_variant()
        with mounts.mounted('tmpfs', 16 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            self.assert_code(self.add(variant, '--same-device=no'), DONE)
            self.assert_cached(variant)

    def test_local(self):
        """The repository is local_packages_path, also by way of a link."""
        variant = self.make_variant()
        os.makedirs(self.path('repository'))
        os.symlink('repository', self.path('link'))
        for path in (self.path('repository'), self.path('link')):
            result = self.add(variant, REZ_PACKAGE_CACHE_LOCAL='0', REZ_LOCAL_PACKAGES_PATH=path)
            self.assert_skipped(result, 'local', self.path('repository'))
        self.assert_skipped(self.add(variant, '--local=no', '--local-path', self.path('link')),
                            '--local')
        other = Variant(make_handle(self.path('repository2')), variant.root)
        self.assert_code(self.add(other, '--local=no', '--local-path', self.path('link')), DONE)
        self.assert_code(self.add(variant, '--local=no', '--local-path', self.path('link'),
                                  '--force'), DONE)

    def test_our_setting_before_that_of_rez(self):
        """PKGCACHE_ wins; rez's words for yes and no are read in rez's variables alone."""
        variant = self.make_variant()
        for number, word in enumerate(('1', 'TRUE', 't', 'y', 'On')):
            variant = self.make_variant(f'package{number}')
            self.assert_code(self.add(variant, REZ_PACKAGE_CACHE_SAME_DEVICE=word), DONE)
        variant = self.make_variant('another')
        self.assert_code(self.add(variant, REZ_PACKAGE_CACHE_SAME_DEVICE='2'), USAGE)
        self.assert_code(self.add(variant, PKGCACHE_SAME_DEVICE='1'), USAGE)
        self.assert_code(self.add(variant, REZ_PACKAGE_CACHE_SAME_DEVICE='off',
                                  PKGCACHE_SAME_DEVICE='yes'), DONE)

    def test_cache_and_root_in_each_other(self):
        """Never, also by way of a link, and whatever is asked for."""
        self.assert_code(self.add(self.make_variant('first')), DONE)  # which makes the cache
        os.mkdir(os.path.join(self.cache, 'inside'))
        os.symlink(self.cache, self.path('link'))
        for root, word in ((self.cache, 'inside'), (os.path.join(self.cache, 'inside'), 'inside'),
                           (self.path('link/inside'), 'inside'), (self.directory, 'contains'),
                           ('/', 'contains')):
            with self.subTest(root):
                variant = Variant(make_handle(), root)
                self.assert_skipped(self.add(variant, '--force'), word, root)
                self.assertEqual(self.get(variant), [None])
        beside = self.make_variant()
        os.rename(beside.root, self.cache + '-beside')
        self.assert_code(self.add(Variant(beside.handle, self.cache + '-beside')), DONE)

    def test_cache_and_root_in_each_other_by_another_mount(self):
        """The same, before anything is copied."""
        trees.make_plain_tree(self.path('root'), {'file': b'1', 'd/file': b'2', 'd/cache': None})
        with mounts.bound(self.path('root', 'd')) as point:
            self.cache = f'{point}/cache'
            variant = Variant(make_handle(), self.path('root'))
            result = self.add(variant, '--force')
            self.assert_skipped(result, 'contains', self.path('root'))
            self.assertFalse(os.path.exists(f'{self.cache}/foo'))
            inside = Variant(make_handle(), self.path('root', 'd', 'cache', '.sys'))
            self.assert_skipped(self.add(inside, '--force'), 'inside', inside.root)

    def test_the_rest_is_cached(self):
        """One that is refused is named; exit 4."""
        good, bad = self.make_variant('good'), Variant(make_handle(name='bad'), self.cache)
        os.mkdir(self.cache)
        self.assert_refused(self.warm([good, bad]), PARTLY, about=['bad', 'inside the cache'])
        self.assert_cached(good)


class Space(RoomTest):
    """Room is kept free: looked at before a copy, and while it grows."""

    def test_before(self):
        """What is free is less than the buffer: nothing is begun, and nothing is left."""
        variant = self.make_variant()
        with mounts.mounted('tmpfs', 32 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            for how in ({'PKGCACHE_SPACE_BUFFER': '64M'},
                        {'REZ_PACKAGE_CACHE_SPACE_BUFFER': '67108864', 'PKGCACHE_SPACE_BUFFER': ''},
                        {'PKGCACHE_SPACE_BUFFER': ''}):  # 100 MiB, as in rez
                self.assert_skipped(self.add(variant, **how), 'MiB free', '--space-buffer')
            self.assert_skipped(self.add(variant, '--force', '--space-buffer=64M'), 'MiB free')
            result = self.warm([variant], '--json', '--space-buffer=64M')
            self.assertEqual(result.json()['skipped'], 1)
            self.assertEqual(self.staged(), [])
            self.assert_code(self.add(variant, '--space-buffer=16M'), DONE)
            self.assert_code(self.add(variant, '--space-buffer=64M'), DONE)  # it is there

    def test_while_it_is_copied(self):
        """A copy that would leave less is stopped, and its room is free again."""
        small, large = self.make_variant('small'), self.large_variant('large', 24)
        with mounts.mounted('tmpfs', 32 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            result = self.warm([large, small], '--space-buffer=16M', '--used-threshold=0',
                               '--bwlimit=16M', '--json')
            self.assert_code(result, PARTLY)
            summary = result.json()
            self.assertEqual((summary['created'], summary['skipped']), (1, 1))
            self.assertIn('MiB free', result.err)
            self.assertGreater(self.free_bytes(), 28 * MIB)
            self.assert_sound([small])
            self.assert_code(self.add(large, '--space-buffer=4M'), DONE)

    def test_many_at_once(self):
        """Together they keep what each must keep; what fits goes in."""
        variants = [self.large_variant(f'package{number}', 4) for number in range(8)]
        with mounts.mounted('tmpfs', 32 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            result = self.warm(variants, '--space-buffer=12M', '--used-threshold=0',
                               '--bwlimit=20M', '--json')
            self.assert_code(result, PARTLY)
            summary = result.json()
            self.assertEqual(summary['failed'], 0, result.err)
            self.assertGreater(summary['created'], 0)
            self.assertGreater(summary['skipped'], 2)
            self.assertGreater(self.free_bytes(), 10 * MIB)
            self.assert_sound(variants, partial=True)

    def test_below_the_threshold(self):
        """As in rez, a copy that was begun may use the buffer while little of the disk is used."""
        variant = self.large_variant('large', 8)
        with mounts.mounted('tmpfs', 32 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            line = ['--space-buffer=28M', '--bwlimit=16M']
            self.assert_skipped(self.add(variant, *line, REZ_PACKAGE_CACHE_USED_THRESHOLD='1'),
                                'MiB free')
            self.assert_code(self.add(variant, *line, REZ_PACKAGE_CACHE_USED_THRESHOLD='80'), DONE)

    def test_inodes(self):
        """A disk that has room for hardly any more files. (Of 20,000, 200 are kept: more than are
        made between two looks.)"""
        variant = self.make_variant(files={f'{number}': b'x' * 1024 for number in range(300)})
        taken = 19700
        with mounts.mounted('tmpfs', 32 * MIB, ['nr_inodes=20000']) as point:
            for number in range(taken):
                with open(os.path.join(point, f'{number}'), 'wb'):
                    pass
            self.cache = os.path.join(point, 'cache')
            self.assert_skipped(self.add(variant, '--space-buffer=1M', '--bwlimit=60K'),
                                'more files')
            self.assertEqual(self.staged(), [])
            for number in range(taken):
                os.unlink(os.path.join(point, f'{number}'))
            self.assert_code(self.add(variant, '--space-buffer=1M'), DONE)

    def test_no_telling(self):
        """A file system that does not say how large it is, is not taken for a full one."""
        with mounts.mounted_image('ramfs', 'ramfs', ['mode=755']) as point:
            self.cache = os.path.join(point, 'cache')
            variant = self.make_variant()
            self.assert_code(self.add(variant), DONE)
            self.assert_cached(variant)


if __name__ == '__main__':
    unittest.main()
