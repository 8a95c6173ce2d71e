"""A pack through a pipe: read once, in order, and nothing of it is kept that nobody needs."""
import itertools
import os
import random
import signal
import subprocess
import threading
import unittest

import mounts
import packfile
import support
import test_packs
from support import DONE, FAILED, PARTLY

MIB = 1 << 20


class PipeTest(test_packs.PackTest):
    """`warm -` at the end of a pipe."""

    def warm_bytes(self, data, *arguments, cache=None):
        """Runs `warm -` with these bytes of a pack, and says whether all of them were taken."""
        taken = []
        read_end, write_end = os.pipe()

        def feed():
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(write_end, view):]
                taken.append(True)
            except BrokenPipeError:
                pass
            finally:
                os.close(write_end)
        thread = threading.Thread(target=feed)
        thread.start()
        try:
            result = self.run_program('--cache', cache or self.cache, 'warm', '-', '--trust-pack', *arguments,
                                      stdin=read_end)
        finally:
            os.close(read_end)
            thread.join()
        self.is_taken = bool(taken)
        return result

    def whole(self):
        """The bytes of the pack."""
        with open(self.pack, 'rb') as file:
            return file.read()

    def warm_pack(self, *arguments, cache=None, **_options):
        """As through a file, for the tests of that."""
        return self.warm_bytes(self.whole(), *arguments, cache=cache)

    def frame_ends(self):
        """Where each frame ends; the last of them is the one before the table."""
        return list(itertools.accumulate(packfile.frame_sizes(self.whole())))

    def with_room(self, size):
        """Has the cache on a disk of this size."""
        point = self.enter(mounts.mounted('tmpfs', size))
        self.cache = os.path.join(point, 'cache')


class RoundTrip(PipeTest):
    """As through a file."""

    test_random_trees = test_packs.RoundTrip.test_random_trees
    test_what_is_cached_is_found = test_packs.RoundTrip.test_what_is_cached_is_found
    test_beside_other_sources = test_packs.RoundTrip.test_beside_other_sources

    def test_parts_of_large_files(self):
        """Over many frames; equal files of variants of which only the second is wanted."""
        data = random.Random(5).randbytes(30 * MIB)
        first = self.make_variant('first', {'large': data, 'small': data[:100], 'x/empty': b''})
        second = self.make_variant('second', {'too': data, 'small': data[:100], 'other': b'other'})
        third = self.make_variant('third', {'again': data, 'own': data[5:9 * MIB]})
        self.make_pack([first, second, third])
        self.assert_code(self.warm([first]), DONE)
        self.assert_code(self.warm_pack(), DONE)
        self.assert_cached(first, second, third)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', second.argument), DONE)
        self.assert_code(self.warm_pack(), DONE)
        self.assert_cached(first, second, third)
        self.assert_sound([first, second, third])

    def test_at_once(self):
        """Several pipes into one cache: each variant is made once, whoever waits for whom."""
        variants = self.make_variants(4, files=60)
        self.make_pack(variants)
        results = [None] * 4

        def warm(number):
            results[number] = subprocess.run(
                f'cat {self.pack} | {support.PROGRAM} --cache {self.cache} --json warm - --trust-pack',
                shell=True, capture_output=True, check=False, env=self.environment)
        threads = [threading.Thread(target=warm, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([result.returncode for result in results], [DONE] * 4, results)
        self.assert_cached(*variants)
        self.assert_sound(variants)

    def test_is_read_to_its_end(self):
        """Whoever writes it is not interrupted, also when nothing of it is wanted."""
        variants = [self.make_variant(name, {'file': os.urandom(3 * MIB)}) for name in ('a', 'b')]
        self.make_pack(variants)
        self.assert_code(self.warm_pack('--dry-run'), DONE)
        self.assertTrue(self.is_taken)
        self.assertFalse(os.path.exists(self.cache))
        for status in ('created', 'found'):
            result = self.warm_pack('--json')
            self.assert_code(result, DONE)
            self.assertTrue(self.is_taken)
            self.assertEqual([one['status'] for one in result.json()['results']], [status] * 2)

    @support.once
    def test_named_twice(self):
        """It can be read once."""
        self.make_pack([self.make_variant()])
        self.assert_refused(self.warm_pack('-'), FAILED, about=['standard input is named twice'])


class Room(PipeTest):
    """What is kept is what somebody will need."""

    def test_nothing_is_kept(self):
        """The disk has room for the payloads, and not for the pack beside them."""
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(MIB) for n in range(12)})
                    for number in range(5)]
        self.make_pack(variants)
        self.with_room(100 * MIB)
        self.assert_code(self.warm_pack('--space-buffer=0'), DONE)
        self.assert_cached(*variants)

    test_what_fits = test_packs.Room.test_what_fits
    test_what_others_take = test_packs.Room.test_what_others_take

    def test_only_what_is_shared_is_kept(self):
        """Of a variant that is not wanted, however large it is."""
        shared = os.urandom(MIB)
        large = self.make_variant('a', {'shared': shared, **{str(n): os.urandom(MIB) for n in range(60)}})
        small = self.make_variant('b', {'shared': shared, 'own': b'own'})
        self.make_pack([large, small])
        self.with_room(80 * MIB)
        self.assert_code(self.warm([large]), DONE)
        point = os.path.dirname(self.cache)
        status = os.statvfs(point)
        with open(os.path.join(point, 'filler'), 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - 6 * MIB)
        self.assert_code(self.warm_pack('--space-buffer=0'), DONE)
        self.assert_cached(large, small)


