"""Variants as rez names them: URIs, contexts, packages and repositories."""
import json
import os
import shutil
import sys
import unittest

import rezlike
import support
import trees
from support import DONE, FAILED, MISSING, PARTLY, USAGE, Variant, make_handle, once


class RepositoryTest(support.ProgramTest):
    """A repository in the test's directory."""

    def setUp(self):
        super().setUp()
        self.location = self.path('svr', 'packages')
        os.makedirs(self.location)

    def make_package(self, name='foo', version='1.0', subpaths=(), text='cachable = True\n',
                     file='package.py'):
        """A package with these variants ({requirement: subpath}), or none; returns its Variants."""
        base = os.path.join(self.location, name, *([version] if version else []))
        variants = [None] if not subpaths else range(len(subpaths))
        os.makedirs(base)
        with open(os.path.join(base, file), 'w', encoding='utf-8') as definition:
            if file == 'package.py':
                definition.write(f'name = {name!r}\n{text}')
                if subpaths:
                    definition.write(f'variants = {[[one] for one in subpaths]!r}\n')
            else:
                definition.write(f'name: {name}\n{text}')
                if subpaths:
                    definition.write(f'variants: {[[one] for one in subpaths]!r}\n')
        made = []
        for index in variants:
            subpath = '' if index is None else list(subpaths.values())[index]
            root = os.path.join(base, subpath).rstrip('/')
            os.makedirs(root, exist_ok=True)
            trees.make_plain_tree(os.path.join(root, 'bin'), {'tool': f'{name} {index}'.encode()})
            handle = make_handle(self.location, name, version, index)
            if not version:
                del handle['variables']['version']
            made.append(Variant(handle, root))
        return made

    def uri(self, variant, file='package.py', location=None):
        """A variant's URI."""
        variables = variant.handle['variables']
        index = '' if variables['index'] is None else variables['index']
        return '/'.join(filter(None, [location or variables['location'], variables['name'],
                                      variables.get('version'), f'{file}[{index}]']))

    def run_cached(self, *arguments, **options):
        """Runs a command with the cache."""
        return self.run_program('--cache', self.cache, *arguments, **options)

    def assert_at_home(self, variant):
        """It is cached where rez looks for it, its requirements in its sidecar."""
        self.assert_cached(variant)
        root = self.get(variant)[0]
        self.assertEqual(os.path.dirname(root), rezlike.hash_directory(self.cache, variant.handle))
        self.assertEqual(rezlike.look(self.cache, variant.handle)[1], root)
        with open(root + '.json', encoding='utf-8') as file:
            return json.load(file).get('data')


