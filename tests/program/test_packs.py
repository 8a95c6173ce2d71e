"""Caches that are filled from packs: as from the trees that are in them, or not at all."""
import os
import random
import signal
import subprocess
import time
import unittest

import mounts
import support
import trees
from support import DONE, FAILED, PARTLY

MIB = 1 << 20


def find_peak_kib(process):
    """The most memory that a process has had in use when it ends."""
    peak_kib = 0
    status = f'/proc/{process.pid}/status'

    def look():
        nonlocal peak_kib
        with open(status, encoding='ascii') as file:
            lines = dict(line.split(':', 1) for line in file)
        if 'VmHWM' in lines:
            peak_kib = max(peak_kib, int(lines['VmHWM'].split()[0]))
        return process.poll() is not None
    support.wait_until(look, 'the end')
    return peak_kib


class PackTest(support.ProgramTest):
    """Variants in one file, and a cache that is filled from it."""

    def setUp(self):
        super().setUp()
        self.pack = self.path('variants.pack')

    def make_pack(self, variants):
        """Puts variants into the pack."""
        manifest = support.write_manifest(self.path('packed.json'), variants)
        self.assert_code(self.run_program('pack', manifest, '-o', self.pack), DONE)
        os.chmod(self.pack, 0o644)

    def warm_pack(self, *arguments, cache=None, **options):
        """Runs `warm` with the pack."""
        return self.run_program('--cache', cache or self.cache, 'warm', self.pack, *arguments, **options)

    def cached(self, *variants):
        """The roots, as get() gives them; None for all if there is no cache."""
        return self.get(*variants) if os.path.exists(self.cache) else [None] * len(variants)

    def began(self):
        """Whether files are being made."""
        staging = os.path.join(self.cache, '.sys', 'staging')
        return any(len(names) > 3 for _, _, names in os.walk(staging))

    def manifests(self, cache):
        """The records of all manifests of a cache, by variant."""
        directory = os.path.join(cache, '.sys', 'manifests')
        found = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), 'rb') as file:
                found[name.rsplit('.', 1)[0]] = sorted(record for record in file.read().split(b'\0')
                                                          if not record.startswith(b'{'))
        return found


class RoundTrip(PackTest):
    """What comes out is what went in."""

    def test_random_trees(self):
        """As warm from the trees makes them: contents, attributes, links, holes, digests."""
        variants = self.make_variants(4, files=support.scaled(120))
        self.make_pack(variants)
        result = self.warm_pack('--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['created'], 4)
        for variant, root in zip(variants, self.get(*variants)):
            self.assert_same_tree(variant.root, root, holes=True, hard_links=True)
        self.assert_sound(variants)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)
        trees_cache, self.cache = self.cache, self.path('from-trees')
        self.assert_code(self.warm(variants), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)  # adds what is missing
        self.assertEqual(self.manifests(trees_cache), self.manifests(self.cache))

    def test_what_is_cached_is_found(self):
        """Only what is missing is read: frames of the others may be damaged."""
        first, second = self.make_variant('first', {'file': b'1' * 5000}), self.make_variant('second')
        self.make_pack([first, second])
        self.assert_code(self.warm([first]), DONE)
        result = self.warm_pack('--json')
        self.assert_code(result, DONE)
        self.assertEqual([one['status'] for one in result.json()['results']], ['found', 'created'])
        self.assert_cached(first, second)

    def test_large_and_equal_files(self):
        """A file over many frames; files that are equal to those of other variants."""
        data = random.Random(5).randbytes(30 * MIB)
        first = self.make_variant('first', {'large': data, 'small': data[:100], 'x/empty': b''})
        second = self.make_variant('second', {'too': data, 'small': data[:100], 'other': b'other'})
        self.make_pack([first, second])
        self.assertLess(os.path.getsize(self.pack), 32 * MIB)
        self.assert_code(self.warm_pack(), DONE)
        self.assert_cached(first, second)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', second.argument), DONE)
        self.assert_code(self.warm_pack(), DONE)  # whose bytes are in the first one's frames
        self.assert_cached(first, second)

    def test_without_manifests(self):
        """Digests are checked also where none are kept."""
        variant = self.make_variant()
        self.make_pack([variant])
        self.assert_code(self.warm_pack('--digest=no'), DONE)
        self.assert_cached(variant)

    def test_source_is_gone(self):
        """The pack is enough."""
        variant = self.make_variant()
        self.make_pack([variant])
        os.rename(variant.root, self.path('kept'))
        self.assert_code(self.warm_pack(), DONE)
        self.assert_same_tree(self.path('kept'), self.get(variant)[0])

    def test_beside_other_sources(self):
        """A pack is one more kind of source, and what is named twice is one."""
        packed, other = self.make_variant('packed'), self.make_variant('other')
        self.make_pack([packed])
        manifest = support.write_manifest(self.path('m.json'), [packed, other])
        self.assert_code(self.warm_pack(manifest), DONE)
        self.assert_cached(packed, other)

    def test_heartbeat(self):
        """While a payload is made, others see that it goes on."""
        variant = self.make_variant('foo', {f'{n}': os.urandom(MIB) for n in range(40)})
        self.make_pack([variant])
        process = self.start('--cache', self.cache, '--bwlimit', '1M', 'warm', self.pack)
        beats = set()

        def has_beaten():
            for directory, _, names in os.walk(self.cache):
                beats.update(os.stat(os.path.join(directory, name)).st_mtime_ns
                             for name in names if name.startswith('.copying'))
            return len(beats) > 2
        support.wait_until(has_beaten, 'a third beat')
        process.send_signal(signal.SIGINT)
        self.assert_code(support.finish(process), support.INTERRUPTED)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])


