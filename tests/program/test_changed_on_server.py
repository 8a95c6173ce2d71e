"""A file that changes on a server while it is copied is copied as it is afterwards, never half and half."""
import errno
import os
import tempfile
import unittest

import mounts
import support
from support import DONE

SIZES = {'in one stream': 1 << 20, 'in ranges': 6 << 20}
CACHES = {
    'remembered for long': ('--attr-seconds', '3600'),
    'remembered for a second': ('--attr-seconds', '1'),
    'not remembered': ('--attr-seconds', '0'),
    'contents kept': ('--attr-seconds', '3600', '--keep-cache'),
    'contents kept, attributes not': ('--attr-seconds', '0', '--keep-cache'),
    'no contents': ('--attr-seconds', '3600', '--direct-io'),
}


class ChangedOnServer(support.ProgramTest):
    """The server stops before its second answer, and has other contents when it goes on."""

    def open_held(self, fifo, process):
        """Waits until the server stops; returns what makes it go on when closed."""
        opened = []

        def is_held():
            try:
                opened.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            return opened or process.poll() is not None

        support.wait_until(is_held, 'the server to stop')
        self.assertTrue(opened, 'the copy was over before a second read')
        return opened[0]

    def copy_changed(self, source, fifo, backend, size, options):
        """Copies a file that changes meanwhile, and judges the copy."""
        file = os.path.join(source, 'file')
        with open(file, 'wb') as stream:
            stream.write(b'o' * size)
        os.utime(file, (1000000000, 1000000000))
        copy = tempfile.mkdtemp(dir=self.directory)
        os.rmdir(copy)
        with mounts.slow_mount(source, '--hold-file', '/file', '--hold-fifo', fifo, *options) as slow:
            process = self.start('--backend', backend, 'copy', slow.path, copy)
            gate = self.open_held(fifo, process)
            with open(file, 'r+b') as stream:
                stream.write(b'n' * size)
            os.close(gate)
            self.assert_code(support.finish(process), DONE)
        with open(os.path.join(copy, 'file'), 'rb') as stream:
            self.assertEqual(set(stream.read()), set(b'n'))
        self.assertEqual(os.stat(os.path.join(copy, 'file')).st_mtime_ns, os.stat(file).st_mtime_ns)

    def test_whatever_the_kernel_remembers(self):
        """Of attributes and of contents, with both backends, in one stream and in ranges."""
        source, fifo = self.path('source'), self.path('fifo')
        os.mkdir(source)
        os.mkfifo(fifo)
        for cache, options in CACHES.items():
            for how, size in SIZES.items():
                for backend in ('ring', 'threads'):
                    with self.subTest(cache=cache, how=how, backend=backend):
                        self.copy_changed(source, fifo, backend, size, options)


if __name__ == '__main__':
    unittest.main()
