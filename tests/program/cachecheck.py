"""What must hold in every cache, whoever wrote it.

    problems = check_cache(path, variants)

returns one line for each rule that is broken.
"""
import contextlib
import glob
import json
import os
import stat

import rezlike
import trees

PRIVATE = '.sys'


def check_cache(cache, variants, at_rest=True, cleaned=False, partial=False, litter=False,
                damaged=False, ill=()):
    """Checks a cache directory.

    variants  what may be in it: objects with a handle and the root of the source
    at_rest   nobody works in it: no slot is being copied, no lock is held, nobody waits for it
    cleaned   `clean` was run: nothing waits for deletion, and staging is empty
    partial   not every variant needs to be there; those that are must be whole
    litter    what has no sidecar is forgiven: a rez that woke, or a process that was killed while it
              claimed a slot, leaves such until the next clean
    damaged   what no look-up finds is forgiven, too: sidecars that cannot be read, or have no payload
    ill       those of the variants whose payloads hold wrong bytes, and may be there twice
    """
    check = Check(cache, variants, damaged, ill)
    check.slots(at_rest, litter)
    if not partial:
        check.all_found()
    check.private(at_rest, cleaned)
    return check.problems


class Check:
    """One check of one cache."""

    def __init__(self, cache, variants, damaged, ill):
        self.damaged = damaged
        self.ill = {canonical(variant.handle) for variant in ill}
        self.cache = os.fspath(cache)
        self.sources = {canonical(variant.handle): variant.root for variant in variants}
        self.found = {}
        self.problems = []

    def problem(self, path, what):
        """Notes a broken rule."""
        self.problems.append(f'{os.path.relpath(path, self.cache)}: {what}')

    def slots(self, at_rest, litter):
        """Every hash directory holds slots and nothing else."""
        for path in hash_directories(self.cache, self.problem):
            names = os.listdir(path)
            increments = [name[:-5] for name in names if name.endswith('.json')]
            for increment in increments:
                self._slot(path, increment, at_rest)
            for name in names:
                increment = name[9:] if name.startswith('.copying-') else name
                if name.endswith('.json') or increment in increments:
                    continue
                if not litter:
                    self.problem(os.path.join(path, name), 'belongs to no sidecar')

    def _slot(self, path, increment, at_rest):
        sidecar = os.path.join(path, increment + '.json')
        try:
            with open(sidecar, encoding='ascii') as file:
                handle = json.load(file)['handle']
        except (ValueError, KeyError, TypeError) as error:
            return None if self.damaged else self.problem(sidecar, f'cannot be read: {error!r}')
        if rezlike.hash_directory(self.cache, handle) != path:
            self.problem(sidecar, 'is in the wrong hash directory')
        key = canonical(handle)
        if key in self.found and key not in self.ill:
            self.problem(sidecar, f'has the handle of {self.found[key]}')
        self.found[key] = sidecar
        if os.path.lexists(os.path.join(path, '.copying-' + increment)):
            del self.found[key]
            if at_rest:
                self.problem(sidecar, 'is still being copied, or stalled')
            return None
        return self._payload(os.path.join(path, increment), key)

    def _payload(self, root, key):
        if not os.path.isdir(root) or os.path.islink(root):
            return None if self.damaged else self.problem(root, 'is no directory')
        if key not in self.sources:
            return self.problem(root, f'is of an unknown variant {key}')
        if key in self.ill:
            return None
        for difference in trees.compare_trees(self.sources[key], root):
            self.problem(root, difference)
        return None

    def all_found(self):
        """Every variant is in the cache."""
        for key in self.sources:
            if key not in self.found:
                self.problem(self.cache, f'lacks {key}')

    def private(self, at_rest, cleaned):
        """What lies under .sys: the lock, the waiting, the staging, the deletion."""
        private = os.path.join(self.cache, PRIVATE)
        for name in os.listdir(private):
            path = os.path.join(private, name)
            if at_rest and name == '.lock.lock':
                self.problem(path, 'is held')
            elif at_rest and rezlike.is_lock_file(name):
                self.problem(path, 'was left by a lock')
            elif cleaned and name in ('staging', 'to_delete') and os.listdir(path):
                self.problem(path, f'holds {os.listdir(path)[:5]}')


def canonical(handle):
    """A handle as a key: two are one when their texts are."""
    return json.dumps(handle, sort_keys=True)


def hash_directories(cache, problem):
    """CACHE/NAME/VERSION/HASH4 of a cache; what is no directory is a problem."""
    level = [cache]
    for depth in range(3):
        below = [os.path.join(path, name) for path in level for name in sorted(os.listdir(path))
                 if not (depth == 0 and name.startswith('.'))]
        level = [path for path in below if stat.S_ISDIR(os.lstat(path).st_mode)]
        for path in set(below) - set(level):
            problem(path, 'is not a directory')
    return level


def partial(cache, variant):
    """How a variant that can be found differs from its source, at any time.

    What is taken away while we look does not count: rez uses a name again, so only the inode, kept by
    an open descriptor, tells.
    """
    try:
        root = rezlike.get(cache, variant.handle)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY) if root else -1
    except (OSError, ValueError):  # as a rez would see it: half a sidecar of another rez
        return []
    if descriptor < 0:
        return []
    try:
        differences = trees.compare_trees(variant.root, root)
    except OSError as error:
        differences = [str(error)]
    try:
        still_there = os.path.samestat(os.fstat(descriptor), os.stat(root)) and \
            rezlike.look(cache, variant.handle) == ('FOUND', root)
    except (OSError, ValueError):
        still_there = False
    os.close(descriptor)
    return [f'{root}: {difference}' for difference in differences] if still_there else []


def several_sidecars(directory, handle):
    """The sidecars that held a handle at one time, at any time; nothing when there was one, or none.

    All that do are opened; those that then still have a name had it when the last was opened.
    """
    with contextlib.ExitStack() as stack:
        holding = []
        for path in glob.glob(os.path.join(glob.escape(directory), '*.json')):
            with contextlib.suppress(OSError, ValueError, KeyError):
                file = stack.enter_context(open(path, encoding='ascii'))
                if canonical(json.load(file)['handle']) == canonical(handle):
                    holding.append(file)
        there = [file.name for file in holding if os.fstat(file.fileno()).st_nlink]
        return there if len(there) > 1 else []


def found_roots(cache):
    """{canonical handle: root} of what a reader takes for FOUND."""
    roots = {}
    for path in hash_directories(cache, lambda *_: None):
        for name in os.listdir(path):
            if not name.endswith('.json'):
                continue
            root = os.path.join(path, name[:-5])
            if os.path.lexists(os.path.join(path, '.copying-' + name[:-5])):
                continue
            with open(root + '.json', encoding='ascii') as file:
                roots[canonical(json.load(file)['handle'])] = root
    return roots


def slots_of(cache, handle):
    """The increment names that have a sidecar in the hash directory of a handle."""
    try:
        names = os.listdir(rezlike.hash_directory(cache, handle))
    except FileNotFoundError:
        return []
    return sorted(name[:-5] for name in names if name.endswith('.json'))
