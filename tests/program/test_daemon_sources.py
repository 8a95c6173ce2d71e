"""Warms that name contexts, manifests and URIs: the daemon finds out what is in them."""
import json
import os
import signal
import time
import unittest

import daemons
import mounts
import rezprogram
import support
from daemons import DaemonError, entry
from support import once, wait_until

BAD_PARAMS, FORBIDDEN, FAILED = -32602, -32002, -32004


class SourcesTest(rezprogram.RezProgramTest, daemons.DaemonTest):
    """A repository, and contexts of what is in it."""

    def write_context(self, name, variants, **others):
        """A context of these variants; returns its path."""
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(json.dumps({'status': 'solved', 'resolved_packages':
                                   [variant.handle for variant in variants], **others}))
        return self.path(name)

    def write(self, name, text):
        """A file; returns its path."""
        with open(self.path(name), 'w', encoding='utf-8') as file:
            file.write(text)
        return self.path(name)

    def assert_failed(self, code, about, **params):
        """The daemon refuses such a warm, and begins nothing."""
        daemon = self.connect()
        with self.assertRaises(DaemonError) as caught:
            daemon.call('warm', **params)
        self.assertEqual(caught.exception.code, code, caught.exception)
        self.assertIn(about, str(caught.exception))
        self.assertEqual(daemon.call('status')['counters']['jobs_ever'], 0)
        return caught.exception


class Named(SourcesTest):
    """What sources name is cached."""

    def setUp(self):
        super().setUp()
        self.start_daemon()

    def test_contexts_with_common_variants(self):
        foo = self.make_package(variants=[['a-1', 'b'], ['a-2']])
        bar, = self.make_package('bar')
        first = self.write_context('first.rxt', [foo[0], bar])
        second = self.write_context('second.rxt', [bar, foo[1]])
        daemon = self.connect()
        answer = daemon.warm(sources=[first, second])
        self.assertEqual((answer['variants'], answer['created']), (3, 3), answer)
        wanted = [foo[0], bar, foo[1]]
        for result, variant in zip(answer['results'], wanted):
            self.assertEqual(result['handle'], variant.handle)
            self.assertEqual(result['root'], daemon.get(variant.handle))
        self.assertEqual([result['variant'] for result in answer['results']],
                         ['foo-1.0', 'bar-1.0', 'foo-1.0'])
        with open(answer['results'][0]['root'] + '.json', encoding='utf-8') as file:
            self.assertEqual(json.load(file)['data'], ['a-1', 'b'])
        self.assertEqual(daemon.warm(sources=[second])['found'], 2)
        self.assert_sound(wanted)

    def test_yaml(self):
        foo, = self.make_package()
        text = 'status: solved\nresolved_packages:\n- key: filesystem.variant\n  variables:\n'
        for key, value in foo.handle['variables'].items():
            text += f'    {key}: {json.dumps(value)}\n'
        answer = self.connect().warm(sources=[self.write('a.rxt', text)])
        self.assertEqual(answer['created'], 1, answer)

    def test_manifest_and_uri(self):
        foo = self.make_package(variants=[['a'], ['b']])
        bar = self.make_variant('bar')  # without a definition: its root is named
        manifest = support.write_manifest(self.path('manifest'), [bar])
        answer = self.connect().warm(sources=[manifest, self.uri(foo[1])])
        self.assertEqual([result['handle'] for result in answer['results']],
                         [bar.handle, foo[1].handle])
        self.assertEqual(answer['created'], 2, answer)

    def test_some_cannot_be_cached(self):
        """The rest is; each result says what it is of, and why not."""
        good, = self.make_package()
        bad, = self.make_package('bad', cachable=False)
        gone, = self.make_package('gone')
        os.unlink(os.path.join(gone.root, 'package.py'))
        context = self.write_context('a.rxt', [bad, good, gone, support.Variant({}, None)])
        daemon = self.connect()
        answer = daemon.warm(sources=[context])
        self.assertEqual([result['status'] for result in answer['results']],
                         ['skipped', 'created', 'failed', 'failed'])
        self.assertIn('not cachable', answer['results'][0]['reason'])
        self.assertEqual(answer['results'][2]['handle'], gone.handle)
        self.assertIsNone(answer['results'][3]['handle'])
        self.assertIn('entry 4', answer['results'][3]['variant'])
        self.assertEqual((answer['skipped'], answer['failed']), (1, 2))
        answer = daemon.call('warm', sources=[self.uri(bad)], force=True)
        self.assertEqual(answer['created'], 1, answer)

    def test_without_waiting(self):
        """The answer comes when it is known what is to be done."""
        foo = self.make_package(variants=[['a'], ['b']])
        told = self.connect()
        told.call('subscribe')
        answer = self.connect().warm(sources=[self.write_context('a.rxt', foo)], wait=False)
        self.assertEqual(answer['variants'], 2)
        states = []
        while len(states) < 2:
            message = told.receive()
            if message['method'] == 'state':
                states.append(message['params'])
        self.assertEqual([(state['job'], state['status']) for state in states],
                         [(answer['job'], 'created')] * 2)

    @once
    def test_nothing(self):
        self.assertEqual(self.connect().warm(sources=[])['results'], [])
        self.assertEqual(self.connect().warm(sources=[self.write_context('a', [])])['variants'], 0)

    def test_in_a_batch(self):
        """Its place in the answer is kept while others are answered."""
        foo, = self.make_package()
        context = self.write_context('a.rxt', [foo])
        requests = [{'jsonrpc': '2.0', 'id': number, 'method': 'warm', 'params': {'sources': sources}}
                    for number, sources in enumerate(([context], ['/nowhere'], [context]))]
        daemon = self.connect()
        daemon.file.write(json.dumps(requests).encode() + b'\n')
        answers = {answer['id']: answer for answer in daemon.receive()}
        self.assertEqual(answers[1]['error']['code'], FAILED)
        for number in (0, 2):
            result = answers[number]['result']
            self.assertEqual(result['created'] + result['found'], 1, result)

    def test_as_rezs_settings_say(self):
        """Those are the daemon's, read anew each time."""
        foo, = self.make_package()
        base = os.path.join(self.repository, 'foo', '1.0')
        with open(os.path.join(base, 'package.py'), 'w', encoding='utf-8') as file:
            file.write("name = 'foo'\nversion = '1.0'\n")
        self.stop(self.process)
        settings = self.write('rezconfig.py', 'default_cachable = False\n')
        self.start_daemon(REZ_CONFIG_FILE=settings)
        daemon = self.connect()
        self.assertEqual(daemon.warm(sources=[self.uri(foo)])['skipped'], 1)
        self.write('rezconfig.py', 'default_cachable = True\n')
        self.assertEqual(daemon.warm(sources=[self.uri(foo)])['created'], 1)


