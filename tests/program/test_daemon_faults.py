"""The daemon when many come, when they send what no client would, and when things go wrong."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

import daemons
import mounts
import support
import trees
from daemons import BUSY, Daemon, DaemonError, entry
from support import once, DONE, FAILED, LOCKED, PATIENCE_S, wait_until

ANN, BOB, EVE = 60001, 60002, 60004  # users without an entry anywhere
GROUP = 60003                        # Ann and Bob are in it


class Crowds(daemons.DaemonTest):
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
        client = self.connect()
        wait_until(lambda: client.call('stats')['cache']['copies'] == 10,
                   'what was copied to be counted')

    def test_more_connections_than_it_takes(self):
        self.start_daemon()
        clients = []
        self.addCleanup(lambda: [client.close() for client in clients])
        refused = 0
        for _ in range(1500):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            clients.append(plain)
            plain.connect(os.path.join(self.cache, '.sys', 'daemon.sock'))
            plain.settimeout(PATIENCE_S)
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
        self.assertLess(self.measure(process)[0], before[0] + (4 << 20) / min(1, support.SCALE))

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, 'one processor')
    def test_a_crowd_is_left_a_processor(self):
        variant = self.make_variant()
        process = self.start_daemon()
        crowd, warming = self.connect(), self.connect()
        numbers = iter(range(1 << 30))

        def confined():
            """After a warm: the threads that do not use all processors."""
            handle = support.make_handle(name=f'again{next(numbers)}')
            warming.warm([{'handle': handle, 'root': variant.root}])
            every = {int(task) for task in os.listdir(f'/proc/{process.pid}/task')}
            return {task for task in every if self.processors_left(task) == 1}

        def crowded():
            for _ in range(20):
                crowd.call('ping')
            return confined()
        self.assertEqual(confined(), set())
        threads = wait_until(crowded, 'copies to leave a processor')
        self.assertNotIn(process.pid, threads)
        wait_until(lambda: threads - confined(), 'copies to use all processors again')

    @staticmethod
    def processors_left(task):
        """How many of our processors a thread does not use."""
        with contextlib.suppress(ProcessLookupError):
            return len(os.sched_getaffinity(0)) - len(os.sched_getaffinity(task))
        return 0

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


class BadInput(daemons.DaemonTest):
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


class Faults(daemons.DaemonTest):
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

        def removed():
            with contextlib.suppress(OSError):  # the daemon may just have put something there
                trees.remove_tree(self.cache)
            return not os.path.exists(self.cache)
        wait_until(removed, 'the cache to be removed')
        self.assert_refused(support.finish(process), FAILED, about=['removed or replaced'])

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
        pid = None
        with contextlib.suppress(OSError), Daemon(self.cache) as daemon:  # it may have ended by now
            pid = daemon.call('ping')['pid']
        wait_until(lambda: pid is None or not os.path.exists(f'/proc/{pid}'), 'the daemon to end')
        with self.assertRaises(OSError):
            Daemon(self.cache)

    def test_reload(self):
        process = self.start_daemon()
        process.send_signal(signal.SIGHUP)
        variant = self.make_variant()
        self.assertEqual(self.connect().warm([entry(variant)])['created'], 1)
        self.stop(process)

    def test_settings_that_cannot_be_read(self):
        """Those that were read before stay, all of them, for clients and for rez's queue."""
        settings = self.path('rezconfig.yaml')
        pending = os.path.join(self.cache, '.sys', 'pending')
        locations = {'local': self.path('local'), 'other': self.path('other')}

        def write_settings(temporary):
            with open(settings, 'w', encoding='utf-8') as file:
                file.write(f'package_cache_local: false\nlocal_packages_path: {locations["local"]}\n'
                           'package_cache_same_device: true\ndefault_cachable: true\n'
                           f'tmpdir: {temporary}\n')

        def make_packages(number):
            for kind, location in locations.items():
                handle = support.make_handle(location, f'{kind}{number}')
                root = os.path.join(location, f'{kind}{number}', '1.0')
                definition = f'name = "{kind}{number}"\nversion = "1.0"\n'.encode()
                trees.make_plain_tree(root, {'package.py': definition})
                yield support.Variant(handle, root)
        write_settings('/nonexistent')
        process = self.start_daemon(REZ_CONFIG_FILE=settings, PKGCACHE_REZ_PYTHON='',
                                    MALLOC_PERTURB_='165')
        for number in range(support.scaled(10, 4)):
            write_settings('[5]' if number % 3 < 2 else '/nonexistent')
            process.send_signal(signal.SIGHUP)
            self.connect().call('ping')
            write_settings('/nonexistent')  # of which nobody is told
            local, other = make_packages(f'queued{number}')
            for variant in (local, other):
                path = self.path('queued')
                with open(path, 'w', encoding='utf-8') as file:
                    file.write(variant.argument)
                os.rename(path, os.path.join(pending, f'q-1.0-{number:032x}.json'))
                wait_until(lambda: not os.listdir(pending), 'the queue to be served')
            self.assertEqual([bool(root) for root in self.get(local, other)], [False, True])
            local, other = make_packages(f'asked{number}')
            created = [self.connect().warm([entry(variant)])['created'] for variant in (local, other)]
            self.assertEqual(created, [0, 1])
        self.stop(process)
        said = self.run_program('--cache', self.cache, 'logs').out
        self.assertIn('settings are unchanged: ', said)
        self.assertIn('settings were read again', said)

    def test_leaves_who_started_it(self):
        """None of their descriptors, not their directory; what was relative to that is found."""
        start = self.path('start')
        os.mkdir(start)
        with open(os.path.join(start, 'rez.yaml'), 'w', encoding='utf-8') as file:
            file.write('package_cache_same_device: true\n')
        lock, reader, writer = os.open(self.path('lock'), os.O_RDWR | os.O_CREAT), *os.pipe()
        self.addCleanup(os.close, lock)
        self.addCleanup(os.close, reader)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.cache = os.path.join(start, 'cache')
        environment = {**self.environment, 'REZ_CONFIG_FILE': 'rez.yaml:', 'PKGCACHE_DIR': 'cache'}
        process = support.spawn([support.PROGRAM, 'daemon', '--metrics=metrics', '--idle-exit=600'],
                                cwd=start, pass_fds=(lock, writer), env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(writer)
        self.assert_code(support.finish(process), DONE)
        with self.connect() as daemon:
            pid = daemon.call('ping')['pid']
            self.assertEqual(os.readlink(f'/proc/{pid}/cwd'), '/')
            held = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
            self.assertNotIn(self.path('lock'), held)
            self.assertEqual(os.read(reader, 1), b'')  # nobody has the other end
            for _ in range(2):
                os.kill(pid, signal.SIGHUP)
                variant = self.make_variant(f'foo{_}')
                self.assertEqual(daemon.warm([entry(variant)])['created'], 1)
            wait_until(lambda: os.path.exists(os.path.join(start, 'metrics')), 'the metrics')
            daemon.call('shutdown')
        wait_until(lambda: not os.path.exists(f'/proc/{pid}'), 'the daemon to end')
        said = self.run_program('--cache', self.cache, 'logs').out
        self.assertIn('settings were read again', said)
        self.assertNotIn('settings are unchanged', said)

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
        wait_until(lambda: not os.listdir(os.path.join(self.cache, '.sys', 'staging')),
                   'what was copied to be rolled back')
        self.assert_sound(variants, partial=True)


class Sources(daemons.DaemonTest):
    """Slow ones, and those that hang."""

    def test_each_is_read_once(self):
        variants = [self.make_variant(f'p{number}') for number in range(5)]
        self.start_daemon()
        with mounts.slow_mount(self.path('roots'), '--delay-ms', '1') as slow:
            behind = [{'handle': variant.handle, 'root': self.behind(slow, variant)}
                      for variant in variants]
            clients = [self.connect() for _ in range(support.scaled(100, 10))]
            for client in clients:
                client.send('warm', variants=behind)
                client.file.flush()
            for client in clients:
                answer = client.receive()['result']
                self.assertEqual(answer['created'] + answer['found'], 5, answer)
            slow.close()
            self.assertEqual({opens for opens, _ in slow.counts().values()}, {1})
            self.assertEqual(len(slow.counts()), 100)

    def test_many_that_do_not_even_open(self):
        hanging = [self.make_variant(f'p{number}') for number in range(20)]
        others = [self.make_variant(f'q{number}') for number in range(2)]
        with mounts.slow_mount(self.path('roots'), '--delay-ms', '1000000') as slow:
            process = self.start_daemon(**daemons.HANGS)
            daemon = self.connect()
            daemon.warm([{'handle': variant.handle, 'root': self.behind(slow, variant)}
                         for variant in hanging], wait=False)
            time.sleep(1.2)  # it takes a moment to see that they hang
            for variant in others:
                self.assertEqual(self.connect().warm([entry(variant)])['created'], 1)
            self.assertEqual(daemon.call('status')['counters']['waiting'], 20)
            process.send_signal(signal.SIGTERM)  # the kernel may keep it, but not its place
            wait_until(lambda: not os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')),
                       'the daemon to stop')
            self.start_daemon()
        self.assert_code(support.finish(process), DONE)

    def test_a_server_that_hangs(self):
        """It has only so many threads hang; what is local, or of another server, has others."""
        dead, alive, local = map(self.make_variant, ('dead', 'alive', 'local'))
        trees.make_plain_tree(dead.root, {f'd{number // 25}/{number}.hangs': b'x' * 100
                                          for number in range(1000)})
        with mounts.slow_mount(self.path('roots'), '--hang-file', '.hangs') as dead_server, \
                mounts.slow_mount(self.path('roots')) as other_server:
            process = self.start_daemon(**daemons.HANGS)
            self.connect().warm([{'handle': dead.handle, 'root': self.behind(dead_server, dead)}],
                                wait=False)
            wait_until(lambda: self.threads_in(process, 'folio_wait_bit_common') >= 40,
                       'the server to hang')
            for variant in ({'handle': alive.handle, 'root': self.behind(other_server, alive)},
                            entry(local)):
                self.assertEqual(self.connect().warm([variant])['created'], 1)
            self.stop(process)

    @staticmethod
    def threads_in(process, function):
        """How many threads of a process sleep in a function of the kernel."""
        count = 0
        for task in os.listdir(f'/proc/{process.pid}/task'):
            with contextlib.suppress(OSError), \
                    open(f'/proc/{process.pid}/task/{task}/wchan', encoding='ascii') as file:
                count += file.read() == function
        return count

    def test_many_that_hang(self):
        """They give up their places: more of them than are copied at once hold up no others."""
        hanging = [self.make_variant(f'p{number}', {'hangs': b'x' * 100}) for number in range(70)]
        others = [self.make_variant(f'q{number}') for number in range(2)]
        with mounts.slow_mount(self.path('roots'), '--hang-file', 'hangs') as slow:
            process = self.start_daemon(**daemons.HANGS)
            self.connect().warm([{'handle': variant.handle, 'root': self.behind(slow, variant)}
                                 for variant in hanging], wait=False)
            for variant in others:
                self.assertEqual(self.connect().warm([entry(variant)])['created'], 1)
            copying = [work for work in self.connect().call('status')['work']
                       if work['state'] == 'copying']
            self.assertLess(len(copying), 64)  # of one server, not all places are taken
            self.stop(process)

    def test_one_that_hangs(self):
        hanging, other = self.make_variant('hanging'), self.make_variant('other')
        trees.make_plain_tree(hanging.root, {'hangs': b'x' * 100})
        with mounts.slow_mount(self.path('roots'), '--hang-file', '/hangs') as slow:
            process = self.start_daemon('--stall-grace=5', **daemons.HANGS)
            daemon = self.connect()
            told = self.connect()
            told.call('subscribe')
            daemon.warm([{'handle': hanging.handle, 'root': self.behind(slow, hanging)}], wait=False)
            self.assertEqual(self.connect().warm([entry(other)])['created'], 1)
            message = told.receive()
            while message['params'].get('status') != 'stalled':
                message = told.receive()
            self.assertEqual(message['params']['variant'], 'hanging-1.0')
            work, = daemon.call('status')['work']
            self.assertTrue(work['stalled'])
            self.assertEqual(work['state'], 'copying')
            since = time.monotonic()
            self.stop(process)
            self.assertLess(time.monotonic() - since, 5 / min(1, support.SCALE))
        self.assert_sound([hanging, other], partial=True)


@unittest.skipUnless(os.geteuid() == 0, 'becoming other users needs root')
@unittest.skipUnless(shutil.which('setpriv'), 'needs setpriv(1)')
class Users(daemons.DaemonTest):
    """Who may do what."""

    def setUp(self):
        super().setUp()
        self.program = self.program_for_anybody()

    def as_user(self, user, *arguments, groups=GROUP):
        """Starts the program as a user."""
        return self.start(f'--reuid={user}', f'--regid={user}', f'--groups={groups}', '--',
                          self.program, '--cache', self.cache, *arguments, program='setpriv')

    def serve_as(self, user, *arguments):
        """Starts a daemon as a user, to whom the cache belongs."""
        os.mkdir(self.cache)
        os.chown(self.cache, user, GROUP)
        os.chmod(self.cache, 0o2775)
        self.process = self.as_user(user, 'daemon', '--foreground', *arguments)
        wait_until(lambda: os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')),
                   'the daemon to serve')

    def get_as(self, user, variant, **how):
        """Looks a variant up with the daemon, as a user."""
        return support.finish(self.as_user(user, 'get', '--daemon=require', variant.argument, **how))

    def test_a_group(self):
        root = self.path('repository', 'foo', '1.0')
        trees.make_plain_tree(root, {'file': b'1'})
        variant = support.Variant(support.make_handle(self.path('repository')), root)
        self.serve_as(ANN, f'--clients={GROUP}')
        manifest = support.write_manifest(self.path('manifest'), [variant])
        result = support.finish(self.as_user(BOB, 'warm', '--daemon=require', manifest))
        self.assert_code(result, DONE)
        self.assert_code(self.get_as(BOB, variant), DONE)
        self.assert_refused(self.get_as(EVE, variant, groups=EVE), FAILED, about=['Permission denied'])
        os.chmod(os.path.join(self.cache, '.sys', 'daemon.sock'), 0o666)
        self.assert_refused(self.get_as(EVE, variant, groups=EVE), FAILED, about=['serve you'])

    def test_only_its_owner(self):
        variant = self.make_variant()
        self.serve_as(ANN)
        self.assert_refused(self.get_as(BOB, variant), FAILED, about=['Permission denied'])
        self.assert_code(self.get_as(0, variant), support.MISSING)
        self.assert_code(self.get_as(ANN, variant), support.MISSING)

    def test_what_is_not_for_guests(self):
        self.serve_as(ANN, '--clients=everybody')
        script = ('import sys; sys.path.insert(0, sys.argv[1])\n'
                  'from daemon_client import Daemon, DaemonError\n'
                  'for method, params in (("shutdown", {}), ("clean", {}), ("lease", {"pid": 1}),\n'
                  '                       ("warm", {"variants": [], "force": True}),\n'
                  '                       ("warm", {"sources": ["/etc/passwd"]}),\n'
                  '                       ("cancel", {"job": int(sys.argv[3])})):\n'
                  '    try:\n'
                  '        Daemon(sys.argv[2]).call(method, **params)\n'
                  '    except DaemonError as error:\n'
                  '        print(error.code)\n')
        slow = self.make_variant()
        with mounts.slow_mount(self.path('roots'), '--delay-ms', '10000') as mount:
            job = self.connect().warm([{'handle': slow.handle, 'root': self.behind(mount, slow)}],
                                      wait=False)['job']
            examples = self.path('examples')
            shutil.copytree(os.path.join(support.TOP, 'docs', 'examples'), examples)
            guest = self.start(f'--reuid={EVE}', f'--regid={EVE}', '--clear-groups', '--',
                               'python3', '-c', script, examples, self.cache, job,
                               program='setpriv')
            result = support.finish(guest)
            self.assertEqual(result.out, '-32002\n' * 6, result)
            self.stop(self.process)

    def test_root_copies_for_root_only(self):
        variant = self.make_variant()
        os.mkdir(self.cache)
        os.chmod(self.cache, 0o1777)
        self.start_daemon('--clients=everybody')
        manifest = support.write_manifest(self.path('manifest'), [variant])
        result = support.finish(self.as_user(EVE, 'warm', '--daemon=require', manifest))
        self.assert_refused(result, FAILED, about=['root only'])
        result = support.finish(self.as_user(EVE, 'warm', manifest))  # does it itself
        self.assert_code(result, DONE)
        self.assert_code(self.get_as(EVE, variant), DONE)
        self.assertEqual(os.stat(self.get(variant)[0]).st_uid, EVE)

    @once
    def test_a_group_that_there_is_not(self):
        """A wrong setting."""
        for arguments in ([], ['--foreground']):
            result = self.run_program('--cache', self.cache, 'daemon', '--clients=no-such-group', *arguments)
            self.assert_refused(result, support.USAGE, about=['--clients', 'no-such-group'])

    def test_a_socket_of_somebody_else(self):
        self.serve_as(ANN)
        self.stop(self.process)
        other = self.path('other')
        variant = self.make_variant()
        os.mkdir(other)
        os.chown(other, EVE, EVE)
        eve = self.start(f'--reuid={EVE}', f'--regid={EVE}', '--clear-groups', '--', self.program,
                         '--cache', other, 'daemon', '--foreground', '--clients=everybody',
                         program='setpriv')
        wait_until(lambda: os.path.exists(os.path.join(other, '.sys', 'daemon.sock')),
                   'the daemon to serve')
        os.symlink(os.path.join(other, '.sys', 'daemon.sock'),
                   os.path.join(self.cache, '.sys', 'daemon.sock'))
        self.assert_refused(self.get_as(BOB, variant), FAILED, about=[f'user {EVE}'])
        self.assert_code(support.finish(self.as_user(BOB, 'get', variant.argument)), support.MISSING)
        self.stop(eve)
