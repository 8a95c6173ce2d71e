"""Tests of what the tests stand on. None of them runs the program."""
import concurrent.futures
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import cachecheck
import filesystems
import mounts
import rezlike
import support
import trees

HANDLES = [  # as rez printed them
    (support.make_handle('/svr/packages', 'foo', '1.0.0', None), 'foo/1.0.0/dd0c'),
    (support.make_handle('/svr/packages', 'foo', '1.0.0', 0), 'foo/1.0.0/6357'),
]
TOUCH = """
import mmap, sys
with open(sys.argv[1], 'rb') as file:
    view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
view.madvise(mmap.MADV_RANDOM)
view[0]
"""


class Trees(support.ProgramTest):
    """Random trees, and their comparison."""

    def make_tree(self, name='source', files=300):
        """A random tree."""
        trees.make_random_tree(self.path(name), files)
        return self.path(name)

    def test_a_seed_makes_one_tree(self):
        """Twice from one seed: equal."""
        for name in ('a/tree', 'b/tree'):
            os.mkdir(os.path.dirname(self.path(name)))
            trees.make_random_tree(self.path(name), 200, seed=1)
        subprocess.run(['chmod', '-R', 'u-s,g-s', self.path('b/tree')], check=True)
        self.assert_same_tree(self.path('a/tree'), self.path('b/tree'), hard_links=True)

    def test_a_copy_by_cp_is_equal(self):
        """But for links into the tree, whose targets name the source."""
        source = self.make_tree()
        subprocess.run(['cp', '-a', source, self.path('copy')], check=True)
        subprocess.run(['chmod', '-R', 'u-s,g-s', self.path('copy')], check=True)
        how = {'links': 'preserve', 'hard_links': True, 'holes': True}
        self.assert_same_tree(source, self.path('copy'), **how)

    def test_differences_are_seen(self):
        """One of each kind."""
        def write(path):
            before = os.stat(path).st_mtime_ns
            with open(path, 'r+b') as file:
                file.write(b'X')
            trees.set_time(path, before)
        changes = {
            'other contents': lambda copy: write(copy + '/file'),
            'bytes, not': lambda copy: os.truncate(copy + '/file', 1),
            'mode': lambda copy: os.chmod(copy + '/file', 0o600),
            'mtime': lambda copy: trees.set_time(copy + '/directory', 12345),
            'is missing': lambda copy: os.unlink(copy + '/link'),
            'is not at the source': lambda copy: os.mkdir(copy + '/more'),
            'has type': lambda copy: (os.rmdir(copy + '/empty'), os.mkfifo(copy + '/empty')),
            'reaches': lambda copy: (os.unlink(copy + '/link'), os.symlink('empty', copy + '/link')),
        }
        contents = {'file': b'content', 'directory/file': b'', 'empty': None, 'link': 'file'}
        trees.make_plain_tree(self.path('source'), contents)
        for number, (expected, change) in enumerate(changes.items()):
            copy = self.path(f'copy{number}')
            subprocess.run(['cp', '-a', self.path('source'), copy], check=True)
            self.assertEqual(trees.compare_trees(self.path('source'), copy), [])
            change(copy)
            self.assertIn(expected, '\n'.join(trees.compare_trees(self.path('source'), copy)))

    def test_links_are_judged_by_what_they_reach(self):
        """A link into the tree must reach into the copy, any other what it reached."""
        source, copy = self.path('source'), self.path('copy')
        trees.make_plain_tree(source, {'file': b'', 'in': self.path('source/file'), 'out': '/usr',
                                       'dangling': 'nothing'})
        trees.make_plain_tree(copy, {'file': b'', 'in': 'file', 'out': '/usr',
                                     'dangling': 'nothing'})
        differences = [d for d in trees.compare_trees(source, copy) if 'mtime' not in d]
        self.assertEqual(differences, [])
        os.unlink(copy + '/in')
        os.symlink(source + '/file', copy + '/in')
        differences = [d for d in trees.compare_trees(source, copy) if 'mtime' not in d]
        self.assertEqual(len(differences), 1, differences)


