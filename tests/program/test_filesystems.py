"""Real file servers and stacked file systems: copied from, copied to, as a cache, and when they die.

A suite of its own: `./dev test filesystems`. Each class is one file system of filesystems.KINDS; what
is lost there is said in that table, which is the one of docs/filesystems.md.
"""
import contextlib
import os
import signal
import subprocess
import tempfile
import unittest

import filesystems
import support
import trees
from mounts import is_mounted, unmount
from support import DONE, FAILED, INTERRUPTED, PARTLY

MIB = 1 << 20
OLD_NS = 981173106_123456789
ACL = bytes.fromhex('02000000' '01000600ffffffff' '02000400d2040000' '04000400ffffffff'
                    '10000400ffffffff' '20000000ffffffff')  # one more user may read
CONTENTS = {
    'plain/file': b'plain\n' * 1000, 'plain/script': b'#!/bin/sh\n', 'empty': b'', 'nothing': None,
    'large': os.urandom(6 * MIB),  # more than one shard
    'plain/\u00e9 \u4e16': b'name\n', 'plain/Case': b'1', 'plain/.hidden': b'2', 'closed/file': b'3',
    'attributes': b'4', 'acl': b'5', 'one': b'6' * 5000,
    'links/inside': '../plain/file', 'links/beside': 'inside',
    'links/dangling': 'no such file',
}
MODES = {'plain/script': 0o754, 'closed/file': 0o640, 'closed': 0o750, 'empty': 0o444}
HOLE_AT, HOLE_END = 1 * MIB, 7 * MIB


def lay_tree(root):
    """What there is to keep. Its links lead to nothing of others."""
    trees.make_plain_tree(root, CONTENTS)
    os.symlink(f'{root}-elsewhere', os.path.join(root, 'links', 'absolute'))
    with open(os.path.join(root, 'sparse'), 'wb') as file:
        file.write(b'data')
        file.seek(HOLE_END)
        file.write(b'more')
    os.link(os.path.join(root, 'one'), os.path.join(root, 'other'))
    os.setxattr(os.path.join(root, 'attributes'), 'user.pkgcache', b'kept')
    os.setxattr(os.path.join(root, 'acl'), 'system.posix_acl_access', ACL)
    for name, mode in MODES.items():
        os.chmod(os.path.join(root, name), mode)
    for directory, directories, files in os.walk(root, topdown=False):
        for name in directories + files:
            trees.set_time(os.path.join(directory, name), OLD_NS)
    trees.set_time(root, OLD_NS)


def settle():
    """Makes the kernel forget attributes: it, and Gluster's shards, show old ones for a while after a
    file was written, or given another name."""
    with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as file:
        file.write('2')


def find_losses(original, copy):
    """What of lay_tree a copy has lost; files without their contents are named."""
    losses = set()
    for directory, directories, files in os.walk(original):
        for name in directories + files:
            path = os.path.relpath(os.path.join(directory, name), original)
            losses |= compare(path, os.path.join(original, path), os.path.join(copy, path))
    if is_of(copy, 'one', lambda path: os.lstat(path).st_ino) != \
            is_of(copy, 'other', lambda path: os.lstat(path).st_ino):
        losses.add('hard links')
    if is_of(copy, 'attributes', lambda path: os.getxattr(path, 'user.pkgcache')) != b'kept':
        losses.add('attributes')
    if is_of(copy, 'acl', lambda path: os.getxattr(path, 'system.posix_acl_access')) != ACL:
        losses.add('ACLs')
    return losses


def is_of(copy, name, look):
    """What a look at a file says; None when it cannot be had."""
    try:
        return look(os.path.join(copy, name))
    except OSError:
        return None


def compare(path, original, copy):
    """The losses of one name."""
    expected = os.lstat(original)
    is_link = os.path.islink(original)
    try:
        found = os.lstat(copy)
    except OSError:
        if not is_link:
            return {f'contents of {path}'}
        outside = os.readlink(original).startswith(('/', '..'))
        return {'links that are absolute or have ..' if outside else 'symbolic links'}
    losses = set()
    if is_link:
        if not os.path.islink(copy) or os.readlink(copy) != os.readlink(original):
            losses.add('symbolic links')
    elif expected.st_mode != found.st_mode:
        losses.add('modes')
    if os.path.isfile(original) and not is_link and not trees.same_contents(original, copy):
        losses.add(f'contents of {path}')
    late_ns = abs(expected.st_mtime_ns - found.st_mtime_ns)
    kind = 'times of links' if is_link else 'times'
    if late_ns >= 10**9:
        losses.add(kind)
    elif late_ns >= 100 and not is_link:
        losses.add('fractions of seconds')
    if path == 'sparse' and found.st_blocks * 512 > expected.st_blocks * 512 + (256 << 10):
        losses.add('holes')
    return losses