class SlowLink(PackTest):
    """A frame takes longer to arrive than others wait for a heartbeat."""

    STILL_S = 6  # longer than between two beats

    def files(self, is_meant):
        """All files of the cache with names of this kind."""
        return [os.path.join(directory, name) for directory, _, names in os.walk(self.cache)
                for name in names if is_meant(name)]

    def last_beat(self):
        """When the copy has last shown that it goes on, or None."""
        found = self.files(lambda name: name.startswith('.copying'))
        return os.stat(found[0]).st_mtime_ns if found else None

    def test_heartbeat(self):
        """Bytes that arrive of a frame are progress; when none arrive any more, that shows."""
        variant = self.make_variant('foo', {'large': os.urandom(4 * MIB - (64 << 10))})  # one frame
        self.make_pack([variant])
        slow = self.enter(mounts.slow_mount(self.directory, '--bandwidth', str(128 << 10)))
        process = self.start('--cache', self.cache, 'warm', '--trust-pack',
                             os.path.join(slow.path, 'variants.pack'))
        beats = set()

        def has_beaten():
            beats.add(self.last_beat())
            self.assertEqual(self.files(lambda name: name == 'large'), [], 'the frame is there')
            return len(beats - {None}) > 3
        support.wait_until(has_beaten, 'the beats of a frame that arrives')
        with slow.hanging():
            last, since = None, 0

            def is_still():
                nonlocal last, since
                if self.last_beat() != last:
                    last, since = self.last_beat(), time.monotonic()
                return time.monotonic() > since + self.STILL_S
            support.wait_until(is_still, 'the heartbeat to stop')
            process.send_signal(signal.SIGINT)
            self.assert_code(support.finish(process), support.INTERRUPTED)

    def read_from_server(self, wanted, *arguments):
        """Warms these variants, and no others, from the pack on a file server; returns how far reads went back."""
        missing = [variant for variant in self.packed if variant not in wanted]
        self.assert_code(self.warm(missing), DONE)
        with mounts.slow_mount(self.directory, '--delay-ms', '1') as slow:
            result = self.run_program('--cache', self.cache, 'warm', os.path.join(slow.path, 'variants.pack'),
                                      '--trust-pack', *arguments)
            self.assert_code(result, DONE)
            slow.close()
            (back,) = slow.steps_back().values()
        self.assert_cached(*self.packed)
        return back

    def test_a_server_reads_in_order(self):
        """What lies with a file server is read from its beginning on, several frames at a time; all, and a part."""
        self.packed = [self.make_variant(f'v{number:02}', {'large': os.urandom(5 * MIB), 'same': b'x' * MIB})
                       for number in range(24)]
        self.make_pack(self.packed)
        self.assertGreater(os.path.getsize(self.pack), 120 * MIB)
        self.assertLess(self.read_from_server(self.packed), 48 * MIB)
        trees.remove_tree(self.cache)
        self.assertLess(self.read_from_server(self.packed[1::2]), 48 * MIB)