class Uris(RepositoryTest):
    """DEFINITION_PATH[INDEX], wherever a variant may be named."""

    def test_every_command(self):
        """add, get, list, verify and remove take them; list prints them."""
        plain, = self.make_package()
        first, second = self.make_package('bar', '2.1', {'foo-1': 'foo-1', 'foo>=2,<3': 'foo-2+<3'})
        uris = [self.uri(variant) for variant in (plain, first, second)]
        self.assert_code(self.run_cached('add', *uris), DONE)
        self.assertIsNone(self.assert_at_home(plain))
        self.assertEqual(self.assert_at_home(first), ['foo-1'])
        self.assertEqual(self.assert_at_home(second), ['foo>=2,<3'])
        result = self.run_cached('get', *uris)
        self.assertEqual(result.out.split('\n')[:-1], self.get(plain, first, second))
        self.assertEqual(sorted(entry['variant_uri'] for entry in self.listing()), sorted(uris))
        self.assert_code(self.run_cached('verify', uris[1]), DONE)
        self.assert_code(self.run_cached('remove', uris[2]), DONE)
        self.assert_code(self.run_cached('get', uris[2]), MISSING)

    def test_yaml_and_unversioned(self):
        """package.yaml, a package without a version, both."""
        yaml, = self.make_package('fromyaml', '1', text='cachable: true\n', file='package.yaml')
        bare, = self.make_package('bare', '')
        both, = self.make_package('both', '', text='cachable: true\n', file='package.yaml')
        uris = [self.uri(yaml, 'package.yaml'), self.uri(bare), self.uri(both, 'package.yaml')]
        self.assert_code(self.run_cached('warm', *uris), DONE)
        for variant in (yaml, bare, both):
            self.assert_at_home(variant)
        self.assertEqual(sorted(entry['variant_uri'] for entry in self.listing()), sorted(uris))

    def test_hashed(self):
        """The subpath is a hash, and rez goes through a short link to it."""
        digest = '97d170e1550eee4afc0af065b78cda302a97674c'  # of an empty list, as rez printed it
        base = os.path.join(self.location, 'hashed', '1')
        root = os.path.join(base, digest)
        trees.make_plain_tree(root, {'tool': b'tool'})
        with open(os.path.join(base, 'package.py'), 'w', encoding='utf-8') as file:
            file.write('variants = [[]]\nhashed_variants = True\ncachable = True\n')
        os.mkdir(os.path.join(base, '_v'))
        os.symlink('../' + digest, os.path.join(base, '_v', 'a'))
        variant = Variant(make_handle(self.location, 'hashed', '1', 0), root)
        self.assert_code(self.run_cached('add', self.uri(variant)), DONE)
        self.assertEqual(self.assert_at_home(variant), [])
        self.assertEqual(self.listing()[0]['orig_path'], os.path.join(base, '_v', 'a'))

    def test_spelled_otherwise(self):
        """Through a link, with `//` and `.`, relative: the same variant."""
        variant, = self.make_package()
        os.symlink(self.location, self.path('link'))
        spellings = [self.uri(variant, location=self.path('link')),
                     self.uri(variant).replace('/', '//'), self.uri(variant).replace('/foo', '/./foo')]
        self.assert_code(self.run_cached('add', *spellings), DONE)
        self.assertEqual(len(self.listing()), 1)
        self.assert_at_home(variant)
        for uri in spellings:
            self.assert_code(self.run_cached('get', uri), DONE)

    def test_get_needs_no_repository(self):
        """What is cached is found when the repository is gone."""
        variant, = self.make_package()
        self.assert_code(self.run_cached('add', self.uri(variant)), DONE)
        shutil.rmtree(self.path('svr'))
        self.assert_code(self.run_cached('get', self.uri(variant)), DONE)
        self.assert_code(self.run_cached('warm', self.uri(variant)), DONE)

    @once
    def test_refused(self):
        """Each with its reason, and nothing is cached."""
        self.make_package(subpaths={'bar-1': 'bar-1'})
        self.make_package('plain')
        with open(os.path.join(self.location, 'combined.yaml'), 'w', encoding='utf-8') as file:
            file.write('versions: ["1.0"]\n')
        reasons = {'foo/1.0/package.py[1]': 'the last one is [0]',
                   'foo/1.0/package.py[]': 'one of [0]',
                   'plain/1.0/package.py[0]': 'has no variants',
                   'foo/2.0/package.py[0]': 'contains no package.py',
                   'combined.yaml<1.0>[]': 'combined package',
                   'combined/1.0/package.py[]': 'combined package'}
        for uri, reason in reasons.items():
            with self.subTest(uri):
                for command in ('add', 'warm'):
                    result = self.run_cached(command, f'{self.location}/{uri}')
                    self.assert_refused(result, FAILED, about=[reason])
        for text in ('foo', '/foo/1.0/package.py[x]', '/foo/1.0/package.txt[0]', '[', ']'):
            self.assert_refused(self.run_cached('add', text), USAGE, about=['nor is it a handle'])
        self.assertEqual(self.listing(), [])

    def test_the_good_among_the_bad(self):
        """Is cached: exit 4."""
        variant, = self.make_package()
        result = self.run_cached('--json', 'warm', self.uri(variant),
                                 f'{self.location}/foo/9/package.py[]')
        self.assert_code(result, PARTLY)
        self.assertEqual([entry['status'] for entry in result.json()['results']],
                         ['created', 'failed'])


