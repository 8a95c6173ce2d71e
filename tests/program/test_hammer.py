"""Many processes work on the same variants; some are killed, some stop for longer than they may.

Some variants are ill: their payloads are damaged again and again, for `verify --repair`. One cache is
of one user, one of a group, one of everybody; those have four users, and root beside them.

PKGCACHE_TEST_HAMMER=full: 16 at once on 50 variants, and for longer.
"""
import collections
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import stat
import time
import unittest

import cachecheck
import rezlike
import support
import trees
from support import DONE, FAILED, LOCKED, MISSING, PARTLY, write_manifest

FULL = os.environ.get('PKGCACHE_TEST_HAMMER') == 'full'
WORKERS = 16 if FULL else 6
VARIANTS = 50 if FULL else 12
ILL = 5 if FULL else 2
COMMANDS = 2000 if FULL else 400  # of the worker that is first to run all of its own
USERS = [60011, 60012, 60013, 60014]  # without an entry anywhere
GROUP = 60015                         # all are in it
USERS_COMMANDS = 2000 if FULL else 60
GRACE_S = '5'  # the shortest there is
STOPPED_S = 6
KILL_CHANCE, STOP_CHANCE, DAMAGE_CHANCE = 0.1, 0.02, 0.1  # each time something was checked
KILLED = 128 + signal.SIGKILL

# What a process may say that failed.
EXPECTED = re.compile('its slot was taken away|another process copies it|'
                      'held for .* by pkgcache|other pkgcache processes were|'
                      r'/cache/ill\d+/.*: (damaged, \d+ difference|'
                      'has other contents|has another modification time)')

WORKER = '''
run() {
  [ ! -e stop ] || exit 0
  "$@" >out-$$ 2>&1
  code=$?
  case " $* " in *" --repair "*) command=repair ;; *) command=$4 ;; esac
  echo "$code $command" >>codes
  case $code in 0 | 3 | 137) ;; *) cat out-$$ >>said ;; esac
}
'''