class StandardInput(PackTest):
    """A pack through a pipe, or as a file."""

    def run_from(self, stdin, *arguments):
        """Runs warm with this standard input."""
        return self.run_program('--cache', self.cache, 'warm', '-', *arguments, stdin=stdin)

    def test_pipe(self):
        """Nobody knows who made it: it has to be trusted."""
        variants = self.make_variants(3, files=40)
        self.make_pack(variants)
        for arguments, code in (((), FAILED), (('--trust-pack',), DONE)):
            with subprocess.Popen(['cat', self.pack], stdout=subprocess.PIPE) as cat:
                result = self.run_from(cat.stdout, *arguments)
            self.assert_code(result, code)
        self.assert_cached(*variants)
        self.assert_sound(variants)

    def test_file(self):
        """Who made it is seen."""
        variant = self.make_variant()
        self.make_pack([variant])
        with open(self.pack, 'rb') as file:
            self.assert_code(self.run_from(file), DONE)
        self.assert_cached(variant)

    def test_cut(self):
        """Standard input that ends early caches nothing."""
        variant = self.make_variant()
        self.make_pack([variant])
        with subprocess.Popen(['head', '-c', str(os.path.getsize(self.pack) // 2), self.pack],
                              stdout=subprocess.PIPE) as head:
            result = self.run_from(head.stdout, '--trust-pack')
        self.assert_refused(result, FAILED, about=['standard input'])
        self.assertEqual(self.cached(variant), [None])

    def test_manifest(self):
        """What is no pack is read as before."""
        variant = self.make_variant()
        manifest = support.write_manifest(self.path('m.json'), [variant])
        with subprocess.Popen(['cat', manifest], stdout=subprocess.PIPE) as cat:
            self.assert_code(self.run_from(cat.stdout), DONE)
        self.assert_cached(variant)


class Trust(PackTest):
    """A pack is its maker's word about every handle in it."""

    def setUp(self):
        super().setUp()
        self.variant = self.make_variant()
        self.make_pack([self.variant])

    def refuse(self, *words):
        """The pack is refused, and taken when told."""
        self.assert_refused(self.warm_pack(), FAILED, about=[self.pack, '--trust-pack', *words])
        self.assertEqual(self.cached(self.variant), [None])
        self.assert_code(self.warm_pack('--trust-pack'), DONE)
        self.assert_cached(self.variant)

    @support.once
    def test_others_may_write(self):
        """Its group, or all."""
        os.chmod(self.pack, 0o664)
        self.refuse('others may write to it')

    @support.once
    def test_of_another_user(self):
        """Who may change it at any time."""
        mounts.need_root()
        os.chown(self.pack, support.NOBODY, -1)
        self.refuse('another user')

    @support.once
    def test_link_of_another_user(self):
        """Who may lead to another pack next time."""
        mounts.need_root()
        link = self.path('link.pack')
        os.symlink(self.pack, link)
        os.chown(link, support.NOBODY, -1, follow_symlinks=False)
        self.pack = link
        self.refuse('symbolic link')

    @support.once
    def test_own_link(self):
        """One of this user's is followed."""
        link = self.path('link.pack')
        os.symlink(os.path.basename(self.pack), link)
        self.pack = link
        self.assert_code(self.warm_pack(), DONE)

    @support.once
    def test_root_made_it(self):
        """Users take root's packs."""
        mounts.need_root()
        os.chmod(self.directory, 0o755)
        cache = self.path('users')
        os.mkdir(cache)
        os.chown(cache, support.NOBODY, -1)
        result = self.warm_pack(cache=cache, uid=support.NOBODY, program=self.program_for_anybody())
        self.assert_code(result, DONE)

    @support.once
    def test_daemon_reads_no_packs(self):
        """Who warms from one does so himself."""
        result = self.run_program('--cache', self.cache, '--daemon=require', 'warm', self.pack)
        self.assert_refused(result, FAILED, about=['--daemon=require'])


class Damage(PackTest):
    """A pack that is cut, flipped or exchanged gives an error, never a payload."""

    def expect_whole_or_nothing(self, result, variants):
        """What is cached equals its source; what is not is named."""
        self.assert_code(result, DONE, PARTLY, FAILED)
        roots = self.cached(*variants)
        for variant, root in zip(variants, roots):
            if root:
                self.assert_same_tree(variant.root, root)
        if None in roots:
            self.assert_message(result)
        if os.path.exists(self.cache):
            self.assert_sound(variants, partial=True)
        return roots

    def test_flipped_bits(self):
        """At places all over it."""
        variants = self.make_variants(2, files=30)
        self.make_pack(variants)
        with open(self.pack, 'rb') as file:
            whole = file.read()
        for number in range(support.scaled(20)):
            place = (2 * number + 1) * len(whole) // (2 * support.scaled(20))
            damaged = bytearray(whole)
            damaged[place] ^= 1 << number % 8
            with open(self.pack, 'wb') as file:
                file.write(damaged)
            self.cache = self.path(f'cache-{number}')
            with self.subTest(f'bit {number % 8} of byte {place}'):
                self.expect_whole_or_nothing(self.warm_pack(), variants)

    def test_cut(self):
        """Also between two frames."""
        variants = self.make_variants(2, files=30)
        self.make_pack(variants)
        size = os.path.getsize(self.pack)
        for number in range(10, 0, -1):
            os.truncate(self.pack, size * number // 11)
            self.cache = self.path(f'cache-{number}')
            self.assertEqual(self.expect_whole_or_nothing(self.warm_pack(), variants), [None, None])

    def test_others_go_on(self):
        """A damaged frame fails its variant, which is named; the others are cached."""
        good, bad = (self.make_variant(name, {'file': os.urandom(3 * MIB)}) for name in ('good', 'bad'))
        self.make_pack([good, bad])
        with open(self.pack, 'r+b') as file:
            file.seek(-MIB, os.SEEK_END)  # the middle of the second one's frame
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        result = self.warm_pack()
        self.assert_refused(result, PARTLY, about=['bad-1.0'])
        self.assertEqual([bool(root) for root in self.get(good, bad)], [True, False])
        self.assert_sound([good, bad], partial=True)

    def test_exchanged_while_it_is_read(self):
        """By one with other contents, in place."""
        old = self.make_variant('foo', {f'{n}': os.urandom(MIB) for n in range(40)})
        self.make_pack([old])
        other = os.urandom(os.path.getsize(self.pack))
        process = self.start('--cache', self.cache, '--bwlimit', '1M', 'warm', self.pack)
        support.wait_until(self.began, 'the copy to begin')
        with open(self.pack, 'r+b') as file:
            file.write(other)
        result = support.finish(process)
        self.assert_refused(result, FAILED)
        self.assertEqual(self.get(old), [None])


class Interrupted(PackTest):
    """Whatever happens to a warm, nothing half is found, and the next one completes."""

    def test_killed(self):
        """At any time."""
        variants = self.make_variants(3, files=60)
        self.make_pack(variants)
        choices = random.Random(3)
        for number in range(support.scaled(6)):
            self.cache = self.path(f'cache-{number}')
            process = self.start('--cache', self.cache, '--bwlimit', '20M', 'warm', self.pack)
            support.wait_until(lambda: process.poll() is not None or
                               os.path.exists(os.path.join(self.cache, '.sys', 'staging')), 'a begin')
            support.wait_until(lambda: process.poll() is not None or choices.random() < 0.05, 'a moment')
            process.kill()
            process.wait()
            self.assert_code(self.warm_pack(), DONE)
            self.assert_cached(*variants)
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
            self.assert_sound(variants, cleaned=True)

    def test_server_hangs(self):
        """Ctrl-C ends a warm whose pack's server does not answer any more."""
        variant = self.make_variant('foo', {f'{n}': os.urandom(MIB) for n in range(40)})
        self.make_pack([variant])
        slow = self.enter(mounts.slow_mount(self.directory))
        process = self.start('--cache', self.cache, '--bwlimit', '10M', 'warm',
                             os.path.join(slow.path, 'variants.pack'), '--trust-pack')
        support.wait_until(self.began, 'the copy to begin')
        with slow.hanging():
            process.send_signal(signal.SIGINT)
            self.assert_code(support.finish(process), support.INTERRUPTED)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
        self.assert_code(self.warm_pack(), DONE)
        self.assert_cached(variant)

    def test_full_disk(self):
        """While files are made: it is said, and nothing is left."""
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(MIB) for n in range(24)})
                    for number in range(2)]
        self.make_pack(variants)
        slow = self.enter(mounts.slow_mount(self.directory, '--bandwidth', str(8 * MIB)))
        with mounts.mounted('tmpfs', 64 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            process = self.start('--cache', self.cache, 'warm', '--trust-pack', '--space-buffer=0',
                                 os.path.join(slow.path, 'variants.pack'))
            support.wait_until(self.began, 'the copy to begin')
            status = os.statvfs(point)
            with open(os.path.join(point, 'filler'), 'wb') as file:
                os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - 2 * MIB)
            result = support.finish(process)
            self.assert_refused(result, FAILED, about=['No space left on device'])
            self.assertNotIn('cancel', result.err)  # the frame that is given up then is not the reason
            self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
            self.assert_sound(variants, partial=True)

    def test_at_once(self):
        """Several from one pack: each variant is made once."""
        variants = self.make_variants(4, files=60)
        self.make_pack(variants)
        processes = [self.start('--cache', self.cache, '--json', 'warm', self.pack) for _ in range(4)]
        results = [support.finish(process) for process in processes]
        for result in results:
            self.assert_code(result, DONE)
        self.assertEqual(sum(result.json()['created'] for result in results), 4)
        self.assert_cached(*variants)
        self.assert_sound(variants)