class RemovedMeanwhile(SourcesTest):
    """What was cached when it was named, and was removed before its turn, is copied all the same:
    whoever works out another package's definition removes it here."""

    def setUp(self):
        super().setUp()
        self.plain, = self.make_package('plain')
        self.computed, = self.make_package('computed', cachable='bool(id(0))')
        self.warm([self.plain])
        script = self.write(
            'python', f'#!/bin/sh\n{support.PROGRAM} --cache {self.cache} -q remove '
            f'"{self.uri(self.plain)}" && echo gone >> {self.path("gone")}\nexit 1\n')
        os.chmod(script, 0o755)
        self.environment['PKGCACHE_REZ_PYTHON'] = script

    def assert_there_again(self):
        """It was removed once, and is cached."""
        with open(self.path('gone'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'gone\n')
        self.assertIsNotNone(self.get(self.plain)[0])
        self.assert_sound([self.plain])

    def warm_both(self):
        """By the command line; returns what it said."""
        result = self.run_program('--cache', self.cache, 'warm', '--json', self.uri(self.plain),
                                  self.uri(self.computed))
        self.assert_code(result, support.PARTLY)
        summary = json.loads(result.out)
        self.assertEqual((summary['created'], summary['failed']), (1, 1), summary)
        self.assertIn('rez could not evaluate it', summary['results'][1]['reason'])
        return result

    def assert_nothing_failed(self):
        """No line of the log says so: those that are refused beforehand are not logged."""
        self.assertFalse([line for line in self.log() if line[0] == 'ERROR'])

    def test_without_a_daemon(self):
        self.assertNotIn('root is unknown', self.warm_both().err)
        self.assert_there_again()
        self.assert_nothing_failed()

    def test_a_client_of_the_daemon(self):
        self.start_daemon()
        self.assertNotIn('root is unknown', self.warm_both().err)
        self.assert_there_again()

    def test_by_the_daemon(self):
        self.start_daemon()
        answer = self.connect().warm(sources=[self.uri(self.plain), self.uri(self.computed)])
        self.assertEqual((answer['created'], answer['failed']), (1, 1), answer)
        self.assertEqual(answer['results'][0]['handle'], self.plain.handle)
        self.assert_there_again()
        self.assert_nothing_failed()

    def test_by_the_daemon_when_the_package_is_gone_too(self):
        self.start_daemon()
        os.rename(os.path.join(self.plain.root, 'package.py'), self.path('package.py'))
        answer = self.connect().warm(sources=[self.uri(self.plain), self.uri(self.computed)])
        self.assertEqual(answer['failed'], 2, answer)
        self.assertIn('contains no package.py', answer['results'][0]['reason'])
        self.assertEqual(self.connect().call('status')['jobs'], [])


class Refused(SourcesTest):
    """Nothing is begun."""

    def setUp(self):
        super().setUp()
        self.start_daemon()

    @once
    def test_parameters(self):
        foo, = self.make_package()
        context = self.write_context('a.rxt', [foo])
        for params in ({}, {'sources': context}, {'sources': [None]}, {'sources': [7]},
                       {'sources': ['a.rxt']}, {'sources': ['-']}, {'sources': ['']},
                       {'sources': [foo.argument]}, {'sources': [context + '\0']},
                       {'sources': [context] * 65}, {'sources': [context], 'variants': []},
                       {'sources': None}):
            self.assert_failed(BAD_PARAMS, '', **params)

    @once
    def test_files(self):
        """The whole warm fails, and the reason names the file."""
        foo, = self.make_package()
        good = self.write_context('good.rxt', [foo])
        os.mkfifo(self.path('fifo'))
        os.truncate(self.write('large', '{'), 9 << 20)
        for path, why in (
                (self.path('nowhere'), 'No such file'),
                (self.write('text', 'nothing: of rez'), 'not a rez context'),
                (self.write('empty', ''), 'neither a manifest nor a context'),
                (self.write('cut', '{"status": '), 'neither a manifest nor a context'),
                (self.write_context('failed', [foo], status='failed',
                                    failure_description='foo conflicts with bar'), 'conflicts'),
                (self.repository, 'a directory'), (self.path('fifo'), 'not a regular file'),
                ('/dev/zero', 'not a regular file'), (self.path('large'), 'larger than'),
                (self.write_context('many', [foo] * 16385), 'more than 16384')):
            error = self.assert_failed(FAILED, why, sources=[good, path])
            self.assertIn(path, str(error))
            self.assertTrue(error.errno)
        self.assertIsNone(self.connect().get(foo.handle))

    @once
    def test_more_than_can_be_answered(self):
        """Each file may be fine, and all of them too much."""
        paths = [support.write_manifest(self.path(f'manifest{half}'), [
            support.Variant(support.make_handle(name=f'p{half}_{number}'), '/nowhere')
            for number in range(9000)]) for half in range(2)]
        self.assert_failed(FAILED, 'more than 16384', sources=paths)


class Slow(SourcesTest):
    """Sources on storage that hangs."""

    def setUp(self):
        super().setUp()
        self.foo, self.bar, self.baz = (self.make_package(name)[0] for name in ('foo', 'bar', 'baz'))
        for number in range(4):  # the kernel does not let go of two that open the same
            os.makedirs(self.path('contexts', str(number)))
            self.write_context(f'contexts/{number}/hangs', [self.foo])
        self.good = self.write_context('good.rxt', [self.bar])
        slow = self.enter(mounts.slow_mount(self.path('contexts'), '--hang-file', '/hangs'))
        self.hanging = [os.path.join(slow.path, str(number), 'hangs') for number in range(4)]
        self.start_daemon(**daemons.HANGS)

    def ask_for(self, *sources):
        """A client that waits for what sources name."""
        client = self.connect()
        client.send('warm', sources=sources)
        client.file.flush()
        return client

    def test_nobody_is_held_up(self):
        """But those who name it; and the daemon ends in time."""
        for hanging in self.hanging[:3]:
            self.ask_for(self.good, hanging)
        daemon = self.connect()
        self.assertEqual(daemon.warm([entry(self.baz)])['created'], 1)
        self.assertIsNotNone(daemon.lease(self.baz.handle))
        self.assertEqual(daemon.call('stats')['cache']['variants'], 1)
        self.assertEqual(daemon.call('clean')['failed'], 0)
        self.assertEqual(daemon.warm(sources=[self.good])['created'], 1)
        self.assertTrue(daemon.release(self.baz.handle))
        since = time.monotonic()
        self.stop(self.process)
        self.assertLess(time.monotonic() - since, 5 / min(1, support.SCALE))
        self.assert_sound([self.bar, self.baz])

    @once
    def test_those_that_wait_are_told_of_the_end(self):
        """Also when all that read sources hang; and not too many wait."""
        for hanging in self.hanging:
            self.ask_for(hanging)
        waiting = self.ask_for(self.good)
        daemon = self.connect()
        wait_until(lambda: daemon.call('status')['counters']['requests'] > 5, 'the requests')
        for _ in range(261 - len(self.hanging)):
            daemon.send('warm', sources=[self.good])
        self.assertEqual(daemon.receive()['error']['code'], daemons.BUSY)
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(waiting.receive()['error']['code'], -32005)
        self.assert_code(support.finish(self.process), support.DONE)


class Vanished(SourcesTest):
    """Clients that do not wait for the answer."""

    @once
    def test_nothing_is_begun(self):
        foo, = self.make_package()
        os.mkdir(self.path('contexts'))
        self.write_context('contexts/a.rxt', [foo])
        with mounts.slow_mount(self.path('contexts'), '--delay-ms', '300') as slow:
            self.start_daemon()
            for wait in (True, False):
                client = self.connect()
                client.send('warm', sources=[os.path.join(slow.path, 'a.rxt')], wait=wait)
                client.file.flush()
                client.close()
            daemon = self.connect()
            wait_until(lambda: daemon.call('status')['counters']['errors'] == 2, 'both to end')
        self.assertEqual(daemon.call('status')['counters']['jobs_ever'], 0)
        self.assertIsNone(daemon.get(foo.handle))
        self.stop(self.process)


if __name__ == '__main__':
    unittest.main()
