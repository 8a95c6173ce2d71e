"""Random directory trees, and the comparison of two trees.

All paths are bytes inside: names need not be UTF-8.
"""
import os
import random
import shutil
import stat

SECOND_NS = 10**9
FILES_PER_DIRECTORY = 25
DEEPEST = 14
COPIED_MODE_BITS = 0o1777  # set-uid and set-gid are dropped unless asked for
READ_SIZE = 1 << 20
NAME_BYTES = [byte for byte in range(1, 256) if byte != ord('/')]


# --- making trees ------------------------------------------------------------------------------

class TreeMaker:
    """Makes one random tree. The same seed makes the same tree (but for whom it belongs to)."""

    def __init__(self, root, seed, largest=1 << 21):
        self.root = os.fsencode(root)
        self.random = random.Random(seed)
        self.largest = largest
        self.bytes = self.random.randbytes(2 * largest)  # a file begins in the first half
        self.directories = [b'.']
        self.files = []
        self.times = {}
        self.modes = {}

    def make(self, files, links=True):
        """Fills the tree with about this many files, and links of every kind."""
        os.makedirs(self.root)
        for _ in range(max(1, files // FILES_PER_DIRECTORY)):
            self._make_directory()
        while len(self.files) < files:
            self._make_file(self.random.choice(self.directories))
        if links:
            self._make_links(max(1, files // 400))
        self._set_modes_and_times()

    def _path(self, name):
        return os.path.join(self.root, name)

    def _new_name(self, directory, longest):
        while True:
            name = os.path.normpath(os.path.join(directory, random_name(self.random, longest)))
            if not os.path.lexists(self._path(name)):
                return name

    def _make_directory(self):
        """Deep ones are as likely as wide ones."""
        parent = self.random.choice(self.directories[-8:] + self.directories[:1])
        if parent.count(b'/') >= DEEPEST - 1:
            parent = self.directories[0]
        name = self._new_name(parent, longest=40)
        os.mkdir(self._path(name))
        self.directories.append(name)
        self.times[name] = random_time_ns(self.random)
        self.modes[name] = random_mode(self.random, 0o755,
                                       [0o555, 0o700, 0o750, 0o1777, 0o2775, 0o311, 0])

    def _make_file(self, directory):
        name = self._new_name(directory, longest=255)
        size = min(self.largest, int(self.random.lognormvariate(8.0, 1.7)))
        kind = self.random.random()
        if kind < 0.03:
            size = 0
        with open(self._path(name), 'wb') as file:
            if kind > 0.99:
                self._write_with_holes(file)
            else:
                start = self.random.randrange(len(self.bytes) // 2)
                file.write(self.bytes[start:start + size])
        self.files.append(name)
        self.times[name] = random_time_ns(self.random)
        self.modes[name] = random_mode(
            self.random, 0o644, [0o755, 0o755, 0o755, 0o444, 0o400, 0o600, 0o777, 0o4755, 0o2755, 0])

    def _write_with_holes(self, file):
        """A hole in front, between, or at the end, or nothing but a hole."""
        for _ in range(self.random.randrange(4)):
            file.seek(self.random.randrange(1 << 19), os.SEEK_CUR)
            file.write(self.bytes[:self.random.randrange(1, 9000)])
        file.truncate(file.tell() + self.random.randrange(1 << 19))

    def _make_links(self, count_of_each):
        choices = self.random
        for _ in range(count_of_each):
            directory = choices.choice(self.directories)
            file = choices.choice(self.files)
            other = choices.choice(self.directories)
            here = os.path.dirname(self._new_name(directory, 20)) or b'.'
            targets = [
                os.path.relpath(file, here),                      # to a file inside
                os.path.relpath(other, here),                     # to a directory inside
                self._path(file),                                 # absolute, inside
                os.path.join(os.path.relpath(b'.', here), b'..', os.path.basename(self.root),
                             file),                               # leaves and comes back
                os.path.relpath(b'/etc/passwd', self._path(here)),  # relative, outside
                b'/usr',                                          # absolute, outside
                b'no such file',                                  # dangling
                b'/no/such/file',                                 # dangling, absolute
            ]
            names = [self._link(directory, target) for target in targets]
            self._link(directory, os.path.basename(names[0]))     # a link to a link
            self._loop(directory)
            self._hard_link(directory, file)

    def _link(self, directory, target):
        name = self._new_name(directory, longest=60)
        os.symlink(target, self._path(name))
        self.times[name] = random_time_ns(self.random)
        return name

    def _loop(self, directory):
        name = self._new_name(directory, longest=60)
        os.symlink(os.path.basename(name), self._path(name))
        self.times[name] = random_time_ns(self.random)

    def _hard_link(self, directory, file):
        name = self._new_name(directory, longest=60)
        os.link(self._path(file), self._path(name))

    def _set_modes_and_times(self):
        """Children first: a directory's time changes with what is made in it."""
        for name in sorted(self.times, key=lambda name: -name.count(b'/')):
            path = self._path(name)
            if name in self.modes:
                os.chmod(path, self.modes[name])
            set_time(path, self.times[name])
        set_time(self.root, random_time_ns(self.random))


def make_random_tree(root, files, seed=None, links=True):
    """Makes a tree and says from which seed, so that a failure can be made again."""
    if seed is None:
        seed = random_seed()
    print(f'tree of {files} files from seed {seed}')
    TreeMaker(root, seed).make(files, links)


def make_plain_tree(root, contents):
    """Makes a tree from {relative path: bytes, or str for a link's target, or None for a directory}."""
    root = os.fsencode(root)
    os.makedirs(root, exist_ok=True)
    for name, content in contents.items():
        path = os.path.join(root, os.fsencode(name))
        if content is None:
            os.makedirs(path, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, str):
            os.symlink(content, path)
        else:
            with open(path, 'wb') as file:
                file.write(content)


def make_deep(root, name, depth):
    """Directories in directories, made one at a time: the path as a whole is too long."""
    os.mkdir(root)
    directory = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    file = os.open('file', os.O_WRONLY | os.O_CREAT, dir_fd=directory)
    os.write(file, b'deep')
    os.close(file)
    os.close(directory)


def open_deep(root, name, depth):
    """A descriptor of the innermost directory."""
    directory = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    return directory


def random_seed():
    """A seed to print; PKGCACHE_TEST_SEED sets it."""
    return int(os.environ.get('PKGCACHE_TEST_SEED') or random.SystemRandom().randrange(1 << 32))


def random_name(choices, longest):
    """Mostly plain, sometimes anything that is not a slash or NUL."""
    kind = choices.random()
    if kind < 0.85:
        return b'%x' % choices.getrandbits(32)
    if kind < 0.95:
        length = choices.randrange(1, longest + 1)
        name = bytes(choices.choices(NAME_BYTES, k=length))
    else:
        odd = [b'-rf', b' ', b'a\nb', b'\n', b'...', b'.hidden', b'a.json', b'.copying-a', b'~', b'*',
               b'\\', b'\xff\xfe', '\u00e9'.encode(), 'e\u0301'.encode(), b'a' * longest]
        name = choices.choice(odd)
    return name if name not in (b'.', b'..') else b'dots'


def random_mode(choices, usual, odd):
    """Usual nine times of ten. Only root can read what nobody may."""
    mode = choices.choice(odd) if choices.random() < 0.1 else usual
    if os.geteuid() and mode & 0o500 != 0o500:
        return mode | 0o500
    return mode


def random_time_ns(choices):
    """To the nanosecond; mostly of this century, some before 1970 and some far off."""
    kind = choices.random()
    if kind < 0.02:
        return choices.choice([0, 1, -1, -SECOND_NS, 1 - SECOND_NS, SECOND_NS - 1])
    if kind < 0.05:
        return -choices.randrange(2 * 10**18)
    if kind < 0.08:
        return choices.randrange(4 * 10**18, 9 * 10**18)
    return choices.randrange(10**18, 18 * 10**17)


def set_time(path, time_ns):
    """Sets the modification time of a file, a directory or a link itself."""
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def remove_tree(root):
    """Removes a tree whatever its modes; nothing when there is none."""
    root = os.fsencode(root)
    if not os.path.lexists(root):
        return
    if os.geteuid():
        for directory, _, _ in os.walk(root):
            os.chmod(directory, 0o700)
    shutil.rmtree(root)


# --- comparing trees -----------------------------------------------------------------------------

def compare_trees(source, copy, links='keep', holes=False, hard_links=False):
    """Returns how the copy differs from its source, one line each; nothing when it does not.

    links       'keep': each link of the copy reaches what it reached at the source;
                'preserve': targets are the same to the letter; 'follow': there are no links
    holes       what is sparse at the source must be so in the copy
    hard_links  files that are one at the source must be one in the copy
    """
    comparison = Comparison(source, copy, links, holes)
    comparison.compare(b'')
    if hard_links:
        comparison.compare_hard_links()
    return comparison.differences


class Comparison:
    """One comparison of two trees."""

    def __init__(self, source, copy, links, holes):
        self.source = os.fsencode(source)
        self.copy = os.fsencode(copy)
        self.roots = None
        self.links = links
        self.holes = holes
        self.differences = []
        self.inodes = {}

    def differ(self, name, what):
        """Notes a difference."""
        self.differences.append(f'{os.fsdecode(name) or "."!r}: {what}')

    def compare(self, name):
        """Compares what has this name in both trees, and all below it."""
        source, copy = self.source + b'/' + name, self.copy + b'/' + name  # join() would cost most of it
        try:
            expected = os.stat(source) if self.links == 'follow' else os.lstat(source)
        except OSError:
            expected = os.lstat(source)
        try:
            found = os.lstat(copy)
        except FileNotFoundError:
            return self.differ(name, 'is missing')
        if stat.S_IFMT(expected.st_mode) != stat.S_IFMT(found.st_mode):
            return self.differ(name, f'has type {stat.filemode(found.st_mode)}, '
                                     f'not {stat.filemode(expected.st_mode)}')
        self._compare_attributes(name, expected, found)
        if stat.S_ISDIR(expected.st_mode):
            self._compare_directories(name, source, copy)
        elif stat.S_ISLNK(expected.st_mode):
            self._compare_links(name, source, copy)
        elif stat.S_ISREG(expected.st_mode):
            self._compare_files(name, source, copy, expected, found)
        return None

    def _compare_attributes(self, name, expected, found):
        if expected.st_mtime_ns != found.st_mtime_ns:
            self.differ(name, f'has mtime {found.st_mtime_ns}, not {expected.st_mtime_ns}')
        if stat.S_ISLNK(expected.st_mode):
            return
        expected_mode, found_mode = expected.st_mode & COPIED_MODE_BITS, found.st_mode & 0o7777
        if stat.S_ISDIR(expected.st_mode):
            found_mode &= COPIED_MODE_BITS  # a directory may inherit set-gid
        if expected_mode != found_mode:
            self.differ(name, f'has mode {found_mode:o}, not {expected_mode:o}')

    def _compare_directories(self, name, source, copy):
        expected, found = set(os.listdir(source)), set(os.listdir(copy))
        for extra in sorted(found - expected):
            self.differ(os.path.join(name, extra), 'is not at the source')
        below = name + b'/' if name else b''
        for entry in sorted(expected):
            self.compare(below + entry)

    def _compare_links(self, name, source, copy):
        if self.links == 'preserve':
            expected, found = os.readlink(source), os.readlink(copy)
        else:
            expected, found = self._expected_reach(source), reach(copy) or os.readlink(copy)
        if expected != found:
            self.differ(name, f'reaches {found}, not {expected}')

    def _expected_reach(self, source):
        """What a link of the copy must reach; the target as it is when it reaches nothing."""
        reached = reach(source)
        if reached is None:
            return os.readlink(source)
        self.roots = self.roots or (os.path.realpath(self.source), os.path.realpath(self.copy))
        source_root, copy_root = self.roots
        if (reached + b'/').startswith(source_root + b'/'):
            return copy_root + reached[len(source_root):]
        return reached

    def _compare_files(self, name, source, copy, expected, found):
        self.inodes.setdefault((expected.st_dev, expected.st_ino), []).append((name, found.st_ino))
        if expected.st_size != found.st_size:
            return self.differ(name, f'has {found.st_size} bytes, not {expected.st_size}')
        if not same_contents(source, copy):
            return self.differ(name, 'has other contents')
        sparse = expected.st_blocks * 512 < expected.st_size
        if self.holes and sparse and found.st_blocks * 512 > expected.st_blocks * 512 + (64 << 10):
            self.differ(name, f'fills {found.st_blocks} blocks, not {expected.st_blocks}')
        return None

    def compare_hard_links(self):
        """Names of one file at the source must be names of one file in the copy."""
        for names in self.inodes.values():
            if len({inode for _, inode in names}) > 1:
                self.differ(names[0][0], f'is no longer one file with {names[1:]}')


def same_contents(a, b):
    """Whether two files hold the same bytes."""
    first = os.open(a, os.O_RDONLY)  # what open() makes costs more than to read a small file
    try:
        second = os.open(b, os.O_RDONLY)
        try:
            return same_bytes(first, second)
        finally:
            os.close(second)
    finally:
        os.close(first)


def same_bytes(first, second):
    """Whether the same can be read from two descriptors, to the end."""
    # As much as is there: room for more than that is mapped and unmapped at each read.
    at_most = min(READ_SIZE, os.fstat(first).st_size + 1)
    while True:
        expected = os.read(first, at_most)
        if expected != os.read(second, at_most):
            return False
        if not expected:
            return True


def reach(path):
    """The real path of what a path reaches; None when it reaches nothing, or itself."""
    try:
        descriptor = os.open(path, os.O_PATH)
    except OSError:
        return None
    try:
        return os.readlink(b'/proc/self/fd/%d' % descriptor)  # one call instead of one for each name in it
    finally:
        os.close(descriptor)


def snapshot(root):
    """All below a directory with types, modes, sizes, times: to see later that nothing was touched."""
    found = {}
    for directory, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino)
    return found
