"""warm, add, get, list, remove and clean: what they do, say and leave, also when killed."""
import contextlib
import json
import os
import random
import signal
import subprocess
import time
import unittest

import cachecheck
import mounts
import rezlike
import support
import trees
from support import (DONE, FAILED, INTERRUPTED, MISSING, PARTLY, TERMINATED, Variant, make_handle,
                     write_manifest)

LIST_KEYS = {'status', 'package', 'variant_uri', 'handle', 'orig_path', 'cache_path', 'size', 'files',
             'last_used'}
SUMMARY_KEYS = {'variants', 'created', 'found', 'copying', 'stalled', 'skipped', 'failed', 'files',
                'bytes', 'seconds', 'results'}
RESULT_KEYS = {'handle', 'status', 'root', 'reason'}


def count_watches(pid):
    """How many directories a process of ours is told of by inotify(7)."""
    count = 0
    for name in os.listdir(f'/proc/{pid}/fd'):
        with contextlib.suppress(FileNotFoundError), \
                open(f'/proc/{pid}/fdinfo/{name}', encoding='ascii') as file:
            count += sum(line.startswith('inotify ') for line in file)
    return count


def sleeps(pid, seconds):
    """Whether nothing wakes the main thread of a process of ours for so long."""
    before = count_wakes(pid)
    time.sleep(seconds)
    return count_wakes(pid) == before


def count_wakes(pid):
    """How often the main thread of a process of ours was woken so far."""
    with open(f'/proc/{pid}/task/{pid}/status', encoding='ascii') as file:
        for line in file:
            if line.startswith('voluntary_ctxt_switches'):
                return int(line.split()[1])
    raise AssertionError('no count of context switches')


class WarmTest(support.ProgramTest):
    """Shorthands for the commands."""

    def command(self, *arguments, **options):
        """Runs a command on the cache."""
        return self.run_program('--cache', self.cache, *arguments, **options)

    def start_warm(self, manifest, *arguments, **environment):
        """Starts a `warm` of a manifest."""
        return self.start('--cache', self.cache, 'warm', manifest, *arguments, **environment)

    def manifest(self, variants):
        """A manifest file of these variants."""
        return write_manifest(self.path('manifest.json'), variants)

    def clean(self):
        """Runs `clean`, which succeeds."""
        self.assert_code(self.command('clean'), DONE)


