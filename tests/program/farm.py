"""A Slurm of several nodes on this machine, for tests; each node with disks and processes of its own.

The test program runs in a world of its own (world.py): no port, no file and no process is shared with
others, and whatever happens, the kernel ends all. In it, everything lies below /mnt:

    /mnt/share          on all hosts, and with the submitter: what a file server would have
    /mnt/disk           each host's own disk; a node's is /mnt/nodes/NODE/disk from outside
    /mnt/opt/bin        each host's own copy of the program
    /mnt/slurm          how Slurm runs

Nodes see no other directory of tests: not the checkout, not the submitter's temporary directories,
not each other's disks; /tmp and /dev/shm are each node's own. Their host names are n1, n2, ...
"""
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import support
import trees
from support import PATIENCE_S, ProgramTest, end_process, kill_process, spawn, wait_until

WORLD = os.path.join(support.HERE, 'world.py')
MNT = '/mnt'
SHARE, DISK, OPT, SLURM, NODES = (os.path.join(MNT, name)
                                  for name in ('share', 'disk', 'opt', 'slurm', 'nodes'))
CONF = os.path.join(SLURM, 'slurm.conf')
SUBMITTER = 'submit'
PROGRAMS = ['slurmctld', 'slurmd', 'sinfo', 'sbatch', 'munged']
FREE_STATES = ('idle', 'allocated', 'mixed')
CONTROLLER_PORT, FIRST_NODE_PORT = 6817, 7000

SETTINGS = f"""\
ClusterName=test
SlurmctldHost={SUBMITTER}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={SLURM}/munge/socket
CredType=cred/munge
SlurmctldPort={CONTROLLER_PORT}
SlurmctldPidFile={SLURM}/state/pid
StateSaveLocation={SLURM}/state
SlurmdPidFile={SLURM}/spool/%n/pid
SlurmdSpoolDir={SLURM}/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
SlurmdTimeout=60
SlurmctldTimeout=10
InactiveLimit=0
KillWait=3
MinJobAge=300
NodeName=DEFAULT CPUs=2 RealMemory=1000 State=UNKNOWN
"""


FIRST_SSH_PORT = 2200
SSH_HOST = """\
Host {name} {name}.farm.example
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {where}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""
SSHD_SETTINGS = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {where}/key
AuthorizedKeysFile {where}/key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
"""


def enter_world():
    """Starts this test program again in a world of its own, unless it is in one. (Without root, what
    needs one is skipped.) It has ten times the patience there: what Slurm does in a moment takes minutes on
    a machine that is busy."""
    os.environ.setdefault('PKGCACHE_TEST_PATIENCE', '10')
    if 'PKGCACHE_TEST_WORLD' not in os.environ and not os.geteuid():
        os.execv(sys.executable, [sys.executable, WORLD, '--net', '--host', SUBMITTER, *sys.orig_argv])


