"""What tests of the daemon share. Its clients are docs/examples/daemon_client.py."""
import contextlib
import os
import signal
import socket
import sys

import support
from support import DONE, PATIENCE_S, ProgramTest, wait_until

sys.path.insert(0, os.path.join(support.TOP, 'docs', 'examples'))
from daemon_client import BUSY, Daemon, DaemonError  # noqa: E402,F401 pylint: disable=all

# For a daemon that ends while the kernel still reads from a source that hangs: a sanitizer that
# looks for leaks then would stop all threads first, and wait for that one for ever; another one
# misses the thread.
HANGS = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0',
         'TSAN_OPTIONS': os.environ.get('TSAN_OPTIONS', '') + ':report_thread_leaks=0'}


class DaemonTest(ProgramTest):
    """A test with a daemon."""

    def start_daemon(self, *arguments, **options):
        """Starts a daemon and waits until it serves."""
        process = self.start('--cache', self.cache, 'daemon', '--foreground', *arguments, **options)
        self.process = process

        def serves():
            if process.poll() is not None:
                raise AssertionError(f'the daemon ended: {support.finish(process)}')
            with contextlib.suppress(OSError):
                Daemon(self.cache).close()
                return True
            return False
        wait_until(serves, 'the daemon to serve')
        return process

    def connect(self):
        """A client of the daemon."""
        daemon = Daemon(self.cache, timeout=PATIENCE_S)
        self.addCleanup(daemon.close)
        return daemon

    def connect_plain(self):
        """A socket, for what no client would send."""
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(plain.close)
        plain.settimeout(PATIENCE_S)
        plain.connect(os.path.join(self.cache, '.sys', 'daemon.sock'))
        return plain

    def behind(self, mount, variant):
        """The root of a variant as a slow mount of all roots has it."""
        return os.path.join(mount.path, os.path.relpath(variant.root, self.path('roots')))

    def stop(self, process):
        """Tells a daemon to end, and sees that it does."""
        process.send_signal(signal.SIGTERM)
        result = support.finish(process)
        self.assert_code(result, DONE)
        return result


def entry(variant):
    """A variant as method warm takes it."""
    return {'handle': variant.handle, 'root': variant.root}
