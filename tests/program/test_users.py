"""Several users with one cache directory: a group's (set-group-ID), and everybody's (sticky)."""
import os
import shutil
import signal
import time
import unittest

import rezlike
import support
import trees
from support import DONE, FAILED, MISSING

ANN, BOB = 60001, 60002  # users without an entry anywhere
GROUP = 60003            # both are in it


@unittest.skipUnless(os.geteuid() == 0, 'becoming other users needs root')
@unittest.skipUnless(shutil.which('setpriv'), 'needs setpriv(1)')
class UsersTest(support.ProgramTest):
    """Runs the program as one user or the other."""

    mode = 0o2775
    umask = '022'

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        os.chown(self.cache, 0, GROUP)
        os.chmod(self.cache, self.mode)
        self.program = self.program_for_anybody()

    def start_as(self, user, *arguments, **environment):
        """Starts the program as a user, with the umask of the test."""
        return self.start(f'--reuid={user}', f'--regid={user}', f'--groups={GROUP}', '--', 'sh', '-c',
                          f'umask {self.umask}; exec "$@"', 'sh', self.program, '--cache', self.cache,
                          *arguments, program='setpriv', **environment)

    def run_as(self, user, *arguments):
        """Runs the program as a user."""
        return support.finish(self.start_as(user, *arguments))

    def add_as(self, user, *variants):
        """Caches variants as a user."""
        for variant in variants:
            result = self.run_as(user, 'add', '--root', variant.root, variant.argument)
            self.assert_code(result, DONE)
            self.assertIn('1 created', result.out + result.err)

    def get_as(self, user, variant):
        """Looks a variant up as a user: its root, or None."""
        result = self.run_as(user, 'get', variant.argument)
        self.assert_code(result, DONE, MISSING)
        self.assertEqual(result.err, '')
        return result.out.strip() or None

    def sidecar(self, variant):
        """The path of a variant's sidecar."""
        result = self.run_program('--cache', self.cache, 'get', '--touch=no', variant.argument)
        self.assert_code(result, DONE)
        return result.out.rstrip('\n') + '.json'

    def last_used_as(self, user, variant):
        """What `list` says of when a variant was used."""
        result = self.run_as(user, '--json', 'list')
        self.assert_code(result, DONE)
        (entry,) = [entry for entry in result.json() if entry['handle'] == variant.handle]
        return entry['last_used']

    def stats_as(self, user):
        """What `stats` prints."""
        result = self.run_as(user, '--json', 'stats')
        self.assert_code(result, DONE)
        return result.json()

    def grow_old(self, variant):
        """The variant was last used long ago."""
        os.utime(self.sidecar(variant), (1e9, 1e9))


