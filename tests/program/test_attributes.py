"""`pkgcache copy`: what a copy keeps beside contents, and the manifest that says what is in it."""
import os
import re
import stat
import struct
import subprocess
import unittest

import mounts
import support
import trees
from support import DONE, FAILED, USAGE

ACL_VERSION = 2
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 1, 2, 4, 16, 32
NO_ID = 0xffffffff
SHARED_SIZE = 17 << 20  # copied in ranges


def acl(*entries):
    """The value of a POSIX ACL's xattr (linux/posix_acl_xattr.h)."""
    return struct.pack('<I', ACL_VERSION) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


SOME_ACL = acl((USER_OBJ, 6, NO_ID), (USER, 4, 1234), (GROUP_OBJ, 4, NO_ID), (MASK, 4, NO_ID),
               (OTHER, 0, NO_ID))


class AttributesTest(support.ProgramTest):
    """Has a source and a destination on a file system with all attributes."""

    kind = 'ext4'

    def setUp(self):
        super().setUp()
        self.point = self.enter(mounts.mounted(self.kind, 192 << 20))
        self.source = os.path.join(self.point, 'source')
        self.copy = os.path.join(self.point, 'copy')

    def make_source(self, contents):
        """A small tree as make_plain_tree takes it."""
        trees.make_plain_tree(self.source, contents)

    def run_copy(self, *options, **how):
        """Runs `copy`."""
        return self.run_program('copy', *options, self.source, self.copy, **how)

    def in_source(self, name):
        """A path in the source."""
        return os.path.join(self.source, name)

    def in_copy(self, name):
        """A path in the copy."""
        return os.path.join(self.copy, name)


class HardLinks(AttributesTest):
    """Files with several names."""

    def test_names_of_one_file_stay_so(self):
        """In one directory and across, small files and large, empty ones too."""
        self.make_source({'a': b'content', 'd/e/b': b'x' * 300000, 'empty': b'',
                          'large': b'y' * SHARED_SIZE, 'single': b'1'})
        for name, other in (('a', 'a2'), ('a', 'd/a3'), ('d/e/b', 'b2'), ('empty', 'd/empty2'),
                            ('large', 'd/large2')):
            os.link(self.in_source(name), self.in_source(other))
        self.assert_code(self.run_copy(), DONE)
        self.assert_same_tree(self.source, self.copy, hard_links=True)
        self.assertEqual(os.stat(self.in_copy('a')).st_nlink, 3)

    def test_many(self):
        """Names that come while the first is still being made, from a slow source."""
        self.make_source({f'{number}/file': b'%d' % number for number in range(40)})
        for number in range(40):
            for again in range(5):
                os.link(self.in_source(f'{number}/file'), self.in_source(f'{number}/{again}'))
                os.link(self.in_source(f'{number}/file'),
                        self.in_source(f'{(number + 7) % 40}/from-{number}-{again}'))
        with mounts.slow_mount(self.source, '--delay-ms', '2') as slow:
            result = self.run_program('copy', slow.path, self.copy)
        self.assert_code(result, DONE)
        self.assert_same_tree(self.source, self.copy, hard_links=True)

    def test_names_outside_the_tree(self):
        """Do not count."""
        self.make_source({'file': b'content'})
        os.link(self.in_source('file'), os.path.join(self.point, 'outside'))
        self.assert_code(self.run_copy(), DONE)
        self.assertEqual(os.stat(self.in_copy('file')).st_nlink, 1)

    def test_deeper_than_path_max(self):
        """The first name is reached name by name."""
        name, depth = 'n' * 200, 30
        trees.make_deep(self.source, name, depth)
        directory = trees.open_deep(self.source, name, depth)
        os.link('file', 'again', src_dir_fd=directory, dst_dir_fd=directory)
        os.close(directory)
        self.assert_code(self.run_copy(), DONE)
        directory = trees.open_deep(self.copy, name, depth)
        names = [os.stat(name, dir_fd=directory) for name in ('file', 'again')]
        os.close(directory)
        self.assertTrue(os.path.samestat(*names))

    def test_followed_links_are_no_hard_links(self):
        """--symlinks=follow makes a file of its own of each name, as rez does."""
        self.make_source({'file': b'content', 'link': 'file'})
        os.link(self.in_source('file'), self.in_source('again'))
        self.assert_code(self.run_copy('--symlinks=follow'), DONE)
        inodes = {os.stat(self.in_copy(name)).st_ino for name in ('file', 'link', 'again')}
        self.assertEqual(len(inodes), 3)


