"""The daemon as its clients see it: the real program, a real socket."""
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time

import support
import trees
from support import DONE, FAILED, LOCKED, PATIENCE_S, ProgramTest, make_handle, wait_until

sys.path.insert(0, os.path.join(support.TOP, 'docs', 'examples'))
from daemon_client import BUSY, Daemon, DaemonError  # noqa: E402 pylint: disable=wrong-import-position


class DaemonTest(ProgramTest):
    """A test with a daemon."""

    def start_daemon(self, *arguments, **options):
        """Starts a daemon and waits until it serves."""
        process = self.start('--cache', self.cache, 'daemon', '--foreground', *arguments, **options)
        self.process = process

        def serves():
            if process.poll() is not None:
                raise AssertionError(f'the daemon ended: {support.finish(process)}')
            with contextlib.suppress(OSError):
                Daemon(self.cache).close()
                return True
            return False
        wait_until(serves, 'the daemon to serve')
        return process

    def connect(self):
        """A client of the daemon."""
        daemon = Daemon(self.cache, timeout=PATIENCE_S)
        self.addCleanup(daemon.close)
        return daemon

    def connect_plain(self):
        """A socket, for what no client would send."""
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(plain.close)
        plain.settimeout(PATIENCE_S)
        plain.connect(os.path.join(self.cache, '.sys', 'daemon.sock'))
        return plain

    def stop(self, process):
        """Tells a daemon to end, and sees that it does."""
        process.send_signal(signal.SIGTERM)
        result = support.finish(process)
        self.assert_code(result, DONE)
        return result


def entry(variant):
    """A variant as method warm takes it."""
    return {'handle': variant.handle, 'root': variant.root}


class Methods(DaemonTest):
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


class Crowds(DaemonTest):
    """Many at once."""

    def test_a_variant_for_all_is_copied_once(self):
        self.start_daemon()
        variants = [self.make_variant(f'p{number}') for number in range(10)]
        clients = [self.connect() for _ in range(support.scaled(100, 10))]
        for client in clients:
            client.send('warm', variants=list(map(entry, variants)))
            client.file.flush()
        answers = [client.receive()['result'] for client in clients]
        for answer in answers:
            self.assertEqual(answer['created'] + answer['found'], 10, answer)
        stats = self.connect().call('stats')
        self.assertEqual(stats['cache']['copies'], 10)

    def test_more_connections_than_it_takes(self):
        self.start_daemon()
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        refused = 0
        for _ in range(1500):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            clients.append(plain)
            plain.settimeout(PATIENCE_S)
            plain.connect(os.path.join(self.cache, '.sys', 'daemon.sock'))
            if len(clients) > 768:
                answer = json.loads(plain.makefile('rb').readline())
                self.assertEqual(answer['error']['code'], BUSY)
                refused += 1
        self.assertEqual(refused, 1500 - 768)
        clients.pop(0).close()
        wait_until(lambda: self.serves(), 'room for one more')

    def serves(self):
        """Whether one more client is served."""
        with contextlib.suppress(OSError, DaemonError):
            with Daemon(self.cache, timeout=PATIENCE_S) as daemon:
                return daemon.call('ping')
        return False

    def test_who_does_not_read_holds_nobody_up(self):
        self.start_daemon()
        slow = self.connect_plain()
        slow.setblocking(False)
        line = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'ping'}).encode() + b'\n'
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                slow.send(line * 1000)  # until the daemon does not read either
        other = self.connect()
        for _ in range(100):
            other.call('ping')

    def test_many_requests_leave_nothing(self):
        variant = self.make_variant()
        process = self.start_daemon()
        with Daemon(self.cache, timeout=PATIENCE_S) as daemon:
            daemon.warm([entry(variant)])
            self.ask(daemon, variant, 2000)
            before = self.measure(process)
            self.ask(daemon, variant, support.scaled(50000))
        for _ in range(support.scaled(300)):
            with Daemon(self.cache, timeout=PATIENCE_S) as daemon:
                daemon.get(variant.handle)
        wait_until(lambda: self.measure(process)[1] <= before[1], 'descriptors to be closed')
        self.assertLess(self.measure(process)[0], before[0] + (4 << 20))

    @staticmethod
    def ask(daemon, variant, count):
        """Sends so many requests, and reads as many answers."""
        for _ in range(count // 100):
            for _ in range(100):
                daemon.send('get', handle=variant.handle)
            for _ in range(100):
                assert daemon.receive()['result']['status'] == 'cached'

    @staticmethod
    def measure(process):
        """Resident bytes, and descriptors."""
        with open(f'/proc/{process.pid}/statm', encoding='ascii') as file:
            resident = int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
        return resident, len(os.listdir(f'/proc/{process.pid}/fd'))


class BadInput(DaemonTest):
    """What no client would send."""

    def setUp(self):
        super().setUp()
        self.start_daemon()

    def answer(self, text):
        """What is answered to these bytes."""
        plain = self.connect_plain()
        plain.sendall(text + b'\n')
        return json.loads(plain.makefile('rb').readline())

    def test_messages(self):
        cases = [
            (b'{', -32700), (b'\xff', -32700), (b'[' * 100000, -32700), (b'nothing', -32700),
            (b'{"a": "\xed\xa0\x80"}', -32700), (b'[]', -32600), (b'7', -32600), (b'{}', -32600),
            (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
            (b'{"jsonrpc": "2.0", "id": {}, "method": "ping"}', -32600),
            (b'{"jsonrpc": "2.0", "id": "' + b'x' * 300 + b'", "method": "ping"}', -32600),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "pong"}', -32601),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": 1}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "get", "params": {"handle": 7}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "get"}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "get_many", "params": {"handles": 1}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "warm", "params": {"variants": {}}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "warm", "params": {"variants": [], '
             b'"priority": "no"}}', -32602),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "cancel", "params": {"job": 99}}', -32003),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"job": 99}}', -32003),
            (b'{"jsonrpc": "2.0", "id": 1, "method": "lease", "params": {"pid": 0}}', -32602),
        ]
        for text, code in cases:
            answer = self.answer(text)
            self.assertEqual(answer.get('error', {}).get('code'), code, (text[:100], answer))

    def test_a_message_that_is_too_long(self):
        plain = self.connect_plain()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            plain.sendall(b' ' * (3 << 20))
        with contextlib.suppress(ConnectionResetError):
            self.assertIn(b'1 MiB', plain.makefile('rb').readline())
        self.connect().call('ping')

    def test_clients_that_vanish(self):
        variant = self.make_variant()
        for end in (b'', b'\n'):
            for text in (b'', b'{"jsonrpc', json.dumps(
                    {'jsonrpc': '2.0', 'id': 1, 'method': 'warm',
                     'params': {'variants': [entry(variant)]}}).encode()):
                plain = self.connect_plain()
                plain.sendall(text + end)
                plain.close()
        daemon = self.connect()
        wait_until(lambda: daemon.call('status')['counters']['connections'] == 1,
                   'connections to be closed')
        wait_until(lambda: not daemon.call('status')['jobs'], 'jobs to end')

    def test_who_stops_to_send_gets_all_answers(self):
        plain = self.connect_plain()
        line = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': 'ping'}).encode() + b'\n'
        plain.sendall(line * 100)
        plain.shutdown(socket.SHUT_WR)
        self.assertEqual(len(plain.makefile('rb').readlines()), 100)


