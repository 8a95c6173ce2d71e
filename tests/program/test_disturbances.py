"""What happens to a machine while the program works: its clock is set, a quota is reached, a file system
becomes read-only, memory runs short, processes are frozen.
"""
import errno
import glob
import os
import signal
import subprocess
import time
import unittest

import daemons
import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, PARTLY, wait_until

FAKETIME = next(iter(glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')), None)
KERNELTIMES = os.environ.get('PKGCACHE_KERNELTIMES', '')
DAY_S = 86400
SLOWLY = {'PKGCACHE_BWLIMIT': '256K'}
MIB = 1 << 20


def is_begun(test, variant):
    """Whether a copy of a variant is announced."""
    directory = rezlike.hash_directory(test.cache, variant.handle)
    return os.path.isdir(directory) and any(name.endswith('.json') for name in os.listdir(directory))


@unittest.skipUnless(FAKETIME, 'libfaketime is not installed')
class Clock(daemons.DaemonTest):
    """It jumps by days, forwards and backwards; that of files and of other processes does not."""

    def setUp(self):
        super().setUp()
        self.skip_with_sanitizers('libfaketime comes before their libraries')
        self.variant = self.make_variant(files={'large': os.urandom(MIB), 'small': b'1'})

    def faked(self, days, name='clock'):
        """The environment of a process that has a clock of its own."""
        path = self.path(name)
        self.set_clock(days, path)
        return {'LD_PRELOAD': f'{KERNELTIMES}:{FAKETIME}', 'FAKETIME_TIMESTAMP_FILE': path,
                'FAKETIME_NO_CACHE': '1', 'FAKETIME_DONT_FAKE_MONOTONIC': '1', 'NO_FAKE_STAT': '1'}

    def set_clock(self, days, path=None):
        """Sets that clock."""
        path = path or self.path('clock')
        with open(path + '.new', 'w', encoding='ascii') as file:
            file.write(f'{days:+d}d\n')
        os.rename(path + '.new', path)

    def jump(self, process):
        """Until the process ends."""
        for days in 5 * [3, -7, 400, -400]:
            self.set_clock(days)
            time.sleep(0.1)
        return support.finish(process)

    def test_of_the_copier(self):
        """It copies on; those who wait take it for alive."""
        copier = self.start('--cache', self.cache, 'add', '--root', self.variant.root,
                            self.variant.argument, **SLOWLY, **self.faked(0))
        wait_until(lambda: is_begun(self, self.variant), 'the copy to begin')
        waiter = self.start('--cache', self.cache, 'add', '--root', self.variant.root,
                            self.variant.argument)
        self.assert_code(self.jump(copier), DONE)
        result = support.finish(waiter)
        self.assert_code(result, DONE)
        self.assertNotIn('1 created', result.out)
        self.assert_sound([self.variant])

    def test_of_who_waits(self):
        """What its clock says of another's heartbeat condemns nobody."""
        copier = self.start('--cache', self.cache, 'add', '--root', self.variant.root,
                            self.variant.argument, **SLOWLY)
        wait_until(lambda: is_begun(self, self.variant), 'the copy to begin')
        waiters = []
        for days in (5, -5):
            waiters.append(self.start('--cache', self.cache, 'add', '--root', self.variant.root,
                                      self.variant.argument, **self.faked(days, f'clock{days}')))
            for command in (['clean'], ['list'], ['stats']):
                self.assert_code(self.run_program('--cache', self.cache, *command,
                                                  **self.faked(days, f'clock{days}')), DONE)
        self.assert_code(support.finish(copier), DONE)
        for waiter in waiters:
            result = support.finish(waiter)
            self.assert_code(result, DONE)
            self.assertNotIn('1 created', result.out)
        self.assert_sound([self.variant])

    def test_of_who_waits_for_the_lock(self):
        """It waits as long as it was told."""
        self.assert_code(self.warm([self.variant]), DONE)
        holder = self.start_rez('hold', self.cache)
        holder.stdout.readline()
        process = self.start('--cache', self.cache, '--lock-timeout', '2', 'remove',
                             self.variant.argument, **self.faked(0))
        result = self.jump(process)
        self.assert_code(result, support.LOCKED)
        holder.kill()
        holder.wait()

    def test_of_a_daemon(self):
        """It copies, and cleans, as before."""
        process = self.start_daemon(**self.faked(0))
        others = [self.make_variant(f'package{number}') for number in range(10)]
        for number, variant in enumerate(others):
            self.set_clock((5, -5, 400, -400, 0)[number % 5])
            self.assert_code(self.warm([variant]), DONE)
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assert_cached(*others)
        self.stop(process)
        self.assert_sound(others)


class Quota(support.ProgramTest):
    """Of a Btrfs subvolume; those of users are in test_full_disk.py."""

    def test_it_is_reached(self):
        """What does not fit is refused, and leaves nothing; the rest is cached."""
        with mounts.mounted('btrfs', 512 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            for command in (['quota', 'enable', point], ['subvolume', 'create', self.cache],
                            ['qgroup', 'limit', '24M', self.cache]):
                mounts.run_or_skip(['btrfs', *command])
            small = self.make_variant('small')
            large = self.make_variant('large', files={str(number): os.urandom(4 * MIB)
                                                      for number in range(12)})
            result = self.warm([small, large], PKGCACHE_SPACE_BUFFER='0')
            self.assert_refused(result, PARTLY, about=['large', 'quota'])
            self.assert_cached(small)
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
            self.assert_sound([small], cleaned=True)
            self.assert_code(self.warm([self.make_variant('next')]), DONE)


class ReadOnly(daemons.DaemonTest):
    """A file system that an error has made read-only, or that is dead, in the midst of it."""

    def setUp(self):
        super().setUp()
        self.point = self.enter(mounts.mounted('ext4', 256 * MIB))
        self.cache = os.path.join(self.point, 'cache')
        self.first = self.make_variant('first')
        self.second = self.make_variant('second', files={'large': os.urandom(2 * MIB)})
        self.assert_code(self.warm([self.first]), DONE)

    def abort(self):
        """As the kernel does after an error of the disk."""
        subprocess.run(['mount', '-o', 'remount,abort', self.point], check=False, capture_output=True)
        with self.assertRaises(OSError) as caught:
            os.mkdir(os.path.join(self.point, 'new'))
        self.assertEqual(caught.exception.errno, errno.EROFS)

    def assert_first_found(self):
        """What was cached can be had."""
        self.assert_cached(self.first)

    def test_a_warm(self):
        """It fails, and says why."""
        process = self.start('--cache', self.cache, 'add', '--root', self.second.root,
                             self.second.argument, **SLOWLY)
        wait_until(lambda: is_begun(self, self.second), 'the copy to begin')
        self.abort()
        self.assert_refused(support.finish(process), FAILED, about=['Read-only file system'])
        self.assert_first_found()

    def test_a_clean(self):
        """The same, whatever it was at."""
        large = self.make_variant('large', files={f'{number // 50}/{number}': b'' for number in range(3000)})
        self.assert_code(self.warm([large]), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', large.argument), DONE)
        process = self.start('--cache', self.cache, 'clean')
        trash = os.path.join(self.cache, '.sys', 'to_delete')
        os.listdir(trash)
        self.abort()
        result = support.finish(process)
        self.assert_code(result, DONE, FAILED, PARTLY)
        result = self.run_program('--cache', self.cache, 'clean')
        self.assert_refused(result, FAILED, about=['Read-only file system'])
        self.assert_first_found()

    def test_a_daemon(self):
        """It stays, answers with errors, and look-ups go on."""
        process = self.start_daemon()
        client = self.start('--cache', self.cache, 'add', '--root', self.second.root,
                            self.second.argument)
        wait_until(lambda: is_begun(self, self.second), 'the copy to begin')
        self.abort()
        support.finish(client)
        result = self.run_program('--cache', self.cache, 'add', '--root', self.make_variant('x').root,
                                  self.make_variant('x').argument)
        self.assert_refused(result, FAILED, about=['Read-only file system'])
        self.assert_first_found()
        self.stop(process)


class Group:
    """A control group (version 1) of one controller."""

    def __init__(self, test, controller):
        top = f'/sys/fs/cgroup/{controller}'
        if os.geteuid() or not os.path.exists(os.path.join(top, 'tasks')):
            test.skipTest(f'no {controller} controller of cgroup v1, or not root')
        self.path = support.temporary_name(top)
        os.mkdir(self.path)
        support.at_the_end(test.addCleanup, os.rmdir, self.path)

    def write(self, name, value):
        """Sets a value."""
        with open(os.path.join(self.path, name), 'w', encoding='ascii') as file:
            file.write(str(value))

    def read(self, name):
        """A value as text."""
        with open(os.path.join(self.path, name), encoding='ascii') as file:
            return file.read().strip()


class Memory(support.ProgramTest):
    """A limit that is low for what is to be done."""

    def test_a_large_tree(self):
        """It is copied within it, or the process is killed, and nothing is half."""
        self.skip_with_sanitizers('they need more memory')
        group = Group(self, 'memory')
        point = self.enter(mounts.mounted('ext4', 512 * MIB))
        self.cache = os.path.join(point, 'cache')
        variant = self.make_variant('large', files={
            f'{number // 100}/{number}': os.urandom(2000) for number in range(support.scaled(3000))})
        for limit in (8, 16, 32):
            group.write('memory.limit_in_bytes', limit * MIB)
            process = self.start('-c', f'echo $$ >{group.path}/tasks; exec "$@"', 'sh', support.PROGRAM,
                                 '--cache', self.cache, 'add', '--root', variant.root, variant.argument,
                                 program='/bin/sh')
            result = support.finish(process)
            print(limit, result.code, result.err[-300:], group.read('memory.max_usage_in_bytes'))
            if result.code == DONE:
                break
            self.assert_code(result, FAILED, -signal.SIGKILL)
            self.assert_sound([variant], at_rest=False, partial=True, litter=True)
        self.assert_code(self.warm([variant]), DONE)
        self.assert_sound([variant])


class Frozen(support.ProgramTest):
    """A copier in a frozen group makes no step and has no signal to tell."""

    def test_another_takes_over(self):
        """After the grace time; the one that wakes damages nothing."""
        group = Group(self, 'freezer')
        variant = self.make_variant(files={'large': os.urandom(MIB)})
        copier = self.start('--cache', self.cache, 'add', '--root', variant.root, variant.argument,
                            '--stall-grace', '5', **SLOWLY)
        wait_until(lambda: is_begun(self, variant), 'the copy to begin')
        group.write('tasks', copier.pid)
        group.write('freezer.state', 'FROZEN')
        try:
            wait_until(lambda: group.read('freezer.state') == 'FROZEN', 'the group to be frozen')
            result = self.run_program('--cache', self.cache, 'add', '--root', variant.root,
                                      variant.argument, '--stall-grace', '5')
            self.assert_code(result, DONE)
            self.assert_cached(variant)
        finally:
            group.write('freezer.state', 'THAWED')
        result = support.finish(copier)
        self.assertIn(result.code, (DONE, FAILED), result)
        self.assert_cached(variant)
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assert_sound([variant], cleaned=True)


if __name__ == '__main__':
    unittest.main()
