"""Bad input: a clear message, the right exit code, nothing left behind, nothing outside touched."""
import errno
import json
import os
import subprocess
import unittest

import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, MISSING, PARTLY, USAGE, Variant, make_handle

BAD_NAMES = {
    'a slash': 'a/b', 'an absolute path': '/etc', 'the parent': '..', 'itself': '.', 'a climb': '../x',
    'NUL': 'a\0b', 'a newline': 'a\nb', 'nothing': '', '300 bytes': 'n' * 300,
    'private': '.sys', 'hidden': '.hidden',
}
BAD_VERSIONS = {key: value for key, value in BAD_NAMES.items()
                if key not in ('nothing', 'private', 'hidden')}


class BadInputTest(support.ProgramTest):
    """A directory in which only the cache may change."""

    def setUp(self):
        super().setUp()
        self.good = self.make_variant('good')
        self.outside = self.path('outside')
        trees.make_plain_tree(self.outside, {'file': b'precious'})
        os.mkdir(self.cache)

    def assert_empty_cache(self):
        """No payload, no sidecar, no staging, no lock; nothing but empty directories, perhaps."""
        if os.path.isdir(os.path.join(self.cache, '.sys')):
            self.assert_sound([], cleaned=True)
        else:
            self.assertEqual(os.listdir(self.cache), [])

    def assert_warm_refuses(self, manifest_text, *codes, about=()):
        """`warm` of a manifest with this text fails, and leaves nothing in the cache or elsewhere."""
        manifest = self.path('manifest.json')
        with open(manifest, 'wb') as file:
            file.write(manifest_text if isinstance(manifest_text, bytes) else manifest_text.encode())
        with self.untouched(self.outside, self.path('roots')):
            result = self.run_program('--cache', self.cache, 'warm', manifest)
        self.assert_code(result, *(codes or (FAILED,)))
        self.assert_message(result, about)
        self.assert_empty_cache()
        self.assertEqual(set(os.listdir(self.directory)) - {'pkgcache'},
                         {'cache', 'outside', 'roots', 'manifest.json'})

    def manifest_with(self, handle, root=None):
        """A manifest of one variant."""
        return json.dumps({'variants': [{'handle': handle, 'root': root or self.good.root}]})


