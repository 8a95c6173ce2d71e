"""Progress as people and programs see it: on terminals, in logs, as JSON."""
import fcntl
import json
import os
import pty
import re
import struct
import termios
import unittest

import mounts
import support
from support import DONE, PROGRAM

ERASE = '\x1b[K'
LINE = re.compile(r'(?:\d+%  )?(?:\d+/\d+ variants  )?\d+ files?  [\d.]+ \w+  [\d.]+ \w+/s  '
                  r'\d+:\d\d(?:, \d+:\d\d left)?(?:  .*)?$')


class Progress(support.ProgramTest):
    """Of a copy that takes a while because its source is slow, however fast the machine is."""

    def setUp(self):
        super().setUp()
        self.variant = self.make_variant(files={f'{i % 4}/{i}': b'x' * 1000 for i in range(400)})
        slow = self.enterContext(mounts.slow_mount(self.variant.root, '--delay-ms', '50'))
        self.variant = support.Variant(self.variant.handle, slow.path)

    def on_terminal(self, columns, *arguments):
        """What a run writes on a terminal of so many columns: the lines that were shown."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
        process = support.spawn([PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                                env=self.environment)
        os.close(theirs)
        output = b''
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not piece:
                break
            output += piece
        os.close(ours)
        self.assertEqual(process.wait(), DONE, output)
        return [line.removeprefix(ERASE) for line in output.decode().split('\r')
                if line.startswith(ERASE)]

    def test_terminal(self):
        """One line, again and again; a percentage when the number of files is known."""
        lines = self.on_terminal(80, 'copy', self.variant.root, self.path('copy'))
        self.assertGreater(len(lines), 2)
        for line in lines[:-1]:
            self.assertRegex(line, LINE)
        self.assertTrue(any('%' in line for line in lines), lines)
        self.assertIn('400 files, ', lines[-1])

    def test_names_what_is_under_way(self):
        """A warm says which variant it copies."""
        manifest = support.write_manifest(self.path('manifest'), [self.variant])
        lines = self.on_terminal(120, '--cache', self.cache, 'warm', manifest)
        self.assertTrue(any(' 0/1 variants ' in f' {line}' for line in lines), lines)
        self.assertTrue(any('foo' in line for line in lines[:-1]), lines)

    def test_narrow_terminal(self):
        """A line never fills one: it would move to the next one, and stay."""
        lines = self.on_terminal(30, 'copy', self.variant.root, self.path('copy'))
        self.assertGreater(len(lines), 2)
        for line in lines[:-1]:
            self.assertLess(len(line), 30)

    def test_log(self):
        """--stats: whole lines, in a pipe, too."""
        result = self.run_program('copy', '--stats', '1', self.variant.root, self.path('copy'))
        self.assertEqual(result.code, DONE)
        for line in result.err.splitlines():
            self.assertRegex(line.removeprefix('pkgcache: '), LINE)
        self.assertNotIn('\x1b', result.err)
        self.assertNotIn('\r', result.err)

    def test_json(self):
        """Has the total when it is known, and what is under way."""
        result = self.warm([self.variant], '--progress', 'json')
        self.assertEqual(result.code, DONE)
        seen = [json.loads(line) for line in result.err.splitlines()]
        self.assertTrue(any(item.get('files_total') == 400 for item in seen), seen)
        self.assertTrue(any('foo' in item.get('current', '') for item in seen), seen)


if __name__ == '__main__':
    unittest.main()
