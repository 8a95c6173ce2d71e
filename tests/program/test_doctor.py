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
        result = self.run_program('--cache', os.path.relpath(self.path('none')), 'doctor')
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

    def test_too_little_room(self):
        """By the rule that warm goes by."""
        line = ['--cache', self.place().cache, 'doctor', '-q']
        result = self.run_program(*line, PKGCACHE_SPACE_BUFFER='8000T')
        self.assert_code(result, FINDINGS)
        self.assertIn('has too little room for anything to be cached', result.out)
        self.assertNotIn('too little room', self.run_program(*line).out)

    @support.once
    def test_nothing_is_cachable(self):
        """Which setting forbids it, and what to do; of the sources, else of rez's packages_path."""
        repository = self.path('svr')
        for name in ('foo', 'bar'):
            os.makedirs(os.path.join(repository, name, '1.0'))
            with open(os.path.join(repository, name, '1.0', 'package.py'), 'w', encoding='utf-8') as file:
                file.write(f'name = "{name}"\nversion = "1.0"\n')
        line = ['--cache', self.path('none'), 'doctor']
        found = {'REZ_PACKAGES_PATH': repository}
        for arguments, settings, code, said in (
                ([repository], {}, FINDINGS, "rez's default_cachable (2 variants) forbids it. Set default_cachable"),
                ([os.path.join(repository, 'foo')], {}, FINDINGS, '(1 variant) forbids it'),
                ([], found, FINDINGS, '(2 variants) forbids it'),
                ([], {**found, 'REZ_DEFAULT_CACHABLE_PER_PACKAGE_JSON': '{"foo": false}'}, FINDINGS,
                 "rez's default_cachable (1 variant), rez's default_cachable_per_package (1 variant) forbid it"),
                ([], {**found, 'REZ_DEFAULT_CACHABLE_JSON': 'null', 'REZ_DEFAULT_RELOCATABLE': '0'}, FINDINGS,
                 "rez's default_relocatable (2 variants) forbids it. Set default_cachable"),
                ([], {**found, 'REZ_DEFAULT_CACHABLE_PER_PACKAGE_JSON': '{"foo": true}'}, DONE,
                 "foo/1.0/package.py[] may be cached: rez's default_cachable_per_package says so"),
                (['--local=no'], {**found, 'REZ_DEFAULT_CACHABLE': '1', 'REZ_LOCAL_PACKAGES_PATH': repository},
                 FINDINGS, '--local=no (2 variants) forbids it'),
                ([], {**found, 'REZ_DEFAULT_CACHABLE': 'perhaps'}, FINDINGS, 'REZ_DEFAULT_CACHABLE'),
                ([], {}, DONE, '')):
            with self.subTest(arguments=arguments, settings=settings):
                result = self.run_program(*line, *arguments, **settings)
                self.assert_code(result, code)
                self.assertIn(said, result.out)
        self.assertNotIn('may be cached', result.out)
        findings = self.run_program('--json', *line, **found).json()['findings']
        self.assertEqual([finding['severity'] for finding in findings if finding['subject'] == 'rez'], ['warning'])
        self.assertIn('default_cachable', self.run_program('--cache', self.path('none'), 'warm', '-n', '--all',
                                                           repository).out)

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