class Manifests(BadInputTest):
    """What is no manifest."""

    def test_not_json(self):
        """Each is refused as a whole."""
        texts = {
            'nothing': '', 'text': 'hello', 'half': '{"variants": [', 'a tail': '{"variants": []} x',
            'no UTF-8': b'{"variants": [{"handle": "\xff\xfe"}]}', 'NUL': b'\0\0\0\0',
            'a number too long': '1' * 100000, 'a bad escape': r'{"variants": ["\ud8"]}',
        }
        for name, text in texts.items():
            with self.subTest(name):
                self.assert_warm_refuses(text, about=['manifest.json'])

    def test_nested_10000_deep(self):
        """Arrays, and objects, where the variants should be."""
        for text in ('[' * 10000 + ']' * 10000,
                     '{"variants": ' + '[' * 10000 + ']' * 10000 + '}',
                     '{"variants": [{"handle": ' + '{"a": ' * 10000 + '1' + '}' * 10000 + '}]}'):
            with self.subTest(text[:30]):
                self.assert_warm_refuses(text, about=['manifest.json'])

    def test_of_another_shape(self):
        """JSON, but no manifest."""
        texts = ['[]', '"text"', '1', 'null', '{}', '{"variants": {}}', '{"variants": [1]}',
                 '{"variants": "text"}', '{"variants": null}', '{"variants": [[]]}']
        for text in texts:
            with self.subTest(text):
                self.assert_warm_refuses(text, about=['manifest.json'])

    def test_without_a_handle(self):
        """A root alone, a handle that is none."""
        for handle in ({}, None, 'text', [], {'key': 'filesystem.variant'},
                       {'variables': {}}, {'key': 'filesystem.variant', 'variables': None},
                       {'key': 'filesystem.variant', 'variables': {}}):
            with self.subTest(handle):
                self.assert_warm_refuses(self.manifest_with(handle))
        text = json.dumps({'variants': [{'root': self.good.root}]})
        self.assert_warm_refuses(text, about=['handle'])

    def test_one_variant_twice(self):
        """Is copied once."""
        result = self.warm([self.good, self.good], '--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['created'], 1)
        self.assert_sound([self.good])

    def test_one_handle_with_two_roots(self):
        """Whatever is said of it: one whole payload at most."""
        other = self.make_variant('good', files={'other': b'other'})
        result = self.warm([self.good, other])
        self.assert_code(result, DONE, FAILED, PARTLY)
        roots = rezlike.look(self.cache, self.good.handle)
        if roots[0] == 'FOUND':
            differences = [trees.compare_trees(variant.root, roots[1])
                           for variant in (self.good, other)]
            self.assertIn([], differences)

    def test_a_bad_root_beside_a_good_one(self):
        """The order makes no difference, and nothing is read that is not there."""
        bad = [f'/aaaa\udc80{end}\ud800' for end in ('bbbb', 'cccc')]
        for number, roots in enumerate(([self.good.root, bad[0]], [bad[0], self.good.root], bad)):
            self.cache = self.path(f'cache-{number}')
            result = self.warm([Variant(self.good.handle, root) for root in roots])
            self.assert_refused(result, FAILED)

    def test_a_manifest_that_cannot_be_read(self):
        """Missing, a directory."""
        for path in (self.path('missing.json'), self.outside):
            with self.subTest(path):
                result = self.run_program('--cache', self.cache, 'warm', path)
                self.assert_code(result, FAILED)
                self.assert_message(result, [path])
                self.assert_empty_cache()

    def test_the_good_among_the_bad(self):
        """Is cached, and the bad is named: exit 4."""
        bad = Variant(make_handle(name='bad', extra=1), self.good.root)
        gone = Variant(make_handle(name='gone'), self.path('gone'))
        for other in (bad, gone):
            with self.subTest(other.handle['variables']['name']):
                result = self.warm([other, self.good], '--json')
                self.assert_code(result, PARTLY)
                self.assertIn(other.handle['variables']['name'], result.out + result.err)
                self.assert_sound([self.good])


class Handles(BadInputTest):
    """Handles that rez could not read back, and names that lead elsewhere."""

    def test_names(self):
        """No name leads out of the cache or into its private part."""
        for what, name in BAD_NAMES.items():
            with self.subTest(what):
                self.assert_warm_refuses(self.manifest_with(make_handle(name=name)))

    def test_versions(self):
        """No version does."""
        for what, version in BAD_VERSIONS.items():
            with self.subTest(what):
                self.assert_warm_refuses(self.manifest_with(make_handle(version=version)))

    def test_names_that_are_not_utf8(self):
        """Raw bytes are no JSON; escaped as Python does it, they are no name we write."""
        raw = self.manifest_with(make_handle(name='NAME')).encode().replace(b'NAME', b'a\xff')
        self.assert_warm_refuses(raw)

    def test_types(self):
        """Each variable has its type, and its range."""
        wrong = [{'name': None}, {'name': 1}, {'name': ['a']}, {'version': 1}, {'version': 1.5},
                 {'version': True}, {'version': {}}, {'index': -1}, {'index': 1.5},
                 {'index': '0'}, {'index': True}, {'index': []}, {'index': 10**30},
                 {'location': None}, {'location': 1}]
        for variables in wrong:
            with self.subTest(variables):
                self.assert_warm_refuses(self.manifest_with(make_handle(**variables)))

    def test_other_keys_and_types(self):
        """Only filesystem.variant of a filesystem repository, with rez's own variables."""
        combined = {**make_handle(), 'key': 'filesystem.variant.combined'}
        outer = {**make_handle(), 'extra': 1}
        number = {**make_handle(), 'key': 7}
        memory = make_handle()
        memory['variables']['repository_type'] = 'memory'
        lacking = make_handle()
        del lacking['variables']['location']
        for handle in (combined, outer, number, memory, lacking, make_handle(extra=1)):
            with self.subTest(handle):
                self.assert_warm_refuses(self.manifest_with(handle))

    def test_on_the_command_line(self):
        """get, remove and add say what is wrong with their argument."""
        bad = make_handle(name='../outside')
        for argument in (json.dumps(bad), '{', '{}', '[]', 'no uri'):
            for command in (['get'], ['remove'], ['add', '--root', self.good.root]):
                with self.subTest(f'{command[0]} {argument}'), self.untouched(self.outside):
                    result = self.run_program('--cache', self.cache, *command, argument)
                    self.assert_code(result, FAILED, USAGE)
                    self.assert_message(result)
                    self.assert_empty_cache()

    def test_versions_that_mean_none(self):
        """null, '', _NO_VERSION and no version at all: one unversioned package, as rez has it."""
        plain = make_handle(self.path('repository'), 'unversioned')
        del plain['variables']['version']
        variant = Variant(plain, self.good.root)
        self.assert_code(self.warm([variant]), DONE)
        (root,) = self.get(variant)
        self.assertIn('unversioned/_NO_VERSION/', root)
        self.assertEqual(rezlike.look(self.cache, plain), ('FOUND', root))
        for version in (None, '', '_NO_VERSION'):
            handle = make_handle(self.path('repository'), 'unversioned', version)
            with self.subTest(version):
                self.assertEqual(self.get(Variant(handle, None)), [root])
                result = self.warm([Variant(handle, self.good.root)], '--json')
                self.assertEqual(result.json()['found'], 1)


class Roots(BadInputTest):
    """Payloads that cannot be copied."""

    def assert_root_refused(self, root, **options):
        """`warm` and `add` fail and name the root."""
        variant = Variant(make_handle(), root)
        for command in ('warm', 'add'):
            with self.subTest(f'{command} {root}'), self.untouched(self.outside, self.path('roots')):
                if command == 'warm':
                    result = self.warm([variant], **options)
                else:
                    result = self.run_program('--cache', self.cache, 'add', '--root', root,
                                              variant.argument, **options)
                self.assert_code(result, FAILED)
                self.assert_message(result, [root])
                self.assert_empty_cache()

    def test_missing_or_no_directory(self):
        """Missing, a file, a fifo, below a file, a dangling link."""
        os.mkfifo(self.path('fifo'))
        os.symlink('nothing', self.path('dangling'))
        for root in (self.path('missing'), self.path('outside/file'), self.path('fifo'),
                     self.path('outside/file/below'), self.path('dangling')):
            self.assert_root_refused(root)

    def test_relative(self):
        """A root is an absolute path; what is relative may mean anything."""
        result = self.warm([Variant(make_handle(), 'no/such/relative')])
        self.assert_code(result, FAILED)
        self.assert_empty_cache()

    @unittest.skipIf(os.geteuid(), 'becoming another user needs root')
    def test_unreadable(self):
        """By its mode; a file deep in it."""
        os.chown(self.cache, support.NOBODY, support.NOBODY)
        for place, mode in (('', 0o700), ('0', 0o700), ('0/0', 0o600)):
            variant = self.make_variant()
            os.chmod(os.path.join(variant.root, place), mode)
            result = self.warm([variant], uid=support.NOBODY, program=self.program_for_anybody())
            with self.subTest(place):
                self.assert_code(result, FAILED)
                self.assert_message(result, [variant.root])
                self.assert_empty_cache()


class Caches(BadInputTest):
    """Caches that cannot be one."""

    def assert_no_cache(self, *words, commands=None, **options):
        """Each command fails and names the cache."""
        manifest = support.write_manifest(self.path('manifest.json'), [self.good])
        handle = self.good.argument
        for command in commands or (['warm', manifest], ['add', '--root', self.good.root, handle],
                                    ['get', handle], ['list'], ['remove', handle], ['clean']):
            with self.subTest(command[0]):
                result = self.run_program('--cache', self.cache, *command, **options)
                self.assert_refused(result, FAILED, about=[self.cache, *words])

    def test_a_file(self):
        """Stays what it is."""
        self.cache = self.path('outside/file')
        with self.untouched(self.outside):
            self.assert_no_cache()

    def test_missing(self):
        """warm and add make it, the others say that there is none."""
        os.rmdir(self.cache)
        handle = self.good.argument
        self.assert_no_cache(commands=(['get', handle], ['list'], ['remove', handle], ['clean']))
        self.assertFalse(os.path.lexists(self.cache))

    def test_missing_with_its_parent(self):
        """One directory is made, not two."""
        self.cache = self.path('no/cache')
        self.assert_no_cache()
        self.assertFalse(os.path.lexists(self.path('no')))

    def test_read_only(self):
        """Cannot be written to; what reads says that nothing is there."""
        with mounts.mounted('tmpfs', 1 << 20) as point:
            subprocess.run(['mount', '-o', 'remount,ro', point], check=True)
            self.cache = point
            manifest = support.write_manifest(self.path('manifest.json'), [self.good])
            self.assert_no_cache(commands=(
                ['warm', manifest], ['add', '--root', self.good.root, self.good.argument]))
            self.assertEqual(os.listdir(point), [])

    @unittest.skipIf(os.geteuid(), 'becoming another user needs root')
    def test_of_another_user(self):
        """Whose directory we may not write."""
        manifest = support.write_manifest(self.path('manifest.json'), [self.good])
        self.assert_no_cache(commands=(['warm', manifest],), uid=support.NOBODY,
                             program=self.program_for_anybody())
        self.assert_empty_cache()

    def test_on_a_full_disk(self):
        """What does not fit leaves nothing; what is there stays; what fits still goes in."""
        large = self.make_variant('large', {f'{name}': os.urandom(1 << 20) for name in range(24)})
        for kind in ('ext4', 'tmpfs'):
            with self.subTest(kind), mounts.mounted(kind, 12 << 20) as point:
                self.cache = os.path.join(point, 'cache')
                self.assert_code(self.warm([self.good]), DONE)
                result = self.warm([large])
                self.assert_code(result, FAILED)
                self.assert_message(result, ['No space left'])
                self.assertEqual(self.get(large), [None])
                self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
                self.assert_sound([self.good], cleaned=True)
                self.assert_code(self.warm([self.make_variant('small')]), DONE)

    def test_damaged_sidecars(self):
        """Empty, half, huge, deep, not UTF-8, a directory: look-ups say missing, warm repairs."""
        self.assert_code(self.warm([self.good]), DONE)
        root = self.get(self.good)[0]
        sidecar = root + '.json'
        with open(sidecar, 'rb') as file:
            whole = file.read()
        damages = {'empty': b'', 'half': whole[:20], 'deep': b'[' * 100000, 'no UTF-8': b'\xff\xfe',
                   'no handle': b'{}', 'of another shape': b'[]', 'huge': None}
        for name, damage in damages.items():
            with self.subTest(name):
                with open(sidecar, 'wb') as file:
                    file.write(damage or b' ')
                    file.truncate(len(damage) if damage is not None else 1 << 30)
                self.assertEqual(self.get(self.good), [None])
                self.assert_code(self.run_program('--cache', self.cache, 'list'), DONE)
                self.assert_code(self.warm([self.good]), DONE)
                self.assert_cached(self.good)
                sidecar = self.get(self.good)[0] + '.json'

    def test_clean_repairs_damage(self):
        """An unreadable sidecar, one without a payload, a payload without a sidecar."""
        others = [self.make_variant(name) for name in ('one', 'two', 'three')]
        self.assert_code(self.warm([self.good, *others]), DONE)
        unreadable, payload_gone, sidecar_gone = self.get(*others)
        with open(unreadable + '.json', 'wb'):
            pass
        trees.remove_tree(payload_gone)
        os.unlink(sidecar_gone + '.json')
        self.assertEqual(self.get(*others), [None, None, None])
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assert_sound([self.good], cleaned=True)


class CommandLine(BadInputTest):
    """The command line itself."""

    def test_wrong_usage(self):
        """Exit 2 and a message; nothing is done."""
        lines = [[], ['no-such-command'], ['--no-such-option', 'list'], ['list', '--no-such-option'],
                 ['warm'], ['add'], ['get'], ['remove'], ['copy', 'one'],
                 ['--backend=none', 'list'], ['--durability=maybe', 'list'],
                 ['--in-flight=-1', 'list'], ['--in-flight=many', 'list'],
                 ['--stall-grace=1e99', 'list'], ['--lock-timeout=', 'list'],
                 ['--bwlimit=10X', 'list'], ['--cache']]
        for line in lines:
            with self.subTest(' '.join(line)):
                result = self.run_program(*line, PKGCACHE_DIR=self.cache)
                self.assert_code(result, USAGE)
                self.assertEqual(result.out, '')
                self.assertRegex(result.err, r'(?m)^(pkgcache|usage): ')
        self.assert_empty_cache()

    @support.once
    def test_what_is_no_manifest(self):
        """The message says what is wrong with it."""
        for text, about in (
                ('', 'it is empty'), (' \n', 'it is empty'), ('null', 'it is empty'),
                ('[]', 'it is a list'), ('hello', 'a manifest is {"variants"'),
                ('{}', 'it has no list "variants"'), ('{"other": 1}', 'it has no list "variants"'),
                ('{"varaints": []}', 'did you mean "variants"'), ('{"variants": {}}', 'is not a list'),
                ('{"variants": [], "variant": 1}', 'did you mean "variants"'),
                ('{"variants": [{"handel": {}}]}', 'entry 1: unknown key "handel"; did you mean "handle"'),
                ('{"variants": [{}]}', '"handle" is missing')):
            with self.subTest(text):
                path = self.path('odd.json')
                with open(path, 'w', encoding='utf-8') as file:
                    file.write(text)
                result = self.run_program('--cache', self.cache, 'warm', path)
                self.assert_refused(result, FAILED, about=[path, about])

    @support.once
    def test_a_mistyped_root(self):
        """Is not passed over: another tree would be copied then."""
        entry = {'handle': self.good.handle, 'roott': self.good.root}
        for line in (json.dumps(entry), json.dumps({'variants': [entry]})):
            result = self.run_with_input(line, '--cache', self.cache, 'warm', '-')
            self.assert_refused(result, FAILED, about=['unknown key "roott"', 'did you mean "root"'])
        entry['root'], entry['comment'] = entry.pop('roott'), 'others may add keys'
        self.assert_code(self.run_with_input(json.dumps({'variants': [entry]}), '--cache', self.cache,
                                             'warm', '-'), DONE)

    @support.once
    def test_what_a_handle_lacks(self):
        """Is said to be missing."""
        for name in ('key', 'variables'):
            handle = {key: value for key, value in self.good.handle.items() if key != name}
            result = self.run_program('--cache', self.cache, 'add', json.dumps(handle))
            self.assert_refused(result, FAILED, about=[f'handle: {name} is missing'])
        for name in ('location', 'name', 'index', 'repository_type'):
            variables = {key: value for key, value in self.good.handle['variables'].items() if key != name}
            handle = {**self.good.handle, 'variables': variables}
            result = self.run_program('--cache', self.cache, 'add', json.dumps(handle))
            self.assert_refused(result, FAILED, about=[f'{name} is missing'])

    def test_bad_values_in_variables(self):
        """Are named, with the variable."""
        for key, value in (('PKGCACHE_BACKEND', 'none'), ('PKGCACHE_DURABILITY', 'maybe'),
                           ('PKGCACHE_STALL_GRACE', 'soon'), ('PKGCACHE_IN_FLIGHT', '0x')):
            with self.subTest(key):
                result = self.run_program('copy', self.good.root, self.path('copy'), **{key: value})
                self.assert_code(result, FAILED, USAGE)
                self.assert_message(result, [key])
                self.assertFalse(os.path.lexists(self.path('copy')))

    def test_help(self):
        """Goes to stdout, fits 80 columns, and names every command."""
        result = self.run_program('--help')
        self.assert_code(result, DONE)
        self.assertEqual(result.err, '')
        for command in ('warm', 'add', 'get', 'list', 'remove', 'clean', 'copy'):
            self.assertRegex(result.out, rf'\b{command}\b')
            with self.subTest(command):
                one = self.run_program(command, '--help')
                self.assert_code(one, DONE)
                self.assertEqual(one.err, '')
                self.assertLessEqual(max(map(len, one.out.splitlines())), 80)
        self.assertLessEqual(max(map(len, result.out.splitlines())), 80)
        self.assert_code(self.run_program('--help-settings'), DONE)

    def test_options_stand_anywhere(self):
        """Before or after the command word; -- ends them."""
        self.assert_code(self.warm([self.good]), DONE)
        for line in (['--cache', self.cache, 'get', self.good.argument],
                     ['get', '--cache', self.cache, self.good.argument],
                     ['get', self.good.argument, f'--cache={self.cache}'],
                     ['get', '--cache', self.cache, '--', self.good.argument]):
            self.assert_code(self.run_program(*line), DONE)
        result = self.run_program('get', '--', '--cache', self.cache, PKGCACHE_DIR=self.cache)
        self.assert_code(result, FAILED, USAGE, MISSING)

    def test_no_abbreviations(self):
        """A script must not break when an option is added that begins as another one."""
        self.assert_code(self.warm([self.good]), DONE)
        line = ['--cache', self.cache, 'get', self.good.argument]
        for words in (['--js'], ['--cach', self.cache], ['--back=ring'], ['--verb'], ['--touc=no'],
                      ['--prog', 'never'], ['--help-set'], ['--vers']):
            with self.subTest(words[0]):
                result = self.run_program(*line, *words)
                self.assert_refused(result, USAGE, about=[words[0].partition('=')[0] + ':'])
                self.assertEqual(result.out, '')
        self.assert_code(self.run_program(*line, '-q', '--verbose', '--touch', 'no', '-v'), DONE)
        self.assert_refused(self.run_program('--cache', '--jso', 'list', '-vq'), FAILED,
                            about=['cache --jso'])  # a value

    def test_json_errors(self):
        """With --json, an error is one JSON object a line."""
        result = self.run_program('--json', '--cache', self.path('missing'), 'list')
        self.assert_code(result, FAILED)
        self.assertEqual(result.out, '')
        for line in result.err.splitlines():
            self.assertIsInstance(json.loads(line), dict)

    def test_json_errors_wherever_json_stands(self):
        """Also of the command line itself, and without an exit code that is none."""
        bad = Variant({'key': 'other'}, self.good.root)
        for line in (['--bogus', '--json', 'list'], ['list', '--json', '--columns'],
                     ['--json', 'nonsense'], ['--cache', self.cache, '--json', 'warm',
                                              support.write_manifest(self.path('bad.json'), [bad])]):
            result = self.run_program(*line)
            self.assertTrue(result.err, line)
            for text in result.err.splitlines():
                error = json.loads(text)
                self.assertIn(error.get('exit'), (None, result.code), line)

    def test_warnings_are_json_too(self):
        """What was left out is said."""
        os.mkfifo(os.path.join(self.good.root, 'a-fifo'))
        result = self.run_program('--json', 'copy', self.good.root, self.path('copy'))
        self.assert_code(result, DONE)
        self.assertIn('a-fifo', json.loads(result.err)['warning'])

    def test_posixly_correct(self):
        """Does not change what a script means."""
        result = self.run_program('--cache', self.path('missing'), 'list', '--json',
                                  POSIXLY_CORRECT='1')
        self.assertIsInstance(json.loads(result.err), dict)

    def test_a_full_output(self):
        """What cannot be said is a failure."""
        self.assert_code(self.warm([self.good]), DONE)
        for line in (['--cache', self.cache, 'list'], ['--help'], ['--version'],
                     ['--help-settings'], ['warm', '--help']):
            with open('/dev/full', 'wb') as full:
                process = support.spawn([support.PROGRAM, *line], env=self.environment, stdout=full,
                                        stderr=subprocess.PIPE)
            self.addCleanup(support.kill_process, process)
            self.assert_code(support.finish(process), FAILED)

    def test_a_full_output_for_a_long_document(self):
        """The message says what failed, however much was to be printed after that."""
        variants = [f'/nowhere/package{number}/1.0/package.py[]' for number in range(300)]
        with open('/dev/full', 'wb') as full:
            process = support.spawn([support.PROGRAM, '--cache', self.cache, '--json', 'get',
                                     *variants], env=self.environment, stdout=full,
                                    stderr=subprocess.PIPE)
        self.addCleanup(support.kill_process, process)
        result = support.finish(process)
        self.assert_code(result, FAILED)
        self.assertEqual(json.loads(result.err)['errno'], errno.ENOSPC)

    def test_standard_input_that_is_none(self):
        """The message says so."""
        process = support.spawn(['sh', '-c', '"$0" "$@" <&-', support.PROGRAM, '--cache', self.cache,
                                 'warm', '-'], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        self.assert_refused(support.finish(process), FAILED, about=['standard input'])

    def test_a_time_of_no_calendar(self):
        """Is listed, with a question mark."""
        self.assert_code(self.warm([self.good]), DONE)
        for directory, _, files in os.walk(self.cache):
            for name in files:
                if name.endswith('.json'):
                    sidecar = os.path.join(directory, name)
        try:
            os.utime(sidecar, (2**60, 2**60))
        except OverflowError:
            self.skipTest('no such time here')
        result = self.run_program('--cache', self.cache, '--json', 'list')
        self.assert_code(result, DONE)
        self.assertEqual(len(result.json()), 1)


if __name__ == '__main__':
    unittest.main()
