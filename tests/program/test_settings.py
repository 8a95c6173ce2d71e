"""Settings: which counts, and where it comes from; rez's files, and what can be wrong with them."""
import os
import re
import sys

import support
from support import DONE, FAILED, USAGE, ProgramTest, once

# What stands in for rez where a file computes a setting: the two modules that are imported.
REZ_STAND_IN = {
    'rez/__init__.py': '',
    'rez/utils/__init__.py': '',
    'rez/utils/data_utils.py': '''
class ModifyList:
    def __init__(self, append=None, prepend=None):
        self.append, self.prepend = append, prepend
class DelayLoad:
    def __init__(self, path):
        self.path = path
    def get_value(self):
        with open(self.path) as file:
            return __import__('json').load(file)
''',
    'rez/config.py': '''
from rez.utils.data_utils import DelayLoad, ModifyList
def _load_config_py(path):
    with open('%(log)s', 'a') as file:
        file.write(path + '\\n')
    names = {'ModifyList': ModifyList, 'DelayLoad': DelayLoad}
    with open(path) as file:
        exec(file.read(), names)
    return names
''',
    'rez/system.py': 'system = None\n',
    'rez/utils/scope.py': '''
def scoped_format(text, system):
    return text.replace('{system.os}', 'Rocky-9')
''',
}


class SettingsTest(ProgramTest):
    """A test with settings files."""

    def write(self, name, text):
        """Writes a file below the test's directory and returns its path."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def settings(self, *arguments, **environment):
        """What --help-settings says: {name: (value, origin)}."""
        result = self.run_program(*arguments, '--help-settings', **environment)
        self.assert_code(result, DONE)
        self.assertEqual(result.err, '')
        found = re.findall(r'^--([a-z-]+)=(.*)\n.*\n    from (.*); variable', result.out, re.M)
        self.assertGreater(len(found), 15)
        return {name: (value, origin) for name, value, origin in found}

    def files(self, *paths):
        """The variable that names settings files."""
        return {'REZ_CONFIG_FILE': ':'.join(paths)}

    def refuse(self, path, *about, **environment):
        """A command that needs the file ends with 2 and names it, and one that does not works."""
        variant = self.make_variant()
        environment = {'PKGCACHE_SPACE_BUFFER': '', **(environment or self.files(path))}
        result = self.warm([variant], **environment)
        self.assert_refused(result, USAGE, about=[path, *about])
        self.assertEqual(result.err.count('\n'), 1, result.err)
        self.assertFalse(os.path.exists(self.cache))
        self.assert_refused(self.run_program('--help-settings', **environment), USAGE, about=[path])


class Precedence(SettingsTest):
    """The command line, our variables, rez's, rez's files, what is built in."""

    @once
    def test_order(self):
        """Each one before the next."""
        first = self.write('first.yaml', 'package_cache_log_days: 11\n')
        second = self.write('second.py', 'package_cache_log_days = 12\n')
        home = self.write('.rezconfig', 'package_cache_log_days: 13\n')
        rez = 'REZ_PACKAGE_CACHE_LOG_DAYS'
        home_read = {'REZ_DISABLE_HOME_CONFIG': ''}
        both = self.files(first, second)
        how = {}
        for more, expected in (
                ({}, ('7', 'built in')),
                (self.files(first), ('11', first)),
                (both, ('12', f'{second}, line 1')),
                (home_read, ('13', home)),
                ({rez + '_JSON': '14'}, ('14', rez + '_JSON')),
                ({rez: '15'}, ('15', rez)),
                ({'PKGCACHE_LOG_DAYS': '16'}, ('16', 'PKGCACHE_LOG_DAYS'))):
            how.update(more)
            self.assertEqual(self.settings(**how)['log-days'], expected)
        self.assertEqual(self.settings('--log-days=17', **how)['log-days'],
                         ('17', 'the command line'))

    @once
    def test_all_of_rez(self):
        """Each setting that rez has, from a file."""
        path = self.write('rezconfig.yaml', f'''
cache_packages_path: "~/c"
package_cache_same_device: false
package_cache_local: false
local_packages_path: "{self.directory}/{{{{l}}}}"
package_cache_space_buffer: 12345
package_cache_used_threshold: 500
package_cache_max_variant_days: -3
package_cache_log_days: 99999999999999999999999
unknown: 1
''')
        settings = self.settings(**self.files(path), PKGCACHE_SPACE_BUFFER='')
        expected = {'cache': f'{self.directory}/c', 'same-device': 'no', 'local': 'no',
                    'local-path': f'{self.directory}/{{l}}', 'space-buffer': '12345',
                    'used-threshold': '100', 'max-variant-days': '0', 'log-days': '36500'}
        for name, value in expected.items():
            self.assertEqual(settings[name], (value, path), name)

    @once
    def test_what_rez_has_built_in_does_not_count(self):
        """Ours is what rez's users would have to set."""
        settings = self.settings(PKGCACHE_SPACE_BUFFER='')
        for name, value in (('same-device', 'yes'), ('local', 'yes'), ('space-buffer', '100M'),
                            ('cache', f'{self.directory}/.cache/pkgcache'),
                            ('local-path', f'{self.directory}/packages')):
            self.assertEqual(settings[name], (value, 'built in'))

    @once
    def test_no_cache_of_rez(self):
        """null, and the empty path, are none."""
        path = self.write('rezconfig.yaml', 'cache_packages_path:\n')
        for how in (self.files(path), {'REZ_CACHE_PACKAGES_PATH': ''},
                    {'REZ_CACHE_PACKAGES_PATH_JSON': 'null'}):
            self.assertEqual(self.settings(**how)['cache'],
                             (f'{self.directory}/.cache/pkgcache', 'built in'))

    def test_the_cache_of_a_file(self):
        """Is where variants go, and are found."""
        path = self.write('rezconfig.py', f'cache_packages_path = "{self.path("of-rez")}"\n')
        variant = self.make_variant()
        manifest = support.write_manifest(self.path('manifest.json'), [variant])
        self.assert_code(self.run_program('warm', manifest, **self.files(path)), DONE)
        result = self.run_program('get', variant.argument, **self.files(path))
        self.assert_code(result, DONE)
        self.assertTrue(result.out.startswith(self.path('of-rez') + '/'), result)

    @once
    def test_local(self):
        """What is local is known from a file, too."""
        path = self.write('rezconfig.yaml', f'local_packages_path: {self.path("repository")}\n'
                                            'package_cache_local: no\n')
        result = self.warm([self.make_variant()], **self.files(path))
        self.assert_refused(result, FAILED, about=['the package is local'])

    @once
    def test_bytes_that_are_no_text(self):
        """Paths are what the file system has."""
        cache = os.fsencode(self.path('c')) + b'\xff'
        result = self.run_program('--help-settings', REZ_CACHE_PACKAGES_PATH=cache)
        self.assertIn(f'--cache={os.fsdecode(cache)}\n', result.out)


