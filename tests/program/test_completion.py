"""Completions for shells, run by the shells themselves where they are installed."""
import contextlib
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios

import support
from support import DONE, USAGE


class CompletionTest(support.ProgramTest):
    """A script of the program's, and what a shell makes of it."""

    def setUp(self):
        super().setUp()
        self.environment['PATH'] = os.path.dirname(support.PROGRAM) + ':' + os.environ['PATH']

    def script(self, shell):
        """Where the script for a shell is; skips where there is no such shell."""
        if not shutil.which(shell):
            self.skipTest(f'{shell} is not installed')
        result = self.run_program('completion', shell)
        self.assert_code(result, DONE)
        path = self.path(f'completion.{shell}')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(result.out)
        return path

    def run_shell(self, *command):
        """Runs a shell; it has nothing to complain of. Returns the lines."""
        result = subprocess.run(command, env=self.environment, cwd=self.directory, capture_output=True, text=True,
                                check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ''), command)
        return result.stdout.splitlines()


class Bash(CompletionTest):
    """Words as bash has them: "=" is one of its own."""

    def complete(self, *words):
        """What the last word, which is unfinished, may become."""
        quoted = ' '.join(f"'{word}'" for word in ('pkgcache', *words))
        return self.run_shell('bash', '--norc', '-c', f'. {self.script("bash")}; COMP_WORDS=({quoted}); '
                              f'COMP_CWORD={len(words)}; _pkgcache; printf "%s\\n" "${{COMPREPLY[@]}}"')

    def test_commands(self):
        commands = [command['name'] for command in self.run_program('--json', 'help').json()['commands']]
        self.assertEqual(self.complete(''), commands)
        self.assertEqual(self.complete('--json', 'wa'), ['warm'])
        self.assertEqual(self.complete('help', 'ver'), ['verify', 'version'])
        self.assertEqual(self.complete('completion', ''), ['bash', 'zsh', 'fish'])

    def test_options(self):
        """Those of the command, and of all commands; settings."""
        self.assertEqual(self.complete('warm', '--re'), ['--report=', '--reuse=', '--repositories='])
        self.assertEqual(self.complete('--no'), [''])
        self.assertIn('--no-header', self.complete('list', '--no'))
        for command in self.complete(''):
            options = {option['name'] for option in
                       self.run_program(command, '--help', '--json').json()['options']}
            found = {word.strip('-=') for word in self.complete(command, '--')}
            self.assertLessEqual(options, found, command)

    def test_values(self):
        """Behind `=`, or as a word of its own."""
        for words in (['--backend', '=', 't'], ['--backend', 't'], ['list', '--backend', '=', 't']):
            self.assertEqual(self.complete(*words), ['threads'])
        self.assertEqual(self.complete('--backend', '='), ['auto', 'ring', 'threads'])
        self.assertEqual(self.complete('get', '--touch', '=', ''), ['yes', 'no'])
        os.makedirs(self.path('some', 'directory'))
        self.assertEqual(self.complete('--cache', '=', 'so'), ['some'])
        self.assertEqual(self.complete('warm', 'some/d'), ['some/directory'])
        self.assertEqual(self.complete('clean', '--time-limit', ''), [''])

    def test_variants(self):
        """What is cached, in the cache that is named."""
        self.assert_code(self.warm([self.make_variant('foo'), self.make_variant('bar')]), DONE)
        for words in (['--cache', self.cache, 'get', ''], ['get', '--cache', '=', self.cache, '']):
            self.assertEqual(self.complete(*words), ['bar-1.0', 'foo-1.0'])
        self.assertEqual(self.complete('get', 'f'), [''])
        self.environment['HERE'] = self.directory
        self.assertEqual(self.complete('--cache', '"$HERE"/cache', 'get', 'f'), ['foo-1.0'])

    def test_nothing_on_the_line_is_run(self):
        for word in ('$(touch there)', '`touch there`', '"$(touch there)"', '<(touch there)', 'x;touch there'):
            for words in (['--cache', word, 'get', ''], ['get', '--cache', '=', word, '']):
                self.assertEqual(self.complete(*words), [''])
        self.assertEqual(os.listdir(self.directory), ['completion.bash'])


# What a zsh does that completes the lines of the file "lines", one after the other, as it does when TAB is
# pressed, and writes what it offers into the file "offered".
ZSHRC = r'''
LISTMAX=100000 # asks no questions
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  local -a hits flags
  flags=("${(@)@[1,(i)(-|--)]}")
  if (( ! flags[(I)-[OAD]*] )); then
    builtin compadd -A hits "$@"
    print -rl -- $hits >>offered
  fi
  builtin compadd "$@"
}
complete_lines() {
  local line
  for line in ${(f)"$(<lines)"}; do
    print -r -- "> $line" >>offered
    BUFFER=$line CURSOR=$#line
    zle list-them
  done
  print -r -- ">" >>offered
  exit
}
zle -C list-them list-choices _main_complete
zle -N zle-line-init complete_lines
'''


