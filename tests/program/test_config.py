"""Settings from files: which count, what is wrong with them, who is trusted; `pkgcache config`."""
import os
import signal
import subprocess

import daemons
import rezprogram
import support
from support import DONE, USAGE


class ConfigTest(support.ProgramTest):
    """The two files, of which neither is the machine's."""

    def setUp(self):
        super().setUp()
        self.system = self.path('system.conf')
        self.user = self.path('config', 'pkgcache', 'pkgcache.conf')
        self.environment['PKGCACHE_SYSTEM_CONFIG'] = self.system
        self.environment.pop('PKGCACHE_BACKEND', None)  # files are to say it
        del self.environment['PKGCACHE_SPACE_BUFFER']

    @staticmethod
    def write(path, text):
        """A file; its directory is made."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def settings(self, *arguments, **environment):
        """What config says: {name: (value, origin)}."""
        result = self.run_program(*arguments, '--json', 'config', **environment)
        self.assert_code(result, DONE)
        return {setting['name']: (setting['value'], setting['origin'])
                for setting in result.json()['settings']}

    def problems(self, **environment):
        """What --check finds: [(where, text)]."""
        result = self.run_program('--json', 'config', '--check', **environment)
        found = [(problem['where'], problem['text']) for problem in result.json()['problems']]
        self.assert_code(result, USAGE if found else DONE)
        return found


class Precedence(ConfigTest):
    """The command line, variables, the user's file, the system's, rez, what is built in."""

    def test_one_after_the_other(self):
        how = {'REZ_PACKAGE_CACHE_LOG_DAYS': '2'}
        self.assertEqual(self.settings()['log-days'], ('7', 'built in'))
        self.assertEqual(self.settings(**how)['log-days'], ('2', 'REZ_PACKAGE_CACHE_LOG_DAYS'))
        self.write(self.system, '# all\n\nlog-days = 3\nbackend = threads # here\n')
        self.assertEqual(self.settings(**how)['log-days'], ('3', f'{self.system}, line 3'))
        self.write(self.user, 'log-days = 4\n')
        settings = self.settings(**how)
        self.assertEqual(settings['log-days'], ('4', f'{self.user}, line 1'))
        self.assertEqual(settings['backend'], ('threads', f'{self.system}, line 4'))
        how['PKGCACHE_LOG_DAYS'] = '5'
        self.assertEqual(self.settings(**how)['log-days'], ('5', 'PKGCACHE_LOG_DAYS'))
        self.assertEqual(self.settings('--log-days=6', **how)['log-days'], ('6', 'the command line'))
        self.write(self.user, 'log-days =\n')  # says nothing
        self.assertEqual(self.settings()['log-days'], ('3', f'{self.system}, line 3'))
        self.write(self.user, 'log-days = 8\nlog-days = 9\n')
        self.assertEqual(self.settings()['log-days'], ('9', f'{self.user}, line 2'))

    def test_what_config_prints_can_be_read(self):
        self.write(self.user, f'local-path = "{self.path("a # b")}"\nmax-size = 80%\ncache = ~/c\n')
        before = {name: value for name, (value, _) in self.settings().items()}
        self.assertEqual(before['local-path'], self.path('a # b'))
        self.assertEqual(before['cache'], self.path('c'))
        text = self.run_program('config').out
        self.assertRegex(text, r'(?m)^max-size = 80% +# .*/pkgcache\.conf, line 2$')
        self.write(self.user, text)
        self.assertEqual({name: value for name, (value, _) in self.settings().items()}, before)

    def test_what_config_prints_of_odd_values(self):
        """Quotes, comments, lines, control characters, other bytes; relative paths become absolute."""
        odd = (' # "', 'a "b" #c', 'a\nmax-size = 1', '\x1b[31m', '\\n', '\t', 'b\\"', '\u202ex', '\udcff', 'a:b', '~/x',
               ' ', '=')
        for value in odd:
            with self.subTest(value):
                there = {'PKGCACHE_DIR': '/' + value, 'PKGCACHE_LOCAL_PATH': '/x/' + value,
                         'PKGCACHE_REPOSITORIES': f'/y/{value}:/x'.replace('a:b', 'ab')}
                before = {name: value for name, (value, _) in self.settings(**there).items()}
                self.write(self.user, self.run_program('config', **there).out)
                self.assertEqual({name: value for name, (value, _) in self.settings().items()}, before)
                os.unlink(self.user)
        relative = self.run_program('--cache', '~/c', 'config', '--repositories=a:/b').out
        self.assertIn(f'\ncache = {os.path.realpath("~/c")} ', relative)
        self.assertIn(f'\nrepositories = {os.path.realpath("a")}:/b ', relative)

    @support.once
    def test_the_file_that_is_installed(self):
        """Changes nothing as it is; each line of it is one that could."""
        with open(os.path.join(support.TOP, 'data', 'pkgcache.conf'), encoding='utf-8') as file:
            text = file.read()
        before = self.settings()
        self.write(self.system, text)
        self.assertEqual(self.settings(), before)
        lines = [line.removeprefix('#') for line in text.splitlines() if not line.startswith('# ')]
        self.write(self.system, '\n'.join(lines))
        self.assertEqual(self.problems(), [])
        changed = [name for name, (_, origin) in self.settings().items() if origin.startswith(self.system)]
        self.assertEqual(len(changed), len([line for line in lines if line]))
        self.assertIn('cache', changed)

    @support.once
    def test_installing_it(self):
        """A file of the user's is left alone, a link, too."""
        script = os.path.join(support.TOP, 'data', 'install_configuration')
        source = os.path.join(support.TOP, 'data', 'pkgcache.conf')
        place = self.path('etc', 'pkgcache.conf')

        def install():
            subprocess.run([script, source], env={**os.environ, 'DESTDIR': self.directory}, check=True,
                           stdout=subprocess.DEVNULL)
        install()
        self.assertEqual((os.stat(place).st_mode & 0o777, os.path.getsize(place)), (0o644, os.path.getsize(source)))
        self.write(place, 'log-days = 3\n')
        install()
        self.assertEqual(os.path.getsize(place), 13)
        os.unlink(place)
        os.symlink('nowhere', place)
        install()
        self.assertEqual(os.readlink(place), 'nowhere')

    def test_where_the_files_are(self):
        self.write(self.user, 'log-days = 4\n')
        document = self.run_program('--json', 'config').json()
        self.assertEqual(document['files'], [{'path': self.user, 'found': True},
                                             {'path': self.system, 'found': False}])
        self.write(self.path('.config', 'pkgcache', 'pkgcache.conf'), 'log-days = 5\n')
        for base in ('', 'relative'):
            self.assertEqual(self.settings(XDG_CONFIG_HOME=base)['log-days'][0], '5')

    def test_commands_go_by_them(self):
        """A cache that a file names; also what copy has not by default."""
        self.write(self.system, f'cache = {self.cache}\nspace-buffer = 0\n')
        variant = self.make_variant()
        self.assert_code(self.run_program('add', variant.argument, '--root', variant.root), DONE)
        self.assertIn(self.cache, self.run_program('get', variant.argument).out)