class NotRead(SettingsTest):
    """rez's files are read where something needs them, and nowhere else."""

    def test_commands(self):
        """A file that cannot be read shows who reads it."""
        broken = self.files(self.write('broken.yaml', '{'))
        variant = self.make_variant()
        manifest = support.write_manifest(self.path('manifest.json'), [variant])
        self.assert_code(self.warm([variant]), DONE)
        cache = ('--cache', self.cache)
        for line in (['get', variant.argument], ['list'], ['stats'], ['logs'],
                     ['remove', variant.argument],
                     ['clean', '--max-variant-days=30', '--log-days=7'],
                     ['warm', manifest, '--same-device=yes', '--local=yes', '--used-threshold=80'],
                     ['verify', '--used-threshold=80'],
                     ['copy', variant.root, self.path('copy')]):
            self.assert_code(self.run_program(*cache, *line, **broken), DONE)
        for line in ([*cache, 'clean', '--max-variant-days=30'], [*cache, 'warm', manifest],
                     ['list'], [*cache, 'warm', manifest, '--same-device=yes', '--local=no',
                      '--used-threshold=80']):
            self.assert_refused(self.run_program(*line, **broken), USAGE, about=['broken.yaml'])

    def test_variables(self):
        """Nor where rez's variables say all."""
        broken = self.files(self.write('broken.yaml', '{'))
        self.assert_code(self.warm([self.make_variant()], **broken, REZ_PACKAGE_CACHE_LOCAL='1',
                                   REZ_PACKAGE_CACHE_SAME_DEVICE_JSON='true',
                                   REZ_PACKAGE_CACHE_USED_THRESHOLD='80'), DONE)