class PackagesPath(RepositoryTest):
    """Where rez's packages_path has a repository, that tells names from versions."""

    def test_unversioned(self):
        """Names that begin with a digit, and names that are computed."""
        names = {'3dtool': 'cachable = True\n', 'tool': "n = 'to'\nname = n + 'ol'\ncachable = True\n"}
        packages = [self.make_package(name, '', text=text)[0] for name, text in names.items()]
        packages += self.make_package('2024', '1.0')
        known = {'REZ_PACKAGES_PATH': f'/nowhere:{self.location}'}
        self.assert_code(self.run_cached('add', *map(self.uri, packages), **known), DONE)
        for variant in packages:
            self.assert_at_home(variant)
        for command in ('get', 'verify', 'remove'):  # which know of the cache alone
            self.assert_code(self.run_cached(command, *map(self.uri, packages)), DONE)
        self.assertEqual(self.listing(), [])

    def test_the_first_that_has_it(self):
        """Of two repositories, one in the other, the first that rez sees the package in."""
        inner, = self.make_package('inner/foo')
        os.makedirs(self.path('cache'))
        paths = [os.path.join(self.location, 'inner'), self.location]
        result = self.run_cached('--json', 'add', f'{self.location}/inner/foo/1.0/package.py[]',
                                 REZ_PACKAGES_PATH=':'.join(paths))
        self.assert_code(result, DONE)
        variables = result.json()['results'][0]['handle']['variables']
        self.assertEqual((variables['location'], variables['name'], variables['version']),
                         (paths[0], 'foo', '1.0'), inner)

    def test_what_rez_does_not_see(self):
        """Is refused with the reason, wherever the repository is known from."""
        self.make_package('foo', '1.0')
        self.make_package('foo', '2.0')
        self.make_package('bar', '')
        self.make_package('bar', '1.0')
        with open(os.path.join(self.location, 'foo', '.ignore1.0'), 'w', encoding='utf-8'):
            pass
        for settings in ({}, {'REZ_PACKAGES_PATH': self.location}):
            for name, reason in (('foo/1.0', '.ignoreVERSION'), ('bar/1.0', 'outside of them')):
                result = self.run_cached('add', f'{self.location}/{name}/package.py[]', **settings)
                self.assert_refused(result, FAILED, about=[reason])
            self.assert_code(self.run_cached('add', f'{self.location}/foo/2.0/package.py[]',
                                             **settings), DONE)
        off = {'REZ_PACKAGES_PATH': self.location, 'REZ_ALLOW_UNVERSIONED_PACKAGES': 'no'}
        self.assert_code(self.run_cached('add', f'{self.location}/bar/1.0/package.py[]', **off), DONE)
        self.assert_refused(self.run_cached('add', f'{self.location}/bar/package.py[]', **off), FAILED,
                            about=['allow_unversioned_packages'])

    def test_other_names_of_definitions(self):
        """package_filenames; list prints them in URIs."""
        config = self.path('config.py')
        with open(config, 'w', encoding='utf-8') as file:
            file.write("plugins = {'package_repository': {'filesystem': "
                       "{'package_filenames': ['rezpkg', 'package']}}}\n")
        variant, = self.make_package('foo')
        os.rename(os.path.join(variant.root, 'package.py'), os.path.join(variant.root, 'rezpkg.py'))
        uri = self.uri(variant, 'rezpkg.py')
        self.assert_code(self.run_cached('warm', uri, REZ_CONFIG_FILE=config), DONE)
        listed = self.run_cached('--json', 'list', REZ_CONFIG_FILE=config).json()
        self.assertEqual(listed[0]['variant_uri'], uri)

    @once
    def test_versions_that_rez_cannot_parse(self):
        """Nothing of them gets into the cache; what is named beside them does."""
        good, = self.make_package('good')
        for version in ('1..2', '1.0~', '1.0(1)', '1.\xe9', '-1', '1-', '+'):
            bad, = self.make_package('bad', version)
            self.assert_refused(self.run_cached('add', self.uri(bad), self.uri(good)), PARTLY,
                                about=['none that rez can parse'])
            manifest = support.write_manifest(self.path('m.json'), [bad])
            self.assert_refused(self.run_cached('warm', manifest), FAILED)
        self.assertFalse(os.path.exists(os.path.join(self.cache, 'bad')))
        self.assert_at_home(good)
        for version in ('1.0 copy', '1!2', '1.0+b', '_1', 'a\xe9b', 'trunk'):
            odd, = self.make_package('odd', version)
            self.assert_code(self.run_cached('add', self.uri(odd)), DONE)