class InAGroup(UsersTest):
    """Each may do everything, whatever his umask."""

    def test_add_and_get(self):
        """Each finds, and marks as used, what the other cached; also in one hash directory."""
        variants = self.same_hash_variants(4) + [self.make_variant('other')]
        self.add_as(ANN, *variants[:2])
        self.add_as(BOB, *variants[2:])
        for user in (ANN, BOB):
            for variant in variants:
                self.grow_old(variant)
                self.assert_same_tree(variant.root, self.get_as(user, variant))
                self.assertGreater(os.stat(self.sidecar(variant)).st_mtime, time.time() - 1000)
        self.assert_sound(variants)
        self.assertEqual(self.stats_as(BOB)['hits'], 10 + 20)  # and those of sidecar()
        self.assertEqual(self.stats_as(ANN)['copies'], 5)
        logs = self.run_as(BOB, 'logs')
        self.assertEqual(len(logs.out.splitlines()), 10)

    def test_modes_of_payloads(self):
        """They are those of the source: a group's cache does not open them."""
        variant = self.make_variant(files={'private': b'1', 'd/public': b'2'})
        os.chmod(os.path.join(variant.root, 'd'), 0o755)
        os.chmod(os.path.join(variant.root, 'private'), 0o444)
        self.add_as(ANN, variant)
        self.assert_same_tree(variant.root, self.get_as(ANN, variant))

    def test_verify(self):
        """The other's manifests can be read, and the leases of all lie in one directory."""
        variant = self.make_variant()
        self.add_as(ANN, variant)
        result = self.run_as(BOB, '--json', 'verify')
        self.assert_code(result, DONE)
        self.assertNotIn('unknown', [entry['status'] for entry in result.json()['results']])
        for user in (ANN, BOB):
            self.assert_code(self.run_as(user, 'get', '--lease', str(os.getpid()), variant.argument),
                             DONE)

    def test_remove_and_clean(self):
        """What the other cached can be taken out; its bytes go when its owner, or root, cleans."""
        mine, other, third = (self.make_variant(name) for name in ('mine', 'other', 'third'))
        self.add_as(ANN, mine, other, third)
        for variant in (mine, other):
            self.assert_code(self.run_as(BOB, 'remove', variant.argument), DONE)
            self.assertIsNone(self.get_as(ANN, variant))
        self.assert_code(self.run_as(ANN, 'remove', third.argument), DONE)
        self.assert_code(self.run_as(BOB, 'clean'), DONE)
        self.assert_code(self.run_as(ANN, 'clean'), DONE)
        for variant in (mine, other, third):
            directory = rezlike.hash_directory(self.cache, variant.handle)
            self.assertEqual(os.listdir(directory) if os.path.exists(directory) else [], [])
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
        self.add_as(BOB, mine)
        self.assert_same_tree(mine.root, self.get_as(ANN, mine))

    def test_a_copier_that_was_killed(self):
        """Another user takes over."""
        variant = self.make_variant(files={'large': bytes(1 << 20)})
        process = self.start_as(ANN, 'add', '--root', variant.root, variant.argument,
                                PKGCACHE_BWLIMIT='64K')
        directory = rezlike.hash_directory(self.cache, variant.handle)
        support.wait_until(lambda: os.path.isdir(directory) and
                           any(name.endswith('.json') for name in os.listdir(directory)),
                           'the copy to begin')
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.add_as(BOB, variant)
        self.assert_same_tree(variant.root, self.get_as(ANN, variant))
        self.assert_code(self.run_as(BOB, 'clean'), DONE)
        self.assert_code(self.run_as(ANN, 'clean'), DONE)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])


class InAGroupWithASecretiveUmask(InAGroup):
    """0077 is a habit of users, not a wish about the cache."""

    umask = '077'


class InEverybodysDirectory(UsersTest):
    """Sticky, as /tmp: each may add, and take away what is his."""

    mode = 0o1777

    def test_add_and_get(self):
        """Also variants of one package; the use of another's is recorded beside its sidecar."""
        variants = self.same_hash_variants(2) + [self.make_variant('other')]
        self.add_as(ANN, variants[0])
        self.add_as(BOB, *variants[1:])
        self.grow_old(variants[0])
        before = time.time()
        self.assert_same_tree(variants[0].root, self.get_as(BOB, variants[0]))
        self.assertEqual(os.stat(self.sidecar(variants[0])).st_mtime, 1e9)
        for user in (ANN, BOB):
            self.assertGreaterEqual(self.last_used_as(user, variants[0]), before - 1)
        self.grow_old(variants[1])
        self.get_as(BOB, variants[1])
        self.assertGreaterEqual(os.stat(self.sidecar(variants[1])).st_mtime, before - 1)
        self.assert_sound(variants)

    def test_remove_and_clean(self):
        """Another's stays, with a word why; nothing keeps the owner from it."""
        hers, his = self.make_variant('hers'), self.make_variant('his')
        self.add_as(ANN, hers)
        self.add_as(BOB, his)
        self.assert_refused(self.run_as(BOB, 'remove', hers.argument), FAILED, about=['another user'])
        self.assert_same_tree(hers.root, self.get_as(BOB, hers))
        self.assert_code(self.run_as(ANN, 'remove', hers.argument), DONE)
        self.assertIsNone(self.get_as(BOB, hers))
        for user in (BOB, ANN):
            self.assert_code(self.run_as(user, 'clean'), DONE)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'to_delete')), [])
        self.assert_same_tree(his.root, self.get_as(ANN, his))

    def test_both_at_once(self):
        """The lock is handed on between users."""
        variants = [self.make_variant(f'package{number}') for number in range(support.scaled(12, 6))]
        processes = [self.start_as((ANN, BOB)[number % 2], 'add', '--root', variant.root,
                                   variant.argument)
                     for number, variant in enumerate(variants)]
        for process in processes:
            self.assert_code(support.finish(process), DONE)
        self.assert_sound(variants)


