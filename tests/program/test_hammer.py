"""Many processes work on the same variants; some are killed, some stop for longer than they may.

PKGCACHE_TEST_HAMMER=full: 16 at once for 60 s on 50 variants.
"""
import collections
import contextlib
import os
import random
import re
import shlex
import signal
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
SECONDS = 60 if FULL else 10
COMMANDS = 10000  # of a worker: more than it has time for
GRACE_S = '5'  # the shortest there is
STOPPED_S = 6
KILL_CHANCE, STOP_CHANCE = 0.1, 0.02  # each time something was checked
KILLED = 128 + signal.SIGKILL

# What a process may say that failed.
EXPECTED = re.compile('its slot was taken away|another process copies it|'
                      'held for .* by pkgcache|other pkgcache processes were')

WORKER = '''
run() {
  [ ! -e stop ] || exit 0
  "$@" >out-$$ 2>&1
  code=$?
  echo "$code $4" >>codes
  case $code in 0 | 3 | 137) ;; *) cat out-$$ >>said ;; esac
}
'''


class Hammer(support.ProgramTest):
    """One cache, and those who work on it: shells that run one command after the other."""

    def setUp(self):
        super().setUp()
        seed = trees.random_seed()
        print(f'seed {seed}')
        self.choices = random.Random(seed)
        sharing = self.same_hash_variants(VARIANTS // 10)
        self.variants = sharing + [self.make_variant(f'package{number}')
                                   for number in range(VARIANTS - len(sharing))]
        self.workers = []
        self.stopped = {}
        self.addCleanup(self.wake, everybody=True)
        self.counts = collections.Counter()

    def test_all_at_once(self):
        """The invariants hold all the time; in the end nothing is left, and all can be had."""
        self.assert_code(self.warm(self.variants[:1]), DONE)
        self.workers = [self.start_worker(number) for number in range(WORKERS)]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.disturb()
            self.wake()
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
            for _ in range(COMMANDS // WORKERS):
                file.write(shlex.join(['run', support.PROGRAM, '--cache', self.cache,
                                       *self.any_command(), '--stall-grace', GRACE_S]) + '\n')
        process = support.spawn(['sh', path], cwd=self.directory, env=self.environment)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        return process

    def any_command(self):
        """A command on some of the variants."""
        some = self.choices.sample(self.variants, self.choices.randint(1, 5))
        arguments = [variant.argument for variant in some]
        command = self.choices.choices(['warm', 'add', 'get', 'remove', 'clean', 'verify', 'repair'],
                                       [5, 3, 2, 3, 1, 1, 1])[0]
        return {
            'warm': lambda: ['warm', self.manifest_of(some)],
            'add': lambda: ['add', arguments[0], '--root', some[0].root],
            'get': lambda: ['get', *arguments],
            'remove': lambda: ['remove', *arguments[:2]],
            'clean': lambda: ['clean'],
            'verify': lambda: ['verify', *arguments],
            'repair': lambda: ['verify', *arguments, '--repair']}[command]()

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

    def wake(self, everybody=False):
        """Those who were stopped for long enough go on."""
        for pid, until in list(self.stopped.items()):
            if everybody or time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self.stopped[pid]

    def end(self):
        """Lets all finish what they are at."""
        with open(self.path('stop'), 'wb'):
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
        with open(self.path('codes'), encoding='ascii') as file:
            codes = collections.Counter(file.read().splitlines())
        print(dict(self.counts), dict(sorted(codes.items())))
        self.assertLessEqual({line.split()[0] for line in codes}, {
            str(code) for code in (DONE, FAILED, MISSING, PARTLY, LOCKED, KILLED)})
        with contextlib.suppress(FileNotFoundError), \
                open(self.path('said'), encoding='utf-8', errors='replace') as file:
            complaints = [line for line in file if line.startswith('pkgcache: ')]
            self.assertEqual([line for line in complaints if not EXPECTED.search(line)], [])

    def check_afterwards(self):
        """Nothing is left behind, and all can be had."""
        self.assert_code(self.run_program('--cache', self.cache, 'clean', '--stall-grace', GRACE_S),
                         DONE)
        self.assert_sound(self.variants, partial=True, cleaned=True)
        self.assert_code(self.warm(self.variants), DONE)
        self.assert_sound(self.variants)
        self.assert_cached(*self.variants)


if __name__ == '__main__':
    unittest.main()