class Cachable(RepositoryTest):
    """What a definition, or rez's settings, do not want to be cached."""

    def test_a_definition_says_no(self):
        """Skipped with the reason; --force caches it."""
        variant, = self.make_package(text='cachable = False\n')
        for command in ('add', 'warm'):
            result = self.run_cached('--json', command, self.uri(variant))
            self.assert_code(result, FAILED)
            entry, = result.json()['results']
            self.assertEqual(entry['status'], 'skipped')
            self.assertIn('not cachable: its attribute cachable', entry['reason'])
        self.assert_code(self.run_cached('add', '--force', self.uri(variant)), DONE)
        self.assert_at_home(variant)

    def test_settings_say(self):
        """rez's default is no; its settings change that; a definition wins."""
        variant, = self.make_package(text='')
        relocatable, = self.make_package('fixed', text='relocatable = False\n')
        uri = self.uri(variant)
        self.assert_refused(self.run_cached('add', uri), FAILED, about=["rez's default_cachable"])
        per_package = json.dumps({'foo': True})
        self.assert_code(self.run_cached('add', uri, REZ_DEFAULT_CACHABLE_PER_PACKAGE_JSON=per_package),
                         DONE)
        self.assert_refused(
            self.run_cached('add', self.uri(relocatable), REZ_DEFAULT_CACHABLE_JSON='null'),
            FAILED, about=['its attribute relocatable'])

    def test_with_a_root(self):
        """Who says where a payload is asks no definition."""
        variant, = self.make_package(text='cachable = False\n')
        result = self.run_cached('add', '--root', variant.root, variant.argument)
        self.assert_code(result, DONE)

    def test_handles(self):
        """A handle without a root is looked up; without a definition its root is known if it has no
        index."""
        first, = self.make_package('one', subpaths={'foo-1': 'foo-1'})
        os.makedirs(os.path.join(self.location, 'none', '1'))
        none = Variant(make_handle(self.location, 'none', '1'), None)
        manifest = support.write_manifest(self.path('manifest.json'),
                                          [Variant(first.handle, None), none])
        self.assert_code(self.run_cached('warm', manifest), DONE)
        self.assertEqual(self.assert_at_home(first), ['foo-1'])
        indexed = Variant(make_handle(self.location, 'none', '1', 0), None)
        self.assert_refused(self.run_cached('add', indexed.argument), FAILED, about=['--root'])


