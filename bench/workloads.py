"""The workloads: which trees are copied, from where to where, with which caches.

A workload describes; a fixture is one that is mounted, made, and ready to be copied from.
"""
import contextlib
import os
import subprocess
import tempfile
import unittest
from typing import NamedTuple

import machine
import mounts
import sourcetree
import trees
from sourcetree import Tree
from support import SLOWFS, at_the_end, temporary_name

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SEED = 20260101
DISK = 'disk'
SAME = 'the same'
HOT, WITHOUT_NAMES, COLD = 'hot', 'without names', 'cold'
# What is forgotten before each run: nothing; names and attributes; contents too.
DROPPED = {HOT: '', WITHOUT_NAMES: '2', COLD: '3'}
# Smaller ones are laid out in other ways; XFS sets room aside for what is not written yet.
SPARE = {'ext4': GIB, 'xfs': 4 * GIB, 'btrfs': 2 * GIB}
RACE, SWEEP, GROWTH, REMOVAL = 'race', 'sweep', 'growth', 'removal'


class Workload(NamedTuple):
    """One workload.

    kind          RACE: all contestants; SWEEP: pkgcache by operations in flight; GROWTH: pkgcache by
                  the size of the tree; REMOVAL: who removes it
    trees         the tree (GROWTH: several), and in `quick_trees` for a quick run: empty if it is
                  no part of one
    source        a kind of file system, or DISK
    target        a kind of file system, or SAME
    caches        HOT, WITHOUT_NAMES or COLD
    slow_options  of slowfs, if the source is seen through it
    rounds        how often each contestant runs; in a quick run, quick_rounds
    reflink       contestants are told to share blocks
    """
    name: str
    what: str
    trees: tuple
    quick_trees: tuple
    source: str
    target: str
    caches: str = HOT
    kind: str = RACE
    slow_options: tuple = ()
    rounds: int = 9
    quick_rounds: int = 3
    reflink: bool = False

    def trees_for(self, options):
        """The trees of this run; a quick one that names a workload gets it, if need be whole."""
        if options.quick and self.quick_trees:
            return self.quick_trees
        if self.kind == GROWTH and not options.full:
            return self.trees[:-1]
        return self.trees

    def rounds_for(self, options):
        """Rounds of this run."""
        return options.rounds or (self.quick_rounds if options.quick else self.rounds)


def small(files):
    """Files of 8 KB."""
    return Tree(SEED, files, 8 * KIB)


def mixed(files):
    """Sizes as packages have them: most are small, most bytes are in large ones."""
    return Tree(SEED + 1, files, 57 * KIB, sigma=1.5)


def large(files, mib):
    """A few large files."""
    return Tree(SEED + 2, files, mib * MIB)


def tiny(files):
    """Files of 1 KB, so that a million of them fit into memory."""
    return Tree(SEED + 3, files, KIB)


# Seen through slowfs, each answer takes so long; CAPPED: and all reads share so many bytes a second.
CONSTANT = ('--delay-ms', '1')
JITTER = ('--delay-ms', '0', '--jitter-ms', '2')
CAPPED = ('--delay-ms', '1', '--bandwidth', str(100 * MIB))


def from_slow(name, what, tree, quick_trees, slow_options, **others):
    """A workload whose source is slow."""
    return Workload(name, what, (tree,), quick_trees, 'ext4', 'ext4', WITHOUT_NAMES,
                    slow_options=slow_options, rounds=3, **others)


