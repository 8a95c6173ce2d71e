"""Clients of a daemon that are neither root nor its user; and whom `get` trusts."""
import fcntl
import json
import os
import shutil
import struct
import subprocess
import time
import unittest
import uuid

import daemons
import mounts
import rezprogram
import support
import trees
from support import DONE, FAILED, MISSING, once, wait_until

ANN, BOB, EVE = 60001, 60002, 60003
GROUP = 60004  # Ann and Bob are in it


@unittest.skipUnless(os.geteuid() == 0, 'becoming other users needs root')
@unittest.skipUnless(shutil.which('setpriv'), 'needs setpriv(1)')
class GuestsTest(rezprogram.RezProgramTest, daemons.DaemonTest):
    """A daemon of Ann's, whom the cache belongs to."""

    def setUp(self):
        super().setUp()
        self.program = self.program_for_anybody()
        os.chown(self.cache, ANN, GROUP)
        os.chmod(self.cache, 0o755)

    def start_as(self, user, *arguments, **environment):
        """Starts the program as a user."""
        group = f'--groups={GROUP}' if user in (ANN, BOB) else '--clear-groups'
        return self.start(f'--reuid={user}', f'--regid={user}', group, '--', self.program, '--cache',
                          self.cache, *arguments, program='setpriv', **environment)

    def run_as(self, user, *arguments, **environment):
        """Runs the program as a user."""
        return support.finish(self.start_as(user, *arguments, **environment))

    def serve(self, *arguments, **environment):
        """Starts Ann's daemon."""
        self.process = self.start_as(ANN, 'daemon', '--foreground', '--clients=everybody', *arguments,
                                     **environment)
        wait_until(lambda: os.path.exists(os.path.join(self.cache, '.sys', 'daemon.sock')) or
                   self.process.poll() is not None, 'the daemon to serve')

    def ask(self, user, variant):
        """Has the daemon warm a variant for a user; returns its result."""
        manifest = support.write_manifest(self.path(f'manifest{user}'), [variant])
        result = self.run_as(user, '--daemon=require', '--json', 'warm', manifest)
        self.assert_code(result, DONE, FAILED)
        return result.json()['results'][0]

    def assert_refused_for(self, user, variant, about):
        """It is not copied, and nobody finds it."""
        result = self.ask(user, variant)
        self.assertEqual(result['status'], 'failed', result)
        self.assertIn(about, result['reason'])
        self.assertIsNone(self.get(variant)[0])

    def assert_copied_for(self, user, variant):
        """It is."""
        result = self.ask(user, variant)
        self.assertEqual(result['status'], 'created', result)
        self.assert_cached(variant)


