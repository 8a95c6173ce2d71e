#!/usr/bin/env python3
"""A stand-in for rez: does to a package cache what rez 3.4 does to it, with the same faults.

usage: rezlike.py [--stop-at WHERE] [--file-delay S] [--lock-hash N] COMMAND CACHE [HANDLE [ROOT]]

    add CACHE HANDLE ROOT   copies a payload
    get CACHE HANDLE        looks for use
    status CACHE HANDLE     looks
    remove CACHE HANDLE     takes out
    clean CACHE             drops what is stalled and deletes what was taken out
    list CACHE              all variants and their states
    pend CACHE HANDLE       queues a variant
    hold CACHE              takes the lock, says so, keeps it until killed

--lock-hash, for hold, takes the place of a number that differs each time. Prints one JSON object a
line. With --stop-at the process stops itself (SIGSTOP) once it has come there:

    locked           the lock is held, nothing is done
    copying-made     .copying-INC is there, the sidecar is not
    claimed          so is the sidecar; the lock is still held
    unlocked         the copy is about to start
    copied:N         N files are copied
    copied           all are, .copying-INC is still there
    released-unique  between the two unlinks of the lock's release
    decided          remove has looked, and waits for the lock next

Faults that are rez's and meant to be here: increment names repeat after z and aa; sidecars are written
in place; a lock whose holder was killed is never broken; symlinks are followed; nothing is flushed;
.copying-INC is not looked at again before it is removed; the heartbeat beats while a copy hangs.
"""
import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import sys
import threading
import time

LOCK_TIMEOUT_S = 10
HEARTBEAT_S = 0.2
STALLED_AFTER_S = 5.0
NO_VERSION = '_NO_VERSION'
LOCK_FILE_NAME = re.compile(r'^.+-[0-9a-f]+\.[0-9]+(-?[0-9]+)$')


class NotMyLock(Exception):
    """What a time-out of the lock looks like to rez's user."""


# --- names -----------------------------------------------------------------------------------

def hashable_text(handle):
    """The text that is hashed: Python's repr of a nested tuple."""
    variables = {key: value for key, value in handle['variables'].items()
                 if not (key == 'version' and value in ('', False, NO_VERSION, None))}
    return str((handle['key'], tuple(sorted(variables.items()))))


def hash_directory(cache, handle):
    """CACHE/NAME/VERSION/HASH4 of a handle."""
    variables = handle['variables']
    digest = hashlib.sha1(hashable_text(handle).encode('utf-8')).hexdigest()
    return os.path.join(cache, variables['name'], variables.get('version') or NO_VERSION, digest[:4])


def qualified_name(handle):
    """NAME-VERSION, or NAME."""
    variables = handle['variables']
    version = variables.get('version')
    return f'{variables["name"]}-{version}' if version else variables['name']


def next_base26(previous):
    """a, b, ... z, aa, ab, ..."""
    if not previous:
        return 'a'
    if not re.match('^[a-z]*$', previous):
        raise ValueError('Invalid base26')
    if previous.endswith('z'):
        return next_base26(previous[:-1]) + 'a'
    return previous[:-1] + chr(ord(previous[-1]) + 1)


def is_lock_file(name):
    """Whether a name under .sys is that of a process that holds or wants the lock."""
    return bool(LOCK_FILE_NAME.match(name))


# --- the lock --------------------------------------------------------------------------------

class LinkLock:
    """rez's lock: a link from a file with a unique name to one that all know."""

    def __init__(self, cache, path_hash=None):
        system = os.path.join(cache, '.sys')
        path = os.path.join(system, '.lock')
        self.lock_file = path + '.lock'
        thread = threading.get_ident() & 0xffffffff
        if path_hash is None:  # as the process's number runs into it: no other number can be meant
            path_hash = -abs(hash(path))
        self.unique = os.path.join(
            system, f'{os.uname().nodename}-{thread:x}.{os.getpid()}{path_hash}')

    def acquire(self, timeout=LOCK_TIMEOUT_S):
        """Tries each second until the time is up."""
        with open(self.unique, 'wb'):
            pass
        deadline = time.time() + timeout
        while True:
            try:
                os.link(self.unique, self.lock_file)
                return
            except OSError:
                if os.stat(self.unique).st_nlink == 2:
                    return
            if time.time() > deadline:
                os.unlink(self.unique)
                raise NotMyLock(f'{self.lock_file} was not to be had')
            time.sleep(timeout / 10)

    def release(self, stops):
        """Gives it back, in rez's order."""
        os.unlink(self.unique)
        stops.reached('released-unique')
        os.unlink(self.lock_file)