class RezLike(support.ProgramTest):
    """The stand-in for rez."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        rezlike.open_cache(self.cache)

    def test_hash_directories(self):
        """Those of rez."""
        for handle, expected in HANDLES:
            self.assertEqual(rezlike.hash_directory('', handle), expected)

    def test_increment_names(self):
        """Those of rez, with the repetition that max() of text leads to."""
        for previous, expected in ((None, 'a'), ('a', 'b'), ('z', 'aa'), ('az', 'ba'), ('zz', 'aaa')):
            self.assertEqual(rezlike.next_base26(previous), expected)

    def test_add_get_remove_clean(self):
        """A life of a variant, and of the cache around it."""
        variant = self.make_variant()
        self.assertEqual(rezlike.add(self.cache, *variant)[0], 'CREATED')
        self.assertEqual(rezlike.add(self.cache, *variant)[0], 'FOUND')
        self.assert_sound([variant], cleaned=True)
        self.assert_same_tree(variant.root, rezlike.get(self.cache, variant.handle))
        self.assertEqual(rezlike.remove(self.cache, variant.handle), 'REMOVED')
        self.assertIsNone(rezlike.get(self.cache, variant.handle))
        self.assertNotEqual(cachecheck.check_cache(self.cache, [], cleaned=True), [])
        rezlike.clean(self.cache)
        self.assert_sound([], cleaned=True)

    def test_a_broken_cache_is_seen(self):
        """A payload that lacks a file, one without a sidecar, a lock that is held."""
        variant = self.make_variant()
        _, root = rezlike.add(self.cache, *variant)
        shutil.rmtree(root + '/0')
        os.mkdir(os.path.join(os.path.dirname(root), 'q'))
        lock = rezlike.LinkLock(self.cache)
        lock.acquire()
        problems = '\n'.join(cachecheck.check_cache(self.cache, [variant]))
        for expected in ('is missing', 'belongs to no sidecar', 'is held', 'was left by a lock'):
            self.assertIn(expected, problems)

    def test_stops_and_goes_on(self):
        """Stopped in the midst of a copy it is stalled after 5 s; woken, it completes."""
        variant = self.make_variant()
        process = self.start_rez('--stop-at', 'copied:3', 'add', self.cache, variant.argument,
                                 variant.root)
        support.wait_stopped(process)
        self.assertEqual(rezlike.look(self.cache, variant.handle)[0], 'COPYING')
        copying = rezlike.hash_directory(self.cache, variant.handle) + '/.copying-a'
        os.utime(copying, (time.time() - 6, time.time() - 6))
        self.assertEqual(rezlike.look(self.cache, variant.handle)[0], 'COPY_STALLED')
        process.send_signal(signal.SIGCONT)
        self.assertEqual(support.finish(process).code, 0)
        self.assert_sound([variant])

    def test_a_held_lock_fails_add(self):
        """After ten seconds of waiting, as rez's user sees it."""
        holder = self.start_rez('hold', self.cache)
        self.assertIn(b'unique', holder.stdout.readline())
        lock = rezlike.LinkLock(self.cache)
        with self.assertRaises(rezlike.NotMyLock):
            lock.acquire(timeout=0.5)


