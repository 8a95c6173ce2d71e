"""Publishing: whole or not at all, whatever rez does meanwhile in the same hash directory.

Each case is one experiment that was made with a real rez; here a stand-in does what rez would.
"""
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
from support import DONE, FAILED, PARTLY, Variant, write_manifest

GRACE_S = '5'  # the shortest grace time there is
NEVER_S = '100000'  # one that does not end
STALLED_S = 6  # rez takes a slot for stalled when its heart has not beaten for 5 s


class PublishTest(support.ProgramTest):
    """A cache that rez has opened, and one variant."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        rezlike.open_cache(self.cache)
        self.variant = self.make_variant()

    def slot(self, increment, prefix='', suffix=''):
        """A path in the variant's hash directory."""
        return os.path.join(rezlike.hash_directory(self.cache, self.variant.handle),
                            prefix + increment + suffix)

    def slots(self):
        """The increment names in the variant's hash directory."""
        return cachecheck.slots_of(self.cache, self.variant.handle)

    def start_rez_add(self, *options, variant=None):
        """rez's add of the variant."""
        variant = variant or self.variant
        return self.start_rez(*options, 'add', self.cache, variant.argument, variant.root)

    def start_slow_warm(self, *arguments):
        """A `warm` that takes a while: returns it once it has its slot, and the slot's name."""
        slow = self.enter(mounts.slow_mount(self.variant.root, '--delay-ms', '200',
                                            '--bandwidth', '3000'))
        manifest = write_manifest(self.path('slow.json'), [Variant(self.variant.handle, slow.path)])
        process = self.start('--cache', self.cache, 'warm', manifest, *arguments)
        (name,) = support.wait_until(self.slots, 'a slot')
        return process, name

    def pause(self, process):
        """Stops our process, not while it holds the lock, until rez takes it for stalled."""
        lock = os.path.join(self.cache, '.sys', '.lock.lock')
        while True:
            process.send_signal(signal.SIGSTOP)
            support.wait_stopped(process)
            if not os.path.exists(lock):
                break
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        support.wait_until(
            lambda: rezlike.look(self.cache, self.variant.handle)[0] == 'COPY_STALLED',
            'rez to take us for stalled')

    def assert_done(self, process, **how):
        """The process succeeded, and the variant is whole."""
        self.assert_code(support.finish(process), DONE)
        self.assert_sound([self.variant], **how)
        self.assert_same_tree(self.variant.root, rezlike.get(self.cache, self.variant.handle))

    def make_rez_slot(self, increment='a', beat_age_s=STALLED_S, payload=True):
        """A slot as a dead rez leaves it."""
        os.makedirs(self.slot(''), exist_ok=True)
        with open(self.slot(increment, '.copying-'), 'wb'):
            pass
        with open(self.slot(increment, suffix='.json'), 'w', encoding='ascii') as file:
            file.write(rezlike.sidecar_text(self.variant.handle))
        if payload:
            trees.make_plain_tree(self.slot(increment), {'0/0': b'half'})
        self.age(increment, beat_age_s)

    def age(self, increment, beat_age_s):
        """Makes the last heartbeat of a slot this old."""
        beat = time.time() - beat_age_s
        os.utime(self.slot(increment, '.copying-'), (beat, beat))