class Hammer(support.ProgramTest):
    """One cache, and those who work on it: shells that run one command after the other."""

    commands = COMMANDS
    expected = EXPECTED
    weights = {'warm': 5, 'add': 3, 'get': 2, 'remove': 3, 'clean': 1, 'verify': 1, 'repair': 1}

    def setUp(self):
        super().setUp()
        seed = trees.random_seed()
        print(f'seed {seed}')
        self.choices = random.Random(seed)
        sharing = self.same_hash_variants(VARIANTS // 10)
        self.variants = sharing + [self.make_variant(f'package{number}')
                                   for number in range(VARIANTS - len(sharing))]
        self.ill = [self.make_variant(f'ill{number}') for number in range(ILL)]
        self.all = self.variants + self.ill
        os.mkdir(self.path('work'))
        self.workers = []
        self.stopped = {}
        self.addCleanup(self.wake, everybody=True)
        self.counts = collections.Counter()

    def test_all_at_once(self):
        """The invariants hold all the time; in the end nothing is left, and all can be had."""
        self.assert_code(self.warm(self.variants[:1]), DONE)
        self.workers = [self.start_worker(number) for number in range(WORKERS)]
        while all(worker.poll() is None for worker in self.workers):
            self.disturb()
            self.wake()
            if self.choices.random() < DAMAGE_CHANCE:
                self.damage(self.choices.choice(self.ill))
            self.check(self.choices.choice(self.variants))
        self.end()
        self.judge()
        self.check_afterwards()

    # Those who work

    def start_worker(self, number):
        """Begins with its commands."""
        path = self.path(f'worker-{number}')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(WORKER)
            for _ in range(self.commands):
                file.write(shlex.join(['run', self.program(), '--cache', self.cache,
                                       *self.any_command(number), '--stall-grace', GRACE_S]) + '\n')
        process = support.spawn([*self.become(number), 'sh', path], cwd=self.path('work'),
                                env=self.environment)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        return process

    def program(self):
        """What the workers run."""
        return support.PROGRAM

    def become(self, _number):
        """What a worker is started with."""
        return []

    def weights_of(self, _number):
        """How often a worker runs which command."""
        return self.weights

    def any_command(self, number):
        """A command on some of the variants."""
        some = self.choices.sample(self.all, self.choices.randint(1, 5))
        arguments = [variant.argument for variant in some]
        weights = self.weights_of(number)
        command = self.choices.choices(list(weights), list(weights.values()))[0]
        return {
            'warm': lambda: ['warm', self.manifest_of(some)],
            'add': lambda: ['add', arguments[0], '--root', some[0].root],
            'get': lambda: ['get', *arguments],
            'remove': lambda: ['remove', *arguments[:2]],
            'clean': lambda: ['clean'],
            'verify': lambda: ['verify', *arguments],
            'repair': lambda: ['verify', *[variant.argument for variant in self.ill], '--repair'],
        }[command]()

    def manifest_of(self, variants):
        """Where these variants are named."""
        path = self.path(f'manifest-{self.choices.randrange(50)}.json')
        return path if os.path.exists(path) else write_manifest(path, variants)

    def disturb(self):
        """Kills or stops what some worker runs, now and then."""
        chance = self.choices.random()
        if chance > KILL_CHANCE + STOP_CHANCE:
            return
        kill = chance < KILL_CHANCE or len(self.stopped) >= WORKERS // 4
        worker = self.choices.choice(self.workers)
        with open(f'/proc/{worker.pid}/task/{worker.pid}/children', encoding='ascii') as file:
            children = [int(pid) for pid in file.read().split()]
        for pid in children:
            if pid in self.stopped:
                continue
            if not kill:
                self.stopped[pid] = time.monotonic() + STOPPED_S
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGSTOP)
            self.counts['killed' if kill else 'stopped'] += 1

    def damage(self, variant):
        """Changes a byte of a payload, if there is one."""
        with contextlib.suppress(OSError, ValueError):
            root = rezlike.get(self.cache, variant.handle)
            with open(os.path.join(root or 'none', '0', '0'), 'r+b') as file:
                file.write(b'?')
            self.counts['damaged'] += 1

    def wake(self, everybody=False):
        """Those who were stopped for long enough go on."""
        for pid, until in list(self.stopped.items()):
            if everybody or time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self.stopped[pid]

    def end(self):
        """Lets all finish what they are at."""
        with open(self.path('work', 'stop'), 'wb'):
            pass
        self.wake(everybody=True)
        for worker in self.workers:
            support.finish(worker)

    # What must hold

    def check(self, variant):
        """At any time: one sidecar holds a handle, at most, and what is found is whole."""
        directory = rezlike.hash_directory(self.cache, variant.handle)
        self.assertEqual(cachecheck.several_sidecars(directory, variant.handle), [])
        self.assertEqual(cachecheck.partial(self.cache, variant)[:10], [])
        self.counts['checks'] += 1

    def judge(self):
        """Each ended as was asked, or because it was killed, or others were faster."""
        with open(self.path('work', 'codes'), encoding='ascii') as file:
            codes = collections.Counter(file.read().splitlines())
        print(dict(self.counts), dict(sorted(codes.items())))
        self.assertLessEqual({line.split()[0] for line in codes}, {
            str(code) for code in (DONE, FAILED, MISSING, PARTLY, LOCKED, KILLED)})
        with contextlib.suppress(FileNotFoundError), \
                open(self.path('work', 'said'), encoding='utf-8', errors='replace') as file:
            complaints = [line for line in file if line.startswith('pkgcache: ')]
            unexpected = [line for line in complaints if not self.expected.search(line)]
            self.assertEqual(unexpected, [], ''.join(unexpected[:20]))

    def check_afterwards(self):
        """Nothing is left behind, what is damaged is repaired, and all can be had."""
        self.clean_up()
        self.assert_sound(self.all, partial=True, cleaned=True, ill=self.ill)
        self.heal()
        self.clean_up()
        self.assert_sound(self.all, partial=True, cleaned=True)
        self.assert_code(self.warm(self.all), DONE)
        self.assert_sound(self.all)
        self.assert_cached(*self.all)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)

    def clean_up(self):
        """All is deleted that may be."""
        self.assert_code(self.run_program('--cache', self.cache, 'clean', '--stall-grace', GRACE_S),
                         DONE)

    def heal(self):
        """Nothing is damaged afterwards."""
        self.assert_code(self.run_program('--cache', self.cache, 'verify', '--repair'), DONE)