class Roots(GuestsTest):
    """Which roots are copied for guests."""

    def test_only_where_the_package_is(self):
        """By its path or another that leads there; with an index also below."""
        foo, = self.make_package()
        built = self.make_package('built', variants=[['a-1', 'b'], ['a-2']])
        planted = self.make_variant('foo')
        os.chmod(planted.root, 0o755)
        self.serve()
        for root in (planted.root, self.repository, os.path.join(foo.root, 'payload'),
                     built[0].root, os.path.join(foo.root, '..', '..', 'built')):
            self.assert_refused_for(BOB, support.Variant(foo.handle, root), 'not where the package')
        self.assert_refused_for(BOB, support.Variant(foo.handle, '/nowhere'), 'closed')
        self.assert_refused_for(BOB, support.Variant(built[0].handle, foo.root), 'not where')
        link = self.path('link')
        os.symlink(self.repository, link)
        self.assert_copied_for(BOB, support.Variant(foo.handle, os.path.join(link, 'foo', '1.0')))
        self.assertEqual(self.listing()[0]['orig_path'], foo.root)
        self.assert_copied_for(BOB, built[0])
        self.assert_copied_for(EVE, built[1])

    def test_a_package_that_is_a_link(self):
        """It is where the link leads to, if that is open."""
        foo, = self.make_package()
        bar, = self.make_package('bar')
        for variant in (foo, bar):
            elsewhere = self.path('elsewhere', variant.handle['variables']['name'])
            os.makedirs(os.path.dirname(elsewhere), exist_ok=True)
            os.rename(variant.root, elsewhere)
            os.symlink(elsewhere, variant.root)
        os.chown(self.path('elsewhere', 'bar'), ANN, ANN)
        os.chmod(self.path('elsewhere', 'bar'), 0o700)
        self.serve()
        self.assert_copied_for(BOB, foo)
        self.assert_refused_for(BOB, bar, 'closed')

    def test_what_is_closed_to_the_guest(self):
        """The daemon could read it; by a forged handle, too."""
        secret = self.path('home', 'foo', '1.0')
        trees.make_plain_tree(secret, {'plan': b'secret'})
        variant = support.Variant(support.make_handle(self.path('home')), secret)
        home = self.path('home')
        subprocess.run(['chown', '-R', f'{ANN}:{GROUP}', home], check=True)
        self.serve(REZ_PACKAGES_PATH='')
        for mode, closed_to in ((0o700, [BOB, EVE]), (0o750, [EVE]), (0o740, [BOB, EVE]),
                                (0o705, [BOB])):
            os.chmod(home, mode)
            for user in closed_to:
                with self.subTest(mode=oct(mode), user=user):
                    self.assert_refused_for(user, variant, 'closed')
        os.chmod(home, 0o755)
        os.chmod(secret, 0o700)
        self.assert_refused_for(BOB, variant, 'closed')
        os.chmod(secret, 0o750)
        self.assert_refused_for(EVE, variant, 'closed')
        os.chmod(home, 0o710)
        self.assert_copied_for(BOB, variant)  # who is in the group

    def test_acls(self):
        """They count as for the kernel."""
        foo, = self.make_package()
        above = os.path.dirname(foo.root)
        nobody = 0xffffffff
        self.serve()

        def set_acl(*entries, owner=7, group=0, mask=5, other=0):
            every = [(1, owner, nobody), *[(2, bits, uid) for uid, bits in entries],
                     (4, group, nobody), (16, mask, nobody), (32, other, nobody)]
            try:
                os.setxattr(above, 'system.posix_acl_access', struct.pack('<I', 2) +
                            b''.join(struct.pack('<HHI', *entry) for entry in every))
            except OSError as error:
                self.skipTest(f'the file system has no ACLs: {error}')
        set_acl((BOB, 0), group=5, other=5)
        self.assert_refused_for(BOB, foo, 'closed')
        set_acl((ANN, 5), (BOB, 5), mask=4)
        self.assert_refused_for(EVE, foo, 'closed')  # to Ann, too
        set_acl((ANN, 5), (BOB, 5))
        self.assert_refused_for(EVE, foo, 'closed')
        self.assert_copied_for(BOB, foo)

    def test_repositories(self):
        """rez's packages_path; or a setting."""
        foo, = self.make_package()
        other = support.Variant(support.make_handle(self.path('other')),
                                self.path('other', 'foo', '1.0'))
        trees.make_plain_tree(other.root, {'file': b'1'})
        self.serve()
        self.assert_refused_for(BOB, other, '--repositories')
        self.assert_copied_for(BOB, foo)
        self.stop(self.process)
        os.symlink(self.path('other'), self.path('link'))
        self.serve('--repositories', f'/nowhere:{self.path("link")}')
        self.assert_copied_for(BOB, other)
        self.run_program('--cache', self.cache, '--daemon=never', 'remove', foo.argument)
        self.assert_refused_for(BOB, foo, '--repositories')
        self.assert_copied_for(ANN, foo)  # she may have anything copied

    def test_what_is_cached_needs_no_root(self):
        """It is found, whatever a guest says of it."""
        foo, = self.make_package()
        self.serve()
        self.assert_copied_for(BOB, foo)
        self.assertEqual(self.ask(EVE, support.Variant(foo.handle, '/nowhere'))['status'], 'found')

    def test_a_root_that_does_not_answer(self):
        """It holds nobody else up, and is given up after the grace time; or when the daemon ends."""
        foo, = self.make_package()
        bar, = self.make_package('bar')
        mount = self.enter(mounts.slow_mount(os.path.dirname(foo.root), '--delay-ms', '0'))
        os.mkdir(self.path('hanging'))
        os.symlink(mount.path, self.path('hanging', 'foo'))
        variant = support.Variant(support.make_handle(self.path('hanging')),
                                  self.path('hanging', 'foo', '1.0'))
        self.serve('--stall-grace=5', '--repositories', f'{self.path("hanging")}:{self.repository}',
                   **daemons.HANGS)
        with mount.hanging():
            waiting = self.start_as(BOB, '--daemon=require', '--json', 'warm',
                                    support.write_manifest(self.path('manifest'), [variant]))
            self.assert_copied_for(EVE, bar)
            result = support.finish(waiting)
            self.assertIn('does not answer', result.json()['results'][0]['reason'])
            again = self.start_as(BOB, '--daemon=require', '--json', 'warm', self.path('manifest'))
            wait_until(lambda: self.connect().call('status')['counters']['connections'] > 1,
                       'Bob to be connected')
            self.process.terminate()
            self.assertNotEqual(support.finish(again).code, DONE)
            self.assert_code(support.finish(self.process), DONE)


    def test_many_roots_that_do_not_answer(self):
        """One user's do not use up the threads of all."""
        foo, = self.make_package()
        bar, = self.make_package('bar')
        mount = self.enter(mounts.slow_mount(os.path.dirname(foo.root), '--delay-ms', '0'))
        os.mkdir(self.path('hanging'))
        os.symlink(mount.path, self.path('hanging', 'foo'))
        variants = [support.Variant(support.make_handle(self.path('hanging'), version=str(number)),
                                    self.path('hanging', 'foo', str(number)))
                    for number in range(300)]  # more than there are threads
        self.serve('--repositories', f'{self.path("hanging")}:{self.repository}', **daemons.HANGS)
        with mount.hanging():
            waiting = self.start_as(BOB, '--daemon=require', '--json', 'warm',
                                    support.write_manifest(self.path('manifest'), variants))
            tasks = f'/proc/{self.process.pid}/task'
            wait_until(lambda: len(os.listdir(tasks)) > 64, 'threads to hang')
            time.sleep(2)  # then there would be more
            self.assertLess(len(os.listdir(tasks)), 200)
            self.assert_copied_for(EVE, bar)
            self.assertIsNone(waiting.poll())
            self.process.terminate()
            self.assertNotEqual(support.finish(waiting).code, DONE)
            self.assert_code(support.finish(self.process), DONE)


