"""The daemon under a service manager: its units, sockets that are passed, and what it tells."""
import os
import shutil
import signal
import socket
import subprocess
import unittest

import daemons
import support
from support import DONE, PATIENCE_S, PROGRAM

UNITS = os.path.join(support.TOP, 'data', 'systemd')


class Units(support.ProgramTest):
    """The files."""

    def verify(self, manager, *options):
        """Has systemd judge the units of one manager."""
        program = shutil.which('systemd-analyze')
        if not program:
            raise unittest.SkipTest('systemd-analyze is not there')
        directory = self.path(manager)
        os.mkdir(directory)
        for name in os.listdir(os.path.join(UNITS, manager)):
            with open(os.path.join(UNITS, manager, name), encoding='utf-8') as file:
                text = file.read().replace('@bindir@/pkgcache', PROGRAM)
            with open(os.path.join(directory, name.removesuffix('.in')), 'w',
                      encoding='utf-8') as file:
                file.write(text)
        units = [os.path.join(directory, name) for name in os.listdir(directory)]
        result = subprocess.run([program, *options, 'verify', '--man=no', *units],
                                capture_output=True, check=False, timeout=PATIENCE_S,
                                env={**self.environment, 'XDG_RUNTIME_DIR': self.directory})
        self.assertEqual((result.returncode, result.stderr), (0, b''))

    def test_system(self):
        self.verify('system')

    def test_user(self):
        self.verify('user', '--user')


class Passed(daemons.DaemonTest):
    """What a service manager does, done by hand."""

    def listen(self, name, kind):
        """A socket of ours."""
        listening = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(listening.close)
        listening.settimeout(PATIENCE_S)
        listening.bind(self.path(name))
        return listening

    def start_with(self, listening, *arguments, **environment):
        """Starts a daemon with descriptor 3, as sd_listen_fds(3) has it."""
        command = ('exec 3<&%d; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
                   % listening.fileno())
        process = support.spawn(['/bin/sh', '-c', command, PROGRAM, '--cache', self.cache, 'daemon',
                                 '--foreground', *arguments],
                                pass_fds=[listening.fileno()], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env={**self.environment, **environment})
        support.at_the_end(self.addCleanup, support.kill_process, process)
        return process

    def test_a_socket_that_is_passed(self):
        listening = self.listen('passed.sock', socket.SOCK_STREAM)
        listening.listen()
        process = self.start_with(listening)
        with daemons.Daemon(path=self.path('passed.sock'), timeout=PATIENCE_S) as daemon:
            self.assertEqual(daemon.call('ping')['pid'], process.pid)
        variant = self.make_variant()
        self.assert_code(self.warm([variant], '--daemon=require'), DONE)  # found in the cache
        self.stop(process)
        self.assertTrue(os.path.exists(self.path('passed.sock')))
        process = self.start_with(listening)  # the next one is passed the same
        self.assert_cached(variant)
        with self.connect() as daemon:
            self.assertEqual(daemon.call('ping')['pid'], process.pid)
        self.stop(process)
        listening.close()
        self.start_daemon()  # and one that is not puts a socket in the link's place

    def test_what_it_tells(self):
        notified = self.listen('notify', socket.SOCK_DGRAM)
        process = self.start_daemon(NOTIFY_SOCKET=self.path('notify'), WATCHDOG_USEC='100000')
        self.assertEqual(notified.recv(100), b'READY=1')
        self.assertEqual(notified.recv(100), b'WATCHDOG=1')
        self.assertEqual(notified.recv(100), b'WATCHDOG=1')
        process.send_signal(signal.SIGHUP)
        told = set()
        while b'READY=1' not in told:
            told.add(notified.recv(100))
        self.assertTrue(any(state.startswith(b'RELOADING=1\nMONOTONIC_USEC=') for state in told))
        process.send_signal(signal.SIGTERM)
        while b'STOPPING=1' not in told:
            told.add(notified.recv(100))
        self.assert_code(support.finish(process), DONE)
