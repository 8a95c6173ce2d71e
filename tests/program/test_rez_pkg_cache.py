"""rez-pkg-cache: rez's options, what rez prints, and rez's exit codes."""
import json
import os
import pty
import re
import shutil
import signal
import time
import unittest

import rezprogram
import support
from rezprogram import RezProgramTest
from support import DONE, FAILED, USAGE, once

VECTORS = os.path.join(support.TOP, 'tests', 'vectors')
USAGE_LINES = 5


class CommandLine(RezProgramTest):
    """Options by the rules of argparse."""

    @once
    def test_what_argparse_says(self):
        """Some of those that the unit test has, to the end of the program."""
        with open(os.path.join(VECTORS, 'rez_arguments.json'), encoding='utf-8') as file:
            vectors = json.load(file)
        for vector in vectors[:40]:
            with self.subTest(arguments=vector['arguments']):
                result = self.run_rez(*vector['arguments'])
                self.assertEqual(result.code, vector['code'], result)
                if vector['says'] == 'help':
                    self.assertTrue(result.out.startswith('usage: rez pkg-cache '), result)
                else:
                    last = result.err.splitlines()[-1]
                    self.assertTrue(last.endswith(vector['says']), last)

    @once
    def test_help(self):
        """Help goes to standard output; usage, before an error, to standard error."""
        result = self.run_rez('-h')
        self.assertEqual((result.code, result.err), (DONE, ''))
        for option in ('-a URI [URI ...], --add-variants', '-r URI [URI ...], --remove-variants',
                       '--logs', '--clean', '--pkg-cache-mode {sync,async}', '-c {status,package,',
                       '-f, --force', '-v, --verbose'):
            self.assertIn(f'\n  {option}', result.out)
        self.assertNotIn('--daemon', result.out)
        refused = self.run_rez('--clean', '--logs')
        self.assertEqual(refused.err.splitlines()[:USAGE_LINES], result.out.splitlines()[:USAGE_LINES])

    @once
    def test_directory(self):
        """An argument, else the setting; neither is exit 2, none that exists exit 1."""
        self.assert_code(self.run_rez(), USAGE)
        configured = self.run_rez(REZ_CACHE_PACKAGES_PATH=self.cache)
        self.assertEqual((configured.code, configured.err), (DONE, 'No cached packages.\n'))
        for arguments in (['/nonexistent'], ['/nonexistent', '--clean'], ['--daemon', '/nonexistent']):
            result = self.run_rez(*arguments)
            self.assertEqual(result.code, FAILED)
            self.assertEqual(self.messages(result),
                             [('ERROR', 'PackageCacheError: Not a directory: /nonexistent')])

    @once
    def test_bad_setting(self):
        """It is named, and nothing is done."""
        variant, = self.make_package()
        result = self.run_rez(self.cache, '-a', self.uri(variant), REZ_PACKAGE_CACHE_LOG_DAYS='soon')
        self.assert_code(result, FAILED)
        self.assertIn('ConfigurationError', result.err)
        self.assertIn('REZ_PACKAGE_CACHE_LOG_DAYS', result.err)
        self.assertEqual(os.listdir(self.cache), [])


