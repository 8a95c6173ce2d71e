"""What the tests share that interrupt the program at every step: where to stop, commands as data.

A step is a call that changes a file system (tests/steps.c). From the environment: PKGCACHE_STEPS (the
library), PKGCACHE_TEST_SWEEP=full (every step; else as many as leave the test short).
"""
import itertools
import os
import random
import signal
import subprocess
import uuid
from typing import Callable, NamedTuple

import cachecheck
import rezlike
import support
import trees
from support import DONE, MISSING, Variant

STEPS = os.environ.get('PKGCACHE_STEPS') or \
    os.path.join(support.TOP, 'build', 'tests', 'libsteps.so')
FULL_SWEEP = os.environ.get('PKGCACHE_TEST_SWEEP') == 'full'
LONG_AGO = support.boot_time() - 3600


class Command(NamedTuple):
    """A command, what it begins with, and what must be there after it was done.

    prepare    called with the test: fills the cache
    arguments  called with the test: what to run
    found      called with the test: the variants that the cache holds in the end
    kept       how many of these, the first ones, are whole all the time
    codes      exit codes of a rerun: what is done already may be reported
    damaged    what `prepare` left is damaged
    unique     a copy of what `prepare` made is not the same: manifests know inodes
    ill        called with the test: variants whose payloads hold wrong bytes until the end
    stdin      called with the test: a descriptor of what the command reads there; None: nothing
    packs      it fills no cache: a pack lies in the directory of that
    """
    prepare: Callable
    arguments: Callable
    found: Callable
    kept: int = 0
    codes: tuple = (DONE,)
    damaged: bool = False
    unique: bool = False
    ill: Callable = lambda test: ()
    stdin: Callable = lambda test: None
    packs: bool = False


def numbers(stride):
    """After which steps to interrupt: of a short sweep, every so many, beginning anywhere."""
    if FULL_SWEEP:
        return itertools.count(1)
    return itertools.count(random.Random(trees.random_seed()).randint(1, stride), stride)


