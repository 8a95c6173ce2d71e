"""The trees that are copied: always the same ones, since each is made from a seed of its own.

Contents are random bytes, so that no file system can make them smaller.
"""
import math
import os
import random
from typing import NamedTuple

FILES_PER_DIRECTORY = 25
DEEPEST = 14
RECENT_DIRECTORIES = 50  # a new directory goes into one of these: so trees grow deep, not only wide
FILES_PER_LINK = 50
FILES_PER_EXECUTABLE = 10
LARGEST_DRAWN = 16 << 20  # of log-normal sizes
CONTENT_SIZE = 8 << 20
BLOCK = 4096  # file systems hand out space in these
OVERHEAD_BYTES = 2048  # a file's inode and name, and what is empty of its last block


class Tree(NamedTuple):
    """A tree to make.

    files       how many there are, symbolic links among them
    mean_bytes  what a file holds
    sigma       0: each holds just that; else sizes are log-normal, with this as the sigma
    """
    seed: int
    files: int
    mean_bytes: int
    sigma: float = 0

    def room_bytes(self):
        """What it takes of a file system."""
        return self.files * (math.ceil(self.mean_bytes / BLOCK) * BLOCK + OVERHEAD_BYTES)

    def make(self, root):
        """Makes it below a root that does not exist."""
        choices = random.Random(self.seed)
        content = choices.randbytes(CONTENT_SIZE)
        directories = make_directories(root, self.files // FILES_PER_DIRECTORY, choices)
        for number in range(self.files):
            path = os.path.join(directories[number // FILES_PER_DIRECTORY], f'file{number}')
            if number % FILES_PER_LINK == FILES_PER_LINK - 1:
                os.symlink(f'file{number - 1}', path)
                continue
            write_file(path, self.draw_size(choices), content, choices.randrange(CONTENT_SIZE))
            os.chmod(path, 0o755 if number % FILES_PER_EXECUTABLE == 0 else 0o644)

    def draw_size(self, choices):
        """Bytes of the next file."""
        if not self.sigma:
            return self.mean_bytes
        mu = math.log(self.mean_bytes) - self.sigma**2 / 2
        return min(LARGEST_DRAWN, round(choices.lognormvariate(mu, self.sigma)))


def make_directories(root, count, choices):
    """The root and this many directories below it; returns their paths."""
    os.mkdir(root)
    directories, depths = [root], [0]
    for number in range(count):
        parent = choices.randrange(max(0, len(directories) - RECENT_DIRECTORIES), len(directories))
        if depths[parent] >= DEEPEST:
            parent = 0
        directories.append(os.path.join(directories[parent], f'directory{number}'))
        depths.append(depths[parent] + 1)
        os.mkdir(directories[-1])
    return directories


def write_file(path, size, content, start):
    """A file of this size: the content from a start on, and again from its beginning."""
    with open(path, 'wb', buffering=0) as file:
        while size > 0:
            size -= file.write(content[start:start + size])
            start = 0


def count(root):
    """(files, bytes): all that is not a directory, and what the regular files hold."""
    files, size = 0, 0
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                files += 1
                if entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
    return files, size
