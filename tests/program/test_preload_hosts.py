"""preload without Slurm: clush, pdsh and GNU parallel, over real ssh."""
import os
import unittest

import farm
import trees
from farm import OPT, SHARE, FarmTest
from support import DONE, FAILED, PARTLY, USAGE, Variant, make_handle, write_manifest

farm.enter_world()

PROGRAM = f'{OPT}/bin/pkgcache'
LAUNCHERS = ['clush', 'pdsh', 'parallel']
ODD = '$(touch made) `touch made` \'"; touch made #{} %h'
NO_NAMES = ['-oProxyCommand=touch made', '$(touch made)', 'n1;touch made', "n1'", 'n1 n2', 'n[1-2]', 'n1,n2', '@all',
            '^/etc/passwd', 'root@n1', 'n1\0', 'n' * 256, '\u00e9']


class Hosts(FarmTest):
    """What the hosts have in the end, and what is said of those that have not."""

    def setUp(self):
        super().setUp()
        self.farm.start_ssh()
        self.environment['XDG_STATE_HOME'] = self.path('state')

    def make(self, where='packages'):
        """Variants on the share, and a manifest of them."""
        variants = []
        for number in range(3):
            root = os.path.join(SHARE, where, f'p{number}', '1.0')
            trees.make_plain_tree(root, {f'd/{name}': b'%d' % number * 2000 for name in range(5)})
            variants.append(Variant(make_handle(os.path.join(SHARE, where), f'p{number}'), root))
        return variants, write_manifest(self.path('manifest.json'), variants)

    def hosts(self, *names):
        """A file of hosts."""
        path = self.path('hosts')
        with open(path, 'wb') as file:
            file.write(b'# a comment\n\n' + b''.join(os.fsencode(name) + b'\n' for name in names))
        return path

    def preload(self, launcher, manifest, *arguments, hosts=('n1', 'n2', 'n3', 'n4')):
        """Runs `preload`; returns its result."""
        if not farm.find(launcher):
            self.skipTest(f'{launcher} is not installed')
        return self.run_program('preload', manifest, '--hosts', self.hosts(*hosts), '--with', launcher, '--cache',
                                self.cache, '--json', *arguments, program=PROGRAM)

    def states(self, result):
        """{host: (state, done)}"""
        return {node['node']: (node['state'], node['done']) for node in result.json()['nodes']}

    def assert_whole(self, name, variants):
        """A node's cache is sound and has the variants."""
        node = self.farm.nodes[name]
        node.run(PROGRAM, '--cache', self.cache, 'verify')
        listed = node.run(PROGRAM, '--cache', self.cache, '--json', 'list').stdout
        self.assertEqual(listed.count('"cached"'), len(variants), listed)

    def test_each_launcher_brings_everything_to_all_hosts(self):
        variants, manifest = self.make()
        for number, launcher in enumerate(LAUNCHERS):
            with self.subTest(launcher=launcher):
                self.cache = f'{farm.DISK}/cache{number}'
                result = self.preload(launcher, manifest, '--at-once', '2')
                self.assert_code(result, DONE)
                self.assertEqual(self.states(result), {f'n{i}': ('done', 3) for i in range(1, 5)})
                for name in self.farm.nodes:
                    self.assert_whole(name, variants)
                again = self.preload(launcher, manifest).json()
                self.assertEqual({node['found'] for node in again['nodes']}, {3})
                self.assertEqual((again['launcher'], again['exit']), (launcher, DONE))

    def test_a_pack_on_a_share(self):
        variants, manifest = self.make()
        result = self.preload('clush', manifest, '--fanout', 'pack', '--run-dir', f'{SHARE}/runs')
        self.assert_code(result, DONE)
        self.assertEqual(self.states(result), {f'n{i}': ('done', 3) for i in range(1, 5)})
        self.assertEqual({node['source_bytes'] for node in result.json()['nodes']}, {0})
        self.assert_whole('n2', variants)

    def test_a_host_that_is_off_is_named_and_a_resume_ends_well(self):
        _, manifest = self.make()
        for number, launcher in enumerate(LAUNCHERS):
            with self.subTest(launcher=launcher):
                self.cache = f'{farm.DISK}/cache{number}'
                self.farm.kill('n3')
                result = self.preload(launcher, manifest)
                self.assert_code(result, PARTLY)
                self.assertEqual(self.states(result), {'n1': ('done', 3), 'n2': ('done', 3), 'n3': ('failed', 0),
                                                       'n4': ('done', 3)})
                why = {node['node']: node['why'] for node in result.json()['nodes']}['n3']
                self.assertRegex(why, 'no report: .*(refused|closed|reset)')
                self.farm.heal_nodes()
                self.farm.start_ssh()
                resumed = self.run_program('preload', '--resume', result.json()['run'], '--json', program=PROGRAM)
                self.assert_code(resumed, DONE)

    def test_a_program_that_is_missing_on_one_host(self):
        _, manifest = self.make()
        self.farm.install(None, 'n2')
        for number, launcher in enumerate(LAUNCHERS):
            with self.subTest(launcher=launcher):
                self.cache = f'{farm.DISK}/cache{number}'
                result = self.preload(launcher, manifest)
                self.assert_code(result, PARTLY)
                self.assertEqual(self.states(result)['n2'], ('failed', 0))
                why = {node['node']: node['why'] for node in result.json()['nodes']}['n2']
                self.assertRegex(why, 'not found|No such file')

    def test_names_keep_their_domains(self):
        _, manifest = self.make()
        for launcher in LAUNCHERS:
            with self.subTest(launcher=launcher):
                result = self.preload(launcher, manifest, hosts=['n1.farm.example', 'n2'])
                self.assertEqual(self.states(result), {'n1.farm.example': ('done', 3), 'n2': ('done', 3)})

    def test_what_is_no_name_reaches_no_launcher(self):
        _, manifest = self.make()
        for name in NO_NAMES:
            with self.subTest(name=name):
                result = self.preload('clush', manifest, hosts=['n1', name])
                self.assert_code(result, USAGE)
                self.assertIn('hosts, line 4: ', result.err)
                self.assertFalse(os.path.exists(self.path('state')), 'a run was made')
        nobody = self.preload('pdsh', manifest, hosts=[])
        self.assert_code(nobody, FAILED)
        self.assertIn('names no hosts', nobody.err)

    def test_no_text_is_a_command(self):
        variants, manifest = self.make(ODD)
        for number, launcher in enumerate(LAUNCHERS):
            with self.subTest(launcher=launcher):
                self.cache = f'{farm.DISK}/cache{number} {ODD.replace("/", "")}'
                result = self.preload(launcher, manifest, '--run-dir', self.path(f'runs {ODD}'), '--report',
                                      self.path(f'report {ODD}.json'))
                self.assert_code(result, DONE)
                self.assert_whole('n4', variants)
                self.assertTrue(os.path.exists(self.path(f'report {ODD}.json')))
        found = [os.path.join(where, 'made') for where in (os.getcwd(), self.directory, '/', '/root', SHARE)
                 if os.path.exists(os.path.join(where, 'made'))]
        found += [name for name, node in self.farm.nodes.items()
                  if node.run('sh', '-c', 'ls /made /root/made 2>/dev/null', check=False).stdout]
        self.assertEqual(found, [])

    def test_what_does_not_go_together_is_refused(self):
        _, manifest = self.make()
        hosts = self.hosts('n1')
        for arguments, words in [(['--hosts', hosts], 'go together'), (['--with', 'pdsh'], 'say --slurm or --hosts'),
                                 (['--hosts', hosts, '--with', 'pdsh', '--slurm'], 'Slurm'),
                                 (['--hosts', hosts, '--with', 'rsh'], 'clush'),
                                 (['--hosts', hosts + '-none', '--with', 'pdsh'], 'No such file')]:
            result = self.run_program('preload', manifest, *arguments, program=PROGRAM)
            self.assert_refused(result, USAGE, FAILED, about=[words])
        result = self.run_program('preload', manifest, '--hosts', hosts, '--with', 'pdsh', program=PROGRAM, PATH='/none')
        self.assert_refused(result, FAILED, about=['pdsh is not in PATH'])


if __name__ == '__main__':
    unittest.main()
