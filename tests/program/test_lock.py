"""The lock, shared with rez: waited for, adopted, broken when its holder is provably gone, else not."""
import json
import os
import signal
import socket
import time
import unittest

import cachecheck
import rezlike
import support
from support import DONE, LOCKED, once, write_manifest

OLD_ENOUGH_S = 2.5  # a lock younger than 2 s is not broken


class LockTest(support.ProgramTest):
    """A cache that rez has opened."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        rezlike.open_cache(self.cache)
        self.lock_file = os.path.join(self.cache, '.sys', '.lock.lock')
        self.variants = self.make_variants(3, files=10)
        self.manifest = write_manifest(self.path('manifest.json'), self.variants)

    def start_warm(self, *arguments):
        """Starts a `warm` of all variants."""
        return self.start('--cache', self.cache, 'warm', self.manifest, *arguments)

    def start_holder(self, *options):
        """A process of rez's kind that has the lock, and its unique file."""
        holder = self.start_rez(*options, 'hold', self.cache)
        return holder, json.loads(holder.stdout.readline())['unique']

    def make_lock(self, host, pid_and_hash):
        """A lock as rez makes it, old enough to be broken; returns the unique file."""
        unique = os.path.join(self.cache, '.sys', f'{host}-1a2b3c4d.{pid_and_hash}')
        with open(unique, 'wb'):
            pass
        os.link(unique, self.lock_file)
        time.sleep(OLD_ENOUGH_S)
        return unique

    def assert_not_breakable(self, *arguments):
        """`warm` gives up with exit 5 and leaves the lock as it is."""
        before = os.stat(self.lock_file)
        result = support.finish(self.start_warm('--lock-timeout', '3', *arguments))
        self.assert_refused(result, LOCKED)
        after = os.stat(self.lock_file)
        self.assertEqual((before.st_ino, before.st_nlink), (after.st_ino, after.st_nlink))
        return result

    def assert_broken(self):
        """`warm` succeeds, and nothing of any lock is left."""
        self.assert_code(support.finish(self.start_warm()), DONE)
        self.assert_sound(self.variants)


class Living(LockTest):
    """A lock whose holder is alive, or may be, is never broken."""

    def test_ten_warms_give_up(self):
        """Each exits 5 when its time is over (10 s; here much later at worst), and names the holder."""
        holder, unique = self.start_holder()
        since = time.monotonic()
        processes = [self.start_warm() for _ in range(10)]
        for process in processes:
            result = support.finish(process, since=since)
            self.assert_refused(result, LOCKED, about=[holder.pid, os.path.basename(unique)])
            self.assertLess(result.seconds, 30 / min(1, support.SCALE))
        self.assertEqual(os.stat(unique).st_nlink, 2)
        for variant in self.variants:
            self.assertEqual(rezlike.look(self.cache, variant.handle)[0], 'NOT_FOUND')
        support.kill_process(holder)
        time.sleep(OLD_ENOUGH_S)
        self.assert_broken()

    def test_all_that_needs_the_lock(self):
        """add and remove exit 5, too; get and list do not need it."""
        self.assert_code(support.finish(self.start_warm()), DONE)
        self.start_holder()
        variant, other = self.variants[0], self.make_variant('other')
        for command in (['add', '--root', other.root, other.argument],
                        ['remove', variant.argument]):
            result = self.run_program('--cache', self.cache, '--lock-timeout', '1', *command)
            self.assert_refused(result, LOCKED)
        self.assert_cached(*self.variants)
        self.assertEqual(len(self.listing()), 3)

    def test_the_time_out_is_a_setting(self):
        """--lock-timeout, in seconds."""
        self.start_holder()
        result = support.finish(self.start_warm('--lock-timeout', '1'), since=time.monotonic())
        self.assert_refused(result, LOCKED)
        self.assertLess(result.seconds, 3 / min(1, support.SCALE))

    def test_a_stopped_holder(self):
        """It has the lock as long as it lives."""
        holder, _ = self.start_holder()
        holder.send_signal(signal.SIGSTOP)
        time.sleep(OLD_ENOUGH_S)
        self.assert_not_breakable()

    def test_another_host(self):
        """What runs there cannot be seen from here."""
        unique = self.make_lock('elsewhere', '4321-987654321')
        self.assert_not_breakable()
        self.assertTrue(os.path.exists(unique))

    def test_a_living_process_of_that_number(self):
        """It may be the holder: also when number and hash run together."""
        for hash_text in ('-6103455581228787184', '6103455581228787184'):
            with self.subTest(hash_text):
                unique = self.make_lock(socket.gethostname(), f'{os.getpid()}{hash_text}')
                self.assert_not_breakable()
                os.unlink(self.lock_file)
                os.unlink(unique)

    def test_inside_its_release(self):
        """Between rez's two unlinks the lock has no name: not broken before 60 s, and rez goes on."""
        variant = self.make_variant('theirs')
        rez = self.start_rez('--stop-at', 'released-unique', 'add', self.cache, variant.argument,
                             variant.root)
        support.wait_stopped(rez)
        self.assertEqual(os.stat(self.lock_file).st_nlink, 1)
        time.sleep(OLD_ENOUGH_S)
        self.assert_not_breakable()
        rez.send_signal(signal.SIGCONT)
        self.assert_code(support.finish(rez), DONE)
        self.assert_code(support.finish(self.start_warm()), DONE)
        self.assert_sound([*self.variants, variant])

    def test_a_waiting_rez_is_left_alone(self):
        """Its unique file stays, and it gets its turn while we go on and on."""
        theirs = self.make_variant('theirs')
        with rezlike.locked(self.cache, rezlike.Stops()):
            rez = self.start_rez('add', self.cache, theirs.argument, theirs.root)
            support.wait_until(
                lambda: any(f'.{rez.pid}' in name
                            for name in os.listdir(os.path.join(self.cache, '.sys'))),
                'rez to wait for the lock')
        deadline = time.monotonic() + 30 / min(1, support.SCALE)
        while rez.poll() is None and time.monotonic() < deadline:
            self.assert_code(support.finish(self.start_warm()), DONE)
            for variant in self.variants:
                self.run_program('--cache', self.cache, 'remove', variant.argument)
        result = support.finish(rez)
        self.assert_code(result, DONE)
        self.assertIn('CREATED', result.out)

    @once
    def test_get_and_list_take_no_lock(self):
        """They answer while it is held, and leave nothing of their own but a count."""
        self.start_holder()
        before = set(os.listdir(os.path.join(self.cache, '.sys')))
        result = self.run_program('--cache', self.cache, 'get', self.variants[0].argument)
        self.assert_code(result, support.MISSING)
        self.assertEqual(self.listing(), [])
        after = set(os.listdir(os.path.join(self.cache, '.sys')))
        self.assertEqual(after - {'counters'}, before)


