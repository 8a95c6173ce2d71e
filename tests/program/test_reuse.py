"""New versions of packages that are cached: only what changed is fetched, and what comes out is right.

What a version consists of is known beforehand: from a pack, or from a published manifest.
"""
import os
import random
import shutil
import signal
import subprocess
import unittest

import daemons
import packfile
import support
import trees
from support import DONE, FAILED, NOBODY

NEW_NS = 1_800_000_000 * 10**9
SIZE = 3000


class Versions(support.ProgramTest):
    """Versions of one package, in a repository."""

    def setUp(self):
        super().setUp()
        self.repository = self.path('repository')

    def version(self, number, contents=None):
        """A version; of these contents {path: bytes}, or still without a payload."""
        version = f'{number}.0'
        package = os.path.join(self.repository, 'foo', version)
        trees.make_plain_tree(package, {'package.py': b'name = "foo"\nversion = "%d.0"\n' % number})
        root = os.path.join(package, 'payload')
        if contents is not None:
            trees.make_plain_tree(root, contents)
        return support.Variant(support.make_handle(self.repository, 'foo', version), root)

    def contents(self, files=40, changed=(), seed=1):
        """Files of one size; those that changed have other bytes."""
        def data(number):
            return random.Random(f'{seed if number in changed else 0} {number}').randbytes(SIZE)
        return {f'{number % 4}/{number}': data(number) for number in range(files)}

    def two(self, changed=(3, 17)):
        """Two versions, with equal times everywhere."""
        first, second = self.version(1, self.contents()), self.version(2, self.contents(changed=changed))
        for variant in first, second:
            for directory, names, files in os.walk(variant.root):
                for name in names + files:
                    trees.set_time(os.path.join(directory, name), NEW_NS)
        return first, second

    def pack(self, *variants):
        """Puts variants into a pack, and returns its path."""
        path = self.path(f'{len(os.listdir(self.directory))}.pack')
        manifest = support.write_manifest(self.path('packed.json'), variants)
        self.assert_code(self.run_program('pack', manifest, '-o', path), DONE)
        os.chmod(path, 0o644)
        return path

    def publish(self, *variants):
        """Publishes the manifests of variants."""
        manifest = support.write_manifest(self.path('published.json'), variants)
        self.assert_code(self.run_program('manifest', manifest), DONE)

    def warm_source(self, source, *arguments, codes=(DONE,), **options):
        """Warms, and returns what it says as JSON, with what it said on standard error."""
        result = self.run_program('--cache', self.cache, '--json', 'warm', source, *arguments, **options)
        self.assert_code(result, *codes)
        return result.json(), result.err

    def warm_manifest(self, *variants, arguments=(), **options):
        """The same with variants."""
        manifest = support.write_manifest(self.path('warmed.json'), variants)
        return self.warm_source(manifest, *arguments, **options)

    def fill(self, *variants):
        """Caches variants with the digests of all their files."""
        self.warm_source(self.pack(*variants))

    def assert_reused(self, document, files, of, size=SIZE):
        """So many files of all were reused, and all others fetched."""
        expected = (files, files * size, of - files, (of - files) * size)
        for counted in document, document['results'][0]:
            self.assertEqual((counted['reused_files'], counted['reused_bytes'],
                              counted['fetched_files'], counted['fetched_bytes']), expected, document)

    def records(self, variant):
        """The records of the manifest that a cached variant has."""
        (path,) = [entry.path for entry in os.scandir(os.path.join(self.cache, '.sys', 'manifests'))
                   if entry.name.startswith(f'foo-{variant.handle["variables"]["version"]}.')]
        with open(path, 'rb') as file:
            return sorted(record for record in file.read().split(b'\0') if not record.startswith(b'{'))

    def cached_file(self, variant, name):
        """The path of a file of a cached variant."""
        return os.path.join(self.get(variant)[0], name)


