"""Ends of preload runs that are cancelled, whoever started what runs; and coordinators that are killed."""
import fcntl
import glob
import os
import re
import shutil
import subprocess
import time

import farm
import support
from farm import OPT, SHARE
from support import DONE, INTERRUPTED
from test_preload import SLOW, PreloadTest

farm.enter_world()

PROGRAM = f'{OPT}/bin/pkgcache'
LAUNCHERS = ['clush', 'pdsh', 'parallel']


class CancelTest(PreloadTest):
    """Runs that are slow, and what is left of them."""

    nodes = 2

    def begin(self, variants, *arguments):
        """Starts a run; returns its process and directory."""
        shutil.rmtree(self.path('state'), ignore_errors=True)
        process = self.start_preload(self.manifest(variants), '--json', '--cache', self.cache, *arguments)
        return process, self.wait_run(1)

    def running(self, directory):
        """Outputs of programs that the run has started and that go on."""
        found = []
        for path in glob.glob(f'{directory}/*.out'):
            with open(path, 'rb') as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(os.path.basename(path))
        return found

    def assert_cancelled(self, directory, coordinated):
        """--cancel ends all, and says so; --resume does what is missing."""
        self.assert_code(self.preload('--cancel', directory), DONE)
        support.wait_until(lambda: not self.running(directory), 'what runs to end')
        support.wait_until(lambda: not self.farm.jobs(), 'the jobs to end')
        facts = self.preload('--follow', directory, '--json')
        self.assert_code(facts, INTERRUPTED)
        self.assertEqual(facts.json()['state'], 'cancelled', (coordinated, facts))
        for node in facts.json()['nodes']:
            self.assertIn(node['state'], ('failed', 'done'), facts)


class Slurm(CancelTest):
    """While it packs, casts, warms; with a coordinator, and without."""

    def cancel(self, variants, arguments, reached, coordinated):
        """Cancels a run when it has come so far."""
        self.farm.heal()
        variants = self.make(variants, files=6)
        process, directory = self.begin(variants, '--slurm', *arguments)
        reached(directory)
        if not coordinated:
            self.kill_coordinator(directory)
            support.finish(process)
        self.assert_cancelled(directory, coordinated)
        if coordinated:
            self.assert_code(support.finish(process), INTERRUPTED)
        self.resume({'run': directory})
        self.assert_caches(variants)

    def each(self, variants, arguments, reached):
        """With a coordinator, and when that was killed."""
        for coordinated in (True, False):
            with self.subTest(coordinated=coordinated):
                self.cancel(variants, arguments, reached, coordinated)

    def test_while_it_packs(self):
        """The program that packs ends."""
        self.each(2, [SLOW, '--fanout=tree'], lambda directory: support.wait_until(
            lambda: 'pack-1.out' in self.running(directory), 'it to pack'))

    def test_while_it_casts(self):
        """So does the cast."""
        real, count = shutil.which('sbcast'), self.path('calls')
        path = farm.write(self.path('bin', 'sbcast'), f'#!/bin/sh\n[ -e {count} ] && exec {real} "$@"\n'
                          f'sleep 3600; exec {real} "$@"\n', 0o755)
        self.environment['PATH'] = os.path.dirname(path) + ':' + self.environment['PATH']

        def reached(directory):
            support.wait_until(lambda: any(name.startswith('cast-') for name in self.running(directory)), 'a cast')
            farm.write(count, '')
            self.addCleanup(lambda: os.path.exists(count) and os.unlink(count))
        for coordinated in (True, False):
            with self.subTest(coordinated=coordinated):
                if os.path.exists(count):
                    os.unlink(count)
                self.cancel(2, ['--fanout=tree'], reached, coordinated)

    def test_while_it_warms(self):
        """So do the jobs."""
        self.each(2, [SLOW, '--fanout=source'], lambda directory: self.wait_for_bytes('n1'))


    def test_a_slurm_that_does_not_hear(self):
        """It is busy, and scancel fails: it is asked again."""
        real, count = shutil.which('scancel'), self.path('calls')
        path = farm.write(self.path('bin', 'scancel'), f'#!/bin/sh\n[ -e {count} ] && exec {real} "$@"\n>{count}\n'
                          'echo "scancel: error: Unable to contact slurm controller" >&2; exit 1\n', 0o755)
        self.environment['PATH'] = os.path.dirname(path) + ':' + self.environment['PATH']
        for node in self.farm.nodes:
            self.farm.install(farm.write(self.path('sleeps'), f'#!/bin/sh\n>{farm.DISK}/begun\nexec sleep 3600\n', 0o755), node)
        process, directory = self.begin(self.make(1), '--slurm', '--fanout=source')
        support.wait_until(lambda: os.path.exists(self.node(1).path('disk', 'begun')), 'n1 to begin')
        self.assert_cancelled(directory, True)
        self.assert_code(support.finish(process), INTERRUPTED)


