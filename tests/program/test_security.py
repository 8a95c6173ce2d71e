"""Whoever shares a cache does no harm to what is outside of it: no link in it is followed, sizes of others
are not believed, names of others do not reach a terminal."""
import glob
import os
import pty
import shutil
import signal
import subprocess
import time
import unittest

import daemons
import rezlike
import support
import systemcalls
import trees
from support import DONE, FAILED, MISSING, once

ANN, BOB = 60001, 60002  # users without an entry anywhere
GROUP = 60003            # both are in it
PRELOADS = ('asan', 'tsan')


def as_user(user):
    """What to put before a command."""
    return [] if user == 0 else ['setpriv', f'--reuid={user}', f'--regid={GROUP}', '--clear-groups', '--']


@unittest.skipUnless(os.geteuid() == 0, 'becoming other users needs root')
@unittest.skipUnless(shutil.which('setpriv'), 'needs setpriv(1)')
class SharedTest(daemons.DaemonTest):
    """A cache of several users."""

    maxDiff = None
    mode = 0o1777

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        os.chown(self.cache, 0, GROUP)
        os.chmod(self.cache, self.mode)
        self.program = self.program_for_anybody()

    def run_as(self, user, *arguments, **options):
        """Runs the program as a user."""
        command = [*as_user(user), self.program, '--cache', self.cache, '--daemon=never', *arguments]
        return self.run_program(*command[1:], program=command[0], **options)

    def add_as(self, user, *variants):
        """Caches variants as a user."""
        for variant in variants:
            self.assert_code(self.run_as(user, 'add', '--root', variant.root, variant.argument), DONE)

    def root_of(self, variant):
        """Where a variant is cached, or None."""
        result = self.run_as(0, 'get', '--touch=no', variant.argument)
        self.assert_code(result, DONE, MISSING)
        return result.out.strip() or None


