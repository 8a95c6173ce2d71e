"""Times contestants in turns, each run by a hyperfine of its own.

Turns, because a busy machine is then busy for all of them: A B C, B C A, ..., and medians. In another
order each time, because what a copy leaves behind in the kernel may cost the next one something.
"""
import json
import os
import random
import shlex
import signal
import statistics
import subprocess
import tempfile
from typing import NamedTuple

import contestants
import sourcetree
from contestants import OURS
from support import spawn, temporary_name
from workloads import GROWTH, HOT, REMOVAL, SWEEP, Source

LIMIT_S = 900  # for one run
WARM_UP = 'warm-up'
BACKENDS = ('ring', 'threads')
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
FINALISTS = 3
# Before each run: the last copy goes, what it left dirty is written, and caches are dropped. Freezing
# a file system writes all, and has XFS free at once what it would else free in the background.
PREPARE = ('rm -rf -- "$1" && fsfreeze -f "$2" && fsfreeze -u "$2" && '
           'if [ -n "$3" ]; then echo "$3" >/proc/sys/vm/drop_caches; fi')
# Before each removal: the tree is there, and on the disk.
PREPARE_REMOVAL = ('mkdir -p -- "$2" && rm -rf -- "$2/tree" && cp -a -- "$1" "$2/tree" && '
                   'sync -f "$2"')


class RunFailed(Exception):
    """A run that did not copy; says why."""


class Entry(NamedTuple):
    """What takes its turn: a command, and what it copies."""
    name: str
    command: list
    source: Source


class Sample(NamedTuple):
    """One setting of pkgcache in a sweep."""
    backend: str
    in_flight: int

    @property
    def name(self):
        """As tables have it."""
        return f'{self.backend} {self.in_flight}'

    def command(self, program, source, copy):
        """The argument list."""
        return [program, f'--backend={self.backend}', f'--in-flight={self.in_flight}', 'copy', source,
                copy]


class Timing(NamedTuple):
    """One run, in seconds."""
    wall: float
    user: float
    system: float


# --- one run ---------------------------------------------------------------------------------

def time_copy(command, fixture):
    """The Timing of a command that copies; raises RunFailed."""
    return time_once(command, ['sh', '-c', PREPARE, 'sh', fixture.copy, fixture.target,
                               fixture.dropped])


def time_once(command, prepare):
    """The Timing of a command, by hyperfine; raises RunFailed."""
    with tempfile.NamedTemporaryFile(prefix=temporary_name(''), suffix='.json') as export:
        run_group(['hyperfine', '--shell=none', '--runs=1', '--style=none', '--output=inherit',
                   '--export-json', export.name, '--prepare', shlex.join(prepare),
                   shlex.join(command)])
        result = json.load(export)['results'][0]
    return Timing(result['times'][0], result['user'], result['system'])


def run_group(command):
    """Runs a command and all it starts to the end, which comes by force when it takes too long."""
    process = spawn(command, start_new_session=True, env=contestants.environment(),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=LIMIT_S)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise RunFailed(f'took more than {LIMIT_S} s') from error
        raise
    if process.returncode:
        lines = said.decode(errors='backslashreplace').strip().splitlines()
        raise RunFailed(lines[0][:200] if lines else f'exit status {process.returncode}')


def check_copy(entry, fixture):
    """Raises RunFailed when the copy has fewer files or bytes than its source."""
    if not os.path.isdir(fixture.copy):
        raise RunFailed('made no copy')
    files, size = sourcetree.count(fixture.copy)
    if files < entry.source.files:
        raise RunFailed(f'copied {files} of {entry.source.files} files')
    if size < entry.source.bytes:
        raise RunFailed(f'copied {size} of {entry.source.bytes} bytes')


# --- in turns --------------------------------------------------------------------------------