class Dead(LockTest):
    """A lock whose holder is provably gone is broken."""

    def test_a_killed_rez(self):
        """kill -9 while it held the lock: warm succeeds, whatever the sign of the hash."""
        for hash_text in ('-6103455581228787184', '6103455581228787184', '-1'):
            with self.subTest(hash_text):
                holder, unique = self.start_holder(f'--lock-hash={hash_text}')
                support.kill_process(holder)
                self.assert_broken()
                self.assertFalse(os.path.exists(unique))
                for variant in self.variants:
                    self.run_program('--cache', self.cache, 'remove', variant.argument)

    def test_a_rez_killed_in_the_midst_of_add(self):
        """The lock is broken; the slot it began is stalled, and healed after the grace time."""
        for where in ('locked', 'copying-made', 'claimed'):
            with self.subTest(where):
                variant = self.make_variant(f'theirs-{where}')
                rez = self.start_rez('--stop-at', where, 'add', self.cache, variant.argument,
                                     variant.root)
                support.wait_stopped(rez)
                support.kill_process(rez)
                self.assert_code(self.warm([variant], '--stall-grace', '5'), DONE)
                self.assert_cached(variant)

    def test_our_own_killed_again_and_again(self):
        """Whoever comes next goes on at once: far within the lock's time-out."""
        result = support.finish(self.start_warm(), since=time.monotonic())
        self.assert_code(result, DONE)
        for attempt in range(support.scaled(40, least=8)):
            for variant in self.variants:
                self.run_program('--cache', self.cache, 'remove', variant.argument)
            process = self.start_warm()
            time.sleep(result.seconds * (attempt % 10) / 10)
            support.kill_process(process)
            following = support.finish(self.start_warm('--lock-timeout', '2'))
            self.assert_code(following, DONE)
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
            self.assert_sound(self.variants)

    def test_ten_at_once_break_one_dead_lock(self):
        """All succeed; the lock is broken once and for all."""
        holder, _ = self.start_holder()
        support.kill_process(holder)
        for process in [self.start_warm() for _ in range(10)]:
            self.assert_code(support.finish(process), DONE)
        self.assert_sound(self.variants)
        self.assertEqual(len(cachecheck.found_roots(self.cache)), 3)


if __name__ == '__main__':
    unittest.main()