class Xattrs(AttributesTest):
    """Extended attributes and POSIX ACLs."""

    kind = 'xfs'  # has room for large ones

    def test_of_users(self):
        """Of files and directories: none, many, long ones, whatever the mode."""
        self.make_source({'file': b'content', 'd/file': b'', 'plain': b'', 'locked/file': b''})
        values = {'user.one': b'1', 'user.empty': b'', 'user.binary': bytes(range(256)),
                  'user.long': b'x' * 2000}
        for name in ('file', 'd', 'd/file', '.', 'locked', 'locked/file'):
            for key, value in values.items():
                os.setxattr(self.in_source(name), key, value)
        os.chmod(self.in_source('locked/file'), 0o400)
        os.chmod(self.in_source('locked'), 0o500)
        self.assert_code(self.run_copy(), DONE)
        self.assert_same_tree(self.source, self.copy)
        for name in ('file', 'd', 'd/file', '.', 'locked', 'locked/file'):
            found = {key: os.getxattr(self.in_copy(name), key)
                     for key in os.listxattr(self.in_copy(name))}
            self.assertEqual(found, values, name)
        self.assertEqual(os.listxattr(self.in_copy('plain')), [])

    def test_of_read_only_files_as_a_plain_user(self):
        """An xattr can only be set where its owner may write: he may, for a moment."""
        self.make_source({'file': b'content'})
        os.setxattr(self.in_source('file'), 'user.key', b'value')
        os.chmod(self.in_source('file'), 0o444)
        os.chmod(self.point, 0o777)
        result = self.run_copy(uid=support.NOBODY, program=self.program_for_anybody())
        self.assert_code(result, DONE)
        self.assert_same_tree(self.source, self.copy)
        self.assertEqual(os.getxattr(self.in_copy('file'), 'user.key'), b'value')

    def test_acls(self):
        """Access ACLs of files and directories, default ACLs of directories."""
        self.make_source({'file': b'content', 'd/file': b'content'})
        os.setxattr(self.in_source('file'), 'system.posix_acl_access', SOME_ACL)
        os.setxattr(self.in_source('d'), 'system.posix_acl_default', SOME_ACL)
        self.assert_code(self.run_copy(), DONE)
        self.assert_same_tree(self.source, self.copy)
        self.assertEqual(os.getxattr(self.in_copy('file'), 'system.posix_acl_access'), SOME_ACL)
        self.assertEqual(os.getxattr(self.in_copy('d'), 'system.posix_acl_default'), SOME_ACL)
        self.assertEqual(os.listxattr(self.in_copy('d/file')), [],
                         'a default ACL is for what is made later')

    def test_security_labels_stay_behind(self):
        """Capabilities are a kind of set-uid."""
        self.make_source({'program': b''})
        capability = struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw=ep
        os.setxattr(self.in_source('program'), 'security.capability', capability)
        self.assert_code(self.run_copy(), DONE)
        self.assertNotIn('security.capability', os.listxattr(self.in_copy('program')))
        self.copy += '-with-ids'
        self.assert_code(self.run_copy('--set-id'), DONE)
        self.assertEqual(os.getxattr(self.in_copy('program'), 'security.capability'), capability)