class Cases:
    """The same for each; `kind` is the file system."""

    kind = None

    def setUp(self):
        super().setUp()
        self.place = self.kind.prepare(self.enter(contextlib.ExitStack()))
        self.original = self.path('original')
        lay_tree(self.original)

    def source(self):
        """The tree as the file system shows it."""
        place = self.place
        if place.below:
            subprocess.run(['cp', '-a', self.original, f'{place.below}/tree'], check=True)
        place.start()
        if not place.below: # by cp, which says what it cannot keep
            subprocess.run(['cp', '-a', self.original, f'{place.point}/tree'], check=False,
                           capture_output=True)
        settle()
        return os.path.join(place.point, 'tree')

    def in_place(self, name):
        """A path on the file system."""
        self.place.start()
        return os.path.join(self.place.point, name)

    def copy(self, source, destination, *codes):
        """Runs `copy` and returns what it said."""
        result = self.run_program('copy', '--symlinks=preserve', source, destination)
        self.assert_code(result, *codes or (DONE,))
        return result.err

    def assert_lost(self, copy, expected, said=''):
        """A copy has lost this and no more."""
        settle()
        self.assertEqual(sorted(find_losses(self.original, copy)), sorted(expected), said)

    # What it keeps

    def test_as_source(self):
        """What a copy from there keeps."""
        said = self.copy(self.source(), self.path('copy'))
        self.assert_lost(self.path('copy'), self.kind.lost_from, said)

    def test_warm_from_it(self):
        """Is cached, and verified: it is what the file system showed."""
        variant = support.Variant(support.make_handle(), self.source())
        self.assert_code(self.warm([variant]), DONE)
        [root] = self.get(variant)
        self.assert_lost(root, self.kind.lost_from)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)

    def test_as_destination(self):
        """What a copy to there keeps."""
        copy = self.in_place('copy')
        if self.kind.refused_to:
            said = self.copy(self.original, copy, FAILED)
            self.assertIn(self.kind.refused_to, said)
            if os.path.lexists(copy): # rclone does not remove what it has just written
                self.assertIn(f'is left in {copy}', said)
            return
        elsewhere = f'{self.original}-elsewhere' # a link leads there: no file of others is changed
        os.mkdir(elsewhere)
        before = os.stat(elsewhere)
        said = self.copy(self.original, copy)
        self.assertEqual(os.stat(elsewhere).st_mtime_ns, before.st_mtime_ns)
        as_the_server_has_it = os.path.join(self.place.below or '', 'copy')
        if os.path.lexists(as_the_server_has_it):
            copy = as_the_server_has_it
        self.assert_lost(copy, self.kind.lost_to, said)

    def test_as_cache(self):
        """Either everything works, or it is refused with the reason, and nothing is left."""
        self.cache = self.in_place('cache')
        variant = support.Variant(support.make_handle(), self.original)
        result = self.warm([variant])
        if self.kind.no_cache:
            self.assert_refused(result, FAILED, about=[self.kind.no_cache])
            self.assertEqual(os.listdir(self.place.point), [])
            return
        self.assert_code(result, DONE)
        [root] = self.get(variant)
        self.assert_lost(root, self.kind.lost_to)
        result = self.run_program('--cache', self.cache, '--json', 'verify')
        self.assert_code(result, PARTLY if self.kind.seems_damaged else DONE)
        self.assertEqual({found['difference'] for found in result.json()['differences']},
                         {self.kind.seems_damaged} - {''})
        self.assert_code(self.run_program('--cache', self.cache, 'remove', variant.argument), DONE)
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assertEqual(self.get(variant), [None])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
        self.assertFalse(os.path.lexists(os.path.join(self.cache, '.sys', '.lock.lock')))

    def test_cache_in_a_lower_layer(self):
        """As it comes with a container's image: all of it works."""
        old, new = self.make_variant('old'), self.make_variant('new')
        self.cache = os.path.join(self.place.below, 'cache')
        self.assert_code(self.warm([old]), DONE)
        self.place.start()
        self.cache = os.path.join(self.place.point, 'cache')
        self.assert_cached(old)
        self.assert_code(self.warm([old, new]), DONE)
        self.assert_cached(old, new)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)
        result = self.run_program('--cache', self.cache, 'remove', old.argument, new.argument)
        self.assert_code(result, DONE)
        self.assertEqual(self.get(old, new), [None, None])
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assert_sound([old, new], partial=True, cleaned=True)
        self.assert_code(self.warm([old]), DONE)
        self.assert_cached(old)

    def test_doctor(self):
        """Says the same of it as warm."""
        self.cache = self.in_place('cache')
        os.mkdir(self.cache)
        result = self.run_program('--cache', self.cache, '--json', 'doctor')
        said = [finding['text'] for finding in result.json()['findings'] if finding['severity'] == 'problem']
        if self.kind.no_cache:
            self.assertIn(self.kind.no_cache, ' '.join(said))
        else:
            self.assertNotIn('cannot be used for a cache', ' '.join(said))

    # When it dies

    @contextlib.contextmanager
    def dying(self):
        """Its servers answer no more: what is started meanwhile waits for them."""
        for server in self.place.servers:
            server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for server in self.place.servers:
                if server.poll() is None:
                    server.send_signal(signal.SIGCONT)

    def wait_for_call(self, process):
        """Until the process has asked the file system, or ended."""
        support.wait_until(lambda: process.poll() is not None or self.connection.waiting(),
                           'a call to wait for the server')

    def run_dying(self, *arguments):
        """Runs the program on a server that hangs, and then dies."""
        self.connection = Connection(self.enter(contextlib.ExitStack()), self.place.point)
        with self.dying():
            process = self.start(*arguments)
            self.wait_for_call(process)
            self.place.kill()
            return support.finish(process)

    def test_source_dies(self):
        """It is said, and nothing half is left."""
        source = self.source()
        result = self.run_dying('copy', source, self.path('copy'))
        self.assert_refused(result, FAILED)
        self.assertFalse(os.path.lexists(self.path('copy')))

    def test_source_of_a_warm_dies(self):
        """It is said, the cache is sound, and another variant is cached."""
        variant = support.Variant(support.make_handle(), self.source())
        good = self.make_variant('good')
        manifest = support.write_manifest(self.path('manifest.json'), [variant, good])
        result = self.run_dying('--cache', self.cache, 'warm', manifest)
        self.assert_code(result, PARTLY)
        self.assertEqual(self.get(variant), [None])
        self.assert_cached(good)
        self.assert_sound([good])

    def test_destination_dies(self):
        """It is said. sshfs takes its mount away as it ends: what begins then is in the directory that
        it was mounted on."""
        copy = self.in_place('copy')
        result = self.run_dying('copy', self.original, copy)
        if result.code == DONE:
            self.assertFalse(is_mounted(self.place.point), result)
            self.assert_lost(copy, ())
        else:
            self.assert_refused(result, FAILED)

    def test_interrupted_while_it_hangs(self):
        """The program ends with Ctrl-C, at the latest when the server answers."""
        source = self.source()
        self.connection = Connection(self.enter(contextlib.ExitStack()), self.place.point)
        with self.dying():
            process = self.start('copy', source, self.path('copy'))
            self.wait_for_call(process)
            process.send_signal(signal.SIGINT)
        result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        self.assertFalse(os.path.lexists(self.path('copy')))

    def test_spare_dies(self):
        """One of two servers: nobody notices."""
        source = self.source()
        spare = self.place.servers.pop()
        spare.kill()
        spare.wait()
        self.copy(source, self.path('copy'))
        self.assert_lost(self.path('copy'), self.kind.lost_from)


