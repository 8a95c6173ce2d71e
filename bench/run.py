#!/usr/bin/env python3
"""Compares `pkgcache copy` with other tools, on file systems in memory.

usage: bench/run.py [--quick] [--files N]

The tools take turns (A B A B ...), so that a busy machine is busy for all of them; what counts is the
ratio of medians. File systems lie on loop devices in memory, so that the programs are measured and not
a disk. Writes bench/results/DATE.json and .md. Needs root, for the loop devices.
"""
import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests', 'program'))
sys.dont_write_bytecode = True
import mounts  # noqa: E402

PROGRAM = os.environ.get('PKGCACHE_PROGRAM') or os.path.join(TOP, 'build', 'pkgcache')
RESULTS = os.path.join(TOP, 'bench', 'results')
SEED = 20260101
FILE_SIZE = 8 << 10
FILES_PER_DIRECTORY = 25
DEEPEST = 14
PROMISED_RATIO = {'small': 0.26}  # of `cp -a`, on two cores


# --- workloads -------------------------------------------------------------------------------

def make_small_tree(root, files):
    """Files of 8 KB, 25 a directory, to 14 deep; 2 % links, 10 % executables; always the same."""
    choices = random.Random(SEED)
    content = choices.randbytes(FILE_SIZE + files)
    os.mkdir(root)
    directories = [root]
    for number in range(files // FILES_PER_DIRECTORY):
        parent = choices.choice(directories[-50:])
        if parent.count('/') - root.count('/') >= DEEPEST:
            parent = root
        directories.append(os.path.join(parent, f'directory{number}'))
        os.mkdir(directories[-1])
    for number in range(files):
        path = os.path.join(directories[number // FILES_PER_DIRECTORY % len(directories)],
                            f'file{number}')
        if number % 50 == 49:
            os.symlink(f'file{number - 1}', path)
            continue
        with open(path, 'wb') as file:
            file.write(content[number:number + FILE_SIZE])
        os.chmod(path, 0o755 if number % 10 == 0 else 0o644)


# --- contestants -----------------------------------------------------------------------------

def contestants():
    """{name: command for (source, copy)}, those that the machine has; the first is the yardstick."""
    def plain(*words):
        return lambda source, copy: [*words, source, copy]

    def tar(source, copy):
        script = 'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xpf -'
        return ['sh', '-c', script, 'sh', source, copy]

    known = {
        'cp -a': plain('cp', '-a'),
        'pkgcache copy': plain(PROGRAM, 'copy'),
        'pkgcache copy, ring': plain(PROGRAM, '--backend=ring', 'copy'),
        'pkgcache copy, threads': plain(PROGRAM, '--backend=threads', 'copy'),
        'rsync -aHAX': lambda source, copy: ['rsync', '-aHAX', '--whole-file', '--inplace',
                                             source + '/', copy],
        'tar pipe': tar,
    }
    return {name: command for name, command in known.items()
            if shutil.which(name.split()[0]) or name.startswith('pkgcache')}


def time_once(command, copy):
    """Wall seconds of one copy, from caches that are warm; the copy is removed again, unmeasured."""
    since = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - since
    subprocess.run(['rm', '-rf', copy], check=True)
    os.sync()
    return seconds


def compare(source, target, rounds):
    """{name: [seconds of each round]}; all take turns, and the first round is only to warm up."""
    times = {}
    for number in range(rounds + 1):
        for name, command in contestants().items():
            copy = os.path.join(target, 'copy')
            seconds = time_once(command(source, copy), copy)
            if number:
                times.setdefault(name, []).append(seconds)
    return times


# --- reports ---------------------------------------------------------------------------------

def summarize(times):
    """Per contestant the median and its ratio to the first's."""
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    yardstick = next(iter(medians.values()))
    return {name: {'median_s': round(median, 4), 'ratio': round(median / yardstick, 3),
                   'rounds_s': [round(seconds, 4) for seconds in times[name]]}
            for name, median in medians.items()}


def machine():
    """What the numbers were taken on."""
    return {'cores': len(os.sched_getaffinity(0)), 'kernel': platform.release(),
            'memory_gib': round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30, 1)}


def markdown(report):
    """The report as a table."""
    lines = [f'# {report["workload"]}', '',
             f'{report["what"]}; {report["machine"]["cores"]} cores, '
             f'{report["machine"]["memory_gib"]} GiB, kernel {report["machine"]["kernel"]}.',
             f'Medians of {report["rounds"]}, in turns.', '',
             '| tool | seconds | of the first |', '| --- | --- | --- |']
    lines += [f'| {name} | {entry["median_s"]:.3f} | {entry["ratio"]:.2f} |'
              for name, entry in report['tools'].items()]
    lines += ['', f'Promised for `pkgcache copy`: {report["promised_ratio"]:.2f}.', '']
    return '\n'.join(lines)


def write_report(report):
    """Writes both forms and prints one."""
    os.makedirs(RESULTS, exist_ok=True)
    name = os.path.join(RESULTS, time.strftime('%Y-%m-%dT%H%M%S-') + report['workload'])
    with open(name + '.json', 'w', encoding='utf-8') as file:
        json.dump(report, file, indent=1)
    with open(name + '.md', 'w', encoding='utf-8') as file:
        file.write(markdown(report))
    print(markdown(report))
    print(f'written: {name}.json, {name}.md')


def small(files, rounds):
    """The small hot tree, from ext4 to ext4."""
    size = files * FILE_SIZE * 3 + (256 << 20)
    with mounts.mounted('ext4', size) as source, mounts.mounted('ext4', size) as target:
        tree = os.path.join(source, 'tree')
        make_small_tree(tree, files)
        times = compare(tree, target, rounds)
    return {'workload': 'small', 'what': f'{files} files of 8 KB, ext4 to ext4, hot',
            'machine': machine(), 'rounds': rounds, 'promised_ratio': PROMISED_RATIO['small'],
            'tools': summarize(times)}


def main():
    """Runs the workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='three rounds instead of nine')
    parser.add_argument('--files', type=int, default=20000, help='of the small tree')
    options = parser.parse_args()
    if os.geteuid():
        sys.exit('bench: loop devices need root')
    write_report(small(options.files, 3 if options.quick else 9))


if __name__ == '__main__':
    main()