def find(program):
    """Where a program is: servers are not in everybody's PATH. None when it is not installed."""
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def write(path, text, mode=0o644):
    """Writes a file; returns its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def empty(directory):
    """Removes all that is in a directory."""
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            trees.remove_tree(entry.path)
        else:
            os.unlink(entry.path)


class Node:
    """A host of the farm: what it is made of, whether it runs."""

    def __init__(self, name, services):
        self.name = name
        self.services = services  # the command that runs there
        self.process = None
        self.ssh = None
        self.begin_s = 0  # when it was switched on
        self.shrunk = []  # where another disk lies over the node's own
        self.log = os.path.join(SLURM, 'log', name)

    def path(self, *names):
        """A path of this node's, from outside: names as in 'disk', 'cache'."""
        return os.path.join(NODES, self.name, *names)

    def start(self):
        """Switches the node on."""
        self.shrunk = []
        for name in ('disk', 'opt', 'tmp'):
            os.makedirs(self.path(name), exist_ok=True)
            os.chmod(self.path(name), 0o1777)
        ready = os.path.join(SLURM, 'spool', self.name, 'ready')
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ready)
        self.begin_s = int(time.time())
        with open(self.log, 'ab') as log:
            self.process = spawn([sys.executable, WORLD, '--host', self.name, 'sh', '-c',
                                  f'{self.mounts()}\ntouch {ready}\nexec {self.services}'],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/')
        wait_until(lambda: os.path.exists(ready) or not self.is_on(), f'{self.name} to mount what it has')

    def mounts(self):
        """A script that makes this the view of the node."""
        own = [(self.path('disk'), DISK), (self.path('opt'), OPT)]
        hidden = [NODES, os.path.join(MNT, SUBMITTER), support.TOP, '/run', '/tmp', '/var/tmp', '/dev/shm',
                  tempfile.gettempdir()]
        lines = [f'mount --bind {shlex.quote(source)} {point}' for source, point in own]
        # one may lie in another, which is empty by then
        lines += [f'mkdir -p {shlex.quote(directory)}; mount -t tmpfs -o mode=1777 none {shlex.quote(directory)}'
                  for directory in dict.fromkeys(hidden) if os.path.isdir(directory)]
        return 'set -e\n' + '\n'.join(lines)

    def is_on(self):
        """Whether it is switched on."""
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """It loses power: all its processes end at once."""
        if self.process:
            kill_process(self.process)

    def first(self):
        """The number of the process that is the first of the node's."""
        def child():
            path = f'/proc/{self.process.pid}/task/{self.process.pid}/children'
            with open(path, encoding='ascii') as file:
                return file.read().split()[:1]
        return wait_until(child, f'{self.name} to start')[0]

    def enter(self):
        """What stands before a command that is to run on the node."""
        return ['nsenter', '--target', self.first(), '--mount', '--uts', '--pid', '--wd=/']

    def run(self, *command, check=True, **options):
        """Runs a command on the node; returns what subprocess.run does."""
        return subprocess.run([*self.enter(), *command], check=check, text=True, errors='replace',
                              capture_output=True, **options)

    def shrink(self, size, where=DISK):
        """Gives it another, empty disk of that size ('20m')."""
        self.run('mount', '-t', 'tmpfs', '-o', f'size={size},mode=1777', 'none', where)
        self.shrunk.append(where)

    def restore(self):
        """Its disk is its own again, and empty."""
        for where in self.shrunk:
            self.run('umount', '-l', where)
        self.shrunk = []
        empty(self.path('disk'))


class Farm:
    """Controller, authentication and nodes. To be closed; but what runs ends with this process anyway."""

    def __init__(self, count=4):
        if os.geteuid():
            raise unittest.SkipTest('a farm needs root')
        for program in PROGRAMS:
            if not find(program):
                raise unittest.SkipTest(f'{program} is not installed')
        assert 'PKGCACHE_TEST_WORLD' in os.environ, 'first enter_world()'
        self.environment = {**os.environ, 'SLURM_CONF': CONF, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC',
                            'PATH': f'{OPT}/bin:{os.environ.get("PATH", "")}:/usr/sbin:/sbin'}
        os.environ.update(self.environment)
        self.nodes = {f'n{i}': Node(f'n{i}', f'{find("slurmd")} -D -N n{i} -f {CONF}')
                      for i in range(1, count + 1)}
        self.munge = self.controller = None
        self._lay()
        self.start_munge()
        self.start_controller()
        for node in self.nodes.values():
            node.start()
        self.wait_ready()

    def _lay(self):
        """The directories and Slurm's settings."""
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'none', MNT], check=True)
        subprocess.run(['mount', '--make-shared', MNT], check=True)  # nodes see what is mounted there later
        for directory in ('share', 'disk', 'opt/bin', SUBMITTER, 'nodes', 'slurm/munge', 'slurm/state',
                          'slurm/log', *(f'slurm/spool/{name}' for name in self.nodes)):
            os.makedirs(os.path.join(MNT, directory))
        os.chmod(SHARE, 0o1777)
        hosts = write(f'{SLURM}/hosts', f'127.0.0.1 localhost {SUBMITTER} {" ".join(self.nodes)}\n')
        subprocess.run(['mount', '--bind', hosts, '/etc/hosts'], check=True)
        nodes = ''.join(f'NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port}\n'
                        for port, name in enumerate(self.nodes, FIRST_NODE_PORT))
        partition = 'Nodes=ALL MaxTime=INFINITE State=UP OverSubscribe=FORCE:4'
        write(CONF, SETTINGS + nodes + f'PartitionName=all {partition} Default=YES\n')
        with open(f'{SLURM}/munge/key', 'wb') as key:
            key.write(os.urandom(128))
        os.chmod(f'{SLURM}/munge/key', 0o600)
        self.install(support.PROGRAM)

    def install(self, program, *hosts):
        """Puts a program where these hosts (all) find it as `pkgcache`; None: takes it away."""
        for host in hosts or (SUBMITTER, *self.nodes):
            path = os.path.join(OPT if host == SUBMITTER else self.nodes[host].path('opt'), 'bin', 'pkgcache')
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            if program:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                shutil.copy2(program, path)

    def _serve(self, name, *command):
        """Starts a server whose words go to a file."""
        with open(f'{SLURM}/log/{name}', 'ab') as log:
            return spawn([find(command[0]), *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         env=self.environment, cwd='/')

    def start_munge(self):
        """Authentication begins."""
        where = f'{SLURM}/munge'
        self.munge = self._serve('munged', 'munged', '--foreground', f'--socket={where}/socket',
                                 f'--key-file={where}/key', f'--pid-file={where}/pid',
                                 f'--seed-file={where}/seed')
        wait_until(lambda: os.path.exists(f'{where}/socket') or self.munge.poll() is not None, 'munged to start')
        self._see_running(self.munge, 'munged')

    def stop_munge(self):
        """Nobody can prove who he is."""
        self.munge.terminate()
        end_process(self.munge)

    def start_controller(self):
        """slurmctld begins; it finds its state again."""
        self.controller = self._serve('slurmctld', 'slurmctld', '-D', '-f', CONF)
        wait_until(lambda: self.controller.poll() is not None or
                   not self.call('scontrol', 'ping', check=False).returncode, 'slurmctld to answer')
        self._see_running(self.controller, 'slurmctld')

    def stop_controller(self):
        """Nobody takes jobs or knows of them."""
        self.controller.terminate()
        end_process(self.controller)

    def _see_running(self, process, name):
        """Fails, with its last words, when a server has ended."""
        if process.poll() is not None:
            raise AssertionError(f'{name} ended: {self.words(name)}')

    def words(self, name):
        """The last that a server said: munged, slurmctld, or a node's slurmd."""
        with open(f'{SLURM}/log/{name}', encoding='utf-8', errors='replace') as log:
            return log.read()[-2000:]

    def call(self, *command, check=True):
        """Runs a command of Slurm's as the submitter."""
        return subprocess.run(command, check=check, env=self.environment, capture_output=True, text=True,
                              errors='replace', timeout=PATIENCE_S, cwd='/')

    def states(self):
        """{node: state}, as sinfo shows it: 'idle', 'down*', 'draining'."""
        lines = self.call('sinfo', '-h', '-N', '-o', '%N %T', check=False).stdout.splitlines()
        return dict(line.split(' ', 1) for line in lines)

    def wait_state(self, name, *states):
        """Until a node is in one of these states."""
        wait_until(lambda: self.states().get(name) in states, f'{name} to be {" or ".join(states)}')

    def wait_ready(self):
        """Until all nodes take work."""
        try:
            wait_until(lambda: all(self.states().get(name) == 'idle' for name in self.nodes) and self.know_all(),
                       'all nodes to be idle')
        except AssertionError as error:
            logs = {name: self.words(name) for name in ['slurmctld', *self.nodes]}
            raise AssertionError(f'{error}: {self.states()} {logs}') from error

    def know_all(self):
        """Whether the controller has heard of each node since it was switched on; before, its states are old."""
        shown = self.call('scontrol', '--oneliner', 'show', 'nodes', check=False).stdout
        begun = dict(re.findall(r'NodeName=(\S+) .*SlurmdStartTime=([^\s]+)', shown))
        since = {name: time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(node.begin_s))
                 for name, node in self.nodes.items()}
        return all(begun.get(name, 'None') not in ('None', 'Unknown') and begun[name] >= since[name] for name in since)

    def kill(self, name):
        """A node loses power; the controller has not noticed yet."""
        self.nodes[name].kill()

    def notice(self, name):
        """The controller sees that a node is dead: by itself it does after a minute (SlurmdTimeout), less of
        which a node of a busy machine may need to answer."""
        self.call('scontrol', 'update', f'NodeName={name}', 'State=DOWN', 'Reason=dead')

    def drain(self, name):
        """An administrator takes a node out of service."""
        self.call('scontrol', 'update', f'NodeName={name}', 'State=DRAIN', 'Reason=test')

    def resume(self, name):
        """He puts it back."""
        self.call('scontrol', 'update', f'NodeName={name}', 'State=RESUME', check=False)

    def start_ssh(self):
        """Lets the submitter reach nodes by ssh, as n1 and n1.farm.example."""
        for program in ('sshd', 'ssh', 'ssh-keygen'):
            if not find(program):
                raise unittest.SkipTest(f'{program} is not installed')
        where = f'{SLURM}/ssh'
        if not os.path.exists(where):
            os.mkdir(where, 0o755)
            self.call('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', f'{where}/key')
            write(f'{where}/config', ''.join(SSH_HOST.format(name=name, port=port, where=where) for port, name
                                             in enumerate(self.nodes, FIRST_SSH_PORT)))
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'none', '/etc/ssh/ssh_config.d'], check=True)
            shutil.copy(f'{where}/config', '/etc/ssh/ssh_config.d/farm.conf')
        for port, (name, node) in enumerate(self.nodes.items(), FIRST_SSH_PORT):
            if node.ssh is None or node.ssh.poll() is not None:
                settings = write(f'{where}/{name}', SSHD_SETTINGS.format(port=port, where=where))
                node.run('mkdir', '-p', '/run/sshd')
                node.ssh = self._serve(f'sshd-{name}', *node.enter(), find('sshd'), '-D', '-e', '-f', settings)
        for name in self.nodes:
            wait_until(lambda name=name: not self.call('ssh', name, 'true', check=False).returncode,
                       f'{name} to be reached by ssh')

    def heal(self):
        """As new, whatever a test did: no jobs, all nodes on and idle, their disks and the share empty."""
        if self.munge.poll() is not None:
            self.start_munge()
        if self.controller.poll() is not None:
            self.start_controller()
        self.call('scancel', '--quiet', *self.jobs(), check=False)
        self.install(support.PROGRAM)
        self.heal_nodes()
        for node in self.nodes.values():
            node.restore()
        empty(SHARE)

    def heal_nodes(self):
        """All nodes are on and idle; what is on their disks stays."""
        for name, node in self.nodes.items():
            if self.states().get(name) not in FREE_STATES:
                self.resume(name)
            if not node.is_on():
                node.start()
        self.wait_ready()

    def jobs(self, *options):
        """The numbers of all jobs that are not over; options as squeue has them."""
        return self.call('squeue', '-h', '-o', '%A', *options).stdout.split()

    def close(self):
        """Switches all off."""
        for process in [node.process for node in self.nodes.values()] + [self.controller, self.munge]:
            kill_process(process)
        subprocess.run(['umount', '-l', '/etc/hosts'], check=False)
        subprocess.run(['umount', '-l', MNT], check=False)


class FarmTest(ProgramTest):
    """A test on a farm that is as new; all tests of a class share one. Its own directory is the
    submitter's, which nodes do not see."""

    nodes = 4

    @classmethod
    def setUpClass(cls):
        cls.farm = Farm(cls.nodes)

    @classmethod
    def tearDownClass(cls):
        cls.farm.close()

    def setUp(self):
        super().setUp()
        self.farm.heal()
        self.share = SHARE
        self.cache = f'{DISK}/cache'

    def make_environment(self):
        """As the submitter has it."""
        return {**super().make_environment(), 'SLURM_CONF': CONF, 'PATH': self.farm.environment['PATH']}

    def node(self, number):
        """The node of that number, from 1."""
        return self.farm.nodes[f'n{number}']