class Names(PublishTest):
    """Increment names that rez never gives, and goes on from."""

    def test_never_a_name_of_rez(self):
        """In an empty hash directory, and behind what rez wrote."""
        first, second, third = self.same_hash_variants(3)
        self.assert_code(self.warm([first]), DONE)
        self.assertRegex(cachecheck.slots_of(self.cache, first.handle)[0], '^[a-y]{4}$')
        self.assertEqual(rezlike.add(self.cache, *second)[0], 'CREATED')
        self.assert_code(self.warm([third]), DONE)
        self.assert_sound([first, second, third])

    def test_after_z(self):
        """Behind z comes a name that begins with z, and rez goes on from there."""
        variants = self.same_hash_variants(30)
        for variant in variants[:26]:
            self.assertEqual(rezlike.add(self.cache, *variant)[0], 'CREATED')
        self.assertEqual(cachecheck.slots_of(self.cache, variants[0].handle)[-1], 'z')
        for ours, theirs in zip(variants[26:28], variants[28:30]):
            self.assert_code(self.warm([ours]), DONE)
            name = os.path.basename(rezlike.look(self.cache, ours.handle)[1])
            self.assertRegex(name, '^z[a-y]{4}$')
            self.assertEqual(rezlike.add(self.cache, *theirs)[0], 'CREATED')
        self.assert_sound(variants)

    def test_a_name_is_never_used_again(self):
        """Not after a removal, not after a stall."""
        seen = set()
        for _ in range(support.scaled(20, least=5)):
            self.assert_code(self.warm([self.variant]), DONE)
            (name,) = self.slots()
            self.assertNotIn(name, seen)
            seen.add(name)
            self.run_program('--cache', self.cache, 'remove', self.variant.argument)

    def test_any_of_its_three_names_is_taken(self):
        """What lies there without a sidecar is left alone, or is taken for damage; never written to."""
        os.makedirs(self.slot('a'))
        with open(self.slot('b', '.copying-'), 'wb'):
            pass
        self.assert_code(self.warm([self.variant]), DONE)
        self.assertEqual(rezlike.look(self.cache, self.variant.handle)[0], 'FOUND')
        root = rezlike.get(self.cache, self.variant.handle)
        self.assert_same_tree(self.variant.root, root)


class RezWakes(PublishTest):
    """A rez that was paused and lost its slot wakes up."""

    def test_in_the_midst_of_its_copy(self):
        """It writes into what was its slot, and removes its .copying: ours is whole all the time."""
        for where in ('unlocked', 'copied:1', 'copied:7', 'copied'):
            with self.subTest(where):
                self.variant = self.make_variant(where.replace(':', '-'))
                rez = self.start_rez_add('--stop-at', where)
                support.wait_stopped(rez)
                self.age('a', STALLED_S)
                result = self.warm([self.variant], '--stall-grace', GRACE_S, '--json')
                self.assert_code(result, DONE)
                self.assertEqual(result.json()['created'], 1)
                self.assertNotIn('a', self.slots())
                rez.send_signal(signal.SIGCONT)
                support.finish(rez)
                self.assert_sound([self.variant], partial=True, litter=True)
                self.assert_cached(self.variant)
                self.run_program('--cache', self.cache, 'remove', self.variant.argument)

    def test_before_its_sidecar(self):
        """It holds the lock: nobody goes on before it does."""
        rez = self.start_rez_add('--stop-at', 'copying-made')
        support.wait_stopped(rez)
        warm = self.start('--cache', self.cache, 'warm',
                          write_manifest(self.path('m.json'), [self.variant]))
        time.sleep(1)
        self.assertIsNone(warm.poll())
        rez.send_signal(signal.SIGCONT)
        self.assert_done(warm)
        self.assert_code(support.finish(rez), DONE)

    def test_a_remove_that_had_decided(self):
        """Lost, perhaps; never partial."""
        self.make_rez_slot()
        rez = self.start_rez('--stop-at', 'decided', 'remove', self.cache, self.variant.argument)
        support.wait_stopped(rez)
        self.assert_code(self.warm([self.variant], '--stall-grace', GRACE_S), DONE)
        rez.send_signal(signal.SIGCONT)
        support.finish(rez)
        self.assert_sound([self.variant], partial=True)
        self.assert_code(self.warm([self.variant]), DONE)
        self.assert_sound([self.variant])


