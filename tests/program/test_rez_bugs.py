"""What goes wrong in rez itself, one case a bug: set up so that what rez does would fail it.

The list is that of docs/protocol.md. Of three bugs a part is in programs that are not there yet: of 2
and 5, a rez-pkg-cache that works off the queue of pending variants; of 18, its log. What is tested of
them is what the cache and this program do.
"""
import json
import mmap
import os
import signal
import subprocess
import threading
import time
import unittest
import uuid

import cachecheck
import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, PARTLY, Variant, once, write_manifest
from test_publish import GRACE_S, STALLED_S, PublishTest

REZ_LEAST_S = 0.2  # what rez takes for a variant, however small
BREAKABLE_S = 2.5  # a lock younger than 2 s is not broken


class RezBug(PublishTest):
    """A cache that rez has opened, and one variant."""

    def statuses(self):
        """{package: status} of a listing."""
        return {entry['package']: entry['status'] for entry in self.listing()}

    def clean(self, *arguments, **options):
        """Runs `clean`, which must succeed."""
        result = self.run_program('--cache', self.cache, 'clean', *arguments, **options)
        self.assert_code(result, DONE)
        return result

    def put(self, name, text):
        """Writes a file in the variant's hash directory."""
        os.makedirs(self.slot(''), exist_ok=True)
        with open(self.slot(name), 'w', encoding='utf-8') as file:
            file.write(text)

    def pend(self, name, text):
        """Queues whatever this is."""
        path = os.path.join(self.cache, '.sys', 'pending', f'{name}-{uuid.uuid4().hex}.json')
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path


