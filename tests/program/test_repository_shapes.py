"""Repositories of odd shapes: what rez iterates is warmed, no more and no less.

The shapes, and what rez 3.4.0 said of each, are in tests/vectors/repository_shapes.json;
make_repository_shapes.py beside it asks rez again.
"""
import json
import os
import sys
import unittest

import support
from support import DONE, FAILED, PARTLY, once

TESTS = os.path.join(support.TOP, 'tests')
sys.path.append(os.path.join(TESTS, 'vectors'))
from make_repository_shapes import make  # noqa: E402 pylint: disable=wrong-import-position

with open(os.path.join(TESTS, 'vectors', 'repository_shapes.json'), encoding='utf-8') as vectors:
    SHAPES = json.load(vectors)

# Running the definition alone tells that it fails; literals are read without running anything.
READ_ALL_THE_SAME = {'raises at load, by an assertion', 'imports what is not there', 'divides by zero'}


class Shapes(support.ProgramTest):
    """Each in a directory of its own."""

    def settings(self, top, repository, shape, known):
        """The environment of a shape; `known`: packages_path has the repository."""
        settings = {'PYTHONPATH': os.path.join(TESTS, 'fakerez'), 'PKGCACHE_REZ_PYTHON': sys.executable,
                    'PKGCACHE_DURABILITY': 'none', 'REZ_DEFAULT_CACHABLE': 'true',
                    'REZ_PACKAGES_PATH': repository if known else '/nowhere', **shape['environment']}
        if 'REZ_DEFAULT_CACHABLE_JSON' in shape['environment']:
            del settings['REZ_DEFAULT_CACHABLE']
        if shape['config']:
            settings['REZ_CONFIG_FILE'] = os.path.join(top, 'config.py')
            with open(settings['REZ_CONFIG_FILE'], 'w', encoding='utf-8') as file:
                file.write(shape['config'])
        return settings

    def expected(self, shape, repository):
        """What rez caches, and which packages and roots cannot be cached."""
        variants = [one for one in shape['rez']['variants'] if one['root']]
        cached = {one['uri'].replace('REPO', repository) for one in variants
                  if one['there'] and one['cachable']}
        refused = {one['package'] for one in variants if not one['there'] and one['cachable']}
        unread = {one['package'] for one in shape['rez']['failed']
                  if one['error'] != 'PackageDefinitionFileMissing'}  # it has nothing to be cached
        return cached, refused | unread

    def check(self, number, shape, known):
        """Warms a whole repository, and compares."""
        top = self.path(f'{number}-{known}')
        repository = os.path.join(top, 'repo')
        cache = os.path.join(top, 'cache')
        make(repository, shape)
        settings = self.settings(top, repository, shape, known)
        cached, refused = self.expected(shape, repository)
        result = self.run_program('--cache', cache, '--json', 'warm', '--all', repository, **settings)
        if not cached and not refused and not result.out:
            self.assert_code(result, FAILED)  # there are no packages
            return
        self.assert_code(result, DONE if not refused else PARTLY if cached else FAILED)
        bad = [one for one in result.json()['results'] if one['status'] == 'failed']
        self.assertEqual(len(bad), len(refused), bad)
        listed = self.run_program('--cache', cache, '--json', 'list', **settings).json()
        self.assertEqual({one['variant_uri'] for one in listed}, cached)

    @once
    def test_all(self):
        """Wherever the repository is known from."""
        for number, shape in enumerate(SHAPES):
            for known in (True, False):
                with self.subTest(shape['name'], known=known):
                    if shape['name'] not in READ_ALL_THE_SAME:
                        self.check(number, shape, known)


if __name__ == '__main__':
    unittest.main()
