"""`stats`: what is counted, how it is printed, and what a damaged file of counters may cost."""
import json
import os
import re
import signal
import threading
import unittest

import support
from support import DONE, FAILED, MISSING, USAGE

HEADER = 256  # bytes; a stripe is as long


def parse_prometheus(text):
    """The Prometheus text format, to the letter: {metric: (type, labels, value)}."""
    metrics = {}
    name = kind = None
    if not text.endswith('\n'):
        raise AssertionError('the last line must end in a line feed')
    for line in text[:-1].split('\n'):
        described = re.fullmatch(r'# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*)', line)
        typed = re.fullmatch(r'# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)', line)
        sample = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)'
                              r'\{([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"\} '
                              r'([0-9]+(?:\.[0-9]+)?)', line)
        if described:
            name, kind = described.group(1), None
            if name in metrics:
                raise AssertionError(f'{name} comes twice')
        elif typed and typed.group(1) == name and kind is None:
            kind = typed.group(2)
        elif sample and sample.group(1) == name and kind:
            labels = {sample.group(2): re.sub(r'\\(.)', lambda match: {'n': '\n'}.get(
                match.group(1), match.group(1)), sample.group(3))}
            metrics[name] = (kind, labels, float(sample.group(4)))
        else:
            raise AssertionError(f'not the text format: {line!r}')
    return metrics


