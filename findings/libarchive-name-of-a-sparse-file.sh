#!/bin/bash
# libarchive: a sparse file whose long name is not UTF-8 gets two names in pax; one of them is cut.
#
# Versions: libarchive13 3.6.2-1+deb12u5, tar 1.34+dfsg-1.2+deb12u1 (Debian 12).
#
# Behaviour: in a UTF-8 locale, the name of an entry has a byte that is no UTF-8. archive_write_header() answers
# ARCHIVE_WARN and writes hdrcharset=BINARY and the whole name, byte for byte, as `path`. For a sparse entry it
# writes GNU.sparse.name as well, and that is only the start of the name, 98 bytes, if the name has 100 or more (what
# the old header's field holds). A long name that is UTF-8 stays whole in both. GNU tar, which goes by
# GNU.sparse.name, unpacks the file under the cut name, so files of one directory whose names differ only behind it
# become one.
#
# Output seen:
#     not UTF-8, 40 bytes: path 40, GNU.sparse.name 40, unpacked by GNU tar 40
#     not UTF-8, 115 bytes: path 115, GNU.sparse.name 98, unpacked by GNU tar 98
#     UTF-8, 116 bytes: path 116, GNU.sparse.name 116, unpacked by GNU tar 116
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
LC_ALL=C.UTF-8 python3 - "$(find tools -name libarchive.so.13)" <<'PYTHON'
import ctypes
import os
import re
import subprocess
import sys

try:
    library = ctypes.CDLL(sys.argv[1])
except OSError as error:
    print(f'cannot run: {error}')
    sys.exit(77)
library.archive_write_new.restype = ctypes.c_void_p
library.archive_entry_new.restype = ctypes.c_void_p
library.archive_write_data.restype = ctypes.c_ssize_t


def write(name):
    archive = ctypes.c_void_p(library.archive_write_new())
    library.archive_write_set_format_pax(archive)
    library.archive_write_open_filename(archive, b'archive.tar')
    entry = ctypes.c_void_p(library.archive_entry_new())
    library.archive_entry_set_pathname(entry, name)
    library.archive_entry_set_mode(entry, 0o100644)
    library.archive_entry_set_size(entry, ctypes.c_int64(1 << 20))
    library.archive_entry_sparse_add_entry(entry, ctypes.c_int64(0), ctypes.c_int64(4096))
    library.archive_write_header(archive, entry)
    data = bytes(1 << 20)
    library.archive_write_data(archive, data, ctypes.c_size_t(len(data)))
    library.archive_entry_free(entry)
    library.archive_write_close(archive)
    library.archive_write_free(archive)


def lengths(kind, name):
    """The lengths of the names in `path`, in GNU.sparse.name, and of the file that GNU tar makes."""
    write(name)
    with open('archive.tar', 'rb') as file:
        records = file.read()
    path = re.search(rb' path=([^\n]*)\n', records)
    sparse = re.search(rb' GNU\.sparse\.name=([^\n]*)\n', records)
    os.mkdir(b'to')
    subprocess.run(['tools/bin/tar', '-C', 'to', '-xf', 'archive.tar'], check=True, stderr=subprocess.DEVNULL)
    made = os.listdir(b'to')[0]
    os.unlink(b'to/' + made)
    os.rmdir(b'to')
    found = (len(path[1]) if path else None, len(sparse[1]) if sparse else None, len(made))
    print(f'{kind}, {len(name)} bytes: path {found[0]}, GNU.sparse.name {found[1]}, unpacked by GNU tar {found[2]}')
    return found


short = lengths('not UTF-8', b'n' * 35 + b'\xe9-end')
long = lengths('not UTF-8', b'n' * 110 + b'\xe9-end')
valid = lengths('UTF-8', b'n' * 110 + b'\xc3\xa9-end')
sys.exit(0 if (short, long, valid) == ((40, 40, 40), (115, 98, 98), (116, 116, 116)) else 1)
PYTHON
