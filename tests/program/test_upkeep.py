"""`clean`: what nobody has used for long, what is too much, old logs; going on where it stopped."""
import contextlib
import os
import time
import unittest

import cachecheck
import mounts
import support
import trees
from support import DONE, USAGE

DAY_S = 24 * 3600
KIB = 1024


class UpkeepTest(support.ProgramTest):
    """Has a cache, and a way to say when something in it was used last."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)

    def fill(self, count, size=10 * KIB, files=1):
        """Caches so many variants of this size, the first of which was used last the longest ago."""
        variants = [self.make_variant(f'v{number}', {f'{i}': b'x' * size for i in range(files)})
                    for number in range(count)]
        self.assert_code(self.warm(variants), DONE)
        for number, variant in enumerate(variants):
            self.age(variant, 2 + (count - number) / 24)
        return variants

    def root(self, variant):
        """The root of a cached variant, without a look-up; None: it is not there."""
        return cachecheck.found_roots(self.cache).get(cachecheck.canonical(variant.handle))

    def age(self, variant, days):
        """Makes a variant one that was used last so many days ago."""
        then = time.time() - days * DAY_S
        os.utime(self.root(variant) + '.json', (then, then))

    def there(self, variants):
        """Which of the variants are in the cache, as 0 and 1."""
        return [int(self.root(variant) is not None) for variant in variants]

    def clean(self, *options, **how):
        """Runs `clean` and returns its document."""
        result = self.run_program('--cache', self.cache, '--json', 'clean', *options, **how)
        self.assert_code(result, DONE)
        return result.json()


class Freed(UpkeepTest):
    """clean says what it gave back: what was removed before, and what it takes out itself, once."""

    def test_in_json(self):
        variants = self.fill(3, size=10 * KIB, files=2)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', variants[0].argument), DONE)
        limit = '--max-size=25K'  # one of the two that are left
        self.assertEqual(self.clean('--dry-run', limit)['bytes'], 40 * KIB)
        document = self.clean(limit)
        self.assertEqual(document['bytes'], 40 * KIB)
        self.assertEqual(sum(item['freed_bytes'] for item in document['deleted']), 40 * KIB)
        self.assertEqual(self.clean(limit)['bytes'], 0)

    def test_in_text(self):
        """In units that mean the same in settings; hard links count once."""
        variant = self.make_variant(files={'f': b'x' * 64 * KIB})
        os.link(os.path.join(variant.root, 'f'), os.path.join(variant.root, 'g'))
        self.assert_code(self.warm([variant]), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', variant.argument), DONE)
        line = ['--cache', self.cache, 'clean', '--max-size=64KiB']
        self.assertEqual(self.run_program(*line, '-n').out.splitlines()[-1],
                         'would free 64.0 KiB; 1 to delete, 0 kept, 0 failed')
        self.assertEqual(self.run_program(*line).out.splitlines()[-1],
                         'freed 64.0 KiB; 1 deleted, 0 kept, 0 failed')
        self.assertEqual(self.run_program(*line, '-q').out, '')


class ByAge(UpkeepTest):
    """Variants that were not used for --max-variant-days."""

    def test_more_than_so_many_days(self):
        """Thirty by default, as rez has it; whole seconds, and more than, not as many as."""
        variants = self.fill(3)
        self.age(variants[0], 31)
        self.age(variants[1], 29)
        document = self.clean()
        self.assertEqual(self.there(variants), [0, 1, 1])
        self.assertIn('not used within', document['deleted'][0]['reason'])
        self.assertEqual(document['deleted'][0]['bytes'], 10 * KIB)
        self.assertEqual(document['bytes'], 10 * KIB)
        self.assert_sound(variants, cleaned=True, partial=True)

    def test_rez_variable(self):
        """rez's own setting counts, the flag more; 0, and less, keep all."""
        variants = self.fill(2)
        self.age(variants[0], 1000)
        self.age(variants[1], 3)
        for value in ('0', '-1'):
            self.clean(REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS=value)
        self.clean('--max-variant-days=0')
        self.assertEqual(self.there(variants), [1, 1])
        self.clean('--max-variant-days=5', REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS=' 2 ')
        self.assertEqual(self.there(variants), [0, 1])
        self.clean(REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS=' 2 ')
        self.assertEqual(self.there(variants), [0, 0])

    def test_a_look_up_is_a_use(self):
        """What `get` found a moment ago stays."""
        (variant,) = self.fill(1)
        self.age(variant, 100)
        self.get(variant)
        self.clean()
        self.assertEqual(self.there([variant]), [1])


