#!/usr/bin/env python3
"""Warms a cache from a pack, from the tree that is in it, and unpacks the same with tar, in turns.

All three read from a source that takes 1 ms for each answer (tests/slowfs.c), and write to a file
system in memory; nothing is flushed. PKGCACHE_PROGRAM and PKGCACHE_SLOWFS name the programs
(build-release/). Prints a table in Markdown: the least of all rounds, wall and processor seconds.
"""
import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('PKGCACHE_PROGRAM', os.path.join(TOP, 'build-release', 'pkgcache'))
os.environ.setdefault('PKGCACHE_SLOWFS', os.path.join(TOP, 'build-release', 'tests', 'slowfs'))
sys.path[:0] = [os.path.join(TOP, 'tests', 'program')]

# pylint: disable=wrong-import-position
import machine
import mounts
import workloads
from support import PROGRAM, Variant, make_handle, write_manifest

SETTINGS = ['--durability', 'none', '--daemon', 'never', '--quiet']


class Place:
    """The source, seen through the slow file system, and where copies go."""

    def __init__(self, source, slow, target):
        self.source = source
        self.slow = slow
        self.target = target

    def prepare(self, files):
        """Makes the tree, the pack, and the archive of the same bytes."""
        workloads.small(files).make(os.path.join(self.source, 'tree'))
        variant = Variant(make_handle('/svr/packages'), os.path.join(self.slow, 'tree'))
        write_manifest(os.path.join(self.source, 'tree.json'), [variant])
        subprocess.run([PROGRAM, 'pack', '--quiet', os.path.join(self.source, 'tree.json'), '-o',
                        os.path.join(self.source, 'tree.pack')], check=True)
        subprocess.run(f'tar -C {self.source}/tree -cf - . | zstd -q -T2 -3 -o {self.source}/tree.tar.zst',
                       shell=True, check=True)

    def commands(self):
        """What is compared."""
        cache = ['--cache', os.path.join(self.target, 'copy')]
        return {
            'warm from the pack': [PROGRAM, *SETTINGS, *cache, 'warm', f'{self.slow}/tree.pack'],
            'warm from the tree': [PROGRAM, *SETTINGS, *cache, 'warm', f'{self.slow}/tree.json'],
            'zstd and tar': ['sh', '-c', f'mkdir {self.target}/copy && '
                             f'zstd -q -dc {self.slow}/tree.tar.zst | tar -C {self.target}/copy -xpf -'],
        }

    def run(self, command):
        """One run: (wall, processor) seconds."""
        shutil.rmtree(os.path.join(self.target, 'copy'), ignore_errors=True)
        subprocess.run(['sync', '-f', self.target], check=True)
        with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as file:
            file.write('2')
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, check=True)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(times):
    """Prints the table, and every time."""
    print(machine.describe())
    least = {name: (min(wall for wall, _ in all_of), min(used for _, used in all_of))
             for name, all_of in times.items()}
    first = least['warm from the pack']
    print('| | wall, s | processor, s | the pack takes of it |\n| --- | ---: | ---: | ---: |')
    for name, (wall, used) in least.items():
        print(f'| {name} | {wall:.3f} | {used:.3f} | {first[0] / wall:.2f} |')
    print({name: [round(wall, 3) for wall, _ in all_of] for name, all_of in times.items()}, flush=True)


def main():
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=int, default=20000)
    parser.add_argument('--rounds', type=int, default=7)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(mounts.mounted('ext4', 1 << 30))
        target = stack.enter_context(mounts.mounted('ext4', 1 << 30))
        slow = stack.enter_context(mounts.slow_mount(source, '--delay-ms', '1'))
        place = Place(source, slow.path, target)
        place.prepare(options.files)
        commands = place.commands()
        times = {name: [] for name in commands}
        for number in range(options.rounds):
            names = list(commands)
            for name in names[number % 3:] + names[:number % 3]:
                times[name].append(place.run(commands[name]))
        report(times)


if __name__ == '__main__':
    main()
