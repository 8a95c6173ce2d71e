"""`clean` and `remove`: what they take away, and what they leave alone."""
import collections
import contextlib
import ctypes
import os
import shutil
import signal
import struct
import time
import unittest
import uuid

import cachecheck
import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, INTERRUPTED, MISSING

NOT_ROOT = 'becoming another user needs root'


class CleanTest(support.ProgramTest):
    """Has a cache with one variant in it."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        self.variant = self.make_variant()
        self.assert_code(self.warm([self.variant]), DONE)
        self.hash_directory = rezlike.hash_directory(self.cache, self.variant.handle)

    def clean(self, *options, **how):
        """Runs `clean`."""
        return self.run_program('--cache', self.cache, 'clean', *options, **how)

    def remove(self, **how):
        """Runs `remove` on the variant."""
        return self.run_program('--cache', self.cache, 'remove', self.variant.argument, **how)

    def slot(self):
        """The path of the variant's payload."""
        (name,) = cachecheck.slots_of(self.cache, self.variant.handle)
        return os.path.join(self.hash_directory, name)


class WhatIsNoCache(CleanTest):
    """A wrong --cache must not cost anybody a file."""

    def test_a_package_repository(self):
        """It has the same shape as a cache, but no .sys: nothing is touched."""
        repository = self.path('repository-of-packages')
        trees.make_plain_tree(repository, {'foo/1.0/python/lib/a.py': b'1', 'foo/1.0/abcd/x/y': b'2',
                                           'user/src/project/package.json': b'{"name": "npm"}'})
        for options in ([], ['--dry-run']):
            with self.untouched(repository):
                result = self.run_program('--cache', repository, 'clean', *options)
            self.assert_refused(result, FAILED, about=[repository, '.sys'])

    def test_foreign_files_in_a_cache(self):
        """What neither rez nor we can have made is nobody's to delete."""
        trees.make_plain_tree(self.cache, {
            'foo/1.0/python/lib/a.py': b'1', 'foo/1.0/python/project.json': b'{"name": "npm"}',
            'foo/1.0/notes/x.json': b'', 'README/a/b/c': b'text', 'foo/1.0/12345/a/f': b''})
        trees.make_plain_tree(self.hash_directory, {'Notes/file': b'', 'notes.txt': b'', '2/f': b'',
                                                    'a-b.json': b'{'})
        packages = [entry.path for entry in os.scandir(self.cache) if entry.name != '.sys']
        with self.untouched(*packages):
            self.assert_code(self.clean(), DONE)

    def test_a_sidecar_of_another_hash(self):
        """What counts as printable differs between Pythons, and so may the hash: it may be found."""
        elsewhere = os.path.join(os.path.dirname(self.hash_directory), '0123')
        os.rename(self.hash_directory, elsewhere)
        with self.untouched(elsewhere):
            self.assert_code(self.clean(), DONE)


class WhatIsDamaged(CleanTest):
    """Slots that are no use to anybody go."""

    def test_payloads_without_sidecars_and_the_other_way_round(self):
        """And sidecars that cannot be read; what is whole stays."""
        trees.make_plain_tree(self.hash_directory, {'b/file': b'', 'c.json': b'', 'd.json': b'{"hand',
                                                    'e/file': b'', 'e.json': b'no'})
        result = self.clean()
        self.assert_code(result, DONE)
        self.assert_sound([self.variant], cleaned=True)
        self.assertEqual(len(result.out.splitlines()), 7, result.out)  # and two payloads, for good; the sum

    def test_staging_without_an_owner(self):
        """A directory is nobody's, also when a clean that was killed has just deleted from it."""
        staging = os.path.join(self.cache, '.sys', 'staging')
        trees.make_plain_tree(staging, {'nobody/file': b'', 'on-its-way': b''})
        self.assert_code(self.clean(), DONE)
        self.assertEqual(os.listdir(staging), ['on-its-way'])

    def test_empty_directories_after_a_minute(self):
        """Not before: a rez may be about to use one. What could not be removed is not reported."""
        for name, age in (('old/1.0/abcd', 100), ('new/1.0/abcd', 0), ('old/2.0/not-a-hash', 100)):
            path = os.path.join(self.cache, name)
            os.makedirs(path)
            os.utime(path, (time.time() - age, time.time() - age))
        result = self.clean()
        self.assert_code(result, DONE)
        self.assertIn('old/1.0/abcd', result.out)
        self.assertFalse(os.path.exists(os.path.join(self.cache, 'old/1.0')))
        self.assertTrue(os.path.exists(os.path.join(self.cache, 'new/1.0/abcd')))
        self.assertTrue(os.path.exists(os.path.join(self.cache, 'old/2.0/not-a-hash')))