class Plugin(RepositoryTest):
    """The example of a plugin for rez, with what stands in for rez."""

    @once
    def test_it_copies(self):
        """Calls pkgcache copy; what that says becomes rez's error."""
        variant, = self.make_package()
        stand_ins = {'rez/__init__.py': '', 'rez/exceptions.py': 'class PackageRepositoryError(Exception): pass\n',
                     'rezplugins/package_repository/filesystem.py':
                         'class FileSystemPackageRepository:\n    pass\n'}
        for name, text in stand_ins.items():
            os.makedirs(os.path.dirname(self.path('python', name)), exist_ok=True)
            with open(self.path('python', name), 'w', encoding='utf-8') as file:
                file.write(text)
        plugin = os.path.join(support.TOP, 'docs', 'examples', 'rezplugins', 'package_repository',
                              'filesystem.py')
        script = ('import runpy, sys, types\n'
                  f'plugin = runpy.run_path({plugin!r})["register_plugin"]()()\n'
                  'print(plugin.copy_variant_payload(types.SimpleNamespace(root=sys.argv[1]), sys.argv[2]))\n')
        environment = {'PYTHONPATH': self.path('python'), 'PYTHONDONTWRITEBYTECODE': '1',
                       'PATH': os.path.dirname(support.PROGRAM) + ':' + os.environ['PATH']}
        for destination, out in (('copy', 'True\n'), ('copy', ''), ('nowhere/copy', '')):
            result = self.run_program('-c', script, variant.root, self.path(destination),
                                      program=sys.executable, **environment)
            self.assertEqual(result.out, out, result.err)
            self.assertEqual('PackageRepositoryError' in result.err, out == '', result.err)
        self.assert_same_tree(variant.root, self.path('copy'))


