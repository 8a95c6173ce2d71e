"""preload on a real Slurm: what nodes have in the end, what is said of those that have not."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import time

import farm
import mounts
import support
import trees
from farm import DISK, OPT, SHARE, FarmTest
from support import DONE, FAILED, INTERRUPTED, LOCKED, PARTLY, USAGE, Variant, make_handle, write_manifest

farm.enter_world()

PROGRAM = f'{OPT}/bin/pkgcache'
SLOW = '--bwlimit=60K'  # a variant of make() takes some seconds then


class PreloadTest(FarmTest):
    """Shorthands."""

    def setUp(self):
        super().setUp()
        self.environment['XDG_STATE_HOME'] = self.path('state')

    def make(self, count=3, files=6, where='packages'):
        """Variants on the share, of 20 KB a file."""
        variants = []
        for number in range(count):
            root = os.path.join(SHARE, where, f'p{number}', '1.0')
            trees.make_plain_tree(root, {f'd/{name}': b'%d' % number * 20000 for name in range(files)})
            variants.append(Variant(make_handle(os.path.join(SHARE, where), f'p{number}'), root))
        return variants

    def manifest(self, variants):
        """A manifest, on the submitter's disk."""
        return write_manifest(self.path('manifest.json'), variants)

    def start_preload(self, *arguments, **options):
        """Starts the program as the submitter."""
        return self.start('preload', *arguments, program=PROGRAM, **options)

    def preload(self, *arguments, **options):
        """Runs `preload` on the farm to its end."""
        return self.run_program('preload', *arguments, program=PROGRAM, **options)

    def run_all(self, variants, *arguments, cache=None, **options):
        """A whole run, as a document: (exit code, facts)."""
        result = self.preload(self.manifest(variants), '--slurm', '--json', '--cache', cache or self.cache,
                              *arguments, **options)
        self.assertTrue(result.out, result)
        return result.code, result.json()

    def nodes_of(self, facts):
        """{node: its facts}"""
        return {node['node']: node for node in facts['nodes']}

    def resume(self, facts, *arguments):
        """Does what is missing; everything is there then."""
        result = self.preload('--resume', facts['run'], '--json', *arguments)
        self.assert_code(result, DONE)
        self.assertEqual({node['state'] for node in result.json()['nodes']}, {'done'}, result.out)
        return result.json()

    def assert_caches(self, variants, *names, cache=None):
        """The caches of these nodes (all) have the variants, whole."""
        for name in names or self.farm.nodes:
            node = self.farm.nodes[name]
            where = cache or self.cache
            found = node.run(PROGRAM, '--json', '--cache', where, 'get',
                             *[variant.argument for variant in variants])
            for variant, result in zip(variants, json.loads(found.stdout)):
                self.assert_same_tree(variant.root, node.path('disk', os.path.relpath(result['root'], DISK)))

    def wait_for_bytes(self, name):
        """Until a node has begun to copy."""
        def begun():
            return any(files for _, _, files in os.walk(self.farm.nodes[name].path('disk', 'cache'))
                       if any(len(file) < 3 for file in files))
        support.wait_until(begun, f'{name} to copy')

    def revive(self, name):
        """A node that died is switched on again, with its disk as it was."""
        self.farm.nodes[name].start()
        self.farm.wait_ready()

    def wait_run(self, count):
        """The directory of the newest of so many runs, once it is there."""
        base = self.path('state', 'pkgcache', 'runs')
        support.wait_until(lambda: os.path.isdir(base) and len(os.listdir(base)) == count, 'a run')
        return max((os.path.join(base, name) for name in os.listdir(base)), key=os.path.getmtime)

    def coordinator(self, directory):
        """The process of a run's coordinator, of its journal."""
        def find():
            with contextlib.suppress(FileNotFoundError, IndexError), \
                    open(os.path.join(directory, 'journal'), encoding='utf-8') as file:
                return re.findall(r'"event":"begin".*"pid":(\d+)', file.read())[-1]
            return None
        return int(support.wait_until(find, 'the coordinator to begin'))

    def kill_coordinator(self, directory):
        """kill -9, unless it has ended: it may have been quicker."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.coordinator(directory), signal.SIGKILL)

    def wait_journal(self, directory, text):
        """Until the journal has this text."""
        def written():
            with contextlib.suppress(FileNotFoundError), \
                    open(os.path.join(directory, 'journal'), encoding='utf-8') as file:
                return text in file.read()
            return False
        support.wait_until(written, f'{text} in the journal')


class Whole(PreloadTest):
    """What goes well."""

    def test_all_nodes(self):
        """Each node has everything; a second run finds it; the table says so."""
        variants = self.make()
        result = self.preload(self.manifest(variants), '--slurm', '--cache', self.cache)
        self.assert_code(result, DONE)
        self.assertRegex(result.out, r'(?m)^n3 +3/3 +0 +3 +0 ')
        self.assertRegex(result.out, r'4 nodes: 4 done, 0 failed; run ')
        self.assert_caches(variants)
        report = self.path('report $(touch x) "\'\n.json')
        code, facts = self.run_all(variants, '--report', report)
        self.assertEqual(code, DONE)
        self.assertEqual([node['found'] for node in facts['nodes']], [3] * 4)
        with open(report, encoding='utf-8') as file:
            self.assertEqual(json.load(file), facts)

    def test_no_text_is_a_command(self):
        """Substitutions, quotes and newlines in paths and names are what they are."""
        odd = '$(touch x) `touch x` "\'\n;touch x'
        variants = self.make(2, where=f'packages {odd}')
        variants.append(Variant(make_handle('/svr/p', "f'oo"), variants[0].root))
        cache = f'{DISK}/{odd}'
        code, _ = self.run_all(variants, '--nodes=n[1-2]', cache=cache)
        self.assertEqual(code, DONE)
        self.assert_caches(variants[:2], 'n1', 'n2', cache=cache)
        for where in ('/', SHARE, self.directory, self.node(1).path('disk'), os.getcwd()):
            self.assertFalse(os.path.exists(os.path.join(where, 'x')), where)

    def test_a_dry_run_changes_nothing(self):
        """It says what each node has."""
        variants = self.make()
        self.run_all(variants[:1], '--nodes=n1')
        code, facts = self.run_all(variants, '--dry-run', '--nodes=n1,n2')
        self.assertEqual(code, DONE)
        self.assertEqual([(node['found'], node['why']) for node in facts['nodes']],
                         [(1, '2 are missing'), (0, '3 are missing')])
        self.assertFalse(os.path.exists(self.node(2).path('disk', 'cache')))

    def test_only_so_many_at_once(self):
        """--at-once."""
        variants = self.make(2, files=4)
        process = self.start_preload(self.manifest(variants), '--slurm', '--fanout=source', '--at-once=2',
                                     '--json', '--cache', self.cache, SLOW)
        most = 0
        while process.poll() is None:
            most = max(most, len(self.farm.jobs('--states=RUNNING')))  # some may be about to end
            time.sleep(0.1)
        self.assert_code(support.finish(process), DONE)
        self.assertEqual(most, 2)


class Refusals(PreloadTest):
    """What is refused before anything is started."""

    nodes = 2

    def refuse(self, *arguments, code=USAGE, about=(), **options):
        """It is refused, and no run is made."""
        result = self.preload(*arguments, **options)
        self.assert_refused(result, code, about=about)
        self.assertFalse(os.path.exists(self.path('state')), result)

    def test_words(self):
        """Names that a launcher could take for something else."""
        manifest = self.manifest(self.make(1))
        for nodes in ('$(touch x)', '-n1', 'n1,-w', 'n1;n2', 'n1 n2', '"n1"', 'n1\nn2'):
            self.refuse(manifest, '--slurm', f'--nodes={nodes}', about=['no name of a node'])
        for partition in ('--all', '$(x)', 'a b'):
            self.refuse(manifest, '--slurm', f'--partition={partition}', about=['no name of a partition'])
        self.refuse(manifest, '--slurm', '--program=/x$(y)', about=['--program', 'shell'])
        self.refuse(manifest, '--slurm', '--cache=relative', about=['absolute'])
        self.refuse(manifest, about=['--slurm'])
        self.refuse('--slurm', about=['SOURCE'])
        self.refuse('--resume', 'x', manifest, about=['one run'])

    def test_slurm_that_is_not_to_be_had(self):
        """Not installed, no such partition or node, nobody who authenticates, no controller."""
        manifest = self.manifest(self.make(1))
        self.refuse(manifest, '--slurm', PATH='/nowhere', code=FAILED, about=['sinfo', 'install'])
        self.refuse(manifest, '--slurm', '--partition=bogus', code=FAILED, about=['partition bogus', 'sinfo'])
        self.refuse(manifest, '--slurm', '--nodes=n[1-9]', code=FAILED, about=['node n3 is not in'])
        self.farm.stop_munge()
        self.refuse(manifest, '--slurm', code=FAILED, about=['sinfo failed'])

    def test_runs_that_are_not_there(self):
        """Unknown, and no names."""
        for option in ('--resume', '--cancel', '--follow'):
            self.refuse(option, '20260101-000000-00000000', code=FAILED, about=['there is no run'])
            self.refuse(option, '$(x)', about=['no name of a run'])


class Faults(PreloadTest):
    """One node fails, the others have everything, and --resume ends at 0."""

    def fail_one(self, variants, *arguments, about=(), failed=('n2',), **options):
        """A run in which these nodes fail, for this reason; returns its facts."""
        code, facts = self.run_all(variants, *arguments, **options)
        self.assertEqual(code, PARTLY, facts)
        nodes = self.nodes_of(facts)
        self.assertEqual({name for name, node in nodes.items() if node['state'] != 'done'}, set(failed), facts)
        for name in failed:
            for word in about:
                self.assertIn(word, nodes[name]['why'], nodes[name])
        return facts

    def test_programs(self):
        """Missing on one node, older on another one."""
        variants = self.make(1)
        self.farm.install(None, 'n2')
        older = self.path('older')
        with open(older, 'w', encoding='ascii') as file:
            file.write('#!/bin/sh\necho "pkgcache: preload: unknown command" >&2\nexit 2\n')
        os.chmod(older, 0o755)
        self.farm.install(older, 'n3')
        facts = self.fail_one(variants, failed=('n2', 'n3'))
        nodes = self.nodes_of(facts)
        self.assertIn('No such file', nodes['n2']['why'])
        self.assertIn('unknown command', nodes['n3']['why'])
        self.farm.install(support.PROGRAM)
        self.resume(facts)
        self.assert_caches(variants)

    def test_disks(self):
        """A full one; no directory for the cache; none that can be written to."""
        variants = self.make(files=60)
        self.node(2).shrink('1m')
        for node in self.farm.nodes.values():
            node.run('mkdir', f'{DISK}/x')
        self.node(3).run('rmdir', f'{DISK}/x')
        self.node(4).run('mount', '-t', 'tmpfs', '-o', 'ro', 'none', f'{DISK}/x')
        self.addCleanup(self.node(4).run, 'umount', f'{DISK}/x')
        facts = self.fail_one(variants, cache=f'{DISK}/x/cache', failed=('n2', 'n3', 'n4'))
        nodes = self.nodes_of(facts)
        self.assertRegex(json.dumps(facts['failures']), 'No space left|not enough room|room')
        self.assertIn('No such file', nodes['n3']['why'])
        self.assertIn('Read-only', nodes['n4']['why'])
        self.node(2).restore()
        self.node(2).run('mkdir', '-p', f'{DISK}/x')
        self.node(3).run('mkdir', f'{DISK}/x')
        self.node(4).run('mount', '-o', 'remount,rw', f'{DISK}/x')
        self.resume(facts)

    def test_a_source_that_fails(self):
        """One variant cannot be read: it is named on each node; one is not there: named once."""
        variants = self.make()
        hidden = variants[1].root + '.hidden'
        os.rename(variants[1].root, hidden)
        code, facts = self.run_all(variants)
        self.assertEqual(code, PARTLY)
        self.assertEqual([(node['done'], node['failed']) for node in facts['nodes']], [(2, 1)] * 4)
        self.assertEqual(len(facts['failures']), 4)
        self.assertIn('p1', facts['failures'][0]['variant'])
        os.rename(hidden, variants[1].root)
        self.resume(facts)
        self.assert_caches(variants)

    def test_nodes_that_cannot_be_had(self):
        """Drained, down; taken when they come back within the time limit, else named."""
        variants = self.make(1)
        self.farm.drain('n2')
        facts = self.fail_one(variants, about=['drained', '--time-limit'])
        self.farm.resume('n2')
        self.farm.wait_state('n2', 'idle')
        self.resume(facts)
        self.farm.drain('n3')
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--time-limit=600')
        self.wait_journal(self.wait_run(2), '"attempt_end"')
        self.farm.resume('n3')
        self.assert_code(support.finish(process), DONE)

    def test_nobody_waits_for_nodes_that_cannot_be_had(self):
        """The others are done before the time limit; a look does not wait, either."""
        variants = self.make(1)
        self.farm.drain('n2')
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--time-limit=600')
        directory = self.wait_run(1)
        for name in ('n1', 'n3', 'n4'):
            support.wait_until(lambda: os.path.exists(self.farm.nodes[name].path('disk/cache/p0/1.0')), name)
        self.assertIsNone(process.poll())
        self.assert_code(self.preload('--cancel', directory), DONE)
        result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        self.assertRegex(self.nodes_of(result.json())['n2']['why'], 'cancelled.*drained')

    def test_a_controller_that_stops(self):
        """It is asked again."""
        variants = self.make(2)
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--at-once=1', '--fanout=source', SLOW)
        self.wait_for_bytes('n1')
        self.farm.stop_controller()
        time.sleep(8)
        self.farm.start_controller()
        self.assert_code(support.finish(process), DONE)

    def test_a_report_that_cannot_be_written(self):
        """It is an error in the end."""
        directory = self.path('reports')
        os.mkdir(directory)
        process = self.start_preload(self.manifest(self.make(2)), '--slurm', '--cache', self.cache, SLOW,
                                     f'--report={directory}/x.json', '--nodes=n1')
        self.wait_for_bytes('n1')
        os.rmdir(directory)
        result = support.finish(process)
        self.assert_refused(result, FAILED, about=['report', 'No such file'])
        self.assertIn('1 done', result.out)

    def test_a_node_that_dies_before(self):
        """It is down when the run begins, or has died and nobody knows it yet."""
        variants = self.make(1)
        self.farm.kill('n2')
        facts = self.fail_one(variants, '--fanout=source')
        self.revive('n2')
        self.resume(facts)

    def test_a_node_that_dies_meanwhile(self):
        """srun ends with 0 then: only reports count."""
        variants = self.make()
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache, SLOW)
        self.wait_for_bytes('n2')
        self.farm.kill('n2')
        self.farm.notice('n2')
        result = support.finish(process)
        self.assert_code(result, PARTLY)
        nodes = self.nodes_of(result.json())
        self.assertEqual([nodes[name]['state'] for name in ('n1', 'n2', 'n3')], ['done', 'failed', 'done'])
        self.assertIn('no report', nodes['n2']['why'])
        self.revive('n2')
        self.resume(result.json())

    def test_a_time_limit(self):
        """What runs is ended, what is done stays."""
        variants = self.make(files=15)
        code, facts = self.run_all(variants, SLOW, '--time-limit=4')
        self.assertIn(code, (FAILED, PARTLY))
        for node in facts['nodes']:
            self.assertRegex(node['why'], 'time limit')
        support.wait_until(lambda: not self.farm.jobs(), 'the jobs to end')
        self.resume(facts, '--time-limit=3600')
        self.assert_caches(variants)


class Packs(PreloadTest):
    """Packs that are cast, or read from a share."""

    def test_a_tree(self):
        """The source is read once; nothing of the pack is left on a node."""
        variants = self.make()
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, DONE)
        self.assertEqual(facts['fanout']['chosen'], 'tree')
        self.assertEqual([(node['created'], node['source_bytes']) for node in facts['nodes']], [(3, 0)] * 4)
        self.assert_caches(variants)
        for node in self.farm.nodes.values():
            self.assertEqual(os.listdir(node.path('disk/cache/.sys/staging')), [])

    def test_the_source_is_read_once(self):
        """Each file of it is opened once for four nodes."""
        variants = self.make(5)
        source = self.enter(mounts.slow_mount(SHARE))
        seen = [Variant(variant.handle, os.path.join(source.path, os.path.relpath(variant.root, SHARE)))
                for variant in variants]
        code, _ = self.run_all(seen, '--fanout=tree')
        self.assertEqual(code, DONE)
        self.assert_caches(variants)
        source.close()
        opens = [count for count, _ in source.counts().values()]
        self.assertEqual(opens, [1] * 30)

    def test_several_parts(self):
        """A pack of more than one."""
        variant = self.make(1, files=0)[0]
        with open(os.path.join(variant.root, 'large'), 'wb') as file:
            file.write(os.urandom(70 << 20))
        code, facts = self.run_all([variant])
        self.assertEqual((code, facts['fanout']['chosen']), (DONE, 'tree'))
        self.assert_caches([variant])

    def test_a_share(self):
        """Each node reads the pack from the run's directory; a node that does not see it is named."""
        variants = self.make()
        code, facts = self.run_all(variants, '--fanout=pack', f'--run-dir={SHARE}/runs')
        self.assertEqual(code, DONE)
        self.assertEqual([(node['created'], node['source_bytes']) for node in facts['nodes']], [(3, 0)] * 4)
        self.assert_caches(variants)
        self.farm.heal()
        variants = self.make(1)
        code, facts = self.run_all(variants, '--fanout=pack', f'--run-dir={self.directory}/runs')
        self.assertEqual(code, FAILED)
        for node in facts['nodes']:
            self.assertIn('does not see the run', node['why'])
        self.assertNotIn('pack', [phase['name'] for phase in facts['phases']])

    def test_a_level(self):
        """The pack is compressed as it is asked for."""
        variant = self.make(1, files=0)[0]
        chance = random.Random(1)
        words = [bytes(chance.choices(b'abcdefghij', k=chance.randint(2, 9))) for _ in range(2000)]
        with open(os.path.join(variant.root, 'words'), 'wb') as file:
            file.write(b' '.join(chance.choices(words, k=300_000)))
        packed = {}
        for level in (1, 19):
            code, facts = self.run_all([variant], '--fanout=tree', f'--level={level}', '--nodes=n1',
                                       cache=f'{DISK}/cache{level}')
            self.assertEqual(code, DONE, facts)
            packed[level] = os.path.getsize(self.path('state', 'pkgcache', 'runs', facts['run'], 'pack-1.pack'))
        self.assertLess(packed[19] * 1.05, packed[1])
        self.assert_refused(self.preload(self.manifest([variant]), '--slurm', '--level=20'), USAGE, about=['--level'])

    def leave_run(self, number, year=2020, **measured):
        """What an earlier run has shown."""
        directory = self.path('state', 'pkgcache', 'runs', f'{year}0101-00000{number}-00000000')
        os.makedirs(directory, mode=0o700)
        farm.write(f'{directory}/measured.json', json.dumps({'launcher': 'slurm', 'nodes': 2, **measured}))
        return directory

    def test_auto_says_why(self):
        """Few nodes, or nodes that lack little, read the source; else one does for all."""
        variants = self.make(1)
        _, facts = self.run_all(variants, '--nodes=n1')
        self.assertEqual((facts['fanout']['chosen'], facts['fanout']['why'][:19]), ('source', '1 nodes lack someth'))
        _, facts = self.run_all(variants)
        self.assertEqual(facts['fanout']['chosen'], 'source')
        self.assertIn('3 nodes lack 1 variants (0.1 MB in 6 files): too little', facts['fanout']['why'])
        with open(os.path.join(variants[0].root, 'large'), 'wb') as file:
            file.write(os.urandom(8 << 20))
        _, facts = self.run_all(variants, cache=f'{DISK}/cache1')
        self.assertEqual(facts['fanout']['chosen'], 'tree')
        self.assertIn('4 nodes lack 1 variants (8.5 MB in 7 files)', facts['fanout']['why'])
        with open(f'{self.path("state", "pkgcache", "runs")}/{facts["run"]}/measured.json', encoding='utf-8') as file:
            measured = json.load(file)
        self.assertEqual((measured['fanout'], measured['nodes'], measured['source_bytes']), ('tree', 4, 0))
        self.assertEqual(measured['packed_bytes'] * 4, measured['pack_bytes'])

    def test_auto_goes_by_earlier_runs(self):
        """Which way was faster; the newest run counts, and no run of others, of other partitions, or of nonsense."""
        variants = self.make(1)
        with open(os.path.join(variants[0].root, 'large'), 'wb') as file:
            file.write(os.urandom(20 << 20))
        tree = {'fanout': 'tree', 'pack_bytes': 20 << 20, 'packed_bytes': 10 << 20, 'pack_ms': 1000, 'spread_ms': 1000}
        source = {'fanout': 'source', 'source_bytes': 100 << 20, 'warm_ms': 1000}
        self.leave_run(1, **{**source, 'source_bytes': 1 << 50})
        self.leave_run(2, **source)
        self.leave_run(3, **tree)
        self.leave_run(4, **{**source, 'source_bytes': 1 << 50, 'partition': 'other'})
        self.leave_run(5, **{**source, 'source_bytes': 1 << 50, 'launcher': 'pdsh'})
        stranger = self.leave_run(6, **{**source, 'source_bytes': 1 << 50})
        os.chmod(stranger, 0o777)
        self.leave_run(7, fanout=[], nodes='many', source_bytes=-1, warm_ms=10 ** 400)
        farm.write(f'{self.leave_run(8)}/measured.json', '[' * 100000)
        _, facts = self.run_all(variants)
        self.assertEqual(facts['fanout']['chosen'], 'source')
        self.assertRegex(facts['fanout']['why'], r'by what earlier runs took: source 0\.8 s, tree 4\.\d s')
        self.leave_run(9, 2099, **{**source, 'warm_ms': 10000})
        _, facts = self.run_all(variants, cache=f'{DISK}/cache1')
        self.assertEqual(facts['fanout']['chosen'], 'tree', facts['fanout'])
        self.assertRegex(facts['fanout']['why'], r'source 8\.\d s, tree 4\.\d s')

    def test_no_pack(self):
        """A variant that cannot be packed does not keep the others from the nodes."""
        variants = self.make()
        os.rename(variants[1].root, variants[1].root + '.hidden')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, PARTLY)
        self.assertEqual(facts['fanout']['chosen'], 'source')
        self.assertIn('no pack was made', facts['fanout']['why'])
        self.assertEqual([node['done'] for node in facts['nodes']], [2] * 4)

    def test_what_is_evicted_meanwhile(self):
        """It comes from the source: a few variants of each node, the others are named."""
        variants = self.make(6)
        self.run_all(variants[:4], '--nodes=n1', '--fanout=source')
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--fanout=tree', SLOW)
        self.wait_journal(self.wait_run(2), '"name":"pack"')
        for number in range(2):
            self.node(1).run(PROGRAM, '--cache', self.cache, 'remove', variants[number].argument)
        result = support.finish(process)
        self.assert_code(result, PARTLY, DONE)

    def test_a_node_without_room(self):
        """It is left out before anything is cast to it."""
        variants = self.make(files=60)
        self.node(2).shrink('2m')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, PARTLY)
        nodes = self.nodes_of(facts)
        self.assertEqual([nodes[name]['state'] for name in ('n1', 'n2', 'n3', 'n4')],
                         ['done', 'failed', 'done', 'done'], facts)
        self.assertIn('not enough room', nodes['n2']['why'])
        self.node(2).restore()
        self.resume(facts)
        self.assert_caches(variants)

    def test_killed_coordinators(self):
        """While it packs, casts, and after that."""
        for phase in ('"name":"pack"', '"name":"spread"', '"step":"receive"'):
            with self.subTest(phase):
                shutil.rmtree(self.path('state'), ignore_errors=True)
                self.farm.heal()
                variants = self.make(2, files=3)
                process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                             '--fanout=tree')
                directory = self.wait_run(1)
                self.wait_journal(directory, phase)
                self.kill_coordinator(directory)
                support.finish(process)
                self.resume({'run': os.path.basename(directory)})
                self.assert_caches(variants)


