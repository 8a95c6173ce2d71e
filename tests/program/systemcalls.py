"""System calls of a program under strace(1), and which of them could follow a link inside a directory."""
import os
import re
from typing import NamedTuple

TRACED = '%file,?fchmodat2,bind,connect'  # ?: of kernels that strace may not know

# What takes a name as it is, whatever its flags; others need one of FLAGS.
NEVER_FOLLOW = {'unlink', 'unlinkat', 'rmdir', 'rename', 'renameat', 'renameat2', 'mkdir', 'mkdirat',
                'symlink', 'symlinkat', 'readlink', 'readlinkat', 'lstat'}
FLAGS = ('O_NOFOLLOW', 'AT_SYMLINK_NOFOLLOW', 'O_CREAT|O_EXCL', 'RESOLVE_NO_SYMLINKS')

LINE = re.compile(r'^(?:\[?\w* ?\d+\]? +)?(\w+)\((.*)$')
NAMED = re.compile(r'(?:(AT_FDCWD|\d+)(?:<((?:[^<>\\]|\\.)*)>)?, )?"((?:[^"\\]|\\.)*)"')


class Name(NamedTuple):
    """A name that a call was given, and where it starts."""
    call: str
    start: str
    path: str
    flags: str

    def below(self, directory):
        """The path relative to a directory, if it starts at it, in it, or leads through it; or None."""
        full = self.path if self.path.startswith('/') else f'{self.start}/{self.path}'
        if self.start != directory and not self.start.startswith(directory + '/') and \
                not full.startswith(directory + '/'):
            return None
        return self.path if not self.path.startswith('/') else os.path.relpath(full, directory)


def names_of(trace):
    """All names in a trace, but for those in /proc."""
    for line in trace.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        call, rest = match.groups()
        if call == 'execve':
            continue
        names = NAMED.findall(rest.rsplit(') = ', 1)[0])
        if call.startswith('readlink'):  # the other is what it answers
            names = names[:1]
        elif call.startswith('symlink'):  # the other is the text of the link
            names = names[-1:]
        for _, start, path in names:
            if path and not path.startswith('/proc/') and not start.startswith('/proc/'):
                yield Name(call, start, path, rest)


def may_follow(name, directory):
    """Whether a call could follow a link that somebody has put into the directory."""
    path = name.below(directory)
    if path is None or path == '.':
        return False
    if 'RESOLVE_NO_SYMLINKS' in name.flags:
        return False
    parts = path.split('/')
    if parts[0] == '..':  # the directory that an open one is in
        parts = parts[1:]
    if len(parts) > 1:
        return True
    if not parts or name.call in NEVER_FOLLOW:
        return False
    if name.call in ('link', 'linkat'):
        return 'AT_SYMLINK_FOLLOW' in name.flags and '"/proc/' not in name.flags
    return not any(flag in name.flags for flag in FLAGS)