class Wrong(ConfigTest):
    """What is wrong is an error, or at least said, once."""

    def test_values(self):
        for text, about in (('max-size = 80', 'a unit'), ('backend = fast', 'auto, ring, threads'),
                            ('lock-timeout = 0', 'lock-timeout'), ('cache = here', 'begin with /'),
                            ('repositories = /a:b', 'begin with /'), ('[pkgcache]', 'no sections'),
                            ('cache', 'NAME = VALUE'), ('cache = "/a', 'quote')):
            with self.subTest(text):
                self.write(self.system, '# a comment\n' + text + '\n')
                for command in (['list'], ['config'], ['--help-settings'], ['copy', 'a', 'b']):
                    self.assert_refused(self.run_program(*command), USAGE,
                                        about=[f'{self.system}, line 2', about])
                self.assertEqual([where for where, _ in self.problems()], [f'{self.system}, line 2'])

    def test_names(self):
        """Are passed over, with a warning; --check fails."""
        self.write(self.user, 'durabilty = none\nfrobnicate = 1\nmax_size = 80%\n')
        self.assert_code(self.warm([self.make_variant()], PKGCACHE_SPACE_BUFFER='0'), DONE)
        result = self.run_program('--cache', self.cache, 'list', PKGCACHE_MAXSIZE='3', PKGCACHE_CACHE='/x',
                                  PKGCACHEX='1')
        self.assert_code(result, DONE)
        self.assertEqual(len(result.err.splitlines()), 5, result.err)
        for about in ('line 1: unknown setting "durabilty"; did you mean "durability"?', '"frobnicate"',
                      'did you mean "max-size"?', 'PKGCACHE_MAXSIZE: unknown', 'did you mean PKGCACHE_MAX_SIZE?',
                      'did you mean PKGCACHE_DIR?'):
            self.assertIn(about, result.err)
        quiet = self.run_program('--cache', self.cache, '-q', 'list')
        self.assertEqual((quiet.out, quiet.err), (self.run_program('--cache', self.cache, 'list').out, ''))
        self.assertEqual(len(self.problems(PKGCACHE_MAXSIZE='3')), 4)
        result = self.run_program('config', '--check')
        self.assert_refused(result, USAGE, about=['did you mean "durability"?'])

    def test_check_judges_what_is_not_used(self):
        self.write(self.system, 'backend = fast\n')
        self.write(self.user, 'backend = threads\n')
        self.assertEqual([where for where, _ in self.problems(PKGCACHE_STALLED='no')],
                         ['PKGCACHE_STALLED', f'{self.system}, line 1'][::-1])
        self.write(self.system, 'max-size = 80\nmax-size = 80%\n')  # of several lines, the last counts
        self.assertEqual([where for where, _ in self.problems()], [f'{self.system}, line 1'])
        self.assertEqual(self.settings()['max-size'], ('80%', f'{self.system}, line 2'))
        self.write(self.system, '')
        self.assertEqual(self.problems(), [])
        self.assertEqual(self.run_program('config', '--check').out, 'no problems\n')