class Room(PackTest):
    """What does not fit is known before anything is written."""

    def test_what_fits(self):
        """Nothing is begun of what does not, and the others are cached."""
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(MIB) for n in range(megabytes)})
                    for number, megabytes in enumerate((5, 20, 4))]
        with open(os.path.join(variants[2].root, 'hole'), 'wb') as file:
            file.truncate(1 << 40)
        self.make_pack(variants)
        with mounts.mounted('tmpfs', 16 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            result = self.warm_pack('--space-buffer=0')
            self.assert_refused(result, PARTLY, about=['v1-1.0: its files have 20 MiB', 'make room'])
            self.assertIn('2 created, 1 skipped', result.out)
            self.assertEqual([bool(root) for root in self.get(*variants)], [True, False, True])
            result = self.warm_pack('--space-buffer=4M')
            self.assert_refused(result, PARTLY, about=['v1-1.0: ', '--space-buffer'])

    def test_what_others_take(self):
        """Room that is promised to one is none for another."""
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(MIB) for n in range(6)})
                    for number in range(3)]
        self.make_pack(variants)
        with mounts.mounted('tmpfs', 16 * MIB) as point:
            self.cache = os.path.join(point, 'cache')
            result = self.warm_pack('--space-buffer=0')
            self.assert_refused(result, PARTLY, about=['its files have 6 MiB'])
            self.assertIn('2 created, 1 skipped', result.out)


class Memory(PackTest):
    """Frames in flight are bounded, however large the pack, and however many wait for it."""

    def test_peak(self):
        """96 MiB for frames, and some for all else."""
        self.skip_with_sanitizers('they take memory of their own')
        block = random.Random(9).randbytes(MIB)
        variant = self.make_variant('large', {
            f'{n}': b'%d' % n + block * 40 for n in range(support.scaled(4))})
        self.make_pack([variant])
        process = self.start('--cache', self.cache, 'warm', self.pack)
        peak_kib = find_peak_kib(process)
        self.assert_code(support.finish(process), DONE)
        self.assertLess(peak_kib, 96 << 10)
        self.assertGreater(peak_kib, 0)


if __name__ == '__main__':
    unittest.main()