class Stops:
    """Stops this process where it was told to."""

    def __init__(self, wanted=None):
        self.wanted = wanted
        self.files_copied = 0

    def reached(self, where):
        """Stops here, if this is where to stop."""
        if where == self.wanted:
            os.kill(os.getpid(), signal.SIGSTOP)

    def file_copied(self):
        """Counts files; each count is a place to stop."""
        self.files_copied += 1
        self.reached(f'copied:{self.files_copied}')


@contextlib.contextmanager
def locked(cache, stops):
    """Holds the lock."""
    lock = LinkLock(cache)
    lock.acquire()
    try:
        stops.reached('locked')
        yield
    finally:
        lock.release(stops)


# --- the cache -------------------------------------------------------------------------------

def open_cache(cache):
    """rez makes its own directories, and wants the cache to be there."""
    if not os.path.isdir(cache):
        raise ValueError(f'Not a directory: {cache}')
    for name in ('log', 'pending', 'to_delete'):
        os.makedirs(os.path.join(cache, '.sys', name), exist_ok=True)


def look(cache, handle):
    """(state, root) of a handle, without the lock. Raises on a sidecar that is no JSON, as rez does."""
    path = hash_directory(cache, handle)
    if not os.path.exists(path):
        return 'NOT_FOUND', ''
    for name in os.listdir(path):
        if not name.endswith('.json'):
            continue
        root = os.path.join(path, name[:-5])
        try:
            with open(os.path.join(path, name), encoding='utf-8') as file:
                data = json.load(file)
        except FileNotFoundError:
            continue
        if data.get('handle') == handle:
            return copying_state(os.path.join(path, '.copying-' + name[:-5])), root
    return 'NOT_FOUND', ''


def copying_state(copying):
    """What .copying-INC says."""
    if not os.path.exists(copying):
        return 'FOUND'
    try:
        if time.time() - os.stat(copying).st_mtime > STALLED_AFTER_S:
            return 'COPY_STALLED'
    except FileNotFoundError:
        pass
    return 'COPYING'


def get(cache, handle):
    """Looks for use: what is found is touched."""
    state, root = look(cache, handle)
    if state != 'FOUND':
        return None
    try:
        os.utime(root + '.json', None)
    except FileNotFoundError:
        return None
    return root


def sidecar_text(handle, requires=()):
    """What rez writes beside a payload."""
    data = {'handle': handle}
    if handle['variables'].get('index') is not None:
        data['data'] = list(requires)
    return json.dumps(data)


def add(cache, handle, root, stops=Stops(), file_delay=0):
    """Copies a payload; returns (state, root)."""
    state, found = look(cache, handle)
    if state != 'NOT_FOUND':
        return state, found
    path = hash_directory(cache, handle)
    os.makedirs(path, exist_ok=True)
    with locked(cache, stops):
        state, found = look(cache, handle)
        if state != 'NOT_FOUND':
            return state, found
        names = [name for name in os.listdir(path) if name.endswith('.json')]
        increment = next_base26(os.path.splitext(max(names))[0] if names else None)
        copying = os.path.join(path, '.copying-' + increment)
        with open(copying, 'w', encoding='utf-8'):
            pass
        stops.reached('copying-made')
        with open(os.path.join(path, increment + '.json'), 'w', encoding='utf-8') as file:
            file.write(sidecar_text(handle))
        stops.reached('claimed')
    stops.reached('unlocked')
    copy_with_heartbeat(root, os.path.join(path, increment), copying, stops, file_delay)
    os.remove(copying)
    return 'CREATED', os.path.join(path, increment)


def copy_with_heartbeat(root, target, copying, stops, file_delay):
    """Copies as rez does: links followed; the heart beats whether or not anything is copied."""
    def beat():
        while not done.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                os.utime(copying, None)

    def copy(source, destination, **options):
        shutil.copy2(source, destination, **options)
        stops.file_copied()
        time.sleep(file_delay)

    done = threading.Event()
    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        shutil.copytree(root, target, copy_function=copy)
    finally:
        done.set()
        heart.join()
    stops.reached('copied')


