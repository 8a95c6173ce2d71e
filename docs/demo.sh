#!/bin/sh
# Shows what pkgcache does, with packages made from trees of this machine. Run it as ./dev demo.
set -eu
program=${PKGCACHE_PROGRAM:-build/pkgcache}
demo=${TMPDIR:-/tmp}/pkgcache-demo-$(id -u)
cache=$demo/cache # not the user's own
repository=$demo/packages
manifest=$demo/manifest.json
most_packages=12
largest_kb=150000

# Trees that make good packages, many small files or few large ones. Not every machine has each.
candidates='
  linux_headers     /usr/include/linux
  c_headers         /usr/include/x86_64-linux-gnu
  cpp_headers       /usr/include/c++
  openssl_headers   /usr/include/openssl
  python            /usr/lib/python3.11
  python            /usr/lib/python3.12
  python            /usr/lib/python3.13
  meson             /usr/lib/python3/dist-packages/mesonbuild
  compiler          /usr/lib/gcc
  perl              /usr/share/perl
  perl_modules      /usr/lib/x86_64-linux-gnu/perl-base
  documentation     /usr/share/doc
  time_zones        /usr/share/zoneinfo
  locales           /usr/share/i18n
  translations      /usr/share/locale
  completions       /usr/share/bash-completion
  terminals         /usr/share/terminfo
  terminals         /lib/terminfo
  git               /usr/lib/git-core
  systemd           /usr/lib/systemd
  apt               /usr/lib/apt
  debconf           /usr/share/perl5
'

say() {
  printf '\n\033[1m%s\033[0m\n' "$*"
}

# show COMMAND...: prints a command as one would type it, and runs it.
show() {
  printf '$ '
  printf '%s ' "$@"
  printf '\n'
  "$@"
}

# handle NAME: the handle of a package as rez writes it.
handle() {
  printf '{"key": "filesystem.variant", "variables": {"location": "%s", "name": "%s", ' \
    "$repository" "$1"
  printf '"version": "1.0", "index": null, "repository_type": "filesystem"}}'
}

# release NAME: writes what rez needs beside a payload, and takes out links that reach nothing.
release() {
  printf 'name = "%s"\nversion = "1.0"\ncachable = True\n' "$1" >"$repository/$1/1.0/package.py"
  find "$repository/$1/1.0" -xtype l -delete
}

# add_package NAME TREE: makes a package out of a tree, unless there is none, or it is too large.
add_package() {
  if [ -e "$repository/$1" ] || ! [ -d "$2" ]; then
    return 0
  fi
  if [ "$(du -sk "$2" | cut -f1)" -gt "$largest_kb" ]; then
    return 0
  fi
  mkdir -p "$repository/$1"
  cp -a --no-preserve=ownership "$2" "$repository/$1/1.0"
  release "$1"
}

# The largest shared libraries of the machine, as one package.
add_libraries() {
  mkdir -p "$repository/libraries/1.0/lib"
  find /usr/lib -name '*.so*' -type f -size +1M -printf '%s %p\n' 2>/dev/null | sort -rn | head -5 |
    while read -r _ path; do
      cp -p "$path" "$repository/libraries/1.0/lib/"
    done
  release libraries
}

packages() {
  ls "$repository"
}

make_repository() {
  rm -rf "$demo"
  mkdir -m 700 "$demo"
  mkdir "$repository"
  add_libraries
  echo "$candidates" | while read -r name tree; do
    if [ -n "$name" ] && [ "$(packages | wc -l)" -lt "$most_packages" ]; then
      add_package "$name" "$tree"
    fi
  done
}

make_manifest() {
  separator=
  {
    printf '{"variants": ['
    for name in $(packages); do
      printf '%s\n  {"handle": %s, "root": "%s/%s/1.0"}' \
        "$separator" "$(handle "$name")" "$repository" "$name"
      separator=,
    done
    printf '\n]}\n'
  } >"$manifest"
}

# describe TREE: types, modes, times and sizes of all that is in it.
describe() {
  (cd "$1" && find . -type l -printf '%p link\n' -o -type d -printf '%p %y %m %T@\n' -o \
    -printf '%p %y %m %T@ %s\n' | sort)
}

# Compares each payload with its source: contents, then types, modes and times.
compare() {
  different=0
  for name in $(packages); do
    root=$("$program" --cache "$cache" get "$(handle "$name")")
    source=$repository/$name/1.0
    describe "$source" >"$demo/expected"
    describe "$root" >"$demo/found"
    if diff -r "$source" "$root" >&2 && diff "$demo/expected" "$demo/found" >&2; then
      printf '  same  %-16s %s\n' "$name" "$root"
    else
      printf '  OTHER %-16s %s\n' "$name" "$root"
      different=1
    fi
  done
  return "$different"
}

say "A repository, made from trees of this machine"
make_repository
make_manifest
du -sh "$repository"/* | sort -h
printf '%s packages, %s files\n' "$(packages | wc -l)" "$(find "$repository" -type f | wc -l)"

say "Bring them all into the cache, several at once"
show "$program" --cache "$cache" warm "$manifest"

say "Again: everything is there"
show "$program" --cache "$cache" warm "$manifest"

say "What is in the cache"
show "$program" --cache "$cache" list

say "Where is one of them? (what a resolver asks, thousands of times)"
show "$program" --cache "$cache" get "$(handle libraries)"

say "Is every payload what its source is?"
compare

cat <<END

All the same. What to try next:

  $program --help
  $program --cache $cache list --json
  $program --cache $cache remove '$(handle libraries)'
  $program --cache $cache clean
  $program copy -v $repository /tmp/copy      (the copy engine alone)
  Press Ctrl-C, or kill -9, during a warm: no half payload is ever found.

The cache, the packages and their manifest are in $demo:
remove that when you are done.
END