WORKLOADS = (
    Workload('small', 'files of 8 KB', (small(20000),), (small(3000),), 'ext4', 'ext4'),
    Workload('mixed', 'log-normal sizes', (mixed(8000),), (mixed(2000),), 'ext4', 'xfs'),
    Workload('reflink', 'log-normal sizes, blocks are shared', (mixed(8000),), (mixed(2000),), 'xfs',
             SAME, reflink=True),
    Workload('large', 'large files', (large(4, 256),), (large(4, 64),), 'ext4', 'ext4', rounds=7),
    from_slow('slow', 'files of 8 KB, each answer of the source takes 1 ms', small(3000),
              (small(600),), CONSTANT, quick_rounds=2),
    from_slow('slow-jitter', 'files of 8 KB, each answer of the source takes 0 to 2 ms',
              small(3000), (), JITTER),
    from_slow('slow-bandwidth', 'log-normal sizes, each answer of the source takes 1 ms, and all '
              'reads share 100 MB/s', mixed(3000), (), CAPPED),
    from_slow('slow-large', 'a large file, each answer of the source takes 1 ms', large(1, 256),
              (large(1, 64),), CONSTANT, quick_rounds=2),
    Workload('cold', 'log-normal sizes, read from the disk', (mixed(8000),), (mixed(2000),), DISK,
             'xfs', COLD, rounds=5),
    Workload('btrfs', 'files of 8 KB', (small(20000),), (), 'btrfs', 'btrfs', rounds=5),
    Workload('removal', 'files of 8 KB, copied there and removed again', (small(20000),),
             (small(3000),), 'ext4', 'ext4', kind=REMOVAL),
    Workload('growth', 'files of 1 KB, by how many they are',
             (tiny(2000), tiny(20000), tiny(200000), tiny(1000000)), (tiny(2000), tiny(20000)),
             'xfs', 'xfs', kind=GROWTH, rounds=5),
    Workload('sweep-small', 'files of 8 KB', (small(20000),), (), 'ext4', 'ext4', kind=SWEEP,
             rounds=3),
    from_slow('sweep-slow', 'files of 8 KB, each answer of the source takes 1 ms', small(3000),
              (small(600),), CONSTANT, kind=SWEEP, quick_rounds=1),
    Workload('sweep-large', 'large files', (large(4, 256),), (), 'ext4', 'ext4', kind=SWEEP,
             rounds=3),
    Workload('sweep-cold', 'log-normal sizes, read from the disk', (mixed(8000),), (), DISK, 'xfs',
             COLD, SWEEP, rounds=3),
)


# --- fixtures --------------------------------------------------------------------------------

class Source(NamedTuple):
    """A tree that is made: where it is read from, and what is in it."""
    path: str
    files: int
    bytes: int
    seed: int


class Fixture(NamedTuple):
    """A workload that is ready: its sources, where the copy goes, what is dropped before a run."""
    sources: list
    copy: str
    dropped: str
    file_systems: dict

    @property
    def source(self):
        """The only source."""
        return self.sources[0]

    @property
    def target(self):
        """The directory that the copy is made in."""
        return os.path.dirname(self.copy)


@contextlib.contextmanager
def ready(workload, trees_to_make):
    """The Fixture of a workload; all that is mounted or made goes with it."""
    rooms = [tree.room_bytes() for tree in trees_to_make]
    with contextlib.ExitStack() as stack:
        if workload.target == SAME:
            source = target = enter_source(stack, workload.source, sum(rooms) + max(rooms))
        else:
            source = enter_source(stack, workload.source, sum(rooms))
            target = stack.enter_context(mount(workload.target, max(rooms)))
        made = [make_source(source, tree, number) for number, tree in enumerate(trees_to_make)]
        subprocess.run(['sync', '-f', source], check=True)
        file_systems = {'source': machine.file_system(source), 'target': machine.file_system(target)}
        if workload.slow_options:
            slow = see_slowly(stack, workload, source)
            made = [tree._replace(path=os.path.join(slow, os.path.relpath(tree.path, source)))
                    for tree in made]
            file_systems['slowfs'] = ' '.join(workload.slow_options)
        yield Fixture(made, os.path.join(target, 'copy'), DROPPED[workload.caches], file_systems)


def mount(kind, room_bytes):
    """A fresh file system with this much room, and some to spare for what was removed just now."""
    return mounts.mounted(kind, SPARE[kind] + room_bytes + room_bytes // 8)


def enter_source(stack, kind, room_bytes):
    """The directory for source trees, as long as the stack lives."""
    if kind != DISK:
        return stack.enter_context(mount(kind, room_bytes))
    path = temporary_name(disk_directory())
    os.mkdir(path)
    at_the_end(stack.callback, trees.remove_tree, path)
    return path


def disk_directory():
    """A temporary directory that is not in memory."""
    for directory in (tempfile.gettempdir(), '/var/tmp'):
        if not machine.file_system(directory)['in_memory']:
            return directory
    raise unittest.SkipTest('no temporary directory is on a disk; TMPDIR can name one')


def make_source(directory, tree, number):
    """Makes a tree and says what is in it."""
    path = os.path.join(directory, f'tree{number}')
    tree.make(path)
    files, size = sourcetree.count(path)
    return Source(path, files, size, tree.seed)


def see_slowly(stack, workload, directory):
    """Mounts the slow view of a directory; returns where."""
    if not os.access(SLOWFS, os.X_OK):
        raise unittest.SkipTest('slowfs is not built; PKGCACHE_SLOWFS can name it')
    return stack.enter_context(mounts.slow_mount(directory, *workload.slow_options)).path
