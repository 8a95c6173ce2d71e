#!/bin/bash
# sshfs: who sets the time of a symbolic link sets the time of what it leads to, on the server.
#
# Versions: sshfs 3.7.3-1.2~deb12u1 and libfuse3-3 3.14.0-4, sftp-server of OpenSSH 9.2p1 (Debian 12); Linux 6.18.
#
# Behaviour: utimensat(2) with AT_SYMLINK_NOFOLLOW, which every copier that keeps times calls for each link, reaches
# the file system as the link's own. But SFTP 3 has no request that means a link itself: its SETSTAT follows (there is
# an extension of OpenSSH, lsetstat@openssh.com, which sshfs does not use). So the link keeps its time, the call
# answers 0, and another file or directory gets a new time, also one outside of the tree that is copied. For a link
# that leads nowhere the call fails with ENOENT, although the link is there.
#
# Output seen:
#     link: 2024 stays, was to be 2001
#     target, outside of the tree: 2020 before, 2001 now
#     dangling link: No such file or directory
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

mkdir -p server/tree mount
touch -d 2020-06-01 server/outside
ln -s ../outside server/tree/link
ln -s nowhere server/tree/dangling
touch -h -d 2024-06-01 server/tree/link server/tree/dangling

# The server and sshfs, on the two ends of a socket: no ssh, no network.
python3 - "$work" <<'PYTHON'
import os
import socket
import subprocess
import sys
import time

work = sys.argv[1]
ours, theirs = socket.socketpair()
server = subprocess.Popen([f'{work}/tools/usr/lib/openssh/sftp-server'], stdin=theirs, stdout=theirs)
client = subprocess.Popen([f'{work}/tools/usr/bin/sshfs', '-f', '-o', 'passive', f'local:{work}/server',
                           f'{work}/mount'], stdin=ours, stdout=ours)
ours.close()
theirs.close()


def year(path):
    return time.gmtime(os.lstat(path).st_mtime).tm_year


def set_time(path):
    try:
        os.utime(path, (991353600, 991353600), follow_symlinks=False)  # 2001-06-01
    except OSError as error:
        return error.strerror
    return None


try:
    for _ in range(1000):
        if os.path.ismount(f'{work}/mount'):
            break
        if client.poll() is not None:
            print('cannot run: sshfs does not mount here')
            sys.exit(77)
        time.sleep(0.01)
    before = year(f'{work}/server/outside')
    answer = set_time(f'{work}/mount/tree/link')
    link, target = year(f'{work}/server/tree/link'), year(f'{work}/server/outside')
    dangling = set_time(f'{work}/mount/tree/dangling')
    print(f'link: {link} stays, was to be 2001' if link != 2001 else 'link: 2001')
    print(f'target, outside of the tree: {before} before, {target} now')
    print(f'dangling link: {dangling}')
    as_stated = (answer, link, before, target, dangling) == (None, 2024, 2020, 2001,
                                                             'No such file or directory')
finally:
    subprocess.run(['umount', '-l', f'{work}/mount'], check=False, stderr=subprocess.DEVNULL)
    client.terminate()
    server.terminate()
    client.wait()
    server.wait()
sys.exit(0 if as_stated else 1)
PYTHON
