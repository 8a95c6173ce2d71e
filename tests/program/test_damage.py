"""Damage: shapes of a broken cache. Look-ups pass over them, `warm` and `clean` heal, `doctor` names."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest
from typing import Callable, NamedTuple

import cachecheck
import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, FINDINGS, MISSING, NOBODY

OLD_S = 1000  # older than any grace time
GRACE_S = 5  # the shortest there is
NEVER_S = 10 ** 6
YEAR_S = 365 * 24 * 3600


class Place:
    """A cache with one variant in it, whole; shapes are made of its slot."""

    def __init__(self, test, number):
        self.test = test
        self.cache = test.path(f'cache-{number}')
        self.variant = test.make_variant(f'v{number}')
        self.other = test.make_variant(f'other{number}')
        manifest = support.write_manifest(test.path(f'{number}.json'), [self.variant])
        self.warm = ['--cache', self.cache, '--stall-grace', str(GRACE_S), 'warm', manifest]
        test.assert_code(test.run_program(*self.warm), DONE)
        self.directory = rezlike.hash_directory(self.cache, self.variant.handle)
        (self.name,) = cachecheck.slots_of(self.cache, self.variant.handle)
        self.payload = os.path.join(self.directory, self.name)
        self.sidecar = self.payload + '.json'
        self.copying = os.path.join(self.directory, '.copying-' + self.name)
        with open(self.sidecar, encoding='ascii') as file:
            self.text = file.read()

    def private(self, *names):
        """A path under .sys."""
        return os.path.join(self.cache, '.sys', *names)

    def beside(self, name):
        """A path in the hash directory."""
        return os.path.join(self.directory, name)

    def rewrite(self, text):
        """Another text in the sidecar."""
        with open(self.sidecar, 'w', encoding='utf-8') as file:
            file.write(text)

    def replace(self, path, make, *arguments):
        """Something else in the place of a file or a directory."""
        self.take(path)
        make(path, *arguments)

    def take(self, path):
        """Nothing in its place."""
        if os.path.isdir(path) and not os.path.islink(path):
            trees.remove_tree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def copy_began(self, record=b'', age_s=OLD_S):
        """A .copying, as if somebody had begun to copy that long ago."""
        with open(self.copying, 'wb') as file:
            file.write(record)
        os.utime(self.copying, (time.time() - age_s,) * 2)

    def record(self, **changes):
        """What a process of ours writes into .copying: this one, but for the changes."""
        with open('/proc/self/stat', encoding='ascii') as file:
            start = file.read().rsplit(')', 1)[1].split()[19]
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            boot = file.read().strip()
        values = {'pid': os.getpid(), 'start': start, 'boot': boot,
                  'pid-namespace': os.stat('/proc/self/ns/pid').st_ino, 'host': socket.gethostname(),
                  'command': 'pkgcache', **changes}
        lines = ''.join(f'{key} {value}\n' for key, value in values.items())
        return f'pkgcache-owner 1\n{lines}'.encode()


def write_file(path, contents=b'something'):
    """A file, with the directories above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(contents)


def write_old_file(path):
    """One that was not touched for long."""
    write_file(path, b'')
    make_old(path)


def write_huge_file(path):
    """A gigabyte of nothing."""
    write_file(path, b' ')
    os.truncate(path, 1 << 30)


