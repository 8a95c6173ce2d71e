"""What a copy cannot keep: the rest arrives, who asked is told, and nobody takes it for damage."""
import fcntl
import json
import os
import struct
import unittest

import daemons
import mounts
import rezprogram
import support
import trees
from support import DONE, FAILED, write_manifest

FIFO = 'not copied: it is a socket, fifo or device'
GET_ATTRIBUTES, SET_ATTRIBUTES = 0x801c581f, 0x401c5820  # FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR
INHERIT = 0x200  # FS_XFLAG_PROJINHERIT
EARLY, LATE = -3600 * 24 * 365 * 100, 4102444801  # 1870, 2100


def give_project(path, project):
    """What is made in a directory from now on gets this project id."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attributes = bytearray(fcntl.ioctl(descriptor, GET_ATTRIBUTES, bytes(28)))
        flags, = struct.unpack_from('I', attributes)
        struct.pack_into('I', attributes, 0, flags | INHERIT)
        struct.pack_into('I', attributes, 12, project)
        fcntl.ioctl(descriptor, SET_ATTRIBUTES, bytes(attributes))
    except OSError as error:
        raise unittest.SkipTest(f'no project ids here: {error}') from error
    finally:
        os.close(descriptor)


def project_of(path):
    """The project id of a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return struct.unpack_from('I', fcntl.ioctl(descriptor, GET_ATTRIBUTES, bytes(28)), 12)[0]
    finally:
        os.close(descriptor)


class Told(daemons.DaemonTest):
    """Whoever asks for a copy is told what it left out."""

    def setUp(self):
        super().setUp()
        self.variant = self.make_variant()
        self.fifo = os.path.join(self.variant.root, 'fifo')
        os.mkfifo(self.fifo)
        self.expected = [{'path': self.fifo, 'text': FIFO}]

    def log(self):
        """The log."""
        result = self.run_program('--cache', self.cache, 'logs')
        self.assert_code(result, DONE)
        return result.out

    def assert_told(self, *options):
        """By warm and warm --json, each of a cache of its own; and in the log."""
        manifest = write_manifest(self.path('manifest.json'), [self.variant])
        result = self.run_program('--cache', self.cache, *options, 'warm', manifest)
        self.assert_code(result, DONE)
        self.assertEqual(result.err, f'pkgcache: {self.fifo}: {FIFO}\n')
        self.assertIn(f'{self.fifo}: {FIFO}', self.log())
        self.run_program('--cache', self.cache, *options, 'remove', self.variant.argument)
        result = self.run_program('--cache', self.cache, *options, '--json', 'warm', manifest)
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['results'][0]['warnings'], self.expected)
        self.assertEqual(json.loads(result.err), {'warning': f'{self.fifo}: {FIFO}'})
        result = self.run_program('--cache', self.cache, *options, '--json', 'warm', manifest)
        self.assertNotIn('warnings', result.json()['results'][0], 'nothing was copied')

    def test_by_warm(self):
        self.assert_told('--daemon=never')

    def test_by_the_daemon(self):
        self.start_daemon()
        self.assert_told('--daemon=require')

    def test_all_who_asked_the_daemon(self):
        """Whether they wait for the answer, or for notifications."""
        self.start_daemon()
        answer = self.connect().warm([daemons.entry(self.variant)])
        self.assertEqual(answer['results'][0]['warnings'], self.expected)

    def test_very_many(self):
        """Are counted."""
        for number in range(200):
            os.mkfifo(f'{self.fifo}{number}')
        result = self.warm([self.variant])
        self.assert_code(result, DONE)
        self.assertEqual(len(result.err.splitlines()), 101)
        self.assertIn(f'{self.variant.root}: 101 more warnings are not shown', result.err)
        self.assertIn('more warnings are not shown', self.log())

    def test_quietly(self):
        result = self.warm([self.variant], '-q')
        self.assert_code(result, DONE)
        self.assertEqual(result.err, '')


class ToldByRez(rezprogram.RezProgramTest):
    """rez-pkg-cache."""

    def test_told(self):
        variant, = self.make_package()
        os.mkfifo(os.path.join(variant.root, 'fifo'))
        result = self.run_rez('--pkg-cache-mode', 'sync', '-a', self.uri(variant), '--', self.cache)
        self.assert_code(result, DONE)
        self.assertIn(('WARNING', f'{variant.root}/fifo: {FIFO}'), self.messages(result))


