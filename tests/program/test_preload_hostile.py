"""preload among those who mean no good, or whose luck is bad: nodes that flood, runs of others, full disks."""
import contextlib
import os
import shutil
import signal
import stat
import subprocess

import farm
import support
from farm import SHARE
from support import DONE, FAILED, PARTLY, USAGE
from test_preload import SLOW, PreloadTest

farm.enter_world()

STRANGER = 12345


class Nodes(PreloadTest):
    """What nodes do and say."""

    def install_script(self, name, text):
        """Puts a shell script in place of a node's program; returns its path from outside."""
        path = farm.write(self.path(f'program-{name}'), f'#!/bin/sh\n{text}\n', 0o755)
        self.farm.install(path, name)

    def test_floods(self):
        """Lines, one line, and words on standard error without end: the launcher is ended, the others are done."""
        variants = self.make(1)
        self.install_script('n2', 'exec yes "{\\"node\\": \\"n2\\"}"')
        self.install_script('n3', 'exec cat /dev/zero')
        self.install_script('n4', 'exec cat /dev/urandom >&2')
        code, facts = self.run_all(variants, '--fanout=source')
        self.assertEqual(code, PARTLY, facts)
        self.assertEqual([node['state'] for node in facts['nodes']], ['done', 'failed', 'failed', 'failed'], facts)
        support.wait_until(lambda: not self.farm.jobs(), 'the jobs to end')
        self.farm.install(support.PROGRAM)
        self.resume(facts)

    def test_a_flood_that_does_not_hear(self):
        """A launcher that ends too late, since the machine is busy, is killed; its job ends all the same."""
        real = shutil.which('srun')
        path = farm.write(self.path('bin', 'srun'), f"""#!/bin/sh
trap '' TERM
{real} "$@" &
until grep -q begun /proc/$$/fd/1; do sleep 0.1; done
kill -STOP $!
head -c 50000000 /dev/zero
wait
""", 0o755)
        self.environment['PATH'] = os.path.dirname(path) + ':' + self.environment['PATH']
        self.install_script('n1', 'echo begun; exec sleep 3600')
        code, facts = self.run_all(self.make(1), '--fanout=source', '--nodes=n1')
        self.assertEqual(code, FAILED, facts)
        self.assertIn('wrote more than any report', self.nodes_of(facts)['n1']['why'])
        support.wait_until(lambda: not self.farm.jobs(), 'the job to end')

    def test_a_variant_that_is_told_often(self):
        """No node has done more than it was asked for."""
        line = '{\\"node\\": \\"n2\\", \\"variant\\": 0, \\"status\\": \\"created\\", \\"bytes\\": 9007199254740991}'
        self.install_script('n2', f'for i in 1 2 3 4 5 6 7; do echo "{line}"; done\n'
                            'echo "{\\"node\\": \\"n2\\", \\"end\\": true, \\"lines\\": 7}"')
        _, facts = self.run_all(self.make(3), '--fanout=source', '--nodes=n[1-2]')
        node = self.nodes_of(facts)['n2']
        self.assertLessEqual(node['done'] + node['failed'], 3, node)

    def test_a_time_limit_while_nodes_are_looked_at(self):
        """Each node is named, those that have been looked at, too."""
        self.install_script('n2', 'exec sleep 3600')
        code, facts = self.run_all(self.make(1), '--time-limit=10')
        self.assertEqual(code, FAILED, facts)
        for node in facts['nodes']:
            self.assertEqual(node['state'], 'failed', facts)
            self.assertRegex(node['why'], 'time limit', facts)

    def test_nodes_that_one_job_fills(self):
        """A look that takes long does not make its own nodes look busy."""
        variants = self.make(1)
        program = self.farm.nodes['n1'].path('opt', 'bin', 'real')
        self.farm.call('scontrol', 'update', 'PartitionName=all', 'OverSubscribe=EXCLUSIVE')
        self.addCleanup(self.farm.call, 'scontrol', 'update', 'PartitionName=all', 'OverSubscribe=FORCE:4')
        os.rename(self.farm.nodes['n1'].path('opt', 'bin', 'pkgcache'), program)
        self.addCleanup(os.unlink, program)
        self.install_script('n1', f'sleep 7\nexec {farm.OPT}/bin/real "$@"')
        code, facts = self.run_all(variants, '--nodes=n1')
        self.assertEqual(code, DONE, facts)

    def test_two_at_once(self):
        """Two runs of the same variants for the same nodes: both end well."""
        variants = self.make(3)
        arguments = [self.manifest(variants), '--slurm', '--json', '--cache', self.cache, '--time-limit=900']
        processes = [self.start_preload(*arguments) for _ in range(2)]
        for process in processes:
            result = support.finish(process)
            self.assert_code(result, DONE)
            self.assertEqual({node['done'] for node in result.json()['nodes']}, {3}, result)
        self.assert_caches(variants)


