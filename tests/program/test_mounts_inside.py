#!/usr/bin/env python3
"""Another user mounts a file system of their own (FUSE) in a cache that several write to; nobody
answers for it. No command waits for it, wherever it is, and what lies beside it is as before.
"""
import ctypes
import os
import signal
import unittest

import daemons
import mounts
import rezlike
import support
from support import DONE, FAILED, FINDINGS, MISSING, PARTLY

HANGS = ',allow_other'  # who asks waits for an answer; without that, all but its user are refused
NOW_AND_LATER = ('log', 'manifests', 'leases', 'pending', 'poison', 'used')


class MountTest(daemons.DaemonTest):
    """A cache of everybody with a variant."""

    def setUp(self):
        super().setUp()
        mounts.need_root()
        if not os.path.exists('/dev/fuse'):
            self.skipTest('no /dev/fuse')
        os.mkdir(self.cache)
        os.chmod(self.cache, 0o1777)
        self.variant = self.make_variant(files={'below/file': b'1' * 5000, 'other': b'2'})
        self.assert_code(self.warm([self.variant]), DONE)
        self.mounted = {}  # by its place: the descriptor of its server
        self.addCleanup(self.unmount_all)

    def mount(self, *names, options=HANGS):
        """Mounts it, as fusermount3(1) does for that user, on what is there, or on a new directory."""
        point = os.path.normpath(os.path.join(self.cache, *names))
        if not os.path.exists(point):
            os.makedirs(point)
            os.chown(point, support.NOBODY, support.NOBODY)
        server = os.open('/dev/fuse', os.O_RDWR)
        mode = '40000' if os.path.isdir(point) else '100000'
        data = f'fd={server},rootmode={mode},user_id={support.NOBODY},group_id={support.NOBODY}{options}'
        if ctypes.CDLL(None, use_errno=True).mount(b'test', os.fsencode(point), b'fuse', 0,
                                                   data.encode()) < 0:
            os.close(server)
            self.skipTest(f'mount: {os.strerror(ctypes.get_errno())}')
        self.mounted[os.path.relpath(point, self.cache)] = server

    def unmount(self, *names):
        """Takes it away again, if it is there. Its server ends first: what hangs gets an error."""
        point = os.path.normpath(os.path.join(self.cache, *names))
        server = self.mounted.pop(os.path.relpath(point, self.cache), None)
        if server is not None:
            os.close(server)
            mounts.unmount(point)

    def unmount_all(self):
        """The same for all, wherever they are by now: a directory that has one inside can be moved."""
        for server in self.mounted.values():
            os.close(server)
        with open('/proc/self/mounts', encoding='utf-8') as file:
            points = [line.split()[1] for line in file if line.split()[1].startswith(self.cache + '/')]
        for point in reversed(points):
            mounts.unmount(point)

    def hash_directory(self, variant=None):
        """The hash directory of a variant, in the cache."""
        return os.path.relpath(rezlike.hash_directory(self.cache, (variant or self.variant).handle),
                               self.cache)

    def slot(self, variant):
        """The payload of a variant that is cached, in the cache."""
        return os.path.relpath(self.get(variant)[0], self.cache)

    def run_command(self, *command, codes=(DONE,)):
        """One command, which ends."""
        result = self.run_program('--cache', self.cache, *command)
        self.assert_code(result, *codes)
        return result

    def examine(self):
        """doctor names all that is mounted, and nothing else inside of the cache."""
        findings = self.run_command('doctor', '--json', codes=[FINDINGS]).json()['findings']
        told = [finding['path'] for finding in findings if finding['subject'] == 'mounted']
        self.assertEqual(sorted(told), sorted(os.path.join(self.cache, place) for place in self.mounted))

    def all_commands(self):
        """None hangs, and what is in the cache beside it is as before."""
        for command in (['clean'], ['verify'], ['list'], ['stats'], ['verify', '--repair'],
                        ['clean', '--max-size', '1G']):
            self.run_command(*command)
        self.examine()
        self.assert_cached(self.variant)
        self.assert_code(self.warm([self.variant, self.make_variant('next')]), DONE)


class Directories(MountTest):
    """In the place of a directory of packages."""

    def test_package(self):
        """It is closed to all others, root included."""
        self.mount('foreign', options='')
        self.all_commands()

    def test_package_that_hangs(self):
        """It lets all others in (allow_other), and answers nothing."""
        self.mount('foreign')
        self.all_commands()

    def test_beside_a_payload(self):
        """The same."""
        self.mount(self.hash_directory(), 'zzzz', options='')
        self.all_commands()

    def test_hash_directory(self):
        """What cannot be looked up is no miss: who gets it is told why."""
        other = self.make_variant('other')
        self.assert_code(self.warm([other]), DONE)
        self.mount(self.hash_directory(other))
        for command in ('get', 'remove'):
            result = self.run_command(command, other.argument, codes=[FAILED])
            self.assert_message(result, about=['mounted', 'unmount'])
        self.assert_refused(self.warm([other]), FAILED, about=['mounted', 'unmount'])
        self.all_commands()


