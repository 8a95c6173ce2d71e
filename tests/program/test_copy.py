"""`pkgcache copy`: the copy equals its source, links keep their meaning, failures leave nothing."""
import os
import signal
import subprocess
import time
import unittest

import mounts
import support
import trees
from support import DONE, FAILED, INTERRUPTED, PARTLY, TERMINATED, USAGE


class CopyTest(support.ProgramTest):
    """Has a source and a destination."""

    def setUp(self):
        super().setUp()
        self.source = self.path('source')
        self.copy = self.path('copy')

    def make_source(self, contents):
        """A small tree as make_plain_tree takes it."""
        trees.make_plain_tree(self.source, contents)

    def run_copy(self, *options, source=None, destination=None, **how):
        """Runs `copy`."""
        return self.run_program(*options, 'copy', source or self.source, destination or self.copy,
                                **how)

    def assert_copied(self, result, **how):
        """It succeeded and the copy equals its source."""
        self.assert_code(result, DONE)
        self.assert_same_tree(self.source, self.copy, **how)

    def assert_nothing_made(self, *leftovers):
        """Nothing is in the test's directory but the source and these."""
        self.assertEqual(sorted(os.listdir(self.directory)), sorted(['source', *leftovers]))


class Fidelity(CopyTest):
    """A copy is what its source is."""

    def test_a_random_tree(self):
        """20,000 files with links of every kind, holes, odd names, modes and times."""
        trees.make_random_tree(self.source, support.scaled(20000))
        self.assert_copied(self.run_copy(), hard_links=True)

    def test_the_source_is_left_alone(self):
        """Nothing of it changes, its directories' times included."""
        trees.make_random_tree(self.source, 300)
        with self.untouched(self.source):
            self.assert_code(self.run_copy(), DONE)

    def test_between_file_systems(self):
        """From one to another, and within one, of each kind there is."""
        for kind in ('ext4', 'xfs', 'btrfs', 'tmpfs'):
            with self.subTest(kind), mounts.mounted(kind, 192 << 20) as point:
                self.source = os.path.join(point, 'source')
                trees.make_random_tree(self.source, 500)
                for number, where in enumerate((point, self.directory)):
                    self.copy = os.path.join(where, f'copy-{kind}-{number}')
                    self.assert_copied(self.run_copy(), hard_links=True)

    def test_holes_stay_holes(self):
        """A sparse file does not fill up."""
        self.make_source({'file': b'x'})
        for name, pieces in (('all hole', []), ('in front', [(8 << 20, b'end')]),
                             ('at the end', [(0, b'start')]), ('between', [(0, b'a'), (4 << 20, b'b')])):
            with open(os.path.join(self.source, name), 'wb') as file:
                for offset, piece in pieces:
                    file.seek(offset)
                    file.write(piece)
                file.truncate(16 << 20)
        self.assert_copied(self.run_copy(), holes=True)

    def test_holes_that_nobody_tells_of(self):
        """They stay holes where the file system does not say where they are, as most of FUSE."""
        os.mkdir(self.source)
        with open(os.path.join(self.source, 'file'), 'wb') as file:
            file.seek(20 << 20)
            file.write(b'end')
        for backend in ('ring', 'threads'):
            with mounts.slow_mount(self.source) as slow:
                self.copy = self.path(f'copy-{backend}')
                self.assert_copied(self.run_copy('--backend', backend, source=slow.path), holes=True)

    @unittest.skipIf(os.geteuid(), 'needs root, for a disk of its own')
    def test_what_is_not_written_yet_is_no_hole(self):
        """ext4 says so, in files without extents, until it is on the disk; also below overlayfs."""
        with mounts.mounted('ext4', 64 << 20, features=['-O', '^extents,^64bit,^metadata_csum']) as point:
            for name in ('lower', 'upper', 'work', 'merged'):
                os.mkdir(os.path.join(point, name))
            layers = ','.join(f'{name}dir={point}/{name}' for name in ('lower', 'upper', 'work'))
            merged = os.path.join(point, 'merged')
            mounts.run_or_skip(['mount', '-t', 'overlay', '-o', layers, 'overlay', merged])
            self.addCleanup(mounts.unmount, merged)
            try:
                for number, parent in enumerate((point, merged)):
                    self.source = os.path.join(parent, 'source')
                    self.copy = os.path.join(point, f'copy-{number}')
                    os.mkdir(self.source)
                    with open(os.path.join(self.source, 'file'), 'wb') as file:
                        file.truncate(70000)
                        file.seek(35000)
                        file.write(b'A')
                    self.assert_copied(self.run_copy())
            finally:
                mounts.unmount(merged)

    def test_large_files(self):
        """Larger than any buffer, of sizes that are no multiple of anything."""
        block = os.urandom(1 << 20)
        self.make_source({'a': block * 37 + b'tail', 'b': block * 8, 'c': block[:-1]})
        self.assert_copied(self.run_copy())

    def test_one_directory_of_many(self):
        """Many entries in one directory, and many directories in one."""
        self.make_source({f'files/{number:06}': b'' for number in range(support.scaled(5000))})
        for number in range(support.scaled(2000)):
            os.mkdir(os.path.join(self.source, f'd{number}'))
        self.assert_copied(self.run_copy())

    def test_paths_longer_than_path_max(self):
        """30 directories deep with names of 200 bytes."""
        name, depth = 'n' * 200, 30
        trees.make_deep(self.source, name, depth)
        self.assert_code(self.run_copy(), DONE)
        directory = trees.open_deep(self.copy, name, depth)
        try:
            with open(os.open('file', os.O_RDONLY, dir_fd=directory), 'rb') as file:
                self.assertEqual(file.read(), b'deep')
        finally:
            os.close(directory)

    def test_an_empty_directory(self):
        """Is a tree, too."""
        os.mkdir(self.source, 0o500)
        self.assert_copied(self.run_copy())

    def test_a_root_through_a_link(self):
        """The root may be named through a link; the copy is a directory."""
        self.make_source({'file': b'content'})
        os.symlink('source', self.path('link'))
        self.assert_copied(self.run_copy(source=self.path('link')))
        self.assertFalse(os.path.islink(self.copy))

    def test_set_uid_is_dropped(self):
        """So is set-gid; sticky directories stay so."""
        self.make_source({'program': b'', 'group': b'', 'sticky/file': b''})
        os.chmod(os.path.join(self.source, 'program'), 0o4755)
        os.chmod(os.path.join(self.source, 'group'), 0o2755)
        os.chmod(os.path.join(self.source, 'sticky'), 0o1777)
        self.assert_copied(self.run_copy())
        self.assertEqual(os.stat(os.path.join(self.copy, 'program')).st_mode & 0o7777, 0o755)
        self.assertEqual(os.stat(os.path.join(self.copy, 'sticky')).st_mode & 0o7777, 0o1777)

    def test_the_umask_does_not_matter(self):
        """Modes are the source's."""
        self.make_source({'file': b'', 'd/file': b''})
        os.chmod(os.path.join(self.source, 'file'), 0o666)
        os.chmod(os.path.join(self.source, 'd'), 0o777)
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        self.assert_copied(self.run_copy())

    def test_special_files_are_named_and_left_out(self):
        """A fifo and a socket are skipped with a warning; the rest is copied."""
        self.make_source({'file': b'content'})
        os.mkfifo(os.path.join(self.source, 'a-fifo'))
        result = self.run_copy()
        self.assert_code(result, DONE, PARTLY)
        self.assertIn('a-fifo', result.err)
        self.assertEqual(os.listdir(self.copy), ['file'])

    def test_both_backends_say_which_they_are(self):
        """With -v."""
        self.make_source({'file': b''})
        result = self.run_copy('-v')
        self.assert_code(result, DONE)
        backend = os.environ.get('PKGCACHE_BACKEND')
        self.assertIn(backend or 'backend', result.err)