def take_turns(entries, fixture, rounds, warm_up, say):
    """{name: record} after so many rounds. Who fails is out, and the record says why."""
    timings = {entry.name: [] for entry in entries}
    failed = {}
    labels = [WARM_UP] * warm_up + [f'round {number + 1} of {rounds}' for number in range(rounds)]
    for number, label in enumerate(labels):
        said = []
        for entry in random.Random(number).sample(entries, len(entries)):
            if entry.name in failed:
                continue
            try:
                timing = time_copy(entry.command, fixture)
                if number == 0:
                    check_copy(entry, fixture)
            except (RunFailed, OSError) as error:
                why = str(error).replace(entry.source.path, 'SOURCE').replace(fixture.copy, 'COPY')
                failed[entry.name] = why
                say(f'{entry.name} failed: {why}')
                continue
            said.append(f'{entry.name} {timing.wall:.3g}')
            if label != WARM_UP:
                timings[entry.name].append(timing)
        say(f'{label}: {", ".join(said)}')
    return {name: {'failed': failed[name]} if name in failed else record(timings[name])
            for name in timings}


def record(timings):
    """What is kept of a contestant's runs."""
    walls = [timing.wall for timing in timings]
    return {'median_s': statistics.median(walls), 'least_s': min(walls), 'most_s': max(walls),
            'cpu_s': statistics.median(timing.user + timing.system for timing in timings),
            'runs': [timing._asdict() for timing in timings]}


def race(found, workload, fixture, rounds, say):
    """All contestants on the only source."""
    entries = [Entry(one.name, one.command(fixture.source.path, fixture.copy, workload.reflink),
                     fixture.source) for one in found]
    return {'tools': take_turns(entries, fixture, rounds, workload.caches == HOT, say)}


def sweep(program, workload, fixture, rounds, say):
    """pkgcache by operations in flight; then the best of these against automatic, in more rounds.

    The best of many medians is a lucky one, so what counts is the second meeting.
    """
    automatic = Entry(OURS, [program, 'copy', fixture.source.path, fixture.copy], fixture.source)
    samples = [Sample(backend, in_flight) for in_flight in IN_FLIGHT for backend in BACKENDS]
    entries = [Entry(sample.name, sample.command(program, fixture.source.path, fixture.copy),
                     fixture.source) for sample in samples]
    first = take_turns([automatic, *entries], fixture, rounds, workload.caches == HOT, say)
    by_hand = [entry for entry in entries if 'median_s' in first[entry.name]]
    by_hand.sort(key=lambda entry: first[entry.name]['median_s'])
    say('the best once more')
    final = take_turns([automatic, *by_hand[:FINALISTS]], fixture, 2 * rounds + 1, False, say)
    return {'tools': first, 'final': final,
            'samples': {sample.name: sample._asdict() for sample in samples}}


def grow(program, workload, fixture, rounds, say):
    """pkgcache on trees of several sizes, which take turns."""
    entries = [Entry(f'{source.files:,} files', [program, 'copy', source.path, fixture.copy], source)
               for source in fixture.sources]
    tools = take_turns(entries, fixture, rounds, workload.caches == HOT, say)
    for entry in entries:
        tools[entry.name]['files'] = entry.source.files
    return {'tools': tools}


def remove(program, fixture, rounds, say):
    """rm -rf and pkgcache in turns; the first round is to warm up."""
    cache = os.path.join(fixture.target, 'cache')
    trash = os.path.join(cache, '.sys', 'to_delete')
    prepare = ['sh', '-c', PREPARE_REMOVAL, 'sh', fixture.source.path, trash]
    commands = contestants.removers(program, cache, os.path.join(trash, 'tree'))
    timings = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            timing = time_once(command, prepare)
            if os.path.lexists(os.path.join(trash, 'tree')):
                raise OSError(f'{name} left something')
            timings[name].append(timing)
        say(f'round {number} of {rounds}')
    return {'tools': {name: record(of_one[1:]) for name, of_one in timings.items()}}


def run(workload, fixture, found, program, rounds, say):
    """Measures a workload that is ready; returns all there is to report."""
    if workload.kind == SWEEP:
        measured = sweep(program, workload, fixture, rounds, say)
    elif workload.kind == REMOVAL:
        measured = remove(program, fixture, rounds, say)
    elif workload.kind == GROWTH:
        measured = grow(program, workload, fixture, rounds, say)
    else:
        measured = race(found, workload, fixture, rounds, say)
    return {'kind': workload.kind, 'what': workload.what, 'caches': workload.caches,
            'sources': [{'files': source.files, 'bytes': source.bytes, 'seed': source.seed}
                        for source in fixture.sources],
            'file_systems': fixture.file_systems, 'rounds': rounds, **measured}