@unittest.skipUnless(os.geteuid() == 0, 'becoming other users needs root')
@unittest.skipUnless(shutil.which('setpriv'), 'needs setpriv(1)')
class InEverybodysDirectory(Hammer):
    """Four users with a sticky cache, and root, who cleans, and repairs what one user alone had in hand."""

    mode = 0o1777
    commands = USERS_COMMANDS
    expected = re.compile(EXPECTED.pattern + '|another user|user [0-9]+')
    roots = {'get': 1, 'clean': 1, 'verify': 1, 'repair': 3}

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        os.chown(self.cache, 0, GROUP)
        os.chmod(self.cache, self.mode)
        os.chmod(self.path('work'), 0o777)
        for name in ('codes', 'said'):
            with open(self.path('work', name), 'wb') as file:
                os.fchmod(file.fileno(), 0o666)

    def program(self):
        return self.program_for_anybody()

    def heal(self):
        """Nothing is damaged afterwards: what may not be repaired is removed."""
        result = self.run_program('--cache', self.cache, '--json', 'verify', '--repair')
        self.assert_code(result, DONE, PARTLY)
        damaged = [entry for entry in result.json()['results'] if entry['status'] == 'damaged']
        for entry in damaged:
            self.assertIn('nobody vouches', entry['reason'])
        if damaged:
            arguments = [json.dumps(entry['handle']) for entry in damaged]
            self.assert_code(self.run_program('--cache', self.cache, 'remove', *arguments), DONE)
            self.clean_up()

    def become(self, number):
        """All but the first are users."""
        if number == 0:
            return []
        user = USERS[number % len(USERS)]
        return ['setpriv', f'--reuid={user}', f'--regid={user}', f'--groups={GROUP}', '--']

    def weights_of(self, number):
        return self.weights if number else self.roots

    def clean_up(self):
        """First each user, then root."""
        for number in range(1, len(USERS) + 1):
            process = self.start(*self.become(number)[1:], self.program(), '--cache', self.cache,
                                 'clean', '--stall-grace', GRACE_S, program='setpriv')
            self.assert_code(support.finish(process), DONE)
        super().clean_up()
        self.check_owners()

    def check_owners(self):
        """A variant belongs to one user, with all that is in it."""
        for path in cachecheck.hash_directories(self.cache, self.fail):
            for name in os.listdir(path):
                sidecar = os.lstat(os.path.join(path, name))
                self.assertIn(sidecar.st_uid, [0, *USERS], name)
                if name.endswith('.json'):
                    self.check_payload(os.path.join(path, name.removesuffix('.json')), sidecar.st_uid)

    def check_payload(self, root, uid):
        """All in it has this owner, and nobody else may write to it."""
        for directory, _, files in os.walk(root):
            for path in [directory, *(os.path.join(directory, name) for name in files)]:
                status = os.lstat(path)
                self.assertEqual(status.st_uid, uid, path)
                self.assertFalse(stat.S_IMODE(status.st_mode) & 0o022, path)


class InAGroup(InEverybodysDirectory):
    """The same with a cache of a group, in which nobody vouches for a source: nothing is repaired."""

    mode = 0o2775


if __name__ == '__main__':
    unittest.main()
