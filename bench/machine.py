"""What figures were taken on: the machine, its file systems, the state of the repository."""
import os
import platform
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GIB = 1 << 30
IN_MEMORY = ('tmpfs', 'ramfs')


def describe():
    """All that a reader must know to judge figures."""
    return {'cores': len(os.sched_getaffinity(0)),
            'cpu': cpu_model(),
            'memory_gib': round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB, 1),
            'kernel': f'{platform.system()} {platform.release()}',
            'distribution': distribution(),
            'load_average': os.getloadavg()[0],
            'revision': revision()}


def read_text(path):
    """What a file of /proc or /sys holds; nothing when it is not there."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def cpu_model():
    """The processor's name."""
    for line in read_text('/proc/cpuinfo').splitlines():
        name, _, value = line.partition(':')
        if name.strip() == 'model name':
            return value.strip()
    return platform.machine()


def distribution():
    """The name of the system."""
    for line in read_text('/etc/os-release').splitlines():
        if line.startswith('PRETTY_NAME='):
            return line.partition('=')[2].strip('"')
    return 'unknown'


def revision():
    """The commit that is checked out, with a plus when files differ from it."""
    def git(*words):
        return subprocess.run(['git', '-C', TOP, *words], check=True, capture_output=True, text=True)
    try:
        commit = git('rev-parse', '--short=12', 'HEAD').stdout.strip()
        return commit + ('+' if git('status', '--porcelain', '-uno').stdout else '')
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def file_system(path):
    """The file system that a path is on: its kind, options, size, and whether it is in memory."""
    _, kind, options, device = mount_of(path)
    room = os.statvfs(path)
    backing = read_text(f'/sys/block/{os.path.basename(device)}/loop/backing_file').strip()
    if backing:
        in_memory = mount_of(backing)[1] in IN_MEMORY
    else:
        in_memory = kind in IN_MEMORY
    return {'kind': kind, 'options': options, 'in_memory': in_memory, 'loop': bool(backing),
            'size_gib': round(room.f_blocks * room.f_frsize / GIB, 2)}


def mount_of(path):
    """(mount point, kind, options, device) of the mount that a path is on."""
    path = os.path.realpath(path)
    found = ('/', 'unknown', '', '')
    for line in read_text('/proc/self/mounts').splitlines():
        device, point, kind, options = line.split(' ')[:4]
        below = point.rstrip('/') + '/'
        # A later line covers an earlier one at the same point.
        if (path + '/').startswith(below) and len(point) >= len(found[0]):
            found = (point, kind, options, device)
    return found
