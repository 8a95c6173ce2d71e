#!/usr/bin/env python3
"""Compares `pkgcache copy` with other tools; docs/performance-log.md says how it measures.

    workloads.py    what is copied, from where to where     sourcetree.py  the trees
    contestants.py  who copies                              measure.py     turns and times
    promises.py     what ratios should be                   report.py      tables
    machine.py      what it ran on                          plots.py       pictures
    summary.py      the page for users, docs/performance.md

Writes results.json, results.md and plots into bench/results/DATE/. Needs root, for loop devices.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(TOP, 'tests', 'program'))
sys.dont_write_bytecode = True
import contestants  # noqa: E402
import machine  # noqa: E402
import measure  # noqa: E402
import promises  # noqa: E402
import report  # noqa: E402
import workloads  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, 'results')
PROGRAM = os.environ.get('PKGCACHE_PROGRAM') or os.path.join(TOP, 'build-release', 'pkgcache')
# The system's Python has its matplotlib, also where another Python comes first.
PLOTTING_PYTHONS = (sys.executable, '/usr/bin/python3')
INTERRUPTED = 128 + signal.SIGINT


def parse_options():
    """The command line."""
    names = [workload.name for workload in workloads.WORKLOADS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true',
                        help='what is essential, on smaller trees, in three minutes')
    parser.add_argument('--full', action='store_true', help='growth up to 1,000,000 files')
    parser.add_argument('--only', nargs='+', metavar='WORKLOAD', choices=names,
                        help='these workloads; --list names them')
    parser.add_argument('--rounds', type=int, metavar='N', help='how often each tool runs')
    parser.add_argument('--program', default=PROGRAM, metavar='PATH',
                        help='the pkgcache to measure (PKGCACHE_PROGRAM, else of build-release)')
    parser.add_argument('--write-docs', action='store_true',
                        help='put the results into docs/performance-log.md, performance.md and its picture')
    parser.add_argument('--list', action='store_true', help='list workloads and tools')
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error('--rounds: at least 1')
    return options


def print_list(found):
    """Workloads, and who would take part."""
    for workload in workloads.WORKLOADS:
        marks = '' if workload.quick_trees else '  (not in --quick)'
        print(f'{workload.name:15} {workload.what}; {workload.source} to {workload.target}, '
              f'caches {workload.caches}{marks}')
    print('\ntools:', ', '.join(contestant.name for contestant in found))


def check_requirements(options):
    """Ends the program when it cannot measure here."""
    if os.geteuid():
        sys.exit('bench: loop devices need root')
    if not shutil.which('hyperfine'):
        sys.exit('bench: hyperfine is not installed')
    if not os.access(options.program, os.X_OK):
        sys.exit(f'bench: {options.program} is no program; --program can name one')


def chosen(options):
    """The workloads of this run."""
    if options.only:
        return [workload for workload in workloads.WORKLOADS if workload.name in options.only]
    return [workload for workload in workloads.WORKLOADS if workload.quick_trees or not options.quick]


def measure_all(options, found, results, folder):
    """Fills results in, workload by workload; they are on disk after each."""
    since = time.monotonic()
    for workload in chosen(options):
        def say(text, name=workload.name):
            print(f'[{time.monotonic() - since:4.0f} s] {name}: {text}', flush=True)
        try:
            with workloads.ready(workload, workload.trees_for(options)) as fixture:
                say(f'ready: {", ".join(str(source.files) for source in fixture.sources)} files')
                results['workloads'][workload.name] = measure.run(
                    workload, fixture, found, options.program, workload.rounds_for(options), say)
        except (unittest.SkipTest, OSError) as reason:
            say(f'skipped: {reason}')
            results['skipped'][workload.name] = str(reason)
        results['promises'] = promises.judge(results['workloads'])
        results['took_s'] = round(time.monotonic() - since)
        write_json(results, folder)


def write_json(results, folder):
    """Everything that was measured."""
    with open(os.path.join(folder, 'results.json'), 'w', encoding='utf-8') as file:
        json.dump(results, file, indent=1)
        file.write('\n')


def write_reports(options, results, folder):
    """Tables and plots of what was measured."""
    with open(os.path.join(folder, 'results.md'), 'w', encoding='utf-8') as file:
        file.write(f'# Results of {results["started"]}\n\n{report.markdown(results)}')
    if options.write_docs:
        report.write_documents(results)
    for python in PLOTTING_PYTHONS:
        can = subprocess.run([python, '-c', 'import matplotlib'], check=False, capture_output=True)
        if can.returncode == 0:
            subprocess.run([python, os.path.join(HERE, 'plots.py'), folder], check=True)
            return
    print('bench: no plots: matplotlib is not installed')


def interrupt(number, _frame):
    """Ends as Ctrl-C does, so that what was mounted is taken away."""
    raise KeyboardInterrupt(f'signal {number}')


def main():
    """Measures, reports; 1 when pkgcache itself failed somewhere."""
    options = parse_options()
    found = contestants.find(options.program)
    if options.list:
        print_list(found)
        return 0
    check_requirements(options)
    signal.signal(signal.SIGTERM, interrupt)
    started = time.strftime('%Y-%m-%dT%H%M%S')
    folder = os.path.join(RESULTS, started)
    os.makedirs(folder)
    results = {'started': time.strftime('%Y-%m-%d %H:%M'), 'options': vars(options), 'took_s': 0,
               'machine': machine.describe(), 'skipped': {}, 'workloads': {}, 'promises': [],
               'tools': {one.name: {'version': contestants.version(one),
                                    'command': one.command('SOURCE', 'COPY', False)} for one in found}}
    status = 0
    try:
        measure_all(options, found, results, folder)
    except KeyboardInterrupt:
        print('bench: interrupted')
        status = INTERRUPTED
    if results['workloads']:
        write_reports(options, results, folder)
        print(report.summary(results))
    print(f'written: {folder}')
    return status or int(has_failed(found, results))


def has_failed(found, results):
    """Whether pkgcache failed to copy something: then it is broken, whatever the times."""
    peers = {one.name for one in found if not one.is_ours}
    return any('failed' in tool for measured in results['workloads'].values()
               for name, tool in measured['tools'].items() if name not in peers)


if __name__ == '__main__':
    sys.exit(main())