@unittest.skipUnless(shutil.which('strace'), 'needs strace(1)')
class FollowsNoLink(SharedTest):
    """Every call that takes a name in the cache is seen, and could not follow a link there."""

    mode = 0o2775

    def setUp(self):
        super().setUp()
        self.skip_with_sanitizers('their run-time library makes calls of its own')
        self.traces = 0

    def trace(self, user, *arguments, program=None):
        """Starts a program under strace; returns the process and where its trace is."""
        self.traces += 1
        path = self.path(f'trace-{self.traces}')
        command = [program or self.program, *arguments]
        process = self.start('-ff', '-y', '-qq', '-s', '4096', '-e', 'signal=none', '-o', path,
                             '-e', f'trace={systemcalls.TRACED}', '--', *as_user(user), *command,
                             program='strace')
        return process, path

    def judge(self, path, least=1):
        """No call of a trace could follow a link in the cache."""
        names = []
        for trace in glob.glob(path + '.*'):  # one of each thread
            with open(trace, encoding='utf-8', errors='surrogateescape') as file:
                names += systemcalls.names_of(file.read())
        here = [name for name in names if name.below(self.cache) is not None]
        self.assertGreaterEqual(len(here), least, 'the trace shows the cache')
        # the socket gets its mode in a directory that only its daemon may enter
        bad = [name for name in here if systemcalls.may_follow(name, self.cache) and
               not os.path.basename(name.start).startswith('.daemon-')]
        self.assertEqual(sorted({f'{name.call} {name.path} {name.flags}' for name in bad}), [])

    def run_traced(self, user, *arguments, codes=(DONE,), **options):
        """Runs the program as a user, to its end, and judges its calls."""
        process, path = self.trace(user, '--cache', self.cache, '--backend=threads', '--daemon=never',
                                   *arguments, **options)
        self.assert_code(support.finish(process), *codes)
        self.judge(path)

    def damage(self, variant):
        """Changes a byte, and leaves what a crash leaves."""
        root = self.root_of(variant)
        directory = os.path.dirname(root)
        file = next(os.path.join(root, name) for name in os.listdir(root)
                    if os.path.isfile(os.path.join(root, name)))
        status = os.stat(file)
        with open(file, 'r+b') as stream:
            stream.write(b'other')
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.makedirs(os.path.join(directory, 'abcd', 'd'))
        os.chmod(os.path.join(directory, 'abcd'), 0o555)
        os.chown(os.path.join(directory, 'abcd'), ANN, GROUP)
        empty = os.path.join(self.cache, 'empty', '1.0', '00ff')
        os.makedirs(empty)
        for path in (empty, os.path.dirname(empty), os.path.dirname(os.path.dirname(empty))):
            os.chown(path, ANN, GROUP)
            os.utime(path, (1e9, 1e9))

    def fill_trash(self):
        """A removed payload of Ann's with directories that she closed."""
        trash = os.path.join(self.cache, '.sys', 'to_delete', 'foo-1.0-x')
        trees.make_plain_tree(trash, {'closed/sub/file': b'1', 'open/file': b'2'})
        for directory, _, files in os.walk(trash):
            for path in [directory, *(os.path.join(directory, name) for name in files)]:
                os.chown(path, ANN, GROUP)
        os.chmod(os.path.join(trash, 'closed', 'sub'), 0)
        os.chmod(os.path.join(trash, 'closed'), 0)

    @once
    def test_commands(self):
        """All that a user does with a cache, as root and as another."""
        contents = {'file': b'1' * 100, 'd/file': b'2', 'd/e/file': b'3', 'link': 'd/file'}
        for user, other in ((ANN, BOB), (0, ANN)):
            with self.subTest(user=user):
                one, two, three = (self.make_variant(f'package{user}-{number}', contents)
                                   for number in range(3))
                manifest = support.write_manifest(self.path(f'{user}.json'), [one, two])
                self.run_traced(user, 'warm', manifest)
                self.add_as(other, three)
                self.run_traced(user, 'get', one.argument, one.argument, three.argument, one.argument)
                self.run_traced(user, 'get', f'--lease={os.getpid()}', two.argument)
                self.run_traced(user, '--json', 'list')
                self.run_traced(user, 'verify', codes=(DONE, support.PARTLY))
                self.damage(one)
                self.run_traced(user, 'doctor', codes=(DONE, support.FINDINGS))
                self.run_traced(user, 'verify', '--repair', codes=(DONE, support.PARTLY))
                self.run_traced(user, 'remove', three.argument)
                self.fill_trash()
                self.run_traced(user, 'clean', '--time-limit=100', '--max-size=1B')
                self.run_traced(user, 'clean')
                self.run_traced(user, 'stats')
                self.run_traced(user, 'logs', '-n', '5')
                self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])

    @once
    def test_the_daemon(self):
        """Its socket and lock, look-ups that are repeated, and what it copies and cleans."""
        variant = self.make_variant()
        process, path = self.trace(0, '--cache', self.cache, '--backend=threads', 'daemon', '--foreground',
                                   '--clients=everybody')
        socket = os.path.join(self.cache, '.sys', 'daemon.sock')
        support.wait_until(lambda: os.path.exists(socket), 'the daemon to serve')
        with daemons.Daemon(self.cache, timeout=support.PATIENCE_S) as daemon:
            daemon.warm([{'handle': variant.handle, 'root': variant.root}])
            for _ in range(3):
                self.assertIsNotNone(daemon.get(variant.handle))
            daemon.call('stats')
            daemon.call('clean')
            daemon.call('shutdown')
        self.assert_code(support.finish(process), DONE)
        self.judge(path)

    @once
    def test_the_program_of_rez(self):
        """Its list, logs and clean."""
        self.add_as(ANN, self.make_variant())
        rez_program = os.path.join(os.path.dirname(support.PROGRAM), 'rez-pkg-cache')
        shutil.copy(rez_program, self.path('rez-pkg-cache'))
        for arguments in ([], ['--logs'], ['--clean']):
            process, path = self.trace(0, *arguments, self.cache, program=self.path('rez-pkg-cache'))
            self.assert_code(support.finish(process), DONE)
            self.judge(path)