class Lost(support.ProgramTest):
    """Between file systems that can do different things."""

    def test_an_xattr_that_is_too_large(self):
        """ext4 has a block for all of a file."""
        self.variant = self.make_variant()
        source = self.enter(mounts.mounted('xfs', 0))
        self.cache = os.path.join(self.enter(mounts.mounted('ext4', 0)), 'cache')
        root = os.path.join(source, 'root')
        trees.make_plain_tree(root, {'file': b'content', 'd/file': b''})
        for name in ('file', 'd'):
            os.setxattr(os.path.join(root, name), 'user.large', b'x' * 12000)
            os.setxattr(os.path.join(root, name), 'user.small', b'x')
        result = self.warm([support.Variant(self.variant.handle, root)])
        self.assert_code(result, DONE)
        for name in ('file', 'd'):
            self.assertIn(f'{root}/{name}: extended attribute user.large is lost', result.err)
        copy, = self.get(self.variant)
        self.assert_same_tree(root, copy)
        self.assertEqual(os.listxattr(os.path.join(copy, 'file')), ['user.small'])
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)

    def test_times_that_cannot_be_kept(self):
        """32 bits of seconds: what was kept is what verify expects."""
        self.cache = os.path.join(self.enter(mounts.mounted('ext4', 0, features=['-I', '128'])), 'cache')
        variant = self.make_variant(files={'late': b'1', 'early': b'2', 'usual': b'3'})
        os.symlink('late', os.path.join(variant.root, 'link'))
        os.link(os.path.join(variant.root, 'late'), os.path.join(variant.root, 'again'))
        for name, seconds in (('late', LATE), ('early', EARLY), ('link', LATE)):
            path = os.path.join(variant.root, name)
            os.utime(path, (0, seconds), follow_symlinks=False)
            if os.lstat(path).st_mtime != seconds:
                self.skipTest('the source cannot have that time')
        result = self.warm([variant])
        self.assert_code(result, DONE)
        self.assertEqual(result.err.count('modification time'), 1, result.err)
        copy, = self.get(variant)
        self.assertLess(os.stat(os.path.join(copy, 'late')).st_mtime, 2**31)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)

    def test_a_project_id_that_the_cache_gets_later(self):
        """What is staged gets it, too: else it could not be renamed to where it belongs."""
        self.cache = os.path.join(self.enter(mounts.mounted('xfs', 0)), 'cache')
        self.assert_code(self.warm([self.make_variant('foo')]), DONE)
        give_project(self.cache, 42)
        variant = self.make_variant('bar')
        self.assert_code(self.warm([variant]), DONE)
        copy, = self.get(variant)
        self.assertEqual(project_of(os.path.join(copy, '0')), 42)
        self.assert_same_tree(variant.root, copy)

    def test_a_project_id_in_the_cache(self):
        """Says what to do; doctor says it, too."""
        self.cache = os.path.join(self.enter(mounts.mounted('xfs', 0)), 'cache')
        self.assert_code(self.warm([self.make_variant('foo', version='1.0')]), DONE)
        give_project(os.path.join(self.cache, 'foo'), 43)
        result = self.warm([self.make_variant('foo', version='2.0')])
        self.assert_refused(result, FAILED, about=['project id', 'chattr'])
        result = self.run_program('--cache', self.cache, 'doctor')
        self.assertIn('project id', result.out)
        self.assertIn(os.path.join(self.cache, 'foo'), result.out)


@unittest.skipIf(os.geteuid(), 'giving directories away needs root')
class Groups(support.ProgramTest):
    """What a copy inherits from where it is made."""

    def test_of_others(self):
        """Who is not of the group loses set-gid to any chmod: not before all has the group."""
        source, place = self.make_variant().root, self.path('place')
        os.mkdir(place)
        os.chown(place, 0, 12345)
        os.chmod(place, 0o2777)
        copy = os.path.join(place, 'copy')
        result = self.run_program('copy', source, copy, uid=support.NOBODY,
                                  program=self.program_for_anybody())
        self.assert_code(result, DONE)
        for name in ('', '0', '0/0'):
            self.assertEqual(os.stat(os.path.join(copy, name)).st_gid, 12345, name)


class SizeLimit(support.ProgramTest):
    """A limit of file sizes (ulimit -f) is an error that is said, not the end of the program."""

    def under(self, size, *arguments):
        """Runs the program, which may make files of so many bytes."""
        process = self.start(f'--fsize={size}:{size}', support.PROGRAM, '--cache', self.cache,
                             *arguments, program='prlimit')
        return support.finish(process)

    def test_nothing_can_be_written(self):
        """What is cached is found; commands end with a code of their own."""
        self.skip_with_sanitizers('their run-time library writes a file before main() begins')
        variant = self.make_variant()
        self.assert_code(self.warm([variant]), DONE)
        result = self.under(0, 'get', variant.argument)
        self.assert_code(result, DONE)
        self.assertTrue(result.out.strip())
        for command in ('list', 'stats', 'verify', 'clean'):
            self.assertLess(self.under(0, command).code, 128, command)
        manifest = write_manifest(self.path('other.json'), [self.make_variant('bar')])
        self.assert_refused(self.under(0, 'warm', manifest), FAILED, about=['File too large'])
        self.assert_cached(variant)

    def test_a_large_file(self):
        """The copy of its tree fails, and leaves nothing."""
        variant = self.make_variant(files={'small': b'1', 'large': b'x' * 3000000})
        manifest = write_manifest(self.path('manifest.json'), [variant])
        result = self.under(100000, 'warm', manifest)
        self.assert_refused(result, FAILED, about=['File too large'])
        self.assertEqual(self.get(variant), [None])
        self.assert_code(self.warm([variant]), DONE)
        self.assert_sound([variant])


if __name__ == '__main__':
    unittest.main()
