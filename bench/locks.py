#!/usr/bin/env python3
"""How long a cache's lock is held and waited for, and how rez fares beside us.

usage: locks.py [--seconds S] [--directory DIR] PROGRAM

Three measurements, in a temporary cache in DIR (default: the usual place), about 2 S + 10 seconds:

    alone   one process after the other adds a variant: time held, time waited
    64      64 processes at once, each adds a variant of its own, again and again for S seconds
    rez     4 adders of rez's kind (tests/program/rezlike.py) beside 8 of ours, for S seconds: how long
            theirs take, and how many gave up

Prints one JSON object.
"""
import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import contestants

HERE = os.path.dirname(os.path.abspath(__file__))
REZLIKE = os.path.join(HERE, '..', 'tests', 'program', 'rezlike.py')
ALONE = 300
REZ_GAVE_UP = 'NotMyLock'


def handle(name):
    """A variant's handle."""
    return json.dumps({'key': 'filesystem.variant', 'variables': {
        'location': '/svr/packages', 'name': name, 'version': '1.0', 'index': None,
        'repository_type': 'filesystem'}})


def spread(values, unit):
    """Percentiles of times."""
    values = sorted(values)
    if not values:
        return {'count': 0}
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))] / unit, 1)
    return {'count': len(values), 'median': round(statistics.median(values) / unit, 1),
            'p99': at(0.99), 'max': at(1)}


class Bench:
    """One cache, and the programs that use it."""

    def __init__(self, program, directory):
        self.program = program
        self.directory = directory
        self.cache = os.path.join(directory, 'cache')
        self.clock = os.path.join(directory, 'lockclock.so')
        self.root = os.path.join(directory, 'root')
        os.makedirs(os.path.join(self.root, 'python'))
        for number in range(5):
            with open(os.path.join(self.root, 'python', f'{number}.py'), 'wb') as file:
                file.write(b'#' * 1000)
        subprocess.run([os.environ.get('CC', 'cc'), '-O2', '-D_GNU_SOURCE', '-shared', '-fPIC', '-o', self.clock,
                        os.path.join(HERE, 'lockclock.c'), '-ldl'], check=True)

    def ours(self, times, name, *command):
        """Runs the program once; its lock times go to a file. Returns its exit code."""
        environment = {**contestants.environment(), 'LD_PRELOAD': self.clock, 'LOCKCLOCK_FILE': times}
        return subprocess.run([self.program, '-q', '--cache', self.cache, *command, handle(name)],
                              env=environment, stdout=subprocess.DEVNULL, check=False).returncode

    def add(self, times, name):
        """Adds a variant, and takes it out again."""
        code = self.ours(times, name, 'add', '--root', self.root)
        return code or self.ours(times, name, 'remove')

    def theirs(self, name):
        """An adder of rez's kind. Returns (seconds, whether it gave up on the lock)."""
        since = time.monotonic()
        result = subprocess.run([sys.executable, REZLIKE, 'add', self.cache, handle(name),
                                 self.root], capture_output=True, text=True, check=False)
        return time.monotonic() - since, REZ_GAVE_UP in result.stderr

    def times(self, path):
        """What was noted in a file: waited, held."""
        with open(path, encoding='ascii') as file:
            rows = [tuple(map(int, line.split())) for line in file]
        return {'waited_ms': spread([row[0] for row in rows], 1e6),
                'held_us': spread([row[1] for row in rows], 1e3)}

    def alone(self):
        """One after the other."""
        path = os.path.join(self.directory, 'alone')
        for number in range(ALONE):
            self.add(path, f'alone{number}')
        return self.times(path)

    def crowd(self, processes, seconds):
        """Many at once."""
        path = os.path.join(self.directory, 'crowd')
        deadline = time.monotonic() + seconds

        def work(number):
            codes = []
            while time.monotonic() < deadline:
                codes.append(self.add(path, f'crowd{number}'))
            return codes
        with concurrent.futures.ThreadPoolExecutor(processes) as pool:
            codes = [code for codes in pool.map(work, range(processes)) for code in codes]
        return {**self.times(path), 'failed': sum(map(bool, codes))}

    def beside_rez(self, ours, theirs, seconds):
        """Adders of both kinds."""
        path = os.path.join(self.directory, 'beside')
        deadline = time.monotonic() + seconds

        def work(number):
            while time.monotonic() < deadline:
                self.add(path, f'beside{number}')

        def rez(number):
            results = []
            while time.monotonic() < deadline:
                results.append(self.theirs(f'rez{number}-{len(results)}'))
            return results
        with concurrent.futures.ThreadPoolExecutor(ours + theirs) as pool:
            workers = [pool.submit(work, number) for number in range(ours)]
            results = [result for results in pool.map(rez, range(theirs)) for result in results]
            for worker in workers:
                worker.result()
        return {**self.times(path), 'rez_s': spread([seconds for seconds, _ in results], 1),
                'rez_gave_up': sum(gave_up for _, gave_up in results)}


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--directory')
    parser.add_argument('program')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        bench = Bench(os.path.abspath(options.program), directory)
        print(json.dumps({'alone': bench.alone(), '64': bench.crowd(64, options.seconds),
                          'rez': bench.beside_rez(8, 4, options.seconds)}, indent=1))


if __name__ == '__main__':
    main()