def remove(cache, handle, stops=Stops()):
    """Takes a variant out; it looks before it has the lock, as rez does."""
    state, root = look(cache, handle)
    if state in ('NOT_FOUND', 'COPYING'):
        return state
    stops.reached('decided')
    with locked(cache, stops):
        target = os.path.join(cache, '.sys', 'to_delete',
                              f'{qualified_name(handle)}-{os.urandom(16).hex()}')
        try:
            if not os.access(root, os.W_OK):
                os.chmod(root, os.stat(root).st_mode | stat.S_IWUSR)
            os.rename(root, target)
        except FileNotFoundError:
            return 'NOT_FOUND'
        path, increment = os.path.split(root)
        for name in (increment + '.json', '.copying-' + increment):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(path, name))
        for _ in range(3):
            try:
                os.rmdir(path)
            except OSError:
                break
            path = os.path.dirname(path)
    return 'REMOVED'


def listing(cache):
    """All variants as (handle, state, root), pending ones last. Raises on what rez cannot read."""
    found = []
    for name in sorted(os.listdir(cache)):
        if name.startswith('.'):
            continue
        for path, _, files in os.walk(os.path.join(cache, name)):
            if os.path.relpath(path, cache).count(os.sep) != 2:
                continue
            for file_name in sorted(files):
                if file_name.endswith('.json'):
                    with open(os.path.join(path, file_name), encoding='utf-8') as file:
                        handle = check_readable(json.load(file)['handle'])
                    found.append((handle, *look(cache, handle)))
    pending = os.path.join(cache, '.sys', 'pending')
    for name in os.listdir(pending):
        with open(os.path.join(pending, name), encoding='utf-8') as file:
            handle = json.load(file)
        if handle not in [entry[0] for entry in found]:
            found.append((handle, 'PENDING', ''))
    return found


def check_readable(handle):
    """Raises where rez would: at a handle of another key, type, or with other variables."""
    variables = handle['variables']
    if handle['key'] != 'filesystem.variant' or variables['repository_type'] != 'filesystem':
        raise ValueError(f'rez cannot read {handle}')
    if set(variables) - {'location', 'name', 'version', 'index', 'repository_type'}:
        raise ValueError(f'rez cannot read {handle}')
    if not isinstance(variables['location'], str) or not isinstance(variables['name'], str):
        raise ValueError(f'rez cannot read {handle}')
    return handle


def clean(cache):
    """Drops what is stalled, deletes what was taken out."""
    for handle, state, _ in listing(cache):
        if state == 'COPY_STALLED':
            remove(cache, handle)
    doomed = os.path.join(cache, '.sys', 'to_delete')
    for name in os.listdir(doomed):
        shutil.rmtree(os.path.join(doomed, name), ignore_errors=True)


def pend(cache, handle):
    """Queues a variant."""
    name = f'{qualified_name(handle)}-{os.urandom(16).hex()}.json'
    with open(os.path.join(cache, '.sys', 'pending', name), 'w', encoding='utf-8') as file:
        file.write(json.dumps(handle))
    return name


def hold(cache, path_hash):
    """Takes the lock and keeps it."""
    lock = LinkLock(cache, path_hash)
    lock.acquire()
    print(json.dumps({'unique': lock.unique, 'pid': os.getpid()}), flush=True)
    while True:
        signal.pause()


# --- as a program ------------------------------------------------------------------------------

def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--stop-at')
    parser.add_argument('--file-delay', type=float, default=0)
    parser.add_argument('--lock-hash', type=int)
    parser.add_argument('command', choices=['add', 'get', 'status', 'remove', 'clean', 'list',
                                            'pend', 'hold'])
    parser.add_argument('cache')
    parser.add_argument('handle', type=json.loads, nargs='?')
    parser.add_argument('root', nargs='?')
    return parser.parse_args(arguments)


def main(arguments):
    """Runs one command."""
    options = parse(arguments)
    stops = Stops(options.stop_at)
    cache, handle = options.cache, options.handle
    open_cache(cache)
    if options.command == 'add':
        state, root = add(cache, handle, options.root, stops, options.file_delay)
        print(json.dumps({'state': state, 'root': root}))
    elif options.command == 'get':
        print(json.dumps({'root': get(cache, handle)}))
    elif options.command == 'status':
        state, root = look(cache, handle)
        print(json.dumps({'state': state, 'root': root}))
    elif options.command == 'remove':
        print(json.dumps({'state': remove(cache, handle, stops)}))
    elif options.command == 'clean':
        clean(cache)
    elif options.command == 'list':
        for entry, state, root in listing(cache):
            print(json.dumps({'handle': entry, 'state': state, 'root': root}))
    elif options.command == 'pend':
        print(json.dumps({'name': pend(cache, handle)}))
    elif options.command == 'hold':
        hold(cache, options.lock_hash)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