class DividedCache(support.ProgramTest):
    """A cache whose directories lie on several branches of mergerfs."""

    def warm_on_branches(self, *options):
        """Warms into it and returns the result."""
        stack = self.enter(contextlib.ExitStack())
        kind = filesystems.Kind('', '', filesystems.mergerfs(2, 'use_ino', *options))
        place = kind.prepare(stack)
        os.makedirs(os.path.join(place.branches[0], 'cache', '.sys', 'staging'))
        os.makedirs(os.path.join(place.branches[1], 'cache', 'foo', '1.0'))
        place.start()
        self.cache = os.path.join(place.point, 'cache')
        self.variant = self.make_variant('foo')
        return self.warm([self.variant])

    def test_is_refused(self):
        """With what to do; nothing half is left."""
        self.assert_refused(self.warm_on_branches(), FAILED, about=['ignorepponrename'])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])
        self.assert_sound([self.variant], partial=True)

    def test_works_with_what_is_said(self):
        """As the advice has it."""
        self.assert_code(self.warm_on_branches('ignorepponrename=true'), DONE)
        self.assert_cached(self.variant)


class Connection:
    """What the kernel says of one FUSE mount."""

    def __init__(self, stack, point):
        control = support.temporary_name(tempfile.gettempdir())
        os.mkdir(control)
        support.at_the_end(stack.callback, os.rmdir, control)
        subprocess.run(['mount', '-t', 'fusectl', 'fusectl', control], check=True)
        support.at_the_end(stack.callback, unmount, control)
        self.path = os.path.join(control, str(os.minor(os.stat(point).st_dev)), 'waiting')

    def waiting(self):
        """How many requests wait for an answer."""
        with open(self.path, encoding='ascii') as file:
            return int(file.read())


def make_class(kind):
    """The cases that there are of a file system."""
    name = ''.join(word.capitalize() for word in kind.name.replace('-', ' ').replace('_', ' ').split())
    members = {'kind': kind, '__doc__': kind.name}
    if not kind.writable:
        members.update(dict.fromkeys(NEED_WRITING))
    if not kind.layered:
        members['test_cache_in_a_lower_layer'] = None
    if not kind.replicated:
        members['test_spare_dies'] = None
    if not kind.has_server:
        members.update(dict.fromkeys(NEED_A_SERVER))
    return name, type(name, (Cases, support.ProgramTest), members)


NEED_WRITING = ['test_as_destination', 'test_as_cache', 'test_doctor', 'test_destination_dies']
NEED_A_SERVER = ['test_source_dies', 'test_source_of_a_warm_dies', 'test_destination_dies',
                 'test_interrupted_while_it_hangs']
globals().update(make_class(kind) for kind in filesystems.KINDS)


if __name__ == '__main__':
    unittest.main()