@unittest.skipIf(os.geteuid(), 'giving files away needs root')
class Owners(AttributesTest):
    """Users, groups, set-id bits: only when asked for."""

    def setUp(self):
        super().setUp()
        self.make_source({'file': b'content', 'd/file': b'', 'link': 'file', 'program': b'x'})
        for number, name in enumerate(('file', 'd', 'd/file', 'link', 'program', '.')):
            os.chown(self.in_source(name), 1000 + number, 2000 + number, follow_symlinks=False)
        os.chmod(self.in_source('program'), 0o6755)

    def owners(self, root):
        """{name: (user, group)}"""
        names = ('file', 'd', 'd/file', 'link', 'program', '.')
        return {name: (os.lstat(os.path.join(root, name)).st_uid,
                       os.lstat(os.path.join(root, name)).st_gid) for name in names}

    def test_are_the_copiers(self):
        """By default."""
        self.assert_code(self.run_copy(), DONE)
        self.assertEqual(set(self.owners(self.copy).values()), {(0, 0)})
        self.assertEqual(stat.S_IMODE(os.stat(self.in_copy('program')).st_mode), 0o755)

    def test_are_kept(self):
        """With --owner; set-id bits with --set-id, though a change of owner drops them."""
        self.assert_code(self.run_copy('--owner', '--set-id'), DONE)
        self.assertEqual(self.owners(self.copy), self.owners(self.source))
        self.assertEqual(stat.S_IMODE(os.stat(self.in_copy('program')).st_mode), 0o6755)
        self.assert_same_tree(self.in_source('d'), self.in_copy('d'))

    def test_cannot_be_kept_by_a_plain_user(self):
        """An error, and nothing is left."""
        os.chmod(self.point, 0o777)
        result = self.run_copy('--owner', uid=support.NOBODY, program=self.program_for_anybody())
        self.assert_refused(result, FAILED, about=['only root'])
        self.assertFalse(os.path.lexists(self.copy))