def make_socket(path):
    """A socket; its path may be longer than an address."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f'/proc/self/fd/{directory}/{os.path.basename(path)}')
    finally:
        os.close(directory)


def make_old(path):
    """Its times are long ago."""
    os.utime(path, (time.time() - OLD_S,) * 2, follow_symlinks=False)


def another_slot(place, name):
    """A second slot with the sidecar of the first, whole."""
    shutil.copytree(place.variant.root, place.beside(name))
    write_file(place.beside(name + '.json'), place.text.encode())


def ended_process():
    """The number of a process that has ended."""
    with subprocess.Popen(['true']) as process:
        process.wait()
        return process.pid


class Shape(NamedTuple):
    """One kind of damage."""
    name: str
    make: Callable  # (place)
    says: str       # what doctor says of it
    found: bool = False  # get finds the variant all the same
    stays: Callable = lambda place: []  # paths that neither warm nor clean may touch


OTHER_KIND = json.dumps({'handle': {'key': 'database.variant', 'variables': {'name': 'foo'}}})

SIDECARS = [
    Shape('empty', lambda p: p.rewrite(''), 'cannot be read'),
    Shape('half', lambda p: p.rewrite(p.text[:len(p.text) // 2]), 'cannot be read'),
    Shape('no JSON', lambda p: p.rewrite('no'), 'cannot be read'),
    Shape('zeros, as after a power cut', lambda p: p.rewrite('\0' * len(p.text)), 'cannot be read'),
    Shape('JSON of another type', lambda p: p.rewrite('[1]'), 'no handle'),
    Shape('without a handle', lambda p: p.rewrite('{"data": []}'), 'no handle'),
    Shape('nested', lambda p: p.rewrite('[' * 100000), 'cannot be read'),
    Shape('of 1 GB', lambda p: p.replace(p.sidecar, write_huge_file), 'larger'),
    Shape('an empty directory', lambda p: p.replace(p.sidecar, os.mkdir), 'is a directory'),
    Shape('a directory', lambda p: p.replace(p.sidecar, trees.make_plain_tree, {'f': b'1'}),
          'is a directory'),
    Shape('a link that goes on', lambda p: (os.rename(p.sidecar, p.beside('kept')), os.symlink(
        'kept', p.sidecar)), 'link', stays=lambda p: [p.beside('kept')]),
    Shape('a link to nowhere', lambda p: p.replace(p.sidecar, lambda path: os.symlink(
        '/nowhere', path)), 'link'),
    Shape('a fifo', lambda p: p.replace(p.sidecar, os.mkfifo), 'fifo'),
    Shape('a socket', lambda p: p.replace(p.sidecar, make_socket), 'socket'),
    Shape('missing', lambda p: p.take(p.sidecar), 'has no sidecar'),
    Shape('with the handle of another', lambda p: p.rewrite(rezlike.sidecar_text(p.other.handle)),
          'another directory', stays=lambda p: [p.sidecar, p.payload]),
    Shape('with another kind of handle', lambda p: p.rewrite(OTHER_KIND), 'another kind',
          stays=lambda p: [p.sidecar, p.payload]),
    Shape('with a version that rez cannot parse', lambda p: p.rewrite(re.sub(
        '"version": "[^"]*"', '"version": "1..2"', p.text)), 'rez could neither list nor clean'),
    Shape('twice', lambda p: another_slot(p, 'zza'), 'duplicate', found=True),
]

PAYLOADS = [
    Shape('missing', lambda p: p.take(p.payload), 'payload is missing'),
    Shape('a file', lambda p: p.replace(p.payload, write_file), 'is not a directory'),
    Shape('a link', lambda p: p.replace(p.payload, lambda path: os.symlink(p.variant.root, path)),
          'is not a directory', stays=lambda p: [p.variant.root]),
    Shape('missing, and a .copying', lambda p: (p.take(p.payload), p.copy_began()), 'stalled'),
]

COPIES = [
    Shape('by a rez', lambda p: p.copy_began(), 'stalled'),
    Shape('without a sidecar', lambda p: (p.take(p.sidecar), p.copy_began()), 'stalled'),
    Shape('without anything', lambda p: (p.take(p.sidecar), p.take(p.payload), p.copy_began()),
          'stalled'),
    Shape('with half a sidecar', lambda p: (p.rewrite('{"han'), p.copy_began()), 'stalled'),
    Shape('a directory', lambda p: (os.mkdir(p.copying), make_old(p.copying)), 'stalled'),
    Shape('a full directory', lambda p: (trees.make_plain_tree(p.copying, {'f': b''}),
                                         make_old(p.copying)), 'stalled'),
    Shape('a link', lambda p: (os.symlink('/nowhere', p.copying), make_old(p.copying)), 'stalled'),
    Shape('a socket', lambda p: (make_socket(p.copying), make_old(p.copying)), 'stalled'),
    Shape('a fifo', lambda p: (os.mkfifo(p.copying), make_old(p.copying)), 'stalled'),
    Shape('with a record that is none', lambda p: p.copy_began(b'\xff' * 3000), 'stalled'),
    Shape('by a process that has ended', lambda p: p.copy_began(p.record(pid=ended_process()), 0),
          'pid'),
    Shape('by another process of that number', lambda p: p.copy_began(p.record(start=1), 0), 'pid'),
    Shape('in another pid namespace', lambda p: p.copy_began(
        p.record(**{'pid-namespace': 1})), 'stalled'),
    Shape('on another machine', lambda p: p.copy_began(p.record(
        boot='0' * 36, host='elsewhere')), 'elsewhere'),
    Shape('from before this boot', lambda p: p.copy_began(
        p.record(boot='0' * 36), time.time() - support.boot_time() + 3600), 'stalled'),
]

OTHERS = [
    Shape('a file in the hash directory', lambda p: write_file(p.beside('notes')), 'not made by rez',
          found=True, stays=lambda p: [p.beside('notes')]),
    Shape('a directory that is no slot', lambda p: os.mkdir(p.beside('notes')), 'not made by rez',
          found=True, stays=lambda p: [p.beside('notes')]),
    Shape('a name that rez never comes to', lambda p: write_file(p.beside('abcde.json'), b''),
          'not made by rez', found=True, stays=lambda p: [p.beside('abcde.json')]),
    Shape('a .copying of no slot', lambda p: write_file(p.beside('.copying-No')), 'not made by rez',
          found=True, stays=lambda p: [p.beside('.copying-No')]),
    Shape('a file beside it', lambda p: write_file(os.path.dirname(p.directory) + '/notes'),
          'not made by rez', found=True, stays=lambda p: [os.path.dirname(p.directory) + '/notes']),
    Shape('a directory beside it', lambda p: write_file(os.path.dirname(p.directory) + '/src/a.c'),
          'not made by rez', found=True, stays=lambda p: [os.path.dirname(p.directory) + '/src']),
    Shape('a file at the top', lambda p: write_file(p.cache + '/README'), 'not made by rez',
          found=True, stays=lambda p: [p.cache + '/README']),
    Shape('a file in .sys', lambda p: write_file(p.private('notes')), 'not made by rez', found=True,
          stays=lambda p: [p.private('notes')]),
    Shape('a rez that died while it waited', lambda p: write_old_file(p.private(
        f'{socket.gethostname()}-1a2b.{ended_process()}-123')), 'waited', found=True),
]


class DamageTest(support.ProgramTest):
    """Makes shapes, each in a cache of its own."""

    places = 0

    def place(self):
        """A fresh one."""
        self.places += 1
        return Place(self, self.places)

    def roots(self, place):
        """What `get` says of the variant."""
        result = self.run_program('--cache', place.cache, 'get', place.variant.argument)
        self.assert_code(result, DONE, MISSING)
        return result.out.strip()

    def doctor(self, place, *arguments, codes=(FINDINGS,), **options):
        """What `doctor` says, one line for each finding that is not well; it changes nothing."""
        with self.untouched(place.cache):
            result = self.run_program('--cache', place.cache, '--json', 'doctor', *arguments,
                                      **options)
        self.assert_code(result, *codes)
        return [f'{finding["path"]}: {finding["text"]}' for finding in result.json()['findings']
                if finding['severity'] != 'well']

    def clean(self, place):
        """Runs `clean`."""
        self.assert_code(self.run_program('--cache', place.cache, '--stall-grace', GRACE_S,
                                          'clean'), DONE)

    @contextlib.contextmanager
    def kept(self, *paths):
        """These stay as they are, and what is in them."""
        before = [os.lstat(path) for path in paths]
        with self.untouched(*paths):
            yield
        for path, status in zip(paths, before):
            now = os.lstat(path)
            self.assertEqual((now.st_ino, now.st_mtime_ns), (status.st_ino, status.st_mtime_ns))

    def assert_healed_by_warm(self, place):
        """FOUND, and equal to its source."""
        self.assert_code(self.run_program(*place.warm), DONE)
        self.assert_same_tree(place.variant.root, self.roots(place))

    def assert_nothing_left(self, place, shape):
        """What is there is a whole slot, or was not to be touched."""
        stays = {os.path.realpath(path) for path in shape.stays(place)}
        whole = self.roots(place)
        slot = {whole, whole + '.json'} if whole else set()
        names = {place.beside(name) for name in os.listdir(place.directory)}
        self.assertEqual(names - stays - slot, set())
        for directory in ('staging', 'to_delete'):
            self.assertEqual(os.listdir(place.private(directory)), [])
        self.assertEqual([name for name in os.listdir(place.private())
                          if rezlike.is_lock_file(name)], [])


class Catalogue(DamageTest):
    """Each shape is passed over by `get`, named by `doctor`, healed by `warm` and by `clean`."""

    def check(self, shapes):
        """Checks each of these."""
        for shape in shapes:
            with self.subTest(shape.name):
                place = self.place()
                shape.make(place)
                self.assertEqual(bool(self.roots(place)), shape.found)
                self.assert_named(place, shape)
                with self.kept(*shape.stays(place)):
                    self.assert_healed_by_warm(place)
                place = self.place()
                shape.make(place)
                with self.kept(*shape.stays(place)):
                    self.clean(place)
                self.assert_nothing_left(place, shape)

    def assert_named(self, place, shape):
        """Doctor says where it is, and what."""
        codes = (DONE, FINDINGS) if shape.found else (FINDINGS,)
        lines = self.doctor(place, codes=codes)
        self.assertTrue([line for line in lines if line.startswith(place.cache) and
                         shape.says in line], f'{shape.says} is not in {lines}')

    def test_sidecars(self):
        """Empty, half, no file at all, somebody else's."""
        self.check(SIDECARS)

    def test_payloads(self):
        """Missing, or something else."""
        self.check(PAYLOADS)

    def test_copies(self):
        """That nobody goes on with."""
        self.check(COPIES)

    def test_what_is_not_ours(self):
        """Is named, and never deleted."""
        self.check(OTHERS)


