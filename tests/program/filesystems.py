"""Real file servers and stacked file systems for tests: how each is mounted, and what is expected of it.

KINDS is the table of docs/filesystems.md. All traffic is on the loopback interface. Each server is a
child that ends with its stack, else with this process; mounts are taken away as those of mounts.py.
"""
import os
import shutil
import socket
import subprocess
import tempfile
import unittest
from typing import NamedTuple

import trees
from mounts import is_mounted, need_root, run_or_skip, unmount
from support import at_the_end, kill_process, spawn, temporary_name, wait_until

SFTP_SERVER = '/usr/lib/openssh/sftp-server'
MIB = 1 << 20


class Place:
    """A mounted file system with servers behind it."""

    def __init__(self, stack):
        need_root()
        self.stack = stack
        self.base = self.directory()
        self.point = self.directory()
        self.below = None  # a directory whose contents it shows, if there is one
        self.servers = []  # what dies
        self.start = None  # mounts it, once what is below has been laid

    def directory(self):
        """An empty directory, gone with the stack."""
        path = temporary_name(tempfile.gettempdir())
        os.mkdir(path, 0o755)
        at_the_end(self.stack.callback, trees.remove_tree, path)
        return path

    def make(self, *names):
        """A directory in a place of its own."""
        path = os.path.join(self.base, *names)
        os.makedirs(path)
        return path

    def write(self, name, text):
        """Writes a file; returns its path."""
        path = os.path.join(self.base, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        return path

    def serve(self, command, **options):
        """Starts a server; its words go to a file."""
        if not shutil.which(command[0]):
            raise unittest.SkipTest(f'{command[0]} is not installed')
        log = os.path.join(self.base, f'log{len(os.listdir(self.base))}')
        with open(log, 'wb') as words:
            options = {'stdin': subprocess.DEVNULL, 'stdout': words, 'stderr': words, **options}
            process = spawn([shutil.which(command[0]), *command[1:]], **options)
        at_the_end(self.stack.callback, kill_process, process)
        process.words = log
        return process

    def mount(self, command, **options):
        """Starts a server that mounts itself in the foreground; skips when it cannot."""
        process = self.serve(command, **options)
        at_the_end(self.stack.callback, self.end, process)
        self.wait(process, lambda: is_mounted(self.point))
        return process

    def wait(self, process, condition):
        """Until a server is ready; skips when it ends instead."""
        wait_until(lambda: condition() or process.poll() is not None, f'{process.args[3]} to start')
        if process.poll() is not None:
            raise unittest.SkipTest(f'{process.args[3]}: {words_of(process).strip()[-300:]}')

    def end(self, process):
        """Takes the mount away; a server that hangs does not keep it."""
        if is_mounted(self.point):
            subprocess.run(['umount', '-l', self.point], check=False, capture_output=True)
        kill_process(process)
        unmount(self.point)

    def kill(self):
        """All servers die."""
        for process in self.servers:
            process.kill()
        for process in self.servers:
            process.wait()


def words_of(process):
    """What a server has said."""
    with open(process.words, encoding='utf-8', errors='replace') as file:
        return file.read()


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def is_listening(port):
    """Whether somebody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


# --- each file system --------------------------------------------------------------------------

def sshfs(*options):
    """SFTP between two processes: no ssh, no network."""
    def prepare(place):
        if not os.path.exists(SFTP_SERVER):
            raise unittest.SkipTest(f'{SFTP_SERVER} is not installed')
        place.below = place.make('server')

    def start(place):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            place.servers.append(place.serve([SFTP_SERVER], stdin=theirs, stdout=theirs))
            place.mount(['sshfs', '-f', '-o', ','.join(['passive', *options]),
                         f'local:{place.below}', place.point], stdin=ours, stdout=ours)
    return prepare, start


def mergerfs(branches, *options):
    """One or more directories as one."""
    def prepare(place):
        place.branches = [place.make(f'branch{number}') for number in range(branches)]
        place.below = place.branches[0]

    def start(place):
        place.servers.append(place.mount(
            ['mergerfs', '-f', '-o', ','.join(['allow_other', *options]), ':'.join(place.branches),
             place.point]))
    return prepare, start


def bindfs():
    """A directory under another name."""
    def prepare(place):
        place.below = place.make('original')

    def start(place):
        place.servers.append(place.mount(['bindfs', '-f', place.below, place.point]))
    return prepare, start


def gocryptfs():
    """Encrypted."""
    def prepare(_place):
        pass

    def start(place):
        cipher = place.make('cipher')
        secret = place.write('secret', 'secret\n')
        run_or_skip(['gocryptfs', '-init', '-q', '-scryptn', '10', '-passfile', secret, cipher])
        # It opens a file of its own through the mount first; whoever makes one before that makes it wait
        # for itself for ever.
        server = place.mount(['gocryptfs', '-fg', '-allow_other', '-passfile', secret, cipher, place.point])
        place.wait(server, lambda: 'mounted and ready' in words_of(server))
        place.servers.append(server)
    return prepare, start


def squashfuse():
    """An archive."""
    def prepare(place):
        place.below = place.make('tree')

    def start(place):
        image = os.path.join(place.base, 'image')
        run_or_skip(['mksquashfs', place.below, image, '-quiet', '-no-progress', '-comp', 'gzip'])
        place.servers.append(place.mount(['squashfuse', '-f', '-o', 'allow_other', image, place.point]))
    return prepare, start


def lay_layers(place):
    """The directories of an overlay."""
    place.below = place.make('lower')
    place.layers = f'lowerdir={place.below},upperdir={place.make("upper")},workdir={place.make("work")}'


def fuse_overlayfs():
    """Of containers without root."""
    def start(place):
        place.servers.append(place.mount(['fuse-overlayfs', '-f', '-o', place.layers, place.point]))
    return lay_layers, start


def overlay():
    """The kernel's, of containers."""
    def start(place):
        run_or_skip(['mount', '-t', 'overlay', '-o', place.layers, 'overlay', place.point])
        at_the_end(place.stack.callback, unmount, place.point)
    return lay_layers, start


def ntfs_3g(*options):
    """NTFS, as disks come from Windows."""
    def prepare(_place):
        pass

    def start(place):
        image = os.path.join(place.base, 'image')
        with open(image, 'wb') as file:
            file.truncate(256 * MIB)
        run_or_skip(['mkntfs', '-F', '-Q', '-q', image])
        place.servers.append(place.mount(
            ['ntfs-3g', '-o', ','.join(['no_detach', *options]), image, place.point]))
    return prepare, start


def rclone():
    """WebDAV, between two of it."""
    def prepare(place):
        place.below = place.make('server')

    def start(place):
        port = free_port()
        environment = {**os.environ, 'RCLONE_CONFIG': os.path.join(place.base, 'none'),
                       'RCLONE_CACHE_DIR': place.make('cache')}
        server = place.serve(['rclone', 'serve', 'webdav', place.below, '--addr', f'127.0.0.1:{port}',
                              '--dir-cache-time', '0s'], env=environment)
        place.wait(server, lambda: is_listening(port))
        place.servers.append(server)
        place.mount(['rclone', 'mount', ':webdav:', place.point,
                     '--webdav-url', f'http://127.0.0.1:{port}', '--vfs-cache-mode', 'writes',
                     '--vfs-write-back', '0s', '--low-level-retries', '1', '--allow-other'],
                    env=environment)
    return prepare, start


# Gluster's servers and client, from configuration files as its daemon writes them: without the daemon.
BRICK = '''
volume posix
  type storage/posix
  option directory {directory}
end-volume
volume brick
  type features/locks
  subvolumes posix
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.bind-address 127.0.0.1
  option transport.socket.listen-port {port}
  option auth.addr.brick.allow 127.0.0.1
  subvolumes brick
end-volume
'''
CLIENT = '''
volume client{number}
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume brick
end-volume
'''
REPLICATED = '''
volume replicated
  type cluster/replicate
  option afr-pending-xattr client0,client1
  subvolumes client0 client1
end-volume
'''
SHARDED = '''
volume distributed
  type cluster/distribute
  subvolumes client0 client1
end-volume
volume sharded
  type features/shard
  option shard-block-size 4MB
  subvolumes distributed
end-volume
'''
BRICKS = 2


def gluster(volume):
    """Gluster with two bricks."""
    def prepare(_place):
        pass

    def start(place):
        client = ''
        for number in range(BRICKS):
            port = free_port()
            names = {'number': number, 'port': port, 'directory': place.make(f'brick{number}')}
            client += CLIENT.format(**names)
            server = place.serve(['glusterfsd', '-N', '-l', os.path.join(place.base, f'{number}.log'),
                                  '-f', place.write(f'brick{number}.vol', BRICK.format(**names))])
            place.wait(server, lambda port=port: is_listening(port))
            place.servers.append(server)
        place.mount(['glusterfs', '-N', '-l', os.path.join(place.base, 'client.log'),
                     '-f', place.write('client.vol', client + volume), place.point])
    return prepare, start


# --- the table ---------------------------------------------------------------------------------

class Kind(NamedTuple):
    """A file system, and what is lost there."""
    name: str
    how: str                   # it is mounted, in the words of docs/filesystems.md
    functions: tuple           # the one that prepares it, and the one that mounts it
    writable: bool = True
    layered: bool = False      # what is below is its lower layer
    replicated: bool = False
    has_server: bool = True    # which can die
    lost_from: tuple = ()      # by copies from there
    lost_to: tuple = ()        # by copies to there
    refused_to: str = ''       # why nothing can be copied to there
    no_cache: str = ''         # why it cannot carry a cache
    seems_damaged: str = ''    # in a cache there: what verify finds
    why: str = ''

    def prepare(self, stack):
        """A place whose mount has not been started."""
        place = Place(stack)
        prepare, start = self.functions
        prepare(place)
        place.start = lambda: start(place)
        return place

    def row(self):
        """Its row in docs/filesystems.md."""
        to, cache = ', '.join(self.lost_to) or 'nothing', 'works'
        if not self.writable:
            to, cache = 'read-only', 'read-only'
        elif self.refused_to:
            to = f'refused: {self.refused_to}'
        if self.no_cache:
            cache = f'refused: {self.no_cache}'
        elif self.seems_damaged:
            cache = f'works, but `verify` says "{self.seems_damaged}"'
        lost = ', '.join(self.lost_from) or 'nothing'
        return f'| {self.name} | {self.how} | {lost} | {to} | {cache} | {self.why} |'


NO_LINKS = 'hard links'
TWO_NUMBERS = 'inode numbers'
OUTSIDE = 'links that are absolute or have ..'

KINDS = [
    Kind('sshfs', '', sshfs(),
         lost_from=('hard links', 'holes', 'attributes', 'ACLs', 'fractions of seconds', OUTSIDE),
         lost_to=('attributes', 'ACLs', 'fractions of seconds', 'times of links'),
         no_cache=TWO_NUMBERS,
         why='SFTP 3 has no more; since 2026 sshfs hides links that lead out of a directory '
             '(`contain_symlinks`): they are named and left out'),
    Kind('sshfs trusting', '`no_contain_symlinks`', sshfs('no_contain_symlinks'),
         lost_from=('hard links', 'holes', 'attributes', 'ACLs', 'fractions of seconds'),
         lost_to=('attributes', 'ACLs', 'fractions of seconds', 'times of links'),
         no_cache=TWO_NUMBERS,
         why='the server would set the time of what a link leads to, so that of links is not set'),
    Kind('gluster replicated', 'two bricks', gluster(REPLICATED), replicated=True, lost_from=('ACLs',),
         lost_to=('ACLs',), why='ACLs need the mount option `acl`'),
    Kind('gluster sharded', 'two bricks, `features.shard`', gluster(SHARDED),
         lost_from=('ACLs', 'times'), lost_to=('ACLs', 'times'), seems_damaged='has another modification time',
         why='the client that wrote a file of several shards shows the time of that until it is '
             'unmounted; others see the right one'),
    Kind('rclone', 'WebDAV, `--vfs-cache-mode writes`', rclone(),
         lost_from=('modes', 'fractions of seconds', 'hard links', 'holes', 'attributes', 'ACLs',
                    'symbolic links', OUTSIDE),
         refused_to='symlink', no_cache=NO_LINKS,
         why='WebDAV has files, directories and their contents; copy to there with '
             '`--symlinks=follow`'),
    Kind('mergerfs', '', mergerfs(1), lost_from=('hard links',),
         no_cache=TWO_NUMBERS, why='each name has an inode number of its own'),
    Kind('mergerfs use_ino', '`use_ino`', mergerfs(1, 'use_ino')),
    Kind('mergerfs branches', '`use_ino`, two branches', mergerfs(2, 'use_ino')),
    Kind('bindfs', '', bindfs()),
    Kind('gocryptfs', '', gocryptfs()),
    Kind('squashfuse', '', squashfuse(), writable=False,
         lost_from=('hard links', 'ACLs', 'fractions of seconds'),
         why='squashfs has no more; squashfuse gives each name an inode number of its own'),
    Kind('fuse-overlayfs', '', fuse_overlayfs(), layered=True),
    Kind('overlay', '', overlay(), layered=True, has_server=False),
    Kind('ntfs-3g', '', ntfs_3g(), lost_from=('modes', 'ACLs'), lost_to=('modes', 'ACLs'),
         why='mounted so, all files have mode 0777'),
    Kind('ntfs-3g permissions', '`permissions,acl`', ntfs_3g('permissions', 'acl'),
         lost_from=('ACLs',)),
]