class Manifests(AttributesTest):
    """--manifest says what the copy consists of."""

    def setUp(self):
        super().setUp()
        self.copy = self.path('copy')  # elsewhere: within a file system the kernel may copy

    def manifest(self):
        """{path: (type, mode, size, mtime in ns, digest)} of the manifest that was written."""
        with open(self.path('manifest'), 'rb') as file:
            records = file.read().split(b'\0')
        self.assertEqual(records.pop(), b'')
        self.assertEqual(records.pop(0), b'pkgcache-manifest 2')
        self.assertEqual(records.pop(), b'end %d' % len(records))
        found = {}
        for record in records:
            kind, mode, size, mtime, digest, path = record.split(b' ', 5)
            seconds, nanoseconds = mtime.split(b'.')
            self.assertNotIn(path, found)
            found[path] = (kind.decode(), int(mode, 8), int(size),
                           int(seconds) * 10**9 + int(nanoseconds), digest.decode())
        return found

    def copy_with_manifest(self, *options):
        """Copies, and returns the manifest."""
        self.assert_code(self.run_copy('--manifest', self.path('manifest'), *options), DONE)
        self.assertEqual([name for name in os.listdir(self.directory) if name.endswith('.tmp')], [])
        return self.manifest()

    def assert_describes(self, manifest):
        """Every file, directory and link of the copy is in it as it is."""
        names = [b'.']
        for directory, directories, files in os.walk(os.fsencode(self.copy)):
            names += [os.path.relpath(os.path.join(directory, name), os.fsencode(self.copy))
                      for name in directories + files]
        self.assertEqual(sorted(manifest), sorted(names))
        for name, (kind, mode, size, mtime, _) in manifest.items():
            status = os.lstat(os.path.join(os.fsencode(self.copy), name))
            self.assertEqual(kind, {stat.S_IFREG: 'f', stat.S_IFDIR: 'd', stat.S_IFLNK: 'l'}
                             [stat.S_IFMT(status.st_mode)], name)
            self.assertEqual(mtime, status.st_mtime_ns, name)
            self.assertEqual(mode, stat.S_IMODE(status.st_mode), name)
            if kind != 'd':
                self.assertEqual(size, status.st_size, name)

    def assert_digests(self, manifest):
        """Each file's is that of the copy's contents, each link's what xxh128sum(1) says of its target."""
        for name, (kind, _, _, _, digest) in manifest.items():
            path = os.path.join(os.fsencode(self.copy), name)
            if kind == 'd':
                self.assertEqual(digest, '-')
            elif kind == 'l':
                self.assertEqual(digest, self.xxh128(os.readlink(path)), name)
            else:
                with open(path, 'rb') as file:
                    self.assertEqual(digest, self.digest(file.read()), name)

    def digest(self, content):
        """The digest of a file, as engine/digest.h defines it."""
        size = 64 << 10
        blocks = [content[at:at + size] for at in range(0, len(content), size)]
        if bytes(size) not in blocks:
            return self.xxh128(content)
        data = [block for block in blocks if block != bytes(size)]
        where, run = bytes(16), None
        for number, block in enumerate([*blocks, bytes(size)]):
            if block != bytes(size):
                run = number if run is None else run
            elif run is not None:
                end = min(number * size, len(content))
                ends = (run * size).to_bytes(8, 'big') + end.to_bytes(8, 'big')
                where, run = bytes.fromhex(self.xxh128(where + ends)), None
        return self.xxh128(b''.join(data) + where + len(content).to_bytes(8, 'big'))

    def xxh128(self, content):
        """The digest that xxh128sum(1) finds."""
        try:
            result = subprocess.run(['xxh128sum'], input=content, check=True, capture_output=True)
        except FileNotFoundError:
            self.skipTest('xxh128sum is not installed')
        return result.stdout.decode()[:32]

    def test_a_tree_of_everything(self):
        """Small and large files, holes, links, odd names."""
        self.make_source({'small': b'content', 'empty': b'', 'd/large': os.urandom(300000),
                          'shared': os.urandom(1 << 20) * 17 + b'tail', 'link': 'd/large',
                          'dangling': 'nothing', 'odd \n\xff name': b'1', 'e/f/g': b'x'})
        with open(self.in_source('sparse'), 'wb') as file:
            file.seek(1 << 20)
            file.write(b'end')
        with open(self.in_source('hole'), 'wb') as file:
            file.truncate(18 << 20)
        manifest = self.copy_with_manifest()
        self.assert_same_tree(self.source, self.copy)
        self.assert_describes(manifest)
        self.assert_digests(manifest)

    def test_from_a_slow_source(self):
        """Where reads are queued, and end in any order."""
        self.make_source({f'{number}': os.urandom(1000 + number * 50000) for number in range(20)})
        with mounts.slow_mount(self.source, '--delay-ms', '1') as slow:
            result = self.run_program('copy', '--manifest', self.path('manifest'), slow.path,
                                      self.copy)
        self.assert_code(result, DONE)
        self.assert_same_tree(self.source, self.copy)
        self.assert_digests(self.manifest())

    def test_without_digests(self):
        """--digest=no leaves them out; links, which are read anyway, have theirs."""
        self.make_source({'file': b'content', 'link': 'file'})
        manifest = self.copy_with_manifest('--digest=no')
        self.assert_describes(manifest)
        self.assertEqual(manifest[b'file'][4], '-')

    def test_of_clones(self):
        """What the file system shares is not read: it is to be digested later."""
        self.point = self.enter(mounts.mounted('xfs', 320 << 20))
        self.source, self.copy = (os.path.join(self.point, name) for name in ('source', 'copy'))
        self.make_source({'file': b'content', 'empty': b''})
        manifest = self.copy_with_manifest()
        self.assert_describes(manifest)
        self.assertEqual(manifest[b'file'][4], '-')
        self.assertRegex(manifest[b'empty'][4], '^[0-9a-f]{32}$')

    def test_when_the_copy_fails(self):
        """There is none, and nothing aside."""
        self.make_source({'file': b'content'})
        os.mkdir(self.copy)
        result = self.run_copy('--manifest', self.path('manifest'))
        self.assert_refused(result, FAILED)
        self.assertEqual([name for name in os.listdir(self.directory) if 'manifest' in name], [])

    def test_that_cannot_be_written(self):
        """Says so, before anything is copied; a full disk, after."""
        self.make_source({'file': b'content'})
        result = self.run_copy('--manifest', self.path('missing', 'manifest'))
        self.assert_refused(result, FAILED, about=['missing/manifest'])
        self.assertFalse(os.path.lexists(self.copy))
        self.make_source({f'n{number}-{"x" * 200}': b'' for number in range(600)})
        with mounts.mounted('tmpfs', 1 << 20, ['size=64k']) as full:
            result = self.run_copy('--manifest', os.path.join(full, 'manifest'))
            self.assert_refused(result, FAILED, about=['manifest'])
            self.assertEqual(os.listdir(full), [])
        self.assertFalse(os.path.lexists(self.copy))

    def test_digests_need_a_manifest(self):
        """Else they would go nowhere."""
        self.make_source({'file': b''})
        self.assert_refused(self.run_copy('--digest=yes'), USAGE, about=['--manifest'])
        self.assertTrue(re.search('no, yes', self.run_copy('--digest=maybe').err))


if __name__ == '__main__':
    unittest.main()
