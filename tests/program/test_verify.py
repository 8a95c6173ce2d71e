"""verify: finds every damage and nothing else, repairs it, and is in nobody's way."""
import json
import os
import re
import shutil
import signal
import subprocess
import unittest

import mounts
import rezlike
import support
import trees
from support import DONE, FAILED, INTERRUPTED, MISSING, PARTLY, USAGE, make_handle

SUMMARY_KEYS = {'variants', 'sound', 'digested', 'damaged', 'repaired', 'missing', 'unknown', 'files',
                'bytes', 'seconds', 'differences', 'results'}
RESULT_KEYS = {'handle', 'status', 'root', 'reason', 'differences'}
FILES = {'a/one': b'1' * 5000, 'a/two': b'2' * 70000, 'b/three': b'3', 'empty': b'',
         'large': bytes(range(256)) * 70000, 'link': 'a/one'}


class VerifyTest(support.ProgramTest):
    """A cache with one variant in it."""

    def setUp(self):
        super().setUp()
        self.variant = self.make_variant('foo', FILES)
        self.assert_code(self.warm([self.variant]), DONE)
        self.root = self.get(self.variant)[0]

    def command(self, *arguments, **options):
        """Runs a command on the cache."""
        return self.run_program('--cache', self.cache, *arguments, **options)

    def verify(self, *arguments, code=DONE, **options):
        """Runs `verify --json`, and returns its summary."""
        result = self.command('--json', 'verify', *arguments, **options)
        self.assert_code(result, code)
        return result.json()

    def inside(self, name):
        """A file of the payload."""
        return os.path.join(self.root, name)

    def manifests(self):
        """The names of all manifests."""
        directory = os.path.join(self.cache, '.sys', 'manifests')
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def manifest(self, variant=None):
        """The path of a variant's manifest, which exists or not."""
        root = self.get(variant)[0] if variant else self.root
        hash4, slot = root.split('/')[-2:]
        name = (variant or self.variant).handle['variables']['name']
        return os.path.join(self.cache, '.sys', 'manifests', f'{name}-1.0.{hash4}.{slot}')

    def overwrite(self, name, offset, data):
        """Changes bytes of a file of the payload, and leaves its times as they were."""
        status = os.stat(self.inside(name))
        with open(self.inside(name), 'r+b') as file:
            file.seek(offset)
            file.write(data)
        os.utime(self.inside(name), ns=(status.st_atime_ns, status.st_mtime_ns))

    def assert_finds(self, *expected):
        """verify finds these differences, (path, word), and says so also as text."""
        summary = self.verify(code=PARTLY)
        found = [(entry['path'], entry['difference']) for entry in summary['differences']]
        self.assertEqual(len(found), len(expected), found)
        for path, word in expected:
            self.assertTrue([name for name, text in found if name == path and word in text],
                            f'{path} {word}: {found}')
        self.assertEqual(summary['damaged'], 1)
        self.assertEqual(summary['results'][0]['differences'], len(expected))
        self.assert_refused(self.command('verify'), PARTLY, about=[expected[0][0], 'damaged'])

    def assert_sound_again(self):
        """All is well, and what is found is what shall be."""
        self.assertEqual(self.verify()['sound'], 1)
        self.assert_cached(self.variant)
        self.assert_sound([self.variant])


