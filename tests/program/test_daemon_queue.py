"""The daemon serves rez's queue."""
import fcntl
import os
import time
import unittest

import daemons
import mounts
import rezprogram
import support
import trees
from daemons import entry
from support import DONE, wait_until


class Queue(rezprogram.RezProgramTest, daemons.DaemonTest):
    """What resolves leave behind, and what becomes of it."""

    def test_what_appears(self):
        first, second = self.make_package(variants=[['a'], ['b']])
        self.start_daemon()
        self.queue(first)
        self.wait_served()
        self.assert_cached(first)
        self.queue(second, first)
        self.wait_served()
        self.assert_cached(first, second)
        self.assert_sound([first, second])

    def test_what_was_there(self):
        variants = self.make_package(variants=[['a'], ['b'], ['c']])
        self.queue(*variants, variants[0])
        self.start_daemon()
        self.wait_served()
        self.assert_cached(*variants)

    def test_directory_made_anew(self):
        variant, = self.make_package()
        self.start_daemon()
        os.rmdir(self.pending)
        os.mkdir(self.pending)
        self.queue(variant)
        self.wait_served()
        self.assert_cached(variant)

    def test_others_leave_at_once(self):
        """Whoever rez starts meanwhile sees that the queue is served."""
        variant, = self.make_package(files=20)
        self.queue(variant)
        self.start_daemon('--bwlimit=1K')
        self.wait_begun()
        with open(os.path.join(self.cache, '.sys', 'serving'), 'rb') as file:
            with self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.daemon()
        self.assertEqual(len(self.queued()), 1)
        self.stop(self.process)  # and what was not done stays
        self.assertEqual(len(self.queued()), 1)

    def test_nothing_waits_for_it(self):
        slow, = self.make_package(files=20)
        fast = self.make_package('bar', variants=[['a'], ['b']])
        names = self.queue(slow)
        self.start_daemon('--bwlimit=1K')
        self.wait_begun()
        daemon = self.connect()
        self.assertIsNone(daemon.get(fast[0].handle))
        self.assertEqual(daemon.call('stats')['cache']['variants'], 0)
        self.assertEqual(daemon.call('clean')['failed'], 0)
        self.assertEqual(self.queued(), names)

    def test_wanted_by_a_client_as_well(self):
        """Whoever is first copies, and the other one finds it."""
        variants = self.make_package(variants=[[letter] for letter in 'abcdefgh'])
        self.start_daemon()
        self.queue(*variants)
        answer = self.connect().warm(map(entry, variants))
        self.assertEqual(answer['created'] + answer['found'], len(variants), answer)
        self.assert_cached(*variants)

    def wait_begun(self):
        """Returns when a copy has begun."""
        wait_until(lambda: any(text.startswith('Started caching') for _, text in self.log()),
                   'a copy to begin')

    def test_killed(self):
        """Nothing is lost with it."""
        variants = self.make_package(variants=[['a'], ['b'], ['c']], files=10)
        names = self.queue(*variants)
        self.start_daemon('--bwlimit=1K')
        self.wait_begun()
        self.process.kill()
        self.process.wait()
        self.assertEqual(self.queued(), sorted(names))
        self.start_daemon()
        self.wait_served()
        self.assert_cached(*variants)
        self.assert_sound(variants, litter=True)

    def test_a_source_that_hangs(self):
        """Clients are served, and the daemon ends in time; the file stays."""
        hanging, = self.make_package('hanging')
        other, = self.make_package('other')
        trees.make_plain_tree(os.path.join(hanging.root, 'more'), {'hangs': b'x' * 100})
        with mounts.slow_mount(self.repository, '--hang-file', '/hangs') as slow:
            hanging.handle['variables']['location'] = os.path.realpath(slow.path)
            self.queue(hanging)
            process = self.start_daemon(**daemons.HANGS)
            self.wait_begun()
            self.assertEqual(self.connect().warm([entry(other)])['created'], 1)
            since = time.monotonic()
            self.stop(process)
            self.assertLess(time.monotonic() - since, 5 / min(1, support.SCALE))
        self.assertEqual(len(self.queued()), 1)
        self.assert_sound([other, hanging], partial=True)

    def test_poison(self):
        """It is set aside, with the reason, and the daemon lives."""
        good, = self.make_package()
        self.start_daemon()
        for name, text in (('cut.json', '{"key": '), ('list.json', '[]')):
            aside = self.path(name)
            with open(aside, 'w', encoding='utf-8') as file:
                file.write(text)
            os.utime(aside, (0, 0))
            os.rename(aside, os.path.join(self.pending, name))
        self.queue(good)
        self.wait_served()
        self.assert_cached(good)
        names = os.listdir(os.path.join(self.cache, '.sys', 'poison'))
        self.assertEqual(len([name for name in names if name.endswith('.reason')]), 2, names)
        self.connect().call('ping')

    def test_as_rez_would(self):
        """What rez's settings keep out of the cache is kept out, and leaves the queue."""
        variant, = self.make_package()
        self.queue(variant)
        self.start_daemon(REZ_PACKAGE_CACHE_SAME_DEVICE='0')
        self.wait_served()
        self.assertEqual(self.get(variant), [None])

    def test_wrong_settings(self):
        """With them the queue stays as it is."""
        variant, = self.make_package()
        self.queue(variant)
        self.start_daemon(REZ_DEFAULT_CACHABLE='perhaps')
        wait_until(lambda: any('is left unchanged' in text for _, text in self.log()), 'the log')
        self.assertEqual(len(self.queued()), 1)

    @unittest.skipIf(os.geteuid() != 0, 'needs root')
    def test_root_serves_roots_only(self):
        """What others can queue is not read with root's rights."""
        variant, = self.make_package()
        os.chmod(self.cache, 0o1777)
        self.start_daemon()
        self.queue(variant)
        time.sleep(1)
        self.assertEqual(len(self.queued()), 1)
        self.assertTrue(any('is not served' in text for _, text in self.log()))
        self.daemon()  # rez's own still serves it
        self.wait_served()
        self.assert_code(self.run_program('--cache', self.cache, 'get', variant.argument), DONE)


if __name__ == '__main__':
    unittest.main()
