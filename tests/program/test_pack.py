"""`pkgcache pack`: what goes in comes out by tar, bsdtar and --check; a pack that fails leaves nothing."""
import os
import signal
import struct
import subprocess
import unittest

import mounts
import support
import trees
from support import DONE, FAILED, INTERRUPTED, PARTLY, USAGE


NONE = 0xffffffff  # the number in an entry of an ACL that names nobody


class PackTest(support.ProgramTest):
    """Makes packs."""

    def setUp(self):
        super().setUp()
        self.file = self.path('show.pack')

    def pack(self, variants, *options, output=None, **how):
        """Runs `pack` with a manifest of these variants."""
        manifest = support.write_manifest(self.path('manifest.json'), variants)
        return self.run_program('pack', manifest, '-o', output or self.file, *options, **how)

    def check(self, file=None):
        """Runs `pack --check`."""
        return self.run_program('pack', '--check', file or self.file)

    def random_variant(self, files=1000, seed=None, **handle):
        """A variant with all kinds of files."""
        root = self.path('roots', str(len(handle)), str(handle.get('version')))
        os.makedirs(os.path.dirname(root), exist_ok=True)
        trees.make_random_tree(root, files, seed)
        return support.Variant(support.make_handle(self.path('repository'), **handle), root)

    def member_root(self, directory, version):
        """Where a tool that opened a pack put a variant."""
        parent = os.path.join(directory, 'foo', version)
        return os.path.join(parent, os.listdir(parent)[0])

    def assert_no_leftovers(self, *expected):
        """The directory of the test has only these files."""
        files = [name for name in os.listdir(self.directory) if os.path.isfile(self.path(name))]
        self.assertEqual(sorted(files), sorted(expected))


