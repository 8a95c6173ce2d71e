#!/bin/bash
# meson test: tests that are named run in the order of the names; their priorities count for nothing.
#
# Version: meson 1.0.1-5 (Debian 12).
#
# Behaviour: `priority` of test() says which tests start first, so that long ones do not end last. `meson test` goes by
# it. `meson test NAME...` does not: it starts the tests in the order in which they are named. So a script that chooses
# tests (meson test --list, filtered and sorted) makes a run of many processes wait for the long ones at its end,
# although each test has the right priority, and no option or message says so.
#
# Output seen:
#     meson test: long short
#     meson test short long: short long
#
# Exit status: 0 as stated, 1 that has changed, 77 it cannot run (needs python3, ninja and Debian's packages).
set -u

work=$(mktemp -d) || exit 77
trap 'rm -rf "$work"' EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

command -v ninja >/dev/null || cannot_run "no ninja"
command -v python3 >/dev/null || cannot_run "no python3"
cd "$work" || exit 77
apt-get -qq download meson=1.0.1-5 >/dev/null 2>&1 || cannot_run "no package meson=1.0.1-5"
dpkg -x ./*.deb tools
meson() {
  PYTHONPATH=$work/tools/usr/lib/python3/dist-packages python3 -m mesonbuild.mesonmain "$@"
}

mkdir "$work/source"
cat >"$work/source/meson.build" <<'MESON'
project('order')
true_program = find_program('true')
test('short', true_program, priority: 1)
test('long', true_program, priority: 100)
MESON
meson setup "$work/build" "$work/source" >/dev/null || cannot_run "meson cannot set a project up"

# order [NAME...]: the tests in the order in which they ran, one at a time.
order() {
  meson test -C "$work/build" --num-processes 1 "$@" | sed -n 's|^ *[0-9]*/[0-9]* \([a-z:]* / \)*\([a-z]*\) .*|\2|p' | xargs
}

all=$(order)
named=$(order short long)
echo "meson test: $all"
echo "meson test short long: $named"
[ "$all" = "long short" ] && [ "$named" = "short long" ]