class Runs(PreloadTest):
    """Names and directories of runs, what is asked for, what cannot be written."""

    nodes = 2

    def refuse(self, *arguments, code=FAILED, about=()):
        """It is refused, and says why."""
        result = self.preload(*arguments)
        self.assert_refused(result, code, about=about)

    def test_names(self):
        """Names of runs that are none, and paths where none is."""
        os.makedirs(self.path('state', 'pkgcache', 'runs'))
        with open(self.path('state', 'pkgcache', 'run.json'), 'w', encoding='ascii') as file:
            file.write('{}')
        for option in ('--resume', '--follow', '--cancel'):
            for name in ('', '.', '..', '.x', '-x', 'a b', '$(x)', 'x' * 300, 'x\ny'):
                result = self.preload(f'{option}={name}') if option != '--follow' else \
                    self.preload(option, '--', name)
                self.assert_refused(result, USAGE)
            for path in ('../x', 'x/../..', '/proc/self', '/dev/null', '/' + 'x' * 5000 + '/x'):
                self.refuse(option, path)

    def test_directories_of_others(self):
        """A run that others may write to is theirs: they would say what is started on the nodes."""
        result = self.preload(self.manifest(self.make(1)), '--slurm', '--detach', '--cache', self.cache,
                              '--nodes=n1')
        self.assert_code(result, DONE)
        name = result.out.strip()
        self.assert_code(self.preload('--follow', name), DONE)
        directory = self.path('state', 'pkgcache', 'runs', name)
        for uid, mode in ((STRANGER, 0o700), (0, 0o770), (0, 0o707)):
            os.chown(directory, uid, 0)
            os.chmod(directory, mode)
            for option in ('--resume', '--follow', '--cancel'):
                self.refuse(option, name, about=['somebody else'])
        os.chown(directory, 0, 0)
        os.chmod(directory, 0o700)
        self.assert_code(self.preload('--resume', name), DONE)

    def test_a_place_where_everybody_may_replace_runs(self):
        """No run begins there."""
        where = os.path.join(SHARE, 'runs')
        os.mkdir(where)
        os.chmod(where, 0o777)
        arguments = [self.manifest(self.make(1)), '--slurm', '--cache', self.cache, f'--run-dir={where}', '--nodes=n1']
        self.refuse(*arguments, about=['sticky'])
        self.assertEqual(os.listdir(where), [])
        os.chmod(where, 0o777 | stat.S_ISVTX)
        self.assert_code(self.preload(*arguments), DONE)

    def test_nothing(self):
        """No variants, none that can be had, no nodes."""
        manifest = self.manifest(self.make(1))
        self.refuse(self.manifest([]), '--slurm', about=['no variants'])
        bad = farm.write(self.path('bad.json'), '{"variants": [{"handle": {}}]}')
        self.refuse(bad, '--slurm', about=['bad.json'])
        for nodes in ('[]', ',', 'n1[]', 'n[1-100000000]', 'n[2-1]'):
            result = self.preload(manifest, '--slurm', f'--nodes={nodes}')
            self.assert_refused(result, USAGE, FAILED)
        self.assertFalse(os.path.exists(self.path('state')))

    def test_a_node_of_another_partition(self):
        """It is refused, and not taken."""
        self.farm.call('scontrol', 'create', 'PartitionName=few', 'Nodes=n1')
        self.addCleanup(self.farm.call, 'scontrol', 'delete', 'PartitionName=few')
        self.refuse(self.manifest(self.make(1)), '--slurm', '--partition=few', '--nodes=n[1-2]',
                    about=['node n2 is not in partition few'])

    def test_a_report_on_a_full_disk(self):
        """What is done is done, and the error says why; nothing is left there."""
        manifest = self.manifest(self.make(1))
        full = self.path('full')
        os.mkdir(full)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k', 'none', full], check=True)
        self.addCleanup(subprocess.run, ['umount', full], check=True)
        farm.write(f'{full}/x', 'x' * 4096)
        for name in ('report.json', 'report.html'):
            result = self.preload(manifest, '--slurm', '--cache', self.cache, '--nodes=n1',
                                  f'--report={full}/{name}')
            self.assert_refused(result, FAILED, about=['report', 'No space left'])
            self.assertIn('1 done', result.out)
            self.assertEqual(os.listdir(full), ['x'])

    def test_a_cancel_that_came_too_late(self):
        """A coordinator that was killed before it saw it: --resume goes on, and does not end at once."""
        variants = self.make(2)
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache, SLOW)
        directory = self.wait_run(1)
        pid = self.coordinator(directory)
        self.wait_for_bytes('n1')
        os.kill(pid, signal.SIGSTOP)
        cancel = self.start_preload('--cancel', directory)
        with contextlib.suppress(ProcessLookupError):
            support.wait_until(lambda: os.path.exists(f'{directory}/cancel'), 'the wish to cancel')
            os.kill(pid, signal.SIGKILL)
        support.finish(cancel)
        support.finish(process)
        self.resume({'run': os.path.basename(directory)})
        self.assert_caches(variants)