class Slots(RezBug):
    """Names, owners, and what is published."""

    def test_01_increment_names_repeat_after_z_and_aa(self):
        """rez takes max() of the names as text, which is z for ever: the next is aa again, and its
        sidecar replaces another variant's. Every variant must stay, rez's and ours."""
        variants = self.same_hash_variants(4)
        first, second, third, fourth = variants
        self.assertEqual(rezlike.add(self.cache, *first)[0], 'CREATED')
        self.variant = first
        for suffix in ('', '.json'):
            os.rename(self.slot('a', suffix=suffix), self.slot('z', suffix=suffix))
        self.assertEqual(rezlike.add(self.cache, *second)[0], 'CREATED')
        self.assertEqual(self.slots(), ['aa', 'z'])
        self.assert_code(self.warm([third]), DONE)
        self.assertEqual(rezlike.add(self.cache, *fourth)[0], 'CREATED')
        self.assert_sound(variants)
        self.assert_cached(*variants)

    def test_02_a_killed_lock_holder_stops_all_caching(self):
        """rez has no rule for a stale lock: nobody caches anything until somebody deletes its files.
        Whoever comes must find out that the holder is gone, and what is queued must stay queued."""
        rezlike.pend(self.cache, self.variant.handle)
        other = self.make_variant('other')
        holder = self.start_rez('hold', self.cache)
        holder.stdout.readline()
        support.kill_process(holder)
        time.sleep(BREAKABLE_S)
        self.assert_code(self.warm([other]), DONE)
        self.assert_cached(other)
        self.assertEqual(self.statuses(), {'foo-1.0': 'pending', 'other-1.0': 'cached'})

    def test_03_a_copier_that_wakes_publishes_what_is_not_its_own(self):
        """rez's copier, paused for 5 s, loses its slot; it wakes and removes the .copying of whoever
        has it now, and half a payload is found. Ours must let go of what it has lost."""
        process, _ = self.start_slow_warm()
        self.pause(process)
        self.assertEqual(rezlike.remove(self.cache, self.variant.handle), 'REMOVED')
        rez = self.start_rez_add('--stop-at', 'copied:3')
        support.wait_stopped(rez)
        process.send_signal(signal.SIGCONT)
        self.watch_half_a_payload(process)
        rez.send_signal(signal.SIGCONT)
        self.assert_code(support.finish(rez), DONE)
        self.assert_code(support.finish(process), DONE)
        self.assert_sound([self.variant], litter=True)
        self.assert_cached(self.variant)

    def watch_half_a_payload(self, process):
        """While rez is stopped in the midst of its copy, what is there is not found."""
        deadline = time.monotonic() + STALLED_S
        while time.monotonic() < deadline and process.poll() is None:
            root = rezlike.get(self.cache, self.variant.handle)
            if root:
                self.assert_same_tree(self.variant.root, root)
            time.sleep(0.05)

    def test_04_sidecars_are_written_in_place(self):
        """A reader of rez's meets half a sidecar, and an empty one, of a crash, breaks every resolve of
        that package. Ours must never show half of one, and an empty one must harm nobody else."""
        self.put('a.json', '')
        self.put('b.json', rezlike.sidecar_text(self.variant.handle)[:40])
        stop = threading.Event()
        seen = []
        reader = threading.Thread(target=self.read_sidecars, args=(stop, seen))
        reader.start()
        try:
            for _ in range(support.scaled(20, least=5)):
                self.assert_code(self.warm([self.variant]), DONE)
                self.assert_cached(self.variant)
                result = self.run_program('--cache', self.cache, 'remove', self.variant.argument)
                self.assert_code(result, DONE)
        finally:
            stop.set()
            reader.join()
        self.assertEqual(seen, [])

    def read_sidecars(self, stop, ret_bad):
        """Reads all of ours, again and again; keeps what is no JSON."""
        while not stop.is_set():
            for name in set(self.slots()) - {'a', 'b'}:
                try:
                    with open(self.slot(name, suffix='.json'), encoding='ascii') as file:
                        json.load(file)
                except FileNotFoundError:
                    pass
                except ValueError as error:
                    ret_bad.append(repr(error))

    @once
    def test_05_one_unreadable_pending_file_kills_the_daemon(self):
        """It ends at the first one, every time. All others must be seen, and it must stay: who wrote
        it may be writing still."""
        poison = [self.pend('foo-1.0', text) for text in ('', '{', '[]', '{"key": 1}', '\0')]
        rezlike.pend(self.cache, self.variant.handle)
        self.assertEqual(self.statuses(), {'foo-1.0': 'pending'})
        self.clean()
        for path in poison:
            self.assertTrue(os.path.exists(path))

    def test_06_a_sidecar_without_its_payload_is_found(self):
        """rez's add says FOUND for ever, and a resolve is given a root that does not exist. It must be
        missing, and the next add must bring it back."""
        self.assertEqual(rezlike.add(self.cache, *self.variant)[0], 'CREATED')
        trees.remove_tree(self.slot('a'))
        self.assertEqual(rezlike.add(self.cache, *self.variant)[0], 'FOUND')
        self.assertEqual(self.get(self.variant), [None])
        self.assert_code(self.warm([self.variant]), DONE)
        self.assert_cached(self.variant)

    @once
    def test_07_copying_without_a_payload_can_never_be_cleared(self):
        """rez's remove fails to rename what is not there, and clean calls remove. Ours must clear it."""
        for command in (['clean'], ['remove', self.variant.argument]):
            with self.subTest(command[0]):
                self.make_rez_slot(beat_age_s=1000, payload=False)
                rezlike.clean(self.cache)
                self.assertEqual(self.slots(), ['a'])
                result = self.run_program('--cache', self.cache, '--stall-grace', GRACE_S, *command)
                self.assert_code(result, DONE)
                self.assertEqual(self.slots(), [])
                self.assertFalse(os.path.exists(self.slot('a', '.copying-')))

    @once
    def test_08_remove_decides_before_it_has_the_lock(self):
        """rez sees a stalled copy, waits for the lock, and takes away what was published in the
        meantime. Ours must look again."""
        for command in (['clean'], ['remove', self.variant.argument]):
            with self.subTest(command[0]):
                trees.remove_tree(self.slot(''))
                self.make_rez_slot(beat_age_s=1000)
                with rezlike.locked(self.cache, rezlike.Stops()):
                    process = self.start('--cache', self.cache, '--stall-grace', GRACE_S, *command)
                    time.sleep(1)  # it has looked, and waits; if it has not, there is nothing to see
                    self.age('a', -3600)  # somebody copies to it after all
                result = support.finish(process)
                self.assert_code(result, DONE, FAILED)
                self.assertEqual(self.slots(), ['a'])
                self.assertTrue(os.path.exists(self.slot('a')))
                self.assertTrue(os.path.exists(self.slot('a', '.copying-')))


