"""The farm of the tests is what it claims to be (farm.py): real Slurm, hosts apart from each other."""
import os
import unittest

import farm
import support
from farm import DISK, SHARE, FarmTest

farm.enter_world()


class Hosts(FarmTest):
    """Nodes see the share and what is their own."""

    def srun(self, *command, nodes=4, check=True):
        """Runs a command on so many nodes; returns {node: what it printed}."""
        result = self.farm.call('srun', '--chdir=/', '--label', f'-N{nodes}', '--overcommit', 'sh', '-c',
                                'echo "$SLURMD_NODENAME $(' + ' '.join(command) + ')"', check=check)
        return dict(line.split(': ', 1)[1].split(' ', 1) for line in result.stdout.splitlines())

    def test_each_node_has_a_name_a_disk_and_processes_of_its_own(self):
        for name, node in self.farm.nodes.items():
            with open(node.path('disk', 'who'), 'w', encoding='ascii') as file:
                file.write(name)
        self.assertEqual(self.srun(f'cat {DISK}/who'), {name: name for name in self.farm.nodes})
        self.assertEqual(self.srun('hostname'), {name: name for name in self.farm.nodes})
        self.assertEqual(set(self.srun('ps ax | grep -c slurml*d\\ -D').values()), {'2'})

    def test_only_the_share_is_common(self):
        with open(f'{SHARE}/file', 'w', encoding='ascii') as file:
            file.write('common')
        self.assertEqual(set(self.srun(f'cat {SHARE}/file').values()), {'common'})
        for path in (self.directory, support.PROGRAM, support.HERE, self.node(1).path('disk')):
            self.assertTrue(os.path.exists(path))
            self.assertEqual(set(self.srun(f'ls -d {path} 2>&1 | grep -c No.such').values()), {'1'}, path)
        self.srun('echo mine > /tmp/file')
        self.assertFalse(os.path.exists('/tmp/file'))

    def test_each_node_has_a_program_of_its_own(self):
        self.farm.install(None, 'n2')
        found = self.srun('command -v pkgcache || echo none')
        self.assertEqual(found, {'n1': '/mnt/opt/bin/pkgcache', 'n2': 'none', 'n3': '/mnt/opt/bin/pkgcache',
                                 'n4': '/mnt/opt/bin/pkgcache'})

    def test_a_small_disk_is_small_and_the_next_test_has_the_large_one(self):
        node = self.node(3)
        node.shrink('1m')
        full = node.run('dd', 'if=/dev/zero', f'of={DISK}/file', 'bs=1M', 'count=2', check=False)
        self.assertIn('No space left', full.stderr)
        self.farm.heal()
        node.run('dd', 'if=/dev/zero', f'of={DISK}/file', 'bs=1M', 'count=2')


class Service(FarmTest):
    """Nodes and servers can be taken away and come back."""

    nodes = 2

    def test_a_killed_node_ends_its_tasks_and_comes_back(self):
        self.farm.call('sbatch', '--no-requeue', '-w', 'n2', '--chdir=/', '--output=/dev/null', '--wrap',
                       f'touch {DISK}/begun; sleep 1000')
        support.wait_until(lambda: os.path.exists(self.node(2).path('disk', 'begun')), 'the job to begin')
        self.farm.kill('n2')
        self.farm.wait_state('n2', 'down*', 'down')
        support.wait_until(lambda: not self.farm.jobs(), 'its job to end')
        self.farm.heal()
        self.assertEqual(self.farm.states(), {'n1': 'idle', 'n2': 'idle'})

    def test_a_drained_node_takes_nothing(self):
        self.farm.drain('n1')
        self.assertEqual(self.farm.states()['n1'], 'drained')
        self.farm.resume('n1')
        self.farm.wait_state('n1', 'idle')

    def test_servers_that_stop_come_back(self):
        self.farm.stop_munge()
        self.assertNotEqual(self.farm.call('sinfo', check=False).returncode, 0)
        self.farm.stop_controller()
        self.farm.heal()
        self.assertEqual(self.farm.call('srun', '--chdir=/', '-N2', 'true').returncode, 0)


if __name__ == '__main__':
    unittest.main()
