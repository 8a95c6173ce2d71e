"""Several users with one cache directory: a group's (set-group-ID), and everybody's (sticky)."""
import json
import os
import shutil
import signal
import subprocess
import time
import unittest

import rezlike
import support
import trees
from support import DONE, FAILED, MISSING, PARTLY, USAGE

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

    def kill_copier(self, variant):
        """Ann's copy of a variant of a large file ends half-way."""
        process = self.start_as(ANN, 'add', '--root', variant.root, variant.argument,
                                PKGCACHE_BWLIMIT='64K')
        directory = rezlike.hash_directory(self.cache, variant.handle)
        support.wait_until(lambda: os.path.isdir(directory) and
                           any(name.endswith('.json') for name in os.listdir(directory)),
                           'the copy to begin')
        process.send_signal(signal.SIGKILL)
        process.wait()

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


class OfOneUser(UsersTest):
    """A cache that only Ann, and root, may write to."""

    mode = 0o755

    def test_after_root(self):
        """What root made is in Ann's way: she is told, and what then helps."""
        os.chown(self.cache, ANN, ANN)
        first, second = self.make_variant('first'), self.make_variant('second')
        os.mkdir(os.path.join(self.cache, '.sys'))
        os.chown(os.path.join(self.cache, '.sys'), ANN, ANN)
        self.assert_code(self.run_program('--cache', self.cache, 'add', '--root', first.root, first.argument), DONE)
        advice = f'chown -R {ANN} {self.cache}'
        for said, *arguments in (('chown -R', 'add', '--root', second.root, second.argument),
                                 (advice, 'remove', first.argument)):
            with self.subTest(arguments[0]):
                result = self.run_as(ANN, *arguments)
                self.assertNotEqual(result.code, DONE)
                self.assertIn(said, result.err)
        subprocess.run(advice.split(), check=True)
        self.add_as(ANN, second)
        for variant in (first, second):
            self.assert_same_tree(variant.root, self.get_as(ANN, variant))
            self.assert_code(self.run_as(ANN, 'remove', variant.argument), DONE)
        self.assert_code(self.run_as(ANN, 'clean'), DONE)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys/to_delete')), [])


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
        self.kill_copier(variant)
        self.add_as(BOB, variant)
        self.assert_same_tree(variant.root, self.get_as(ANN, variant))
        self.assert_code(self.run_as(BOB, 'clean'), DONE)
        self.assert_code(self.run_as(ANN, 'clean'), DONE)
        self.assertEqual(os.listdir(os.path.join(self.cache, '.sys', 'staging')), [])


    def test_owners_are_for_root(self):
        """A copy with owners is refused before anything is copied."""
        variant = self.make_variant()
        target = os.path.join(self.cache, 'copy')
        result = support.finish(self.start(f'--reuid={ANN}', f'--regid={ANN}', f'--groups={GROUP}', '--',
                                           self.program, 'copy', '--owner', variant.root, target,
                                           program='setpriv'))
        self.assert_refused(result, FAILED, about=['--owner', 'only root'])
        self.assertFalse(os.path.exists(target))


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

    def test_directories_that_everybody_may_write_to_at_the_source(self):
        """In the cache only their owner may: a file that is moved elsewhere has the same owner there."""
        files = {'open/file': b'1', 'sticky/file': b'2', 'group/file': b'3', 'plain/file': b'4'}
        variant = self.make_variant(files=files)
        for name, mode in (('.', 0o777), ('open', 0o777), ('sticky', 0o1777), ('group', 0o775)):
            os.chmod(os.path.join(variant.root, name), mode)
        self.add_as(ANN, variant)
        root = self.get_as(BOB, variant)
        for name in ('.', 'open', 'sticky', 'group', 'plain'):
            self.assertEqual(os.stat(os.path.join(root, name)).st_mode & 0o7777, 0o755, name)
        for name in ('open', 'open/file'):
            result = support.finish(self.start(
                f'--reuid={BOB}', f'--regid={BOB}', f'--groups={GROUP}', '--', 'mv',
                os.path.join(root, name), os.path.join(self.cache, 'moved'), program='setpriv'))
            self.assertNotEqual(result.code, DONE)
        self.assert_code(self.run_as(ANN, 'verify'), DONE)

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

    def test_what_is_left_of_a_copy_of_another_user(self):
        """It is for that user, or root, to clean, also where the payload is gone."""
        variant = self.make_variant(files={'large': bytes(1 << 20)})
        self.kill_copier(variant)
        directory = rezlike.hash_directory(self.cache, variant.handle)
        for name in os.listdir(directory):
            if os.path.isdir(os.path.join(directory, name)):
                trees.remove_tree(os.path.join(directory, name))
        result = self.run_as(BOB, 'clean')
        self.assert_code(result, DONE)
        self.assertEqual(result.err, '')
        self.assert_code(self.run_as(ANN, 'clean'), DONE)
        self.assertFalse(os.path.exists(directory) and os.listdir(directory))

    def test_a_clean_that_makes_room(self):
        """What another cached stays, and is named; what is one's own goes in its place."""
        hers, his = self.make_variant('hers'), self.make_variant('his')
        self.add_as(ANN, hers)
        self.add_as(BOB, his)
        for variant in (hers, his):
            self.grow_old(variant)
        kept = f'kept {self.sidecar(hers).removesuffix(".json")}: it belongs to another user'
        for arguments in (['--dry-run'], []):
            result = self.run_as(BOB, 'clean', '--max-size', '1B', '--max-variant-days', '0', *arguments)
            self.assert_code(result, DONE)
            self.assertIn(kept, result.out)
        self.assertIsNone(self.get_as(ANN, his))
        self.assert_same_tree(hers.root, self.get_as(ANN, hers))

    def test_a_daemon_that_nobody_else_asks(self):
        """It says so, since the cache is not its user's."""
        process = self.start_as(BOB, 'daemon', '--foreground', '--clients=everybody')
        support.wait_until(lambda: os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')) or
                           process.poll() is not None, 'the daemon to serve')
        process.send_signal(signal.SIGTERM)
        result = support.finish(process)
        self.assert_code(result, DONE)
        self.assertIn('programs of other users do not ask this daemon', result.err)

    def test_a_copier_of_another_user_that_was_killed(self):
        """What it left is in the way of others until that user, or root, cleans: they are told so."""
        variant = self.make_variant(files={'large': bytes(1 << 20)})
        self.kill_copier(variant)
        self.assert_refused(self.run_as(BOB, 'add', '--root', variant.root, variant.argument), FAILED,
                            about=['another user', 'root can remove it (pkgcache clean)'])
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.add_as(BOB, variant)
        self.assert_same_tree(variant.root, self.get_as(ANN, variant))

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