@support.once
class Contents(PackTest):
    """What is in a pack."""

    def test_a_random_tree(self):
        """It is sound, and the same bytes each time, however many threads there are."""
        variant = self.random_variant()
        self.assert_code(self.pack([variant], '--symlinks=preserve'), DONE)
        self.assert_code(self.check(), DONE)
        again = self.path('again.pack')
        subprocess.run(['taskset', '-c', '0', support.PROGRAM, 'pack', self.path('manifest.json'),
                        '-o', again, '--symlinks=preserve'], check=True, capture_output=True,
                       env=self.environment)
        with open(self.file, 'rb') as one, open(again, 'rb') as other:
            self.assertEqual(one.read(), other.read())

    def open_with(self, *command):
        """Has a tool open the pack in a new directory."""
        target = self.path(command[0])
        os.mkdir(target)
        done = subprocess.run([*command, '-xpf', self.file, '-C', target], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return target

    def test_tar_and_bsdtar_open_it(self):
        """Both make the same tree, holes and attributes included."""
        contents = {f'{number % 7}/{number}': os.urandom(number * 37) for number in range(200)}
        contents['large'] = os.urandom(9 << 20)
        variant = self.make_variant(files=contents)
        with open(os.path.join(variant.root, 'holes'), 'wb') as file:
            file.truncate(5 << 20)
            file.seek(3 << 20)
            file.write(b'x' * 5000)
        with open(os.path.join(variant.root, 'hole'), 'wb') as file:
            file.truncate(1 << 43)
        os.link(os.path.join(variant.root, 'large'), os.path.join(variant.root, 'other name'))
        os.symlink('0/7', os.path.join(variant.root, 'link'))
        self.assert_code(self.pack([variant]), DONE)
        self.assert_code(self.check(), DONE)
        os.unlink(os.path.join(variant.root, 'hole'))  # nobody reads all of that
        for command in (('tar', '--zstd', '--exclude=*/hole'), ('bsdtar', '--exclude=*/hole')):
            root = self.member_root(self.open_with(*command), '1.0')
            trees.set_time(root, os.stat(variant.root).st_mtime_ns)
            self.assert_same_tree(variant.root, root, hard_links=True, holes=True)

    def test_attributes(self):
        """bsdtar finds each once, also of a name that tar's records cannot have."""
        variant = self.make_variant(files={'a': b'hello'})
        path = os.path.join(variant.root, 'a')
        values = {'user.a=b': b'one', 'user.plain': b'two', 'user.100%': b'\0\xff', 'user.empty': b''}
        try:
            for name, value in values.items():
                os.setxattr(path, name, value)
        except OSError as error:
            self.skipTest(f'no attributes in {self.directory}: {error}')
        self.assert_code(self.pack([variant]), DONE)
        self.assert_code(self.check(), DONE)
        copy = os.path.join(self.member_root(self.open_with('bsdtar'), '1.0'), 'a')
        found = {name: os.getxattr(copy, name) for name in os.listxattr(copy) if name.startswith('user.')}
        self.assertEqual(found, values)

    def test_acls(self):
        """bsdtar makes the same, of files and directories; --check compares them."""
        variant = self.make_variant(files={'directory/file': b'hello'})
        values = b''.join(struct.pack('<HHI', tag, permissions, number) for tag, permissions, number in
                          ((1, 6, NONE), (2, 4, 1234), (4, 4, NONE), (8, 5, 77), (16, 5, NONE), (32, 0, NONE)))
        acl = struct.pack('<I', 2) + values
        paths = {'directory': ('access', 'default'), 'directory/file': ('access',)}
        try:
            for path, kinds in paths.items():
                for kind in kinds:
                    os.setxattr(os.path.join(variant.root, path), f'system.posix_acl_{kind}', acl)
        except OSError as error:
            self.skipTest(f'no ACLs in {self.directory}: {error}')
        self.assert_code(self.pack([variant]), DONE)
        self.assert_code(self.check(), DONE)
        root = self.member_root(self.open_with('bsdtar'), '1.0')
        for path, kinds in paths.items():
            for kind in kinds:
                self.assertEqual(os.getxattr(os.path.join(root, path), f'system.posix_acl_{kind}'), acl)
        self.assert_same_tree(variant.root, root)

    def test_equal_files_are_stored_once(self):
        """Within a variant, in later ones, small and large."""
        contents = {'small': os.urandom(1000), 'large': os.urandom(6 << 20)}
        contents.update({'again/small': contents['small'], 'again/large': contents['large']})
        variants = [self.make_variant(files=contents, version=version) for version in ('1.0', '1.1')]
        result = self.pack(variants, '--json')
        self.assert_code(result, DONE)
        self.assertEqual(result.json()['equal_files'], 6)
        self.assertLess(os.path.getsize(self.file), 1.02 * (6 << 20))
        self.assert_code(self.check(), DONE)

    def test_each_file_is_opened_once(self):
        """Also those that are large, equal to others, or have several names."""
        contents = {f'{number % 7}/{number}': os.urandom(number) for number in range(200)}
        contents.update({'large': os.urandom(3 << 20), 'again/1': contents['1/1']})
        variant = self.make_variant(files=contents)
        os.link(os.path.join(variant.root, 'large'), os.path.join(variant.root, 'other'))
        with mounts.slow_mount(variant.root) as mount:
            self.assert_code(self.pack([variant._replace(root=mount.path)]), DONE)
            mount.close()
            counts = mount.counts()
        self.assertEqual(len(counts), len(contents))
        self.assertEqual({opens for opens, _ in counts.values()}, {1})
        self.assert_code(self.check(), DONE)

    def test_very_deep(self):
        """Paths that are longer than the kernel takes."""
        variant = self.make_variant()
        trees.remove_tree(variant.root)
        trees.make_deep(variant.root, 'n' * 200, 40)
        self.assert_code(self.pack([variant]), DONE)
        self.assert_code(self.check(), DONE)

    def test_list(self):
        """Text and JSON name the variants and the digest of the pack."""
        variants = [self.make_variant(version=version) for version in ('1.0', '1.1')]
        made = self.pack(variants, '--json').json()
        listed = self.run_program('pack', '--list', '--json', self.file).json()
        self.assertEqual(listed[0]['digest'], made['digest'])
        self.assertEqual([variant['handle'] for variant in listed[0]['variants']],
                         [variant.handle for variant in variants])
        text = self.run_program('pack', '--list', self.file)
        self.assertIn(made['digest'], text.out)
        self.assertIn('foo-1.1', text.out)

    def test_limits(self):
        """What is read a second, and at once, at most; the bytes are the same."""
        variant = self.make_variant(files={str(number): os.urandom(50000) for number in range(40)})
        self.assert_code(self.pack([variant]), DONE)
        with open(self.file, 'rb') as file:
            expected = file.read()
        result = self.pack([variant], '--json', '--bwlimit=2M', '--in-flight=2', '--io-priority=idle')
        self.assert_code(result, DONE)
        self.assertGreater(result.json()['seconds'], 0.8)  # 2 MB at 2 MiB a second
        with open(self.file, 'rb') as file:
            self.assertEqual(file.read(), expected)

    def test_standard_output(self):
        """The same bytes as in a file."""
        variants = [self.make_variant()]
        self.assert_code(self.pack(variants), DONE)
        with open(self.file, 'rb') as file:
            expected = file.read()
        done = subprocess.run([support.PROGRAM, 'pack', self.path('manifest.json'), '-o', '-'], check=True,
                              capture_output=True, env=self.environment)
        self.assertEqual(done.stdout, expected)


@support.once
class Failures(PackTest):
    """What goes wrong leaves no pack, and what was there."""

    def setUp(self):
        super().setUp()
        with open(self.file, 'wb') as file:
            file.write(b'what was there')

    def assert_untouched(self, *others):
        """The file has what it had, and nothing lies beside it."""
        with open(self.file, 'rb') as file:
            self.assertEqual(file.read(), b'what was there')
        self.assert_no_leftovers('show.pack', 'manifest.json', *others)

    def test_a_root_that_is_missing(self):
        """Named, before anything is made."""
        gone = self.make_variant()
        trees.remove_tree(gone.root)
        self.assert_refused(self.pack([self.make_variant(version='2.0'), gone]), FAILED, about=[gone.root])
        self.assert_untouched()

    def test_what_is_not_cachable(self):
        """It is left out, and named; a pack of nothing else is not made."""
        uris = []
        for name, cachable in (('foo', False), ('bar', True)):
            root = self.path('repository', name, '1.0')
            trees.make_plain_tree(root, {'package.py': f'name = "{name}"\nversion = "1.0"\n'
                                         f'cachable = {cachable}\n'.encode()})
            uris.append(f'{root}/package.py[]')
        made = self.path('made.pack')
        result = self.run_program('pack', *uris, '-o', made)
        self.assert_refused(result, PARTLY, about=[uris[0], 'cachable'])
        self.assertIn('bar-1.0', self.run_program('pack', '--list', made).out)
        os.unlink(made)
        self.assert_refused(self.run_program('pack', uris[0], '-o', made), FAILED, about=['no pack was made'])
        self.assert_refused(self.run_program('pack', '--all', os.path.dirname(uris[0]), '-o', made), FAILED,
                            about=['no pack was made: 1 variant is not cachable', 'default_cachable'])
        self.assertFalse(os.path.exists(made))

    def test_a_file_that_cannot_be_read(self):
        """Named."""
        if os.geteuid() == 0:
            variant = self.make_variant()
            path = os.path.join(variant.root, 'secret')
            with open(path, 'wb') as file:
                file.write(b'x')
            os.chmod(path, 0)
            os.chmod(self.directory, 0o777)
            manifest = support.write_manifest(self.path('manifest.json'), [variant])
            result = self.run_program('pack', manifest, '-o', self.file, uid=support.NOBODY,
                                      program=self.program_for_anybody())
            self.assert_refused(result, FAILED, about=[path, 'Permission denied'])
            self.assert_untouched('pkgcache')
        else:
            self.skipTest('another user is needed')

    def test_no_room(self):
        """It is not begun, unless one asks for it; then the disk is full, and nothing is left."""
        variant = self.make_variant(files={'large': os.urandom(8 << 20)})
        with mounts.mounted('tmpfs', 4 << 20) as point:
            file = os.path.join(point, 'show.pack')
            self.assert_refused(self.pack([variant], output=file), FAILED, about=['room', '--any-room'])
            self.assertEqual(os.listdir(point), [])
            self.assert_refused(self.pack([variant], '--any-room', output=file), FAILED,
                                about=[file, 'No space'])
            self.assertEqual(os.listdir(point), [])

    def test_wrong_options(self):
        """Each says what is wrong."""
        manifest = support.write_manifest(self.path('manifest.json'), [self.make_variant()])
        for arguments, about in ([[manifest], '-o FILE'],
                                 [[manifest, '-o', self.file, '--list'], '-o'],
                                 [['--list', '--check', manifest], '--check'],
                                 [[manifest, '-o', '-', '--json'], '--json'],
                                 [[manifest, '-o', self.file, '--level=20'], '--level'],
                                 [[manifest, '-o', self.file, '--symlinks=follow'], 'follow']):
            result = self.run_program('pack', *arguments)
            self.assert_code(result, USAGE)
            self.assertIn(about, result.err)
        self.assert_refused(self.run_program('pack', manifest, '-o', self.directory), FAILED,
                            about=['is a directory'])
        self.assert_refused(self.run_program('pack', manifest, '-o', '/dev/null'), FAILED,
                            about=['no regular file'])
        self.assertTrue(os.path.exists('/dev/null'))
        self.assert_untouched()

    def test_interrupted(self):
        """While a server hangs, too."""
        variant = self.make_variant(files={str(number): b'x' * 1000 for number in range(300)})
        point = self.enter(mounts.slow_mount(os.path.dirname(variant.root), '--bandwidth', '20000'))
        slow = variant._replace(root=os.path.join(point.path, os.path.basename(variant.root)))
        manifest = support.write_manifest(self.path('manifest.json'), [slow])
        process = self.start('pack', manifest, '-o', self.file, '--progress=json')
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        self.assert_untouched()

    def test_a_pack_as_a_source(self):
        """Only warm takes one, from standard input neither."""
        self.assert_code(self.pack([self.make_variant()]), DONE)
        for command in (['pack', '-o', self.path('other.pack')], ['preload', '--slurm']):
            self.assert_refused(self.run_program(*command, self.file), FAILED, USAGE,
                                about=[self.file, 'is a pack', 'only warm'])
        with open(self.file, 'rb') as file:
            self.assert_refused(self.run_program('pack', '-o', self.path('other.pack'), '-', stdin=file), FAILED,
                                about=['standard input', 'is a pack'])

    def test_shown_without_a_name(self):
        """--list and --check want the names of packs."""
        for option in ('--list', '--check'):
            result = self.run_program('pack', option)
            self.assert_code(result, USAGE)
            self.assertIn('PACK...', result.err)
            self.assert_refused(self.run_program('pack', option, '-'), FAILED, about=['./-'])

    def test_what_is_no_pack(self):
        """Said of the file."""
        for contents in (b'', b'{"variants": []}', b'\x28\xb5\x2f\xfd' + bytes(600)):
            path = self.path('other')
            with open(path, 'wb') as file:
                file.write(contents)
            for option in ('--list', '--check'):
                self.assert_refused(self.run_program('pack', option, path), FAILED, PARTLY,
                                    about=[path, 'no pack'])


@support.once
class Damage(PackTest):
    """--check finds what is wrong."""

    magic = b'\x28\xb5\x2f\xfd'  # of a frame

    def test_bits(self):
        """One that is flipped is found, wherever it is."""
        self.assert_code(self.pack([self.make_variant(files={'a': os.urandom(200000)})]), DONE)
        with open(self.file, 'rb') as file:
            sound = file.read()
        for number in range(20):
            damaged = bytearray(sound)
            damaged[number * len(sound) // 20 + 13] ^= 1 << number % 8
            with open(self.file, 'wb') as file:
                file.write(damaged)
            self.assert_refused(self.check(), FAILED, PARTLY, about=[self.file])

    def test_another_file_in_the_archive(self):
        """Sound frames that have other files than the index says."""
        variant = self.make_variant(files={'a': b'a' * 5000})
        self.assert_code(self.pack([variant]), DONE)
        with open(self.file, 'rb') as file:
            frames = [self.magic + frame for frame in file.read().split(self.magic)[1:]]
        contents = subprocess.run(['zstd', '-dc'], input=frames[3], capture_output=True, check=True).stdout
        self.assertIn(b'a' * 5000, contents)
        member = self.path('member')
        for number in range(200):  # until one is compressed to as many bytes
            changed = contents.replace(b'a' * 5000, (b'%c' % (98 + number % 20)) * (5000 - number // 20) +
                                       b'a' * (number // 20))
            with open(member, 'wb') as file:
                file.write(changed)
            frame = subprocess.run(['zstd', '-3', '-c', member], capture_output=True, check=True).stdout
            if len(frame) == len(frames[3]):
                break
        else:
            self.skipTest('no such frame was found')
        with open(self.file, 'wb') as file:
            file.write(b''.join([*frames[:3], frame, *frames[4:]]))
        self.assert_refused(self.check(), PARTLY, about=['digest'])


if __name__ == '__main__':
    unittest.main()
