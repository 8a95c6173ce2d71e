"""Ctrl-C and SIGTERM before anything has begun: it is said, at once, whatever is waited for."""
import fcntl
import os
import signal
import struct
import termios
import unittest

import mounts
import support


@support.once
class Interruption(support.ProgramTest):
    """While sources are read."""

    def interrupt(self, process, number=signal.SIGINT):
        """Sends a signal, and checks how the process ends."""
        process.send_signal(number)
        result = support.finish(process)
        self.assert_code(result, 128 + number)
        self.assertRegex(result.err, r'^pkgcache: interrupted: \w.*\n$')
        self.assertEqual(result.out, '')

    def interrupt_reading(self, begun, *arguments):
        """From a pipe that has this much and then no more."""
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        process = self.start('--cache', self.cache, *arguments, stdin=read_end)
        os.write(write_end, begun)
        support.wait_until(lambda: struct.unpack('i', fcntl.ioctl(read_end, termios.FIONREAD, bytes(4)))[0] == 0,
                           'all to be read')
        os.close(read_end)
        self.interrupt(process)
        self.assertFalse(os.path.exists(self.cache))

    def test_standard_input(self):
        """A list that goes on, for each command that takes one."""
        with open(self.path('hosts'), 'w', encoding='ascii') as file:
            file.write('n1\n')
        for arguments in (['warm', '-'], ['warm', '-n', '-'], ['pack', '-', '-o', self.path('made.pack')],
                          ['add', '-'], ['manifest', '-'],
                          ['preload', '-', '--hosts', self.path('hosts'), '--with', 'parallel',
                           '--run-dir', self.path('runs')]):
            with self.subTest(arguments[0]):
                self.interrupt_reading(b'{"handle": ', *arguments)
        self.assertFalse(os.path.exists(self.path('made.pack')))
        self.assertFalse(os.path.exists(self.path('runs')))

    def test_index_of_a_pack(self):
        """It has not come yet."""
        manifest = support.write_manifest(self.path('manifest.json'), [self.make_variant()])
        made = self.path('made.pack')
        self.assert_code(self.run_program('pack', manifest, '-o', made), support.DONE)
        with open(made, 'rb') as file:
            self.interrupt_reading(file.read(700), 'warm', '-', '--trust-pack')

    def test_server_hangs(self):
        """A context on it, a repository, the trees that are to be packed, and a termination."""
        variant = self.make_variant()
        manifest = support.write_manifest(self.path('manifest.json'), [variant])
        slow = self.enter(mounts.slow_mount(self.directory))
        there = os.path.join(slow.path, 'manifest.json')
        behind = variant._replace(root=os.path.join(slow.path, os.path.relpath(variant.root, self.directory)))
        manifest = support.write_manifest(self.path('behind.json'), [behind])
        for arguments in (['warm', there], ['warm', '--all', slow.path], ['add', f'{slow.path}/foo/1.0/package.py[]'],
                          ['pack', manifest, '-o', self.path('made.pack')], ['manifest', manifest]):
            for number in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(arguments[0]), slow.hanging():
                    process = self.start('--cache', self.path('cache'), *arguments)
                    support.wait_until(lambda: blocks(process.pid, signal.SIGINT), 'it to watch for signals')
                    self.interrupt(process, number)


def blocks(pid, number):
    """Whether a process blocks a signal, to wait for it."""
    with open(f'/proc/{pid}/status', encoding='ascii') as file:
        blocked = next(line.split()[1] for line in file if line.startswith('SigBlk:'))
    return bool(int(blocked, 16) >> (number - 1) & 1)


if __name__ == '__main__':
    unittest.main()