class Private(DamageTest):
    """What stands in the way under .sys, or above the slots: nothing is deleted, all is named."""

    def assert_refused_and_named(self, place, path, *commands):
        """These commands fail and name the path, doctor too; `get` does not care."""
        self.assertTrue(self.roots(place) or commands == ([],))
        lines = self.doctor(place)
        self.assertTrue([line for line in lines if path in line], lines)
        other = ['add', '--root', place.other.root, place.other.argument]
        for command in commands:
            result = self.run_program('--cache', place.cache, *(command or other))
            self.assert_refused(result, FAILED, about=[os.path.basename(path)])

    def test_links_in_the_place_of_directories(self):
        """They may lead to what is somebody's: nothing there is deleted."""
        for name in ('staging', 'to_delete'):
            with self.subTest(name):
                place = self.place()
                precious = self.path(f'precious-{name}')
                trees.make_plain_tree(precious, {'a/b': b'1', 'c': b'2'})
                for path, _, _ in os.walk(precious):
                    make_old(path)
                place.replace(place.private(name), lambda path, to=precious: os.symlink(to, path))
                with self.untouched(precious):
                    self.assert_refused_and_named(place, place.private(name), ['clean'], [])

    def test_files_in_the_place_of_directories(self):
        """Are not ours to take away."""
        for name in ('staging', 'to_delete'):
            with self.subTest(name):
                place = self.place()
                place.replace(place.private(name), write_file)
                self.assert_refused_and_named(place, place.private(name), ['clean'], [])

    def test_a_lock_that_is_no_file(self):
        """Nothing can be changed, all can be found."""
        for make in (os.mkdir, os.mkfifo, lambda path: os.symlink('/nowhere', path), make_socket):
            place = self.place()
            place.replace(place.private('pkgcache.lock'), make)
            self.assert_refused_and_named(place, place.private('pkgcache.lock'), [])

    def test_a_hash_directory_that_is_none(self):
        """A file, a link to nowhere: missing, and `warm` says what is in the way."""
        for make in (write_file, lambda path: os.symlink('/nowhere/at/all', path)):
            place = self.place()
            place.replace(place.directory, make)
            self.assertEqual(self.roots(place), '')
            self.assertIn(place.directory, '\n'.join(self.doctor(place, codes=(DONE,))))
            result = self.run_program(*place.warm)
            self.assert_code(result, FAILED)
            self.assert_code(self.run_program('--cache', place.cache, 'clean'), DONE)
            self.assertTrue(os.path.lexists(place.directory))

    def test_what_waits(self):
        """Staging that was left, payloads to be deleted, a queue that rez cannot read."""
        place = self.place()
        self.run_program('--cache', place.cache, 'remove', place.variant.argument)
        trees.make_plain_tree(place.private('staging'), {'run-1/0.tree/file': b''})
        write_file(place.private('staging', 'run-1.owner'), place.record(pid=ended_process()))
        write_file(place.private('pending', 'foo-1.0-abc.json'), b'{"key"')
        said = '\n'.join(self.doctor(place))
        for words in ('has ended', 'wait to be deleted', 'foo-1.0-abc.json'):
            self.assertIn(words, said)
        self.clean(place)
        self.assertEqual(os.listdir(place.private('staging')), [])