class Slots(MountTest):
    """In the place of a payload, in one, or on a file of a slot."""

    def cover(self, *names):
        """Variants of these names are cached, each for itself. Returns them, and where they are."""
        variants = [self.make_variant(name, files={'below/file': b'1' * 5000, 'other': b'2'})
                    for name in names]
        self.assert_code(self.warm(variants), DONE)
        self.run_command('verify')
        return variants, [self.slot(variant) for variant in variants]

    def test_covered(self):
        """Nobody finds such a slot; the variant is copied again, and that is found."""
        variants, slots = self.cover('payload', 'sidecar', 'copying')
        directory, name = os.path.split(slots[2])
        copying = os.path.join(directory, '.copying-' + name)
        with open(os.path.join(self.cache, copying), 'w', encoding='ascii'):
            pass
        for place in (slots[0], slots[1] + '.json', copying):
            self.mount(place)
        self.run_command('get', *[variant.argument for variant in variants], codes=[MISSING])
        self.assertEqual(self.run_command('list', '--json').out.count('"cached"'), 1)
        for command in (['clean'], ['clean', '--dry-run'], ['clean', '--max-size', '1G']):
            result = self.run_command(*command)
            for slot in slots:
                self.assertIn(f'{slot}: a file system is mounted there', result.out)
        self.assert_code(self.warm(variants), DONE)
        self.assert_cached(*variants)
        self.all_commands()
        for variant in variants:
            self.run_command('remove', variant.argument)

    def test_removed(self):
        """What cannot be deleted yet is found no more, and goes when it is unmounted."""
        (variant, ), (slot, ) = self.cover('payload')
        self.mount(slot)
        self.run_command('remove', variant.argument, codes=[MISSING])
        self.run_command('get', variant.argument, codes=[MISSING])
        self.run_command('clean')
        self.unmount(slot)
        self.run_command('clean')
        self.assertFalse(os.path.exists(os.path.join(self.cache, slot)))

    def test_inside(self):
        """verify says what cannot be read, and repairs it; the rest waits for the unmounting."""
        variants, slots = self.cover('directory', 'file')
        for slot, below in zip(slots, ('below', 'below/file')):
            self.mount(slot, below)
        for command in (['list'], ['stats'], ['clean'], ['clean', '--max-size', '1G']):
            self.run_command(*command)
        self.examine()
        result = self.run_command('verify', codes=[PARTLY])
        for slot, below in zip(slots, ('below', 'below/file')):
            self.assertIn(f'{slot}/{below}: cannot be read', result.err)
        self.assertIn('2 repaired', self.run_command('verify', '--repair').out)
        self.run_command('clean')
        self.run_command('verify')
        self.assert_cached(*variants)


class Private(MountTest):
    """In .sys."""

    def test_what_one_can_do_without(self):
        """Its directories and files, what waits to be deleted, what somebody has left in staging."""
        for name in NOW_AND_LATER:
            self.mount('.sys', name)
        for name in ('to_delete/payload', 'to_delete/other/below', 'staging/run-1'):
            self.mount('.sys', name)
        for name in ('counters', 'daemon.lock', 'served', f'clean.{os.geteuid()}', 'staging/run-2.owner',
                     'to_delete/third/file'):
            path = os.path.join(self.cache, '.sys', name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'a', encoding='ascii'):
                pass
            self.mount('.sys', name)
        self.run_command('list')
        self.assert_message(self.run_command('stats', codes=[FAILED]), about=['counters', 'mounted'])
        self.assert_message(self.run_command('verify', codes=[PARTLY]), about=['manifest', 'mounted'])
        result = self.run_command('clean', codes=[FAILED, PARTLY])
        self.assert_message(result, about=['.sys/manifests', '.sys/leases', 'mounted'])
        self.examine()
        self.assert_cached(self.variant)
        self.assert_code(self.warm([self.variant, self.make_variant('next')]), DONE)
        self.run_command('remove', self.variant.argument)
        result = self.run_command('daemon', '--foreground', codes=[FAILED])
        self.assert_message(result, about=['daemon.lock'])

    def test_what_nobody_can_do_without(self):
        """Who changes the cache is told why that cannot be; look-ups go on."""
        for name in ('.lock.lock', 'pkgcache.lock', 'staging', 'to_delete', ''):
            path = os.path.join(self.cache, '.sys', name)
            if not os.path.exists(path):
                with open(path, 'w', encoding='ascii'):
                    pass
            self.mount('.sys', name)
            for command in (['remove', self.variant.argument],
                            ['add', '--root', self.variant.root, self.make_variant('next').argument]):
                self.assert_message(self.run_command(*command, codes=[FAILED]), about=['mounted'])
            self.run_command('list')
            self.assert_cached(self.variant)
            self.examine()
            self.unmount(path)
            if name == '.lock.lock':
                os.unlink(path)

    def test_socket(self):
        """Clients do without the daemon, with or without checks of the kernel's own."""
        self.mount('.sys/daemon.sock', options=HANGS + ',default_permissions')
        self.assert_cached(self.variant)
        self.assert_code(self.warm([self.variant, self.make_variant('next')]), DONE)


class Daemon(MountTest):
    """A daemon that runs when it happens."""

    def test_all_it_does(self):
        """It answers, copies, cleans, and ends."""
        variants = [self.make_variant(name, files={'below/file': b'1' * 5000}) for name in 'abc']
        self.assert_code(self.warm(variants), DONE)
        process = self.start_daemon()
        client = self.connect()
        slots = [self.slot(variant) for variant in variants]
        for place in (slots[0], slots[1] + '.json', slots[2] + '/below', '.sys/pending', '.sys/used'):
            self.mount(place)
        self.run_command('get', variants[0].argument, codes=[MISSING])
        self.assert_code(self.warm(variants), DONE)
        self.assert_cached(*variants[:2])  # what is in the third would be waited for
        client.call('stats')
        self.run_command('clean')
        process.send_signal(signal.SIGTERM)
        self.assert_code(support.finish(process), DONE)


if __name__ == '__main__':
    unittest.main()