class Crowded(CleanTest):
    """Many slots in one hash directory."""

    SLOTS = 16

    def setUp(self):
        super().setUp()
        self.variants = self.same_hash_variants(self.SLOTS)
        self.assert_code(self.warm(self.variants), DONE)
        self.hash_directory = rezlike.hash_directory(self.cache, self.variants[0].handle)

    @contextlib.contextmanager
    def counting_opens(self):
        """Yields a counter of how often each file in the hash directory is opened meanwhile."""
        libc = ctypes.CDLL(None, use_errno=True)
        opens = collections.Counter()
        with open(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), 'rb', buffering=0) as events:
            in_open = 0x20
            if libc.inotify_add_watch(events.fileno(), self.hash_directory.encode(), in_open) < 0:
                self.skipTest(f'inotify: {os.strerror(ctypes.get_errno())}')
            yield opens
            while data := events.read(1 << 16):
                while data:
                    _, _, _, length = struct.unpack('iIII', data[:16])
                    opens[os.fsdecode(data[16:16 + length].rstrip(b'\0'))] += 1
                    data = data[16 + length:]

    def test_each_is_looked_at_a_few_times(self):
        """However many there are beside it."""
        for command, most in (['clean', 4], ['doctor', 4]):
            with self.subTest(command), self.counting_opens() as opens:
                self.assert_code(self.run_program('--cache', self.cache, command), DONE)
            sidecars = [count for name, count in opens.items() if name.endswith('.json')]
            self.assertEqual(len(sidecars), self.SLOTS)
            self.assertLessEqual(max(sidecars), most, opens)

    def test_duplicates_go(self):
        """All but the one that look-ups find."""
        found = self.get(*self.variants)
        for number, payload in enumerate(found):
            for copy in ('zz', 'zy'):
                name = os.path.join(self.hash_directory, f'{copy}{"abcdefghijklmnop"[number]}')
                shutil.copytree(payload, name)
                shutil.copy(payload + '.json', name + '.json')
        self.assert_code(self.clean(), DONE)
        self.assert_cached(*self.variants)
        self.assertEqual(len(cachecheck.slots_of(self.cache, self.variants[0].handle)), self.SLOTS)


class TheLock(CleanTest):
    """One that a process of ours had when it was killed keeps rez out, not us."""

    def test_is_freed(self):
        """Also when there is nothing to clean; a dry run changes nothing."""
        private = os.path.join(self.cache, '.sys')
        lock = os.path.join(private, '.lock.lock')
        os.link(os.path.join(private, 'pkgcache.lock'), lock)
        self.assert_code(self.clean('--dry-run'), DONE)
        self.assertTrue(os.path.exists(lock))
        self.assert_code(self.clean(), DONE)
        self.assertFalse(os.path.exists(lock))

    def test_of_the_living_is_left(self):
        """And not waited for, when nothing else needs it."""
        holder = self.start_rez('hold', self.cache)
        lock = os.path.join(self.cache, '.sys', '.lock.lock')
        support.wait_until(lambda: os.path.exists(lock), 'rez to have the lock')
        result = self.clean()
        self.assert_code(result, DONE)
        self.assertTrue(os.path.exists(lock))
        support.kill_process(holder)