class Stalled(DamageTest):
    """Copies whose copier may live."""

    def test_dated_in_the_future(self):
        """As when the clock was set back: the grace time counts from when it was last touched."""
        for record in (b'', True):
            place = self.place()
            place.copy_began(place.record() if record else b'', -YEAR_S)
            self.assertIn('future', '\n'.join(self.doctor(place)))
            self.assertEqual(rezlike.look(place.cache, place.variant.handle)[0], 'COPYING')
            self.assert_healed_by_warm(place)

    def test_dated_in_the_future_cleaned(self):
        """Not before the grace time is over."""
        place = self.place()
        place.copy_began(b'', -YEAR_S)
        self.clean(place)
        self.assertTrue(os.path.exists(place.copying))
        time.sleep(GRACE_S + 1.5)
        self.clean(place)
        self.assert_nothing_left(place, COPIES[0])

    def test_one_that_lives(self):
        """Nobody takes it; doctor says who it is, and --no-wait that another process has it."""
        place = self.place()
        place.copy_began(place.record(), 0)
        said = '\n'.join(self.doctor(place, codes=(DONE,)))
        self.assertIn(str(os.getpid()), said)
        result = self.run_program('--cache', place.cache, '--json', 'add', '--no-wait', '--root',
                                  place.variant.root, place.variant.argument)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['copying'], 1)
        self.assertIn(f'process {os.getpid()} ', result.json()['results'][0]['reason'])
        self.assert_code(self.run_program('--cache', place.cache, 'clean'), DONE)
        self.assertTrue(os.path.exists(place.copying))

    def test_a_container_that_was_killed(self):
        """Its processes cannot be seen from here: the grace time decides."""
        place = self.place()
        self.run_program('--cache', place.cache, 'remove', place.variant.argument)
        with mounts.slow_mount(place.variant.root, '--delay-ms', '300') as slow:
            command = ['unshare', '--pid', '--fork', '--kill-child', support.PROGRAM, '--cache',
                       place.cache, '--in-flight', '1', 'add', '--root', slow.path,
                       place.variant.argument]
            process = support.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=self.environment)
            support.at_the_end(self.addCleanup, support.kill_process, process)
            support.wait_until(lambda: process.poll() is not None or
                               cachecheck.slots_of(place.cache, place.variant.handle), 'a slot')
            if process.poll():
                self.skipTest(f'unshare: {process.stderr.read().decode()}')
            process.kill()
            process.wait()
            result = self.run_program('--cache', place.cache, '--stall-grace', NEVER_S, '--json',
                                      'add', '--no-wait', '--root', place.variant.root,
                                      place.variant.argument)
            self.assertEqual(result.json()['created'], 0, result)
            self.assert_healed_by_warm(place)