class Basics(WarmTest):
    """One process, nothing in its way."""

    def test_a_life(self):
        """warm, get, list, remove, clean."""
        variants = self.make_variants(6, files=30)
        self.assert_code(self.warm(variants), DONE)
        self.assert_sound(variants)
        self.assert_cached(*variants)
        self.assertEqual(len(self.listing()), 6)
        self.assert_code(self.command('remove', variants[0].argument), DONE)
        self.assertEqual(self.get(variants[0]), [None])
        self.assert_cached(*variants[1:])
        self.clean()
        self.assert_sound(variants[1:], cleaned=True)

    def test_rez_finds_what_we_wrote(self):
        """And we find what rez wrote."""
        ours, theirs = self.make_variant('ours'), self.make_variant('theirs')
        self.assert_code(self.warm([ours]), DONE)
        rezlike.open_cache(self.cache)
        self.assertEqual(rezlike.get(self.cache, ours.handle), self.get(ours)[0])
        self.assertEqual(rezlike.add(self.cache, *theirs)[0], 'CREATED')
        self.assert_cached(ours, theirs)
        self.assert_code(self.warm([ours, theirs], '--json'), DONE)
        self.assert_sound([ours, theirs])
        self.assertEqual(len(rezlike.listing(self.cache)), 2)
        self.assertEqual(rezlike.remove(self.cache, ours.handle), 'REMOVED')
        self.assertEqual(self.get(ours, theirs)[0], None)

    def test_the_summary(self):
        """--json and --report hold the same numbers, whose keys are documented."""
        variants = self.make_variants(3)
        self.assert_code(self.warm(variants[:1]), DONE)
        report = self.path('report.json')
        result = self.warm(variants, '--json', '--report', report)
        self.assert_code(result, DONE)
        summary = result.json()
        with open(report, encoding='utf-8') as file:
            self.assertEqual(json.load(file), summary)
        self.assertLessEqual(SUMMARY_KEYS, set(summary))
        self.assertEqual([summary[key] for key in ('variants', 'created', 'found', 'failed')],
                         [3, 2, 1, 0])
        self.assertEqual(len(summary['results']), 3)
        for entry in summary['results']:
            self.assertLessEqual(RESULT_KEYS, set(entry))
            self.assertIn(entry['handle'], [variant.handle for variant in variants])
            self.assertTrue(os.path.isdir(entry['root']), entry)

    def test_the_report(self):
        """Replaces the last one as a whole; where it cannot be written, that is a failure."""
        variant, report = self.make_variant(), self.path('report.json')
        for _ in range(2):
            self.assert_code(self.warm([variant], '--report', report), DONE)
            self.assertEqual([name for name in os.listdir(self.directory) if 'report' in name],
                             ['report.json'])
        with open(report, encoding='utf-8') as file:
            self.assertEqual(json.load(file)['found'], 1)
        for path in (self.path('no/report.json'), self.path('roots'), '/dev/full/report'):
            result = self.warm([variant], '--report', path)
            self.assert_refused(result, PARTLY, about=[path])
            self.assertIn('1 found', result.out)
        self.assertTrue(os.path.isdir(self.path('roots')))
        result = self.warm([variant], '--report=-')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['found'], 1)

    def test_a_report_replaces_files_only(self):
        """Not a fifo, nor, as root could, a device: /dev/full stays what it is."""
        variant, fifo, link = self.make_variant(), self.path('fifo'), self.path('link')
        os.mkfifo(fifo)
        os.symlink('/proc/self/fd/1', link)
        before = os.lstat(fifo).st_ino
        for path in (fifo, link):
            self.assert_refused(self.warm([variant], '--report', path), PARTLY, about=[path, 'no regular file'])
            self.assert_refused(self.run_program('copy', variant.root, self.path('copy'), '--manifest', path),
                                support.FAILED, about=[path, 'no regular file'])
            self.assertFalse(os.path.exists(self.path('copy')))
            self.assert_refused(self.command('daemon', '--foreground', '--metrics', path), support.FAILED,
                                about=[path, 'no regular file'])
        self.assertEqual((os.lstat(fifo).st_ino, os.readlink(link)), (before, '/proc/self/fd/1'))

    def test_get(self):
        """A line for each argument, empty for what is missing; then exit 3. JSON says the same."""
        here, gone = self.make_variant('here'), Variant(make_handle(name='gone'), None)
        self.assert_code(self.warm([here]), DONE)
        result = self.command('get', gone.argument, here.argument, gone.argument)
        self.assert_code(result, MISSING)
        lines = result.out.split('\n')
        self.assertEqual([bool(line) for line in lines], [False, True, False, False])
        result = self.command('--json', 'get', gone.argument, here.argument)
        self.assert_code(result, MISSING)
        self.assertEqual([entry['root'] for entry in result.json()], [None, lines[1]])
        for entry in result.json():
            self.assertLessEqual({'variant', 'status', 'root'}, set(entry))

    def test_get_touches(self):
        """The sidecar's time is "last used"; --touch=no leaves it."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        sidecar = self.get(variant)[0] + '.json'
        os.utime(sidecar, (1000, 1000))
        self.assert_code(self.command('get', '--touch=no', variant.argument), DONE)
        self.assertEqual(os.stat(sidecar).st_mtime, 1000)
        self.get(variant)
        self.assertAlmostEqual(os.stat(sidecar).st_mtime, time.time(), delta=support.PATIENCE_S)

    def test_list(self):
        """Keys and states, pending included; text names each package; a pattern chooses."""
        variant, queued = self.make_variant('cached'), self.make_variant('queued')
        self.assert_code(self.warm([variant]), DONE)
        rezlike.open_cache(self.cache)
        rezlike.pend(self.cache, queued.handle)
        entries = {entry['handle']['variables']['name']: entry for entry in self.listing()}
        self.assertEqual({name: entry['status'] for name, entry in entries.items()},
                         {'cached': 'cached', 'queued': 'pending'})
        for entry in entries.values():
            self.assertLessEqual(LIST_KEYS, set(entry))
        self.assertEqual(entries['cached']['cache_path'], self.get(variant)[0])
        text = self.command('list')
        self.assert_code(text, DONE)
        self.assertIn('cached-1.0', text.out)
        self.assertIn('queued-1.0', text.out)
        self.assertNotIn('queued', self.command('list', 'cached*').out)

    def test_an_empty_list(self):
        """Is no failure."""
        os.mkdir(self.cache)
        self.assertEqual(self.listing(), [])
        self.assert_code(self.command('list'), DONE)

    def test_remove(self):
        """Exit 3 when none was there; else 0; the bytes go with clean."""
        variants = self.make_variants(2)
        self.assert_code(self.warm(variants), DONE)
        arguments = [variant.argument for variant in variants]
        self.assert_code(self.command('remove', *arguments), DONE)
        self.assert_code(self.command('remove', *arguments), MISSING)
        self.assertTrue(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')))
        self.clean()
        self.assert_sound([], cleaned=True)

    def test_read_only_payloads(self):
        """Released packages are often 0555, root and all."""
        variant = self.make_variant()
        for directory, _, _ in os.walk(variant.root):
            os.chmod(directory, 0o555)
        self.addCleanup(subprocess.run, ['chmod', '-R', 'u+w', self.directory], check=False)
        how = {}
        if not os.geteuid():
            os.chmod(self.directory, 0o777)
            how = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        self.assert_code(self.warm([variant], **how), DONE)
        self.assert_cached(variant)
        self.assert_code(self.command('remove', variant.argument, **how), DONE)
        self.assert_code(self.command('clean', **how), DONE)
        self.assert_sound([], cleaned=True)

    def test_a_tree_of_every_kind(self):
        """The payload equals its source by contents, modes, times and links."""
        root = self.path('root')
        trees.make_random_tree(root, support.scaled(3000))
        variant = Variant(make_handle(), root)
        self.assert_code(self.warm([variant]), DONE)
        self.assert_sound([variant])

    def test_many_variants_of_one_hash_directory(self):
        """Do not get into each other's way."""
        variants = self.same_hash_variants(12)
        self.assert_code(self.warm(variants), DONE)
        self.assert_sound(variants)
        self.assertEqual(len(cachecheck.slots_of(self.cache, variants[0].handle)), 12)

    def test_a_manifest_without_roots_or_variants(self):
        """A variant that is there needs no root; none at all is done at once."""
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        self.assert_code(self.warm([Variant(variant.handle, None)]), DONE)
        self.assert_code(self.warm([]), DONE)
        unknown = Variant(make_handle(self.path('nowhere'), 'unknown'), None)
        self.assert_code(self.warm([variant, unknown]), PARTLY)

    def test_sources_from_standard_input(self):
        """One a line."""
        variants = self.make_variants(3)
        manifests = [write_manifest(self.path(f'{number}.json'), [variant])
                     for number, variant in enumerate(variants)]
        result = self.run_with_input('\n'.join(manifests) + '\n',
                                     '--cache', self.cache, 'warm', '-')
        self.assert_code(result, DONE)
        self.assert_sound(variants)

    def test_add(self):
        """Of a handle with its root; again, found."""
        variant = self.make_variant()
        for created, found in ((1, 0), (0, 1)):
            result = self.command('--json', 'add', '--root', variant.root, variant.argument)
            self.assert_code(result, DONE)
            self.assertEqual((result.json()['created'], result.json()['found']), (created, found))
        self.assert_sound([variant])

    def test_where_the_cache_is(self):
        """--cache, else PKGCACHE_DIR, else XDG_CACHE_HOME/pkgcache."""
        variant = self.make_variant()
        manifest = self.manifest([variant])
        os.mkdir(self.path('xdg'))
        places = [(self.path('xdg/pkgcache'), [], {}), (self.path('by-variable'), [], {
            'PKGCACHE_DIR': self.path('by-variable')})]
        places.append((self.path('by-flag'), ['--cache', self.path('by-flag')], places[1][2]))
        for place, flags, environment in places:
            self.cache = place
            result = self.run_program(*flags, 'warm', manifest, XDG_CACHE_HOME=self.path('xdg'),
                                      **environment)
            self.assert_code(result, DONE)
            self.assert_sound([variant])

    def test_each_durability(self):
        """Ends in the same cache."""
        variants = self.make_variants(4)
        for durability in ('none', 'batch', 'each'):
            self.cache = self.path(f'cache-{durability}')
            self.assert_code(self.warm(variants, '--durability', durability), DONE)
            self.assert_sound(variants)

    def test_quiet_by_default(self):
        """Without a terminal there is no progress line; --progress json gives one object a line.

        Warnings, what -v says and errors are such objects, too.
        """
        variants = self.make_variants(2)
        result = self.warm(variants)
        self.assertNotIn('\r', result.err)
        os.mkfifo(os.path.join(variants[0].root, 'fifo'))  # a warning
        variants.append(Variant(variants[0].handle | {'version': 'gone'}, self.path('gone')))
        self.cache = self.path('second')
        result = self.warm(variants, '-v', '--progress', 'json')
        self.assert_code(result, PARTLY)
        keys = set().union(*map(json.loads, result.err.splitlines()))
        self.assertLessEqual({'warning', 'message', 'error', 'variants_done'}, keys)

    def test_heartbeat_and_names_of_a_slot(self):
        """While it is copied, rez sees COPYING; the increment name is one that rez never gives."""
        variant = self.make_variant()
        with mounts.slow_mount(variant.root, '--delay-ms', '200', '--bandwidth', '500') as slow:
            process = self.start_warm(self.manifest([Variant(variant.handle, slow.path)]))
            support.wait_until(lambda: cachecheck.slots_of(self.cache, variant.handle), 'a slot')
            state, root = rezlike.look(self.cache, variant.handle)
            self.assertEqual(state, 'COPYING')
            self.assertRegex(os.path.basename(root), '^[a-y]{4}$')
            entries = self.listing()
            self.assertEqual([entry['status'] for entry in entries], ['copying'])
            self.assertEqual(self.get(variant), [None])
            self.assert_code(support.finish(process), DONE)
        self.assert_sound([variant])