class Interruptions(PreloadTest):
    """Whoever watches goes away; the coordinator is killed."""

    nodes = 2

    def begin(self, variants, *arguments):
        """Starts a run; returns the process, and the run's directory."""
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     *arguments)
        return process, self.wait_run(1)

    def test_ctrl_c(self):
        """The run goes on, can be followed, and is under way for --resume."""
        variants = self.make(2)
        process, directory = self.begin(variants, SLOW)
        self.wait_for_bytes('n1')
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        for word in ('--follow', '--cancel', 'goes on'):
            self.assertIn(word, result.err)
        name = os.path.basename(directory)
        self.assert_refused(self.preload('--resume', name), LOCKED, about=['under way'])
        result = self.preload('--follow', name, '--json')
        self.assert_code(result, DONE)
        self.assert_caches(variants)

    def test_cancel(self):
        """Jobs end; what is left is done by --resume."""
        variants = self.make(2, files=60)
        _, directory = self.begin(variants, SLOW)
        self.wait_for_bytes('n1')
        self.assert_code(self.preload('--cancel', directory), DONE)
        support.wait_until(lambda: not self.farm.jobs(), 'the jobs to end')
        result = self.preload('--follow', directory, '--json')
        self.assertEqual(result.json()['state'], 'cancelled')

    def test_detached(self):
        """The name of the run, and no more."""
        variants = self.make(1)
        result = self.preload(self.manifest(variants), '--slurm', '--detach', '--cache', self.cache)
        self.assert_code(result, DONE)
        self.assertRegex(result.out, r'^\d{8}-\d{6}-[0-9a-f]{8}\n$')
        self.assert_code(self.preload('--follow', result.out.strip()), DONE)
        self.assert_caches(variants)

    def test_killed_coordinators(self):
        """In each phase: --resume ends with 0, and takes over what runs."""
        for phase in ('"event":"begin"', '"name":"look"', '"step":"look"', '"event":"fanout"',
                      '"step":"warm"', '"event":"attempt_end","number":3'):
            with self.subTest(phase):
                shutil.rmtree(self.path('state'), ignore_errors=True)
                self.farm.heal()
                variants = self.make(2, files=3)
                process, directory = self.begin(variants, '--bwlimit=60K')
                self.wait_journal(directory, phase)
                self.kill_coordinator(directory)
                result = support.finish(process)
                if result.code != DONE:
                    self.assert_code(result, FAILED)
                    self.assertIn('--resume', result.err)
                self.resume({'run': os.path.basename(directory)})
                self.assert_caches(variants)