class Faults(DaemonTest):
    """When things go wrong around it."""

    def test_a_second_one_says_who_has_it(self):
        process = self.start_daemon()
        result = self.run_program('--cache', self.cache, 'daemon', '--foreground')
        self.assert_refused(result, LOCKED, about=[process.pid])

    def test_killed_and_started_again(self):
        variants = self.make_variants(20)
        self.start_daemon()
        daemon = self.connect()
        daemon.send('warm', variants=list(map(entry, variants)))
        daemon.file.flush()
        time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        self.start_daemon()  # the socket file is stale
        answer = self.connect().warm(map(entry, variants))
        self.assertEqual(answer['created'] + answer['found'], 20, answer)
        self.assert_cached(*variants)

    def test_socket_taken_away(self):
        self.start_daemon()
        os.unlink(os.path.join(self.cache, '.sys', 'daemon.sock'))
        wait_until(lambda: os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')),
                   'the socket to come back')
        self.connect().call('ping')

    def test_cache_removed(self):
        process = self.start_daemon()
        trees.remove_tree(self.cache)
        self.assert_refused(support.finish(process), FAILED, about=['gone'])

    def test_something_else_in_the_sockets_place(self):
        path = self.path('file')
        with open(path, 'wb'):
            pass
        result = self.run_program('--cache', self.cache, 'daemon', '--foreground', '--socket', path)
        self.assert_refused(result, FAILED, about=[path])
        self.assertTrue(os.path.isfile(path))

    def test_background_and_idle_exit(self):
        result = self.run_program('--cache', self.cache, 'daemon', '--idle-exit=1')
        self.assert_code(result, DONE)
        with Daemon(self.cache) as daemon:
            pid = daemon.call('ping')['pid']
        wait_until(lambda: not os.path.exists(f'/proc/{pid}'), 'the daemon to end')

    def test_reload(self):
        process = self.start_daemon()
        process.send_signal(signal.SIGHUP)
        variant = self.make_variant()
        self.assertEqual(self.connect().warm([entry(variant)])['created'], 1)
        self.stop(process)

    def test_waiting_clients_are_told_of_the_end(self):
        variants = self.make_variants(30)
        process = self.start_daemon('--bwlimit=100K')
        daemon = self.connect()
        daemon.send('warm', variants=list(map(entry, variants)))
        daemon.file.flush()
        wait_until(lambda: self.connect().call('status')['jobs'], 'the job to begin')
        since = time.monotonic()
        self.stop(process)
        self.assertLess(time.monotonic() - since, 5 / min(1, support.SCALE))
        self.assertGreater(daemon.receive()['result']['failed'], 0)
        self.assert_sound(variants, partial=True)

    def test_cancel(self):
        variants = self.make_variants(30)
        self.start_daemon('--bwlimit=100K')
        daemon = self.connect()
        job = daemon.warm(map(entry, variants), wait=False)['job']
        other = self.connect()
        self.assertTrue(other.call('cancel', job=job)['cancelled'])
        wait_until(lambda: other.call('status')['counters']['waiting'] == 0, 'all to be rolled back')
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
        self.assert_sound(variants, partial=True)


class CommandLine(DaemonTest):
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