class AHostileUser(UsersTest):
    """Puts links where Ann's program is going to write or delete."""

    mode = 0o1777

    def setUp(self):
        super().setUp()
        self.victim = self.path('victim')
        trees.make_plain_tree(self.victim, {'1.0/precious': b'1', 'precious': b'2'})
        self.variant = self.make_variant()
        self.add_as(ANN, self.make_variant('first'))

    def give_to_ann(self):
        """She owns what the links lead to, so that nothing but care protects it."""
        for directory, _, files in os.walk(self.victim):
            for name in [directory, *(os.path.join(directory, file) for file in files)]:
                os.chown(name, ANN, ANN)

    def link(self, *names):
        """Replaces a path in the cache by a link to the victim."""
        path = os.path.join(self.cache, *names)
        if os.path.isdir(path):
            os.rename(path, path + '.away')
        os.symlink(self.victim, path)
        os.lchown(path, BOB, BOB)
        self.give_to_ann()

    def test_a_package_that_is_a_link(self):
        """Nothing is cached there, found there, or taken out there."""
        self.link('foo')
        with self.untouched(self.victim):
            result = self.run_as(ANN, 'add', '--root', self.variant.root, self.variant.argument)
            self.assert_refused(result, FAILED)
            self.assertIsNone(self.get_as(ANN, self.variant))
            self.assert_code(self.run_as(ANN, 'remove', self.variant.argument), MISSING)
            self.assert_code(self.run_as(ANN, 'clean'), DONE)

    def test_a_version_that_is_a_link(self):
        """The same, one level below."""
        os.mkdir(os.path.join(self.cache, 'foo'), 0o777)
        self.link('foo', '1.0')
        with self.untouched(self.victim):
            result = self.run_as(ANN, 'add', '--root', self.variant.root, self.variant.argument)
            self.assert_refused(result, FAILED)
            self.assertIsNone(self.get_as(ANN, self.variant))

    def test_private_directories_that_are_links(self):
        """Neither written to nor cleaned."""
        for name in ('to_delete', 'staging'):
            with self.subTest(name):
                self.link('.sys', name)
                with self.untouched(self.victim):
                    self.assert_refused(self.run_as(ANN, 'clean'), FAILED)
                    self.assert_refused(self.run_as(ANN, 'add', '--root', self.variant.root,
                                                    self.variant.argument), FAILED)
                os.unlink(os.path.join(self.cache, '.sys', name))
                os.rename(os.path.join(self.cache, '.sys', name + '.away'),
                          os.path.join(self.cache, '.sys', name))

    def test_the_log_and_the_records_of_use(self):
        """What is not worth an error is just not written."""
        bobs = self.make_variant('bobs')
        self.add_as(BOB, bobs)
        self.link('.sys', 'log')
        self.link('.sys', 'used')
        with self.untouched(self.victim):
            self.add_as(ANN, self.variant)
            self.assert_same_tree(bobs.root, self.get_as(ANN, bobs))
            self.assert_code(self.run_as(ANN, 'clean'), DONE)


if __name__ == '__main__':
    unittest.main()