class Paused(DamageTest):
    """A copier that sleeps for longer than the grace time, and wakes."""

    def start_and_pause(self, place):
        """Stops a `warm` between two steps, not while it holds the lock."""
        place.take(place.sidecar)
        place.take(place.payload)
        slow = self.enter(mounts.slow_mount(place.variant.root, '--delay-ms', '100'))
        process = self.start('--cache', place.cache, '--in-flight', '1', '--json', 'add', '--root',
                             slow.path, place.variant.argument)
        support.wait_until(lambda: process.poll() is not None or
                           cachecheck.slots_of(place.cache, place.variant.handle), 'a slot')
        while True:
            process.send_signal(signal.SIGSTOP)
            support.wait_stopped(process)
            if not os.path.exists(place.private('.lock.lock')):
                return process, slow
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)

    def test_another_of_ours_has_it(self):
        """Its slot is found to be gone, the new one is found, and stays."""
        place = self.place()
        process, _ = self.start_and_pause(place)
        (name,) = cachecheck.slots_of(place.cache, place.variant.handle)
        self.assert_healed_by_warm(place)
        root = self.roots(place)
        self.assertNotEqual(os.path.basename(root), name)
        process.send_signal(signal.SIGCONT)
        result = support.finish(process)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['found'], 1, result)
        self.assertEqual(self.roots(place), root)
        self.clean(place)
        self.assert_nothing_left(place, COPIES[0])

    def test_it_was_cleaned_away(self):
        """Claims another with the tree that it has: no file is read twice."""
        place = self.place()
        process, _ = self.start_and_pause(place)
        (name,) = cachecheck.slots_of(place.cache, place.variant.handle)
        time.sleep(GRACE_S + 1.5)
        self.clean(place)
        self.assertEqual(self.roots(place), '')
        process.send_signal(signal.SIGCONT)
        result = support.finish(process)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['created'], 1, result)
        self.assertNotEqual(cachecheck.slots_of(place.cache, place.variant.handle), [name])
        self.assert_same_tree(place.variant.root, self.roots(place))


