"""Who takes part: pkgcache, and each peer that this machine has.

A peer is called as its users would call it for a whole copy: with all that it can keep, in as many
threads as it chooses by itself.
"""
import os
import shutil
import subprocess
import sys
from typing import Callable, NamedTuple

YARDSTICK = 'cp -a'
OURS = 'pkgcache'
OURS_RING = 'pkgcache ring'
OURS_THREADS = 'pkgcache threads'
OURS_DIGESTS = 'pkgcache digests'
REMOVER = 'rm -rf'
DCP = 'dcp'
DCP_RANKS = 16
# The Debian package rust-coreutils puts it where it does not hide GNU's; others rename it.
UUTILS_NAMES = ('uu-cp', 'rust-cp', '/usr/lib/cargo/bin/coreutils/cp')


class Contestant(NamedTuple):
    """A tool that copies trees.

    command  the argument list for (source, copy, reflink): the copy does not exist before; reflink
             says that blocks are to be shared
    version  the argument list that prints its version
    """
    name: str
    command: Callable
    version: list
    is_ours: bool = False


def environment():
    """The environment of all contestants: without settings that some of them would follow."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(('PKGCACHE_', 'REZ_', 'RSYNC_', 'TAR_'))}
    return {**kept, 'LC_ALL': 'C.UTF-8', 'PKGCACHE_SYSTEM_CONFIG': '', 'XDG_CONFIG_HOME': '/dev/null'}


def find(program):
    """All contestants that are here, the yardstick first, then pkgcache (this program) and the peers."""
    yardstick = Contestant(YARDSTICK, plain(['cp', '-a'], ['--reflink=always']), ['cp', '--version'])
    peers = [*peers_of_debian(), *peers_of_others()]
    return [yardstick, *ours(program), *peers]


def ours(program):
    """pkgcache as it chooses, with each backend, and with digests."""
    settings = {OURS: [], OURS_RING: ['--backend=ring'], OURS_THREADS: ['--backend=threads']}
    commands = {name: plain([program, *options, 'copy']) for name, options in settings.items()}
    commands[OURS_DIGESTS] = lambda source, copy, _reflink: [
        program, 'copy', f'--manifest={copy}.manifest', source, copy]
    return [Contestant(name, command, [program, '--version'], is_ours=True)
            for name, command in commands.items()]


def removers(program, cache, doomed):
    """{name: argument list} that remove a tree that lies where `clean` of this cache deletes."""
    return {REMOVER: ['rm', '-rf', doomed], OURS: [program, '--cache', cache, '--quiet', 'clean']}


def plain(words, reflink_words=()):
    """A command that takes source and copy as its last words."""
    def command(source, copy, reflink):
        return [*words, *(reflink_words if reflink else ()), source, copy]
    return command


def peers_of_debian():
    """Peers that `./dev bench` installs."""
    if shutil.which('rsync'):
        yield Contestant('rsync', rsync_command, ['rsync', '--version'])
    if shutil.which('tar'):
        yield Contestant('tar pipe', tar_command, ['tar', '--version'])
    yield Contestant('shutil.copytree', copytree_command, [sys.executable, '--version'])
    for name in UUTILS_NAMES:
        path = shutil.which(name)
        if path:
            yield Contestant('uutils cp', plain([path, '-a'], ['--reflink=always']), [path, '--version'])
            break


def peers_of_others():
    """Peers that take part where somebody has installed them."""
    if shutil.which('xcp'):
        yield Contestant('xcp', plain(['xcp', '--recursive', '--no-progress'], ['--reflink=always']),
                         ['xcp', '--version'])
    for name in ('fcp', 'cpz', 'wcp'):
        if shutil.which(name):
            yield Contestant(name, plain([name]), [name, '--version'])
    if shutil.which('dcp') and shutil.which('mpirun'):
        words = ['mpirun', '--allow-run-as-root', '--oversubscribe', '-np', str(DCP_RANKS), 'dcp',
                 '--quiet', '--preserve']
        yield Contestant(DCP, plain(words), ['mpirun', '--version'])


def rsync_command(source, copy, _reflink):
    """All attributes; no comparing of blocks, no file aside."""
    return ['rsync', '-aHAX', '--whole-file', '--inplace', source + '/', copy]


def tar_command(source, copy, _reflink):
    """One tar packs, another unpacks."""
    script = 'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xpf -'
    return ['sh', '-c', script, 'sh', source, copy]


def copytree_command(source, copy, _reflink):
    """What Python programs do, rez among them."""
    script = 'import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True)'
    return [sys.executable, '-I', '-c', script, source, copy]


def version(contestant):
    """What the tool says of itself in one line; 'unknown' when it does not."""
    try:
        result = subprocess.run(contestant.version, capture_output=True, text=True, errors='replace',
                                timeout=20, check=True, env=environment())
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
    lines = result.stdout.strip().splitlines()
    said = ' '.join(lines[0].split()) if lines else 'unknown'
    return said.replace(contestant.version[0], os.path.basename(contestant.version[0]))