class ByThreads(UpkeepTest):
    """A cache of many packages is looked through by several threads at once."""

    def test_each_variant_is_judged_once(self):
        """Old, damaged, least recently used, and one that stays."""
        variants = self.fill(60, size=KIB)
        old, damaged, rest = variants[:20], variants[20:30], variants[30:]
        for variant in old:
            self.age(variant, 31)
        for root in [self.root(variant) for variant in damaged]:
            with open(root + '.json', 'w', encoding='ascii') as file:
                file.write('{')
        document = self.clean('--dry-run', '--max-size=12K')
        self.assertEqual(len(document['deleted']), 48)
        document = self.clean('--max-size=12K')
        self.assertEqual(len(document['deleted']), 2 * 48)  # taken out, and deleted
        self.assertEqual(document['bytes'], 48 * KIB)
        self.assertEqual(self.there(rest), [0] * 18 + [1] * 12)
        manifests = self.clean('--max-size=12K')['deleted']  # those that damaged slots have left
        self.assertEqual(len(manifests), 10)
        self.assert_sound(variants, cleaned=True, partial=True)


class BySize(UpkeepTest):
    """--max-size."""

    def test_those_used_longest_ago_go_first(self):
        """As few as will do."""
        variants = self.fill(6)
        document = self.clean('--max-size=35K')
        self.assertEqual(self.there(variants), [0, 0, 0, 1, 1, 1])
        self.assertEqual(document['bytes'], 30 * KIB)
        self.assertIn('larger than --max-size', document['deleted'][0]['reason'])
        self.assertEqual(self.clean('--max-size=30K')['deleted'], [])
        self.get(variants[3])
        self.clean('--max-size=29K')
        self.assertEqual(self.there(variants[3:]), [1, 0, 1])
        self.assert_sound(variants, cleaned=True, partial=True)

    def test_what_rez_made_is_counted(self):
        """Once: its size is known from then on."""
        variant = self.make_variant('byrez', {'a': b'x' * 5000, 'b/c': b'y' * 3000})
        variants = self.fill(1)
        support.finish(self.start_rez('add', self.cache, variant.argument, variant.root))
        self.age(variant, 5)
        self.assertEqual(self.clean('--max-size=1G')['deleted'], [])
        (entry,) = [entry for entry in self.listing() if entry['package'] == 'byrez-1.0']
        self.assertEqual((entry['size'], entry['files']), (8000, 2))
        self.clean('--max-size=10K')
        self.assertEqual(self.there([variant, *variants]), [0, 1])

    def test_sizes_in_the_listing(self):
        """The same numbers, whether they were kept or are counted; links and holes count once, or not."""
        variant = self.make_variant('sizes', {'a': b'x' * 5000, 'd/b': b'y' * 70000})
        os.link(os.path.join(variant.root, 'a'), os.path.join(variant.root, 'd', 'again'))
        os.symlink('a', os.path.join(variant.root, 'link'))
        self.assert_code(self.warm([variant]), DONE)
        (kept,) = self.listing()
        sidecar = self.root(variant) + '.json'
        try:
            os.setxattr(sidecar, 'user.pkgcache.size', b'1 2 3')  # by whoever: it is not believed
        except OSError as error:
            self.skipTest(f'no user attributes here: {error}')
        (counted,) = self.listing()
        self.assertEqual((kept['size'], kept['files']), (counted['size'], counted['files']))
        self.assertEqual(kept['size'], 75000)

    def test_percent_of_the_disk(self):
        """On a small one."""
        with mounts.mounted('tmpfs', 64 << 20) as point:
            self.cache = os.path.join(point, 'cache')
            os.mkdir(self.cache)
            variants = self.fill(4, size=1 << 20)
            self.clean('--max-size=6%')  # 3.84 MiB
            self.assertEqual(self.there(variants), [0, 1, 1, 1])

    def test_wrong_sizes(self):
        """Are refused before anything is done."""
        for size in ('0%', '101%', '%', '5%%', '-1', '1.5G', '5KB', '99999999999999T', '80',
                     '80 %', '80i', '80BiB'):
            result = self.run_program('--cache', self.cache, 'clean', '--max-size=' + size)
            self.assert_refused(result, USAGE, about=['max-size', size])


class DryRun(UpkeepTest):
    """--dry-run changes nothing, and tells what a real run does then."""

    def test_all_kinds_of_rubbish(self):
        """What it says is what goes."""
        variants = self.fill(4)
        self.age(variants[0], 100)
        trees.make_plain_tree(self.cache, {
            '.sys/to_delete/foo-1.0-00/file': b'', '.sys/log/2001-01-01.log': b'',
            '.sys/staging/run-1/file': b'', '.sys/leases/' + 'a' * 16 + '-' + 'b' * 16: b''})
        os.utime(os.path.join(self.cache, '.sys', 'staging', 'run-1'), (0, 0))
        os.utime(os.path.join(self.cache, '.sys/leases', 'a' * 16 + '-' + 'b' * 16), (0, 0))
        options = ['--max-size=25K', '--log-days=0']
        with self.untouched(self.cache):
            says = self.clean('--dry-run', *options)
            self.clean('--dry-run', '--time-limit=0.000001', *options)
        does = self.clean(*options)
        self.assertEqual((says['dry_run'], does['dry_run']), (True, False))
        paths = [item['path'] for item in says['deleted']]
        self.assertEqual(len(paths), 5, says)
        self.assertEqual(paths, [item['path'] for item in does['deleted']][:5])
        self.assertEqual(self.there(variants), [0, 0, 1, 1])