class Links(CopyTest):
    """Symbolic links: kept in their meaning, to the letter, or followed."""

    def setUp(self):
        super().setUp()
        trees.make_plain_tree(self.path('outside'), {'file': b'outside'})
        self.inside = {
            'file': b'content',
            'd/e/file': b'content',
            'd/e/to-sibling': 'file',
            'd/e/up': '../../file',
            'd/to-directory': 'e',
            'chain': 'd/e/up',
            'through': 'd/to-directory/file',
            'd/e/to-root': '../..',
            'dot': '.',
        }

    def target(self, name):
        """What a link of the copy says."""
        return os.readlink(os.path.join(self.copy, name))

    def keep(self, links):
        """Copies a tree with these links beside self.inside; the meaning must be kept."""
        self.make_source({**self.inside, **links})
        self.assert_copied(self.run_copy())

    def test_relative_inside_as_it_is(self):
        """To the letter."""
        self.keep({})
        for name, target in self.inside.items():
            if isinstance(target, str):
                self.assertEqual(self.target(name), target)

    def test_absolute_inside_becomes_relative(self):
        """Also from below, and to a directory."""
        self.keep({'absolute': f'{self.source}/file', 'd/absolute': f'{self.source}/file',
                   'd/to-directory-absolute': f'{self.source}/d/e', 'd/root': self.source})
        self.assertEqual(self.target('absolute'), 'file')
        self.assertEqual(self.target('d/absolute'), '../file')
        self.assertEqual(self.target('d/to-directory-absolute'), 'e')
        self.assertIn(self.target('d/root'), ('..', '../'))

    def test_leaving_and_coming_back_becomes_relative(self):
        """Else it would reach into the source, or nowhere."""
        self.keep({'around': '../source/file', 'd/around': '../../source/d/e/file'})
        self.assertEqual(self.target('around'), 'file')
        self.assertEqual(self.target('d/around'), 'e/file')

    def test_relative_outside_becomes_absolute(self):
        """Wherever the copy is."""
        self.copy = self.path('far', 'away', 'copy')
        os.makedirs(os.path.dirname(self.copy))
        self.keep({'out': '../outside/file', 'd/out': '../../outside'})
        self.assertEqual(self.target('out'), self.path('outside/file'))
        self.assertEqual(self.target('d/out'), self.path('outside'))

    def test_absolute_outside_as_it_is(self):
        """It reaches the same from everywhere."""
        self.keep({'out': self.path('outside/file'), 'usr': '/usr'})
        self.assertEqual(self.target('usr'), '/usr')

    def test_dangling_and_loops_as_they_are(self):
        """They reach nothing, and go on to."""
        links = {'dangling': 'nothing', 'd/dangling': '../nothing', 'absolute': '/no/such/file',
                 'loop': 'loop', 'ping': 'pong', 'pong': 'ping'}
        self.keep(links)
        for name, target in links.items():
            self.assertEqual(self.target(name), target)

    def test_a_source_named_through_a_link(self):
        """Absolute links to the root as it was named, and as it really is, are inside."""
        self.make_source({**self.inside, 'as-named': self.path('named/file'),
                          'as-is': self.path('source/file')})
        os.symlink('source', self.path('named'))
        self.assert_code(self.run_copy(source=self.path('named')), DONE)
        for name in ('as-named', 'as-is'):
            self.assertEqual(self.target(name), 'file')

    def test_a_link_whose_parent_is_reached_through_a_link(self):
        """The parent directory is resolved before the target is looked at."""
        self.keep({'d/e/f/back': '../../../file', 'short': 'd/e/f', 'over': 'short/back'})

    def test_a_name_that_only_begins_like_the_root(self):
        """source-2 is not inside source."""
        trees.make_plain_tree(self.path('source-2'), {'file': b'other'})
        self.keep({'other': self.path('source-2/file'), 'relative': '../source-2/file'})
        self.assertEqual(self.target('other'), self.path('source-2/file'))
        self.assertEqual(self.target('relative'), self.path('source-2/file'))

    def test_preserve(self):
        """To the letter, every one."""
        self.make_source({**self.inside, 'absolute': f'{self.source}/file', 'out': '../outside/file',
                          'dangling': 'nothing', 'loop': 'loop'})
        self.assert_copied(self.run_copy('--symlinks=preserve'), links='preserve')

    def test_follow(self):
        """There are no links: each is a copy of what it reached."""
        del self.inside['d/e/to-root'], self.inside['dot']
        self.make_source({**self.inside, 'absolute': f'{self.source}/file', 'out': '../outside',
                          'd/out': '../../outside/file'})
        self.assert_copied(self.run_copy('--symlinks=follow'), links='follow')

    def test_follow_ends_at_a_loop(self):
        """A directory that holds itself is an error, not an explosion."""
        self.make_source({'file': b'', 'd/loop': '..'})
        result = self.run_copy('--symlinks=follow')
        self.assert_refused(result, FAILED, about=['loop'])
        self.assertFalse(os.path.lexists(self.copy))

    def test_follow_fails_at_a_dangling_link(self):
        """As rez does."""
        self.make_source({'file': b'', 'dangling': 'nothing'})
        result = self.run_copy('--symlinks=follow')
        self.assert_refused(result, FAILED, about=['dangling'])
        self.assertFalse(os.path.lexists(self.copy))

    def test_the_setting_by_variable(self):
        """PKGCACHE_SYMLINKS is what --symlinks is; the flag wins."""
        self.make_source({'file': b'', 'absolute': f'{self.source}/file'})
        self.assert_copied(self.run_copy(PKGCACHE_SYMLINKS='preserve'), links='preserve')
        result = self.run_copy('--symlinks=keep', destination=self.path('second'),
                               PKGCACHE_SYMLINKS='preserve')
        self.assert_code(result, DONE)
        self.assertEqual(os.readlink(self.path('second/absolute')), 'file')