class Variants(RezProgramTest):
    """-a and -r."""

    def add(self, *arguments, code=DONE, **environment):
        """Adds; returns the messages."""
        result = self.run_rez(self.cache, *arguments, **environment)
        self.assert_code(result, code)
        self.assertEqual(result.out, '')
        return self.messages(result)

    def test_add_and_remove(self):
        """Each variant is announced, and then what became of it."""
        variants = self.make_package('bar', '2.0', [['python-3'], ['python-2']])
        uris = [self.uri(variant) for variant in variants]
        said = self.add('-a', *uris)
        self.assertEqual(said[0::2], [('INFO', f"Adding variant '{uri}' to package cache at "
                                       f'{self.cache}:') for uri in uris])
        for variant, (level, text) in zip(variants, said[1::2]):
            path = os.path.join(self.cache, 'bar', '2.0', '')
            self.assertRegex(text, f'Successfully cached to: {re.escape(path)}[0-9a-f]{{4}}/.')
            self.assert_same_tree(variant.root, text.split(': ')[1])
            self.assertEqual(level, 'INFO')
        self.assertEqual(self.add('-a', uris[0])[1][1][:16], 'Already exists: ')
        removing = ('INFO', f"Removing variant '{uris[0]}' from package cache at {self.cache}:")
        self.assertEqual(self.add('-r', uris[0]), [removing, ('INFO', 'Variant successfully removed')])
        self.assertEqual(self.add('-r', uris[0]),
                         [removing, ('ERROR', 'No such variant found in cache')])

    @once
    def test_unknown(self):
        """The first that is unknown is the last: exit 1."""
        variant, = self.make_package()
        for option in ('-a', '-r'):
            said = self.add(option, '/no/such/1/package.py[]', self.uri(variant), code=FAILED)
            self.assertEqual(said[1:], ['No such variant: /no/such/1/package.py[]'])
        self.assertIn('"it\'s"', self.add('-a', "it's", code=FAILED)[0][1])

    def test_refused(self):
        """What is not to be cached, in rez's words; --force caches it."""
        hidden, = self.make_package('hidden', cachable=False)
        plain, = self.make_package('plain')
        absent, = self.make_package('absent', variants=[['x']])
        shutil.rmtree(absent.root)
        hidden_package, plain_package = [self.uri(variant).rsplit('[', 1)[0]
                                         for variant in (hidden, plain)]
        for variant, environment, words in (
                (hidden, {}, f'package is not cachable: {hidden_package}'),
                (plain, {'REZ_LOCAL_PACKAGES_PATH': self.repository},
                 f'package is local: {plain_package}'),
                (plain, {'REZ_PACKAGE_CACHE_SAME_DEVICE': '0'},
                 f'variant {self.uri(plain)} is on same device as cache: {plain.root}'),
                (plain, {'REZ_TMPDIR': self.directory},
                 f'package is in temp repository filesystem@{self.repository}'),
                (absent, {}, f'variant {self.uri(absent)} root does not appear on disk: '
                 f'{absent.root}')):
            said = self.add('-a', self.uri(variant), code=FAILED, **environment)
            self.assertEqual(said[1:], [('ERROR', f'PackageCacheError: Not cached - {words}')])
        self.assertIn('Successfully', self.add('-fa', self.uri(hidden))[1][1])
        self.assertIn('Successfully', self.add('-f', '-a', self.uri(plain),
                                               REZ_PACKAGE_CACHE_SAME_DEVICE='0')[1][1])

    @once
    def test_rez_defaults(self):
        """Where nobody says otherwise, what is on the cache's device is not cached."""
        variant, = self.make_package()
        del self.environment['REZ_PACKAGE_CACHE_SAME_DEVICE']
        self.assertIn('same device', self.add('-a', self.uri(variant), code=FAILED)[1][1])

    def test_no_room(self):
        """That is no failure to rez."""
        variant, = self.make_package()
        said = self.add('-a', self.uri(variant), PKGCACHE_SPACE_BUFFER='1000T')
        self.assertEqual(said[1], ('WARNING', 'Cache no longer accepting new variant due to size limit.'))
        self.assertRegex(said[2], r'^Remaining cache free space: [\d.]+MB is near configured buffer '
                         r'1048576000\.00MB \(config\.package_cache_space_buffer\)\.$')

    def slow_copier(self, variant, delay):
        """Another process that copies a variant, and beats."""
        process = self.start_rez('--file-delay', delay, 'add', self.cache, variant.argument,
                                 variant.root)
        support.wait_until(lambda: self.listing(), 'it to begin')
        return process

    def test_modes(self):
        """Another process copies it: async says so, sync waits. async is the default."""
        variant, = self.make_package(files=8)
        copier = self.slow_copier(variant, 1.5)
        for arguments, environment in ((['--pkg-cache-mode', 'async'], {}), ([], {}),
                                       (['--pkg-cache-mode=async'],
                                        {'REZ_PACKAGE_CACHE_ASYNC': 'no'})):
            said = self.add(*arguments, '-a', self.uri(variant), **environment)
            self.assertEqual(said[1][0], 'WARNING')
            self.assertIn('Another process is currently copying to: ', said[1][1])
        said = self.add('-r', self.uri(variant))
        self.assertEqual(said[1], ('WARNING', 'Another process is currently caching this variant'))
        said = self.add('-a', self.uri(variant), REZ_PACKAGE_CACHE_ASYNC='no')
        self.assertIn('Already exists: ', said[1][1])
        support.end_process(copier)
        self.assert_cached(variant)

    def test_interrupted(self):
        """Says so, takes away what it began, exit 1."""
        variant, = self.make_package(files=8)
        copier = self.slow_copier(variant, 1)
        process = self.start(self.cache, '--pkg-cache-mode', 'sync', '-a', self.uri(variant),
                             program=rezprogram.PROGRAM)
        process.stderr.readline() # it has begun
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, FAILED)
        self.assertIn('Interrupted by user', result.err)
        copier.kill()


