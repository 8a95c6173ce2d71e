"""The command line: help, letters, and what is said about what there is not."""
import json
import os
import re

import support
from support import DONE, FAILED, MISSING, PARTLY, USAGE, Variant, make_handle


class CommandLineTest(support.ProgramTest):
    """No engine is started here."""

    def refuse(self, line, *about):
        """It is wrong, and the message has these words."""
        with self.subTest(line):
            result = self.run_program(*line.split())
            self.assert_refused(result, USAGE, about=about)
            self.assertEqual(result.out, '')


class Help(CommandLineTest):
    """As text and as JSON, of the program and of each command."""

    def commands(self):
        """The names of all."""
        return [command['name'] for command in self.run_program('--json', 'help').json()['commands']]

    def test_ways(self):
        """`help` is `--help`, `version` is `--version`."""
        for word in ('help', 'version'):
            self.assertEqual(self.run_program(word).out, self.run_program(f'--{word}').out)

    def test_of_each_command(self):
        """The same by both ways; within 80 columns; as JSON, too."""
        for command in self.commands():
            with self.subTest(command):
                result = self.run_program('help', command)
                self.assert_code(result, DONE)
                self.assertEqual(result.out, self.run_program(command, '-h').out)
                self.assertLessEqual(max(map(len, result.out.splitlines())), 80)
                document = self.run_program(command, '--json', '--help').json()
                self.assertEqual(document['name'], command)
                options = {option['name'] for option in document['options']}
                shown = set(re.findall(r'^  (?:-\w,|   ) --([a-z-]+)', result.out, re.MULTILINE))
                self.assertEqual(shown, options)

    def test_json(self):
        """One document each, whatever else stands on the line."""
        for line in (['--json', '--version'], ['version', '--json']):
            self.assertRegex(self.run_program(*line).json()['version'], r'^\d+\.\d+')
        document = self.run_program('--help-settings', '--json', PKGCACHE_LOCK_TIMEOUT='17').json()
        settings = {setting['name']: setting for setting in document['settings']}
        self.assertEqual((settings['lock-timeout']['value'], settings['lock-timeout']['origin']),
                         ('17', 'PKGCACHE_LOCK_TIMEOUT'))
        self.assertEqual(settings['backend']['choices'], ['auto', 'ring', 'threads'])
        self.assertEqual(settings['local']['rez'], 'package_cache_local')


class Letters(CommandLineTest):
    """-n is one option of `logs`, and another one of other commands."""

    def test_before_and_after(self):
        """The command decides, wherever it stands."""
        self.assert_code(self.warm([self.make_variant()]), DONE)
        for line in ('-n 1 logs', 'logs -n 1', 'logs -n1', 'logs --lines=1', '-qn1 logs'):
            with self.subTest(line):
                result = self.run_program('--cache', self.cache, *line.split())
                self.assertEqual(len(result.out.splitlines()), 1, result)
        for line in ('-n clean', 'clean -n', '-nq clean', 'clean --dry-run', '-n --json clean'):
            with self.subTest(line):
                self.assert_code(self.run_program('--cache', self.cache, *line.split()), DONE)
        self.refuse('logs -n', '-n: a value is missing')
        self.refuse('logs -n -f', '--lines', 'not a number of lines')
        self.refuse('logs -fn', '-n: a value is missing')


class Mistakes(CommandLineTest):
    """What is meant, perhaps."""

    def test_commands(self):
        self.refuse('wram x', 'wram', 'did you mean "warm"')
        self.refuse('lst', 'did you mean "list"')
        self.refuse('help statuss', 'did you mean "status"')
        self.refuse('rsync a b', 'pkgcache copy SRC DST')
        self.refuse('ls', 'pkgcache list')
        self.refuse('max-size', 'there is an option --max-size')
        self.refuse('frobnicate', 'unknown command; see pkgcache --help')

    def test_options(self):
        self.refuse('list --colums=x', 'did you mean "--columns"')
        self.refuse('clean --max-siez=3', 'did you mean "--max-size"')
        self.refuse('clean --MAX_SIZE=3', 'did you mean "--max-size"')
        self.refuse('list --clean', 'it is a command: pkgcache clean')
        self.refuse('-a x', 'pkgcache add')
        self.refuse('warm --archive x', '--archive: unknown option; copies keep')
        self.refuse('--remove-variants x', 'pkgcache remove')
        self.refuse('warm -vZ x', '-Z: unknown option; see')
        self.refuse('list --json=3', 'this option takes no value')
        self.refuse('clean --time-limit', '--time-limit: a value is missing')
        self.refuse('warm --report= x', '--report: "" is not')
        self.refuse('get --lease=0 x', 'not a process ID')
        self.refuse('clean --time-limit=nan', 'not a number of seconds')

    def test_json(self):
        """An error is an object then."""
        result = self.run_program('--json', 'wram')
        self.assertEqual(json.loads(result.err)['exit'], USAGE)