class Queued(GuestsTest):
    """What others put into rez's queue."""

    def queue_as(self, user, variant, mode=0o644):
        """Queues a variant as a resolve of a user does; returns the name."""
        name = f'{variant.handle["variables"]["name"]}-{uuid.uuid4().hex}.json'
        with open(self.path(name), 'w', encoding='utf-8') as file:
            json.dump(variant.handle, file)
        os.chown(self.path(name), user, user)
        os.chmod(self.path(name), mode)
        os.rename(self.path(name), os.path.join(self.pending, name))
        return name

    def wait_until_idle(self):
        """Returns when the daemon has ended its passes over the queue: it holds a lock meanwhile.

        After what came during a pass there is another one, soon."""
        for _ in range(3):
            with open(os.path.join(self.cache, '.sys', 'serving'), 'rb') as file:
                fcntl.flock(file, fcntl.LOCK_EX)
            time.sleep(2)

    def test_what_others_queue(self):
        """Only from repositories that Ann's packages come from, and not what is closed."""
        os.chmod(self.cache, 0o1777)
        foo, bar, closed = (self.make_package(name)[0] for name in ('foo', 'bar', 'closed'))
        above = os.path.dirname(closed.root)
        os.chown(above, ANN, ANN)
        os.chmod(above, 0o700)
        ran = self.path('ran')
        os.mkdir(ran)
        os.chmod(ran, 0o777)
        definition = f'open({ran!r} + "/it", "w")\nname = "foo"\ncachable = bool(1)\n'
        trees.make_plain_tree(self.path('bobs', 'foo', '1.0'), {'package.py': definition.encode()})
        bobs = support.Variant(support.make_handle(self.path('bobs')), self.path('bobs/foo/1.0'))
        self.serve(PKGCACHE_REZ_PYTHON='/usr/bin/python3')
        left = [self.queue_as(BOB, bobs), self.queue_as(ANN, bobs),  # Bob can have moved it there
                self.queue_as(BOB, closed),
                self.queue_as(ANN, closed, mode=0o646)]  # which Bob may have written
        self.queue_as(BOB, foo)
        wait_until(lambda: self.queued() == sorted(left), 'what Bob may have copied')
        self.assert_cached(foo)
        self.queue_as(ANN, bar)
        wait_until(lambda: self.queued() == sorted(left), "what is Ann's own wish")
        self.assertEqual([bool(root) for root in self.get(bar, closed, bobs)], [True, False, False])
        self.assertEqual(os.listdir(ran), [])
        self.wait_until_idle()  # a pass that has left `closed` to others does not look at it again
        self.queue_as(ANN, closed, mode=0o664)  # for a group of her own
        wait_until(lambda: self.queued() == sorted(left[:2]), 'what Ann wants, too')
        self.assertIsNotNone(self.get(closed)[0])


