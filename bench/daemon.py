#!/usr/bin/env python3
"""What the daemon can do, on this machine: look-ups a second, how long they take, and what it costs.

usage: daemon.py [--requests N]

PKGCACHE_PROGRAM and PKGCACHE_SLOWFS name the programs (build-release/); `crowd` (bench/crowd.c) lies
beside the first. Works in a temporary directory (TMPDIR), which should be in memory. Prints one line
for each figure.
"""
import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import contestants

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'docs', 'examples'))
from daemon_client import Daemon  # noqa: E402 pylint: disable=wrong-import-position

PROGRAM = os.environ.get('PKGCACHE_PROGRAM') or os.path.join(TOP, 'build-release', 'pkgcache')
SLOWFS = os.environ.get('PKGCACHE_SLOWFS') or os.path.join(TOP, 'build-release', 'tests', 'slowfs')
CROWD = os.path.join(os.path.dirname(PROGRAM), 'crowd')
VARIANTS = 100


def handle(name):
    """A handle of a package without variants."""
    return {'key': 'filesystem.variant',
            'variables': {'location': '/svr/packages', 'name': name, 'version': '1.0', 'index': None,
                          'repository_type': 'filesystem'}}


def request(number, method, **params):
    """A message."""
    return json.dumps({'jsonrpc': '2.0', 'id': number, 'method': method,
                       'params': params}).encode() + b'\n'


def make_trees(directory, count, files, size):
    """Payloads, and how a warm names them."""
    entries = []
    for number in range(count):
        root = os.path.join(directory, f'tree{number}')
        os.makedirs(root)
        for name in range(files):
            with open(os.path.join(root, str(name)), 'wb') as file:
                file.write(os.urandom(64) * (size // 64))
        entries.append({'handle': handle(f'{os.path.basename(directory)}{number}'), 'root': root})
    return entries


@contextlib.contextmanager
def served(cache):
    """A daemon of its own."""
    process = subprocess.Popen([PROGRAM, '--cache', cache, 'daemon', '--foreground'],
                               env={**contestants.environment(), 'PKGCACHE_SPACE_BUFFER': '0'})
    try:
        while True:
            with contextlib.suppress(OSError):
                Daemon(cache).close()
                break
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.wait()


def measure(process):
    """Resident KiB, descriptors, and seconds of processor time."""
    with open(f'/proc/{process.pid}/statm', encoding='ascii') as file:
        resident = int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 10
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as file:
        ticks = sum(map(int, file.read().rsplit(')', 1)[1].split()[11:13]))
    descriptors = len(os.listdir(f'/proc/{process.pid}/fd'))
    return resident, descriptors, ticks / os.sysconf('SC_CLK_TCK')


def pipelined(cache, entries, count):
    """Sends so many look-ups without waiting. Returns seconds."""
    daemon = Daemon(cache)
    piece = b''.join(request(number, 'get', handle=entries[number % len(entries)]['handle'])
                     for number in range(1000))

    def send():
        for _ in range(count // 1000):
            daemon.socket.sendall(piece)
    since = time.monotonic()
    sender = threading.Thread(target=send)
    sender.start()
    left = count // 1000 * 1000
    while left > 0:
        left -= daemon.socket.recv(1 << 18).count(b'\n')
    sender.join()
    seconds = time.monotonic() - since
    daemon.close()
    return seconds


def mixed(cache, entries, clients, seconds, pause_ms):
    """Clients that ask now and then: mostly get, some get_many of 50, some ping.

    Returns the number of requests, and median and 99th percentile of their latencies in us.
    """
    messages = [request(1, 'get', handle=entry['handle']) for entry in entries] * 8
    messages += [request(1, 'get_many', handles=[entry['handle'] for entry in entries[:50]])] * 50
    messages += [request(1, 'ping')] * 50
    command = [CROWD, os.path.join(cache, '.sys', 'daemon.sock'), clients, seconds, pause_ms]
    result = subprocess.run([str(word) for word in command], input=b''.join(messages), check=True,
                            stdout=subprocess.PIPE)
    return map(int, result.stdout.split())


@contextlib.contextmanager
def warming(cache, entries):
    """Copies payloads again and again meanwhile, each time as other variants."""
    done = threading.Event()

    def warm():
        with Daemon(cache) as daemon:
            for turn in itertools.count():
                if done.is_set():
                    break
                daemon.warm([{**entry, 'handle': handle(f'turn{turn}-{number}')}
                             for number, entry in enumerate(entries)], priority='bulk')
    thread = threading.Thread(target=warm)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def crowd_warms(cache, directory, clients):
    """Many want the same at once: what is read from the source, and how long it takes."""
    source = os.path.join(directory, 'shared')
    entries = make_trees(source, 20, 20, 4096)
    mount = os.path.join(directory, 'mount')
    counts = os.path.join(directory, 'counts')
    os.mkdir(mount)
    slowfs = subprocess.Popen([SLOWFS, '--delay-ms', '1', '--count-file', counts, source, mount])
    while not os.path.ismount(mount):
        time.sleep(0.01)
    try:
        for entry in entries:
            entry['root'] = entry['root'].replace(source, mount)
        line = request(1, 'warm', variants=entries)
        since = time.monotonic()
        crowd = [Daemon(cache) for _ in range(clients)]
        for daemon in crowd:
            daemon.socket.sendall(line)
        told = [json.loads(daemon.file.readline())['result'] for daemon in crowd]
        seconds = time.monotonic() - since
        for daemon in crowd:
            daemon.close()
    finally:
        slowfs.terminate()
        slowfs.wait()
        subprocess.run(['umount', mount], check=False, capture_output=True)
    with open(counts, 'rb') as file:
        opens = [int(record.split(b' ')[0]) for record in file.read().split(b'\0')[:-1]]
    done = sum(answer['created'] + answer['found'] == len(entries) for answer in told)
    return seconds, done, len(opens), max(opens)


def main():
    """Measures one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--requests', type=int, default=1000000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cache = os.path.join(directory, 'cache')
        with served(cache) as process:
            entries = make_trees(os.path.join(directory, 'small'), VARIANTS, 2, 64)
            with Daemon(cache) as daemon:
                daemon.warm(entries)
            pipelined(cache, entries, 10000)
            count = 100000
            before = measure(process)
            seconds = pipelined(cache, entries, count)
            cpu = measure(process)[2] - before[2]
            print(f'one client, pipelined: {count / seconds:,.0f} gets a second; '
                  f'{cpu / count * 1e6:.1f} us of processor time each')
            large = make_trees(os.path.join(directory, 'large'), 30, 200, 8192)
            with warming(cache, large):
                count, median, p99 = mixed(cache, entries, clients=64, seconds=5, pause_ms=50)
            print(f'64 clients, a warm beside them: {count} requests, median {median} us, '
                  f'p99 {p99} us')
            seconds, done, files, most = crowd_warms(cache, directory, 200)
            print(f'200 clients warm the same 20 variants: {done} told in {seconds:.2f} s; '
                  f'{files} files of the source were opened, at most {most} times')
            before = measure(process)
            pipelined(cache, entries, options.requests)
            after = measure(process)
            print(f'{options.requests:,} requests: resident {before[0]} to {after[0]} KiB, '
                  f'descriptors {before[1]} to {after[1]}')


if __name__ == '__main__':
    sys.exit(main())
