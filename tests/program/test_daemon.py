"""The daemon as its clients see it: the real program, a real socket."""
import contextlib
import errno
import fcntl
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import daemons
import rezlike
import rezprogram
import support
from daemons import Daemon, DaemonError, entry
from support import DONE, FAILED, make_handle, wait_until

NOT_DONE, STOPPING = -32004, -32005  # codes of errors


class Methods(daemons.DaemonTest):
    """Each method, as it is meant."""

    def setUp(self):
        super().setUp()
        self.start_daemon()
        self.daemon = self.connect()

    def test_answers_come_before_copies(self):
        self.connect().warm([entry(self.make_variant())])
        own = os.getpriority(os.PRIO_PROCESS, self.process.pid)
        threads = set()
        for task in os.listdir(f'/proc/{self.process.pid}/task'):
            with contextlib.suppress(ProcessLookupError):  # it has ended
                threads.add(os.getpriority(os.PRIO_PROCESS, int(task)))
        self.assertEqual(threads, {own, min(own + 10, 19)})

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
        self.assertIn('root is unknown', reasons[1])
        self.assertIn('absolute', reasons[3])

    def test_requirements(self):
        variants = [self.make_variant(f'p{number}') for number in range(4)]
        given = [['python-3', 'a==1'], None, '', {}]
        answer = self.daemon.warm({**entry(variant), 'requires': requires}
                                  for variant, requires in zip(variants, given))
        self.assertEqual((answer['created'], answer['failed']), (2, 2), answer)
        for result, requires in zip(answer['results'][:2], given):
            with open(result['root'] + '.json', encoding='utf-8') as file:
                self.assertEqual(json.load(file).get('data'), requires)
        for result in answer['results'][2:]:
            self.assertIn('not a list', result['reason'])

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
        result = self.run_program('--cache', self.cache, 'clean', '--max-size=1B')
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
        for name, value in (('daemon_jobs_total', 1), ('variants', 1)):
            self.assertIn(f'\npkgcache_{name}{{cache="{os.path.realpath(self.cache)}"}} {value}\n', text)

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
        self.assert_code(self.run_program('--cache', self.cache, 'clean', '--max-size=1B'), DONE)
        self.assertEqual(self.get(*variants), [leased] + [None] * 9)
        self.assert_code(support.finish(process), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'clean', '--max-size=1B'), DONE)
        self.assertEqual(self.get(variants[0]), [None])  # the lease has ended with the process


