"""preload when nodes, jobs or authentication go away while it runs: the table, the exit code, and --resume."""
import glob
import shutil
import unittest

import farm
import support
from support import DONE, FAILED, PARTLY
from test_preload import SLOW, PreloadTest

farm.enter_world()


class Losses(PreloadTest):
    """What is there stays; what is missing is named, and comes with --resume."""

    def begin(self, variants, *arguments):
        """Starts a run; returns its process and directory."""
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache, *arguments)
        return process, self.wait_run(1)

    def wait_report(self, directory, name, text):
        """Until a node has reported this."""
        def reported():
            for path in glob.glob(f'{directory}/attempt-*.out'):
                with open(path, encoding='utf-8', errors='replace') as file:
                    if any(f'"{name}"' in line and text in line for line in file):
                        return True
            return False
        support.wait_until(reported, f'{name} to report {text}')

    def test_no_free_node(self):
        """All are drained: each is named, and nothing is done."""
        variants = self.make(1)
        for name in self.farm.nodes:
            self.farm.drain(name)
        result = self.preload(self.manifest(variants), '--slurm', '--cache', self.cache)
        self.assert_code(result, FAILED)
        self.assertRegex(result.out, r'(?m)^n1 +0/1 .*drained.*--time-limit')
        self.assertIn('4 nodes: 0 done, 4 failed', result.out)
        code, facts = self.run_all(variants)
        self.assertEqual(code, FAILED)
        for name in self.farm.nodes:
            self.farm.resume(name)
            self.farm.wait_state(name, 'idle')
        self.resume(facts)
        self.assert_caches(variants)

    def test_a_node_that_dies_after_the_spread(self):
        """It has all parts of the pack, and makes files of them."""
        variants = self.make(files=20)
        process, directory = self.begin(variants, '--fanout=tree', '--bwlimit=100K')
        self.wait_report(directory, 'n2', '"part"')
        self.farm.kill('n2')
        self.farm.notice('n2')
        result = support.finish(process)
        self.assert_code(result, PARTLY)
        nodes = self.nodes_of(result.json())
        self.assertEqual([nodes[name]['state'] for name in ('n1', 'n2', 'n3', 'n4')],
                         ['done', 'failed', 'done', 'done'], nodes)
        self.assertIn('no report', nodes['n2']['why'])
        self.revive('n2')
        self.resume(result.json())
        self.assert_caches(variants)

    def test_jobs_that_are_ended_by_others(self):
        """An administrator, or Slurm at a job's time limit: SIGTERM, and later SIGKILL."""
        for fanout in ('source', 'tree'):
            with self.subTest(fanout=fanout):
                self.farm.heal()
                variants = self.make(2, files=12)
                shutil.rmtree(self.path('state'), ignore_errors=True)
                process, directory = self.begin(variants, f'--fanout={fanout}', SLOW)
                self.wait_journal(directory, '"step":"warm"' if fanout == 'source' else '"step":"receive"')
                self.wait_for_bytes('n1')
                jobs = self.farm.jobs()
                self.farm.call('scancel', *jobs)
                result = support.finish(process)
                self.assert_code(result, FAILED, PARTLY)
                for node in result.json()['nodes']:
                    if node['state'] != 'done':
                        self.assertRegex(node['why'], 'its job was cancelled, or reached its time limit|no report|ended')
                self.resume(result.json())
                self.assert_caches(variants)

    def test_authentication_that_stops(self):
        """munged ends while nodes copy, and comes back: what could not be started is tried again."""
        variants = self.make(2)
        process, _ = self.begin(variants, '--at-once=1', '--fanout=source', SLOW)
        self.wait_for_bytes('n1')
        self.farm.stop_munge()
        support.wait_until(lambda: self.farm.call('sinfo', check=False).returncode, 'sinfo to fail')
        self.farm.start_munge()
        result = support.finish(process)
        self.assert_code(result, DONE, PARTLY)
        self.resume(result.json())
        self.assert_caches(variants)


if __name__ == '__main__':
    unittest.main()