class Damages(VerifyTest):
    """Each kind is found and named; nothing else is."""

    def test_none(self):
        """What was copied is sound, also when it is read again and again."""
        for _ in range(2):
            summary = self.verify()
            self.assertLessEqual(SUMMARY_KEYS, set(summary))
            self.assertLessEqual(RESULT_KEYS, set(summary['results'][0]))
            self.assertEqual((summary['variants'], summary['sound']), (1, 1))
            self.assertEqual(summary['results'][0]['handle'], self.variant.handle)
            self.assertEqual(summary['results'][0]['root'], self.root)
            self.assertEqual(summary['files'], 5)
            self.assertEqual(summary['bytes'], sum(len(data) for name, data in FILES.items()
                                                   if name != 'link'))
        self.assertRegex(self.command('verify').out, '^1 variant: 1 sound; 5 files, ')

    def test_random_trees(self):
        """Odd names, modes, holes, links and times."""
        variants = self.make_variants(4, files=support.scaled(200))
        self.assert_code(self.warm(variants), DONE)
        summary = self.verify()
        self.assertEqual((summary['sound'], summary['differences']), (5, []))

    def test_a_flipped_byte(self):
        """Anywhere; in files that the kernel copied, as soon as they are digested."""
        for name, offset in (('a/one', 0), ('a/two', 69999), ('b/three', 0), ('large', 17 << 20)):
            self.verify()
            self.overwrite(name, offset, b'!')
            self.assert_finds((name, 'contents'))
            self.verify('--repair')
            self.root = self.get(self.variant)[0]
        self.assert_sound_again()

    def test_sizes(self):
        """Cut off, and grown."""
        status = os.stat(self.inside('a/two'))
        os.truncate(self.inside('a/two'), 69999)
        self.overwrite('empty', 0, b'x')
        os.utime(self.inside('a/two'), ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assert_finds(('a/two', 'size'), ('empty', 'size'))

    def test_names(self):
        """Missing and added; what Python keeps beside its modules is no damage."""
        os.makedirs(self.inside('a/__pycache__'))
        with open(self.inside('a/__pycache__/one.cpython-311.pyc'), 'wb'):
            pass
        self.assertEqual(self.verify()['sound'], 1)
        shutil.rmtree(self.inside('b'))
        with open(self.inside('a/new'), 'wb'):
            pass
        self.assert_finds(('b', 'missing'), ('b/three', 'missing'), ('a/new', 'added'))

    def test_types_and_links(self):
        """A link that reaches something else; a fifo in a file's place, which nobody waits for."""
        status = os.lstat(self.inside('link'))
        os.unlink(self.inside('link'))
        os.symlink('a/two', self.inside('link'))
        os.utime(self.inside('link'), ns=(0, status.st_mtime_ns), follow_symlinks=False)
        os.unlink(self.inside('empty'))
        os.mkfifo(self.inside('empty'))
        self.assert_finds(('link', 'link'), ('empty', 'type'))

    def test_modes_and_times(self):
        """Of files and directories; a directory's time is no damage."""
        os.utime(self.inside('a'), (1, 1))
        self.assertEqual(self.verify()['sound'], 1)
        os.chmod(self.inside('a/one'), 0o4755)
        os.chmod(self.inside('b'), 0o700)
        os.utime(self.inside('b/three'), (1, 1))
        self.assert_finds(('a/one', 'mode'), ('b', 'mode'), ('b/three', 'time'))

    @unittest.skipIf(os.geteuid(), 'needs root, to be another user')
    def test_what_may_not_be_read(self):
        """Is damage to its owner, and unknown to others."""
        os.chmod(self.inside('a'), 0)
        other = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        result = self.command('--json', 'verify', **other)
        self.assert_code(result, PARTLY)
        self.assertEqual((result.json()['unknown'], result.json()['damaged']), (1, 0))
        self.assertIn('another user', result.json()['results'][0]['reason'])
        for name in ('', 'a', 'a/one', 'a/two'):
            os.chown(self.inside(name), support.NOBODY, -1)
        result = self.command('--json', 'verify', **other)
        self.assertEqual((result.json()['unknown'], result.json()['damaged']), (0, 1))
        self.assertIn('cannot be read', result.json()['differences'][0]['difference'])

    def test_only_the_variants_that_are_named(self):
        """A missing one is named by its exit code, and is no damage."""
        other = self.make_variant('bar')
        self.assert_code(self.warm([other]), DONE)
        os.truncate(self.inside('a/one'), 1)
        self.assertEqual(self.verify(other.argument)['sound'], 1)
        self.verify(self.variant.argument, code=PARTLY)
        missing = json.dumps(make_handle(name='nobody'))
        summary = self.verify(missing, other.argument, code=MISSING)
        self.assertEqual((summary['sound'], summary['missing']), (1, 1))
        self.assert_code(self.command('remove', self.variant.argument), DONE)
        self.assertEqual(self.verify(self.variant.argument, code=MISSING)['missing'], 1)

    def test_the_command_line(self):
        """What is no percentage, and no cache."""
        for sample in ('0', '101', 'x', '', '5%%', 'nan'):
            self.assert_refused(self.command('verify', '--sample', sample), USAGE, about=['--sample'])
        self.assert_refused(self.run_program('--cache', self.path('none'), 'verify'), FAILED)
        os.mkdir(self.path('empty'))
        self.assert_refused(self.run_program('--cache', self.path('empty'), 'verify'), FAILED)

    @unittest.skipIf(os.geteuid(), 'needs root, for a disk of its own')
    def test_what_the_disk_has(self):
        """Not what memory has: a byte that changes below a file system is found at once."""
        with mounts.mounted('ext4', 64 << 20) as point:
            self.cache = os.path.join(point, 'cache')
            self.variant = self.make_variant('foo', {'file': b'needle' * 50000})
            self.assert_code(self.warm([self.variant]), DONE)
            self.root = self.get(self.variant)[0]
            self.assertEqual(self.verify()['sound'], 1)
            with open(self.inside('file'), 'rb') as file:
                self.assertEqual(len(file.read()), 300000)  # in memory from now on
            subprocess.run(['sync', '-f', point], check=True)
            device = next(line.split()[0] for line in open('/proc/mounts', encoding='ascii')
                          if line.split()[1] == point)
            self.damage_disk(device, b'needle' * 500)
            self.assert_finds(('file', 'contents'))

    def damage_disk(self, device, pattern):
        """Changes a byte behind the file system's back, where these bytes are."""
        fd = os.open(device, os.O_RDWR)
        try:
            offset = 0
            while data := os.pread(fd, 1 << 20, offset):
                at = data.find(pattern)
                if at >= 0:
                    os.pwrite(fd, b'N', offset + at)
                    os.fsync(fd)
                    return
                offset += len(data)
        finally:
            os.close(fd)
        self.fail('the pattern is not on the disk')


class Manifests(VerifyTest):
    """Where they come from, where they go, and what is without one."""

    def test_goes_with_its_slot(self):
        """remove takes it along; clean those whose slots rez removed."""
        self.assertEqual(self.manifests(), [os.path.basename(self.manifest())])
        self.assert_code(self.command('remove', self.variant.argument), DONE)
        self.assertEqual(self.manifests(), [])
        self.assert_code(self.warm([self.variant]), DONE)
        rezlike.open_cache(self.cache)
        self.assertEqual(rezlike.remove(self.cache, self.variant.handle), 'REMOVED')
        self.assertEqual(len(self.manifests()), 1)
        with open(os.path.join(self.cache, '.sys', 'manifests', 'rubbish'), 'wb'):
            pass
        other = self.make_variant('bar')
        self.assert_code(self.warm([other]), DONE)
        self.assert_code(self.command('clean', '--dry-run'), DONE)
        self.assertEqual(len(self.manifests()), 3)
        self.assert_code(self.command('clean'), DONE)
        self.assertEqual(self.manifests(), [os.path.basename(self.manifest(other))])

    def test_without(self):
        """It is digested, and found all the time; from then on damage is found."""
        os.unlink(self.manifest())
        self.assert_cached(self.variant)
        self.assertEqual(self.verify()['digested'], 1)
        self.assertEqual(self.verify()['sound'], 1)
        self.overwrite('a/one', 77, b'!')
        self.assert_finds(('a/one', 'contents'))

    def test_cut_off(self):
        """Anywhere: as if there were none."""
        with open(self.manifest(), 'rb') as file:
            whole = file.read()
        for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            with open(self.manifest(), 'wb') as file:
                file.write(whole[:length])
            self.assertEqual(self.verify()['digested'], 1, length)
            self.assertEqual(self.verify()['sound'], 1, length)

    def make_old(self, name):
        """Makes the manifest one of version 1, of which all digests are plain; `name` had another."""
        with open(self.inside(name), 'rb') as file:
            content = file.read()
        try:
            plain = subprocess.run(['xxh128sum'], input=content, check=True, capture_output=True).stdout[:32]
        except FileNotFoundError:
            self.skipTest('xxh128sum is not installed')
        with open(self.manifest(), 'rb') as file:
            records = file.read().split(b'\0')
        records[1] = b'pkgcache-manifest 1'
        for number, record in enumerate(records):
            if record.endswith(b' ' + name.encode()):
                fields = record.split(b' ')
                self.assertNotEqual(fields[4], plain)
                records[number] = b' '.join([*fields[:4], plain, *fields[5:]])
        with open(self.manifest(), 'wb') as file:
            file.write(b'\0'.join(records))

    def test_of_version_1(self):
        """Is verified as it was made: zeros count in its digests, also those of holes."""
        self.variant = self.make_variant('old', {**FILES, 'zeros': b'x' + bytes(300000) + b'x'})
        with open(os.path.join(self.variant.root, 'zeros'), 'r+b') as file:
            file.truncate(1 << 20)
        self.assert_code(self.warm([self.variant]), DONE)
        self.root = self.get(self.variant)[0]
        self.verify(self.variant.argument)
        self.make_old('zeros')
        for _ in range(2):
            self.assertEqual(self.verify(self.variant.argument)['sound'], 1)
        self.overwrite('zeros', 150000, b'!')
        summary = self.verify(self.variant.argument, code=PARTLY)
        self.assertEqual([entry['path'] for entry in summary['differences']], ['zeros'])
        self.verify(self.variant.argument, '--repair')
        self.root = self.get(self.variant)[0]
        self.assertEqual(self.verify(self.variant.argument)['sound'], 1)
        with open(self.manifest(), 'rb') as file:
            self.assertEqual(file.read().split(b'\0')[1], b'pkgcache-manifest 2')

    def test_of_somebody_else(self):
        """Says nothing of this payload. Neither does what is no file."""
        other = self.make_variant('bar')
        self.assert_code(self.warm([other]), DONE)
        shutil.copy(self.manifest(other), self.manifest())
        summary = self.verify()
        self.assertEqual((summary['digested'], summary['sound']), (1, 1))
        os.unlink(self.manifest())
        os.symlink(self.manifest(other), self.manifest())
        self.assertEqual(self.verify()['digested'], 1)
        self.assertFalse(os.path.islink(self.manifest()))

    def test_completes_what_the_kernel_copied(self):
        """Digests that the copy could not take are there after the first verify."""
        def undigested():
            with open(self.manifest(), 'rb') as file:
                records = file.read().split(b'\0')[2:-2]
            return [record for record in records
                    if record.startswith(b'f ') and record.split(b' ')[4] == b'-']
        before = undigested()
        self.verify('--sample', '1')
        self.assertEqual(undigested(), before)
        self.verify()
        self.assertEqual(undigested(), [])

    def test_of_rez(self):
        """What rez copied is digested once. A name that rez uses again is another payload."""
        theirs = self.make_variant('theirs')
        rezlike.open_cache(self.cache)
        self.assertEqual(rezlike.add(self.cache, *theirs)[0], 'CREATED')
        self.assertEqual(self.verify(theirs.argument)['digested'], 1)
        self.assertEqual(self.verify(theirs.argument)['sound'], 1)
        first = self.get(theirs)[0]
        rezlike.remove(self.cache, theirs.handle)
        trees.remove_tree(theirs.root)
        trees.make_plain_tree(theirs.root, {'other': b'contents'})
        self.assertEqual(rezlike.add(self.cache, *theirs)[0], 'CREATED')
        self.assertEqual(self.get(theirs)[0], first)
        self.assertEqual(self.verify(theirs.argument)['digested'], 1)
        os.truncate(os.path.join(first, 'other'), 1)
        summary = self.verify(theirs.argument, '--repair', code=PARTLY)
        self.assertIn('source is unknown', summary['results'][0]['reason'])

    def test_digests_are_a_setting(self):
        """--digest=no: no manifest."""
        other = self.make_variant('bar')
        self.assert_code(self.warm([other], PKGCACHE_DIGEST='no'), DONE)
        self.assertEqual(len(self.manifests()), 1)
        self.assertEqual(self.verify(other.argument)['digested'], 1)
        third = self.make_variant('third')
        self.assert_code(self.warm([third], '--digest=no'), DONE)
        self.assertEqual(len(self.manifests()), 2)
        self.assertIn('--digest=no', self.command('--digest=no', '--help-settings').out)

    @unittest.skipIf(os.geteuid(), 'needs root, to be another user')
    def test_where_nothing_can_be_written(self):
        """What has a manifest is verified; what has none cannot be kept."""
        other = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        os.chmod(os.path.join(self.cache, '.sys', 'staging'), 0o755)
        result = self.command('--json', 'verify', **other)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['sound'], 1)
        self.verify()
        self.overwrite('a/one', 0, b'!')
        self.assert_code(self.command('verify', **other), PARTLY)
        self.overwrite('a/one', 0, b'1')
        os.unlink(self.manifest())
        result = self.command('--json', 'verify', **other)
        self.assertEqual(result.json()['unknown'], 1)

    def test_a_sample(self):
        """Some files are read; names, sizes and modes of all are compared."""
        variant = self.make_variant('many', {f'{number}': b'x' * 1000 for number in range(400)})
        self.assert_code(self.warm([variant]), DONE)
        self.verify()
        read = {self.verify(variant.argument, '--sample', '25%')['bytes'] for _ in range(8)}
        self.assertGreater(len(read), 1)  # others each time
        for size in read:
            self.assertGreater(size, 0)
            self.assertLess(size, 400000)
        self.root = self.get(variant)[0]
        os.truncate(self.inside('123'), 999)
        summary = self.verify(variant.argument, '--sample', '0.001', code=PARTLY)
        self.assertIn('size', summary['differences'][0]['difference'])


