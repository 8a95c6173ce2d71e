#!/bin/bash
# libarchive: an access control list that is added to an entry changes the entry's mode to another than stat(2) gives.
#
# Versions: libarchive13 3.6.2-1+deb12u5, tar 1.34+dfsg-1.2+deb12u1 (Debian 12).
#
# Behaviour: for a file with a list, the group bits that stat(2) gives are the list's mask. archive_entry_set_mode()
# takes that mode. archive_entry_acl_add_entry() then puts the rights of the owning group (ACL_GROUP_OBJ) in the place
# of the mask, also in the header that is written. So who unpacks the archive without lists, with any tar, gets a file
# whose group bits differ from the ones that stat(2) gave at the source; only the list, in its own record, says so.
#
# Output seen:
#     mode set: 674; after the list: 644
#     mode in the header: 644
#     mode that GNU tar restores: 644
#
# Exit status: 0 as stated, 1 that has changed, 77 it cannot run (needs python3 and Debian's packages, and libraries
# that libarchive13 depends on).
set -u

work=$(mktemp -d) || exit 77
trap 'rm -rf "$work"' EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

command -v python3 >/dev/null || cannot_run "no python3"
cd "$work" || exit 77
for package in libarchive13=3.6.2-1+deb12u5 tar=1.34+dfsg-1.2+deb12u1; do
  apt-get -qq download "$package" >/dev/null 2>&1 || cannot_run "no package $package"
done
for file in ./*.deb; do
  dpkg -x "$file" tools
done
python3 - "$(find tools -name libarchive.so.13)" <<'PYTHON'
import ctypes
import os
import subprocess
import sys
import tarfile

try:
    library = ctypes.CDLL(sys.argv[1])
except OSError as error:
    print(f'cannot run: {error}')
    sys.exit(77)
library.archive_write_new.restype = ctypes.c_void_p
library.archive_entry_new.restype = ctypes.c_void_p

ACCESS, USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x100, 10002, 10001, 10004, 10005, 10006

archive = ctypes.c_void_p(library.archive_write_new())
library.archive_write_set_format_pax(archive)
library.archive_write_open_filename(archive, b'archive.tar')
entry = ctypes.c_void_p(library.archive_entry_new())
library.archive_entry_set_pathname(entry, b'file')
library.archive_entry_set_mode(entry, 0o100674)
library.archive_entry_set_size(entry, ctypes.c_int64(0))
for tag, who, rights in ((USER_OBJ, -1, 6), (USER, 1234, 7), (GROUP_OBJ, -1, 4), (MASK, -1, 7), (OTHER, -1, 4)):
    if library.archive_entry_acl_add_entry(entry, ACCESS, rights, tag, who, None) != 0:
        sys.exit(1)
mode = library.archive_entry_perm(entry)
library.archive_write_header(archive, entry)
library.archive_entry_free(entry)
library.archive_write_close(archive)
library.archive_write_free(archive)

with tarfile.open('archive.tar') as written:
    header = written.getmembers()[0].mode
subprocess.run(['tools/bin/tar', '-xpf', 'archive.tar'], check=True, stderr=subprocess.DEVNULL)
restored = os.lstat('file').st_mode & 0o777
print(f'mode set: 674; after the list: {mode:o}')
print(f'mode in the header: {header:o}')
print(f'mode that GNU tar restores: {restored:o}')
sys.exit(0 if (mode, header, restored) == (0o644, 0o644, 0o644) else 1)
PYTHON