class Damage(PipeTest):
    """As through a file: what is cached is whole, and what is not is named."""

    expect_whole_or_nothing = test_packs.Damage.expect_whole_or_nothing
    test_flipped_bits = test_packs.Damage.test_flipped_bits
    test_others_go_on = test_packs.Damage.test_others_go_on

    def make(self):
        """Three variants, of several frames each; returns them."""
        variants = [self.make_variant(f'v{number}', {'file': os.urandom(64 << 10) * 144})  # 9 MiB
                    for number in range(3)]
        self.make_pack(variants)
        return variants

    def test_cut(self):
        """At each frame, before and behind its end: those that were whole are cached, the first that is
        not is named, and so are all behind it."""
        variants = self.make()
        whole, ends = self.whole(), self.frame_ends()
        index_frames = len(ends) - 10  # each variant has three frames, and one ends the archive
        for number, end in enumerate(ends):
            self.cache = self.path(f'cache-{number}')
            result = self.warm_bytes(whole[:end - number % 2])
            frames = number - index_frames + 1 - number % 2
            if frames < 0:
                self.assert_refused(result, FAILED, about=['standard input'])
                self.assertEqual(self.cached(*variants), [None] * 3)
                continue
            done = min(frames // 3, 3)
            roots = self.expect_whole_or_nothing(result, variants)
            self.assertEqual([bool(root) for root in roots], [True] * done + [False] * (3 - done), result)
            self.assert_code(result, PARTLY if done else FAILED)
            self.assertIn(f'v{done}-1.0: frame' if done < 3 else 'standard input: ', result.err)
            self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])

    def test_what_is_behind(self):
        """Something behind the end, or another table of frames: it is said, and what was whole stays."""
        variants = self.make()
        whole = self.whole()
        table = bytearray(whole)
        table[-20] ^= 1
        for number, (data, why) in enumerate(((whole + b'x', 'something follows'),
                                              (table, 'table of frames'),
                                              (whole[:-1], 'cut off'))):
            self.cache = self.path(f'cache-{number}')
            result = self.warm_bytes(data)
            self.assert_refused(result, PARTLY, about=['standard input', why])
            self.assert_cached(*variants)

    def test_cut_in_what_is_not_wanted(self):
        """Those behind it lack their bytes."""
        variants = self.make()
        self.assert_code(self.warm(variants[:1]), DONE)
        result = self.warm_bytes(self.whole()[:self.frame_ends()[-10]])
        self.assert_refused(result, PARTLY, about=['v1-1.0: standard input: v0-1.0: frame', 'cut off'])
        self.assertEqual([bool(root) for root in self.cached(*variants)], [True, False, False])
        self.assert_sound(variants, partial=True)


class Interrupted(PipeTest):
    """Whoever writes does not go on."""

    def start_and_stall(self, keep):
        """Begins with what comes, of which only a part does."""
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(MIB) for n in range(9)})
                    for number in range(2)]
        self.make_pack(variants)
        whole = self.whole()
        read_end, write_end = os.pipe()
        process = self.start('--cache', self.cache, 'warm', '-', '--trust-pack', stdin=read_end)
        os.close(read_end)
        view = memoryview(whole[:keep(whole)])
        while view:
            view = view[os.write(write_end, view):]
        self.addCleanup(os.close, write_end)
        return process, variants

    def test_in_a_frame(self):
        """Ctrl-C ends it, and nothing is left."""
        process, variants = self.start_and_stall(lambda whole: len(whole) // 3)
        support.wait_until(self.began, 'the copy to begin')
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, support.INTERRUPTED)
        self.assertIn('interrupted', result.err)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
        self.assertEqual(self.cached(*variants), [None, None])

    def test_at_its_end(self):
        """All is cached, and the writer does not end."""
        process, variants = self.start_and_stall(len)
        support.wait_until(lambda: os.path.exists(self.cache) and None not in self.cached(*variants), 'the last')
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, support.INTERRUPTED)
        self.assertIn('interrupted', result.err)
        self.assert_cached(*variants)


class Memory(PipeTest):
    """As through a file."""

    def test_peak(self):
        """Also of what does not become smaller."""
        self.skip_with_sanitizers('they take memory of their own')
        variants = [self.make_variant(f'v{number}', {str(n): os.urandom(5 * MIB) for n in range(8)})
                    for number in range(4)]
        self.make_pack(variants)
        with subprocess.Popen(['cat', self.pack], stdout=subprocess.PIPE) as cat:
            process = self.start('--cache', self.cache, 'warm', '-', '--trust-pack', stdin=cat.stdout)
            self.assertLess(test_packs.find_peak_kib(process), 96 << 10)
            self.assert_code(support.finish(process), DONE)
        self.assert_cached(*variants)


if __name__ == '__main__':
    unittest.main()