class Refusals(CopyTest):
    """What cannot be copied is refused, and nothing is made."""

    def test_a_destination_that_exists(self):
        """Whatever it is, it stays as it was."""
        self.make_source({'file': b'content'})
        kinds = {'directory': os.mkdir, 'file': lambda path: open(path, 'wb').close(),
                 'link': lambda path: os.symlink('source', path),
                 'dangling': lambda path: os.symlink('nothing', path), 'fifo': os.mkfifo}
        for kind, make in kinds.items():
            with self.subTest(kind):
                make(self.path(kind))
                with self.untouched(self.directory):
                    result = self.run_copy(destination=self.path(kind))
                self.assert_refused(result, FAILED, about=[self.path(kind)])

    def test_a_destination_inside_the_source(self):
        """Also when a link hides it."""
        self.make_source({'file': b'content', 'd/file': b''})
        os.symlink('source/d', self.path('hidden'))
        for destination in ('source/copy', 'source/d/copy', 'hidden/copy'):
            with self.subTest(destination), self.untouched(self.source):
                result = self.run_copy(destination=self.path(destination))
                self.assert_refused(result, FAILED, USAGE)

    def test_a_destination_inside_the_source_by_another_mount(self):
        """A part of the source is mounted elsewhere; or the source has the destination's file system
        mounted in it, which only the walk finds out: then what was made is taken away again."""
        self.make_source({'file': b'content', 'd/e/file': b'', 'mounted': None})
        with mounts.bound(os.path.join(self.source, 'd')) as point:
            for destination in (f'{point}/copy', f'{point}/e/copy'):
                with self.subTest(destination), self.untouched(self.source):
                    result = self.run_copy(destination=destination)
                    self.assert_refused(result, FAILED, about=['inside the source'])
            self.assert_code(self.run_copy(source=f'{point}/e'), DONE)  # the other way round
        with mounts.mounted('tmpfs', 1 << 20) as point:
            os.mkdir(f'{point}/e')
            inside = os.path.join(self.source, 'mounted')
            subprocess.run(['mount', '--bind', f'{point}/e', inside], check=True)
            self.addCleanup(mounts.unmount, inside)
            result = self.run_copy(destination=f'{point}/e/copy')
            self.assert_refused(result, FAILED, about=['inside the source'])
            self.assertEqual(os.listdir(f'{point}/e'), [])
            self.assert_code(self.run_copy(destination=f'{point}/copy'), DONE)
            mounts.unmount(inside)

    def test_a_destination_without_a_parent(self):
        """Parents are not made."""
        self.make_source({'file': b'content'})
        self.assert_refused(self.run_copy(destination=self.path('no/copy')), FAILED)
        self.assert_nothing_made()

    def test_a_source_that_is_no_directory(self):
        """Missing, a file, a fifo, a dangling link, something below a file."""
        self.make_source({'file': b'content', 'dangling': 'nothing'})
        os.mkfifo(os.path.join(self.source, 'fifo'))
        for name in ('missing', 'file', 'fifo', 'dangling', 'file/below'):
            with self.subTest(name):
                source = os.path.join(self.source, name)
                self.assert_refused(self.run_copy(source=source), FAILED, about=[source])
                self.assert_nothing_made()

    @unittest.skipIf(os.geteuid(), 'becoming another user needs root')
    def test_a_source_that_cannot_be_read(self):
        """By its root, by a directory in it, by a file in it."""
        for number, (name, mode) in enumerate((('', 0o700), ('d', 0o700), ('d/file', 0o600))):
            with self.subTest(name):
                self.source = self.path(f'source{number}')
                self.make_source({'file': b'content', 'd/file': b'content'})
                os.chmod(os.path.join(self.source, name), mode)
                target = self.path(f'target{number}')
                os.mkdir(target)
                os.chown(target, support.NOBODY, support.NOBODY)
                result = self.run_copy(destination=os.path.join(target, 'copy'),
                                       uid=support.NOBODY, program=self.program_for_anybody())
                self.assert_refused(result, FAILED, about=[os.path.join(self.source, name).rstrip('/')])
                self.assertEqual(os.listdir(target), [])

    def test_a_full_disk(self):
        """Exit 1, a message, and nothing left; a file that was there is still there."""
        self.make_source({f'd/{number}': os.urandom(1 << 20) for number in range(24)})
        for kind in ('ext4', 'tmpfs'):
            with self.subTest(kind), mounts.mounted(kind, 12 << 20) as point:
                trees.make_plain_tree(os.path.join(point, 'before'), {'file': b'content'})
                with self.untouched(os.path.join(point, 'before')):
                    result = self.run_copy(destination=os.path.join(point, 'copy'))
                self.assert_refused(result, FAILED, about=['No space left'])
                self.assertFalse(os.path.lexists(os.path.join(point, 'copy')))

    def test_a_read_only_destination(self):
        """Says so."""
        self.make_source({'file': b'content'})
        with mounts.mounted('tmpfs', 1 << 20) as point:
            subprocess.run(['mount', '-o', 'remount,ro', point], check=True)
            result = self.run_copy(destination=os.path.join(point, 'copy'))
            self.assert_refused(result, FAILED, about=['Read-only file system'])

    def test_the_command_line(self):
        """One argument, three, or none."""
        self.make_source({'file': b''})
        for arguments in ([], [self.source], [self.source, self.copy, self.path('more')]):
            self.assert_refused(self.run_program('copy', *arguments), USAGE)
        self.assert_nothing_made()