class Names(CommandLineTest):
    """What list prints, other commands take."""

    def setUp(self):
        super().setUp()
        self.here = [self.make_variant('foo'), self.make_variant('foo', version='1.0-b_1'),
                     self.make_variant('tool', version=None), self.make_variant('bar', index=0),
                     self.make_variant('bar', index=1)]
        self.assert_code(self.warm(self.here), DONE)

    def command(self, *line, text=None):
        """Runs one, with this text as its standard input."""
        if text is None:
            return self.run_program('--cache', self.cache, *line)
        return self.run_with_input(text, '--cache', self.cache, *line)

    def names(self):
        """What list prints as names."""
        return self.command('list', '--no-header', '--columns=package').out.splitlines()

    def test_one(self):
        """The same answer as for the handle, in each command."""
        for variant, name in zip(self.here, ('foo-1.0', 'foo-1.0-b_1', 'tool', 'bar-1.0[0]', 'bar-1.0[1]')):
            with self.subTest(name):
                root, = self.get(variant)
                self.assertEqual(self.command('get', name).out, root + '\n')
                self.assertEqual(self.command('--json', 'get', name).json()[0]['variant'], name)
                self.assertEqual(self.command('get', root).out, root + '\n')
                self.assert_code(self.command('verify', name), DONE)
                self.assert_code(self.command('add', name), DONE)
                self.assert_code(self.command('remove', name), DONE)
                self.assertEqual(self.get(variant), [None])
        self.assertEqual(self.names(), [])

    def test_none(self):
        """Is what a URI that is not cached is."""
        for name in ('nosuch-9.9', 'foo', 'foo-1', 'foo-1.0[0]', 'bar-1.0[7]', 'tool-1.0', 'foo-1.0-b_1[3]'):
            with self.subTest(name):
                for command in ('get', 'verify', 'remove'):
                    self.assert_code(self.command(command, name), MISSING)
                self.assertEqual(self.command('get', name, 'foo-1.0', name).out.splitlines()[::2], ['', ''])
                self.assertIsNone(self.command('--json', 'get', name).json()[0]['root'])
                self.assert_refused(self.command('add', name), USAGE, about=[name, 'URI', 'handle'])
        self.assertEqual(len(self.names()), len(self.here))
        for name in ('bar-1.0[', 'no name', '[]', 'foo-1.0[x]', '.sys', 'f\xfc-1', '/', self.cache, self.cache + '/foo/1.0/x'):
            self.assert_refused(self.command('get', name), USAGE, about=['URI', 'handle'])

    def test_several(self):
        """An error, which names them; also where only the repository differs."""
        other = Variant(make_handle('/svr/others', 'foo'), self.here[0].root)
        self.assert_code(self.warm([other]), DONE)
        for name, *about in (('bar-1.0', 'package.py[0]', 'package.py[1]'), ('foo-1.0', '/svr/others/foo')):
            for command in ('get', 'verify', 'remove', 'add'):
                self.assert_refused(self.command(command, name), USAGE, about=[name, '2 cached', *about])
        self.assertEqual(len(self.names()), len(self.here) + 1)

    def test_standard_input(self):
        """Lines, or what --null prints; handles among them."""
        root = self.get(self.here[0])[0]
        text = f'\n foo-1.0 \r\n{self.here[0].argument}\nnosuch\n'
        result = self.command('get', '-', 'tool', text=text)
        self.assert_code(result, MISSING)
        self.assertEqual(result.out.splitlines(), [root, root, '', *self.get(self.here[2])])
        for text in ('', '\n\n'):
            self.assert_refused(self.command('remove', '-', text=text), USAGE, about=['standard input'])
        listed = self.command('list', '--null', '--columns=variant_uri').out
        self.assertEqual(listed.count('\0'), len(self.here))
        handles = '\0'.join(variant.argument for variant in self.here)
        self.assert_code(self.command('remove', '-', text=handles), DONE)
        self.assertEqual(self.names(), [])

    def test_what_list_shows(self):
        """Patterns, and all that names a variant; from standard input, too."""
        uri = self.command('list', '--null', '--columns=variant_uri', 'tool').out.rstrip('\0')
        root, = self.get(self.here[1])
        for asked, shown in ((['foo-1.0'], ['foo-1.0']), (['foo*', 'tool'], ['foo-1.0', 'foo-1.0-b_1', 'tool']),
                             (['bar-1.0[1]'], ['bar-1.0']), (['bar-1.0'], ['bar-1.0'] * 2), (['tool[]'], ['tool']),
                             (['foo-1.[0-9]'], ['foo-1.0']), ([self.here[0].argument], ['foo-1.0']),
                             ([uri], ['tool']), ([root], ['foo-1.0-b_1']), (['nosuch', 'bar-1.0[7]', '/'], [])):
            with self.subTest(asked):
                line = ['list', '--no-header', '--columns=package']
                self.assertEqual(self.command(*line, *asked).out.splitlines(), shown)
                self.assertEqual(self.command(*line, '-', text='\n'.join(asked)).out.splitlines(), shown)
        self.assertEqual([entry['handle'] for entry in self.command('--json', 'list', 'bar-1.0[1]').json()],
                         [self.here[4].handle])
        self.assert_refused(self.command('list', '-', text=''), USAGE, about=['standard input'])
        for wrong in ('{', '{"key": 1}', 'foo/bar'):
            self.assert_refused(self.command('list', wrong), USAGE)

    def test_lines_without_a_header(self):
        """Columns as wide as what stands in them."""
        lines = self.command('list', '--no-header', '--columns=status,package', 'foo*').out
        self.assertEqual(lines, 'cached  foo-1.0\ncached  foo-1.0-b_1\n')
        lines = self.command('list', '--null', '--columns=status,package', 'tool').out
        self.assertEqual(lines, 'cached\ttool\0')