class Listing(RezProgramTest):
    """Without an option, the variants."""

    def setUp(self):
        super().setUp()
        self.variants = [*self.make_package('bar', '2.0', [['python-3'], ['python-2']]),
                         *self.make_package(), *self.make_package('unversioned', '')]
        result = self.run_rez(self.cache, '-a', *map(self.uri, self.variants[1:]))
        self.assert_code(result, DONE)
        self.queue(self.variants[0], self.variants[2])

    def rows(self, *arguments):
        """Lists; returns the words of each line."""
        result = self.run_rez(self.cache, *arguments)
        self.assertEqual((result.code, result.err), (DONE, ''))
        return [line.split() for line in result.out.splitlines()]

    def test_columns(self):
        """By status, then by name; in the columns that one asks for, aligned."""
        uris = [self.uri(variant) for variant in self.variants]
        rows = self.rows()
        self.assertEqual([row[:3] for row in rows],
                         [['cached', 'bar-2.0', uris[1]], ['cached', 'foo-1.0', uris[2]],
                          ['cached', 'unversioned', uris[3]], ['pending', 'bar-2.0', uris[0]]])
        self.assertEqual(rows[3][3], '-')
        for row, variant in zip(rows, self.variants[1:]):
            self.assert_same_tree(variant.root, row[3])
        self.assertEqual(self.rows('-c', 'orig_path', 'package', 'package'),
                         [[variant.root, name, name] for variant, name in
                          zip(self.variants[1:] + self.variants[:1],
                              ('bar-2.0', 'foo-1.0', 'unversioned', 'bar-2.0'))])
        plain = self.run_rez(self.cache, '-c', 'package', 'status').out
        self.assertEqual(plain, 'bar-2.0      cached\nfoo-1.0      cached\n'
                         'unversioned  cached\nbar-2.0      pending\n')

    def test_directory_as_named(self):
        """Paths are below the directory as it was named, however that was."""
        named = os.path.relpath(self.cache)
        for name in (named, named + '/'):
            result = self.run_rez(name, '-c', 'cache_path')
            for line in result.out.splitlines()[:3]:
                self.assertTrue(line.startswith(named + '/'), line)
                self.assertNotIn('//', line)

    def terminal(self, *arguments, **environment):
        """Runs it on a terminal; returns what it printed there."""
        ours, theirs = pty.openpty()
        process = support.spawn([rezprogram.PROGRAM, *arguments], stdin=theirs, stdout=theirs,
                                stderr=theirs, env={**self.environment, **environment})
        os.close(theirs)
        said = b''
        with open(ours, 'rb', buffering=0) as stream:
            try:
                while chunk := stream.read(4096):
                    said += chunk
            except OSError:
                pass
        self.assertEqual(process.wait(), DONE)
        return said.decode().replace('\r\n', '\n')

    def test_on_a_terminal(self):
        """A header, and rez's colours; REZ_COLOR_ENABLED can take these away."""
        said = self.terminal(self.cache, '-c', 'package', 'variant_uri').splitlines()
        width = max(len(self.uri(variant)) for variant in self.variants)
        self.assertEqual(said[:4], [f'Package cache at {self.cache}:', '',
                                    'package      variant uri', '-------      -----------'])
        self.assertGreater(width, 0)
        self.assertTrue(said[4].startswith('\033[32mbar-2.0'), said[4])
        self.assertTrue(said[7].startswith('\033[2mbar-2.0'), said[7])
        self.assertTrue(all(line.endswith('\033[0m') for line in said[4:]))
        self.assertNotIn('\033', self.terminal(self.cache, REZ_COLOR_ENABLED='off'))
        os.mkdir(self.path('empty'))
        self.assertEqual(self.terminal(self.path('empty')),
                         f'Package cache at {self.path("empty")}:\n\nNo cached packages.\n')

    def test_package_is_gone(self):
        """What is cached is listed also when its repository is not there."""
        shutil.rmtree(self.repository)
        self.assertEqual([row[1] for row in self.rows()],
                         ['bar-2.0', 'foo-1.0', 'unversioned', 'bar-2.0'])
        self.assertEqual(self.rows('-c', 'orig_path')[0], [self.variants[1].root])


