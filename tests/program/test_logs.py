"""The log: rez's lines in rez's files, and `logs`, which prints them."""
import os
import re
import signal
import subprocess
import time
import unittest

import support
from support import DONE, FAILED, INTERRUPTED, USAGE, once

LINE = re.compile(r'rez-pkg-cache (\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d,\d{3} PID-(\d+) '
                  r'(INFO|WARNING|ERROR) (.*)')


class LogsTest(support.ProgramTest):
    """Has a cache, and a clock that is not on UTC."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        self.environment['TZ'] = 'XXX+11:30'
        self.log = os.path.join(self.cache, '.sys', 'log')

    def today(self):
        """The name of today's file, in the time zone of the test."""
        return time.strftime('%Y-%m-%d.log', time.gmtime(time.time() - 11.5 * 3600))

    def lines(self):
        """All lines of today, parsed: (level, message)."""
        with open(os.path.join(self.log, self.today()), encoding='utf-8') as file:
            lines = file.read().split('\n')
        self.assertEqual(lines.pop(), '')
        parsed = []
        for line in lines:
            match = LINE.fullmatch(line)
            self.assertIsNotNone(match, line)
            parsed.append(match.group(3, 4))
        return parsed

    def write(self, name, *lines):
        """Writes a file of the log."""
        os.makedirs(self.log, exist_ok=True)
        with open(os.path.join(self.log, name), 'w', encoding='utf-8') as file:
            file.write(''.join(f'{line}\n' for line in lines))

    def logs(self, *options):
        """Runs `logs` and returns the lines."""
        result = self.run_program('--cache', self.cache, 'logs', *options)
        self.assert_code(result, DONE)
        return result.out.splitlines()


class WhatIsWritten(LogsTest):
    """What rez says, as rez says it."""

    def test_the_life_of_a_variant(self):
        """Started, cached, and deleted; a look at what is there is not worth a line."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        (root,) = self.get(variant)
        self.assert_code(self.warm([variant]), DONE)
        uri = f'{self.path("repository")}/foo/1.0/package.py[]'
        started, cached = self.lines()
        self.assertEqual(started, ('INFO', f'Started caching of variant {uri}...'))
        self.assertEqual(cached[0], 'INFO')
        pattern = re.escape(f'Cached variant to {root} in ') + r'([0-9.e+-]+) seconds'
        match = re.fullmatch(pattern, cached[1])
        self.assertIsNotNone(match, cached)
        self.assertEqual(f'{float(match.group(1)):g}', match.group(1))
        self.assert_code(self.run_program('--cache', self.cache, 'remove', variant.argument), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assertRegex(self.lines()[2][1], f'^Deleted {self.cache}/.sys/to_delete/foo-1.0-[0-9a-f]+$')

    @once
    def test_what_fails(self):
        """With the reason."""
        missing = support.Variant(support.make_handle(name='gone'), self.path('gone'))
        self.assert_code(self.warm([missing]), FAILED)
        ((level, message),) = self.lines()
        self.assertEqual(level, 'ERROR')
        self.assertTrue(message.startswith('Failed to add variant to the cache: gone-1.0: '), message)

    def test_line_feeds_in_paths(self):
        """A path is not to make lines of its own."""
        variant = self.make_variant()
        handle = support.make_handle('/svr/two\nlines\x1b[2J', 'foo')
        self.assert_code(self.warm([support.Variant(handle, variant.root)]), DONE)
        self.assertIn(('INFO', 'Started caching of variant '
                               '/svr/two\\nlines\\x1b[2J/foo/1.0/package.py[]...'), self.lines())

    def test_many_processes_at_once(self):
        """Each line is whole."""
        variants = [self.make_variant(f'package{number}') for number in range(24)]
        processes = [self.start('--cache', self.cache, 'warm',
                                support.write_manifest(self.path(f'{start}.json'), variants[start::8]))
                     for start in range(8)]
        for process in processes:
            self.assert_code(support.finish(process), DONE)
        self.assertEqual(len(self.lines()), 2 * len(variants))

    def test_what_is_no_file_to_write_to(self):
        """Links, also hard ones, fifos, directories: not written to, and no error."""
        victim = self.path('victim')
        with open(victim, 'w', encoding='utf-8'):
            pass
        path = os.path.join(self.log, self.today())
        os.makedirs(self.log)
        for number, make in enumerate((lambda: os.symlink(victim, path), lambda: os.mkfifo(path),
                                       lambda: os.mkdir(path), lambda: os.link(victim, path))):
            make()
            self.assert_code(self.warm([self.make_variant(f'package{number}')]), DONE)
            self.assertEqual(os.path.getsize(victim), 0)
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)


class WhatIsPrinted(LogsTest):
    """Over the files of all days."""

    @once
    def test_last_lines(self):
        """Of all files that rez's names have, in order."""
        self.write('2026-01-02.log', *[f'two {number}' for number in range(5)])
        self.write('2026-01-01.log', *[f'one {number}' for number in range(5)])
        self.write('2026-01-03.log')
        self.write('notes.log', 'not a log')
        self.write('2026-01-04.log.gz', 'not a log')
        expected = [f'one {number}' for number in range(5)] + [f'two {number}' for number in range(5)]
        self.assertEqual(self.logs(), expected)
        for count in (0, 1, 4, 5, 6, 10, 11):
            with self.subTest(count):
                self.assertEqual(self.logs('-n', str(count)), expected[10 - count if count < 10 else 0:])
        result = self.run_program('--cache', self.cache, '--json', 'logs', '--lines=6')
        self.assertEqual(result.json(), expected[4:])

    @once
    def test_large_files(self):
        """They are read from their end; lines may be longer than a block."""
        lines = [f'{number} ' + 'x' * (number * 997 % 3000) for number in range(200)] + ['y' * 150000]
        self.write('2026-01-01.log', *lines)
        for count in (1, 2, 150):
            self.assertEqual(self.logs('-n', str(count)), lines[-count:])

    @once
    def test_what_is_not_fit_for_a_terminal(self):
        """Control characters, bytes that are not UTF-8, and a line that is being written."""
        self.write('2026-01-01.log')
        with open(os.path.join(self.log, '2026-01-01.log'), 'wb') as file:
            file.write(b'one\x1b[2J\xff\ntwo\nhal')
        result = self.run_program('--cache', self.cache, 'logs')
        self.assertEqual(result.out, 'one\\x1b[2J\\xff\ntwo\n')

    @once
    def test_no_log(self):
        """A cache that nobody used has none; there must be a cache."""
        self.assertEqual(self.logs(), [])
        self.assert_refused(self.run_program('--cache', self.path('no'), 'logs'), FAILED)
        for wrong in (['-n', '-1'], ['-n', 'x']):
            self.assert_refused(self.run_program('--cache', self.cache, 'logs', *wrong), USAGE)
        endless = self.run_program('--cache', self.cache, '--json', 'logs', '-f')
        self.assert_code(endless, USAGE)