class StatsTest(support.ProgramTest):
    """Has a cache with a variant in it, that was copied."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        self.variant = self.make_variant()
        self.assert_code(self.warm([self.variant]), DONE)
        self.file = os.path.join(self.cache, '.sys', 'counters')

    def stats(self, *options, **how):
        """Runs `stats --json` and returns what it printed."""
        result = self.run_program('--cache', self.cache, '--json', 'stats', *options, **how)
        self.assert_code(result, DONE)
        return result.json()

    def get_many(self, count, **how):
        """Looks the variant up, that often, in one process."""
        result = self.run_program('--cache', self.cache, 'get', *[self.variant.argument] * count,
                                  **how)
        self.assert_code(result, DONE)


class WhatIsCounted(StatsTest):
    """What a user of ccache expects."""

    def test_hits_misses_and_copies(self):
        """And size, largest, oldest and room."""
        stats = self.stats()
        self.assertEqual((stats['hits'], stats['misses'], stats['copies'], stats['failures']),
                         (0, 1, 1, 0), stats)
        self.assertEqual((stats['files'], stats['bytes']), (20, stats['size']), stats)
        self.assertEqual((stats['variants'], stats['stored_files']), (1, 20), stats)
        self.assertEqual((stats['largest'], stats['oldest']), ('foo-1.0', 'foo-1.0'), stats)
        self.assertEqual(stats['largest_size'], stats['size'])
        self.assertGreater(stats['room'], 0)
        self.assertGreater(stats['copy_seconds'], 0)
        self.get_many(3)
        self.assertEqual(self.get(self.make_variant('bar')), [None])
        self.assert_code(self.warm([self.variant]), DONE)
        stats = self.stats()
        self.assertEqual((stats['hits'], stats['misses'], stats['copies']), (4, 2, 1), stats)
        self.assertAlmostEqual(stats['seconds_saved'], 4 * stats['copy_seconds'], places=4)

    def test_removals_cleans_and_failures(self):
        """A root that is not there is a failure, also a miss."""
        missing = support.Variant(support.make_handle(name='gone'), self.path('gone'))
        self.assert_code(self.warm([missing]), FAILED)
        remove = self.run_program('--cache', self.cache, 'remove', self.variant.argument)
        self.assert_code(remove, DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        stats = self.stats()
        self.assertEqual((stats['failures'], stats['removals'], stats['cleans']), (1, 1, 1), stats)
        self.assertEqual((stats['variants'], stats['largest'], stats['oldest_used']), (0, None, 0))

    def test_zero(self):
        """Prints what was, and begins anew; for those, too, who have the file open."""
        self.get_many(2)
        self.assertEqual(self.stats('--zero')['hits'], 2)
        stats = self.stats()
        self.assertEqual((stats['hits'], stats['copies'], stats['seconds_saved']), (0, 0, 0))
        self.assertEqual(stats['variants'], 1)
        self.get_many(1)
        self.assertEqual(self.stats()['hits'], 1)

    def test_many_processes_at_once(self):
        """Nothing is lost."""
        each = support.scaled(100, 70)
        before = self.stats()['hits']
        processes = [self.start('--cache', self.cache, 'get', *[self.variant.argument] * each)
                     for _ in range(16)]
        for process in processes:
            self.assert_code(support.finish(process), DONE)
        self.assertEqual(self.stats()['hits'] - before, 16 * each)


class HowItIsPrinted(StatsTest):
    """Three formats with the same figures."""

    def test_prometheus(self):
        """Every metric has a type and a help text; counters end in _total."""
        self.get_many(5)
        result = self.run_program('--cache', self.cache, 'stats', '--format', 'prometheus')
        self.assert_code(result, DONE)
        metrics = parse_prometheus(result.out)
        for name, (kind, labels, _) in metrics.items():
            self.assertTrue(name.startswith('pkgcache_'), name)
            self.assertEqual(kind == 'counter', name.endswith('_total'), name)
            self.assertEqual(labels, {'cache': self.cache})
        stats = self.stats()
        for metric, key in {'hits_total': 'hits', 'copied_bytes_total': 'bytes',
                            'variants': 'variants', 'stored_bytes': 'size'}.items():
            self.assertEqual(metrics[f'pkgcache_{metric}'][2], stats[key], metric)
        self.assertEqual(metrics['pkgcache_hits_total'][2], 5)

    def test_the_dashboard(self):
        """Asks for metrics that there are, by labels that they have."""
        printed = self.run_program('--cache', self.cache, 'stats', '--format', 'prometheus').out
        known = set(parse_prometheus(printed))
        with open(os.path.join(support.TOP, 'data', 'grafana-dashboard.json'), encoding='utf-8') as file:
            dashboard = json.load(file)
        asked = [target['expr'] for panel in dashboard['panels'] for target in panel['targets']]
        for expression in asked:
            metrics = set(re.findall(r'pkgcache_\w+', expression))
            self.assertTrue(metrics and metrics <= known, expression)
            self.assertEqual(set(re.findall(r'(\w+)=~', expression)), {'instance', 'cache'})

    def test_names_that_prometheus_must_be_told_of_with_care(self):
        """Quotes, backslashes and line feeds in the cache's path; bytes that are not UTF-8 go."""
        cache = self.path('a"b\\c\nd\udcff')
        os.mkdir(cache)
        result = self.run_program('--cache', cache, 'stats', '--format=prometheus')
        self.assert_code(result, DONE)
        (labels,) = {tuple(labels.items()) for _, labels, _ in parse_prometheus(result.out).values()}
        self.assertEqual(labels, (('cache', self.path('a"b\\c\nd\ufffd')),))

    def test_text(self):
        """Names and numbers, for people."""
        self.get_many(1)
        result = self.run_program('--cache', self.cache, 'stats')
        self.assert_code(result, DONE)
        self.assertRegex(result.out, r'(?m)^hits +1 \(50\.0 %\)$')
        self.assertRegex(result.out, r'(?m)^largest +foo-1\.0, ')
        asked_for = self.run_program('--cache', self.cache, 'stats', '--format', 'text')
        # others use the disk, too
        without_room = re.compile(r'(?m)^room left .*\n')
        self.assertEqual(without_room.sub('', result.out), without_room.sub('', asked_for.out))

    def test_command_line(self):
        """What is no format is refused; so is a cache that is not there."""
        self.assert_refused(self.run_program('--cache', self.cache, 'stats', '--format=xml'), USAGE)
        self.assert_refused(self.run_program('--cache', self.path('no'), 'stats'), FAILED)