class Files(SettingsTest):
    """Which files are read, and how."""

    @once
    def test_passed_over(self):
        """What is missing, or no file."""
        os.mkdir(self.path('directory.yaml'))
        os.mkfifo(self.path('fifo'))
        good = self.write('good.yaml', 'package_cache_log_days: 5\n')
        how = self.files(self.path('missing.py'), self.path('directory.yaml'), '',
                         self.path('fifo'), good, self.path('good.yaml/x'))
        self.assertEqual(self.settings(**how)['log-days'], ('5', good))

    @once
    def test_python_first(self):
        """Whatever the extension that is named."""
        path = self.write('both.py', '# \npackage_cache_log_days = 6\n')
        for name in ('both.yaml', 'both', 'both.py'):
            self.write('both.yaml', '{')
            self.assertEqual(self.settings(**self.files(self.path(name)))['log-days'],
                             ('6', f'{path}, line 2'))

    @once
    def test_python_at_home(self):
        """.rezconfig.py before .rezconfig."""
        self.write('.rezconfig', '{')
        path = self.write('.rezconfig.py', 'package_cache_log_days = 6\n')
        self.assertEqual(self.settings(REZ_DISABLE_HOME_CONFIG='no')['log-days'],
                         ('6', f'{path}, line 1'))

    @once
    def test_a_link(self):
        """Is followed."""
        self.write('real.yaml', 'package_cache_log_days: 5\n')
        os.symlink('real.yaml', self.path('link.yaml'))
        self.assertEqual(self.settings(**self.files(self.path('link.yaml')))['log-days'][0], '5')

    @once
    def test_empty(self):
        """Says nothing."""
        for number, text in enumerate(('', '# nothing\n', '---\n', '[]\n', 'null\n', '0\n')):
            path = self.write(f'{number}.yaml', text)
            self.assertEqual(self.settings(**self.files(path))['log-days'], ('7', 'built in'))

    @once
    def test_broken(self):
        """Each by its name, and the line where there is one."""
        for number, (name, text, *about) in enumerate((
                ('yaml', '\n\na: [\n', 'line'), ('yaml', '- 1\n', 'Expected dict, got list'),
                ('yaml', 'just words\n', 'Expected dict, got str'), ('yaml', b'a: \xff\n'),
                ('yaml', b'a: "\0"\n'), ('yaml', '\ta: 1\n', 'line'), ('yaml', 'a: &a [*a]\n'),
                ('yaml', '[' * 100000, 'line'), ('yaml', b'a: ' + b'x' * (5 << 20)),
                ('py', 'x = 1\npackages_path = [\n', 'line'), ('py', b'x = "\xff"\n'),
                ('py', 'x = (' * 100000, 'line'), ('py', 'x = "\n', 'line 1'))):
            with self.subTest(name=name, text=text[:20]):
                self.refuse(self.write(f'{number}.{name}', text), *about)

    @once
    def test_unreadable(self):
        """The reason is the system's."""
        path = self.write('secret.yaml', 'a: 1\n')
        os.chmod(path, 0)
        options = self.files(path)
        if os.getuid() == 0:  # who reads everything
            options.update(uid=support.NOBODY, program=self.program_for_anybody())
        result = self.run_program('--help-settings', **options)
        self.assert_refused(result, USAGE, about=[path, 'Permission denied'])

    @once
    def test_wrong_types(self):
        """Each type of setting; what rez says of it."""
        for number, (line, about) in enumerate((
                ("package_cache_used_threshold: 'seven'", "'seven' should be instance of <class"),
                ('package_cache_space_buffer: 1.5', "1.5 should be instance of <class 'int'>"),
                ('package_cache_space_buffer: null', "None should be instance of <class 'int'>"),
                ('package_cache_local: 1', "1 should be instance of <class 'bool'>"),
                ('package_cache_same_device: "no"', "'no' should be instance of <class 'bool'>"),
                ('package_cache_same_device: {a: [1]}', "{'a': [1]} should be instance"),
                ('package_cache_local: "\\e[31m"', "'\\x1b[31m' should be instance"),
                ('package_cache_space_buffer: ' + 'x' * 5000, '... should be instance'))):
            with self.subTest(line):
                setting = line.partition(':')[0]
                self.refuse(self.write(f'{number}.yaml', line + '\n'),
                            f"Misconfigured setting '{setting}'", about)
        self.refuse(self.write('types.py', 'x = 1\npackage_cache_local = (\n  "a",)\n'),
                    "('a',) should be instance", 'types.py, line 2')

    @once
    def test_wrong_variables(self):
        """They are named."""
        for name, value in (('REZ_PACKAGE_CACHE_LOCAL', '2'), ('REZ_PACKAGE_CACHE_LOCAL', ''),
                            ('REZ_PACKAGE_CACHE_LOCAL_JSON', '1'),
                            ('REZ_PACKAGE_CACHE_SPACE_BUFFER', '100M'),
                            ('REZ_PACKAGE_CACHE_SPACE_BUFFER_JSON', '{'),
                            ('REZ_PACKAGE_CACHE_USED_THRESHOLD', '')):
            with self.subTest(name, value=value):
                self.refuse(name, **{name: value})


