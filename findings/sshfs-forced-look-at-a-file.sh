#!/bin/bash
# sshfs: who asks for the attributes of a file and insists on the server (AT_STATX_FORCE_SYNC) gets old ones.
#
# Versions: sshfs 3.7.3-1.2~deb12u1 and libfuse3-3 3.14.0-4, sftp-server of OpenSSH 9.2p1 (Debian 12); Linux 6.18.
#
# Behaviour: statx(2) with AT_STATX_FORCE_SYNC has the kernel forget what it knows, and ask the file system. sshfs
# answers from a cache of its own, for 20 s (dcache_timeout), which no request passes by, not fstat of a file that
# is open either. So a copier that looks at a file before and after its copy sees no difference when another host
# has changed it meanwhile, and cannot find out. Mounted with -o dir_cache=no the same call has the new time.
#
# Output seen:
#     the time was 2020 and is 2024; by default: 2020; with dir_cache=no: 2024
#
# Exit status: 0 as stated, 1 that has changed, 77 it cannot run (needs root, /dev/fuse, and Debian's packages).
set -u

work=$(mktemp -d) || exit 77
clean_up() {
  mountpoint -q "$work/mount" && umount -l "$work/mount"
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

[ "$(id -u)" -eq 0 ] || cannot_run "not root"
[ -e /dev/fuse ] || cannot_run "no /dev/fuse"
command -v python3 >/dev/null || cannot_run "no python3"
cd "$work" || exit 77
for package in sshfs=3.7.3-1.2~deb12u1 libfuse3-3=3.14.0-4 \
  openssh-sftp-server=1:9.2p1-2+deb12u10 libglib2.0-0=2.74.6-2+deb12u9; do
  apt-get -qq download "$package" >/dev/null 2>&1 || cannot_run "no package $package"
done
for file in ./*.deb; do
  dpkg -x "$file" tools
done
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(find "$work/tools" -name '*.so.*' -exec dirname {} \; | sort -u | tr '\n' ':')

mkdir -p server mount
cat >ask.py <<'PYTHON'
import ctypes
import os
import socket
import subprocess
import sys
import time

AT_EMPTY_PATH, AT_STATX_FORCE_SYNC, STATX_MTIME, MTIME_AT = 0x1000, 0x2000, 0x40, 112
LIBC = ctypes.CDLL(None, use_errno=True)
work, options = sys.argv[1], sys.argv[2:]


def year(fd):
    """Of an open file's time, as the server has it."""
    buffer = ctypes.create_string_buffer(256)
    if LIBC.statx(fd, b'', AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_MTIME, buffer) < 0:
        print('cannot run: no statx')
        sys.exit(77)
    return time.gmtime(int.from_bytes(buffer.raw[MTIME_AT:MTIME_AT + 8], 'little')).tm_year


os.utime(f'{work}/server/file', (1590969600, 1590969600))  # 2020-06-01
# The server and sshfs, on the two ends of a socket: no ssh, no network.
ours, theirs = socket.socketpair()
server = subprocess.Popen([f'{work}/tools/usr/lib/openssh/sftp-server'], stdin=theirs, stdout=theirs)
client = subprocess.Popen([f'{work}/tools/usr/bin/sshfs', '-f', '-o', 'passive', *options, f'local:{work}/server',
                           f'{work}/mount'], stdin=ours, stdout=ours)
ours.close()
theirs.close()
try:
    for _ in range(1000):
        if os.path.ismount(f'{work}/mount'):
            break
        if client.poll() is not None:
            print('cannot run: sshfs does not mount here')
            sys.exit(77)
        time.sleep(0.01)
    file = os.open(f'{work}/mount/file', os.O_RDONLY)
    year(file)
    os.utime(f'{work}/server/file', (1717200000, 1717200000))  # 2024-06-01
    print(year(file))
    os.close(file)
finally:
    subprocess.run(['umount', '-l', f'{work}/mount'], check=False, stderr=subprocess.DEVNULL)
    client.terminate()
    server.terminate()
    client.wait()
    server.wait()
PYTHON
touch server/file
usual=$(python3 ask.py "$work") || cannot_run "${usual#cannot run: }"
without=$(python3 ask.py "$work" -o dir_cache=no) || cannot_run "${without#cannot run: }"
echo "the time was 2020 and is 2024; by default: $usual; with dir_cache=no: $without"
[ "$usual $without" = "2020 2024" ]