class Zsh(CompletionTest):
    """On a terminal, with compinit, as its users have it."""

    def setUp(self):
        super().setUp()
        shutil.copy(self.script('zsh'), self.path('_pkgcache'))
        with open(self.path('.zshrc'), 'w', encoding='utf-8') as file:
            file.write(ZSHRC)
        self.environment.update(ZDOTDIR=self.directory, TERM='dumb')

    def run_on_terminal(self):
        """Runs zsh to its end on a terminal with room for all; returns what it says there."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 1000, 200, 0, 0))
        process = support.spawn(['zsh', '-i'], stdin=theirs, stdout=theirs, stderr=theirs, cwd=self.directory,
                                env=self.environment, start_new_session=True)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        os.close(theirs)
        said = b''
        with contextlib.suppress(OSError):  # EIO: it has ended
            while select.select([ours], [], [], support.PATIENCE_S)[0] and (piece := os.read(ours, 4096)):
                said += piece
        os.close(ours)
        return said

    def complete(self, *lines):
        """What is offered for each of these lines."""
        with open(self.path('lines'), 'w', encoding='utf-8') as file:
            file.write(''.join(f'pkgcache {line}\n' for line in lines))
        said = self.run_on_terminal()
        with open(self.path('offered'), encoding='utf-8') as file:
            first, *answers = file.read().split('> pkgcache ')
        os.unlink(self.path('offered'))
        self.assertEqual((first, answers[-1].splitlines()[-1]), ('', '>'), said)
        return [set(answer.splitlines()[1:]) - {'', '>'} for answer in answers]

    def test_it_can_be_read(self):
        self.run_shell('zsh', '-f', '-n', self.script('zsh'))

    def test_commands(self):
        commands = {command['name'] for command in self.run_program('--json', 'help').json()['commands']}
        offered = self.complete('', 'wa', '--json -q wa', 'help ver', 'completion ', 'daemon -q ')
        self.assertEqual(offered, [commands, {'warm'}, {'warm'}, {'verify', 'version'}, {'bash', 'zsh', 'fish'},
                                   {'stop'}])

    def test_options(self):
        """Those of each command, and of all; settings."""
        commands = [command['name'] for command in self.run_program('--json', 'help').json()['commands']]
        for command, offered in zip(commands, self.complete(*(f'{command} --' for command in commands))):
            options = {'--' + option['name'] for option in
                       self.run_program(command, '--help', '--json').json()['options']}
            self.assertLessEqual(options | {'--cache', '--backend'}, offered, command)
        offered = self.complete('warm --re', 'get --json foo-1.0 --tou', 'list -q --no')
        self.assertEqual(offered, [{'--report', '--reuse', '--repositories'}, {'--touch'}, {'--no-header'}])

    def test_values(self):
        """Behind `=`, or as a word of its own."""
        os.makedirs(self.path('some', 'directory'))
        offered = self.complete('--backend t', 'list --backend=t', 'get --touch=', '--cache=so', 'warm -q some/d')
        self.assertEqual(offered[:3], [{'threads'}, {'threads'}, {'yes', 'no'}])
        self.assertEqual(offered[3], {'some'})
        self.assertIn('directory', offered[4])

    def test_variants(self):
        """What is cached, in the cache that is named; no command on the line is run."""
        self.assert_code(self.warm([self.make_variant('foo'), self.make_variant('bar')]), DONE)
        lines = [f'--cache {self.cache} get ', f'get --cache={self.cache} ', 'get --json --cache ~/cache f',
                 '--cache "$(touch there)" get ', 'get --cache `touch there` ']
        offered = self.complete(*lines)
        self.assertEqual(offered[:3], [{'foo-1.0', 'bar-1.0'}] * 2 + [{'foo-1.0'}])
        self.assertFalse(os.path.exists(self.path('there')))


class Fish(CompletionTest):
    """It completes lines without a terminal."""

    def complete(self, line):
        """What a line may become; without the descriptions."""
        self.environment['XDG_CONFIG_HOME'] = self.path('fish')
        self.environment['LINE'] = f'pkgcache {line}'
        lines = self.run_shell('fish', '--no-config', '-c', f'source {self.script("fish")}; complete -C "$LINE"')
        return [line.partition('\t')[0] for line in lines]

    def test_lines(self):
        self.assertEqual(self.complete('wa'), ['warm'])
        self.assertIn('--no-header', self.complete('list --no'))
        self.assertEqual(self.complete('warm --no-he'), [])
        self.assertEqual(sorted(self.complete('list --backend ')), ['auto', 'ring', 'threads'])
        self.assertEqual(self.complete('list --backend=t'), ['--backend=threads'])
        self.assertEqual(sorted(self.complete('completion ')), ['bash', 'fish', 'zsh'])
        self.assertIn('--report', self.complete('warm --json --rep'))

    def test_variants(self):
        """What is cached, in the cache that is named."""
        self.assert_code(self.warm([self.make_variant('foo'), self.make_variant('bar')]), DONE)
        for line in (f'--cache {self.cache} get ', f'get --cache={self.cache} ', 'get --cache ~/cache '):
            self.assertEqual([word for word in self.complete(line) if not word.startswith('-')],
                             ['bar-1.0', 'foo-1.0'])
        self.complete('--cache (touch there) get ')
        self.assertFalse(os.path.exists(self.path('there')))


class Others(CompletionTest):
    """There are no others."""

    def test_unknown(self):
        for line in (['completion', 'csh'], ['completion']):
            self.assert_refused(self.run_program(*line), USAGE, about=['completion'])
