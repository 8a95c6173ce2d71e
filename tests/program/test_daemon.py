"""The daemon as its clients see it: the real program, a real socket."""
import json
import os
import shutil
import signal
import subprocess
import sys

import daemons
import support
from daemons import Daemon, entry
from support import DONE, FAILED, make_handle, wait_until


class Methods(daemons.DaemonTest):
    """Each method, as it is meant."""

    def setUp(self):
        super().setUp()
        self.start_daemon()
        self.daemon = self.connect()

    def test_ping(self):
        answer = self.daemon.call('ping')
        self.assertEqual(answer['protocol'], 1)
        self.assertEqual(answer['pid'], self.process.pid)
        self.assertEqual(answer['cache'], os.path.realpath(self.cache))

    def test_warm_and_get(self):
        variants = [self.make_variant(f'p{number}') for number in range(5)]
        self.assertIsNone(self.daemon.get(variants[0].handle))
        answer = self.daemon.warm(map(entry, variants))
        self.assertEqual(answer['created'], 5, answer)
        self.assertEqual(answer['files'], 100)
        roots = self.daemon.get_many(variant.handle for variant in variants)
        for variant, root in zip(variants, roots):
            self.assert_same_tree(variant.root, root)
        self.assertEqual(roots, [result['root'] for result in answer['results']])
        self.assertEqual(self.daemon.warm(map(entry, variants))['found'], 5)
        self.assert_sound(variants)

    def test_warm_tells_what_failed(self):
        answer = self.daemon.call('warm', variants=[
            {'handle': make_handle(), 'root': self.path('nowhere')},
            {'handle': make_handle(name='bar')}, {'handle': make_handle(name='b/d'), 'root': '/'},
            {'handle': make_handle(name='baz'), 'root': 'relative'}, {}, 7])
        self.assertEqual(answer['failed'], 6)
        reasons = [result['reason'] for result in answer['results']]
        self.assertIn('No such file', reasons[0])
        self.assertIn('root is not known', reasons[1])
        self.assertIn('absolute', reasons[3])

    def test_warm_without_waiting_is_told_of(self):
        variant = self.make_variant()
        other = self.connect()
        other.call('subscribe')
        job = self.daemon.warm([entry(variant)], wait=False)['job']
        told = []
        while not told or told[-1]['method'] != 'progress' or told[-1]['params']['done'] < 1:
            told.append(other.receive())
        states = [message['params'] for message in told if message['method'] == 'state']
        self.assertEqual([state['status'] for state in states], ['created'])
        self.assertEqual([state['job'] for state in states], [job])
        self.assert_cached(variant)

    def test_progress_of_ones_own_job(self):
        told = []
        self.daemon.warm([entry(self.make_variant())],
                         on_progress=lambda method, params: told.append((method, params)))
        self.assertEqual(told[-1][0], 'progress')
        self.assertEqual(told[-1][1]['done'], 1)

    def test_batches(self):
        variant = self.make_variant()
        self.daemon.warm([entry(variant)])
        requests = [{'jsonrpc': '2.0', 'id': 'a', 'method': 'get',
                     'params': {'handle': variant.handle}},
                    {'jsonrpc': '2.0', 'method': 'ping'},  # a notification: no answer
                    {'jsonrpc': '2.0', 'id': 2, 'method': 'warm',
                     'params': {'variants': [entry(self.make_variant('bar'))]}},
                    {'jsonrpc': '2.0', 'id': None, 'method': 'nothing'}, 5]
        self.daemon.file.write(json.dumps(requests).encode() + b'\n')
        answers = self.daemon.receive()
        self.assertEqual(len(answers), 4, answers)
        by_id = {answer['id']: answer for answer in answers if answer['id'] is not None}
        self.assertEqual(by_id['a']['result']['status'], 'cached')
        self.assertEqual(by_id[2]['result']['created'], 1)
        codes = sorted(answer['error']['code'] for answer in answers if 'error' in answer)
        self.assertEqual(codes, [-32601, -32600])

    def test_lease_ends_with_its_connection(self):
        variant = self.make_variant()
        self.daemon.warm([entry(variant)])
        lessee = self.connect()
        self.assertEqual(lessee.lease(variant.handle), self.daemon.get(variant.handle))
        leases = os.path.join(self.cache, '.sys', 'leases')
        self.assertEqual(len(os.listdir(leases)), 1)
        self.assertTrue(lessee.release(variant.handle))
        self.assertFalse(lessee.release(variant.handle))
        self.assertEqual(os.listdir(leases), [])
        lessee.lease(variant.handle)
        self.daemon.lease(variant.handle)  # the same process: one lease on disk
        lessee.close()
        wait_until(lambda: self.daemon.call('stats')['daemon']['leases'] == 1, 'the lease to end')
        self.assertEqual(len(os.listdir(leases)), 1)
        self.daemon.close()
        wait_until(lambda: not os.listdir(leases), 'the lease to end')

    def test_lease_ends_with_its_process(self):
        variant = self.make_variant()
        self.daemon.warm([entry(variant)])
        sleeper = support.spawn(['sleep', '1000'])
        support.at_the_end(self.addCleanup, support.kill_process, sleeper)
        self.daemon.call('lease', handle=variant.handle, pid=sleeper.pid)
        self.assertEqual(self.daemon.call('stats')['daemon']['leases'], 1)
        support.kill_process(sleeper)
        wait_until(lambda: self.daemon.call('stats')['daemon']['leases'] == 0, 'the lease to end')

    def test_lease_keeps_from_clean(self):
        variant = self.make_variant()
        self.daemon.warm([entry(variant)])
        self.daemon.lease(variant.handle)
        result = self.run_program('--cache', self.cache, 'clean', '--max-size=1')
        self.assertIn('kept', result.out)
        self.assertIsNotNone(self.daemon.get(variant.handle))

    def test_clean(self):
        variant = self.make_variant()
        self.daemon.warm([entry(variant)])
        self.run_program('--cache', self.cache, 'remove', variant.argument)
        self.assertEqual(self.daemon.call('clean', dry_run=True)['deleted'], 1)
        self.assertEqual(self.daemon.call('clean')['deleted'], 1)

    def test_status_and_stats(self):
        self.daemon.warm([entry(self.make_variant())])
        status = self.daemon.call('status')
        self.assertEqual(status['jobs'], [])
        self.assertEqual(status['counters']['variants_done'], 1)
        stats = self.daemon.call('stats')
        self.assertEqual(stats['cache']['variants'], 1)
        text = self.daemon.call('stats', format='prometheus')['text']
        self.assertIn('\npkgcache_daemon_jobs_total 1\n', text)
        self.assertIn('pkgcache_variants{cache="', text)

    def test_shutdown(self):
        self.assertTrue(self.daemon.call('shutdown')['stopping'])
        self.assert_code(support.finish(self.process), DONE)
        self.assertFalse(os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')))


class PlainPython(daemons.DaemonTest):
    """A process with nothing but Python's own library and the example, copied beside a script."""

    SCRIPT = """
import json, sys
from daemon_client import Daemon
variants = json.load(open('variants.json'))
with Daemon(sys.argv[1]) as daemon:
    before = daemon.get_many(variant['handle'] for variant in variants)
    created = daemon.warm(variants)['created']
    found = [daemon.get(variants[number % len(variants)]['handle']) for number in range(100)]
    leased = daemon.lease(variants[0]['handle'])
    print(json.dumps([before, created, found, leased]), flush=True)
    sys.stdin.read()  # the lease lasts until somebody says so
"""

    def test_hundred_look_ups_a_warm_and_a_lease(self):
        variants = self.make_variants(10, files=3)
        self.start_daemon()
        shutil.copy(os.path.join(support.TOP, 'docs', 'examples', 'daemon_client.py'),
                    self.directory)
        for name, text in (('script.py', self.SCRIPT),
                           ('variants.json', json.dumps(list(map(entry, variants))))):
            with open(self.path(name), 'w', encoding='utf-8') as file:
                file.write(text)
        process = support.spawn([sys.executable, '-S', '-E', 'script.py', self.cache],
                                cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={})
        support.at_the_end(self.addCleanup, support.kill_process, process)
        line = process.stdout.readline()
        self.assertTrue(line, support.finish(process) if not line else '')
        before, created, found, leased = json.loads(line)
        roots = self.get(*variants)
        self.assertEqual((before, created), ([None] * 10, 10))
        self.assertEqual(found, roots * 10)
        self.assertEqual(leased, roots[0])
        self.assert_code(self.run_program('--cache', self.cache, 'clean', '--max-size=1'), DONE)
        self.assertEqual(self.get(*variants), [leased] + [None] * 9)
        self.assert_code(support.finish(process), DONE)
        leases = os.path.join(self.cache, '.sys', 'leases')
        wait_until(lambda: not os.listdir(leases), 'the lease to end')


class CommandLine(daemons.DaemonTest):
    """Commands that use the daemon."""

    def test_warm_and_get(self):
        self.start_daemon()
        variants = [self.make_variant(f'p{number}') for number in range(5)]
        result = self.warm(variants, '--daemon=require', '--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['created'], 5)
        self.assert_cached(*variants)
        with Daemon(self.cache) as daemon:
            counters = daemon.call('status')['counters']
        self.assertEqual(counters['variants_done'], 5)
        self.assertEqual(counters['look_ups'], 5)

    def test_never_and_require(self):
        variant = self.make_variant()
        for command in ('get', 'add'):
            result = self.run_program('--cache', self.cache, command, variant.argument,
                                      '--daemon=require')
            self.assert_refused(result, FAILED, about=['daemon'])
        self.start_daemon()
        self.assert_code(self.warm([variant], '--daemon=never'), DONE)
        with Daemon(self.cache) as daemon:
            self.assertEqual(daemon.call('status')['counters']['jobs_ever'], 0)

    def test_stats(self):
        """The daemon's answer says what the command itself would."""
        stats = ('--cache', self.cache, 'stats')
        self.assert_refused(self.run_program(*stats, '--daemon=require'), FAILED, about=['daemon'])
        self.start_daemon()
        self.assert_code(self.warm([self.make_variant()]), DONE)
        found = {}
        for way in ('require', 'never'):
            def counts(way=way):
                found[way] = self.run_program(*stats, '--json', f'--daemon={way}').json()
                return found[way]['copies'] == 1
            wait_until(counts, 'the copy to be counted')  # that takes a second
            found[way].pop('room')
        self.assertEqual(found['require'], found['never'])
        self.assertEqual(found['require']['variants'], 1)
        self.assertEqual(found['require']['largest'], 'foo-1.0')
        with Daemon(self.cache) as daemon:
            before = daemon.call('status')['counters']['requests']
            text = self.run_program(*stats, '--daemon=require').out
            self.assertIn('largest         foo-1.0, ', text)
            self.assertIn('pkgcache_daemon_jobs_total 1\n',
                          self.run_program(*stats, '--format=prometheus').out)
            self.assertNotIn('pkgcache_daemon',
                             self.run_program(*stats, '--format=prometheus', '--daemon=never').out)
            self.assert_code(self.run_program(*stats, '--zero'), DONE)  # never the daemon's
            after = daemon.call('status')['counters']['requests']
        self.assertEqual(after - before, 2 + 1)

    def test_missing_is_missing(self):
        self.start_daemon()
        self.assertEqual(self.get(self.make_variant()), [None])

    def test_status(self):
        result = self.run_program('--cache', self.cache, 'status')
        self.assert_refused(result, FAILED, about=['daemon'])
        self.start_daemon('--bwlimit=100K')
        daemon = self.connect()
        daemon.warm(map(entry, self.make_variants(10)), wait=False)
        result = self.run_program('--cache', self.cache, 'status')
        self.assert_code(result, DONE)
        self.assertIn('job 1 of user', result.out)
        result = self.run_program('--cache', self.cache, 'status', '--json')
        self.assertEqual(result.json()['jobs'][0]['variants'], 10)
        following = self.start('--cache', self.cache, 'status', '--follow')
        following.stdout.readline()
        following.send_signal(signal.SIGINT)
        self.assert_code(support.finish(following), support.INTERRUPTED)

    def test_interrupted_warm_is_rolled_back(self):
        self.start_daemon('--bwlimit=100K')
        variants = self.make_variants(10)
        manifest = support.write_manifest(self.path('manifest'), variants)
        warm = self.start('--cache', self.cache, 'warm', manifest)
        daemon = self.connect()
        wait_until(lambda: daemon.call('status')['jobs'], 'the job to begin')
        warm.send_signal(signal.SIGINT)
        self.assert_code(support.finish(warm), support.INTERRUPTED)
        wait_until(lambda: daemon.call('status')['counters']['waiting'] == 0, 'the job to end')
        self.assert_sound(variants, partial=True)

    def test_a_daemon_that_stands_still(self):
        process = self.start_daemon()
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        process.kill()
        process.wait()
        self.assert_cached(variant)  # the socket is stale: commands do their work themselves