@unittest.skipIf(os.geteuid(), 'becoming another user needs root')
class OtherUsers(DamageTest):
    """Files that may not be read."""

    def setUp(self):
        super().setUp()
        self.as_nobody = {'uid': NOBODY, 'program': self.program_for_anybody()}

    def open_to_all(self, place):
        """The cache, for everybody."""
        for path, directories, _ in os.walk(place.cache):
            os.chmod(path, 0o777)
            directories[:] = [name for name in directories if name != place.name]
        os.chmod(place.private('pkgcache.lock'), 0o666)
        os.chmod(os.path.dirname(place.variant.root), 0o755)
        os.chmod(self.path(f'{self.places}.json'), 0o644)

    def test_a_sidecar_of_another_user(self):
        """Passed over; copied again; never deleted by whom it does not belong to."""
        place = self.place()
        self.open_to_all(place)
        os.chmod(place.sidecar, 0)
        said = '\n'.join(self.doctor(place, **self.as_nobody))
        self.assertIn('cannot be opened', said)
        self.assert_code(self.run_program('--cache', place.cache, 'clean', **self.as_nobody), DONE)
        self.assertTrue(os.path.exists(place.sidecar))
        result = self.run_program(*place.warm, **self.as_nobody)
        self.assert_code(result, DONE)
        self.assertTrue(os.path.exists(place.sidecar))
        self.assertEqual(len(cachecheck.slots_of(place.cache, place.variant.handle)), 2)

    def test_a_sidecar_closed_to_its_owner(self):
        """Is as good as unreadable."""
        place = self.place()
        self.open_to_all(place)
        os.chown(place.sidecar, NOBODY, NOBODY)
        os.chmod(place.sidecar, 0)
        self.assert_code(self.run_program(*place.warm, **self.as_nobody), DONE)
        self.assertFalse(os.path.exists(place.sidecar))

    def test_a_copying_of_another_user(self):
        """That cannot be read is judged by its times, and not waited for for ever."""
        place = self.place()
        self.open_to_all(place)
        place.copy_began()
        os.chmod(place.copying, 0)
        self.assert_code(self.run_program(*place.warm, **self.as_nobody), DONE)
        self.assertNotEqual(self.roots(place), '')

    def test_directories_that_the_others_cannot_write_to(self):
        """Are counted, and one is named."""
        place = self.place()
        os.chmod(place.cache, 0o2775)
        said = '\n'.join(self.doctor(place))
        self.assertIn('may not write', said)


if __name__ == '__main__':
    unittest.main()