class Trust(GuestsTest):
    """--trust=own: only what root or this user has cached, where nobody else can replace it."""

    def setUp(self):
        super().setUp()
        os.chown(self.cache, 0, 0)
        os.chmod(self.cache, 0o1777)

    def add_as(self, user, variant):
        """Caches a variant as a user."""
        self.assert_code(self.run_as(user, 'add', '--root', variant.root, variant.argument), DONE)

    def own(self, user, variant, *arguments):
        """What `get` returns to a user who trusts nobody else; None: nothing."""
        result = self.run_as(user, '--trust=own', 'get', *arguments, variant.argument)
        self.assert_code(result, DONE, MISSING)
        return result.out.strip() or None

    @once
    def test_whose(self):
        hers, his, roots = (self.make_variant(name) for name in ('hers', 'his', 'roots'))
        self.add_as(ANN, hers)
        self.add_as(BOB, his)
        self.add_as(0, roots)
        for variant, users in ((hers, [ANN]), (his, [BOB]), (roots, [ANN, BOB, EVE])):
            for user in (ANN, BOB, EVE):
                for arguments in ([], [f'--lease={os.getpid()}']):
                    self.assertEqual(bool(self.own(user, variant, *arguments)), user in users,
                                     (variant.handle, user))
        self.assertTrue(self.own(0, roots) and not self.own(0, hers))
        self.assert_code(self.run_as(EVE, 'get', hers.argument), DONE)
        result = self.run_as(EVE, '-v', '--trust=own', 'get', hers.argument)
        self.assertIn('it is cached, but others have put it there', result.err)

    @once
    def test_where_others_can_replace_it(self):
        """In a directory of somebody else's, or one that is not sticky; or in the payload."""
        first, second = self.make_variant('foo'), self.make_variant('foo', version='2.0')
        self.add_as(BOB, first)  # the directory foo is Bob's
        self.add_as(ANN, second)
        self.assertIsNone(self.own(ANN, second))
        variant = self.make_variant('bar')
        self.add_as(ANN, variant)
        root = self.own(ANN, variant)
        for path, mode in ((root, 0o775), (root + '.json', 0o664), (self.cache, 0o777),
                           (os.path.dirname(root), 0o777)):
            before = os.stat(path).st_mode & 0o7777
            os.chmod(path, mode)
            self.assertIsNone(self.own(ANN, variant), path)
            os.chmod(path, before)
        self.assertEqual(self.own(ANN, variant), root)

    @once
    def test_beside_somebody_elses(self):
        """Two slots of one variant: one's own is found, whatever the other's name is."""
        hers = self.make_variant()
        his = support.Variant(hers.handle, self.make_variant().root)
        self.add_as(ANN, hers)
        root = self.own(ANN, hers)
        for name in ('A', 'zzz'):
            copy = os.path.join(os.path.dirname(root), name)
            shutil.copytree(his.root, copy)
            shutil.copy(root + '.json', copy + '.json')
            for path in (copy, copy + '.json'):
                os.chown(path, BOB, BOB)
        self.assertEqual(self.own(ANN, hers), root)
        self.assertIsNone(self.own(EVE, hers))

    def test_the_daemon_is_not_asked(self):
        """It trusts other people than its client does; or the same, if it is told to."""
        os.chmod(self.cache, 0o755)
        os.chown(self.cache, ANN, ANN)
        variant = self.make_variant()
        self.add_as(ANN, variant)
        self.serve()
        self.assertIsNone(self.own(BOB, variant))
        self.assert_code(self.run_as(BOB, '--daemon=require', 'get', variant.argument), DONE)


class Guest(GuestsTest):
    """Who may read a cache of somebody else's, and change nothing."""

    @once
    def test_what_is_not_theirs_to_do(self):
        """doctor finds nothing to do in a cache that is right; what cannot be done is said in one line."""
        variant = self.make_variant()
        other = self.make_variant('other')
        for each in (variant, other):
            result = self.run_as(ANN, 'add', '--root', each.root, each.argument)
            self.assert_code(result, DONE)
        self.assert_code(self.run_as(ANN, 'remove', other.argument), DONE)
        result = self.run_as(EVE, 'doctor')
        self.assert_code(result, DONE)
        self.assertIn('can read it, but not change it', result.out)
        for arguments in ([], ['--max-size', '1B', '--max-variant-days', '1']):
            result = self.run_as(EVE, 'clean', *arguments)
            self.assert_refused(result, FAILED, about=['owner or root can clean it'])
            self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assert_code(self.run_as(EVE, 'clean', '--dry-run'), DONE)
        result = self.run_as(EVE, 'get', f'--lease={os.getpid()}', variant.argument)
        self.assert_refused(result, FAILED, about=['--lease needs the right', 'pkgcache_client_lease'])
        self.assert_code(self.run_as(EVE, 'get', variant.argument), DONE)


class Advice(GuestsTest):
    """doctor says what sharing a cache means."""

    @once
    def test_shared_caches(self):
        self.assert_code(self.warm([self.make_variant()]), DONE)
        for mode, severity in ((0o755, None), (0o1777, 'warning'), (0o2775, 'note')):
            os.chmod(self.cache, mode)
            result = self.run_program('--cache', self.cache, '--json', 'doctor')
            found = [entry for entry in result.json()['findings']
                     if 'each other' in entry['text']]
            self.assertEqual([entry['severity'] for entry in found], [severity] if severity else [])
        os.chmod(self.cache, 0o1777)
        result = self.run_program('--cache', self.cache, '--trust=own', '--json', 'doctor')
        self.assertNotIn('each other', json.dumps(result.json()))


if __name__ == '__main__':
    unittest.main()