class Hosts(CancelTest):
    """Launchers over ssh, which outlive the coordinator that started them."""

    def setUp(self):
        super().setUp()
        self.farm.start_ssh()
        farm.write(self.path('hosts'), 'n1\nn2\n')

    def each(self, check, launchers=LAUNCHERS):
        """With each launcher, a run that copies and has no coordinator any more."""
        for number, launcher in enumerate(launchers):
            if not farm.find(launcher):
                continue
            with self.subTest(launcher=launcher):
                self.cache = f'{farm.DISK}/cache{number}'
                variants = self.make(2, files=9)
                process, directory = self.begin(variants, '--hosts', self.path('hosts'), '--with', launcher, SLOW,
                                                '--fanout=source')
                support.wait_until(lambda directory=directory: self.running(directory), 'a launcher')
                support.wait_until(lambda: any(
                    files for _, _, files in os.walk(self.node(1).path('disk', os.path.basename(self.cache)))
                    if any(len(file) < 3 for file in files)), 'n1 to copy')
                self.kill_coordinator(directory)
                support.finish(process)
                self.assertTrue(self.running(directory))
                check(directory)
                self.resume({'run': directory})
                self.assert_caches(variants, cache=self.cache)

    def test_cancel_ends_launchers(self):
        """Of a coordinator that was killed."""
        self.each(lambda directory: self.assert_cancelled(directory, False))

    def test_resume_takes_over_and_can_be_cancelled(self):
        """The launchers of the first coordinator are ended through the second."""
        def check(directory):
            process = self.start_preload('--resume', directory, '--json')
            support.wait_until(lambda: self.read(directory).count('"event":"begin"') == 2, 'the second')
            self.assertTrue(self.running(directory))
            self.assert_cancelled(directory, True)
            self.assert_code(support.finish(process), INTERRUPTED)
        self.each(check)

    def read(self, directory):
        """The journal."""
        with open(f'{directory}/journal', encoding='utf-8') as file:
            return file.read()

    def test_resume_ends_well(self):
        """What was started is waited for, and counts."""
        self.each(lambda directory: None)

    def test_only_what_was_started_is_ended(self):
        """No process that has the number of a launcher now, nor one that a record of nonsense names."""
        stranger = subprocess.Popen(['sleep', '3600'], start_new_session=True)
        self.addCleanup(support.kill_process, stranger)
        time.sleep(2 / os.sysconf('SC_CLK_TCK'))  # start times count ticks: nobody has a number again in the same one

        def check(directory):
            for path in glob.glob(f'{directory}/attempt-*.out.owner'):
                with open(path, encoding='ascii') as file:
                    text = file.read()
                shutil.copy(path, path + '.right')
                farm.write(path, re.sub(r'(?m)^pid \d+$', f'pid {stranger.pid}', text))
            farm.write(f'{directory}/attempt-9.out.owner', 'no record\n')
            os.symlink('/etc/passwd', f'{directory}/attempt-8.out.owner')
            self.start_preload('--cancel', directory)
            time.sleep(2)
            self.assertIsNone(stranger.poll())
            self.assertTrue(self.running(directory))
            for path in glob.glob(f'{directory}/attempt-*.out.owner.right'):
                os.rename(path, path.removesuffix('.right'))
            self.assert_cancelled(directory, False)
            self.assertIsNone(stranger.poll())
        self.each(check, LAUNCHERS[:1])

    def test_killed_coordinators(self):
        """In each phase, with and without a pack: --resume ends with 0."""
        phases = ('"event":"begin"', '"step":"look"', '"event":"fanout"', '"name":"pack"', '"step":"pack"', '"step":"warm"')
        for number, phase in enumerate(phases):
            with self.subTest(phase):
                self.cache = f'{farm.DISK}/cache{number}'
                variants = self.make(2, files=3)
                shutil.rmtree(f'{SHARE}/runs', ignore_errors=True)
                process = self.start_preload(
                    self.manifest(variants), '--hosts', self.path('hosts'), '--with', LAUNCHERS[number % 3], '--cache',
                    self.cache, '--run-dir', f'{SHARE}/runs', f'--fanout={"source" if "warm" in phase else "pack"}')
                support.wait_until(lambda: glob.glob(f'{SHARE}/runs/*/run.json'), 'a run')
                directory = glob.glob(f'{SHARE}/runs/*')[0]
                self.wait_journal(directory, phase)
                self.kill_coordinator(directory)
                support.finish(process)
                result = self.preload('--resume', directory, '--json')
                self.assert_code(result, DONE)
                self.assert_caches(variants, 'n1', 'n2', cache=self.cache)


if __name__ == '__main__':
    import unittest
    unittest.main()