class Logs(UpkeepTest):
    """rez's logs."""

    def test_old_ones(self):
        """By the time of their last change, as rez does; what is no log stays."""
        (variant,) = self.fill(1)
        log = os.path.join(self.cache, '.sys', 'log')
        trees.make_plain_tree(log, {'2020-01-01.log': b'1', 'notes.txt': b'2', '20200101.log': b'3'})
        for name in os.listdir(log):
            os.utime(os.path.join(log, name), (0, 0))  # does not make them old: the ctime counts
        self.clean()
        self.assertIn('2020-01-01.log', os.listdir(log))
        self.clean('--log-days=0')
        self.assertIn('2020-01-01.log', os.listdir(log))
        self.assertEqual(self.there([variant]), [1])

    def test_by_the_time_of_their_last_change(self):
        """Which no program can set: a file system is made to have it."""
        mounts.need_root()
        with contextlib.ExitStack() as stack:
            image = mounts.make_image(stack, 'ext4', 8 << 20)
            mount = ['mount', '-o', 'loop', image, self.path('point')]
            os.mkdir(self.path('point'))
            self.cache = self.path('point', 'cache')
            logs = os.path.join(self.cache, '.sys', 'log')
            mounts.run_or_skip(mount)
            support.at_the_end(stack.callback, mounts.unmount, self.path('point'))
            for name in ('2020-01-01.log', '2020-01-02.log', 'notes.txt'):
                trees.make_plain_tree(logs, {name: b'text'})
            mounts.unmount(self.path('point'))
            then = time.strftime('%Y%m%d%H%M%S', time.gmtime(time.time() - 5 * DAY_S))
            for name in ('2020-01-01.log', 'notes.txt'):
                request = f'set_inode_field cache/.sys/log/{name} ctime {then}'
                mounts.run_or_skip(['debugfs', '-w', '-R', request, image])
            mounts.run_or_skip(mount)
            self.clean()
            self.clean('--log-days=6')
            self.assertEqual(len(os.listdir(logs)), 3)
            self.assertEqual(len(self.clean('--dry-run', '--log-days=4')['deleted']), 1)
            self.clean(REZ_PACKAGE_CACHE_LOG_DAYS='4')
            self.assertEqual(sorted(os.listdir(logs)), ['2020-01-02.log', 'notes.txt'])


class TimeLimits(UpkeepTest):
    """Each run goes on where the last one stopped."""

    def test_all_is_reached(self):
        """However short the limits are; nothing is done twice."""
        count = support.scaled(20, 8)
        variants = self.fill(count)
        for variant in variants:
            self.age(variant, 100)
        removed = 0
        for _ in range(3 * count):
            removed += sum('not used within' in item['reason']
                           for item in self.clean('--time-limit=0.000001')['deleted'])
            if removed == count:
                break
        self.assertEqual(removed, count)
        self.assertEqual(self.there(variants), [0] * count)

    def test_the_size_is_counted_in_parts(self):
        """The order of removal is that of one long run."""
        variants = self.fill(12)
        for _ in range(30):
            self.clean('--time-limit=0.000001', '--max-size=45K')
        self.assertEqual(self.there(variants), [0] * 8 + [1] * 4)

    def test_states_of_anybody(self):
        """A state that is no state, or leads out of the cache, is no harm."""
        variants = self.fill(3)
        outside = self.make_directory()
        trees.make_plain_tree(outside, {'1.0/abcd/x/file': b'1', '1.0/abcd/x.json': b'{}'})
        os.symlink(outside, os.path.join(self.cache, 'out'))
        path = os.path.join(self.cache, '.sys', 'clean')
        slot = '{"slot": "%s", "seconds": 0, "nanoseconds": 0, "bytes": 1}'
        for text in ('', '[', '{"after": "../../etc"}', '{"after": 7}', '{"after": "a/b/abcd/x"}',
                     *('{"after": "zz/1.0/ffff", "bytes": 99999999, "oldest": [%s]}' % (slot % name)
                       for name in ('out/1.0/abcd/x', '../1.0/abcd/x', 'v0/1.0/0000/x', '/////'))):
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            with self.untouched(outside):
                self.clean('--time-limit=100', '--max-size=1M')
            self.assertEqual(self.there(variants), [1, 1, 1])

    def test_two_at_once(self):
        """Any number of cleans, and whoever warms and removes: nothing breaks."""
        variants = self.fill(support.scaled(20, 8))
        for variant in variants[::2]:
            self.age(variant, 100)
        manifest = support.write_manifest(self.path('again.json'), variants)
        processes = [self.start('--cache', self.cache, 'clean', '--max-size=200K', *limit)
                     for limit in ([], ['--time-limit=0.01'], [])]
        processes.append(self.start('--cache', self.cache, 'warm', manifest))
        processes.append(self.start('--cache', self.cache, 'remove', variants[1].argument))
        for process in processes:
            self.assert_code(support.finish(process), DONE, support.MISSING)
        self.assert_sound(variants, partial=True)


if __name__ == '__main__':
    unittest.main()