class Mounts(support.ProgramTest):
    """File systems for tests."""

    def test_each_kind(self):
        """Is there, has about the size, and is gone afterwards."""
        for kind in ('tmpfs', 'ext4', 'xfs', 'btrfs'):
            with self.subTest(kind):
                try:
                    with mounts.mounted(kind, 16 << 20) as point:
                        with open(point + '/file', 'wb') as file:
                            file.write(b'content')
                except unittest.SkipTest as reason:
                    print(f'{kind}: {reason}')
                    continue
                self.assertFalse(os.path.exists(point))

    def test_a_slow_tree_is_its_source(self):
        """And reads are counted."""
        trees.make_random_tree(self.path('source'), 100)
        with mounts.slow_mount(self.path('source'), '--delay-ms', '1') as slow:
            differences = trees.compare_trees(self.path('source'), slow.path, links='preserve')
            self.assertEqual([d for d in differences if 'mode' not in d], [])
            slow.close()
            self.assertTrue(any(reads for _, reads in slow.counts().values()))
        self.assertFalse(os.path.exists(slow.path))

    def test_answers_are_late_but_any_number_at_once(self):
        """Many together take little more than one, unless told otherwise."""
        trees.make_plain_tree(self.path('source'), {'file': b'content'})
        def open_many(count, *options):
            with mounts.slow_mount(self.path('source'), '--delay-ms', '500', *options) as slow, \
                    concurrent.futures.ThreadPoolExecutor(count) as pool:
                since = time.monotonic()
                list(pool.map(lambda _: os.close(os.open(slow.path + '/file', os.O_RDONLY)),
                              range(count)))
                return time.monotonic() - since
        seconds = open_many(60)
        self.assertGreaterEqual(seconds, 0.5)
        self.assertLess(seconds, 60 * 0.5)
        self.assertGreaterEqual(open_many(3, '--at-once', '1'), 3 * 0.5)

    def test_readers_share_the_bandwidth(self):
        """Two files of 1,000 bytes take a second at 2,000 bytes a second."""
        trees.make_plain_tree(self.path('source'), {'a': b'a' * 1000, 'b': b'b' * 1000})
        with mounts.slow_mount(self.path('source'), '--bandwidth', '2000') as slow:
            since = time.monotonic()
            subprocess.run(['cmp', slow.path + '/a', slow.path + '/b'], check=False,
                           capture_output=True)
            self.assertGreaterEqual(time.monotonic() - since, 1)

    def test_a_slow_tree_cannot_be_written(self):
        """It says so; what is there stays."""
        trees.make_plain_tree(self.path('source'), {'file': b'content'})
        with mounts.slow_mount(self.path('source')) as slow:
            with self.assertRaises(OSError) as raised:
                os.open(slow.path + '/file', os.O_WRONLY | os.O_TRUNC)
            self.assertEqual(raised.exception.errno, errno.EROFS)
        self.assertEqual(os.path.getsize(self.path('source/file')), len(b'content'))

    def test_a_hanging_read_can_be_killed_and_unmounted(self):
        """Neither the reader nor the mount outlives its test. What `cat` waits for is read ahead by
        the kernel; a page that is touched at random is asked for by who touches it, and the server
        has to fail that."""
        names = ('file', 'hang', 'directory/hang')
        trees.make_plain_tree(self.path('source'), {name: b'content' for name in names})
        with mounts.slow_mount(self.path('source'), '--hang-file', '/hang') as slow:
            with open(slow.path + '/file', 'rb') as file:
                self.assertEqual(file.read(), b'content')
            self.kill_reader(['cat', slow.path + '/hang'])
            self.kill_reader([sys.executable, '-c', TOUCH, slow.path + '/directory/hang'])
            self.enter_reader(slow)

    def kill_reader(self, command):
        """Starts a reader that hangs, and kills it."""
        reader = support.spawn(command, stdout=subprocess.PIPE)
        self.addCleanup(support.kill_process, reader)
        with self.assertRaises(subprocess.TimeoutExpired):
            reader.wait(0.3)
        reader.kill()
        self.assertEqual(reader.wait(support.PATIENCE_S), -signal.SIGKILL)

    def enter_reader(self, slow):
        """Leaves a reader behind that hangs while the file system goes."""
        reader = support.spawn(['cat', slow.path + '/hang'], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        self.addCleanup(support.kill_process, reader)


class FileSystems(unittest.TestCase):
    """The table of real ones, whose own suite is not part of all tests."""

    def test_is_the_one_of_the_document(self):
        """Row by row."""
        path = os.path.join(support.TOP, 'docs', 'filesystems.md')
        with open(path, encoding='utf-8') as document:
            table = [line.rstrip('\n') for line in document if line.startswith('|')]
        self.assertEqual(table[2:], [kind.row() for kind in filesystems.KINDS])


class Cleanup(support.ProgramTest):
    """What takes away what tests left (tests/cleanup)."""

    def clean_up(self, *arguments):
        """Runs it where this test may leave things; returns what it printed, a list of lines."""
        command = [os.path.join(support.TOP, 'tests', 'cleanup'), *arguments]
        return subprocess.run(command, env={**os.environ, 'TMPDIR': self.directory}, check=True,
                              capture_output=True, text=True).stdout.splitlines()

    def dead_process(self):
        """The number of a process that is no more."""
        process = subprocess.Popen(['true'])
        process.wait()
        return str(process.pid)

    def test_what_a_run_left(self):
        """Is named, and goes; what others have stays."""
        run = self.dead_process()
        for name in (f'pkgcache-test-{run}-a/b', f'pkgcache-test-{os.getpid()}-a', 'other'):
            os.makedirs(self.path(name))
        os.symlink('nothing', self.path(f'pkgcache-test-{run}-link'))
        left = [self.path(f'pkgcache-test-{run}-{name}') for name in ('a', 'link')]
        self.assertEqual(self.clean_up('--list', run), left)
        self.assertEqual(self.clean_up(run), [])
        self.assertEqual(self.clean_up('--list', run), [])
        self.assertEqual(sorted(os.listdir(self.directory)),
                         ['other', f'pkgcache-test-{os.getpid()}-a'])

    def test_what_is_mounted(self):
        """Is named, and goes."""
        run = self.dead_process()
        point = self.path(f'pkgcache-test-{run}-mount')
        os.mkdir(point)
        mounts.run_or_skip(['mount', '-t', 'tmpfs', 'none', point])
        self.assertEqual(self.clean_up('--list', run), [f'mounted: {point}', point])
        self.clean_up(run)
        self.assertFalse(mounts.is_mounted(point) or os.path.exists(point))


class Runner(support.ProgramTest):
    """What run.py makes of a file."""

    def run_file(self, body, **environment):
        """Runs a test file of one class with this body."""
        path = self.path('test_body.py')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'import unittest\nclass Case(unittest.TestCase):\n{body}\n')
        runner = os.path.join(support.HERE, 'run.py')
        return subprocess.run([sys.executable, runner, path], capture_output=True, text=True,
                              check=False, env={**os.environ, **environment})

    def test_once(self):
        """What is marked is left out when the file runs again with another backend."""
        body = ' def test_a(self): pass\n def test_b(self): pass\n test_b.once = True\n'
        for again, line in (('', '2 passed, 0 failed, 0 skipped'),
                            ('yes', '1 passed, 0 failed, 0 skipped')):
            result = self.run_file(body, PKGCACHE_TEST_AGAIN=again)
            self.assertTrue(result.stdout.endswith(line + '\n'), result.stdout)

    def test_parts(self):
        """Each case runs in one of the parts; cases that are left out make no part shorter."""
        body = ''.join(f' def test_{letter}(self): print("ran {letter}")\n' for letter in 'abcdefg')
        body += ' test_b.once = True\n'
        for again, everything in (('', 'abcdefg'), ('yes', 'acdefg')):
            ran = []
            for part in ('1/3', '2/3', '3/3'):
                result = self.run_file(body, PKGCACHE_TEST_AGAIN=again, PKGCACHE_TEST_PART=part)
                ran.append(re.findall('^.*ran ([a-z])$', result.stdout, re.MULTILINE))
                self.assertIn(len(ran[-1]), (2, 3), result.stdout)
            self.assertEqual(''.join(sorted(sum(ran, []))), everything)

    def test_exit_status(self):
        """0, 1 and 77, with a line that counts."""
        passing = ' def test_a(self): pass\n'
        failing = ' def test_b(self): self.fail()\n'
        skipped = ' def test_c(self): self.skipTest("no loop devices")\n'
        for body, status, line in ((passing, 0, '1 passed, 0 failed, 0 skipped'),
                                   (passing + failing, 1, '1 passed, 1 failed, 0 skipped'),
                                   (passing + skipped, 0, '1 passed, 0 failed, 1 skipped'),
                                   (skipped, 77, '0 passed, 0 failed, 1 skipped')):
            result = self.run_file(body)
            self.assertEqual(result.returncode, status, result.stdout)
            self.assertTrue(result.stdout.endswith(line + '\n'), result.stdout)
            self.assertEqual('no loop devices' in result.stdout, skipped in body)


if __name__ == '__main__':
    unittest.main()