class WeWake(PublishTest):
    """We were paused, and lost our slot to rez."""

    def wake(self, process):
        """Lets it go on."""
        process.send_signal(signal.SIGCONT)

    def test_rez_removed_it(self):
        """NOT_FOUND, the tree is still staged: claimed again."""
        process, name = self.start_slow_warm()
        self.pause(process)
        self.assertEqual(rezlike.remove(self.cache, self.variant.handle), 'REMOVED')
        self.wake(process)
        self.assert_done(process)
        self.assertNotIn(name, self.slots())

    def test_rez_removed_it_and_copied_anew(self):
        """Found: ours is dropped, rez's stays."""
        process, _ = self.start_slow_warm()
        self.pause(process)
        rezlike.clean(self.cache)
        self.assertEqual(rezlike.add(self.cache, *self.variant)[0], 'CREATED')
        (name,) = self.slots()
        inode = os.stat(self.slot(name)).st_ino
        self.wake(process)
        self.assert_done(process)
        self.assertEqual(self.slots(), [name])
        self.assertEqual(os.stat(self.slot(name)).st_ino, inode)
        self.run_program('--cache', self.cache, 'clean')
        self.assert_sound([self.variant], cleaned=True)

    def test_rez_copies_while_we_wake(self):
        """Waited for, then found."""
        process, _ = self.start_slow_warm()
        self.pause(process)
        self.assertEqual(rezlike.remove(self.cache, self.variant.handle), 'REMOVED')
        rez = self.start_rez_add('--file-delay', '0.2')
        support.wait_until(self.slots, "rez's slot")
        self.wake(process)
        self.assert_done(process)
        self.assert_code(support.finish(rez), DONE)


class Disturbed(PublishTest):
    """Somebody writes into our slot while we copy."""

    def test_another_sidecar(self):
        """rez rewrote our sidecar in place: theirs is left alone, ours goes elsewhere."""
        process, name = self.start_slow_warm()
        other = self.make_variant('other')
        text = rezlike.sidecar_text(other.handle)
        with open(self.slot(name, suffix='.json'), 'w', encoding='ascii') as file:
            file.write(text)
        self.assert_code(support.finish(process), DONE)
        with open(self.slot(name, suffix='.json'), encoding='ascii') as file:
            self.assertEqual(file.read(), text)
        self.assert_same_tree(self.variant.root, rezlike.get(self.cache, self.variant.handle))
        self.assertNotEqual(rezlike.look(self.cache, other.handle)[0], 'FOUND')

    def test_copying_truncated(self):
        """rez reopened our .copying: the inode is ours, the record is gone, so is the slot."""
        process, name = self.start_slow_warm('--stall-grace', GRACE_S)
        with open(self.slot(name, '.copying-'), 'w', encoding='ascii'):
            pass
        self.assert_code(support.finish(process), DONE)
        self.assert_same_tree(self.variant.root, rezlike.get(self.cache, self.variant.handle))
        self.assertNotIn(self.slot(name), cachecheck.found_roots(self.cache).values())

    def test_copying_replaced(self):
        """Removed and made again, by somebody else: not ours."""
        process, name = self.start_slow_warm('--stall-grace', GRACE_S)
        os.unlink(self.slot(name, '.copying-'))
        with open(self.slot(name, '.copying-'), 'w', encoding='ascii'):
            pass
        self.assert_code(support.finish(process), DONE)
        self.assert_same_tree(self.variant.root, rezlike.get(self.cache, self.variant.handle))

    def test_the_payload_directory_is_not_empty(self):
        """The rename fails, the slot is retired, the tree goes to another."""
        process, name = self.start_slow_warm()
        with open(os.path.join(self.slot(name), 'junk'), 'wb'):
            pass
        self.assert_done(process)
        self.assertNotIn(name, self.slots())

    def test_the_payload_directory_is_gone(self):
        """Or is another one."""
        for again in (False, True):
            with self.subTest(again=again):
                self.variant = self.make_variant(f'again-{again}'.lower())
                process, name = self.start_slow_warm('--stall-grace', GRACE_S)
                os.rmdir(self.slot(name))
                if again:
                    os.mkdir(self.slot(name))
                self.assert_code(support.finish(process), DONE)
                self.assert_cached(self.variant)


