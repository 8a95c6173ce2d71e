"""A preload of four nodes with real trees: all caches are whole, and the file server is read once."""
import glob
import os
import shutil
import tempfile
import unittest

import farm
from farm import MNT, OPT, SHARE, FarmTest
from mounts import slow_mount
from support import DONE, SCALE, Variant, make_handle, write_manifest

farm.enter_world()

PROGRAM = f'{OPT}/bin/pkgcache'
VARIANTS, FILES = 30, int(10000 * min(1, SCALE))
TREES = sorted(glob.glob('/usr/lib/python3*/*/') + glob.glob('/usr/lib/*/') + glob.glob('/usr/include/*/') +
               glob.glob('/usr/share/*/'))
LARGEST_FILES, LARGEST_BYTES = 1500, 60 << 20


def measure_tree(top):
    """(files, bytes) of a tree; None when it is too small or too large for a variant."""
    files = total = 0
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path) and os.path.isfile(path):
                files, total = files + 1, total + os.path.getsize(path)
        if files > LARGEST_FILES or total > LARGEST_BYTES:
            return None
    return (files, total) if files > 20 else None


class Shown(FarmTest):
    """What an administrator counts on."""

    def make(self):
        """Thirty variants on the share: real trees of this machine. Returns them, their files, their bytes."""
        sizes = {top: size for top in TREES if (size := measure_tree(top))}
        chosen = sorted(sizes, key=lambda top: -sizes[top][0])[:VARIANTS]
        if len(chosen) < VARIANTS or sum(sizes[top][0] for top in chosen) < FILES:
            self.skipTest('this machine has too few trees')
        variants = []
        for number, top in enumerate(chosen):
            root = os.path.join(SHARE, 'packages', f'p{number}', '1.0')
            shutil.copytree(top, root, symlinks=True)
            variants.append(Variant(make_handle(os.path.join(SHARE, 'packages'), f'p{number}'), root))
        return variants, sum(sizes[top][0] for top in chosen), sum(sizes[top][1] for top in chosen)

    def test_the_tree_reads_the_source_once(self):
        variants, files, total = self.make()
        self.addCleanup(setattr, tempfile, 'tempdir', tempfile.tempdir)
        with tempfile.TemporaryDirectory(dir=self.directory) as state:
            tempfile.tempdir = MNT  # a mount there is seen by the nodes
            with slow_mount(f'{SHARE}/packages') as mount:
                tempfile.tempdir = None
                seen = [Variant(variant.handle, variant.root.replace(f'{SHARE}/packages', mount.path, 1))
                        for variant in variants]
                result = self.run_program('preload', write_manifest(self.path('manifest.json'), seen), '--slurm',
                                          '--cache', self.cache, '--fanout', 'tree', '--json', program=PROGRAM,
                                          XDG_STATE_HOME=state)
                with open(f'/proc/{mount._process.pid}/io', encoding='ascii') as file:
                    read = int(file.readline().split()[1])
                mount.close()
                counts = mount.counts()
        self.assert_code(result, DONE)
        facts = result.json()
        self.assertEqual(facts['fanout']['chosen'], 'tree', facts['fanout'])
        seconds = facts['end'] - facts['begin']
        print(f'{VARIANTS} variants, {files} files, {total} bytes; the source: {len(counts)} files opened, {read} bytes '
              f'read with requests ({read / total:.3f}); {seconds:.1f} s; phases {facts["phases"]}')
        twice = {path: opens for path, (opens, _) in counts.items() if opens != 1}
        self.assertEqual(twice, {})
        self.assertLessEqual(read, 1.05 * total)
        for node in self.farm.nodes.values():
            node.run(PROGRAM, '--cache', self.cache, 'verify')
        states = {node['node']: (node['state'], node['done'], node['source_bytes']) for node in facts['nodes']}
        self.assertEqual(states, {name: ('done', VARIANTS, 0) for name in self.farm.nodes})


if __name__ == '__main__':
    unittest.main()
