#!/bin/bash
# slurmctld: does not start on a host that has no address but loopback ones, even if its configuration names no other.
#
# Versions: slurmctld 22.05.8-4+deb12u3, munge 0.5.15-2+deb12u1 (Debian 12's), with its glibc 2.36.
#
# Behaviour: a cluster of one host for tests, in a network namespace of its own, has nothing but 127.0.0.1 and ::1 on
# lo; SlurmctldHost is localhost(127.0.0.1), and so is the node's address. slurmctld cannot resolve even the number
# 127.0.0.1 there, tries again for some seconds, and then ends with a fatal error. (Python's getaddrinfo resolves it
# in the same namespace, with AI_ADDRCONFIG, too.) Any other address on lo, which nothing uses, lets it start.
#
# Output seen:
#     only 127.0.0.1 and ::1: Unable to resolve "127.0.0.1"; fatal
#     198.51.100.1, too: runs
#
# Exit status: 0 as stated, 1 that has changed, 77 it cannot run (needs root, network namespaces, ip, and Debian's
# packages, and libraries that these depend on).
set -u

work=$(mktemp -d) || exit 77
daemon=
clean_up() {
  [ -n "$daemon" ] && kill "$daemon" 2>/dev/null
  wait
  rm -rf "$work"
}
trap clean_up EXIT

cannot_run() {
  echo "cannot run: $1"
  exit 77
}

[ "$(id -u)" -eq 0 ] || cannot_run "not root"
command -v ip >/dev/null || cannot_run "no ip"
unshare --net true 2>/dev/null || cannot_run "no network namespaces"
cd "$work" || exit 77
for package in slurmctld=22.05.8-4+deb12u3 slurm-wlm-basic-plugins=22.05.8-4+deb12u3 munge=0.5.15-2+deb12u1 \
  libmunge2=0.5.15-2+deb12u1; do
  apt-get -qq download "$package" >/dev/null 2>&1 || cannot_run "no package $package"
done
for file in ./*.deb; do
  dpkg -x "$file" tools
done
libraries=$work/tools/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries:$libraries/slurm-wlm
ldd tools/usr/sbin/slurmctld-wlm tools/usr/sbin/munged "$libraries/slurm-wlm/auth_munge.so" | grep -q 'not found' &&
  cannot_run "a library is missing"

chmod 711 .
mkdir state
head -c 128 /dev/urandom >key
chmod 600 key
cat >slurm.conf <<CONF
ClusterName=one
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
StateSaveLocation=$work/state
SlurmctldPidFile=$work/slurmctld.pid
PluginDir=$libraries/slurm-wlm
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
NodeName=localhost NodeAddr=127.0.0.1 CPUs=1
PartitionName=all Nodes=localhost Default=YES
CONF
tools/usr/sbin/munged --foreground --force --socket="$work/munge.socket" --key-file="$work/key" \
  --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/seed" >munged.out 2>&1 &
daemon=$!
for _ in {1..100}; do
  [ -S munge.socket ] && break
  sleep 0.1
done
[ -S munge.socket ] || cannot_run "munged does not start"

# start LOG [ADDRESS]: says how slurmctld comes up in a namespace with ADDRESS on lo besides the loopback addresses.
start() {
  : >"$1"
  # shellcheck disable=SC2016
  unshare --net bash -c 'ip link set lo up && { [ -z "$1" ] || ip address add "$1/32" dev lo; } &&
    exec tools/usr/sbin/slurmctld-wlm -D -f slurm.conf' start "${2-}" >"$1" 2>&1 &
  local controller=$!
  for _ in {1..900}; do
    grep -q 'Running as primary controller' "$1" && ! grep -q 'fatal' "$1" && break
    kill -0 "$controller" 2>/dev/null || break
    sleep 0.1
  done
  # The listening socket is opened just after that message; a failure there shows within the retries' 10 seconds.
  for _ in {1..250}; do
    kill -0 "$controller" 2>/dev/null || break
    sleep 0.1
  done
  if kill "$controller" 2>/dev/null && ! grep -q 'fatal' "$1"; then
    echo "runs"
  else
    echo "$(grep -o 'Unable to resolve "127.0.0.1"' "$1" | head -n 1); $(grep -o 'fatal' "$1" | head -n 1)"
  fi
  wait "$controller"
}

alone=$(start alone.log)
further=$(start further.log 198.51.100.1)
echo "only 127.0.0.1 and ::1: $alone"
echo "198.51.100.1, too: $further"
[ "$alone" = 'Unable to resolve "127.0.0.1"; fatal' ] && [ "$further" = runs ]
