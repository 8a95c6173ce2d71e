"""`pkgcache doctor`: what it says of a cache that is well, of machines, and of the lock."""
import errno
import json
import os
import time
import unittest

import mounts
import rezlike
import support
import test_damage
from support import DONE, FINDINGS


class Doctor(test_damage.DamageTest):
    """What it says where nothing is damaged."""

    def test_all_is_well(self):
        """Exit 0; text and JSON say the same."""
        place = self.place()
        self.doctor(place, place.variant.root, codes=(DONE,))
        result = self.run_program('--cache', place.cache, 'doctor', place.variant.root)
        self.assert_code(result, DONE)
        for word in ('io_uring', 'inotify', 'lock', 'is on', place.variant.root):
            self.assertIn(word, result.out)

    def test_no_cache(self):
        """Is a note; a directory that is none is a problem."""
        result = self.run_program('--cache', self.path('none'), 'doctor')
        self.assert_code(result, DONE)
        os.mkdir(self.path('empty'))
        result = self.run_program('--cache', self.path('empty'), 'doctor')
        self.assert_code(result, FINDINGS)
        self.assertIn('.sys', result.out)
        self.assertEqual(os.listdir(self.path('empty')), [])

    def test_settings_that_are_dangerous(self):
        """Are named."""
        place = self.place()
        result = self.run_program('--cache', place.cache, 'doctor', '--durability=none',
                                  '--stall-grace=5', '--lock-timeout=1', '--stalled=report')
        self.assert_code(result, FINDINGS)
        for word in ('--durability', '--stall-grace', '--lock-timeout', '--stalled'):
            self.assertIn(word, result.out)

    def test_a_source_that_is_none(self):
        """Is a problem."""
        place = self.place()
        result = self.run_program('--cache', place.cache, 'doctor', '/nowhere')
        self.assert_code(result, FINDINGS)
        self.assertIn('/nowhere', result.out)
        result = self.run_program('--cache', place.cache, 'doctor', '/etc/passwd')
        self.assert_code(result, FINDINGS)
        self.assertIn(os.strerror(errno.ENOTDIR), result.out)

    def test_a_source_that_is_waited_for(self):
        """Is said to be."""
        place = self.place()
        with mounts.slow_mount(place.variant.root) as slow:
            result = self.run_program('--cache', place.cache, 'doctor', slow.path, place.variant.root)
        self.assert_code(result, DONE)
        self.assertEqual(result.out.count('(a remote file system)'), 1, result.out)

    def test_a_cache_that_is_waited_for(self):
        """Look-ups wait, which is a warning."""
        place = self.place()
        with mounts.slow_mount(place.cache) as slow:
            result = self.run_program('--cache', slow.path, 'doctor')
        self.assert_code(result, FINDINGS)
        self.assertIn('look-ups have to wait', result.out)

    def test_the_holder_of_the_lock(self):
        """A rez, alive and dead; one of ours that was killed."""
        place = self.place()
        rezlike.open_cache(place.cache)
        holder = self.start_rez('hold', place.cache)
        unique = json.loads(holder.stdout.readline())['unique']
        said = '\n'.join(self.doctor(place, codes=(DONE,)))
        self.assertIn(os.path.basename(unique), said)
        self.assertIn(f'pid {holder.pid}', said)
        support.kill_process(holder)
        time.sleep(2.5)
        self.assertIn('has ended', '\n'.join(self.doctor(place)))
        os.unlink(unique)
        os.unlink(place.private('.lock.lock'))
        os.link(place.private('pkgcache.lock'), place.private('.lock.lock'))
        self.assertIn('was killed', '\n'.join(self.doctor(place)))
        self.clean(place)
        self.assert_healed_by_warm(place)

    def test_a_ring_that_is_forbidden(self):
        """Why, and what to do; a problem only where the ring is demanded."""
        place = self.place()
        for options, codes in (([], (DONE,)), (['--backend=ring'], (DONE, FINDINGS))):
            result = self.run_program('--cache', place.cache, *options, 'doctor',
                                      PKGCACHE_BACKEND='auto')
            self.assert_code(result, *codes)
            self.assertIn('io_uring', result.out)

    def test_how_it_is_mounted(self):
        """Options that hurt a cache are named."""
        with mounts.mounted('tmpfs', mounts.MIB * 16, ['noexec']) as point:
            self.cache = os.path.join(point, 'cache')
            self.assert_code(self.warm([self.make_variant()]), DONE)
            result = self.run_program('--cache', self.cache, 'doctor')
            self.assert_code(result, FINDINGS)
            self.assertIn('noexec', result.out)
            self.assertIn('tmpfs', result.out)


if __name__ == '__main__':
    unittest.main()