class DryRun(CommandLineTest):
    """What would be done, and nothing else."""

    def test_warm(self):
        """Not even a cache is made."""
        here, there = self.make_variant('here'), self.make_variant('there')
        broken = Variant(make_handle(name='..'), here.root)
        result = self.warm([here, there], '-n')
        self.assert_code(result, DONE)
        self.assertIn(f'would copy here-1.0 from {here.root}\n', result.out)
        self.assertIn('2 variants: 2 to copy\n', result.out)
        self.assertFalse(os.path.exists(self.cache))
        self.assert_code(self.warm([here]), DONE)
        with self.untouched(self.cache):
            document = self.warm([here, there, broken], '--json', '--dry-run')
        self.assert_code(document, PARTLY)
        self.assertEqual([result['status'] for result in document.json()['results']],
                         ['found', 'to copy', 'failed'])
        self.assertEqual(document.json()['to_copy'], 1)

    def test_the_report(self):
        """--report gets what --json prints."""
        here, report = self.make_variant('here'), self.path('report.json')
        result = self.warm([here], '-n', '--report', report, '--json')
        self.assert_code(result, DONE)
        with open(report, encoding='utf-8') as file:
            self.assertEqual(json.load(file), result.json())
        result = self.warm([here], '-n', '--report=-')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['to_copy'], 1)
        self.assertFalse(os.path.exists(self.cache))

    def test_remove(self):
        variant = self.make_variant('here')
        self.assert_code(self.warm([variant]), DONE)
        with self.untouched(self.cache):
            result = self.run_program('--cache', self.cache, 'remove', '-n', variant.argument)
            self.assert_code(self.run_program('--cache', self.cache, 'remove', '-n', 'no-1'), MISSING)
        self.assert_code(result, DONE)
        self.assertEqual(result.out, 'here-1.0: would be removed\n')

    def test_copy(self):
        source = self.make_variant(files={'a': b'x' * 1024, 'b/c': b''}).root
        with self.untouched(self.directory):
            result = self.run_program('copy', '-n', source, self.path('copy'))
            for line in ((source, source), (source, self.path('no/copy')), (self.path('no'), self.path('copy'))):
                self.assert_refused(self.run_program('copy', '--dry-run', *line), FAILED)
        self.assert_code(result, DONE)
        self.assertEqual(result.out, 'would copy 2 files, 1.0 KiB\n')