class Together(WarmTest):
    """Several processes on one cache."""

    def test_ten_warms_at_once(self):
        """Each variant is copied once, and all exit 0."""
        variants = self.make_variants(30, files=40)
        manifest = self.manifest(variants)
        reports = [self.path(f'report-{number}.json') for number in range(10)]
        processes = [self.start_warm(manifest, '--report', report) for report in reports]
        for process in processes:
            self.assert_code(support.finish(process), DONE)
        summaries = []
        for report in reports:
            with open(report, encoding='utf-8') as file:
                summaries.append(json.load(file))
        self.assertEqual(sum(summary['created'] for summary in summaries), 30)
        self.assertEqual(sum(summary['found'] for summary in summaries), 270)
        self.assert_sound(variants)

    def test_ten_warms_of_a_slow_source(self):
        """Each file is opened once, whoever copies it."""
        variant = self.make_variant(files={str(name): b'%d' % name for name in range(50)})
        with mounts.slow_mount(variant.root, '--delay-ms', '20') as slow:
            manifest = self.manifest([Variant(variant.handle, slow.path)])
            processes = [self.start_warm(manifest) for _ in range(10)]
            for process in processes:
                self.assert_code(support.finish(process), DONE)
            slow.close()
            self.assertEqual({opens for opens, _ in slow.counts().values()}, {1})
        self.assert_sound([variant])

    def test_waiting_for_another_copier(self):
        """warm waits until rez is done, and finds; with --no-wait it says copying and exits 0."""
        variant = self.make_variant()
        os.mkdir(self.cache)
        rez = self.start_rez('--file-delay', '0.15', 'add', self.cache, variant.argument,
                             variant.root)
        support.wait_until(lambda: cachecheck.slots_of(self.cache, variant.handle), 'a slot')
        result = self.warm([variant], '--no-wait', '--json')
        self.assert_code(result, DONE)
        self.assertEqual((result.json()['copying'], result.json()['created']), (1, 0))
        result = self.warm([variant], '--json')
        self.assert_code(result, DONE)
        self.assertEqual((result.json()['found'], result.json()['created']), (1, 0))
        self.assert_code(support.finish(rez), 0)
        self.assert_sound([variant])

    def test_waiting_does_not_hold_up_the_others(self):
        """A variant that another copies is waited for while the rest is copied."""
        slow, *others = [self.make_variant(f'package{number}') for number in range(5)]
        os.mkdir(self.cache)
        rez = self.start_rez('--stop-at', 'copied:2', 'add', self.cache, slow.argument, slow.root)
        support.wait_stopped(rez)
        warm = self.start_warm(self.manifest([slow, *others]), '--stall-grace', '100000')
        support.wait_until(lambda: len(cachecheck.found_roots(self.cache)) == 4, 'the others')
        self.assertIsNone(warm.poll())
        rez.send_signal(signal.SIGCONT)
        self.assert_code(support.finish(warm), DONE)
        self.assert_code(support.finish(rez), 0)

    def make_copy_of_another(self, variant):
        """A slot that another machine fills, for all that one can see; returns what ends the copy."""
        directory = rezlike.hash_directory(self.cache, variant.handle)
        os.makedirs(os.path.join(directory, 'a'))
        with open(os.path.join(directory, 'a.json'), 'w', encoding='ascii') as file:
            file.write(rezlike.sidecar_text(variant.handle))
        copying = os.path.join(directory, '.copying-a')
        with open(copying, 'wb'):
            pass
        os.utime(copying, (time.time() + 3600,) * 2)
        return copying

    def test_waiting_for_many_is_not_polling(self):
        """A process that waits for a thousand copies sleeps until something happens to one."""
        root = self.make_variant().root
        variants = [Variant(make_handle(name=f'package{number}'), root)
                    for number in range(support.scaled(1000))]
        copies = [self.make_copy_of_another(variant) for variant in variants]
        rezlike.open_cache(self.cache)
        warm = self.start_warm(self.manifest(variants), '--stall-grace', '100000', '--json')
        support.wait_until(lambda: count_watches(warm.pid) == len(variants), 'the watches')
        support.wait_until(lambda: sleeps(warm.pid, 2), 'it to sleep for two seconds')
        for copying in copies:
            os.unlink(copying)
        result = support.finish(warm)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['found'], len(variants))

    def test_warm_remove_and_clean_at_once(self):
        """Whoever wins, nothing is torn."""
        variants = self.make_variants(8)
        manifest = self.manifest(variants)
        os.mkdir(self.cache)
        for _ in range(support.scaled(10)):
            processes = [self.start_warm(manifest) for _ in range(2)]
            processes += [self.start('--cache', self.cache, 'remove', variant.argument)
                          for variant in variants[:3]]
            processes.append(self.start('--cache', self.cache, 'clean'))
            for process in processes:
                # FAILED: what is being copied is not removed
                self.assert_code(support.finish(process), DONE, MISSING, FAILED)
            self.assert_sound(variants, partial=True)
        self.assert_code(self.warm(variants), DONE)
        self.clean()
        self.assert_sound(variants, cleaned=True)