class Stalled(PublishTest):
    """Slots whose copier is gone, or may be."""

    def test_from_before_this_boot(self):
        """Is taken over at once."""
        self.make_rez_slot(beat_age_s=time.time() - support.boot_time() + 3600)
        result = self.warm([self.variant], '--stall-grace', NEVER_S, '--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['created'], 1)
        self.assertNotIn('a', self.slots())
        self.run_program('--cache', self.cache, 'clean')
        self.assert_sound([self.variant], cleaned=True)

    def test_of_a_rez_that_may_live(self):
        """Not before the grace time is over: --no-wait says so and leaves it."""
        self.make_rez_slot()
        result = self.warm([self.variant], '--stall-grace', NEVER_S, '--no-wait', '--json')
        self.assert_code(result, DONE, FAILED, PARTLY)
        self.assertEqual(result.json()['created'], 0)
        self.assertEqual(self.slots(), ['a'])
        self.assert_code(self.warm([self.variant], '--stall-grace', GRACE_S), DONE)
        self.assert_cached(self.variant)

    def test_the_grace_time_ends_while_we_wait(self):
        """Then it is taken over."""
        self.make_rez_slot(beat_age_s=0)
        self.assert_code(self.warm([self.variant], '--stall-grace', GRACE_S), DONE)
        self.assert_cached(self.variant)

    def test_reported_as_rez_does(self):
        """--stalled=report leaves it, and says stalled."""
        self.make_rez_slot(beat_age_s=1000)
        result = self.warm([self.variant], '--stalled=report', '--json')
        self.assert_code(result, FAILED, PARTLY)
        self.assertEqual(result.json()['stalled'], 1)
        self.assertEqual(self.slots(), ['a'])
        self.assertEqual([entry['status'] for entry in self.listing()], ['stalled'])

    def test_without_a_payload(self):
        """rez can never clear one: we can."""
        self.make_rez_slot(beat_age_s=1000, payload=False)
        self.assert_code(self.warm([self.variant], '--stall-grace', GRACE_S), DONE)
        self.run_program('--cache', self.cache, 'clean')
        self.assert_sound([self.variant], cleaned=True)

    def test_a_rez_that_was_killed(self):
        """At each place inside its copy."""
        for where in ('unlocked', 'copied:5', 'copied'):
            with self.subTest(where):
                self.variant = self.make_variant(f'killed-{where}'.replace(':', '-'))
                rez = self.start_rez_add('--stop-at', where)
                support.wait_stopped(rez)
                support.kill_process(rez)
                self.age('a', STALLED_S)
                self.assert_code(self.warm([self.variant], '--stall-grace', GRACE_S), DONE)
                self.assert_cached(self.variant)

    def test_ours_that_lives_is_left_alone(self):
        """However short the grace time: it beats."""
        process, name = self.start_slow_warm()
        result = self.warm([self.variant], '--no-wait', '--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['copying'], 1)
        self.assertEqual(self.slots(), [name])
        self.assert_done(process)
        self.assertEqual(self.slots(), [name])


class Heartbeat(PublishTest):
    """.copying beats while something completes, and not otherwise."""

    def test_a_hung_source_shows_as_stalled(self):
        """One file is never answered: no beat; rez sees COPY_STALLED, and Ctrl-C still ends it."""
        self.variant = self.make_variant(files={str(name): b'content' for name in range(10)})
        with mounts.slow_mount(self.variant.root, '--hang-file', '/5') as slow:
            manifest = write_manifest(self.path('m.json'),
                                      [Variant(self.variant.handle, slow.path)])
            process = self.start('--cache', self.cache, 'warm', manifest)
            support.wait_until(
                lambda: rezlike.look(self.cache, self.variant.handle)[0] == 'COPY_STALLED',
                'a stall')
            process.send_signal(signal.SIGINT)
            result = support.finish(process)
        self.assert_code(result, support.INTERRUPTED)
        self.assert_sound([])

    def test_a_slow_source_does_not(self):
        """As long as anything completes, it beats."""
        process, _ = self.start_slow_warm()
        states = set()
        while process.poll() is None:
            states.add(rezlike.look(self.cache, self.variant.handle)[0])
            time.sleep(0.05)
        self.assert_code(support.finish(process), DONE)
        self.assertLessEqual(states, {'COPYING', 'FOUND'})

    def test_never_found_before_it_is_whole(self):
        """A reader that looks all the time finds nothing, then everything."""
        process, _ = self.start_slow_warm()
        root = None
        while not root and process.poll() is None:
            root = rezlike.get(self.cache, self.variant.handle)
            time.sleep(0.001)  # it takes 3 s
        if root:
            self.assert_same_tree(self.variant.root, root)
        self.assert_done(process)


class Permissions(PublishTest):
    """Payloads that their owner may not write to."""

    @unittest.skipIf(os.geteuid(), 'becoming another user needs root')
    def test_a_read_only_root_as_a_plain_user(self):
        """A rename of a 0555 directory is refused to all but root: it is made writable meanwhile."""
        for mode in (0o555, 0o500, 0o755):
            with self.subTest(f'{mode:o}'):
                self.variant = self.make_variant(f'mode-{mode:o}')
                os.chmod(self.variant.root, mode)
                os.chown(self.variant.root, support.NOBODY, support.NOBODY)
                self.cache = self.path(f'cache-{mode:o}')
                os.mkdir(self.cache)
                os.chown(self.cache, support.NOBODY, support.NOBODY)
                how = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
                self.assert_code(self.warm([self.variant], **how), DONE)
                self.assert_sound([self.variant])
                result = self.run_program('--cache', self.cache, 'remove', self.variant.argument,
                                          **how)
                self.assert_code(result, DONE)
                self.assert_code(self.run_program('--cache', self.cache, 'clean', **how), DONE)
                self.assert_sound([], cleaned=True)

    def test_set_gid_is_inherited_from_the_cache(self):
        """Payloads belong to the cache's group, as if made in place."""
        if os.geteuid():
            self.skipTest('giving a directory to a group needs root')
        os.chown(self.cache, -1, 12345)
        os.chmod(self.cache, 0o2775)
        self.assert_code(self.warm([self.variant]), DONE)
        root = rezlike.get(self.cache, self.variant.handle)
        for directory, _, files in os.walk(root):
            for path in (directory, *(os.path.join(directory, name) for name in files)):
                self.assertEqual(os.stat(path).st_gid, 12345, path)


class FileSystems(PublishTest):
    """The same everywhere."""

    def test_each_kind(self):
        """A life of some variants on ext4, XFS and Btrfs, with each durability."""
        variants = self.make_variants(4)
        for kind in ('ext4', 'xfs', 'btrfs'):
            with self.subTest(kind), mounts.mounted(kind, 64 << 20) as point:
                self.cache = os.path.join(point, 'cache')
                for durability in ('none', 'batch', 'each'):
                    self.assert_code(self.warm(variants, '--durability', durability), DONE)
                    self.assert_sound(variants)
                    rezlike.open_cache(self.cache)
                    for variant in variants:
                        self.assertEqual(rezlike.remove(self.cache, variant.handle), 'REMOVED')
                self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
                self.assert_sound([], cleaned=True)


class Storm(PublishTest):
    """Ours and rez's on one cache, killed at random."""

    def test_all_at_once(self):
        """Nothing is ever found that is not whole, and in the end all is there."""
        variants = [self.make_variant(f'package{number}') for number in range(6)]
        manifest = write_manifest(self.path('manifest.json'), variants)
        choices = random.Random(trees.random_seed())
        running = []
        left = support.scaled(250, least=100)
        while left:
            if len(running) < 5:
                running.append(self.start_any(choices, manifest, variants))
                left -= 1
            time.sleep(choices.uniform(0, 0.05))
            for process in list(running):
                if process.poll() is not None or choices.random() < 0.1:
                    support.kill_process(process)
                    running.remove(process)
            self.assert_whole(variants)
        for process in running:
            support.kill_process(process)
        # A rez that was killed while it released the lock has left it for a minute.
        result = self.warm(variants, '--stall-grace', GRACE_S, '--lock-timeout', '100')
        self.assert_code(result, DONE)
        self.assert_cached(*variants)

    def start_any(self, choices, manifest, variants):
        """One of ours, or one of rez's."""
        variant = choices.choice(variants)
        kind = choices.random()
        if kind < 0.6:
            return self.start('--cache', self.cache, 'warm', manifest, '--stall-grace', '6')
        if kind < 0.7:
            return self.start('--cache', self.cache, 'remove', variant.argument)
        if kind < 0.75:
            return self.start('--cache', self.cache, 'clean')
        return self.start_rez('add', self.cache, variant.argument, variant.root)

    def assert_whole(self, variants):
        """What can be found now is whole."""
        for variant in variants:
            self.assertEqual(cachecheck.partial(self.cache, variant)[:10], [])


if __name__ == '__main__':
    unittest.main()
