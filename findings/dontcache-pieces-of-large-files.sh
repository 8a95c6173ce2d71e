#!/bin/bash
# RWF_DONTCACHE: a large file that is read in small pieces is read more than once from the disk.
#
# Versions: Linux 6.18.44; mkfs.ext4 of e2fsprogs 1.47.0-2+b2 (Debian 12).
#
# Behaviour: preadv2(2) with RWF_DONTCACHE (Linux 6.14) is to leave nothing of a file in the page cache. The kernel
# reads ahead, in folios that get larger and larger, and drops a folio as soon as a part of it was read with that
# flag (mm/filemap.c, filemap_read() and filemap_end_dropbehind_read(): nothing asks whether that was its end). What
# lies behind the part in the same folio has to be read again. So a copier that reads 128 KiB at a time
# has the disk read a third more than the file has; plain reads and POSIX_FADV_DONTNEED behind them do not.
#
# Output seen (bytes that the disk read, in parts of a file of 64 MiB):
#     plain reads of 128 KiB: 1.00
#     RWF_DONTCACHE, 128 KiB: 1.34
#
# Exit status: 0 as stated (at most 1.05, at least 1.15), 1 that has changed, 77 it cannot run (needs root, loop
# devices, Linux 6.14, ext4, and Debian's packages).
set -u

work=$(mktemp -d /var/tmp/dontcache.XXXXXX) || exit 77
clean_up() {
  mountpoint -q "$work/mount" && umount "$work/mount"
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

[ "$(id -u)" -eq 0 ] || cannot_run "not root"
command -v python3 >/dev/null || cannot_run "no python3"
cd "$work" || exit 77
for package in e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libss2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2; do
  apt-get -qq download "$package" >/dev/null 2>&1 || cannot_run "no package $package"
done
for file in ./*.deb; do
  dpkg -x "$file" tools
done
libraries=$(find "$work/tools" -name 'libext2fs.so.2' -exec dirname {} \; | head -n 1)
truncate -s 256M image
LD_LIBRARY_PATH=$libraries tools/sbin/mkfs.ext4 -q -F image || cannot_run "ext4 cannot be made here"
mkdir mount
mount -o loop image mount || cannot_run "ext4 cannot be mounted here"
python3 - mount <<'PYTHON'
import os
import sys

SIZE, PIECE, DONTCACHE, SECTOR = 64 << 20, 128 << 10, 0x80, 512
path = f'{sys.argv[1]}/file'
with open(path, 'wb') as file:
    file.write(os.urandom(SIZE))
    os.fsync(file.fileno())
device = os.stat(path).st_dev
statistics = f'/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat'


def read(flags):
    """How much of the file's size the disk reads."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    with open(statistics, encoding='ascii') as file:
        before = int(file.read().split()[2])
    piece = bytearray(PIECE)
    for offset in range(0, SIZE, PIECE):
        assert os.preadv(fd, [piece], offset, flags) == PIECE
    os.close(fd)
    with open(statistics, encoding='ascii') as file:
        return (int(file.read().split()[2]) - before) * SECTOR / SIZE


try:
    plain, dropping = read(0), read(DONTCACHE)
except OSError as error:
    print(f'cannot run: RWF_DONTCACHE: {error.strerror}')
    sys.exit(77)
print(f'plain reads of 128 KiB: {plain:.2f}')
print(f'RWF_DONTCACHE, 128 KiB: {dropping:.2f}')
sys.exit(0 if plain <= 1.05 and dropping >= 1.15 else 1)
PYTHON