class Forged(SharedTest):
    """What others can write is not believed, and not written to."""

    @once
    def test_sizes(self):
        """A payload that pretends to be large costs nobody else's variant."""
        hers, his = self.make_variant('hers'), self.make_variant('his')
        self.add_as(ANN, hers)
        self.add_as(BOB, his)
        sidecar = self.root_of(his) + '.json'
        for size in ('9000000000000000000 1', '5000000000 1'):
            with self.subTest(size):
                try:
                    os.setxattr(sidecar, 'user.pkgcache.size', size.encode())
                except OSError as error:
                    self.skipTest(f'no extended attributes: {error}')
                result = self.run_as(0, 'clean', '--max-size=1G')
                self.assert_code(result, DONE)
                self.assertIsNotNone(self.root_of(hers))
                self.assertIsNotNone(self.root_of(his))

    @once
    def test_a_state_of_a_clean(self):
        """The position, sum and candidates that another user left for the next clean."""
        hers = self.make_variant('hers')
        self.add_as(ANN, hers)
        slot = os.path.relpath(self.root_of(hers), self.cache)
        forged = ('{"after": "a/1/0000", "bytes": 9000000000000000000, "oldest": [{"slot": "%s", '
                  '"seconds": 1, "nanoseconds": 0, "bytes": 9000000000000000000}]}\n' % slot)
        for name in ('clean', 'clean.0'):
            path = os.path.join(self.cache, '.sys', name)
            with open(path, 'w', encoding='ascii') as file:
                file.write(forged)
            os.chown(path, BOB, BOB)
        sidecar = self.root_of(hers) + '.json'
        os.utime(sidecar, (1, 1))
        self.assert_code(self.run_as(0, 'clean', '--time-limit=100', '--max-size=1G',
                                     '--max-variant-days=0'), DONE)
        self.assertIsNotNone(self.root_of(hers))

    @once
    def test_files_with_another_name(self):
        """Root's private files under the names of what root writes to: they stay as they are."""
        variant = self.make_variant()
        self.add_as(ANN, self.make_variant('first'))
        today = time.strftime('%Y-%m-%d.log')
        for name in ('pkgcache.lock', 'daemon.lock', f'log/{today}', 'served'):
            with self.subTest(name):
                private = self.path('private')
                with open(private, 'wb') as file:
                    file.write(b'')
                os.chmod(private, 0o600)
                os.utime(private, (1e9, 1e9))
                path = os.path.join(self.cache, '.sys', name)
                if os.path.exists(path):
                    os.unlink(path)
                os.link(private, path)
                before = os.stat(private)
                self.run_as(0, '--lock-timeout=1', 'add', '--root', variant.root, variant.argument)
                self.run_as(0, 'remove', variant.argument)
                daemon = self.start('--cache', self.cache, 'daemon', '--foreground', '--idle-exit=1')
                support.finish(daemon)
                after = os.stat(private)
                for field in ('st_size', 'st_mode', 'st_uid', 'st_gid', 'st_mtime'):
                    self.assertEqual(getattr(after, field), getattr(before, field), field)
                os.unlink(path)
                os.unlink(private)

    @once
    def test_a_link_for_the_socket(self):
        """A daemon does not make its socket where a link in the cache leads to."""
        self.add_as(ANN, self.make_variant())
        elsewhere = self.path('elsewhere')
        os.mkdir(elsewhere)
        os.symlink(os.path.join(elsewhere, 'daemon.sock'), os.path.join(self.cache, '.sys', 'daemon.sock'))
        self.start_daemon()
        self.assertEqual(os.listdir(elsewhere), [])
        self.stop(self.process)