class Contexts(RepositoryTest):
    """What rez saved of a resolve."""

    def write_context(self, name, handles, **others):
        """A context of these handles; returns its path."""
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(json.dumps({'status': 'solved', 'resolved_packages': handles, **others}))
        return self.path(name)

    def test_the_union_of_two(self):
        """Each variant once."""
        foo, = self.make_package()
        bars = self.make_package('bar', '2', {'foo-1': 'foo-1', 'foo-2': 'foo-2'})
        one = self.write_context('a.rxt', [foo.handle, bars[0].handle])
        two = self.write_context('b.rxt', [foo.handle, bars[1].handle])
        result = self.run_cached('--json', 'warm', one, two)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['variants'], 3)
        for variant in (foo, *bars):
            self.assert_at_home(variant)
        result = self.run_with_input(f'{one}\n{self.uri(foo)}\n', '--cache', self.cache, 'warm', '-')
        self.assert_code(result, DONE)
        with open(one, encoding='utf-8') as file:
            result = self.run_with_input(file.read(), '--cache', self.cache, 'warm', '-')
        self.assert_code(result, DONE)

    def test_yaml(self):
        """As rez saved them once."""
        foo, = self.make_package()
        with open(self.path('a.rxt'), 'w', encoding='utf-8') as file:
            file.write('status: solved\nresolved_packages:\n- key: filesystem.variant\n  variables:\n')
            for key, value in foo.handle['variables'].items():
                file.write(f'    {key}: {json.dumps(value)}\n')
        self.assert_code(self.run_cached('warm', self.path('a.rxt')), DONE)
        self.assert_at_home(foo)

    @once
    def test_refused_as_a_whole(self):
        """A resolve that failed, and what is no context."""
        foo, = self.make_package()
        failed = self.write_context('failed.rxt', [foo.handle], status='failed',
                                    failure_description='foo conflicts with bar')
        missing = self.write_context('missing.rxt', None)
        for path, reason in ((failed, 'foo conflicts with bar'), (missing, 'must be a list')):
            self.assert_refused(self.run_cached('warm', path), FAILED, about=[path, reason])
        self.assertFalse(os.path.exists(self.cache))

    def test_bad_handles(self):
        """Are named by their numbers; the good ones are cached."""
        foo, = self.make_package()
        combined = make_handle(self.location, 'combined', '1', ext='yaml')
        combined['key'] = 'filesystem.variant.combined'
        path = self.write_context('a.rxt', [foo.handle, 1, combined, make_handle(name='a/b'), {}])
        result = self.run_cached('warm', path)
        self.assert_refused(result, PARTLY, about=['entry 2', 'entry 4', 'entry 5'])
        self.assert_at_home(foo)

    def test_what_is_not_cachable(self):
        """Is policy: counted, named with -v, exit 0. What is cachable and missing is a failure still."""
        foo, = self.make_package()
        python, = self.make_package('python', '3.9', text='')
        never, = self.make_package('never', text='cachable = False\n')
        combined = make_handle(self.location, 'duo', '1.1', ext='py')
        combined['key'] = 'filesystem.variant.combined'
        memory = make_handle('140301', 'heap', '1.0')
        memory['key'] = 'memory.variant'
        memory['variables']['repository_type'] = 'memory'
        other = make_handle('db', 'row', '2', repository_type='database')
        other['key'] = 'database.variant'
        handles = [foo.handle, python.handle, never.handle, combined, memory, other]
        path = self.write_context('a.rxt', handles)
        for count in ('created', 'found'):
            result = self.run_cached('--json', 'warm', path)
            self.assert_code(result, DONE)
            answer = result.json()
            self.assertEqual((answer[count], answer['not_cachable'], answer['skipped'], answer['failed']),
                             (1, 5, 0, 0))
        result = self.run_cached('-v', 'warm', path)
        self.assertIn('1 found, 5 not cachable', result.out)
        for name in ('python-3.9', 'never-1.0', 'duo-1.1', 'heap-1.0', 'row-2'):
            self.assertIn(name, result.out + result.err)
        self.assertNotIn('--force', result.out + result.err)
        gone = make_handle(self.location, 'gone', '1.0')
        self.assert_refused(self.run_cached('warm', self.write_context('b.rxt', [*handles, gone])),
                            PARTLY, about=['gone'])
        self.assert_refused(self.run_cached('warm', path, self.uri(never)), PARTLY, about=['never-1.0'])
        manifest = support.write_manifest(self.path('m.json'), [Variant(combined, None)])
        self.assert_refused(self.run_cached('warm', manifest), FAILED)

    def test_of_a_bundle(self):
        """Locations are relative to the directory where bundle.yaml lies."""
        foo, = self.make_package()
        handle = json.loads(json.dumps(foo.handle))
        handle['variables']['location'] = 'packages'
        os.mkdir(self.path('elsewhere'))
        path = self.write_context('svr/context.rxt', [handle])
        self.assert_refused(self.run_cached('warm', path), FAILED, about=['absolute'])
        with open(self.path('svr', 'bundle.yaml'), 'w', encoding='utf-8'):
            pass
        os.symlink(self.path('svr'), self.path('link'))
        for spelled in (path, self.path('link', 'context.rxt')):
            self.assert_code(self.run_cached('warm', spelled), DONE)
        self.assertEqual(len(self.listing()), 1)
        self.assert_at_home(foo)

    def test_of_serialize_version_3(self):
        """Handles had another form then."""
        foo, = self.make_package()
        bars = self.make_package('bar', '2', {'foo-1': 'foo-1'})
        old = [{'path': f'{self.location}/{name}/{version}/package.py', 'variables':
                {'name': name, 'version': version, 'index': index, 'search_path': self.location}}
               for name, version, index in (('foo', '1.0', None), ('bar', '2', 0))]
        old.append({'path': f'{self.location}/duo.yaml', 'variables':
                    {'name': 'duo', 'version': '1', 'index': None, 'search_path': self.location}})
        path = self.write_context('a.rxt', old, serialize_version='3.1')
        result = self.run_cached('--json', 'warm', path)
        self.assert_code(result, DONE)
        self.assertEqual((result.json()['created'], result.json()['not_cachable']), (2, 1))
        for variant in (foo, *bars):
            self.assert_at_home(variant)

    def test_what_is_bound_late(self):
        """Knows that it is in a context, unless the variant is named by itself."""
        late, = self.make_package(
            text='version = "1.0"\n@late()\ndef cachable():\n    return not in_context()\n')
        path = self.write_context('a.rxt', [late.handle])
        python = {'PKGCACHE_REZ_PYTHON': sys.executable,
                  'PYTHONPATH': os.path.join(support.TOP, 'tests', 'fakerez')}
        result = self.run_cached('--json', 'warm', path, **python)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['not_cachable'], 1)
        self.assert_code(self.run_cached('warm', self.uri(late), **python), DONE)

    def test_many_entries(self):
        """100,000 that are one variant."""
        foo, = self.make_package()
        path = self.write_context('a.rxt', [foo.handle] * support.scaled(100000))
        result = self.run_cached('--json', 'warm', path)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['variants'], 1)