class Repairs(VerifyTest):
    """Damaged payloads are replaced while they are found."""

    def test_all_kinds(self):
        """Also read-only payloads; then there is one slot, and one manifest."""
        self.verify()
        os.truncate(self.inside('a/one'), 1)
        self.overwrite('large', 1 << 20, b'!!')
        shutil.rmtree(self.inside('b'))
        os.chmod(self.root, 0o555)
        summary = self.verify('--repair')
        self.assertEqual((summary['repaired'], summary['damaged']), (1, 0))
        self.assertNotEqual(self.get(self.variant)[0], self.root)
        self.assertFalse(os.path.exists(self.root))
        self.assertEqual(len(self.manifests()), 1)
        self.assert_sound_again()
        self.assert_code(self.command('clean'), DONE)
        self.assert_sound([self.variant], cleaned=True)

    def test_is_found_all_the_time(self):
        """By those who look while it is copied, from a slow source."""
        os.truncate(self.inside('a/one'), 1)
        with mounts.slow_mount(self.variant.root, '--delay-ms', '20') as slow:
            self.move_source(slow.path)
            process = self.start('--cache', self.cache, 'verify', '--repair')
            looks = 0
            while process.poll() is None:
                self.assertIsNotNone(self.get(self.variant)[0])
                looks += 1
        self.assert_code(support.finish(process), DONE)
        self.assertGreater(looks, 0)
        self.root = self.get(self.variant)[0]
        self.assert_sound_again()

    def move_source(self, root):
        """Says in the sidecar that the payload came from elsewhere."""
        with open(self.root + '.json', 'r+', encoding='utf-8') as file:
            sidecar = json.load(file)
            sidecar['pkgcache']['root'] = root
            file.seek(0)
            file.truncate()
            json.dump(sidecar, file)

    def test_when_the_source_is_gone(self):
        """It stays, and is reported with the reason; others are repaired."""
        other = self.make_variant('bar', FILES)
        self.assert_code(self.warm([other]), DONE)
        for root in (self.root, self.get(other)[0]):
            os.truncate(os.path.join(root, 'a/one'), 1)
        trees.remove_tree(self.variant.root)
        summary = self.verify('--repair', code=PARTLY)
        self.assertEqual((summary['damaged'], summary['repaired']), (1, 1))
        reasons = [entry['reason'] for entry in summary['results'] if entry['status'] == 'damaged']
        self.assertIn('No such file', reasons[0])
        self.assertEqual(self.get(self.variant)[0], self.root)
        self.assert_refused(self.command('verify', '--repair'), PARTLY, about=['No such file'])
        self.assert_cached(other)

    def test_when_the_source_has_no_end(self):
        """A repair brings back what was there; a source that is many times as large is not copied."""
        small = self.make_variant('small', {'file': b'small'})
        self.assert_code(self.warm([small]), DONE)
        root, = self.get(small)
        os.truncate(os.path.join(root, 'file'), 1)
        with open(os.path.join(small.root, 'file'), 'wb') as file:
            for _ in range(80):
                file.write(os.urandom(1 << 20))
        self.assert_refused(self.command('verify', '--repair'), PARTLY, about=['many times as large'])
        self.assertEqual(self.get(small), [root])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])

    def test_after_one_that_was_killed(self):
        """Two slots of one handle: the damaged one goes without a copy."""
        os.truncate(self.inside('a/one'), 1)
        sidecar, hash_directory = self.root + '.json', os.path.dirname(self.root)
        shutil.copytree(self.variant.root, os.path.join(hash_directory, 'yyyy'), symlinks=True)
        shutil.copy(sidecar, os.path.join(hash_directory, 'yyyy.json'))
        summary = self.verify(self.variant.argument, '--repair')
        self.assertEqual((summary['repaired'], summary['digested']), (1, 1))
        self.assertFalse(os.path.exists(self.root))
        self.root = os.path.join(hash_directory, 'yyyy')
        self.assert_sound_again()