class CleanAndLogs(RezProgramTest):
    """--clean says what it does; --logs what was done."""

    def test_clean(self):
        """The lines of the log are those on standard error."""
        variant, = self.make_package()
        uri = self.uri(variant)
        self.assert_code(self.run_rez(self.cache, '-a', uri), DONE)
        self.assert_code(self.run_rez(self.cache, '-r', uri), DONE)
        result = self.run_rez(self.cache, '--clean')
        self.assertEqual((result.code, result.out), (DONE, ''))
        self.assertRegex(result.err, r'^rez-pkg-cache [\d-]{10} [\d:,]{12} PID-\d+ INFO Deleted '
                         rf'{re.escape(self.cache)}/\.sys/to_delete/foo-1\.0-[0-9a-f]{{32}}\n$')
        logs = self.run_rez(self.cache, '--logs')
        self.assertEqual((logs.code, logs.err), (DONE, ''))
        self.assertEqual(logs.out.splitlines()[-1], result.err.rstrip('\n'))
        self.assertIn(f'INFO Started caching of variant {uri}...', logs.out)
        again = self.run_rez(self.cache, '--clean')
        self.assertEqual((again.code, again.out, again.err), (DONE, '', ''))

    def test_unused(self):
        """What was not used for long goes, as the settings say."""
        variant, = self.make_package()
        self.assert_code(self.run_rez(self.cache, '-a', self.uri(variant)), DONE)
        sidecar = [entry['cache_path'] + '.json' for entry in self.listing()][0]
        os.utime(sidecar, (time.time() - 3 * 86400,) * 2)
        self.assertEqual(self.run_rez(self.cache, '--clean').err, '')
        result = self.run_rez(self.cache, '--clean', REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS='2')
        self.assertIn(f'Removed unused variant {self.uri(variant)} from cache', result.err)

    @once
    def test_logs(self):
        """All files, by the time of their last change; lines without a level, too."""
        self.assertEqual(self.run_rez(self.cache, '--logs').err, 'No logs.\n')
        directory = os.path.join(self.cache, '.sys', 'log')
        os.makedirs(directory)
        for name, text in (('2001-01-02.log', 'one\ntwo  \n'), ('2001-01-01.log', 'three'),
                           ('other.txt', 'no log\n')):
            with open(os.path.join(directory, name), 'w', encoding='utf-8') as file:
                file.write(text)
            time.sleep(0.02)
        self.assertEqual(self.run_rez(self.cache, '--logs').out, 'one\ntwo\nthree\n')

    @once
    def test_read_only(self):
        """Nothing is made in a cache by those who look."""
        with self.untouched(self.cache):
            for arguments in ([], ['--logs'], ['--clean']):
                self.assert_code(self.run_rez(self.cache, *arguments), DONE)


if __name__ == '__main__':
    unittest.main()
