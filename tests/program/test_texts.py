"""Every text in a cache, as others may have left it: a member missing, or of another type; empty,
huge, no text at all. No command crashes of it, each does the rest of its work, and what is whole is
found."""
import contextlib
import json
import os
import socket
import time

import daemons
import rezlike
import support
from support import DONE, FAILED, FINDINGS, LOCKED, MISSING, PARTLY, Variant, make_handle

OLD_S = 1000  # settled, and older than any grace time
WRONG = [None, True, -1, 1.5, 10 ** 40, '', 'x', 'a\0b', '../x', [], {}, [{}]]
HUGE = None  # a file of a gigabyte, with nothing in it
NO_TEXTS = [b'', b'\n', b'\0', b' ', b'no', b'null', b'1', b'"x"', b'[]', b'{}', b'[{}]', b'\xff\xfe',
            bytes(range(256)) * 16, b'[' * 100000, b'{"a":' * 100000, b'1' * 100000, HUGE]
TIMES = [2 ** 63 - 1, -2 ** 63, 2 ** 62, -2 ** 62, 2 ** 40, -2 ** 40, 2 ** 34, -1, 0]
GOES_ON = (DONE, FAILED, MISSING, PARTLY, FINDINGS, LOCKED)


def places(value):
    """All members and elements of a document: (container, key or index)."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from places(value[key])


def spoilt_documents(text):
    """The document with each member missing, and with each that is something else."""
    document = json.loads(text)
    for container, key in list(places(document)):
        right = container[key]
        for wrong in WRONG:
            container[key] = wrong
            yield json.dumps(document).encode()
        if isinstance(container, dict):
            members = list(container.items())
            del container[key]
            yield json.dumps(document).encode()
            container.clear()
            container.update(members)
        container[key] = right
    yield text[:len(text) // 2]


def spoilt_records(text):
    """A record of lines `KEY VALUE` with each line missing, twice, and with other values."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        key = line.split(b' ')[0]
        for others in ([], [line, line], *[[key + b' ' + value + b'\n'] for value in (
                b'', b'0', b'-1', b'x' * 1000, b'1' * 40, b'\xff', b'../x')], [key], [key + b'\n']):
            yield b''.join(lines[:number] + others + lines[number + 1:])
    yield text[:-1]


def own_texts(texts):
    """Those of variants v0, v1 and so on, where the texts have NAME."""
    return [text and text.replace(b'NAME', b'v%d' % number) for number, text in enumerate(texts)]


