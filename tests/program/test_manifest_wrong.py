"""Manifests of their publishers that are wrong: a warm has the payload, or says what is wrong; never a part of it."""
import os
import re
import shutil
import unittest

import support
import test_manifest
from manifestfile import ManifestFile, digest
from support import DONE, FAILED, PARTLY


class Wrong(test_manifest.ManifestTest):
    """A payload, and what its manifest says of it."""

    def setUp(self):
        super().setUp()
        for program in ('xxhsum', 'zstd'):
            if not shutil.which(program):
                self.skipTest(f'{program} is not installed')
        files = {'dir/x': b'hello' * 99, 'dir/y': b'abc', 'empty': b'', 'link': 'dir/x', 'z': b'z' * 70000}
        self.variant, = self.make_package(variants=['a'], files=files)
        self.path_of_manifest = self.publish().json()['results'][0]['manifest']
        self.right = ManifestFile.read(self.path_of_manifest)

    def judge(self, wrong, numbers=None, believed=False):
        """
        Writes it, and warms: what is found then is the payload, whatever the manifest says.

        believed    nothing in the source speaks against it, as far as it is read: it may be what was published
        """
        wrong.write(self.path_of_manifest, numbers)
        shutil.rmtree(self.cache, ignore_errors=True)
        result = self.warm([self.variant])
        self.assert_code(result, DONE, FAILED, PARTLY)
        root, = self.get(self.variant)
        if result.code != DONE:
            self.assert_message(result)
            self.assertIsNone(root)
        elif believed:
            found = sorted(os.path.relpath(os.path.join(top, name), root) for top, *names in os.walk(root)
                           for name in sum(names, []))
            self.assertIn(found, [sorted(wrong.paths()), sorted(self.right.paths())])
        else:
            self.assert_same_tree(self.variant.root, root)
        self.assert_sound([self.variant], ill=[self.variant] if believed else ())
        return result

    def test_right(self):
        """What is written here is what `manifest` writes, to the letter."""
        self.right.write(self.path_of_manifest)
        self.assertEqual(self.outcomes(), ['sound'])
        self.judge(self.right)

    def test_what_files_are(self):
        """Another size, another digest, larger than can be, a file where a link is."""
        cases = (
            (rb' dir/y$', lambda one: [one.replace(b' 3 ', b' 4 ')]),
            (rb' dir/y$', lambda one: [one.replace(b' 3 ', b' %d ' % ((1 << 63) - 1))]),
            (rb' dir/y$', lambda one: [one.replace(b' 3 ', b' %d ' % (1 << 63))]),
            (rb' z$', lambda one: [re.sub(rb'[0-9a-f]{32}', digest(b'other'), one)]),
            (rb' empty$', lambda one: [one.replace(b' 0 ', b' 1 ', 1)]),
        )
        for old, new in cases:
            with self.subTest(old=old):
                self.judge(self.right.replaced(old, new))
        file = b'f 644 495 1.000000000 ' + digest(b'hello' * 99) + b' link'
        self.judge(self.right.replaced(rb'^> dir/x$', []).replaced(rb'^l .* link$', [file]))

    def test_what_nobody_reads(self):
        """A link or directory where a file is, a file less: as published, or as the payload is."""
        link = b'l 777 5 1.000000000 ' + digest(b'dir/x')
        for old, new in ((rb'^f .* dir/x$', [link + b' dir/x', b'> dir/x']), (rb' z$', []),
                         (rb' empty$', [b'd 755 0 1.000000000 - empty'])):
            with self.subTest(old=old):
                self.judge(self.right.replaced(old, new), believed=True)

    def test_what_there_is(self):
        """Files and links that are not there; what is there and not named is not the manifest's."""
        self.judge(self.right.replaced(rb' z$', lambda one: [one, b'f 644 7 1.000000000 ' + digest(b'missing') + b' zz']))
        self.judge(self.right.replaced(rb' z$', lambda one: [one, b'd 755 0 1.000000000 - zz',
                                                             b'f 644 7 1.000000000 ' + digest(b'missing') + b' zz/a']))
        os.symlink('/etc', os.path.join(self.variant.root, 'out'))
        self.publish()
        right = ManifestFile.read(self.path_of_manifest)
        wrong = right.replaced(rb'^l .* out$', [b'd 755 0 1.000000000 - out', b'f 644 5 1.000000000 ' + digest(b'hello')
                                                + b' out/hostname'])
        entries = [one for one in wrong.entries if one != b'> /etc']
        self.judge(wrong._replace(entries=entries))

    def test_names_that_lead_out(self):
        """Nothing is made outside, and it is said."""
        for name in (b'../x', b'/tmp/x', b'dir/../../x', b'dir//x', b'..', b'link/x', b'dir/x/y', b'.'):
            with self.subTest(name=name):
                result = self.judge(self.right.replaced(rb' z$', lambda one, name=name: [
                    one, b'f 644 0 1.000000000 ' + digest(b'') + b' ' + name]))
                self.assertEqual(self.outcomes(codes=(PARTLY,)), ['damaged'], result)
        self.assertEqual(sorted(os.listdir(self.directory))[0], 'cache')

    def test_numbers(self):
        """A thousand million entries, or less than there are, and sizes that are not so."""
        for numbers in ((10**9, 1, 1, 100, 10**10), (10**9, 1, 1, 100, 512), (1, 0, 0, 100, 512),
                        (7, 4, (1 << 63) - 1, 100, 512), (7, 4, 1, (1 << 62), (1 << 62))):
            with self.subTest(numbers=numbers):
                self.judge(self.right, numbers)
                self.assertEqual(self.outcomes(codes=(PARTLY,)), ['damaged'])

    def test_twice(self):
        """An entry twice, one not in order, links to what comes later."""
        for new in (lambda one: [one, one], lambda one: [one, one.replace(b' z', b' a')], lambda one: [one, b'= 9'],
                    lambda one: [one, b'@ 0']):
            self.judge(self.right.replaced(rb' z$', new))
            self.assertEqual(self.outcomes(codes=(PARTLY,)), ['damaged'])


@support.once
class Hostile(test_manifest.ManifestTest):
    """Manifests of those from whom they do not count."""

    def test_of_another_user(self):
        """Is not read: the payload is walked."""
        if os.geteuid() != 0:
            self.skipTest('needs root: other owners')
        for program in ('xxhsum', 'zstd'):
            if not shutil.which(program):
                self.skipTest(f'{program} is not installed')
        variant, = self.make_package(variants=['a'])
        path = self.publish().json()['results'][0]['manifest']
        wrong = ManifestFile.read(path)
        wrong._replace(entries=wrong.entries[:1]).write(path)  # nothing but the root
        os.chown(path, support.NOBODY, -1)
        result = self.warm([variant])
        self.assert_code(result, DONE)
        self.assert_message(result, [path, f'belongs to user {support.NOBODY}', 'walked'])
        self.assert_cached(variant)
        result = self.warm([variant._replace(handle={**variant.handle})], '--manifests=no')
        self.assert_code(result, DONE)
        self.assertEqual(result.err, '')


if __name__ == '__main__':
    unittest.main()