class Interrupted(CopyTest):
    """Signals stop a copy at once, and what was made goes."""

    def interrupt(self, number, code):
        """Copies from a slow source, sends a signal, and judges how it ends."""
        self.make_source({f'{name // 20}/{name}': b'content' for name in range(2000)})
        with mounts.slow_mount(self.source, '--delay-ms', '100', '--bandwidth', '2000') as slow:
            process = self.start('copy', slow.path, self.copy)
            support.wait_until(lambda: os.path.isdir(self.copy), 'the copy to begin')
            time.sleep(0.3)
            self.assertIsNone(process.poll(), 'it was to be slow')
            since = time.monotonic()
            process.send_signal(number)
            result = support.finish(process, since=since)
        self.assert_code(result, code)
        self.assertLess(result.seconds, 1 / min(1, support.SCALE))
        self.assert_nothing_made()

    def test_by_ctrl_c(self):
        """Exit 130 within a second."""
        self.interrupt(signal.SIGINT, INTERRUPTED)

    def test_by_sigterm(self):
        """Exit 143 within a second."""
        self.interrupt(signal.SIGTERM, TERMINATED)

    def test_while_a_server_hangs(self):
        """One file is never answered: the rest is copied, and Ctrl-C still ends it."""
        self.make_source({str(name): b'content' for name in range(50)})
        with mounts.slow_mount(self.source, '--hang-file', '/25') as slow:
            process = self.start('copy', slow.path, self.copy)
            support.wait_until(lambda: len(os.listdir(self.copy)) >= 49
                               if os.path.isdir(self.copy) else False, 'all but one file')
            process.send_signal(signal.SIGINT)
            result = support.finish(process)
        self.assert_code(result, INTERRUPTED)
        self.assert_nothing_made()


if __name__ == '__main__':
    unittest.main()
