"""rez-pkg-cache --daemon: serves rez's queue, and whoever else comes meanwhile leaves."""
import fcntl
import os
import random
import signal
import subprocess
import threading
import time
import unittest

import mounts
import rezlike
import rezprogram
import support
import trees
from rezprogram import ServingTest
from steps import STEPS
from support import DONE, FAILED, once


class Queue(ServingTest):
    """What becomes of what is queued."""

    def test_hundred(self):
        """All are cached, and leave the queue; the same one several times, too."""
        variants = []
        for number in range(support.scaled(25, 5)):
            variants += self.make_package(f'package{number}', '1.0', [['a'], ['b'], ['c'], ['d']])
        self.queue(*variants, variants[0], variants[0])
        self.serve()
        self.assertEqual(self.queued(), [])
        self.assert_cached(*variants)
        self.assert_sound(variants)
        cached = [text for _, text in self.log() if text.startswith('Cached variant to ')]
        self.assertEqual(len(cached), len(variants))

    @once
    def test_returns_at_once(self):
        """It detaches: a session of its own, the root directory, nothing inherited."""
        variant, = self.make_package()
        self.queue(variant)
        process = self.start('--daemon', self.cache, program=rezprogram.PROGRAM,
                             LD_PRELOAD=STEPS, STEPS_CALL='mkdirat', STEPS_AT='1',
                             STEPS_SIGNAL=str(int(signal.SIGSTOP)), ASAN_OPTIONS='verify_asan_link_order=0')
        result = support.finish(process)
        self.assert_code(result, DONE)
        pid, = support.wait_until(self.daemons, 'the daemon')
        support.wait_until(lambda: self.state(pid) == 'T', 'it to stop')
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual({os.readlink(f'/proc/{pid}/fd/{fd}') for fd in range(3)}, {'/dev/null'})
        os.kill(pid, signal.SIGCONT)
        self.wait_idle()
        self.assert_cached(variant)

    @staticmethod
    def state(pid):
        """The letter that /proc has for a process; '' when it is gone."""
        try:
            with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
                return file.read().rsplit(')', 1)[1].split()[0]
        except OSError:
            return ''

    def test_relative(self):
        """The cache may be named by a relative path."""
        variant, = self.make_package()
        self.queue(variant)
        self.assert_code(self.run_rez('--daemon', os.path.relpath(self.cache)), DONE)
        self.wait_served()
        self.wait_idle()
        self.assert_cached(variant)

    @once
    def test_nothing_to_do(self):
        """Then nothing is begun, and nothing changes."""
        self.note_cleaned()
        with self.untouched(self.cache):
            for _ in range(3):
                self.daemon(REZ_CONFIG_FILE='/nonexistent/broken.py', REZ_TMPDIR='$BROKEN')
                self.assertEqual(self.daemons(), [])

    @once
    def test_no_cache_yet(self):
        """A directory that is no cache is left alone."""
        with self.untouched(self.cache):
            self.daemon()
            self.assertEqual(self.daemons(), [])

    def test_oldest_first(self):
        """What waits for longest is begun with, in batches."""
        variants = [self.make_package(f'package{number}', files=1)[0] for number in range(70)]
        random.Random(trees.random_seed()).shuffle(variants)  # else names would tell, or directories
        for number, name in enumerate(self.queue(*variants)):
            os.utime(os.path.join(self.pending, name), (1000 + number,) * 2)
        self.serve(PKGCACHE_DIGEST='no')
        begun = [text for _, text in self.log() if text.startswith('Started caching')]
        lines = [f'Started caching of variant {self.uri(variant)}...' for variant in variants]
        self.assertEqual(sorted(begun[:64]), sorted(lines[:64]))
        self.assertEqual(sorted(begun[64:]), sorted(lines[64:]))

    def test_not_cachable(self):
        """What cannot be cached leaves the queue, and the log says why; the rest is cached."""
        hidden, = self.make_package('hidden', cachable=False)
        good, = self.make_package('good')
        gone = support.Variant(support.make_handle(self.repository, 'gone'), '')
        empty, = self.make_package('empty', variants=[['x']])
        trees.remove_tree(empty.root)
        self.queue(hidden, gone, good, empty)
        self.serve()
        self.assertEqual(self.queued(), [])
        self.assert_cached(good)
        log = self.log()
        self.assertIn(('WARNING', f'Not cached - package is not cachable: {self.uri(hidden)}'), log)
        for name in ('gone-1.0', 'empty-1.0'):
            self.assertEqual([level for level, text in log if f': {name}: ' in text], ['ERROR'])

    def test_copied_by_another(self):
        """It stays queued as long as another process copies it."""
        slow, = self.make_package('slow', files=8)
        other, = self.make_package('other')
        copier = self.start_rez('--file-delay', 0.3, 'add', self.cache, slow.argument, slow.root)
        support.wait_until(self.listing, 'it to begin')
        names = self.queue(slow, other)
        self.serve()
        self.assertEqual(self.queued(), names[:1])
        self.assert_cached(other)
        support.end_process(copier)
        self.serve()
        self.assertEqual(self.queued(), [])
        self.assert_cached(slow)

    def test_no_room(self):
        """The queue stays, and the log says so."""
        variant, = self.make_package()
        names = self.queue(variant)
        self.serve(PKGCACHE_SPACE_BUFFER='1000T')
        self.assertEqual(self.queued(), names)
        self.assertIn(('INFO', 'Cache storage has reached the configured threshold of '
                       '1048576000.00MB, caching will now stop.'), self.log())
        self.serve()
        self.assertEqual(self.queued(), [])

    def test_too_big(self):
        """One that would not leave room enough leaves the queue, and the log says so; others stay."""
        big, = self.make_package('big')
        small, = self.make_package('small')
        trees.make_plain_tree(big.root, {'data': os.urandom(24 * mounts.MIB)})
        with mounts.mounted('tmpfs', 16 * mounts.MIB) as self.cache, \
                mounts.slow_mount(self.repository, '--bandwidth', str(4 * mounts.MIB)) as slow:
            self.pending = os.path.join(self.cache, '.sys', 'pending')
            self.queue(self.behind(slow, big), small)
            self.serve(PKGCACHE_SPACE_BUFFER='8M', REZ_PACKAGE_CACHE_USED_THRESHOLD='0')
            self.assertEqual(self.queued(), [])
            self.assert_cached(small)
            self.assertEqual([entry['package'] for entry in self.listing()], ['small-1.0'])
            said = ' '.join(text for level, text in self.log() if level != 'INFO')
            self.assertRegex(said, "big-1.0: .*( MiB left| No space left )")

    @once
    def test_settings_cannot_be_read(self):
        """The queue stays, and the log says so."""
        variant, = self.make_package()
        names = self.queue(variant)
        self.serve(REZ_PACKAGE_CACHE_LOG_DAYS='soon')
        self.assertEqual(self.queued(), names)
        self.assertIn('rez-pkg-cache', self.log()[-1][1])
        self.assertEqual(self.log()[-1][0], 'ERROR')

    def test_logging_conf(self):
        """REZ_LOGGING_CONF is not read; the log says that."""
        self.queue(*self.make_package())
        self.serve(REZ_LOGGING_CONF='/etc/rez/logging.conf')
        level, text = self.log()[0]
        self.assertEqual(level, 'WARNING')
        self.assertIn('REZ_LOGGING_CONF (/etc/rez/logging.conf) is not read', text)

    def test_rez_lists_what_is_left(self):
        """rez can read all that is there afterwards."""
        variants = self.make_package(variants=[['a'], ['b']])
        self.queue(*variants)
        self.serve()
        self.assertEqual([state for _, state, _ in rezlike.listing(self.cache)], ['FOUND'] * 2)


