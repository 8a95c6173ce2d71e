#!/bin/bash
# ext4 without a journal: for minutes after many files were deleted, each new file costs many times the
# processor time.
#
# Versions: Linux 6.18.44; mkfs.ext4 of e2fsprogs 1.47.0-2+b2 (Debian 12).
#
# Behaviour: 8,000 empty files are made in one directory, deleted, and made again. With a journal the second time
# costs what the first did. Without one (mkfs.ext4 -O ^has_journal, as many virtual machines' and scratch disks are
# made) the kernel does not give out the number of an inode that was deleted within the last minutes (60 s, 300 s
# while its block of the inode table is dirty: fs/ext4/ialloc.c, recently_deleted()), and for each new file it passes
# over the deleted ones one by one, from the first on. So what deletes a tree and then makes another (a cache that
# is cleaned and filled) spends most of its time there, all of it system time.
#
# Output seen:
#     with a journal: again / fresh = 0.9
#     without a journal: again / fresh = 29.2
#
# Exit status: 0 as stated (more than 5 times without a journal, less than 3 times with one), 1 that has changed,
# 77 it cannot run (needs root, loop devices, 1 GiB of memory below /dev/shm, and Debian's packages).
set -u

work=$(mktemp -d /dev/shm/ext4-journal.XXXXXX) || exit 77
clean_up() {
  mountpoint -q "$work/mount" && umount "$work/mount"
  rm -rf "$work"
}
trap clean_up EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

[ "$(id -u)" -eq 0 ] || cannot_run "not root"
cd "$work" || exit 77
for package in e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libss2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2; do
  apt-get -qq download "$package" >/dev/null 2>&1 || cannot_run "no package $package"
done
for file in ./*.deb; do
  dpkg -x "$file" tools
done
libraries=$(find "$work/tools" -name 'libext2fs.so.2' -exec dirname {} \; | head -n 1)
command -v python3 >/dev/null || cannot_run "no python3"

# make_twice FEATURE: prints the processor time of the second time, in parts of the first.
make_twice() {
  rm -f image
  truncate -s 1G image
  LD_LIBRARY_PATH=$libraries tools/sbin/mkfs.ext4 -q -F -N 100000 -O "$1" image || return 1
  mkdir -p mount
  mount -o loop image mount || return 1
  python3 - mount <<'PYTHON'
import os
import sys
import time

def make(count):
    begin = time.process_time()
    for i in range(count):
        os.close(os.open(f'{sys.argv[1]}/{i}', os.O_CREAT | os.O_WRONLY))
    return time.process_time() - begin

fresh = make(8000)
for i in range(8000):
    os.unlink(f'{sys.argv[1]}/{i}')
print(f'{make(8000) / fresh:.1f}')
PYTHON
  umount mount
}

uname -sr
with=$(make_twice has_journal) || cannot_run "ext4 cannot be made or mounted here"
without=$(make_twice ^has_journal) || cannot_run "ext4 cannot be made or mounted here"
echo "with a journal: again / fresh = $with"
echo "without a journal: again / fresh = $without"
python3 -c "import sys; sys.exit(0 if $with < 3 and $without > 5 else 1)"