class Killed(WarmTest):
    """Processes that end in the midst of it."""

    def time_a_warm(self, variants):
        """How long an undisturbed one takes."""
        self.cache = self.path('timing')
        result = self.warm(variants)
        self.assert_code(result, DONE)
        trees.remove_tree(self.cache)
        return result.seconds

    def assert_whole_or_missing(self, variants):
        """What `get` gives is whole."""
        for variant, root in zip(variants, self.get(*variants)):
            if root:
                self.assert_same_tree(variant.root, root)

    def test_at_random_moments(self):
        """Each variant is whole or not found; a second warm completes; clean leaves no staging."""
        variants = self.make_variants(12, files=60)
        manifest = self.manifest(variants)
        usual = self.time_a_warm(variants)
        choices = random.Random(trees.random_seed())
        for attempt in range(support.scaled(50, least=10)):
            self.cache = self.path(f'cache-{attempt}')
            moment = choices.uniform(0, usual)
            with self.subTest(attempt=attempt, moment=f'{moment:.4f} of {usual:.4f} s'):
                process = self.start_warm(manifest)
                time.sleep(moment)
                support.kill_process(process)
                if os.path.isdir(self.cache):
                    self.assert_whole_or_missing(variants)
                self.assert_code(self.warm(variants), DONE)
                self.clean()
                self.assert_sound(variants, cleaned=True)
            trees.remove_tree(self.cache)

    def test_again_and_again_on_one_cache(self):
        """Kills on top of kills, with removals in between."""
        variants = self.make_variants(8, files=40)
        manifest = self.manifest(variants)
        usual = self.time_a_warm(variants)
        self.cache = self.path('cache')
        self.environment['PKGCACHE_DURABILITY'] = 'none'
        os.mkdir(self.cache)
        choices = random.Random(trees.random_seed())
        for _ in range(support.scaled(50, least=10)):
            command = choices.choice([['warm', manifest], ['warm', manifest], ['clean'],
                                      ['remove', *(variant.argument for variant in variants[:4])]])
            process = self.start('--cache', self.cache, *command)
            time.sleep(choices.uniform(0, usual))
            support.kill_process(process)
            self.assert_whole_or_missing(variants)
        self.assert_code(self.warm(variants), DONE)
        self.clean()
        self.assert_sound(variants, cleaned=True)

    def test_from_a_slow_source(self):
        """Killed in the midst of a copy: the next one takes over at once, whatever the grace time."""
        variant = self.make_variant()
        with mounts.slow_mount(variant.root, '--delay-ms', '100', '--bandwidth', '1000') as slow:
            process = self.start_warm(self.manifest([Variant(variant.handle, slow.path)]))
            support.wait_until(lambda: cachecheck.slots_of(self.cache, variant.handle), 'a slot')
            time.sleep(0.3)
            support.kill_process(process)
        self.assertEqual(self.get(variant), [None])
        staging = os.path.join(self.cache, '.sys', 'staging')
        self.assertNotEqual(os.listdir(staging), [])
        other = self.make_variant('other')
        self.assert_code(self.warm([other], '--stall-grace', '100000'), DONE)
        self.assertEqual(os.listdir(staging), [])  # the room is back
        self.assert_code(self.warm([variant], '--stall-grace', '100000'), DONE)
        self.clean()
        self.assert_sound([variant, other], cleaned=True)

    def interrupt(self, number, code):
        """A signal: the exit code is right, what was finished stays, what was not is gone."""
        quick = self.make_variant('quick')
        late = self.make_variant('late')
        with mounts.slow_mount(late.root, '--delay-ms', '100', '--bandwidth', '500') as slow:
            process = self.start_warm(self.manifest([quick, Variant(late.handle, slow.path)]))
            support.wait_until(
                lambda: os.path.isdir(self.cache)
                and len(cachecheck.found_roots(self.cache)) == 1
                and cachecheck.slots_of(self.cache, late.handle), 'one of two')
            since = time.monotonic()
            process.send_signal(number)
            result = support.finish(process, since=since)
        self.assert_code(result, code)
        self.assertLess(result.seconds, 1 / min(1, support.SCALE))
        self.assertRegex(result.out, r'^2 variants: 1 created, 1 left, .*; 20 files')
        self.assert_cached(quick)
        self.assertEqual(self.get(late), [None])
        self.assertEqual(cachecheck.slots_of(self.cache, late.handle), [])
        staging = os.path.join(self.cache, '.sys', 'staging')
        self.assertEqual(os.listdir(staging) if os.path.isdir(staging) else [], [])
        self.assert_sound([quick])

    def test_ctrl_c(self):
        """Exit 130."""
        self.interrupt(signal.SIGINT, INTERRUPTED)

    def test_sigterm(self):
        """Exit 143."""
        self.interrupt(signal.SIGTERM, TERMINATED)

    def test_a_closed_standard_output(self):
        """A reader that went away is no reason to tear anything."""
        variants = self.make_variants(4)
        process = self.start_warm(self.manifest(variants), '--json')
        process.stdout.close()
        process.stdout = None
        process.wait(timeout=support.PATIENCE_S)
        self.assert_whole_or_missing(variants)
        self.assert_code(self.warm(variants), DONE)
        self.assert_sound(variants)


if __name__ == '__main__':
    unittest.main()
