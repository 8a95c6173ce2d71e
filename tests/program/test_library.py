"""The libraries as a program meets them: installed, found by pkg-config, compiled, linked, run.

From the environment, besides what support.py reads: PKGCACHE_BUILD (the build directory,
where tests/hanging lies),
PKGCACHE_CC and PKGCACHE_CXX (compilers; the latter may be empty), PKGCACHE_CFLAGS, and
PKGCACHE_THREADS (the program of tests/threads.c).
"""
import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, TOP

BUILD = os.environ.get('PKGCACHE_BUILD') or os.path.join(TOP, 'build')
CC = shlex.split(os.environ.get('PKGCACHE_CC') or 'cc')
CXX = shlex.split(os.environ.get('PKGCACHE_CXX') or '')
THREADS = os.environ.get('PKGCACHE_THREADS') or os.path.join(BUILD, 'tests', 'threads')
FLAGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-g',
         *shlex.split(os.environ.get('PKGCACHE_CFLAGS') or '')]
EXAMPLES = os.path.join(TOP, 'docs', 'examples')
# What `meson install` makes of the two headers, and the version that both have.
HEADERS = os.path.join('include', 'pkgcache')
LIBRARIES = {'copyengine': [os.path.join(TOP, 'engine', 'copyengine.h')],
             'pkgcache': [os.path.join(TOP, 'cache', name)
                          for name in ('pkgcache.h', 'pkgcache_client.h', 'pkgcache_handle.h')]}


def declared_functions(library):
    """The names of the functions that a library's headers declare."""
    names = set()
    for header in LIBRARIES[library]:
        with open(header, encoding='utf-8') as file:
            names.update(re.findall(r'^\w+_PUBLIC [^;(]*?(\w+)\(', file.read(), re.MULTILINE))
    return names


class Installation:
    """What `meson install` makes, in a directory of its own."""

    def __init__(self):
        for tool in ('meson', 'pkg-config', CC[0]):
            if not shutil.which(tool):
                raise unittest.SkipTest(f'{tool} is not installed')
        self.root = support.temporary_name(tempfile.gettempdir())
        support.at_the_end(lambda _: None, trees.remove_tree, self.root)
        self._run('meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', self.root)
        self.libraries = self.directory_of('libpkgcache.so')
        self.environment = {**os.environ, 'PKG_CONFIG_SYSROOT_DIR': self.root,
                            'PKG_CONFIG_PATH': os.path.join(self.libraries, 'pkgconfig')}

    def directory_of(self, name):
        """Where a file of this name was installed."""
        for path, _, files in os.walk(self.root):
            if name in files:
                return path
        raise AssertionError(f'{name} was not installed')

    def pkg_config(self, *arguments):
        """What pkg-config says."""
        return shlex.split(self._run('pkg-config', *arguments, env=self.environment))

    def compile(self, compiler, sources, target, *flags):
        """Compiles and links."""
        self._run(*compiler, *FLAGS, *sources, *flags, '-o', target)
        return target

    @staticmethod
    def _run(*command, **options):
        done = subprocess.run(command, check=False, capture_output=True, text=True, **options)
        if done.returncode:
            raise AssertionError(f'{shlex.join(command)}: {done.stdout}{done.stderr}')
        return done.stdout


class LibraryTest(support.ProgramTest):
    """A cache, and programs that use it through the installed libraries."""

    installation = None

    def setUp(self):
        super().setUp()
        if not LibraryTest.installation:
            LibraryTest.installation = Installation()
        self.environment['LD_LIBRARY_PATH'] = self.installation.libraries

    def compile_example(self, name, *flags):
        """An example as its first comment says it is compiled."""
        return self.installation.compile(
            CC, [os.path.join(EXAMPLES, name + '.c')], self.path(name),
            *(flags or self.installation.pkg_config('--cflags', '--libs', 'libpkgcache')))

    def run_example(self, name, *arguments):
        """Compiles and runs one."""
        return self.run_program(*arguments, program=self.compile_example(name))