class WhatBecomesOfTheFile(StatsTest):
    """Counting is never worth an error, and never kills."""

    def damage(self):
        """Ways to ruin the file."""
        def write(content):
            with open(self.file, 'wb') as file:
                file.write(content)

        def replace(make):
            (os.rmdir if os.path.isdir(self.file) else os.unlink)(self.file)
            make()
        with open(self.file, 'rb') as file:
            sound = file.read()
        yield 'empty', lambda: write(b'')
        yield 'cut in its header', lambda: write(sound[:100])
        yield 'cut in a stripe', lambda: write(sound[:HEADER + 100])
        yield 'zeros', lambda: write(bytes(len(sound)))
        yield 'another version', lambda: write(sound[:8] + b'\x07' + sound[9:])
        yield 'another byte order', lambda: write(sound[:12] + b'\1\2\3\4' + sound[16:])
        yield 'random', lambda: write(os.urandom(5000))
        yield 'a directory', lambda: replace(lambda: os.mkdir(self.file))
        yield 'a dangling link', lambda: replace(lambda: os.symlink('/nowhere/at/all', self.file))
        yield 'a link', lambda: replace(lambda: os.symlink(self.file + '.other', self.file))
        yield 'a fifo', lambda: replace(lambda: os.mkfifo(self.file))
        yield 'gone', lambda: replace(lambda: None)

    def test_whatever_stands_there(self):
        """It is set aside, and counting goes on."""
        with open(self.file + '.other', 'wb') as file:
            file.write(b'not to be written to')
        for what, damage in self.damage():
            with self.subTest(what):
                damage()
                before = self.stats()['hits']
                self.get_many(2)
                self.assertEqual(self.stats()['hits'], before + 2)
        with open(self.file + '.other', 'rb') as file:
            self.assertEqual(file.read(), b'not to be written to')

    def test_while_others_count(self):
        """The file is cut, overwritten and replaced all the time: nobody notices."""
        stop = threading.Event()

        def ruin():
            while not stop.is_set():
                for _, damage in self.damage_again():
                    damage()
        ruiner = threading.Thread(target=ruin)
        ruiner.start()
        try:
            for _ in range(support.scaled(3, 1)):
                processes = [self.start('--cache', self.cache, 'get', '--touch=no',
                                        *[self.variant.argument] * support.scaled(200))
                             for _ in range(4)]
                for process in processes:
                    result = support.finish(process)
                    self.assertNotEqual(result.code, -signal.SIGBUS)
                    self.assert_code(result, DONE)
        finally:
            stop.set()
            ruiner.join()
        self.get_many(2)
        self.get_many(1)
        self.assertGreaterEqual(self.stats()['hits'], 1)

    def damage_again(self):
        """What can be done to whatever stands there now."""
        def attempt(action):
            try:
                action()
            except OSError:
                pass
        yield 'cut', lambda: attempt(lambda: os.truncate(self.file, 0))
        yield 'cut', lambda: attempt(lambda: os.truncate(self.file, HEADER + 50))
        yield 'longer', lambda: attempt(lambda: os.truncate(self.file, 1 << 20))
        yield 'gone', lambda: attempt(lambda: os.unlink(self.file))

    @unittest.skipUnless(os.geteuid() == 0, 'becoming another user needs root')
    def test_where_it_may_not_be_written(self):
        """Another user's cache: nothing is counted, nothing is said; stats prints what there is."""
        program = self.program_for_anybody()
        with self.untouched(self.cache):
            self.get_many(2, uid=support.NOBODY, program=program)
        self.assertEqual(self.stats(uid=support.NOBODY, program=program)['hits'], 0)
        zero = self.run_program('--cache', self.cache, 'stats', '--zero', uid=support.NOBODY,
                                program=program)
        self.assert_refused(zero, FAILED)

    def test_a_directory_that_is_no_cache(self):
        """Those who only look make nothing."""
        os.mkdir(self.path('other'))
        with self.untouched(self.path('other')):
            result = self.run_program('--cache', self.path('other'), 'get', self.variant.argument)
            self.assert_code(result, MISSING)
            self.assert_code(self.run_program('--cache', self.path('other'), 'stats'), DONE)


if __name__ == '__main__':
    unittest.main()