class Deep(support.ProgramTest):
    """Trees that are deeper than a path may be long, or than a process may have descriptors."""

    def make_deep(self, path, levels, name, every=0):
        """Directories inside each other; a file in some of them. Returns how many bytes there are."""
        os.makedirs(path)
        fd, total = os.open(path, os.O_RDONLY), 0
        for level in range(levels):
            if every and level % every == every - 1:
                file = os.open('data', os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
                total += os.write(file, b'd' * 10000)
                os.close(file)
            os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        return total

    def test_sizes(self):
        """list counts what verify reads, where no size was kept; and only that is kept."""
        root = self.path('root')
        total = self.make_deep(root, 100, 'd' * 60, every=10)
        variant = support.Variant(support.make_handle(), root)
        self.assert_code(self.warm([variant]), DONE)
        sidecar = rezlike.hash_directory(self.cache, variant.handle)
        (name,) = [name for name in os.listdir(sidecar) if name.endswith('.json')]
        if os.listxattr(os.path.join(sidecar, name)):
            os.removexattr(os.path.join(sidecar, name), 'user.pkgcache.size')
        result = self.run_program('--cache', self.cache, '--json', 'verify')
        self.assert_code(result, DONE)
        for _ in range(2):
            (entry,) = self.listing()
            self.assertEqual((entry['size'], entry['files']), (total, 10))
        self.assertEqual(result.json()['bytes'], total)

    def test_trash(self):
        """It is deleted, though there are fewer descriptors than levels."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        # A name of its own: a process that works in what has the name, in any cache, keeps it.
        name = f'foo-1.0-{os.getpid()}'
        self.make_deep(os.path.join(self.cache, '.sys', 'to_delete', name), 1000, 'd')
        result = self.run_program('--nofile=200:200', support.PROGRAM, '--cache', self.cache, 'clean',
                                  program='prlimit')
        self.assert_code(result, DONE)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])


class Terminal(support.ProgramTest):
    """What others wrote is shown so that it moves no cursor, colours nothing and forges no line."""

    LOCATION = '/svr/\x1b[31mRED\x1b]0;title\x07\nforged line\u009b31m\u202e'

    def on_terminal(self, *arguments, program=None):
        """What a program says on a terminal."""
        master, slave = pty.openpty()
        process = support.spawn([program or support.PROGRAM, *arguments], stdin=slave, stdout=slave,
                                stderr=slave, env=self.environment)
        os.close(slave)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        said = b''
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other end is closed
                piece = b''
            if not piece:
                break
            said += piece
        os.close(master)
        process.wait()
        return said

    def assert_harmless(self, said, shows):
        """Nothing of the location got through, but it is shown."""
        for bad in (b'\x1b[31mRED', b'\x1b]0;', b'\x07', b'\xc2\x9b', b'\xe2\x80\xae', b'\nforged'):
            self.assertNotIn(bad, said)
        self.assertIn(shows, said)

    @once
    def test_commands(self):
        """Tables, messages and the log, of both programs."""
        variant = support.Variant(support.make_handle(self.LOCATION), self.make_variant().root)
        self.assert_code(self.warm([variant]), DONE)
        with open(os.path.join(self.cache, '.sys', 'log', '2001-01-01.log'), 'wb') as file:
            file.write(b'one \x1b[31mRED\x1b]0;t\x07\xc2\x9b\xe2\x80\xae\xff RED\n')
        uri = '/svr/\x1b[31mRED\x1b]0;t\x07/package.py[]'
        ours = ['--cache', self.cache, '--daemon=never', '--color=never']
        for arguments in (['list', '--columns=variant_uri,orig_path,package'], ['add', uri],
                          ['get', uri], ['remove', uri], ['logs']):
            with self.subTest(arguments[0]):
                self.assert_harmless(self.on_terminal(*ours, *arguments), b'RED')
        rez_program = os.path.join(os.path.dirname(support.PROGRAM), 'rez-pkg-cache')
        for arguments in ([self.cache, '-c', 'variant_uri'], ['--logs', self.cache],
                          ['-a', uri, '--', self.cache]):
            with self.subTest(arguments[0]):
                said = self.on_terminal(*arguments, program=rez_program)
                self.assert_harmless(said.replace(b'\x1b[32m', b''), b'RED')

    @once
    def test_names_of_files(self):
        """doctor, verify and clean name what somebody else made."""
        variant = self.make_variant(files={'file': b'1'})
        self.assert_code(self.warm([variant]), DONE)
        (root,) = self.get(variant)
        name = '\x1b[31mRED\x1b]0;t\x07\nforged\u009b'
        os.mkdir(os.path.join(self.cache, '.sys', 'to_delete', name))
        trees.make_plain_tree(self.cache, {os.path.join('.sys', name): b''})
        trees.make_plain_tree(root, {name: b''})
        ours = ['--cache', self.cache, '--daemon=never', '--color=never']
        for command in ('doctor', 'verify', 'clean', 'logs'):
            with self.subTest(command):
                self.assert_harmless(self.on_terminal(*ours, command), b'RED')

    @once
    def test_a_pipe_gets_names_as_they_are(self):
        """What list and get print is for programs there."""
        variant = support.Variant(support.make_handle(self.LOCATION), self.make_variant().root)
        self.assert_code(self.warm([variant]), DONE)
        result = self.run_program('--cache', self.cache, 'list', '--columns=variant_uri')
        self.assertIn(self.LOCATION, result.out)


if __name__ == '__main__':
    unittest.main()
