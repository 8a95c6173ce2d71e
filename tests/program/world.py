#!/usr/bin/env python3
"""Runs a command in namespaces of its own: what it starts and mounts ends with it, whatever happens.

usage: world.py [--net] [--host NAME] COMMAND [ARGUMENT...]

The command sees its own processes and mounts only: mounts that are made here are not seen outside,
those made outside later are seen here. --net: a network of its own, with nothing but loopback.
--host: another host name. Process 1 of these namespaces collects orphans and ends with the command's
status; then, or when whoever started it ends, the kernel kills the rest and takes the mounts away.
SIGTERM, SIGINT and SIGHUP are handed on. Where this cannot be had: exit 77, and why.
"""
import argparse
import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys

NEW_MOUNTS, NEW_HOST, NEW_PROCESSES, NEW_NETWORK = 0x20000, 0x04000000, 0x20000000, 0x40000000
SET_PARENT_DEATH_SIGNAL = 1
GET_INTERFACE_FLAGS, SET_INTERFACE_FLAGS, INTERFACE_UP = 0x8913, 0x8914, 1
SET_INTERFACE_ADDRESS, OTHER_ADDRESS = 0x8916, '198.51.100.1'  # of RFC 5737: nobody's
SKIPPED = 77
HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """Calls a function of the C library; raises OSError."""
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{name}: {os.strerror(number)}')


def raise_loopback():
    """Brings the loopback interface up, with an address besides 127.0.0.1: getaddrinfo() with
    AI_ADDRCONFIG, as slurmctld calls it, finds nothing on a host that has no other."""
    with socket.socket() as any_socket:
        request = bytearray(fcntl.ioctl(any_socket, GET_INTERFACE_FLAGS, struct.pack('16sH14x', b'lo', 0)))
        request[16] |= INTERFACE_UP
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, bytes(request))
        address = struct.pack('16sHH4s8x', b'lo:1', socket.AF_INET, 0, socket.inet_aton(OTHER_ADDRESS))
        fcntl.ioctl(any_socket, SET_INTERFACE_ADDRESS, address)


def hand_on(process):
    """Has signals that end us sent to another process instead."""
    def send(number, _frame):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
    for number in HANDED_ON:
        signal.signal(number, send)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)


def wait_for(process, collect=False):
    """The exit status of a child as a shell has it; `collect`: takes orphans, too."""
    while True:
        ended, status = os.waitpid(-1 if collect else process, 0)
        if ended == process:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def end_with_parent():
    """The kernel kills this process when its parent ends."""
    call('prctl', SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def be_first(options):
    """Process 1: prepares the namespaces, starts the command, sees all to the end."""
    end_with_parent()
    os.setpgid(0, 0)  # what a terminal or test runner sends to its group comes once: from the parent
    subprocess.run(['mount', '--make-rslave', '/'], check=True)
    subprocess.run(['mount', '-t', 'proc', 'proc', '/proc'], check=True)
    if options.net:
        raise_loopback()
    if options.host:
        socket.sethostname(options.host)
    process = os.fork()
    if not process:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDED_ON)
        try:
            os.execvp(options.command[0], options.command)
        except OSError as error:
            print(f'world: {options.command[0]}: {error.strerror}', file=sys.stderr)
        os._exit(127)
    hand_on(process)
    return wait_for(process, collect=True)


def main():
    """Parses, makes the namespaces, waits."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--net', action='store_true')
    parser.add_argument('--host')
    parser.add_argument('command', nargs=argparse.REMAINDER)
    options = parser.parse_args()
    os.environ.setdefault('PKGCACHE_TEST_RUN', str(os.getpid()))  # inside, numbers are others
    os.environ['PKGCACHE_TEST_WORLD'] = 'yes'
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON)
    try:
        call('unshare', NEW_PROCESSES | NEW_MOUNTS | (NEW_NETWORK if options.net else 0) |
             (NEW_HOST if options.host else 0))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOSPC):
            raise
        print(f'skipped: no namespaces of its own: {error.strerror}\n0 passed, 0 failed, 1 skipped')
        return SKIPPED
    process = os.fork()
    if not process:
        try:
            os._exit(be_first(options))
        except BaseException as error:  # pylint: disable=broad-except
            print(f'world: {error}', file=sys.stderr)
            os._exit(1)
    hand_on(process)
    return wait_for(process)


if __name__ == '__main__':
    sys.exit(main())