class WhatIsFollowed(LogsTest):
    """What is added, also when a new day begins."""

    def follow(self, *wrapper):
        """Starts `logs -f`."""
        process = support.spawn([*wrapper, support.PROGRAM, '--cache', self.cache, 'logs', '-f'],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        return process

    def check(self, process):
        """New lines, of the same day and of the next ones, are printed."""
        for name, line in (('2026-01-01.log', 'more'), ('2026-01-02.log', 'a new day'),
                           ('2026-01-02.log', 'goes on'), ('2026-01-05.log', 'after a weekend')):
            with open(os.path.join(self.log, name), 'a', encoding='utf-8') as file:
                file.write(line + '\n')
            self.assertEqual(process.stdout.readline().decode(), line + '\n')
        process.send_signal(signal.SIGINT)
        self.assert_code(support.finish(process), INTERRUPTED)

    @once
    def test_with_inotify(self):
        """Ten lines, then what comes."""
        self.write('2026-01-01.log', *map(str, range(12)))
        process = self.follow()
        for number in range(2, 12):
            self.assertEqual(process.stdout.readline().decode(), f'{number}\n')
        self.check(process)

    @once
    def test_without_inotify(self):
        """By looking once a second."""
        wrapper = ['unshare', '--user', '--map-root-user', 'sh', '-c',
                   'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', 'sh']
        probe = subprocess.run([*wrapper, 'true'], check=False, stderr=subprocess.DEVNULL)
        if probe.returncode:
            self.skipTest('needs a user namespace, in which inotify can be refused')
        self.write('2026-01-01.log', 'first')
        process = self.follow(*wrapper)
        self.assertEqual(process.stdout.readline(), b'first\n')
        self.check(process)

    @once
    def test_a_log_that_is_yet_to_be(self):
        """Its directory, too."""
        process = self.follow()
        self.write('2026-01-01.log', 'first')
        self.assertEqual(process.stdout.readline(), b'first\n')
        self.check(process)

    @once
    def test_nobody_reads(self):
        """The end of a pipe ends it."""
        self.write('2026-01-01.log', 'first')
        process = self.follow()
        self.assertEqual(process.stdout.readline(), b'first\n')
        process.stdout.close()

        def ended():
            with open(os.path.join(self.log, '2026-01-01.log'), 'a', encoding='utf-8') as file:
                file.write('more\n')
            return process.poll() is not None
        support.wait_until(ended, 'logs to end')
        process.stderr.close()


if __name__ == '__main__':
    unittest.main()
