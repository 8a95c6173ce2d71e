#!/usr/bin/env python3
"""Warms a new version of a package whose old version is cached, with and without reuse, in turns.

The source takes 1 ms for each answer, and shares 100 MB/s among all reads unless told otherwise
(tests/slowfs.c); both versions have all files at other times, and a part of them has other contents.
Caches are on file systems in memory, one that shares blocks and one that does not. Contents that are
remembered are forgotten before each run. PKGCACHE_PROGRAM and PKGCACHE_SLOWFS name the programs
(build-release/). Prints a table in Markdown: the least of all rounds, wall and processor seconds;
bytes that were read from the source, and by which the cache's disk grew, as parts of what changed.
"""
import argparse
import contextlib
import json
import os
import random
import resource
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
from support import PROGRAM, Variant, make_handle, write_manifest

SETTINGS = ['--daemon', 'never', '--space-buffer', '0', '--json']
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith('PKGCACHE_')}
TIMES = (1_700_000_000, 1_800_000_000)


class Versions:
    """Two versions, as they are on the server, and as nodes see them."""

    def __init__(self, source, shown, options):
        self.source = source
        self.shown = shown
        self.changed = set(self.choose(options))
        self.options = options
        self.variants = [self.make(number) for number in (0, 1)]

    @staticmethod
    def choose(options):
        """Which files change: every so many, or those that lie next to each other."""
        count = max(1, options.files * options.percent // 100)
        return range(count) if options.adjacent else range(0, options.files, options.files // count)

    def make(self, number):
        """Makes a version, with one time for all files."""
        version = f'{number + 1}.0'
        package = os.path.join(self.source, 'repository', 'foo', version)
        for file in range(self.options.files):
            directory = os.path.join(package, 'payload', f'{file // 100:03}')
            os.makedirs(directory, exist_ok=True)
            path = os.path.join(directory, f'{file:06}')
            seed = f'{number if file in self.changed else 0} {file}'
            with open(path, 'wb') as out:
                out.write(random.Random(seed).randbytes(self.options.bytes))
            os.utime(path, (TIMES[number], TIMES[number]))
        with open(os.path.join(package, 'package.py'), 'w', encoding='ascii') as out:
            out.write(f'name = "foo"\nversion = "{version}"\n')
        shown = os.path.join(self.shown, 'repository')
        return Variant(make_handle(shown, 'foo', version),
                       os.path.join(shown, 'foo', version, 'payload'))

    def publish(self):
        """Manifests, packs, and what names the variants."""
        for number, variant in enumerate(self.variants):
            path = os.path.join(self.source, f'{number + 1}')
            write_manifest(path + '.json', [variant])
            subprocess.run([PROGRAM, 'manifest', '--quiet', path + '.json'],
                           check=True, env=ENVIRONMENT)
            subprocess.run([PROGRAM, 'pack', '--quiet', path + '.json', '-o', path + '.pack'],
                           check=True, env=ENVIRONMENT)
            os.chmod(path + '.pack', 0o644)

    def changed_bytes(self):
        """Of contents."""
        return len(self.changed) * self.options.bytes


class Cache:
    """A cache with the old version in it."""

    def __init__(self, target, versions, slow):
        self.target = target
        self.cache = os.path.join(target, 'cache')
        self.versions = versions
        self.slow = slow

    def run_program(self, *arguments):
        """Runs pkgcache with the cache."""
        return subprocess.run([PROGRAM, *SETTINGS, '--cache', self.cache, *arguments], check=True,
                              stdout=subprocess.PIPE, env=ENVIRONMENT).stdout

    def used(self):
        """Bytes of the file system that are in use."""
        subprocess.run(['sync', '-f', self.target], check=True)
        status = os.statvfs(self.target)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def served(self):
        """Bytes that the server has read so far."""
        with open(f'/proc/{self.slow}/io', encoding='ascii') as file:
            return int(file.readline().split()[1])

    def forget_new(self):
        """As it was: the old version is there alone, and nothing is remembered."""
        new = self.versions.variants[1].argument
        if os.path.exists(self.cache) and len(json.loads(self.run_program('list'))) > 1:
            self.run_program('remove', new)
            self.run_program('clean')
        subprocess.run(['sync', '-f', self.target], check=True)
        with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as file:
            file.write('3')

    def warm(self, *arguments):
        """One run: wall and processor seconds, bytes served, bytes that the disk grew by."""
        self.forget_new()
        used, served = self.used(), self.served()
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        document = json.loads(self.run_program('warm', *arguments))
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        assert document['created'] == 1, document
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, processor, self.served() - served, self.used() - used


def copy_by_others(cache):
    """The old version, cloned and digested: (wall, processor) seconds."""
    (old,) = [one['cache_path'] for one in json.loads(cache.run_program('list'))]
    copy = os.path.join(cache.target, 'copy')
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(f'cp -a --reflink=auto "{old}" "{copy}" && find "{copy}" -type f -print0 | '
                   'xargs -0 -n 500 -P 2 xxh128sum >/dev/null && sync -f .', shell=True, check=True,
                   cwd=cache.target)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(['rm', '-rf', copy], check=True)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(cache, shown, rounds):
    """Returns all figures of all rounds, by what was done."""
    walk = ['--reuse=no', '--manifests=no']
    commands = {
        'by its manifest': [f'{shown}/2.json'],
        'by its manifest, without reuse': [f'{shown}/2.json', '--reuse=no'],
        'by a walk': [f'{shown}/2.json', *walk],
        'from its pack': [f'{shown}/2.pack'],
        'from its pack, without reuse': [f'{shown}/2.pack', '--reuse=no'],
    }
    cache.run_program('warm', f'{shown}/1.json')
    figures = {name: [] for name in [*commands, 'clones and digests, cp and xxh128sum']}
    names = list(commands)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            figures[name].append(cache.warm(*commands[name]))
        cache.forget_new()
        figures['clones and digests, cp and xxh128sum'].append((*copy_by_others(cache), 0, 0))
    return figures


def report(kind, versions, figures):
    """Prints a table."""
    walk = min(figures['by a walk'])[0]
    changed = versions.changed_bytes()
    print(f'\n{kind}: {versions.options.files} files of {versions.options.bytes} bytes, '
          f'{len(versions.changed)} changed\n')
    print('| | wall, s | of a walk | processor, s | read, of the changed | disk, of the changed |')
    print('| --- | ---: | ---: | ---: | ---: | ---: |')
    for name, rounds in figures.items():
        wall, used = min(one[0] for one in rounds), min(one[1] for one in rounds)
        served, grown = min(one[2] for one in rounds), sorted(one[3] for one in rounds)[len(rounds) // 2]
        print(f'| {name} | {wall:.3f} | {wall / walk:.3f} | {used:.3f} | {served / changed:.2f} '
              f'| {grown / changed:.2f} |')
    print({name: [round(one[0], 3) for one in rounds] for name, rounds in figures.items()}, flush=True)


@contextlib.contextmanager
def bound(directory, point):
    """A directory under another name."""
    subprocess.run(['mount', '--bind', directory, point], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', point], check=True)


def run_all(stack, options):
    """Makes everything, measures, and prints."""
    size = 4 * options.files * options.bytes + (256 << 20)
    source = stack.enter_context(mounts.mounted('ext4', size))
    shown = os.path.join(stack.enter_context(mounts.mounted('tmpfs', 1 << 20)), 'svr')
    os.mkdir(shown)
    versions = Versions(source, shown, options)
    with bound(source, shown):
        versions.publish()
    slow_options = ['--delay-ms', str(options.delay_ms)]
    if options.bandwidth:
        slow_options += ['--bandwidth', str(options.bandwidth)]
    slow = stack.enter_context(mounts.slow_mount(source, *slow_options))
    stack.enter_context(bound(slow.path, shown))
    print(machine.describe())
    for kind in options.kinds.split(','):
        with mounts.mounted(kind, size) as target:
            cache = Cache(target, versions, slow.pid)
            report(kind, versions, measure(cache, shown, options.rounds))


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--files', type=int, default=6000)
    parser.add_argument('--bytes', type=int, default=57 << 10)
    parser.add_argument('--percent', type=int, default=5, help='of the files change')
    parser.add_argument('--adjacent', action='store_true', help='those that change lie together')
    parser.add_argument('--delay-ms', type=int, default=1)
    parser.add_argument('--bandwidth', type=int, default=100 << 20, help='bytes a second; 0: no limit')
    parser.add_argument('--kinds', default='xfs,ext4', help='of file systems of the cache')
    parser.add_argument('--rounds', type=int, default=5)
    with contextlib.ExitStack() as stack:
        run_all(stack, parser.parse_args())


if __name__ == '__main__':
    main()
