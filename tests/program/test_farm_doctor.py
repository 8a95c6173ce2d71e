"""`pkgcache doctor --farm`: why a preload would fail on a host, or could not be started from it."""
import glob
import json
import os
import shutil
import subprocess
import unittest

import farm
import support
from farm import DISK, OPT, SHARE, FarmTest
from support import DONE, FINDINGS, USAGE

farm.enter_world()

PROGRAM = f'{OPT}/bin/pkgcache'
FAKETIME = next(iter(glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')), None)
SEVERE = ('warning', 'problem')


class Doctor(FarmTest):
    """What it says of a node, and of the submitter."""

    nodes = 2

    def ask(self, *arguments, on='n1', cache=None, before=(), code=None):
        """Asks on a host: its findings of farms, {subject: [(severity, text)]}."""
        command = [*before, PROGRAM, '--cache', cache or self.cache, '--json', 'doctor', '--farm', *arguments]
        if on:
            result = self.farm.nodes[on].run(*command, check=False)
        else:
            result = subprocess.run(command, check=False, text=True, capture_output=True, cwd='/')
        found = {}
        for finding in json.loads(result.stdout)['findings']:
            found.setdefault(finding['subject'], []).append((finding['severity'], finding['text']))
        severe = any(severity in SEVERE for findings in found.values() for severity, _ in findings)
        self.assertEqual(result.returncode, (FINDINGS if severe else DONE) if code is None else code, result)
        return found

    def assert_found(self, found, subject, severity, text):
        """There is such a finding."""
        self.assertTrue(any(severity == seen and text in said for seen, said in found.get(subject, [])),
                        (subject, severity, text, found))

    def assert_severe(self, found, *subjects):
        """What is not well, but for these, is nothing of a farm's."""
        own = ('farm-', 'slurm', 'launchers', 'packing')
        severe = {subject for subject, findings in found.items() if subject.startswith(own) and
                  any(severity in SEVERE for severity, _ in findings)}
        self.assertEqual(severe, set(subjects), found)

    def fill(self, on='n1'):
        """A cache on a node, with nothing in it."""
        where = self.farm.nodes[on]
        source = os.path.join(SHARE, 'p', 'foo', '1.0')
        os.makedirs(source, exist_ok=True)
        farm.write(f'{source}/package.py', 'name = "foo"\nversion = "1.0"\n')
        manifest = support.write_manifest(f'{SHARE}/m.json', [support.Variant(
            support.make_handle(f'{SHARE}/p', 'foo'), source)])
        where.run(PROGRAM, '--cache', self.cache, 'warm', manifest)
        return where.path('disk', 'cache')

    def test_a_sound_node(self):
        """All is well, before there is a cache and after."""
        os.mkdir(f'{SHARE}/runs')
        for _ in range(2):
            found = self.ask('--run-dir', f'{SHARE}/runs')
            self.assert_severe(found)
            self.assert_found(found, 'farm-program', 'well', 'is pkgcache')
            self.assert_found(found, 'farm-name', 'well', 'reports as n1')
            self.assert_found(found, 'slurm', 'well', 'node n1 is idle')
            self.assert_found(found, 'slurmd', 'well', 'answers for node n1')
            self.assert_found(found, 'farm-run-dir', 'well', 'can be written to')
            self.assert_found(found, 'packing', 'well', 'packs can be made')
            cache = self.fill()
        self.assert_found(found, 'farm-cache', 'well', 'only this user may enter')
        self.assertEqual(os.listdir(f'{cache}/.sys/staging'), [])
        said = self.farm.nodes['n1'].run(PROGRAM, '--cache', self.cache, 'doctor', '--farm').stdout
        self.assertRegex(said, r'(?m)^well +/mnt/opt/bin/pkgcache is pkgcache ')
        self.assertNotIn('farm', self.farm.nodes['n1'].run(PROGRAM, '--cache', self.cache, 'doctor').stdout)

    def test_slurm(self):
        """A drained node, a slurmd that does not run, no controller, nobody who authenticates, no commands."""
        self.farm.drain('n1')
        self.farm.wait_state('n1', 'drained')
        found = self.ask()
        self.assert_severe(found, 'slurm')
        self.assert_found(found, 'slurm', 'warning', 'node n1 is drained')
        self.assert_found(self.ask(on=None), 'slurm', 'note', 'knows no node submit')
        self.farm.kill('n2')
        self.assert_found(self.ask(on=None, before=['env', 'SLURMD_NODENAME=n2']), 'slurmd', 'problem',
                          'does not answer for node n2')
        self.farm.stop_munge()
        found = self.ask()
        self.assert_severe(found, 'slurm')
        self.assert_found(found, 'slurm', 'problem', 'authentication')
        self.assertIn('Start munged', self.farm.nodes['n1'].run(PROGRAM, '--cache', self.cache, 'doctor', '--farm',
                                                                check=False).stdout)
        commands = os.path.join(SHARE, 'bin')
        os.mkdir(commands)
        self.assert_found(self.ask(before=['env', f'PATH={commands}']), 'slurm', 'note', 'not in PATH')
        for name in ('sinfo', 'scontrol', 'srun', 'scancel', 'pdsh'):
            os.symlink(shutil.which(name), f'{commands}/{name}')
        found = self.ask(before=['env', f'PATH={commands}'])
        self.assert_found(found, 'slurm', 'problem', 'not in PATH: sbcast')
        self.assert_found(found, 'launchers', 'warning', 'pdsh: in PATH, but ssh is not')

    def test_no_controller(self):
        """Its message, and what to do."""
        self.farm.stop_controller()
        found = self.ask()
        self.assert_severe(found, 'slurm')
        self.assert_found(found, 'slurm', 'problem', 'sinfo failed')

    def test_programs(self):
        """Not there, another version, something else, and a path that no shell may see."""
        for name, text, said in (('older', 'echo pkgcache 0.0.1', 'is pkgcache 0.0.1, and this is pkgcache'),
                                 ('none', 'exec true', 'is no pkgcache'), ('bad', 'exit 3', 'it failed')):
            path = farm.write(f'{SHARE}/{name}', f'#!/bin/sh\n{text}\n', 0o755)
            found = self.ask('--program', path)
            self.assert_severe(found, 'farm-program')
            self.assert_found(found, 'farm-program', 'problem', said)
        self.assert_found(self.ask(f'--program={SHARE}/nothing'), 'farm-program', 'problem', 'cannot be started')
        self.assert_found(self.ask('--program=relative'), 'farm-program', 'problem', 'shell')
        self.assert_found(self.ask(f'--program={SHARE}/$(touch x)'), 'farm-program', 'problem', 'shell')
        result = self.run_program('doctor', '--run-dir=/', '--cache=/x', program=PROGRAM)
        self.assert_refused(result, USAGE, about=['--farm'])

    def test_caches(self):
        """Nowhere, read-only, where a job's own /tmp is, where modes are not kept."""
        self.assert_found(self.ask(cache=f'{DISK}/none/cache'), 'farm-cache', 'problem', 'cannot be filled')
        self.assert_found(self.ask(cache='/tmp/cache'), 'farm-cache', 'warning', 'job_container')
        cache = self.fill()
        node = self.farm.nodes['n1']
        if farm.find('bindfs'):
            node.run('mkdir', f'{DISK}/open')
            node.run('bindfs', '-p', 'a+rwx', DISK, f'{DISK}/open')
            found = self.ask(cache=f'{DISK}/open/cache')
            node.run('umount', f'{DISK}/open')
            self.assert_found(found, 'farm-cache', 'problem', 'mode 0700 has mode 777')
        self.assertEqual(os.listdir(f'{cache}/.sys/staging'), [])
        node.run('mount', '--bind', DISK, DISK)
        node.run('mount', '-o', 'remount,bind,ro', DISK)
        found = self.ask()
        node.run('umount', DISK)
        self.assert_found(found, 'farm-cache', 'problem', 'Read-only')

    def test_what_casts_left(self):
        """How much, how old, whose."""
        cache = self.fill()
        for number in (1, 2):
            os.mkdir(f'{cache}/.sys/staging/preload-20260101-000000-00000000-{number}', 0o700)
        with open(f'{cache}/.sys/staging/preload-20260101-000000-00000000-1/pack', 'wb') as file:
            file.write(bytes(3 << 20))
        os.utime(f'{cache}/.sys/staging/preload-20260101-000000-00000000-1', (0, os.stat(cache).st_mtime - 7200))
        found = self.ask()
        self.assert_severe(found, 'farm-parts')
        self.assert_found(found, 'farm-parts', 'warning', '2 directories with parts')
        self.assert_found(found, 'farm-parts', 'warning', '3.0 MiB, the oldest 2.0 hours old')
        self.farm.nodes['n1'].run(PROGRAM, '--cache', self.cache, 'clean')
        self.assert_severe(self.ask())

    def test_run_directories(self):
        """Not there; everybody's; one whose clock is another one."""
        self.assert_found(self.ask(f'--run-dir={SHARE}/none'), 'farm-run-dir', 'problem', 'No such file')
        os.mkdir(f'{SHARE}/open')
        os.chmod(f'{SHARE}/open', 0o777)
        self.assert_found(self.ask(f'--run-dir={SHARE}/open'), 'farm-run-dir', 'problem', 'no sticky bit')
        if FAKETIME:
            late = ['env', f'LD_PRELOAD={FAKETIME}', 'FAKETIME=+1h', 'FAKETIME_NO_CACHE=1', 'NO_FAKE_STAT=1']
            found = self.ask(f'--run-dir={SHARE}', before=late)
            self.assert_found(found, 'farm-clock', 'warning', 'apart from this host')


if __name__ == '__main__':
    unittest.main()