class StepsTest(support.ProgramTest):
    """A few small variants, and everything that can be done with them."""

    def setUp(self):
        super().setUp()
        if not os.path.exists(STEPS):
            self.skipTest(f'{STEPS} is not built')
        self.packs, self.versions = [], []  # see make_versions
        self.variants = self.small_variants()
        self.manifest = support.write_manifest(self.path('manifest.json'), self.variants)

    def small_variants(self):
        """Two that share a hash directory, and one of another package."""
        contents = {'bin/run': b'#!/bin/sh\n' * 50, 'python/a.py': b'1\n' * 3000, 'empty': b'',
                    'link': 'python/a.py', 'locked/data': b'x' * 100, 'void': None}
        roots = [self.path('roots', name) for name in ('one', 'two', 'three')]
        for number, root in enumerate(roots):
            trees.make_plain_tree(root, {**contents, 'number': b'%d\n' % number})
            with open(os.path.join(root, 'hole'), 'wb') as file:
                file.seek(200000)
                file.write(b'end')
            os.chmod(os.path.join(root, 'locked'), 0o555)
        os.chmod(roots[2], 0o555)
        handles = [variant.handle for variant in self.same_hash_variants(2)]
        handles.append(support.make_handle(name='bar', version='2.0', index=0))
        return [Variant(handle, root) for handle, root in zip(handles, roots)]

    # What caches begin with

    def fill(self):
        """Every variant is cached."""
        self.assert_code(self.warm(self.variants), DONE)

    def damage(self):
        """Of everything that a cache can suffer, one; one variant is whole."""
        whole, stalled, damaged = self.variants
        self.interrupt_warm(stalled)
        self.assert_code(self.warm([whole, damaged]), DONE)
        (name,) = cachecheck.slots_of(self.cache, damaged.handle)
        directory = rezlike.hash_directory(self.cache, damaged.handle)
        trees.remove_tree(os.path.join(directory, name))
        trees.make_plain_tree(directory, {'b/file': b'no sidecar', 'c.json': b'', 'd/file': b'',
                                          'd.json': b'{"hand'})
        trees.make_plain_tree(os.path.join(self.cache, '.sys'), {
            f'to_delete/foo-1.0-{uuid.uuid4().hex}/sub/file': b'removed',  # others' clean looks for names
            'staging/foreign/file': b'nobody\'s'})
        self.make_old(os.path.join(self.cache, '.sys', 'staging', 'foreign'))
        empty = os.path.join(self.cache, 'empty', '1.0', 'abcd')
        os.makedirs(empty)
        self.make_old(empty)

    def rot(self):
        """Every variant is cached, and a byte of one has changed on the disk."""
        self.fill()
        # what the kernel copied by itself has no digests before
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)
        (root,) = self.get(self.variants[1])
        path = os.path.join(root, 'python', 'a.py')
        status = os.stat(path)
        with open(path, 'r+b') as file:
            file.write(b'x')
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def cache_older(self):
        """The older one of two versions is cached, with the digests of its files."""
        self.make_versions()
        self.assert_code(self.run_program('--cache', self.cache, 'warm', self.packs[0]), DONE)

    def make_versions(self):
        """Two versions that have most files in common; their packs, their manifest, and the published ones."""
        if self.packs:
            return
        contents = {f'data/{number}': b'%d\n' % number * 1000 for number in range(12)}
        for version in ('1.0', '2.0'):
            package = self.path('repository', 'new', version)
            root = os.path.join(package, 'payload')
            trees.make_plain_tree(package, {'package.py': b'name = "new"\n'})
            trees.make_plain_tree(root, {**contents, 'version': version.encode(), 'link': 'data/1',
                                         'empty': b''})
            os.link(os.path.join(root, 'data', '2'), os.path.join(root, 'another'))
            handle = support.make_handle(self.path('repository'), 'new', version)
            self.versions.append(Variant(handle, root))
            manifest = support.write_manifest(self.path(f'{version}.json'), self.versions[-1:])
            self.packs.append(self.path(f'{version}.pack'))
            self.assert_code(self.run_program('pack', manifest, '-o', self.packs[-1]), DONE)
            os.chmod(self.packs[-1], 0o644)
            self.assert_code(self.run_program('manifest', manifest), DONE)
        self.variants += self.versions

    # Packs

    def pack(self):
        """A pack of all variants, some of whose files are equal."""
        path = self.path('all.pack')
        if not os.path.exists(path):
            self.assert_code(self.run_program('pack', self.manifest, '-o', path), DONE)
            os.chmod(path, 0o644)
        return path

    def pipe_pack(self):
        """A pipe with that pack in it."""
        with open(self.pack(), 'rb') as file:
            content = file.read()
        read_end, write_end = os.pipe()
        assert os.write(write_end, content) == len(content)  # it is small
        os.close(write_end)
        return read_end

    @property
    def made_pack(self):
        """Where a pack is made."""
        return os.path.join(self.cache, 'made.pack')

    def make_place(self):
        """A directory for a pack."""
        os.mkdir(self.cache)

    def make_older_pack(self):
        """A pack of one variant is there."""
        self.make_place()
        manifest = support.write_manifest(self.path('older.json'), self.variants[:1])
        self.assert_code(self.run_program('pack', manifest, '-o', self.made_pack), DONE)

    def assert_pack(self, command, is_made):
        """What has the name of the pack is whole; it is the one that was made, or the one before, if there was one."""
        if not os.path.exists(self.made_pack):
            self.assertFalse(is_made or command.kept)
            return
        self.assert_code(self.run_program('pack', '--check', self.made_pack), DONE)
        with open(self.made_pack, 'rb') as made, open(self.pack(), 'rb') as right:
            is_new = made.read() == right.read()
        self.assertTrue(is_new or (command.kept and not is_made))

    def interrupt_warm(self, variant):
        """Leaves a stalled slot, and staging."""
        manifest = support.write_manifest(self.path('interrupted.json'), [variant])
        self.run_program('--cache', self.cache, 'warm', manifest, STEPS_CALL='renameat2',
                         **self.steps_environment(1, signal.SIGKILL))
        self.assertEqual(len(cachecheck.slots_of(self.cache, variant.handle)), 1)

    def make_old(self, path):
        """Last changed before this boot."""
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)

    # Running

    def steps_environment(self, number, signal_number, threads='main'):
        """Stops the program after this step; of all threads, or what the main thread does."""
        return {'LD_PRELOAD': STEPS, 'STEPS_AT': str(number), 'STEPS_THREADS': threads,
                'STEPS_SIGNAL': str(int(signal_number))}

    def start_command(self, command, *options, **environment):
        """Starts a command."""
        stdin = command.stdin(self)
        try:
            return self.start('--cache', self.cache, *command.arguments(self), *options,
                              stdin=subprocess.DEVNULL if stdin is None else stdin, **environment)
        finally:
            if stdin is not None:
                os.close(stdin)

    def rerun(self, command):
        """Runs a command that may have been interrupted before: now it completes."""
        result = support.finish(self.start_command(command))
        self.assert_code(result, *command.codes)
        return result

    def assert_meanwhile(self, command):
        """After a crash: what is found is whole, and what was there before still is."""
        if command.packs:
            self.assert_pack(command, False)
        if not os.path.exists(os.path.join(self.cache, '.sys')):
            return
        self.assert_sound(self.variants, at_rest=False, partial=True, litter=True,
                          damaged=command.damaged, ill=command.ill(self))
        if command.kept:
            self.assertNotIn(None, self.get(*command.found(self)[:command.kept]))

    def assert_end(self, command):
        """What is to be there is there, nothing is left over after `clean`."""
        if command.packs:
            self.assert_pack(command, True)
            return
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        found = command.found(self)
        self.assertNotIn(None, self.get(*found))
        self.assert_sound(found, cleaned=True)