class OneServes(ServingTest):
    """One process for a cache, and no variant is forgotten."""

    @once
    def test_others_leave(self):
        """Who finds the cache served leaves; what it has queued is served."""
        first, = self.make_package('first')
        later, = self.make_package('later')
        self.queue(first)
        self.run_rez('--daemon', self.cache, LD_PRELOAD=STEPS, STEPS_CALL='unlinkat', STEPS_AT='1',
                     STEPS_SIGNAL=str(int(signal.SIGSTOP)), STEPS_THREADS='main',
                     ASAN_OPTIONS='verify_asan_link_order=0')
        pid, = support.wait_until(self.daemons, 'the daemon')
        support.wait_until(lambda: Queue.state(pid) == 'T', 'it to stop')
        self.queue(later)
        self.daemon()
        self.assertEqual(self.daemons(), [pid])
        os.kill(pid, signal.SIGCONT)
        self.wait_idle()
        self.assertEqual(self.queued(), [])
        self.assert_cached(first, later)

    def test_no_wake_up_is_lost(self):
        """What is queued is served whatever it has seen last, also that nothing is left to serve."""
        self.skip_with_sanitizers('a sanitizer wants to be loaded first')
        for number in range(1, 51):
            first, = self.make_package(f'first{number}', files=1)
            later, = self.make_package(f'later{number}', files=1)
            self.queue(first)
            self.run_rez('--daemon', self.cache, LD_PRELOAD=STEPS, STEPS_CALL='getdents64',
                         STEPS_AT=str(number), STEPS_SIGNAL=str(int(signal.SIGSTOP)),
                         STEPS_THREADS='main', REZ_PACKAGE_CACHE_CLEAN_LIMIT='0')
            stopped = self.wait_stopped()
            self.queue(later)
            self.daemon()
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            self.wait_served()
            self.wait_idle()
            self.assert_cached(first, later)
            if not stopped:
                break
        self.assertTrue(3 < number < 50, number)

    def wait_stopped(self):
        """Returns when every daemon has stopped, or ended: those that have stopped."""
        def stopped():
            daemons = self.daemons()
            return [daemons] if all(Queue.state(pid) == 'T' for pid in daemons) else []
        return support.wait_until(stopped, 'daemons to stop')[0]

    def test_many_at_once(self):
        """Several resolves at the same time: all that they queue is served."""
        count = support.scaled(20, 10)
        variants = [self.make_package(f'package{number}', files=1)[0] for number in range(3 * count)]

        def resolve(numbers):
            for number in numbers:
                self.queue(variants[number])
                environment = {**self.environment, 'PKGCACHE_DURABILITY': 'none'}
                os.waitpid(os.posix_spawn(rezprogram.PROGRAM, ['rez-pkg-cache', '--daemon', self.cache],
                                          environment), 0)

        threads = [threading.Thread(target=resolve, args=(range(start, 3 * count, 3),))
                   for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.wait_served()
        self.wait_idle()
        self.assert_cached(*variants)
        self.assert_sound(variants)

    def test_killed(self):
        """The queue is as it was, and the next one serves it."""
        variants = [self.make_package(f'package{number}')[0] for number in range(6)]
        for step in (1, 6, 15, 30, 60):
            self.queue(*variants)
            self.run_rez('--daemon', self.cache, LD_PRELOAD=STEPS, STEPS_AT=str(step),
                         STEPS_SIGNAL=str(int(signal.SIGKILL)), ASAN_OPTIONS='verify_asan_link_order=0')
            self.wait_idle()
            waiting = {name.rsplit('-', 2)[0] for name in self.queued()}
            cached = {entry['package'].rsplit('-', 1)[0] for entry in self.listing()
                      if entry['status'] == 'cached'}
            self.assertLessEqual({f'package{number}' for number in range(6)}, waiting | cached, step)
            self.serve_after_kill()
            self.assert_cached(*variants)
            for variant in variants:
                self.run_program('--cache', self.cache, 'remove', variant.argument)

    def test_terminated(self):
        """It ends before the next variant, which stays queued, and nobody is told of an error."""
        variant, = self.make_package()
        names = self.queue(variant)
        self.run_rez('--daemon', self.cache, LD_PRELOAD=STEPS, STEPS_CALL='mkdirat', STEPS_AT='1',
                     STEPS_SIGNAL=str(int(signal.SIGSTOP)), ASAN_OPTIONS='verify_asan_link_order=0')
        pid, = support.wait_until(self.daemons, 'the daemon')
        support.wait_until(lambda: Queue.state(pid) == 'T', 'it to stop')
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        self.wait_idle()
        self.assertEqual(self.queued(), names)
        self.assertEqual([entry['status'] for entry in self.listing()], ['pending'])
        self.assertEqual(self.log(), [])
        self.serve()
        self.assert_cached(variant)

    def test_terminated_while_copying(self):
        """What is unfinished stays queued, and what is done is done."""
        done, = self.make_package('done')
        hanging, = self.make_package('hanging')
        trees.make_plain_tree(hanging.root, {'hangs': b'x' * 100})
        with mounts.slow_mount(self.repository, '--hang-file', '/hangs') as slow:
            names = self.queue(*(self.behind(slow, variant) for variant in (hanging, done)))
            self.daemon(ASAN_OPTIONS='detect_leaks=0')  # that waits for threads, and one hangs
            support.wait_until(lambda: self.queued() == names[:1], 'one variant to be cached')
            pid, = self.daemons()
            os.kill(pid, signal.SIGTERM)
            self.wait_idle()
            self.assertEqual(self.queued(), names[:1])
            self.assert_cached(self.behind(slow, done))

    def test_hanging(self):
        """A source that hangs holds up what is queued later, until who serves is ended."""
        hanging, = self.make_package('hanging')
        later, = self.make_package('later')
        trees.make_plain_tree(hanging.root, {'hangs': b'x' * 100})
        with mounts.slow_mount(self.repository, '--hang-file', '/hangs') as slow:
            names = self.queue(self.behind(slow, hanging))
            self.daemon()
            support.wait_until(self.listing_copying, 'it to be copied')
            names += self.queue(later)
            pid, = self.daemons()
            self.daemon()
            self.assertEqual(self.daemons(), [pid])
            self.assertEqual(self.queued(), sorted(names))
            os.kill(pid, signal.SIGKILL)
            self.wait_idle()
            os.unlink(os.path.join(self.pending, names[0]))
            self.serve_after_kill()
        self.assert_cached(later)

    def listing_copying(self):
        """Whether something is being copied."""
        return 'copying' in [entry['status'] for entry in self.listing()]


class Cleaning(ServingTest):
    """After serving, and now and then when there is nothing to serve."""

    def remove_one(self):
        """Leaves something to delete."""
        variant, = self.make_package('removed')
        self.assert_code(self.run_rez(self.cache, '-a', self.uri(variant)), DONE)
        self.assert_code(self.run_rez(self.cache, '-r', self.uri(variant)), DONE)

    def doomed(self):
        """What waits to be deleted."""
        return os.listdir(os.path.join(self.cache, '.sys', 'to_delete'))

    def test_limit(self):
        """Not with a limit of 0; else for so long."""
        self.remove_one()
        for limit in ('0', '-1'):
            self.queue(*self.make_package(f'package{limit}'))
            self.serve(REZ_PACKAGE_CACHE_CLEAN_LIMIT=limit)
            self.assertEqual(len(self.doomed()), 1)
        self.queue(*self.make_package('another'))
        self.serve(REZ_PACKAGE_CACHE_CLEAN_LIMIT='100')
        self.assertEqual(self.doomed(), [])

    def test_due(self):
        """Every ten minutes, also when nothing is queued."""
        self.remove_one()
        os.makedirs(self.pending, exist_ok=True)
        self.serve(REZ_PACKAGE_CACHE_CLEAN_LIMIT='100')
        self.assertEqual(self.doomed(), [])
        variant, = self.make_package('more')
        self.assert_code(self.run_rez(self.cache, '-a', self.uri(variant)), DONE)
        self.assert_code(self.run_rez(self.cache, '-r', self.uri(variant)), DONE)
        self.serve(REZ_PACKAGE_CACHE_CLEAN_LIMIT='100')
        self.assertEqual(len(self.doomed()), 1)
        stamp = os.path.join(self.cache, '.sys', 'served')
        os.utime(stamp, (time.time() - 601,) * 2)
        self.serve(REZ_PACKAGE_CACHE_CLEAN_LIMIT='100')
        self.assertEqual(self.doomed(), [])
        self.assertLess(time.time() - os.stat(stamp).st_mtime, 500)

    def test_served_by_another(self):
        """Then there is nothing to clean for us."""
        self.remove_one()
        with open(os.path.join(self.cache, '.sys', 'serving'), 'w', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.serve()
            self.assertEqual(len(self.doomed()), 1)


class Faults(ServingTest):
    """Caches that cannot be served."""

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    @once
    def test_another_users_cache(self):
        """One that may not be written to: exit 1, a message, and the queue stays."""
        names = self.queue(*self.make_package())
        for path in (self.cache, os.path.join(self.cache, '.sys'), self.pending):
            os.chmod(path, 0o755)
        program = self.path('rez-pkg-cache')
        with open(rezprogram.PROGRAM, 'rb') as source, open(program, 'wb') as target:
            target.write(source.read())
        os.chmod(program, 0o755)
        result = self.run_program('--daemon', self.cache, program=program, uid=support.NOBODY)
        self.assert_code(result, FAILED)
        self.assertIn('Permission denied', result.err)
        self.assertEqual(self.queued(), names)

    def test_read_only(self):
        """A cache on a disk that cannot be written to: it is left as it is, and that is said."""
        variant, = self.make_package()
        other, = self.make_package('other')
        with mounts.mounted('tmpfs', mounts.MIB) as self.cache:
            self.pending = os.path.join(self.cache, '.sys', 'pending')
            self.assert_code(self.run_rez(self.cache, '-a', self.uri(variant)), DONE)
            names = self.queue(other)
            subprocess.run(['mount', '-o', 'remount,ro', self.cache], check=True)
            for arguments in (['--daemon', self.cache], [self.cache, '-a', self.uri(other)]):
                result = self.run_rez(*arguments)
                self.assert_code(result, FAILED)
                self.assertIn('Read-only file system', result.err)
            self.assertEqual(self.daemons(), [])
            result = self.run_rez(self.cache)
            self.assert_code(result, DONE)
            self.assertIn('foo-1.0', result.out)
            self.assertIn('other-1.0', result.out)
            self.assertEqual(self.queued(), names)

    @once
    def test_gone_meanwhile(self):
        """A cache that is taken away ends the daemon."""
        self.queue(*self.make_package())
        self.run_rez('--daemon', self.cache, LD_PRELOAD=STEPS, STEPS_CALL='mkdirat', STEPS_AT='1',
                     STEPS_SIGNAL=str(int(signal.SIGSTOP)), ASAN_OPTIONS='verify_asan_link_order=0')
        pid, = support.wait_until(self.daemons, 'the daemon')
        support.wait_until(lambda: Queue.state(pid) == 'T', 'it to stop')
        trees.remove_tree(self.cache)
        os.kill(pid, signal.SIGCONT)
        self.wait_idle()


if __name__ == '__main__':
    unittest.main()