class TextsTest(support.ProgramTest):
    """A cache with a witness, and with variants whose texts are spoilt."""

    def setUp(self):
        super().setUp()
        self.witness = self.make_variant('witness')
        self.assert_code(self.warm([self.witness]), DONE)
        self.victim = self.make_variant('victim', files={'f': b'1'})
        self.victims = []

    def private(self, *names):
        """A path under .sys; the directory is made."""
        path = os.path.join(self.cache, '.sys', *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def fill(self, count):
        """So many variants; returns their payloads."""
        self.victims = [Variant(make_handle(name=f'v{number}'), self.victim.root)
                        for number in range(count)]
        self.assert_code(self.warm(self.victims), DONE)
        return self.get(*self.victims)

    @staticmethod
    def write(path, text):
        """Something in the place of a file; it was not touched for long."""
        with open(path, 'wb') as file:
            file.write(text or b'')
            if text is HUGE:
                file.truncate(1 << 30)
        os.utime(path, (time.time() - OLD_S,) * 2)

    def assert_goes_on(self, spoil):
        """Each command does what it can, also when all is spoilt anew before it."""
        manifest = support.write_manifest(self.path('all.json'), self.victims)
        commands = [['list'], ['stats'], ['doctor'], ['verify'], ['clean']]
        if self.victims:
            commands += [['warm', '--no-wait', manifest],
                         ['remove', *[variant.argument for variant in self.victims]], ['verify']]
        for command in commands:
            spoil()
            result = self.run_program('--cache', self.cache, '--json', *command)
            with self.subTest(command[0]):
                self.assert_code(result, *GOES_ON)
                if command[0] == 'verify':
                    statuses = {found['handle']['variables']['name']: found['status']
                                for found in result.json()['results']}
                    self.assertEqual(statuses.get('witness'), 'sound', statuses)
                if command[0] in ('clean', 'list', 'stats'):
                    self.assert_code(result, DONE)
                self.assert_cached(self.witness)

    def record(self):
        """What a process of ours writes of itself."""
        with open('/proc/self/stat', encoding='ascii') as file:
            start = file.read().rsplit(')', 1)[1].split()[19]
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            boot = file.read().strip()
        return (f'pkgcache-owner 1\npid {os.getpid()}\nstart {start}\n'
                f'pid-namespace {os.stat("/proc/self/ns/pid").st_ino}\nboot {boot}\n'
                f'host {socket.gethostname()}\ncommand pkgcache\nstaging run-1\n').encode()


class Texts(TextsTest):
    """Kind by kind."""

    def manifests(self):
        """Whose first texts are spoilt; returns what spoils them."""
        text = json.dumps({'handle': make_handle(name='NAME'), 'by': 'copy', 'inode': 1}).encode()
        spoilt = own_texts([*spoilt_documents(text), *NO_TEXTS])
        paths = []
        for payload in self.fill(len(spoilt)):
            _, name, version, hash4, slot = payload.rsplit('/', 4)
            paths.append(self.private('manifests', f'{name}-{version}.{hash4}.{slot}'))
        with open(paths[0], 'rb') as file:
            rest = file.read().partition(b'\0')[2]

        def spoil():
            for path, first in zip(paths, spoilt):
                self.write(path, first if first is HUGE else first + b'\0' + rest)
        return spoil

    def test_manifests(self):
        self.assert_goes_on(self.manifests())

    @support.once
    def test_manifests_of_nobody(self):
        """As when a variant was removed by rez: clean judges by the first text alone."""
        spoil = self.manifests()
        spoil()
        for name in os.listdir(self.private('manifests')):
            if not name.startswith('witness'):
                os.rename(self.private('manifests', name), self.private('manifests', name + 'z'))
        self.assert_goes_on(lambda: None)

    def test_sidecars(self):
        text = rezlike.sidecar_text(make_handle(name='NAME')).encode()
        spoilt = own_texts([*spoilt_documents(text), *NO_TEXTS])
        payloads = self.fill(len(spoilt))

        def spoil():
            for payload, text in zip(payloads, spoilt):
                if os.path.isdir(os.path.dirname(payload)):
                    self.write(payload + '.json', text)
        self.assert_goes_on(spoil)

    @support.once
    def test_copies(self):
        """.copying-INC, of those that are dead and those that live."""
        spoilt = [*spoilt_records(self.record()), *NO_TEXTS]
        payloads = self.fill(len(spoilt))

        def spoil():
            for payload, text in zip(payloads, spoilt):
                directory, slot = os.path.split(payload)
                if os.path.isdir(directory):
                    self.write(f'{directory}/.copying-{slot}', text)
        self.assert_goes_on(spoil)

    @support.once
    def test_leases_and_staging(self):
        spoilt = [*spoilt_records(self.record()), *NO_TEXTS]

        def spoil():
            for number, text in enumerate(spoilt):
                self.write(self.private('leases', f'{number:016x}-{number:016x}'), text)
                self.write(self.private('staging', f'run-{number}.owner'), text)
                os.makedirs(self.private('staging', f'run-{number}'), exist_ok=True)
        self.assert_goes_on(spoil)

    @support.once
    def test_times(self):
        """Also times may be anything that the file system takes."""
        payloads = self.fill(len(TIMES))

        def set_times(path, number):
            with contextlib.suppress(OSError, OverflowError):
                os.utime(path, (TIMES[number % len(TIMES)],) * 2)

        def spoil():
            for number, payload in enumerate(payloads):
                directory, slot = os.path.split(payload)
                names = [self.private('leases', f'{number:016x}-{number:016x}'),
                         self.private('staging', f'run-{number}.owner'), self.private('used', f'{number}'),
                         self.private('pending', f'foo-1.0-{number:032x}.json'),
                         self.private('log', f'2020-01-0{number + 1}.log'),
                         self.private(f'{socket.gethostname()}-1a2b.{os.getpid()}-12{number}'),
                         *[f'{directory}/.copying-{slot}'] * (os.path.isdir(directory) and number % 2)]
                for path in names:
                    self.write(path, self.record())
                    set_times(path, number)
                for path in (payload + '.json', payload, os.path.join(payload, 'f')):
                    set_times(path, number)
        self.assert_goes_on(spoil)

    @support.once
    def test_single_files(self):
        """Those of which there is one each."""
        slot = {'slot': 'foo/1.0/abcd/a', 'seconds': 1, 'nanoseconds': 1, 'bytes': 1}  # also fuzzed
        state = json.dumps({'after': 'foo/1.0/abcd', 'bytes': 5, 'oldest': [slot]}).encode()
        counters = b'pkgcount' + b'\1\0\0\0\4\3\2\1'
        others = {'clean': [*spoilt_documents(state)][::9],
                  'counters': [counters, counters + b'\xff' * 112, counters + b'\xff' * (1 << 20)],
                  'pkgcache.lock': [*spoilt_records(self.record())][::9]}
        names = [*others, 'daemon.lock', 'serving', 'served', 'log/2020-01-01.log', 'used/1',
                 'manifests/x', 'leases/x', 'staging/x', 'to_delete/x', 'pending/x.json']
        for number in range(max(len(NO_TEXTS) + len(texts) for texts in others.values())):
            for name in names:
                texts = [*NO_TEXTS, *others.get(name, [])]
                text = texts[number % len(texts)]
                if name.startswith('log/') and text is HUGE:
                    text = b'x'  # it would be printed
                self.write(self.private(name), text)
            for command in (['clean', '--time-limit=5'], ['stats'], ['logs']):
                with self.subTest(f'{command[0]} {number}'):
                    result = self.run_program('--cache', self.cache, '--json', *command)
                    self.assert_code(result, DONE)
        self.assert_cached(self.witness)


class Served(TextsTest, daemons.DaemonTest):
    """By a daemon, which goes on serving."""

    @support.once
    def test_daemon(self):
        text = json.dumps(make_handle()).encode()
        process = self.start_daemon()
        daemon = self.connect()
        for number, text in enumerate([*spoilt_documents(text), *NO_TEXTS]):
            self.write(self.private('pending', f'foo-1.0-{number:032x}.json'), text)
            self.write(self.private('manifests', f'foo-1.0.abcd.{number}'), (text or b'') + b'\0')
            self.write(self.private('leases', f'{number:016x}-{number:016x}'), text)
        for method in ('clean', 'list', 'stats', 'status', 'ping'):
            daemon.call(method)
        self.assertEqual(daemon.get(self.witness.handle), self.get(self.witness)[0])
        self.stop(process)