class RepairsByRoot(UsersTest):
    """verify --repair believes a sidecar as far as its owner could have read himself."""

    mode = 0o1777
    secret = b'for the eyes of root only'

    def setUp(self):
        super().setUp()
        # a child that is started with threads around starts threads
        self.environment['TSAN_OPTIONS'] = os.environ.get('TSAN_OPTIONS', '') + ':die_after_fork=0'
        self.closed = self.path('closed')
        trees.make_plain_tree(self.closed, {'foo/1.0/plan': self.secret})
        os.chmod(self.closed, 0o700)
        self.variant = self.make_variant(files={'file': b'contents'})

    def damage(self, variant):
        """Changes a payload; returns the path of its sidecar."""
        sidecar = self.sidecar(variant)
        with open(os.path.join(sidecar.removesuffix('.json'), 'file'), 'wb') as file:
            file.write(b'damaged')
        return sidecar

    def forge(self, sidecar, root):
        """Says in a sidecar that its payload came from elsewhere."""
        with open(sidecar, 'r+', encoding='utf-8') as file:
            text = json.load(file)
            text['pkgcache']['root'] = root
            file.seek(0)
            file.truncate()
            json.dump(text, file)

    def repair(self, code, user=None):
        """Repairs all; returns what became of each variant by name, and why."""
        arguments = ['--json', 'verify', '--repair']
        result = (self.run_as(user, *arguments) if user else
                  self.run_program('--cache', self.cache, *arguments))
        self.assert_code(result, code)
        return {entry['handle']['variables']['name']: (entry['status'], entry['reason'])
                for entry in result.json()['results']}

    def assert_kept_closed(self):
        """Nothing of what is closed is in the cache."""
        for directory, _, files in os.walk(self.cache):
            for name in files:
                path = os.path.join(directory, name)
                if not os.path.islink(path) and os.path.isfile(path):
                    with open(path, 'rb') as file:
                        self.assertNotIn(self.secret, file.read(), path)

    def test_with_the_rights_of_its_owner(self):
        """What Bob could have repaired, root repairs for him, and it stays Bob's."""
        mine = self.make_variant('mine', files={'file': b'mine'})
        self.add_as(BOB, self.variant)
        self.assert_code(self.warm([mine]), DONE)
        for variant in (self.variant, mine):
            self.damage(variant)
        self.assertEqual(self.repair(DONE), {'foo': ('repaired', None), 'mine': ('repaired', None)})
        self.assert_same_tree(self.variant.root, self.get_as(ANN, self.variant))
        self.assert_same_tree(mine.root, self.get_as(ANN, mine))
        self.assertEqual(os.stat(self.sidecar(self.variant)).st_uid, BOB)
        self.assertEqual(os.stat(self.sidecar(mine)).st_uid, 0)

    def test_a_forged_root(self):
        self.add_as(BOB, self.variant)
        self.forge(self.damage(self.variant), os.path.join(self.closed, 'foo', '1.0'))
        status, reason = self.repair(PARTLY)['foo']
        self.assertEqual(status, 'damaged')
        self.assertIn(f'user {BOB}', reason)
        self.assertIn('Permission denied', reason)
        self.assert_kept_closed()

    def test_a_forged_handle(self):
        """It names a directory three names deep; the root that it names is what a handle says."""
        forged = support.Variant(support.make_handle(self.closed), self.variant.root)
        self.add_as(BOB, forged)
        self.forge(self.damage(forged), os.path.join(self.closed, 'foo', '1.0'))
        self.assertEqual(self.repair(PARTLY)['foo'][0], 'damaged')
        self.assert_kept_closed()

    def test_a_sidecar_that_others_may_write_to(self):
        """It is nobody's word, also if it is root's."""
        for mode in (0o646, 0o664):
            with self.subTest(mode):
                self.assert_code(self.warm([self.variant]), DONE)
                sidecar = self.damage(self.variant)
                self.forge(sidecar, os.path.join(self.closed, 'foo', '1.0'))
                os.chmod(sidecar, mode)
                self.assertIn('nobody vouches', self.repair(PARTLY)['foo'][1])
                self.assert_kept_closed()
                self.run_program('--cache', self.cache, 'remove', self.variant.argument)

    def test_a_sidecar_that_others_can_have_put_there(self):
        """A file of root's may have been copied out of a package of Bob's, and moved there by him."""
        self.assert_code(self.warm([self.variant]), DONE)
        sidecar = self.damage(self.variant)
        root, directory = sidecar.removesuffix('.json'), os.path.dirname(sidecar)
        self.forge(sidecar, os.path.join(self.closed, 'foo', '1.0'))
        version, name = os.path.dirname(directory), os.path.dirname(os.path.dirname(directory))
        for path, uid, mode in ((root, BOB, 0o755), (root, 0, 0o757), (root, 0, 0o775),
                                (directory, BOB, 0o1777), (directory, 0, 0o777), (version, 0, 0o777),
                                (name, 0, 0o777)):
            before = os.stat(path)
            os.chown(path, uid, uid)
            os.chmod(path, mode)
            self.assertIn('nobody vouches', self.repair(PARTLY)['foo'][1], (path, uid))
            self.assert_kept_closed()
            os.chown(path, before.st_uid, before.st_gid)
            os.chmod(path, before.st_mode & 0o7777)

    def test_a_link_of_somebody_else_leads_to_its_source(self):
        """Root cached what Bob's link led to; now it leads elsewhere."""
        link = self.path('link')
        os.symlink(self.variant.root, link)
        os.lchown(link, BOB, BOB)
        through = support.Variant(self.variant.handle, link)
        self.assert_code(self.warm([through]), DONE)
        self.damage(self.variant)
        os.unlink(link)
        os.symlink(os.path.join(self.closed, 'foo', '1.0'), link)
        os.lchown(link, BOB, BOB)
        self.assertIn('another user', self.repair(PARTLY)['foo'][1])
        self.assert_kept_closed()
        os.lchown(link, 0, 0)
        self.assertEqual(self.repair(DONE)['foo'][0], 'repaired')  # root's own link

    def test_by_another_user(self):
        """Only what is the user's own, or root's."""
        self.add_as(ANN, self.variant)
        self.damage(self.variant)
        status, reason = self.repair(PARTLY, user=BOB)['foo']
        self.assertEqual(status, 'damaged')
        self.assertIn(f"user {ANN}'s", reason)
        self.assertEqual(self.repair(DONE, user=ANN)['foo'][0], 'repaired')

    def test_who_cannot_write_to_the_cache_any_more(self):
        """The reason says with whose rights it failed; others are repaired."""
        mine = self.make_variant('mine', files={'file': b'mine'})
        self.add_as(BOB, self.variant)
        self.assert_code(self.warm([mine]), DONE)
        for variant in (self.variant, mine):
            self.damage(variant)
        staging = os.path.join(self.cache, '.sys', 'staging')
        os.chown(staging, 0, 0)
        os.chmod(staging, 0o755)
        results = self.repair(PARTLY)
        self.assertEqual(results['mine'], ('repaired', None))
        self.assertEqual(results['foo'][0], 'damaged')
        self.assertIn(f'user {BOB}', results['foo'][1])


if __name__ == '__main__':
    unittest.main()
