#!/bin/bash
# libarchive: whether an entry keeps the fraction of its time depends on its name or its access control list.
#
# Version: libarchive13 3.6.2-1+deb12u5 (Debian 12).
#
# Behaviour: archive_write_set_format_pax_restricted() writes an extended header only for entries that need one. The
# nanoseconds of a modification time are no such need, but are written if the header is there for another reason. So
# of two entries with the same time, the one whose name is not ASCII, or that has an access control list, keeps the
# nanoseconds, and the plain one, file or directory, comes back with whole seconds; archive_write_header() answers
# ARCHIVE_OK for both. A copier that compares times finds a part of the tree changed. Full pax keeps all of them.
#
# Output seen:
#     restricted pax: file with a plain name: 0
#     restricted pax: directory with a plain name: 0
#     restricted pax: file with a name that is not ASCII: 123456789
#     restricted pax: file with an access control list: 123456789
#     pax: file with a plain name: 123456789
#     pax: directory with a plain name: 123456789
#     pax: file with a name that is not ASCII: 123456789
#     pax: file with an access control list: 123456789
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
apt-get -qq download libarchive13=3.6.2-1+deb12u5 >/dev/null 2>&1 || cannot_run "no package libarchive13=3.6.2-1+deb12u5"
dpkg -x ./*.deb tools
LC_ALL=C.UTF-8 python3 - "$(find tools -name libarchive.so.13)" <<'PYTHON'
import ctypes
import io
import sys
import tarfile

try:
    library = ctypes.CDLL(sys.argv[1])
except OSError as error:
    print(f'cannot run: {error}')
    sys.exit(77)
library.archive_write_new.restype = ctypes.c_void_p
library.archive_entry_new.restype = ctypes.c_void_p

ACCESS, USER, GROUP_OBJ, MASK, USER_OBJ, OTHER = 0x100, 10001, 10004, 10005, 10002, 10006
ENTRIES = (
    ('file with a plain name', 'file', 0o100644, False),
    ('directory with a plain name', 'directory', 0o40755, False),
    ('file with a name that is not ASCII', '\u00e4', 0o100644, False),
    ('file with an access control list', 'list', 0o100644, True),
)


def make_archive(form, name, mode, has_list):
    archive = ctypes.c_void_p(library.archive_write_new())
    getattr(library, 'archive_write_set_format_' + form)(archive)
    memory = ctypes.create_string_buffer(1 << 16)
    used = ctypes.c_size_t()
    library.archive_write_open_memory(archive, memory, ctypes.c_size_t(len(memory)), ctypes.byref(used))
    entry = ctypes.c_void_p(library.archive_entry_new())
    library.archive_entry_set_pathname(entry, name.encode())
    library.archive_entry_set_mode(entry, mode)
    library.archive_entry_set_size(entry, ctypes.c_int64(0))
    library.archive_entry_set_mtime(entry, ctypes.c_int64(1700000000), ctypes.c_long(123456789))
    if has_list:
        for tag, who, rights in ((USER_OBJ, -1, 6), (USER, 1234, 4), (GROUP_OBJ, -1, 4), (MASK, -1, 4), (OTHER, -1, 4)):
            library.archive_entry_acl_add_entry(entry, ACCESS, rights, tag, who, None)
    answer = library.archive_write_header(archive, entry)
    library.archive_entry_free(entry)
    library.archive_write_close(archive)
    library.archive_write_free(archive)
    return answer, memory.raw[:used.value]


as_stated = True
for form, title in (('pax_restricted', 'restricted pax'), ('pax', 'pax')):
    for what, name, mode, has_list in ENTRIES:
        answer, data = make_archive(form, name, mode, has_list)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            time = archive.getmembers()[0].pax_headers.get('mtime', '1700000000.0')
        nanoseconds = int(time.split('.')[1])
        print(f'{title}: {what}: {nanoseconds}')
        expected = 0 if form == 'pax_restricted' and what.endswith('plain name') else 123456789
        as_stated = as_stated and answer == 0 and nanoseconds == expected
sys.exit(0 if as_stated else 1)
PYTHON
