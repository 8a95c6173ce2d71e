"""Casts of packs to nodes that go wrong: what is dropped, what begins anew, and what is kept."""
import glob
import os
import re
import shutil
import unittest

import farm
import support
from support import DONE, PARTLY
from test_preload import PreloadTest

farm.enter_world()

PART_BYTES = 64 << 20


class Casts(PreloadTest):
    """Something else in place of sbcast."""

    def replace_sbcast(self, script):
        """Puts a script in place of sbcast; $real is the right one, $calls how often it was called."""
        real = shutil.which('sbcast')
        count = self.path('calls')
        path = farm.write(self.path('bin', 'sbcast'),
                          f'#!/bin/sh\nreal={real}\necho >>{count}\ncalls=$(wc -l <{count})\n{script}\n', 0o755)
        self.environment['PATH'] = os.path.dirname(path) + ':' + self.environment['PATH']

    def test_a_cast_that_names_a_bad_node(self):
        """That node fails, the others have everything."""
        variants = self.make()
        self.replace_sbcast('[ $calls = 1 ] || exec $real "$@"\n'
                            'echo "sbcast: error: REQUEST_FILE_BCAST(n2): No space left on device" >&2; exit 28')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, PARTLY)
        nodes = self.nodes_of(facts)
        self.assertEqual({name for name, node in nodes.items() if node['state'] == 'done'}, {'n1', 'n3', 'n4'})
        self.assertIn('No space left', nodes['n2']['why'])
        self.resume(facts)
        self.assert_caches(variants)

    def test_casts_that_fail_and_do_not_say_for_whom(self):
        """Each node begins anew, in the end by itself."""
        variants = self.make()
        self.replace_sbcast('[ $calls -gt 2 ] && exec $real "$@"\n'
                            'echo "sbcast: error: Unspecified error" >&2; exit 255')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, DONE, facts)
        self.assertEqual([node['attempts'] for node in facts['nodes']], [3] * 4)
        self.assert_caches(variants)

    def test_a_cast_that_exchanges_bytes(self):
        """Nodes notice, and the part is cast again under another name."""
        variants = self.make()
        self.replace_sbcast('[ $calls = 1 ] || exec $real "$@"\n'
                            'for last; do :; done; eval "file=\\${$(($# - 1))}"\n'
                            f'tr "\\000-\\376" "\\001-\\377" <"$file" >{self.path("other")}\n'
                            f'exec $real "$1" -- {self.path("other")} "$last"')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, DONE, facts)
        self.assert_caches(variants)

    def test_a_node_that_dies_while_the_pack_is_cast(self):
        """The others have everything."""
        variants = self.make()
        self.replace_sbcast(f'[ $calls = 1 ] && sleep 3\nexec $real "$@"')
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--fanout=tree')
        directory = self.wait_run(1)
        support.wait_until(lambda: glob.glob(f'{directory}/cast-*.out'), 'a cast')
        self.farm.kill('n2')
        self.farm.notice('n2')
        result = support.finish(process)
        self.assert_code(result, PARTLY)
        nodes = self.nodes_of(result.json())
        self.assertEqual({name for name, node in nodes.items() if node['state'] == 'done'}, {'n1', 'n3', 'n4'},
                         result)
        self.revive('n2')
        self.resume(result.json())
        self.assert_caches(variants)

    def make_large(self):
        """Variants whose pack has two parts."""
        variants = self.make(1, files=3)
        with open(os.path.join(variants[0].root, 'large'), 'wb') as file:
            file.write(os.urandom(PART_BYTES + (1 << 20)))
        return variants

    def cast_parts(self):
        """The parts that were cast, in order."""
        with open(self.path('parts'), encoding='ascii') as file:
            return re.findall(r'/part-(\d+)\.', file.read())

    def kept(self, name):
        """Bytes of packs that a node has kept."""
        return [os.path.getsize(path) for path in
                glob.glob(self.farm.nodes[name].path('disk/cache/.sys/staging/preload-*/pack'))]

    def test_good_nodes_keep_what_they_have(self):
        """Of two parts the second fails, for one node: only that is cast again, also to that node later."""
        variants = self.make_large()
        self.replace_sbcast(f'for last; do :; done; echo "$last" >>{self.path("parts")}\n'
                            '[ $calls = 2 ] || exec $real "$@"\n'
                            'echo "sbcast: error: REQUEST_FILE_BCAST(n2): No space left on device" >&2; exit 28')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertEqual(code, PARTLY, facts)
        nodes = self.nodes_of(facts)
        self.assertEqual({name for name, node in nodes.items() if node['state'] == 'done'}, {'n1', 'n3', 'n4'}, facts)
        self.assertEqual(self.cast_parts(), ['0', '1', '1'])
        self.assertEqual(self.kept('n1'), [])
        self.assertEqual(self.kept('n2'), [PART_BYTES])
        self.resume(facts)
        self.assertEqual(self.cast_parts(), ['0', '1', '1', '1'])
        self.assert_caches(variants)
        for node in self.farm.nodes.values():
            self.assertEqual(os.listdir(node.path('disk/cache/.sys/staging')), [])

    def test_what_is_kept_is_checked(self):
        """Other bytes, a link and a pipe in place of what was kept: all is cast anew."""
        variants = self.make_large()
        self.replace_sbcast(f'for last; do :; done; echo "$last" >>{self.path("parts")}\n'
                            '[ $calls = 2 ] || exec $real "$@"\n'
                            'echo "sbcast: error: REQUEST_FILE_BCAST(n1,n2,n3,n4): No space left" >&2; exit 28')
        code, facts = self.run_all(variants, '--fanout=tree')
        self.assertNotEqual(code, DONE, facts)
        for name in self.farm.nodes:
            self.assertEqual(self.kept(name), [PART_BYTES])
        packs = [glob.glob(node.path('disk/cache/.sys/staging/preload-*/pack'))[0] for node in self.farm.nodes.values()]
        with open(packs[0], 'r+b') as file:
            file.seek(PART_BYTES - 1)
            byte = file.read(1)
            file.seek(PART_BYTES - 1)
            file.write(bytes([byte[0] ^ 1]))
        os.unlink(packs[1])
        os.symlink('/etc/passwd', packs[1])
        os.unlink(packs[2])
        os.mkfifo(packs[2])
        os.truncate(packs[3], 1000)
        self.resume(facts)
        self.assertEqual(self.cast_parts(), ['0', '1', '0', '1'])
        self.assert_caches(variants)

    def test_a_coordinator_that_is_killed_while_it_casts(self):
        """The next one casts what is missing. (One node: of several, some may be taken later, by a cast of their own.)"""
        variants = self.make_large()
        self.replace_sbcast(f'for last; do :; done; echo "$last" >>{self.path("parts")}\n'
                            '[ $calls = 2 ] && exec sleep 3600\nexec $real "$@"')
        process = self.start_preload(self.manifest(variants), '--slurm', '--json', '--cache', self.cache,
                                     '--fanout=tree', '--nodes=n1')
        directory = self.wait_run(1)
        support.wait_until(lambda: os.path.exists(self.path('parts')) and len(self.cast_parts()) == 2, 'a second cast')
        self.kill_coordinator(directory)
        support.finish(process)
        self.resume({'run': directory})
        self.assertEqual(self.cast_parts(), ['0', '1', '1'])
        self.assert_caches(variants, 'n1')


if __name__ == '__main__':
    unittest.main()
