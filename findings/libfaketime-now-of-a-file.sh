#!/bin/bash
# libfaketime: a file that is touched has the false time on disk; one that is written to has the kernel's.
#
# Version: libfaketime 0.9.10-2.1 (Debian 12), libfaketimeMT.so.1.
#
# Behaviour: with NO_FAKE_STAT=1 a program sees the times of files as they are on disk, so one would think that a false
# clock and the times of files have nothing to do with each other. But futimens(fd, NULL), utimensat() with NULL and
# utime(), which ask the kernel for its own "now", are given the false time as an explicit one; FAKE_UTIME=0 does not
# change that. A write sets the time of the kernel, as ever. So a file goes back and forth in time when a program both
# writes to it and touches it; and a heartbeat that is made by touching a file, under test with a clock that jumps, is
# read by other processes as days old or from the future.
#
# Output seen (the clock is set back by 400 days; differences to the kernel's time):
#     written: 0 days
#     touched: -400 days
#     touched, with FAKE_UTIME=0: -400 days
#
# Exit status: 0 as stated, 1 that has changed, 77 it cannot run (needs python3 and Debian's package).
set -u

work=$(mktemp -d) || exit 77
trap 'rm -rf "$work"' EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

python3=$(command -v python3) || cannot_run "no python3"
cd "$work" || exit 77
apt-get -qq download libfaketime=0.9.10-2.1 >/dev/null 2>&1 || cannot_run "no package libfaketime=0.9.10-2.1"
dpkg -x ./*.deb tools
library=$(echo tools/usr/lib/*/faketime/libfaketimeMT.so.1)
[ -e "$library" ] || cannot_run "the package has no libfaketimeMT.so.1"

# days HOW [VARIABLE=VALUE]: how many days the time of a file lies from now, when it is written or touched.
days() {
  how=$1
  shift
  : >file
  touch -d '2001-01-01' file
  env "$@" NO_FAKE_STAT=1 FAKETIME_NO_CACHE=1 FAKETIME=-400d LD_PRELOAD="$work/$library" "$python3" -c '
import ctypes, os, sys
fd = os.open("file", os.O_WRONLY)
if sys.argv[1] == "written":
    os.write(fd, b"x")
else:
    ctypes.CDLL(None).futimens(fd, None)
' "$how" || cannot_run "python3 does not run with the library"
  echo $((($(stat -c %Y file) - $(date +%s)) / 86400))
}

seen="written: $(days written) days
touched: $(days touched) days
touched, with FAKE_UTIME=0: $(days touched FAKE_UTIME=0) days"
echo "$seen"
[ "$seen" = "written: 0 days
touched: -400 days
touched, with FAKE_UTIME=0: -400 days" ]