class Directories(RepositoryTest):
    """--all: a version, a package, a repository."""

    def setUp(self):
        super().setUp()
        self.old, = self.make_package(version='1.0')
        self.new, = self.make_package(version='1.10')
        self.bars = self.make_package('bar', '2', {'foo-1': 'foo-1', 'foo-2': 'foo-2'})
        self.bare, = self.make_package('bare', '')
        self.make_package('secret', text='cachable = False\n')
        self.make_package('foo', '1.2')
        with open(os.path.join(self.location, 'foo', '.ignore1.2'), 'w', encoding='utf-8'):
            pass
        os.makedirs(os.path.join(self.location, 'foo', 'building'))
        with open(os.path.join(self.location, 'combined.py'), 'w', encoding='utf-8') as file:
            file.write('versions = ["1"]\n')

    def warm_all(self, *names):
        """Warms a directory with --all, and returns what is cached then, by URI."""
        self.assert_code(self.run_cached('warm', '--all', os.path.join(self.location, *names)), DONE)
        return {entry['variant_uri'] for entry in self.listing()}

    def test_each_kind(self):
        """One after the other: what is not cachable is passed over."""
        self.assertEqual(self.warm_all('foo', '1.10'), {self.uri(self.new)})
        self.assertEqual(self.warm_all('foo'), {self.uri(self.new), self.uri(self.old)})
        self.assertEqual(self.warm_all('bare'), {self.uri(self.new), self.uri(self.old),
                                                 self.uri(self.bare)})
        self.assertEqual(self.warm_all(), {self.uri(variant) for variant in
                                           (self.new, self.old, self.bare, *self.bars)})
        for variant in (self.new, self.old, self.bare, *self.bars):
            self.assert_at_home(variant)

    @once
    def test_nothing_is_cachable(self):
        """It says so, and what decides it."""
        for name, text in (('a', ''), ('b', ''), ('c', 'cachable = False\n')):
            self.make_package(f'none/{name}', text=text)
        repository = os.path.join(self.location, 'none')
        result = self.run_cached('warm', '--all', repository)
        self.assert_code(result, DONE)
        self.assertIn('3 variants: 3 not cachable\n', result.out)
        self.assertIn("rez's default_cachable (2 variants), its attribute cachable (1 variant)", result.out)
        self.assertEqual(self.run_cached('--json', 'warm', '--all', repository).json()['not_cachable'], 3)

    @once
    def test_refused(self):
        """Without --all; what has no packages; what is not there."""
        self.assert_refused(self.run_cached('warm', self.location), FAILED, about=['--all'])
        os.mkdir(self.path('empty'))
        result = self.run_cached('warm', '--all', self.path('empty'))
        self.assert_refused(result, FAILED, about=['no packages'])
        self.assert_refused(self.run_cached('warm', '--all', self.path('nowhere')), FAILED)

    def test_a_definition_that_cannot_be_read(self):
        """Is named; the rest is cached: exit 4."""
        with open(os.path.join(self.location, 'foo', '1.0', 'package.py'), 'w',
                  encoding='utf-8') as file:
            file.write('variants = [["unfinished"\n')
        result = self.run_cached('warm', '--all', self.location)
        self.assert_refused(result, PARTLY, about=['foo/1.0/package.py'])
        self.assert_at_home(self.new)


if __name__ == '__main__':
    unittest.main()