class Sidecars(rezprogram.RezProgramTest, daemons.DaemonTest):
    """What is kept of a variant, whoever copies it."""

    def test_the_same_with_and_without_the_daemon(self):
        variants = self.make_package(variants=[['a-1', 'b==2'], ['a-2']])
        variants += self.make_package('bar')
        self.start_daemon()
        texts = []
        for way in ('require', 'never'):
            result = self.run_program('--cache', self.cache, 'add', f'--daemon={way}',
                                      *map(self.uri, variants))
            self.assert_code(result, DONE)
            for root in self.get(*variants):
                with open(root + '.json', encoding='utf-8') as file:
                    texts.append(file.read())
            for variant in variants:
                self.run_program('--cache', self.cache, 'remove', variant.argument)
        self.assertEqual(texts[:3], texts[3:])
        self.assertEqual([json.loads(text).get('data') for text in texts[:3]],
                         [['a-1', 'b==2'], ['a-2'], None])


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
            self.assertRegex(self.run_program(*stats, '--format=prometheus').out,
                             r'pkgcache_daemon_jobs_total\{cache=".*"\} 1\n')
            self.assertNotIn('pkgcache_daemon',
                             self.run_program(*stats, '--format=prometheus', '--daemon=never').out)
            self.assert_code(self.run_program(*stats, '--zero'), DONE)  # never the daemon's
            after = daemon.call('status')['counters']['requests']
        self.assertEqual(after - before, 2 + 1)

    def test_missing_is_missing(self):
        self.start_daemon()
        self.assertEqual(self.get(self.make_variant()), [None])

    def test_names(self):
        """Those that are not cached leave a gap in what the daemon is asked."""
        self.start_daemon()
        here = [self.make_variant('foo'), self.make_variant('bar')]
        self.assert_code(self.warm(here), DONE)
        line = ['get', '--daemon=require', 'no-1', 'foo-1.0', 'no-2', 'no-3', here[1].argument, 'no-4']
        result = self.run_program('--cache', self.cache, *line)
        self.assert_code(result, support.MISSING)
        foo, bar = self.get(*here)
        self.assertEqual(result.out.split('\n'), ['', foo, '', '', bar, '', ''])
        result = self.run_program('--cache', self.cache, '--daemon=require', 'get', 'no-1')
        self.assert_code(result, support.MISSING)

    def test_stop(self):
        """Returns when the daemon has ended; where there is none, that is an error."""
        process = self.start_daemon()
        for line in (['daemon', 'sotp'], ['daemon', 'stop', 'now']):
            self.assert_refused(self.run_program('--cache', self.cache, *line), support.USAGE)
        self.assert_code(self.run_program('--cache', self.cache, 'daemon', 'stop'), DONE)
        self.assertFalse(os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')))
        self.assert_code(support.finish(process, timeout=support.PATIENCE_S), DONE)
        self.assert_refused(self.run_program('--cache', self.cache, 'daemon', 'stop'), FAILED,
                            about=['daemon'])

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


class Listing(daemons.DaemonTest):
    """Method list, and the command that uses it."""

    def list(self, *arguments, **options):
        """Runs `list`."""
        return self.run_program('--cache', self.cache, 'list', *arguments, **options)

    def assert_same_lists(self, count):
        """The command prints the same with the daemon and without, however it is asked."""
        columns = 'cache_path,status,package,size,files,orig_path,variant_uri,last_used'
        for arguments in (['--json'], [], ['--columns', columns], ['c*'], ['--json', 'none']):
            asked = self.list('--daemon=require', *arguments)
            self.assert_code(asked, DONE)
            own = self.list('--daemon=never', *arguments)
            self.assertEqual((asked.out, asked.err), (own.out, own.err), arguments)
        self.assertEqual(len(self.list('--daemon=require', '--json').json()), count)

    def sidecar(self, variant):
        """The path of a cached variant's sidecar."""
        return self.get(variant)[0] + '.json'

    def prepare(self):
        """A cache with variants in all states; returns how many."""
        rezlike.open_cache(self.make_cache())
        odd = [self.make_variant('\u00e9'), self.make_variant('none', version=None),
               self.make_variant('index', index=3), self.make_variant('old')]
        odd.append(odd[0]._replace(handle=make_handle('/svr/\udcff\n "', 'bytes')))
        self.assert_code(self.warm(odd), DONE)
        os.utime(self.sidecar(odd[3]), ns=(0, -1500000001))
        of_rez, copied, queued = map(self.make_variant, ('cofrez', 'copied', 'queued'))
        rezlike.add(self.cache, of_rez.handle, of_rez.root)  # nobody has counted it
        copier = self.start_rez('--stop-at', 'copied:3', 'add', self.cache, copied.argument,
                                copied.root)
        support.wait_stopped(copier)
        beat = time.time() + 3600  # else it is stalled before all have listed it, on a slow machine
        for copying in glob.glob(os.path.join(self.cache, 'copied', '*', '*', '.copying-*')):
            os.utime(copying, (beat, beat))
        rezlike.pend(self.cache, queued.handle)
        return len(odd) + 3

    def make_cache(self):
        """An empty one, whose queue no daemon touches: this process seems to serve it."""
        os.makedirs(os.path.join(self.cache, '.sys'))
        serving = os.open(os.path.join(self.cache, '.sys', 'serving'), os.O_RDWR | os.O_CREAT, 0o666)
        self.addCleanup(os.close, serving)
        fcntl.flock(serving, fcntl.LOCK_EX)
        return self.cache

    def test_all_states_and_odd_names(self):
        count = self.prepare()
        self.start_daemon()
        self.assert_same_lists(count)
        states = [variant['status'] for variant in self.connect().list()]
        self.assertEqual(sorted(set(states)), ['cached', 'copying', 'pending'])
        self.assertEqual(len(states), count)

    def test_method(self):
        variants = [self.make_variant(name) for name in 'ab']
        self.assert_code(self.warm(variants), DONE)
        self.start_daemon()
        daemon = self.connect()
        listed = {entry['handle']['variables']['name']: entry for entry in daemon.list()}
        self.assertEqual([listed[name]['handle'] for name in 'ab'],
                         [variant.handle for variant in variants])
        self.assertEqual([listed[name]['cache_path'] for name in 'ab'], self.get(*variants))
        self.assertEqual(listed['a']['orig_path'], variants[0].root)
        with self.assertRaisesRegex(DaemonError, 'no such parameter'):
            daemon.call('list', name='a')
        daemon.file.write(b'[{"jsonrpc": "2.0", "id": 1, "method": "list"}]\n')
        answer, = daemon.receive()
        self.assertIn('not allowed in a batch', answer['error']['message'])

    def test_without_a_daemon(self):
        self.make_cache()
        self.assert_refused(self.list('--daemon=require'), FAILED, about=['daemon'])
        self.assert_code(self.list(), DONE)

    def test_the_daemon_does_it(self):
        self.start_daemon()
        daemon = self.connect()
        before = daemon.call('status')['counters']['requests']
        self.assert_code(self.list(), DONE)
        self.assert_code(self.list('--daemon=never'), DONE)
        self.assertEqual(daemon.call('status')['counters']['requests'] - before, 2)

    def test_a_damaged_cache(self):
        variants = [self.make_variant(name) for name in 'abcd']
        self.assert_code(self.warm(variants), DONE)
        sidecars = list(map(self.sidecar, variants))
        self.start_daemon()
        with open(sidecars[0], 'w', encoding='ascii') as file:
            file.write('{"handle": ')
        shutil.rmtree(sidecars[1].removesuffix('.json'))
        os.unlink(sidecars[2])
        os.mkdir(sidecars[2])
        for name in ('\udcff', 'file'):
            with open(os.path.join(os.path.dirname(sidecars[3]), name), 'wb'):
                pass
        self.assert_same_lists(len(self.list('--daemon=never', '--json').json()))
        self.assertIn('d-1.0', self.list('--daemon=require').out)

    def test_more_than_an_answer_takes(self):
        variants = [self.make_variant(f'v{number}', {'file': b''}) for number in range(6)]
        self.assert_code(self.warm(variants), DONE)
        for variant in variants:  # 1 MiB that is 3 MiB in the answer
            with open(self.sidecar(variant), 'wb') as file:
                file.write(b'{"handle": %s, "pkgcache": {"root": "/%s"}}' %
                           (variant.argument.encode(), '\u00e9'.encode() * 520000))
        self.start_daemon()
        self.assert_refused(self.list('--daemon=require'), FAILED, about=['16 MiB', 'without the daemon'])
        with self.assertRaises(DaemonError) as raised:
            self.connect().list()
        self.assertEqual((raised.exception.code, raised.exception.errno), (NOT_DONE, errno.EMSGSIZE))
        quiet = self.list('--json')
        self.assertEqual((len(quiet.json()), quiet.err), (6, ''))
        self.run_program('--cache', self.cache, 'remove', variants[0].argument)
        self.assertEqual(self.list('--daemon=require').out.count('cached'), 5)

    def test_waits_for_no_clean(self):
        self.assert_code(self.warm([self.make_variant()]), DONE)
        rezlike.open_cache(self.cache)
        holder = self.start_rez('hold', self.cache)
        holder.stdout.readline()
        self.start_daemon('--lock-timeout=100')
        cleaning = self.connect()
        cleaning.send('clean')
        cleaning.file.flush()
        self.assertEqual(len(self.connect().list()), 1)
        support.kill_process(holder)

    def test_the_daemon_stops_meanwhile(self):
        self.assert_code(self.warm(self.make_variants(20, files=1)), DONE)
        process = self.start_daemon()
        daemon = self.connect()
        asked = [daemon.send('list') for _ in range(100)]
        daemon.send('shutdown')
        asked.append(daemon.send('list'))
        answers = {answer['id']: answer for answer in (daemon.receive() for _ in range(102))}
        self.assert_code(support.finish(process), DONE)
        for number in asked[:-1]:  # a whole answer, or none
            if 'error' in answers[number]:
                self.assertEqual(answers[number]['error']['code'], STOPPING)
            else:
                self.assertEqual(len(answers[number]['result']['variants']), 20)
        self.assertEqual(answers[asked[-1]]['error']['code'], STOPPING)

    def test_answers_that_make_no_sense(self):
        """Half of one is not shown, too."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        listed = self.list('--json').out
        for result in ({}, {'variants': 7}, {'variants': [7]},
                       {'variants': [{'handle': variant.handle, 'status': 'cached'}, {}]}):
            with self.subTest(result), self.answering(result):
                self.assert_refused(self.list('--daemon=require'), FAILED, about=['answer'])
            with self.answering(result):
                self.assertEqual(self.list('--json').out, listed)

    @contextlib.contextmanager
    def answering(self, result):
        """Something that answers one request with this."""
        path = os.path.join(self.cache, '.sys', 'daemon.sock')
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.settimeout(support.PATIENCE_S)
            listener.listen()
            thread = threading.Thread(target=self.answer_one, args=(listener, result), daemon=True)
            thread.start()
            try:
                yield
                thread.join()
            finally:
                os.unlink(path)

    @staticmethod
    def answer_one(listener, result):
        """Answers the first request of who comes first."""
        with listener.accept()[0] as plain, plain.makefile('rwb') as file:
            number = json.loads(file.readline())['id']
            file.write(json.dumps({'jsonrpc': '2.0', 'id': number, 'result': result}).encode() +
                       b'\n')