class Examples(LibraryTest):
    """docs/examples."""

    def test_look_up(self):
        """It prints the root, or the status."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        result = self.run_example('look_up', self.cache, variant.argument)
        self.assert_code(result, DONE)
        self.assertEqual(result.out.strip(), self.get(variant)[0])
        result = self.run_example('look_up', self.cache, self.make_variant('other').argument)
        self.assert_code(result, FAILED)
        self.assertEqual(result.out, 'missing\n')

    def test_look_up_many(self):
        """One line for each, in order, also for one that was named twice and one that is missing."""
        variants = [self.make_variant(name) for name in 'abc']
        self.assert_code(self.warm(variants[:2]), DONE)
        asked = [variants[1], variants[2], variants[0], variants[1]]
        result = self.run_example('look_up_many', self.cache,
                                  *[variant.argument for variant in asked])
        self.assert_code(result, DONE)
        self.assertEqual([line.split()[:2] for line in result.out.splitlines()],
                         [['b-1.0', 'cached'], ['c-1.0', 'missing'], ['a-1.0', 'cached'],
                          ['b-1.0', 'cached']])
        self.assertEqual([line.split()[2] for line in result.out.splitlines()],
                         [root or '-' for root in self.get(*asked)])

    def test_look_up_many_where_one_cannot_be_looked_up(self):
        """That one has a reason, the others have their roots."""
        if os.geteuid() == 0:
            self.skipTest('root may read everything')
        variants = [self.make_variant(name) for name in 'ab']
        self.assert_code(self.warm(variants), DONE)
        closed = rezlike.hash_directory(self.cache, variants[0].handle)
        os.chmod(closed, 0)
        self.addCleanup(os.chmod, closed, 0o755)
        result = self.run_example('look_up_many', self.cache,
                                  *[variant.argument for variant in variants])
        self.assert_code(result, FAILED)
        self.assertEqual([line.split()[1] for line in result.out.splitlines()],
                         ['failed', 'cached'])

    def test_warm(self):
        """What it brings is found, and found again."""
        variants = [self.make_variant(name) for name in 'ab']
        arguments = [text for variant in variants for text in (variant.argument, variant.root)]
        for status in ('created', 'cached'):
            result = self.run_example('warm', self.cache, *arguments)
            self.assert_code(result, DONE)
            self.assertEqual({tuple(line.split()[:2]) for line in result.out.splitlines()},
                             {('a-1.0', status), ('b-1.0', status)})
        self.assert_cached(*variants)
        self.assert_sound(variants)

    def test_warm_is_cancelled(self):
        """It ends soon, and leaves nothing."""
        variant = self.make_variant()
        slow = self.enter(mounts.slow_mount(variant.root, '--hang-file', '/1/7'))
        process = self.start(self.cache, variant.argument, slow.path,
                             program=self.compile_example('warm'))
        support.wait_until(lambda: os.path.isdir(os.path.join(self.cache, 'foo')), 'the copy')
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, FAILED)
        self.assertIn('foo-1.0 failed', result.out)
        self.assert_sound([])

    def test_list(self):
        """Cached and pending variants, with handles that can be looked up again."""
        variants = [self.make_variant(name) for name in 'abc']
        self.assert_code(self.warm(variants[:2]), DONE)
        rezlike.open_cache(self.cache)
        for _ in range(2):
            rezlike.pend(self.cache, variants[2].handle)
        result = self.run_example('list', self.cache)
        self.assert_code(result, DONE)
        *lines, total = result.out.splitlines()
        self.assertEqual(total, '3 in all')
        listed = {}
        for line in lines:
            status, root, handle = line.split(' ', 2)
            listed[json.loads(handle)['variables']['name']] = (status, root)
        a, b = self.get(*variants[:2])
        self.assertEqual(listed, {'a': ('cached', a), 'b': ('cached', b), 'c': ('pending', '-')})

    def test_without_a_cache(self):
        """They say so, and end."""
        for name in ('look_up', 'list'):
            arguments = [self.cache, self.make_variant().argument][:2 if name == 'look_up' else 1]
            result = self.run_example(name, *arguments)
            self.assert_code(result, FAILED)
            self.assertIn('does not exist', result.err)

    def test_the_page_shows_what_is_there(self):
        """docs/library.md has the first example to the letter, and names all."""
        with open(os.path.join(TOP, 'docs', 'library.md'), encoding='utf-8') as file:
            page = file.read()
        with open(os.path.join(EXAMPLES, 'look_up.c'), encoding='utf-8') as file:
            self.assertIn(file.read(), page)
        for name in (name for name in os.listdir(EXAMPLES) if name.endswith('.c')):
            self.assertIn(f'[{name}](examples/{name})', page)
        named = set(re.findall(r'\b(?:pkgcache|copyengine)(?:_[a-z]+)+\b', page))
        for library in LIBRARIES:
            self.assertEqual(declared_functions(library) - named, set())


class Threads(support.ProgramTest):
    """tests/threads.c."""

    def test_eight_look_while_one_changes(self):
        """With one and the same cache; the thread sanitizer watches, in a build that has it."""
        result = self.run_program(self.directory, program=THREADS)
        self.assert_code(result, DONE)


class Hanging(support.ProgramTest):
    """tests/hanging.c."""

    def test_a_server_that_hangs_while_it_is_listed(self):
        """Its directories keep readers waiting; what is local has others, and so has who gives up."""
        local, names = self.path('local'), [self.path('remote', str(number)) for number in range(6)]
        trees.make_plain_tree(local, {'file': b'content'})
        for name in names:
            trees.make_plain_tree(name, {f'{number}/file': b'x' for number in range(60)})
        with mounts.slow_mount(self.path('remote'), '--delay-ms', '50') as server, \
                open(self.path('said'), 'w+', encoding='ascii') as said:
            remote = [os.path.join(server.path, os.path.basename(name)) for name in names]
            process = support.spawn([os.path.join(BUILD, 'tests', 'hanging'), local, *remote],
                                    stdin=subprocess.PIPE, stdout=said)
            support.wait_until(lambda: len(glob.glob(self.path('local.copy.*', '*'))) >= 20,
                               'trees to be walked')
            with server.hanging():
                time.sleep(1)  # more readers are started, until there are as many as there may be
                process.stdin.write(b'\n')
                process.stdin.flush()
                support.wait_until(lambda: self.lines_of(said) == ['begun', 'copied', 'cancelled'],
                                   'a local copy, and the end of the others')
            process.communicate(b'\n', timeout=support.PATIENCE_S)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(glob.glob(self.path('local.copy.*')), [])

    @staticmethod
    def lines_of(file):
        """What is in a file."""
        file.seek(0)
        return file.read().splitlines()


class Installed(LibraryTest):
    """What is installed, and what it shows of itself."""

    def test_files(self):
        """Libraries, headers, pkg-config files, the program, its manual page."""
        names = {name for _, _, files in os.walk(self.installation.root) for name in files}
        for library in LIBRARIES:
            self.assertLessEqual({f'lib{library}.so', f'lib{library}.so.0', f'lib{library}.a',
                                  f'lib{library}.pc', f'{library}.h'}, names)
        headers = self.installation.directory_of('pkgcache.h')
        self.assertTrue(headers.endswith(HEADERS))
        self.assertEqual(set(os.listdir(headers)),
                         {'pkgcache.h', 'pkgcache_client.h', 'pkgcache_handle.h', 'copyengine.h',
                          'copyengine_version.h'})
        self.assertLessEqual({'pkgcache', 'pkgcache.1'}, names)

    def test_the_manual_page_names_every_option(self):
        """Those of each command, and each setting."""
        path = os.path.join(self.installation.directory_of('pkgcache.1'), 'pkgcache.1')
        with open(path, encoding='utf-8') as file:
            page = file.read().replace('\\-', '-')
        general = self.run_program('--help').out
        told = general + self.run_program('--help-settings').out
        for command in re.findall(r'^  ([a-z]+) ', general, re.MULTILINE):
            told += self.run_program(command, '--help').out
        options = set(re.findall(r'^(?:  -\w,| *)--([a-z-]+)', told, re.MULTILINE))
        self.assertIn('max-size', options)
        self.assertIn('lease', options)
        named = set(re.findall(r'Fl -([a-z-]+)', page)) | set(re.findall(r', -([a-z-]+)', page))
        self.assertEqual(options - named, set())

    def test_exported_symbols(self):
        """What the header declares, and nothing else, all with a version."""
        if not shutil.which('nm'):
            self.skipTest('nm is not installed')
        for library in LIBRARIES:
            declared = declared_functions(library)
            path = os.path.join(self.installation.libraries, f'lib{library}.so')
            lines = subprocess.run(['nm', '-D', '--defined-only', path], check=True,
                                   capture_output=True, text=True).stdout.splitlines()
            version = f'{library.upper()}_0'
            exported = {line.split()[-1] for line in lines} - {version}
            hidden = {name for name in exported if name.startswith(('__', '_init', '_fini', '_edata',
                                                                    '_end'))}
            self.assertEqual(exported - hidden, {f'{name}@@{version}' for name in declared})

    def test_versions(self):
        """The headers', the libraries', the program's and pkg-config's are one."""
        source = self.path('source.c')
        with open(source, 'w', encoding='ascii') as file:
            file.write('#include <pkgcache/pkgcache.h>\n#include <stdio.h>\n'
                       'int main(void) {\n'
                       '    printf("%d.%d.%d %s %d %d\\n", PKGCACHE_VERSION_MAJOR,\n'
                       '           PKGCACHE_VERSION_MINOR, PKGCACHE_VERSION_PATCH,\n'
                       '           COPYENGINE_VERSION_STRING, pkgcache_version(),\n'
                       '           copyengine_version());\n'
                       '    return pkgcache_version() != PKGCACHE_VERSION;\n'
                       '}\n')
        program = self.installation.compile(
            CC, [source], self.path('program'),
            *self.installation.pkg_config('--cflags', '--libs', 'libpkgcache'))
        result = self.run_program(program=program)
        self.assert_code(result, DONE)
        version, number = self.run_program('--version').out.split()[1], 0
        for part in version.split('.'):
            number = number * 100 + int(part)
        self.assertEqual(result.out.split(), [version, version, str(number), str(number)])
        for library in LIBRARIES:
            self.assertEqual(self.installation.pkg_config('--modversion', f'lib{library}'), [version])

    def test_each_header_alone_in_c_and_cxx(self):
        """With all warnings, in the oldest languages that are supported."""
        compilers = [(CC, 'c', '-std=c11')] + ([(CXX, 'c++', '-std=c++11')] if CXX else [])
        headers = [(library, os.path.basename(header))
                   for library, paths in LIBRARIES.items() for header in paths]
        for library, header in headers:
            for compiler, language, standard in compilers:
                with self.subTest(header, language=language):
                    source = self.path('source')
                    with open(source, 'w', encoding='ascii') as file:
                        file.write(f'#include <pkgcache/{header}>\n'
                                   f'#include <pkgcache/{header}>\n'
                                   'int main(void) { return 0; }\n')
                    self.installation.compile(
                        compiler, [], self.path('program'), standard, '-x', language, source,
                        *self.installation.pkg_config('--cflags', f'lib{library}'))

    def test_from_cxx(self):
        """The names are C's."""
        if not CXX:
            self.skipTest('there is no C++ compiler')
        source = self.path('program.cc')
        with open(source, 'w', encoding='ascii') as file:
            file.write('#include <pkgcache/pkgcache.h>\n'
                       'int main(int, char **argv) {\n'
                       '    pkgcache *cache = nullptr;\n'
                       '    pkgcache_options options{};\n'
                       '    options.size = sizeof options;\n'
                       '    int result = pkgcache_open(argv[1], &options, true, &cache, nullptr);\n'
                       '    pkgcache_close(cache);\n'
                       '    return result < 0;\n'
                       '}\n')
        program = self.installation.compile(
            CXX, [source], self.path('program'),
            *self.installation.pkg_config('--cflags', '--libs', 'libpkgcache'))
        self.assert_code(self.run_program(self.cache, program=program), DONE)
        self.assertTrue(os.path.isdir(self.cache))

    def test_static(self):
        """The archives are whole: nothing of ours is loaded at run time."""
        archives = [os.path.join(self.installation.libraries, f'lib{library}.a')
                    for library in ('pkgcache', 'copyengine')]
        flags = [flag for flag in
                 self.installation.pkg_config('--static', '--cflags', '--libs', 'libpkgcache')
                 if flag not in ('-lpkgcache', '-lcopyengine')]
        program = self.compile_example('look_up', *archives, *flags)
        del self.environment['LD_LIBRARY_PATH']
        result = self.run_program(self.cache, self.make_variant().argument, program=program)
        self.assert_code(result, FAILED)
        self.assertIn('does not exist', result.err)


if __name__ == '__main__':
    unittest.main()