class Speed(RezBug):
    """What takes long for no reason, and what seems to go on."""

    def test_09_a_variant_takes_200_ms_and_a_lock_conflict_a_second(self):
        """28 small variants take rez 5.9 s, whatever the machine; two at once, longer. Two of ours must
        be faster than that with as many each."""
        variants = [self.make_variant(f'small{number}', {'file': b'x'}) for number in range(28)]
        since = time.monotonic()
        halves = [self.start('--cache', self.cache, 'warm',
                             write_manifest(self.path(f'{half}.json'), variants[half::2]))
                  for half in range(2)]
        for process in halves:
            self.assert_code(support.finish(process), DONE)
        self.assertLess(time.monotonic() - since,
                        len(variants) * REZ_LEAST_S / min(1, support.SCALE))
        self.assert_sound(variants)

    def test_10_the_heart_beats_while_the_copy_hangs(self):
        """rez beats by a timer: a dead file server never shows. Ours must show as stalled."""
        with mounts.slow_mount(self.variant.root, '--hang-file', '/1/7') as slow:
            process = self.start('--cache', self.cache, 'warm',
                                 write_manifest(self.path('m.json'),
                                                [Variant(self.variant.handle, slow.path)]))
            support.wait_until(self.slots, 'a slot')
            support.wait_until(
                lambda: rezlike.look(self.cache, self.variant.handle)[0] == 'COPY_STALLED',
                'a stall')
            process.send_signal(signal.SIGINT)
            self.assert_code(support.finish(process), support.INTERRUPTED)
        self.assertEqual(self.slots(), [])

    def test_11_a_cache_entry_of_another_user_cannot_be_used(self):
        """rez's look-up sets the sidecar's time and fails with EACCES. Ours must answer."""
        if os.geteuid():
            self.skipTest('becoming another user needs root')
        self.assert_code(self.warm([self.variant]), DONE)
        for path in (self.directory, self.cache):
            os.chmod(path, 0o755)
        result = self.run_program('--cache', self.cache, 'get', self.variant.argument,
                                  uid=support.NOBODY, program=self.program_for_anybody())
        self.assert_code(result, DONE)
        self.assertEqual(result.out.strip(), self.get(self.variant)[0])


class Copies(RezBug):
    """What is copied, and what survives."""

    def test_12_links_are_followed(self):
        """rez copies what links reach: a dangling one or a fifo fails the whole copy, a loop of
        directories explodes. Links must stay links, and a fifo be left out and named."""
        root = self.variant.root
        os.symlink('0/0', os.path.join(root, 'link'))
        os.symlink('nowhere', os.path.join(root, 'dangling'))
        os.symlink('..', os.path.join(root, '0', 'loop'))
        os.mkfifo(os.path.join(root, 'fifo'))
        result = self.warm([self.variant])
        self.assert_code(result, DONE)
        self.assertIn('fifo', result.err)
        (copy,) = self.get(self.variant)
        for link, target in (('link', '0/0'), ('dangling', 'nowhere'), ('0/loop', '..')):
            self.assertEqual(os.readlink(os.path.join(copy, link)), target)
        self.assertFalse(os.path.lexists(os.path.join(copy, 'fifo')))

    def test_13_a_full_disk_fails_the_resolve_and_leaves_a_stalled_copy(self):
        """rez stops half-way with ENOSPC, and the variant stays uncached until somebody cleans. What
        fits must come, what does not must leave nothing, and come once there is room."""
        small = self.make_variant('small')
        self.variant = self.make_variant('large', {'zeroes': os.urandom(12 * mounts.MIB)})
        disk = self.enter(mounts.mounted('tmpfs', 8 * mounts.MIB))
        self.cache = os.path.join(disk, 'cache')
        os.mkdir(self.cache)
        result = self.warm_without_reserve([self.variant, small], PKGCACHE_BWLIMIT='2M')  # by and by
        self.assert_code(result, PARTLY)
        self.assert_sound([self.variant, small], partial=True)
        self.assert_cached(small)
        self.assertEqual(self.slots(), [])
        subprocess.run(['mount', '-o', f'remount,size={64 * mounts.MIB}', disk], check=True)
        self.assert_code(self.warm_without_reserve([self.variant]), DONE)
        self.assert_cached(self.variant)

    def warm_without_reserve(self, variants, **environment):
        """`warm`, though the disk is small."""
        return self.warm(variants, REZ_PACKAGE_CACHE_SPACE_BUFFER='0',
                         REZ_PACKAGE_CACHE_USED_THRESHOLD='100', **environment)

    @once
    def test_14_nothing_is_flushed(self):
        """After a power cut a payload that rez found holds empty files. Until the flush is over, nobody
        must find it."""
        library = os.environ.get('PKGCACHE_SLOWSYNC')
        if not library or support.SCALE < 1:
            self.skipTest('not preloaded into a program with a sanitizer')
        process = self.start('--cache', self.cache, 'warm',
                             write_manifest(self.path('m.json'), [self.variant]),
                             LD_PRELOAD=library, SLOWSYNC_S='2')
        flushing_since = None
        while process.poll() is None:
            names = self.slots()
            if names and trees.compare_trees(self.variant.root, self.slot(names[0])) == []:
                flushing_since = flushing_since or time.monotonic()
                if time.monotonic() < flushing_since + 1:
                    self.assertEqual(rezlike.look(self.cache, self.variant.handle)[0], 'COPYING')
            time.sleep(0.02)
        self.assert_code(support.finish(process), DONE)
        self.assertIsNotNone(flushing_since, 'the whole payload was never seen before it was found')
        self.assert_cached(self.variant)

    def test_15_clean_deletes_what_a_program_uses(self):
        """rez cannot know, and drops what was not asked for in 30 days, though a program that has been
        running for 31 maps it. What is in use must stay."""
        self.assert_code(self.warm([self.variant]), DONE)
        (root,) = self.get(self.variant)
        (name,) = self.slots()
        long_ago = time.time() - 100 * 24 * 3600
        os.utime(self.slot(name, suffix='.json'), (long_ago, long_ago))
        with open(os.path.join(root, '0', '0'), 'rb') as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.addCleanup(mapping.close)
        self.clean(REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS='30')
        self.assertEqual(self.get(self.variant), [root])
        self.assert_same_tree(self.variant.root, root)