NOTHING = Command(lambda test: None, None, None)

COMMANDS = {
    'add': NOTHING._replace(
        arguments=lambda test: ['add', test.variants[0].argument, '--root', test.variants[0].root],
        found=lambda test: test.variants[:1]),
    'warm': NOTHING._replace(
        arguments=lambda test: ['warm', test.manifest],
        found=lambda test: test.variants),
    'reuse': NOTHING._replace(
        prepare=StepsTest.cache_older,
        arguments=lambda test: ['warm', test.packs[1]],
        found=lambda test: test.versions,
        kept=1),
    'reuse_published': NOTHING._replace(
        prepare=StepsTest.cache_older,
        arguments=lambda test: ['warm', test.path('2.0.json')],
        found=lambda test: test.versions,
        kept=1),
    'unpack': NOTHING._replace(
        arguments=lambda test: ['warm', test.pack()],
        found=lambda test: test.variants),
    'unpack_piped': NOTHING._replace(
        arguments=lambda test: ['warm', '--trust-pack', '-'],
        found=lambda test: test.variants,
        stdin=StepsTest.pipe_pack),
    'pack': NOTHING._replace(
        prepare=StepsTest.make_place,
        arguments=lambda test: ['pack', test.manifest, '-o', test.made_pack],
        packs=True),
    'pack_over_older': NOTHING._replace(
        prepare=StepsTest.make_older_pack,
        arguments=lambda test: ['pack', test.manifest, '-o', test.made_pack],
        kept=1,
        packs=True),
    'heal': Command(
        prepare=StepsTest.damage,
        arguments=lambda test: ['warm', test.manifest],
        found=lambda test: test.variants,
        kept=1,
        damaged=True),
    'remove': Command(
        prepare=StepsTest.fill,
        arguments=lambda test: ['remove', *(variant.argument for variant in test.variants[1:])],
        found=lambda test: test.variants[:1],
        kept=1,
        codes=(DONE, MISSING)),
    'repair': Command(
        prepare=StepsTest.rot,
        arguments=lambda test: ['verify', '--repair'],
        found=lambda test: test.variants,
        kept=3,
        unique=True,
        ill=lambda test: test.variants[1:2]),
    'clean': Command(
        prepare=StepsTest.damage,
        arguments=lambda test: ['clean'],
        found=lambda test: test.variants[:1],
        kept=1,
        damaged=True),
}