class Computed(SettingsTest):
    """What a Python file computes: rez is asked, where there is one, and only then."""

    def setUp(self):
        super().setUp()
        self.log = self.path('asked')
        for name, text in REZ_STAND_IN.items():
            self.write(f'python/{name}', text.replace('%(log)s', self.log))
        self.rez = {'PKGCACHE_REZ_PYTHON': sys.executable, 'PYTHONPATH': self.path('python')}
        self.none = {'PKGCACHE_REZ_PYTHON': ''}

    def asked(self):
        """How often rez was asked."""
        if not os.path.exists(self.log):
            return 0
        with open(self.log, encoding='utf-8') as file:
            return len(file.readlines())

    def test_without_rez(self):
        """The file and the line, and only who needs the setting hears of them."""
        path = self.write('rezconfig.py', 'import os\nx = os.getpid()\n'
                                          'package_cache_local = bool(os.getpid())\n')
        how = {**self.files(path), **self.none}
        result = self.warm([self.make_variant()], **how)
        self.assert_refused(result, USAGE, about=[f'{path}, line 3', 'package_cache_local'])
        self.assert_code(self.warm([self.make_variant()], '--local=yes', **how), DONE)

    @once
    def test_with_rez(self):
        """One question for a whole file."""
        path = self.write('rezconfig.py', 'import os\nprint("says something")\n'
                                          'local_packages_path = os.path.join("/a", "b")\n'
                                          'package_cache_local = not os.getpid()\n'
                                          'package_cache_log_days = 2 + 3\n')
        settings = self.settings(**self.files(path), **self.rez)
        self.assertEqual(settings['local-path'], ('/a/b', f'{path}, line 3'))
        self.assertEqual(settings['local'], ('no', f'{path}, line 4'))
        self.assertEqual(settings['log-days'], ('5', f'{path}, line 5'))
        self.assertEqual(self.asked(), 1)

    @once
    def test_not_asked(self):
        """Where a later file, or a variable, says it without."""
        path = self.write('rezconfig.py', 'package_cache_log_days = 2 + 3\n')
        later = self.write('later.yaml', 'package_cache_log_days: 4\n')
        self.assertEqual(self.settings(**self.files(path, later), **self.rez)['log-days'],
                         ('4', later))
        self.settings(**self.files(path), **self.rez, REZ_PACKAGE_CACHE_LOG_DAYS='3')
        self.assertEqual(self.asked(), 0)

    @once
    def test_loaded_from_elsewhere(self):
        """rez's DelayLoad."""
        days = self.write('days.json', '9')
        path = self.write('rezconfig.py', f'package_cache_log_days = DelayLoad("{days}")\n')
        self.assertEqual(self.settings(**self.files(path), **self.rez)['log-days'][0], '9')

    @once
    def test_it_fails(self):
        """What Python said is passed on."""
        for text, about in (('package_cache_log_days = 1 // 0\n', 'ZeroDivisionError'),
                            ('package_cache_log_days = set(())\n', 'is a set')):
            path = self.write('rezconfig.py', text)
            result = self.run_program('--help-settings', **self.files(path), **self.rez)
            self.assert_refused(result, USAGE, about=[f'{path}, line 1', about])

    @once
    def test_fields_of_the_system(self):
        """Some only rez knows."""
        text = 'local_packages_path: "/a/{system.os}/{system.platform}"\n'
        path = self.write('rezconfig.yaml', text)
        settings = self.settings(**self.files(path), **self.rez)
        self.assertEqual(settings['local-path'][0], '/a/Rocky-9/{system.platform}')
        result = self.run_program('--help-settings', **self.files(path), **self.none)
        self.assert_refused(result, USAGE, about=[path, 'local_packages_path', 'only rez can expand'])