class Interrupted(CleanTest):
    """What clean was about to do, it does the next time."""

    def test_by_a_reader_that_goes_away(self):
        """`clean | head -1` still cleans."""
        trash = os.path.join(self.cache, '.sys', 'to_delete')
        for _ in range(300):
            trees.make_plain_tree(os.path.join(trash, f'foo-{uuid.uuid4().hex}'), {'file': b''})
        process = self.start('--cache', self.cache, 'clean')
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        process.wait(timeout=support.PATIENCE_S)
        self.assertEqual(os.listdir(trash), [])

    def test_by_ctrl_c(self):
        """It ends soon; what is left can be cleaned later."""
        self.assert_code(self.remove(), DONE)
        trash = os.path.join(self.cache, '.sys', 'to_delete')
        for _ in range(support.scaled(3000)):
            trees.make_plain_tree(os.path.join(trash, f'foo-{uuid.uuid4().hex}'), {'file': b''})
        process = self.start('--cache', self.cache, 'clean')
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assert_code(support.finish(process), INTERRUPTED, DONE)
        self.assert_code(self.clean(), DONE)
        self.assert_sound([], cleaned=True)

    def test_not_when_signals_are_ignored(self):
        """As with nohup, or a shell's &: the program inherits that, and goes on."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with mounts.slow_mount(self.variant.root, '--delay-ms', '50') as slow:
                process = self.start('copy', slow.path, self.path('copy'))
                support.wait_until(lambda: os.path.isdir(self.path('copy')), 'the copy to begin')
                process.send_signal(signal.SIGINT)
                self.assert_code(support.finish(process), DONE)
        finally:
            signal.signal(signal.SIGINT, before)


@unittest.skipIf(os.geteuid(), NOT_ROOT)
class OtherUsers(CleanTest):
    """Caches that several users share."""

    def setUp(self):
        super().setUp()
        self.as_nobody = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        for directory in (self.cache, *(os.path.join(self.cache, '.sys', name)
                                        for name in ('', 'staging', 'to_delete'))):
            os.chmod(directory, 0o777)
        os.chmod(os.path.join(self.cache, '.sys', 'pkgcache.lock'), 0o666)

    def test_a_removal_that_is_refused_changes_nothing(self):
        """The variant is found as before, by everybody."""
        for path in (self.hash_directory, self.slot()):
            os.chmod(path, 0o755)
        for _ in range(2):
            result = self.remove(**self.as_nobody)
            self.assert_refused(result, FAILED)
            self.assert_sound([self.variant])
        os.chmod(self.hash_directory, 0o777)  # a payload that is not his, in a directory that is
        result = self.remove(**self.as_nobody)
        self.assert_code(result, DONE)
        self.assertEqual(self.get(self.variant), [None])
        self.assert_sound([self.variant], partial=True, litter=True)  # until its owner cleans
        self.assert_code(self.clean(), DONE)
        self.assert_sound([self.variant], partial=True, cleaned=True)

    def test_a_stalled_copy_of_another_user(self):
        """Is taken over at the first attempt, even where its payload cannot be moved."""
        copying = os.path.join(self.hash_directory, '.copying-' + os.path.basename(self.slot()))
        with open(copying, 'wb'):
            pass
        os.utime(copying, (time.time() - 1000, time.time() - 1000))
        for directory in (self.hash_directory, os.path.dirname(self.hash_directory)):
            os.chmod(directory, 0o777)
        os.chmod(os.path.dirname(self.variant.root), 0o755)
        self.assert_code(self.warm([self.variant], **self.as_nobody), DONE)
        self.assert_sound([self.variant], litter=True)

    def test_a_lock_that_is_not_for_everybody(self):
        """The message says which modes a group's cache needs."""
        os.chmod(os.path.join(self.cache, '.sys', 'pkgcache.lock'), 0o600)
        empty = os.path.join(self.cache, 'old/1.0/abcd')
        os.makedirs(empty)
        os.utime(empty, (0, 0))
        self.assert_refused(self.clean(**self.as_nobody), FAILED, about=['0660'])

    def test_a_cache_that_cannot_be_written(self):
        """Each variant is refused with the same true reason."""
        variants = [self.make_variant(f'v{number}') for number in range(3)]
        os.chmod(os.path.join(self.cache, '.sys', 'staging'), 0o755)
        result = self.warm(variants, **self.as_nobody)
        self.assert_refused(result, FAILED, about=['v0', 'v1', 'v2', 'Permission denied'])
        self.assertNotIn('Bad file descriptor', result.err)


class InALowerLayer(CleanTest):
    """A cache that came with a container's image: what lies there cannot be moved (overlayfs)."""

    def setUp(self):
        super().setUp()
        layers = [f'{name}={self.path(name)}' for name in ('upperdir', 'workdir')]
        os.mkdir(self.path('upperdir'))
        os.mkdir(self.path('workdir'))
        self.cache = self.enter(mounts.mounted_image(
            'overlay', 'overlay', [f'lowerdir={self.cache}', *layers]))
        self.hash_directory = rezlike.hash_directory(self.cache, self.variant.handle)

    def test_all_of_it_works(self):
        """What was there and what is new is found, removed, cleaned and cached again."""
        new = self.make_variant('new')
        self.assert_cached(self.variant)
        self.assert_code(self.warm([self.variant, new]), DONE)
        self.assert_cached(self.variant, new)
        result = self.run_program('--cache', self.cache, 'remove', self.variant.argument, new.argument)
        self.assert_code(result, DONE)
        self.assertEqual(self.get(self.variant, new), [None, None])
        self.assert_code(self.clean(), DONE)
        self.assertEqual(os.listdir(self.hash_directory), [])
        self.assert_code(self.warm([self.variant]), DONE)
        self.assert_cached(self.variant)
        self.assert_sound([self.variant, new], partial=True, cleaned=True)

    def test_what_is_in_use_stays(self):
        """Until its process ends."""
        payload = self.slot()
        process = support.spawn(['sleep', '1000'], cwd=payload)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        self.assert_code(self.remove(), DONE)
        self.assertIn('in use', self.clean().out)
        self.assertTrue(os.path.isdir(payload))
        support.kill_process(process)
        self.assert_code(self.clean(), DONE)
        self.assertFalse(os.path.lexists(payload))


class Removing(CleanTest):
    """Basics."""

    def test_twice(self):
        """The second time there is nothing."""
        self.assert_code(self.remove(), DONE)
        self.assert_code(self.remove(), MISSING)
        self.assert_sound([])

    def test_in_an_empty_directory(self):
        """That is no cache yet: nothing is there, and nothing is made."""
        os.mkdir(self.path('empty'))
        result = self.run_program('--cache', self.path('empty'), 'remove', self.variant.argument)
        self.assert_code(result, MISSING)
        self.assertEqual(os.listdir(self.path('empty')), [])


if __name__ == '__main__':
    unittest.main()