class Beside(VerifyTest):
    """Others work in the same cache."""

    def test_what_goes_is_no_damage(self):
        """remove, clean and warm while payloads are read, again and again."""
        variants = [self.make_variant(f'v{number}', {f'{file}': os.urandom(3000) for file in range(60)})
                    for number in range(4)]
        self.assert_code(self.warm(variants), DONE)
        process = None
        for _ in range(support.scaled(12, least=2)):
            process = self.start('--cache', self.cache, '--json', 'verify')
            self.assert_code(self.command('remove', *[each.argument for each in variants]), DONE)
            self.assert_code(self.command('clean'), DONE)
            self.assert_code(self.warm(variants), DONE)
            result = support.finish(process)
            self.assert_code(result, DONE)
            self.assertEqual((result.json()['damaged'], result.json()['differences']), (0, []))
        self.assert_sound([self.variant, *variants])
        self.assertEqual(self.verify()['sound'], 5)

    def test_interrupted(self):
        """Ends soon, and leaves nothing behind but what was found out."""
        process = self.start('--cache', self.cache, '--bwlimit', '1M', '--json', 'verify')
        staging = os.path.join(self.cache, '.sys', 'staging')
        support.wait_until(lambda: os.listdir(staging), 'verify to begin')
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        self.assertTrue(re.search('interrupted', result.err))
        self.assertEqual(os.listdir(staging), [])
        self.assert_sound_again()

    def test_a_repair_that_is_interrupted(self):
        """The damaged payload is still there, alone."""
        os.truncate(self.inside('a/one'), 1)
        process = self.start('--cache', self.cache, '--bwlimit', '4M', 'verify', '--repair')
        copying = os.path.dirname(self.root)
        support.wait_until(lambda: [name for name in os.listdir(copying)
                                    if name.startswith('.copying-')], 'the copy to begin')
        process.send_signal(signal.SIGINT)
        self.assert_code(support.finish(process), INTERRUPTED)
        self.assertEqual(self.get(self.variant)[0], self.root)
        self.assertEqual(len(os.listdir(copying)), 2)
        self.verify('--repair')
        self.assert_sound_again()

    def test_many_at_once(self):
        """Several verify, some repair, one cache."""
        os.truncate(self.inside('a/one'), 1)
        processes = [self.start('--cache', self.cache, 'verify', *(['--repair'] if number % 2 else []))
                     for number in range(6)]
        for process in processes:
            self.assert_code(support.finish(process), DONE, PARTLY)
        self.verify('--repair')
        self.root = self.get(self.variant)[0]
        self.assert_sound_again()


if __name__ == '__main__':
    unittest.main()
