"""Times preloads of 1, 2 and 4 nodes from a source 1 ms and 50 MB/s away, on the farm of the tests.

usage: tests/program/run.py bench/farm_runs.py

Prints a line a run: fan-out, nodes, seconds, processor seconds of everything that runs for it, the
load of the machine, seconds of each phase. All nodes share this machine's processors, so a tree costs
here what four machines would share. In the end: what is to hold.

FARM_RUNS=source:1,tree:4 chooses the runs; FARM_JOURNAL=yes prints their journals, too.
Processor time is that of a control group (cpuacct, or version 2), which needs root; else "?".
"""
import contextlib
import glob
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests', 'program'))
import farm  # noqa: E402

GROUPS = [('/sys/fs/cgroup/cpuacct', 'cpuacct.usage', 1e9), ('/sys/fs/cgroup', 'cpu.stat', 1e6)]


def enter_group():
    """Puts this process into a control group of its own; returns its path, or "" """
    for base, file, _ in GROUPS:
        path = f'{base}/pkgcache-bench-{os.getpid()}'
        with contextlib.suppress(OSError):
            os.mkdir(path)
            with open(f'{path}/cgroup.procs', 'w', encoding='ascii') as procs:
                procs.write(str(os.getpid()))
            if os.path.exists(f'{path}/{file}'):
                return path
    return ''


if 'FARM_GROUP' not in os.environ:
    os.environ['FARM_GROUP'] = enter_group()
farm.enter_world()

import support  # noqa: E402
import test_preload_shown  # noqa: E402
from mounts import slow_mount  # noqa: E402

RUNS = [(run.split(':')[0], int(run.split(':')[1])) for run in os.environ.get(
    'FARM_RUNS', 'source:1,pack:0,tree:1,source:4,tree:4,tree:2,source:2').split(',')]
PROGRAM = f'{farm.OPT}/bin/pkgcache'
MOST_TIMES = 1.5  # a tree for four nodes may take so many times as long as one node from the source


def used_s():
    """Processor seconds of all that has run in the group."""
    for base, file, per_s in GROUPS:
        if os.environ['FARM_GROUP'].startswith(base + '/pkgcache'):
            with open(f'{os.environ["FARM_GROUP"]}/{file}', encoding='ascii') as stat:
                return int(stat.read().split()[-1 if file == 'cpuacct.usage' else 1]) / per_s
    return float('nan')


class Runs(farm.FarmTest):
    """Not a test: it fails only where a run does."""

    make = test_preload_shown.Shown.make

    def show(self, fanout, nodes, seconds, cpu, phases=''):
        """One line."""
        print(f'{fanout:7} {nodes} nodes {seconds:6.1f} s {cpu:6.1f} cpu s  load {os.getloadavg()[0]:5.1f}  {phases}')

    def pack(self, manifest, number):
        """Packs alone: (seconds, cpu)"""
        begin, used = time.monotonic(), used_s()
        result = self.run_program('pack', manifest, '-o', self.path(f'{number}.pack'), program=PROGRAM,
                                  timeout=support.PATIENCE_S * 10)
        self.assert_code(result, support.DONE)
        seconds, cpu = time.monotonic() - begin, used_s() - used
        self.show('(pack)', 0, seconds, cpu, f'{os.path.getsize(self.path(f"{number}.pack")) / 1e6:.0f} MB')
        return seconds, cpu

    def preload(self, manifest, fanout, nodes, number):
        """One run: (seconds, cpu)"""
        used = used_s()
        result = self.run_program(
            'preload', manifest, '--slurm', '--nodes', f'n[1-{nodes}]' if nodes > 1 else 'n1', '--fanout', fanout,
            '--cache', f'{farm.DISK}/cache{number}', '--json', program=PROGRAM,
            timeout=support.PATIENCE_S * 10, XDG_STATE_HOME=self.path('state'))
        cpu = used_s() - used
        self.assert_code(result, support.DONE)
        facts = result.json()
        phases = ', '.join(f'{phase["name"]} {(phase["end"] or facts["end"]) - phase["begin"]:.1f}'
                           for phase in facts['phases'])
        self.show(fanout, nodes, facts['end'] - facts['begin'], cpu,
                  f'{phases}; nodes {" ".join(str(round(node["seconds"], 1)) for node in facts["nodes"])}')
        if os.environ.get('FARM_JOURNAL'):
            for path in sorted(glob.glob(f'{self.path("state")}/pkgcache/runs/{facts["run"]}/journal')):
                with open(path, encoding='utf-8') as file:
                    print(file.read())
        return facts['end'] - facts['begin'], cpu

    def test_runs(self):
        """All runs, each into empty caches."""
        variants, files, total = self.make()
        print(f'{len(variants)} variants, {files} files, {total / 1e6:.0f} MB')
        tempfile.tempdir = farm.MNT  # a mount there is seen by the nodes
        taken = {}
        with slow_mount(f'{farm.SHARE}/packages', '--delay-ms', '1', '--bandwidth', '50000000') as mount:
            tempfile.tempdir = None
            seen = [support.Variant(variant.handle, variant.root.replace(f'{farm.SHARE}/packages', mount.path, 1))
                    for variant in variants]
            manifest = support.write_manifest(self.path('manifest.json'), seen)
            for number, (fanout, nodes) in enumerate(RUNS):
                mount.drop_caches()
                taken[fanout, nodes] = (self.preload(manifest, fanout, nodes, number) if fanout != 'pack' else
                                        self.pack(manifest, number))
                for node in self.farm.nodes.values():
                    farm.empty(node.path('disk'))
        self.judge(taken)

    def judge(self, taken):
        """What is to hold, as far as these runs show it."""
        if ('source', 1) in taken and ('tree', 4) in taken:
            times = taken['tree', 4][0] / taken['source', 1][0]
            print(f'tree of 4 nodes: {times:.2f} x one node from the source (at most {MOST_TIMES})')
        if {('pack', 0), ('tree', 1), ('tree', 4)} <= set(taken):
            pack = taken['pack', 0][1]
            most = pack + 4 * (taken['tree', 1][1] - pack)
            print(f'cpu of it: {taken["tree", 4][1]:.1f} s (at most pack + 4 x (one node from it and the cast): '
                  f'{most:.1f} s)')
