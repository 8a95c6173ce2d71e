"""A --cache that names something else: nothing is made there, and nothing of it is deleted."""
import os
import time
import unittest

import support
import trees
from support import DONE, FAILED, once

LONG_AGO = time.time() - 7200


class MistypedCache(support.ProgramTest):
    """Repositories of packages look like caches: NAME/VERSION/ and below."""

    def setUp(self):
        super().setUp()
        self.repository = self.path('svr', 'packages')
        for name in ('foo/1.0', 'foo/1.0/ad35/bin', 'bar/2.0'):
            os.makedirs(os.path.join(self.repository, name), exist_ok=True)
        for name in ('foo/1.0', 'bar/2.0'):
            with open(os.path.join(self.repository, name, 'package.py'), 'w', encoding='utf-8') as file:
                file.write('cachable = True\n')
        for name in ('maya/2024/1a2b', 'new', 'foo/1.0/beef'):  # empty for a while
            os.makedirs(os.path.join(self.repository, name))
        self.age()

    def age(self):
        """Nobody has written there for long."""
        for top, _, _ in os.walk(self.repository):
            os.utime(top, (LONG_AGO, LONG_AGO))

    def names(self):
        """All that is in the repository, but for .sys."""
        return sorted(os.path.join(top, name) for top, directories, files in os.walk(self.repository)
                      for name in directories + files
                      if '/.sys' not in os.path.join(top, name))

    def run_there(self, *arguments):
        """Runs a command with the repository for a cache."""
        return self.run_program('--cache', self.repository, *arguments)

    @once
    def test_nothing_is_made(self):
        """Neither there nor in other directories that have something in them."""
        uri = f'{self.repository}/foo/1.0/package.py[]'
        for directory in (self.repository, f'{self.repository}/foo', self.directory):
            before = sorted(os.listdir(directory))
            for command in (('add', uri), ('warm', uri), ('warm', '--all', self.repository),
                            ('clean',), ('daemon',)):
                result = self.run_program('--cache', directory, *command)
                self.assert_code(result, FAILED)
            self.assertEqual(sorted(os.listdir(directory)), before)
            self.assertIn('is no cache, and becomes none', self.run_program(
                '--cache', directory, 'add', uri).err)

    @once
    def test_what_may_become_a_cache(self):
        """What is empty, or has only what file systems put there; what is a cache already."""
        uri = f'{self.repository}/foo/1.0/package.py[]'
        cache = self.path('disk')
        trees.make_plain_tree(cache, {})
        for name in ('lost+found', '.snapshot'):
            os.mkdir(os.path.join(cache, name))
        self.assert_code(self.run_program('--cache', cache, 'add', uri), DONE)
        self.assert_code(self.run_program('--cache', cache, 'add',
                                          f'{self.repository}/bar/2.0/package.py[]'), DONE)

    @once
    def test_clean_takes_nothing_out_of_a_repository(self):
        """Even one that became a cache by mistake: what is in .sys is cleaned, the rest stays."""
        os.mkdir(os.path.join(self.repository, '.sys'))
        os.makedirs(os.path.join(self.repository, '.sys', 'to_delete', 'foo-1.0-0'))
        self.age()
        before = self.names()
        result = self.run_there('clean')
        self.assert_refused(result, FAILED, about=['is a repository of packages', 'package.py'])
        self.assertEqual(self.names(), before)
        self.assertEqual(os.listdir(os.path.join(self.repository, '.sys', 'to_delete')), [])


if __name__ == '__main__':
    unittest.main()