class Trust(ConfigTest):
    """A file that others may write to decides nothing."""

    def test_modes(self):
        self.write(self.system, 'log-days = 3\n')
        os.chmod(self.system, 0o664)
        if os.getuid() == 0:
            self.assert_refused(self.run_program('config'), USAGE, about=[self.system, 'group may write'])
        os.chmod(self.system, 0o646)
        self.assert_refused(self.run_program('config'), USAGE, about=[self.system, 'everybody may write'])
        self.assertIn('everybody may write', self.problems()[0][1])

    def test_owners(self):
        if os.getuid() != 0:
            self.skipTest('only root can give files away')
        self.write(self.user, 'log-days = 3\n')
        how = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        self.assertEqual(self.run_program('config', **how).code, DONE)  # root's is trusted
        os.chown(self.user, support.NOBODY, 0)
        os.chmod(self.user, 0o664)
        self.assert_code(self.run_program('config', **how), DONE)  # one's own, too
        self.assert_refused(self.run_program('config'), USAGE, about=[self.user, 'belongs to another user'])
        os.chown(self.user, 1, 0)
        self.assert_refused(self.run_program('config', **how), USAGE, about=['belongs to another user'])

    def test_what_is_no_file(self):
        os.mkfifo(self.system)
        self.assert_refused(self.run_program('config'), USAGE, about=['no regular file'])
        os.unlink(self.system)
        os.mkdir(self.system)
        self.assert_refused(self.run_program('config'), USAGE, about=['no regular file'])


class Daemon(ConfigTest, daemons.DaemonTest):
    """The daemon reads them, too."""

    def test_reads_and_reads_again(self):
        self.write(self.system, f'cache = {self.cache}\nspace-buffer = 0\n')
        process = self.start_daemon()
        self.write(self.system, 'backend = fast\n')
        process.send_signal(signal.SIGHUP)
        support.wait_until(lambda: f'{self.system}, line 1' in self.run_program(
            '--cache', self.cache, 'logs', PKGCACHE_SYSTEM_CONFIG='').out, 'the refusal in the log')

    def test_wrong_settings_of_rez(self):
        """Those of the queue, too, are the user's to mend."""
        result = self.run_program('--cache', self.cache, 'daemon', '--foreground', REZ_TMPDIR_JSON='1')
        self.assert_refused(result, USAGE, about=['tmpdir', 'REZ_TMPDIR_JSON'])


class StandIn(rezprogram.RezProgramTest, ConfigTest):
    """rez-pkg-cache: only DIR and rez name the cache; what is wrong is in the log, and is not set."""

    def test_the_cache(self):
        self.write(self.system, f'cache = {self.cache}\n')
        result = self.run_program(program=rezprogram.PROGRAM, PKGCACHE_DIR=self.cache)
        self.assert_code(result, USAGE)
        self.assertIn('DIR must be specified', result.err)

    def test_a_cache_that_is_made(self):
        """Its log has it, too."""
        variant, = self.make_package()
        self.assert_code(self.run_program('-a', f'{variant.root}/package.py[]', program=rezprogram.PROGRAM,
                                          REZ_CACHE_PACKAGES_PATH=self.cache, PKGCACHE_BACKEND='fast'), DONE)
        log = self.run_program('--cache', self.cache, 'logs').out
        self.assertEqual(log.count(' WARNING '), 1, log)
        self.assertIn('PKGCACHE_BACKEND: "fast"', log)

    def test_wrong_values(self):
        self.write(self.system, 'space-buffer = 0\nstall-grace = soon\n')
        variant = self.make_variant()
        self.assert_code(self.warm([variant], PKGCACHE_STALL_GRACE='60'), DONE)
        self.write(self.system, 'space-buffer = 0\nmax-size = 80\nbackend = fast\n')
        result = self.run_program('--clean', self.cache, program=rezprogram.PROGRAM, PKGCACHE_MAX_SIZE='70',
                                  PKGCACHE_LOG_DAYS='x')
        self.assert_code(result, DONE)
        self.write(self.system, 'space-buffer = 0\n')
        self.assert_cached(variant)
        log = self.run_program('--cache', self.cache, 'logs').out
        warnings = [line for line in log.splitlines() if ' WARNING ' in line]
        self.assertEqual(len(warnings), 4, log)
        for about in ('PKGCACHE_MAX_SIZE: "70"', f'{self.system}, line 2: "80"', 'line 3: "fast"',
                      'PKGCACHE_LOG_DAYS: "x"'):
            self.assertIn(about, '\n'.join(warnings))