class Frames(Versions):
    """Frames of a pack of which nobody needs a file."""

    def damage_frames(self, pack, needed):
        """Damages frames that have only files that are not needed; returns how many files these are."""
        damaged = 0
        with open(pack, 'r+b') as file:
            data, offset = file.read(), 0
            for size in packfile.frame_sizes(data):
                contents = subprocess.run(['zstd', '-dc'], input=data[offset:offset + size], capture_output=True,
                                          check=True).stdout
                files = contents.count(b'file ')
                if files and not any(b'file %d ' % number in contents for number in needed):
                    file.seek(offset + size // 2)
                    file.write(bytes(64))
                    damaged += files
                offset += size
        return damaged

    def test_frames_that_nobody_needs_are_not_read(self):
        """Large files have frames of their own: so nearly all may be damaged."""
        count, changed = 20, (3, 17)
        first, second = (self.version(number, {
            f'{file}': (b'file %d ' % file) + random.Random(f'{number * (file in changed)} {file}').randbytes(60000)
            for file in range(count)}) for number in (1, 2))
        self.fill(first)
        pack = self.pack(second)
        self.assertEqual(self.damage_frames(pack, changed), count - len(changed))
        document, _ = self.warm_source(pack)
        self.assertEqual(document['reused_files'], count - len(changed), document)
        self.assert_cached(second)
        self.warm_source(pack, '--cache', self.path('fresh'), codes=(FAILED,))


class RoundTrip(Versions):
    """A new version is what it is without an old one."""

    def make_trees(self):
        """A random tree, and another that has most of its files, at other times and places."""
        seed = trees.random_seed()
        print(f'trees from seed {seed}')
        choices = random.Random(seed)
        first, second = self.version(1), self.version(2)
        trees.TreeMaker(first.root, seed, largest=1 << 18).make(support.scaled(150))
        shutil.copytree(first.root, second.root, symlinks=True)
        files = [os.path.join(directory, name) for directory, _, names in os.walk(second.root)
                 for name in names]
        files = sorted(path for path in files if os.path.isfile(path) and not os.path.islink(path))
        for path in files:
            self.change(path, choices)
        os.link(next(filter(os.path.exists, files)), os.path.join(second.root, 'another name'))
        for variant in first, second:
            with open(os.path.join(variant.root, 'holes'), 'wb') as file:
                file.truncate(1 << 20)
                file.seek(300000)
                file.write(b'data' * 20000)
        return first, second

    def change(self, path, choices):
        """Does one thing that a release does to a file."""
        kind = choices.random()
        if kind < 0.05:
            with open(path, 'ab') as file:
                file.write(b'more')
        elif kind < 0.1:
            renamed = os.path.join(os.path.dirname(path), f'renamed-{choices.getrandbits(32):x}')
            os.rename(path, renamed)
            path = renamed
        elif kind < 0.15:
            os.setxattr(path, 'user.new', b'value')
        elif kind < 0.2:
            os.chmod(path, choices.choice([0o755, 0o640, 0o444]))
        trees.set_time(path, trees.random_time_ns(choices))

    def check(self, second, document, fresh):
        """The cached version is its source, and as it is in a cache that has no other."""
        self.assertGreater(document['reused_files'], 10)
        (root,) = self.get(second)
        self.assert_same_tree(second.root, root, holes=True, hard_links=True)
        self.assertEqual(os.stat(os.path.join(root, 'another name')).st_nlink, 2)
        for directory, _, names in os.walk(second.root):
            for name in names:
                path = os.path.join(directory, name)
                copy = os.path.join(root, os.path.relpath(path, second.root))
                if not os.path.islink(path):
                    self.assertEqual(sorted(os.listxattr(path)), sorted(os.listxattr(copy)), path)
        self.assert_code(self.run_program('--cache', self.cache, 'verify'), DONE)
        reused = self.records(second)
        self.cache = self.path('fresh')
        again, _ = fresh()
        self.assertEqual(again['reused_files'], 0)
        self.assertEqual(again['files'], document['files'])
        self.assertEqual(reused, self.records(second))

    def test_from_packs(self):
        """Contents, modes, times, attributes, links and holes."""
        first, second = self.make_trees()
        self.fill(first)
        pack = self.pack(second)
        document, _ = self.warm_source(pack)
        self.check(second, document, lambda: self.warm_source(pack))

    def test_by_manifests(self):
        """The same from the source itself."""
        first, second = self.make_trees()
        self.publish(first, second)
        self.warm_manifest(first)
        document, err = self.warm_manifest(second)
        self.assertEqual(err, '')
        self.check(second, document, lambda: self.warm_manifest(second))


class Reused(Versions):
    """What is reused, what is not, and who says so."""

    def test_counted(self):
        """In JSON, in words, in the statistics."""
        first, second = self.two()
        self.fill(first)
        pack = self.pack(second)
        document, _ = self.warm_source(pack)
        self.assert_reused(document, 38, of=40)
        self.assert_cached(first, second)
        stats = self.run_program('--cache', self.cache, '--json', 'stats').json()
        self.assertEqual((stats['files'], stats['reused_files'], stats['reused_bytes']),
                         (80, 38, 38 * SIZE))
        self.cache = self.path('another')
        self.fill(first)
        said = self.run_program('--cache', self.cache, 'warm', '-v', pack)
        self.assertIn('foo-2.0: fetched 2 files (5.9 KiB), reused 38 files (111 KiB)', said.err)
        self.assertIn('; reused 38 files, 111 KiB', said.out)

    def test_switched_off(self):
        """By a flag, and by a variable."""
        first, second = self.two()
        self.fill(first)
        pack = self.pack(second)
        document, _ = self.warm_source(pack, '--reuse=no')
        self.assert_reused(document, 0, of=40)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', second.argument), DONE)
        document, _ = self.warm_source(pack, PKGCACHE_REUSE='no')
        self.assert_reused(document, 0, of=40)

    def test_equal_size_and_time_is_no_proof(self):
        """Of all files; and none is taken for another."""
        first, second = self.two(changed=range(40))
        self.fill(first)
        document, _ = self.warm_source(self.pack(second))
        self.assert_reused(document, 0, of=40)
        self.assert_cached(second)

    def test_many_versions(self):
        """What no version has alone, several have."""
        versions = [self.version(number, self.contents(changed=range(10 * number), seed=number))
                    for number in range(1, 4)]
        mixed = self.contents(changed=range(20), seed=2)
        mixed.update(self.contents(files=5, changed=range(5), seed=3))
        for variant in versions:
            self.fill(variant)
        newest = self.version(9, mixed)
        document, _ = self.warm_source(self.pack(newest))
        self.assert_reused(document, 40, of=40)
        self.assert_cached(newest)

    def test_of_another_index(self):
        """A variant for another platform, say, that is newer and has nothing, does not end the search."""
        first, second = self.two()
        other = self.version(3, self.contents(changed=range(40), seed=9))
        variables = {**other.handle['variables'], 'index': 7}
        self.fill(first)
        self.fill(other._replace(handle={**other.handle, 'variables': variables}))
        self.fill(self.version(4, self.contents(changed=range(40), seed=8)))
        document, _ = self.warm_source(self.pack(second))
        self.assert_reused(document, 38, of=40)

    def test_of_another_package(self):
        """Nothing is looked for in other packages, or other repositories."""
        first, second = self.two()
        for handle in ({'name': 'bar'}, {'location': self.path('elsewhere')}):
            variables = {**first.handle['variables'], **handle}
            self.fill(first._replace(handle={**first.handle, 'variables': variables}))
        document, _ = self.warm_source(self.pack(second))
        self.assert_reused(document, 0, of=40)

    def test_of_another_user(self):
        """Who fills a slot could make files that only look right to digests."""
        if os.geteuid():
            self.skipTest('only root can give files away')
        first, second = self.two()
        self.fill(first)
        os.chown(self.get(first)[0], NOBODY, NOBODY)
        document, _ = self.warm_source(self.pack(second))
        self.assert_reused(document, 0, of=40)

    def test_by_the_daemon(self):
        """It takes the same way."""
        first, second = self.two()
        self.publish(first, second)
        process = daemons.DaemonTest.start_daemon(self)
        self.warm_manifest(first, arguments=['--daemon=require'])
        document, _ = self.warm_manifest(second, arguments=['--daemon=require'])
        self.assert_reused(document, 38, of=40)
        status = self.run_program('--cache', self.cache, '--json', 'status').json()
        self.assertEqual(status['counters']['reused_files'], 38)
        self.assert_cached(first, second)
        process.send_signal(signal.SIGTERM)
        self.assert_code(support.finish(process), DONE)


class Altered(Versions):
    """A cached file that is not what its manifest says: it is named, and fetched instead."""

    def setUp(self):
        super().setUp()
        self.first, self.second = self.two()
        self.fill(self.first)
        self.path_1 = self.cached_file(self.first, '1/1')

    def check(self, named=True):
        """The new version is right."""
        document, _ = self.warm_source(self.pack(self.second))
        self.assert_reused(document, 37, of=40)
        self.assert_cached(self.second)
        warnings = document['results'][0].get('warnings', [])
        self.assertEqual([warning['path'] for warning in warnings], [self.path_1] if named else [])

    def test_contents(self):
        """At the same size and time."""
        status = os.stat(self.path_1)
        with open(self.path_1, 'r+b') as file:
            file.seek(100)
            file.write(b'by hand')
        os.utime(self.path_1, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.check()

    def test_size(self):
        """Which is seen at once."""
        os.truncate(self.path_1, 10)
        self.check()

    def test_gone(self):
        """Somebody deletes it: clean, for one."""
        os.unlink(self.path_1)
        self.check(named=False)

    def replace(self, make):
        """Something else has its name."""
        os.rename(self.path_1, self.path('kept'))
        make()
        self.check()

    def test_link(self):
        """None is followed, whatever it leads to."""
        self.replace(lambda: os.symlink(self.path('kept'), self.path_1))

    def test_fifo(self):
        """Nobody waits for its other end."""
        self.replace(lambda: os.mkfifo(self.path_1))

    def test_directory(self):
        """It is no file."""
        self.replace(lambda: os.mkdir(self.path_1))


class Manifests(Versions):
    """Whether a published manifest counts, and what becomes of one that is wrong."""

    def setUp(self):
        super().setUp()
        self.first, self.second = self.two()
        self.publish(self.first, self.second)
        self.published = os.path.join(self.repository, '.pkgcache', 'manifests')
        self.warm_manifest(self.first)

    def warm_second(self, *arguments):
        """Warms the second version."""
        return self.warm_manifest(self.second, arguments=arguments)

    def assert_walked(self, *about, files=40):
        """The source was walked, which was said; and the cached version is what the source is."""
        document, err = self.warm_second()
        self.assertIn('its source is walked', err)
        for word in about:
            self.assertIn(word, err)
        self.assert_reused(document, 0, of=files)
        self.assert_cached(self.second)
        self.assertIn('its source is walked', document['results'][0]['warnings'][0]['text'])

    def test_counts(self):
        """Only what changed is fetched."""
        document, err = self.warm_second()
        self.assert_reused(document, 38, of=40)
        self.assertEqual(err, '')
        self.assert_cached(self.second)

    def test_switched_off(self):
        """The source is walked, and nothing said."""
        document, err = self.warm_second('--manifests=no')
        self.assert_reused(document, 0, of=40)
        self.assertEqual(err, '')
        self.assert_cached(self.second)

    def test_without_reuse(self):
        """It is believed, and all files are fetched."""
        document, err = self.warm_second('--reuse=no')
        self.assert_reused(document, 0, of=40)
        self.assertEqual(err, '')
        self.assert_cached(self.second)

    def test_links_that_are_followed(self):
        """What they lead to is in no manifest."""
        os.symlink('1/1', os.path.join(self.second.root, 'link'))
        self.publish(self.second)
        document, _ = self.warm_second('--symlinks=follow')
        self.assertEqual(document['fetched_files'], 41)
        self.assertFalse(os.path.islink(self.cached_file(self.second, 'link')))

    def test_links_that_leave(self):
        """They lead where they lead at the source, as in a copy."""
        root = self.second.root
        trees.make_plain_tree(root, {'absolute': os.path.join(root, '1', '1'), 'below/up': '../0/4',
                                     'out': '../package.py', 'nowhere': '/there/is/none',
                                     'back': f'../payload/{"./" * 3}2'})
        self.publish(self.second)
        self.assertEqual(self.warm_second()[1], '')
        self.assert_cached(self.second)
        found = {name: os.readlink(self.cached_file(self.second, name))
                 for name in ('absolute', 'below/up', 'out', 'nowhere', 'back')}
        self.cache = self.path('walked')
        self.warm_second('--manifests=no')
        self.assertEqual(found, {name: os.readlink(self.cached_file(self.second, name))
                                 for name in found})

    def test_of_somebody_else(self):
        """Others may write to a directory above it."""
        os.chmod(self.published, 0o777)
        self.assert_walked(self.published)

    def test_older_than_the_root(self):
        """A file was added there."""
        trees.make_plain_tree(self.second.root, {'new': b'1' * SIZE})
        self.assert_walked('was changed since', files=41)

    def test_damaged(self):
        """It cannot be read any more."""
        for directory, _, names in os.walk(self.published):
            for name in names:
                os.truncate(os.path.join(directory, name), 600)
        self.assert_walked()

    # What follows changes a payload deep down, which changes neither its root nor its definition.

    def test_other_contents(self):
        """Of a file that is fetched."""
        with open(os.path.join(self.second.root, '3', '3'), 'r+b') as file:
            file.write(b'changed')
        self.assert_walked('3/3')

    def test_other_size(self):
        """Of a file that is fetched."""
        os.truncate(os.path.join(self.second.root, '3', '3'), SIZE + 1)
        document, err = self.warm_second()
        self.assertIn('its source is walked', err)
        self.assertEqual(document['fetched_bytes'], 40 * SIZE + 1)
        self.assert_cached(self.second)

    def test_missing_file(self):
        """One that is to be fetched."""
        os.unlink(os.path.join(self.second.root, '3', '3'))
        self.assert_walked('3/3', files=39)

    def test_link_in_place_of_a_file(self):
        """It is not followed."""
        path = os.path.join(self.second.root, '3', '3')
        os.rename(path, self.path('moved'))
        os.symlink(self.path('moved'), path)
        self.assert_walked('3/3', files=39)

    def test_link_in_place_of_a_directory(self):
        """Nor is that, on the way to a file."""
        root = self.second.root
        trees.make_plain_tree(root, {'below/directory/new': b'new' * 1000})
        self.publish(self.second)
        os.rename(os.path.join(root, 'below', 'directory'), self.path('moved'))
        os.symlink(self.path('moved'), os.path.join(root, 'below', 'directory'))
        self.assert_walked('below/directory')

    def test_fifo_in_place_of_a_file(self):
        """Nobody waits for its other end."""
        path = os.path.join(self.second.root, '3', '3')
        os.unlink(path)
        os.mkfifo(path)
        document, err = self.warm_second()
        self.assertIn('its source is walked', err)
        self.assert_reused(document, 0, of=39)

    def test_what_was_published_is_made(self):
        """Of a payload that was edited where nothing is fetched."""
        kept = self.path('kept')
        shutil.copytree(self.second.root, kept, symlinks=True)
        os.unlink(os.path.join(self.second.root, '1', '1'))
        trees.make_plain_tree(self.second.root, {'0/extra': b'extra'})
        document, err = self.warm_second()
        self.assertEqual(err, '')
        self.assert_reused(document, 38, of=40)
        (root,) = self.get(self.second)
        self.assertTrue(os.path.exists(os.path.join(root, '1', '1')))
        self.assertFalse(os.path.exists(os.path.join(root, '0', 'extra')))


class Meanwhile(Versions):
    """The donor goes away while files are taken from it."""

    def test_clean_takes_the_donor(self):
        """Four processes make new versions; all are whole."""
        self.run_rounds(support.scaled(6))

    def run_rounds(self, rounds):
        """The first version is removed at another moment in each round."""
        first = self.version(1, self.contents(files=400))
        others = [self.version(number, self.contents(files=400, changed=range(0, 400, 40), seed=number))
                  for number in range(2, 6)]
        packs = [self.pack(other) for other in others]
        first_pack = self.pack(first)
        for number in range(rounds):
            self.warm_source(first_pack)
            processes = [self.start('--cache', self.cache, 'warm', '--json', pack) for pack in packs]
            subprocess.run(['sleep', str(0.02 * number)], check=True)
            self.assert_code(self.run_program('--cache', self.cache, 'remove', first.argument), DONE)
            self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
            for process in processes:
                result = support.finish(process)
                self.assert_code(result, DONE)
                self.assertEqual(result.json()['fetched_files'] + result.json()['reused_files'], 400)
            self.assert_cached(*others)
            self.assert_sound(others)
            names = [other.argument for other in others]
            self.assert_code(self.run_program('--cache', self.cache, 'remove', *names), DONE)


if __name__ == '__main__':
    unittest.main()