class Others(RezBug):
    """What others leave lying, or are about to use."""

    def test_16_one_sidecar_that_vanishes_or_cannot_be_read_back_ends_list_and_clean(self):
        """rez raises, for the whole cache. All others must be listed and cleaned, and such a handle
        must never be written."""
        self.assert_code(self.warm([self.variant]), DONE)
        self.make_rez_slot('b', beat_age_s=1000)
        os.symlink('nowhere', self.slot('gone', suffix='.json'))
        foreign = support.make_handle(name='foreign')
        foreign['key'] = 'filesystem.variant.combined'
        self.put('foreign.json', json.dumps({'handle': foreign}))
        self.assertRaises((ValueError, OSError), rezlike.listing, self.cache)
        self.assertEqual([entry['status'] for entry in self.listing()].count('cached'), 1)
        self.clean('--stall-grace', GRACE_S)
        self.assertNotIn('b', self.slots())
        self.assert_cached(self.variant)
        result = self.run_program('--cache', self.cache, 'add', '--root', self.variant.root,
                                  json.dumps(foreign))
        self.assertNotEqual(result.code, DONE)

    def test_17_a_payload_without_a_sidecar_fails_the_next_add(self):
        """rez's add dies of FileExistsError, and of an empty hash directory that is removed at the
        wrong moment. Ours must not mind the one, and not do the other to rez."""
        trees.make_plain_tree(self.slot('a'), {'left': b'behind'})
        self.assertRaises(FileExistsError, rezlike.add, self.cache, *self.variant)
        trees.remove_tree(self.slot(''))
        trees.make_plain_tree(self.slot('a'), {'left': b'behind'})
        self.assert_code(self.warm([self.variant]), DONE)
        self.assert_cached(self.variant)

    def test_17_a_hash_directory_that_somebody_is_about_to_use(self):
        """rez has made it, and waits for the lock: neither remove nor clean may take it away."""
        ours, theirs = self.same_hash_variants(2)
        self.assert_code(self.warm([ours]), DONE)
        with rezlike.locked(self.cache, rezlike.Stops()):
            rez = self.start_rez_add(variant=theirs)
            support.wait_until(
                lambda: any(f'.{rez.pid}' in name
                            for name in os.listdir(os.path.join(self.cache, '.sys'))),
                'rez to wait for the lock')
        result = self.run_program('--cache', self.cache, 'remove', ours.argument)
        self.assert_code(result, DONE)
        self.clean()
        self.assert_code(support.finish(rez), DONE)
        self.assert_sound([theirs])

    @once
    def test_17_an_empty_hash_directory_stays_for_a_minute(self):
        """Whoever made it may be about to use it."""
        os.makedirs(self.slot(''))
        self.clean()
        self.assertTrue(os.path.isdir(self.slot('')))

    def test_18_no_room_is_logged_as_cached_and_leaves_the_queue(self):
        """rez skips a variant for want of room, logs `Cached variant to  in ...`, and takes it off the
        queue. It must say so, log no such thing, and stay queued."""
        name = rezlike.pend(self.cache, self.variant.handle)
        result = self.warm([self.variant], '--json', '--space-buffer', str(1 << 60))
        self.assert_code(result, FAILED, PARTLY)
        self.assertEqual(result.json()['skipped'], 1)
        self.assertTrue(result.json()['results'][0]['reason'])
        self.assertEqual(self.get(self.variant), [None])
        self.assertTrue(os.path.exists(os.path.join(self.cache, '.sys', 'pending', name)))
        log = os.path.join(self.cache, '.sys', 'log')
        for day in os.listdir(log):
            with open(os.path.join(log, day), encoding='utf-8') as file:
                self.assertNotIn('Cached variant', file.read())


if __name__ == '__main__':
    unittest.main()
