"""What is in use stays: leases, and what /proc shows of processes."""
import glob
import os
import shutil
import subprocess
import sys
import unittest

import support
import test_upkeep
from support import DONE, FAILED, MISSING, USAGE

NOT_ROOT = 'becoming another user, or another root, needs root'
SOMEBODY = 60123
HOLD = 'print("ready", flush=True); import sys; sys.stdin.read()'


class InUseTest(test_upkeep.UpkeepTest):
    """Has a variant with a program in it that nobody has used for long."""

    def setUp(self):
        super().setUp()
        self.variant = self.make_variant('tool', {'bin/data': b'x' * 10000, 'lib/a': b'1'})
        shutil.copy(shutil.which('sleep'), os.path.join(self.variant.root, 'bin', 'sleep'))
        self.assert_code(self.warm([self.variant]), DONE)
        self.payload = self.root(self.variant)
        self.age(self.variant, 100)

    def hold(self, code='', *arguments, **options):
        """Starts a process that runs this code first, and then does nothing."""
        process = support.spawn([sys.executable, '-c', code + '\n' + HOLD, *arguments],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        self.assertEqual(process.stdout.readline(), b'ready\n')
        return process

    def assert_kept(self, reason='in use'):
        """Clean leaves the variant, and says why: for its age, and for its size."""
        for options in (['--max-size=1K'], ['--max-size=1K', '--max-variant-days=0']):
            self.age(self.variant, 100)
            document = self.clean(*options)
            self.assertEqual([item['path'] for item in document['kept']], [self.payload], document)
            self.assertIn(reason, document['kept'][0]['reason'])
            self.assertEqual(self.root(self.variant), self.payload)

    def assert_goes(self):
        """Clean takes the variant."""
        self.age(self.variant, 100)
        self.clean()
        self.assertIsNone(self.root(self.variant))

    def assert_kept_while(self, process):
        """Clean leaves the variant until the process has ended."""
        self.assert_kept()
        support.kill_process(process)
        self.assert_goes()


class WhatProcShows(InUseTest):
    """Each way to use a payload."""

    def test_an_open_file(self):
        """For reading."""
        code = 'import sys; kept = open(sys.argv[1], "rb")'
        self.assert_kept_while(self.hold(code, os.path.join(self.payload, 'bin', 'data')))

    def test_a_mapping(self):
        """Of a file that is closed."""
        code = ('import mmap, sys\n'
                'with open(sys.argv[1], "rb") as file:\n'
                '    kept = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)')
        self.assert_kept_while(self.hold(code, os.path.join(self.payload, 'bin', 'data')))

    def test_a_working_directory(self):
        """Somewhere inside."""
        self.assert_kept_while(self.hold(cwd=os.path.join(self.payload, 'lib')))

    @unittest.skipIf(os.geteuid(), NOT_ROOT)
    def test_a_root(self):
        """By chroot."""
        self.assert_kept_while(self.hold('import os, sys; os.chroot(sys.argv[1])', self.payload))

    def test_a_program(self):
        """That runs from there."""
        process = support.spawn([os.path.join(self.payload, 'bin', 'sleep'), '1000'])
        support.at_the_end(self.addCleanup, support.kill_process, process)
        self.assert_kept_while(process)

    def test_an_environment(self):
        """As rez makes it: a path among others. So long that it is read in pieces."""
        value = 'y' * 65530 + ':' + self.payload + '/bin:' + 'z' * 50000
        self.assert_kept_while(self.hold(env={**self.environment, 'SOME_PATH': value}))

    def test_under_another_name(self):
        """Through a symbolic link, as an environment may name it."""
        os.symlink(self.cache, self.path('link'))
        path = self.payload.replace(self.cache, self.path('link'))
        self.assert_kept_while(self.hold(env={**self.environment, 'A': path}))

    @unittest.skipIf(os.geteuid(), NOT_ROOT)
    def test_a_bind_mount(self):
        """Of the payload, in a mount namespace of its own, as containers have it."""
        point = self.path('point')
        os.mkdir(point)
        process = support.spawn(
            ['unshare', '--mount', '--propagation', 'private', 'sh', '-c',
             'mount --bind "$0" "$1" && echo ready && exec sleep 1000', self.payload, point],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        if process.stdout.readline() != b'ready\n':
            self.skipTest(f'unshare, mount: {process.stderr.read()!r}')
        self.assert_kept_while(process)

    def test_what_was_removed(self):
        """Its bytes stay until nobody works there any more."""
        process = self.hold(cwd=self.payload)
        self.assert_code(self.run_program('--cache', self.cache, 'remove', self.variant.argument),
                         DONE)
        trash = os.path.join(self.cache, '.sys', 'to_delete')
        self.assertEqual(len(self.clean()['kept']), 1)
        self.assertEqual(len(os.listdir(trash)), 1)
        support.kill_process(process)
        self.assertEqual(len(self.clean()['deleted']), 1)
        self.assertEqual(os.listdir(trash), [])

    def test_other_variants_go(self):
        """Only what is used stays."""
        others = self.fill(3)
        self.hold(cwd=self.payload)
        self.clean('--max-size=1K')
        self.assertEqual(self.there([self.variant, *others]), [1, 0, 0, 0])


@unittest.skipIf(os.geteuid(), NOT_ROOT)
class OtherUsers(InUseTest):
    """Processes of other users."""

    def setUp(self):
        super().setUp()
        for directory, _, _ in os.walk(self.cache):
            os.chmod(directory, 0o777)
        for name in glob.glob(os.path.join(self.cache, '.sys', '*.lock')):
            os.chmod(name, 0o666)

    def test_root_sees_them(self):
        """All of them."""
        os.chmod(self.directory, 0o755)
        process = support.spawn(['sleep', '1000'], uid=support.NOBODY, cwd=self.payload)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        self.assert_kept_while(process)

    def test_others_do_not(self):
        """So what was used within a day stays, and why is said; what was not, goes."""
        as_nobody = {'uid': support.NOBODY, 'program': self.program_for_anybody()}
        os.chmod(self.directory, 0o755)
        process = support.spawn(['sleep', '1000'], uid=SOMEBODY, cwd=self.payload)
        support.at_the_end(self.addCleanup, support.kill_process, process)
        self.age(self.variant, 0.5)
        document = self.clean('--max-size=1K', **as_nobody)
        self.assertIn('root', document['kept'][0]['reason'])
        self.assertEqual(self.root(self.variant), self.payload)
        self.age(self.variant, 100)
        self.clean('--max-size=1K', **as_nobody)
        self.assertIsNone(self.root(self.variant))


class Leases(InUseTest):
    """`get --lease`."""

    def lease(self, process, *variants):
        """Leases for a process."""
        arguments = [variant.argument for variant in variants or [self.variant]]
        return self.run_program('--cache', self.cache, 'get', f'--lease={process.pid}', *arguments)

    def files(self):
        """The leases."""
        return glob.glob(os.path.join(self.cache, '.sys', 'leases', '*'))

    def rewrite(self, old, new):
        """Changes what the only lease says."""
        (path,) = self.files()
        with open(path, encoding='ascii') as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text.replace(old, new))
        return path

    def test_until_the_process_ends(self):
        """Then clean deletes the lease, and may take the variant."""
        process = self.hold()
        result = self.lease(process)
        self.assert_code(result, DONE)
        self.assertEqual(result.out.strip(), self.payload)
        self.assert_code(self.lease(process), DONE)
        self.assertEqual(len(self.files()), 1)
        self.assert_kept('leased')
        support.kill_process(process)
        self.assert_goes()
        self.assertEqual(self.files(), [])

    def test_two_processes(self):
        """The variant stays until the last one ends."""
        first, second = self.hold(), self.hold()
        for process in (first, second):
            self.assert_code(self.lease(process), DONE)
        support.kill_process(first)
        self.assert_kept('leased')
        support.kill_process(second)
        self.assert_goes()

    def test_a_process_id_that_is_used_again(self):
        """The start time tells: the lease has ended."""
        process = self.hold()
        self.lease(process)
        with open(f'/proc/{process.pid}/stat', encoding='utf-8') as file:
            start = file.read().rpartition(')')[2].split()[19]
        self.rewrite(f'start {start}\n', f'start {int(start) - 1}\n')
        self.assert_goes()

    def test_another_boot(self):
        """A lease from before this boot has ended with it; one of another machine has not, yet."""
        with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
            boot = file.read().strip()
        process = self.hold()
        self.lease(process)
        path = self.rewrite(boot, '0' * 8 + boot[8:])
        self.assert_kept('leased')
        before = support.boot_time() - 1000
        os.utime(path, (before, before))
        self.assert_goes()

    def test_one_that_nobody_can_read(self):
        """It holds for a month."""
        self.lease(self.hold())
        (path,) = self.files()
        with open(path, 'w', encoding='ascii') as file:
            file.write('nonsense')
        self.assert_kept('leased')
        os.utime(path, (1, 1))
        self.assert_goes()

    def test_missing_variants(self):
        """They are not leased."""
        other = self.make_variant('other')
        result = self.lease(self.hold(), other)
        self.assert_code(result, MISSING)
        self.assertEqual(result.out, '\n')
        self.assertEqual(self.files(), [])

    def test_wrong_processes(self):
        """Are refused, and nothing is leased."""
        process = self.hold()
        support.kill_process(process)
        self.assert_refused(self.lease(process), FAILED, about=[process.pid])
        for number in ('0', '-1', 'x', '', '99999999999', '1 '):
            result = self.run_program('--cache', self.cache, 'get', f'--lease={number}',
                                      self.variant.argument)
            self.assert_refused(result, USAGE, about=['--lease'])
        self.assertEqual(self.files(), [])

    def test_remove_is_not_kept_from_it(self):
        """Who names a variant means it."""
        self.lease(self.hold())
        result = self.run_program('--cache', self.cache, 'remove', self.variant.argument)
        self.assert_code(result, DONE)
        self.assertIsNone(self.root(self.variant))

    def test_beside_a_clean(self):
        """Whatever the order: what `get --lease` says is there stays there."""
        process = self.hold()
        for _ in range(support.scaled(30, 5)):
            self.assert_code(self.warm([self.variant]), DONE)
            self.age(self.variant, 100)
            cleaner = self.start('--cache', self.cache, 'clean')
            root = self.lease(process).out.strip()
            self.assert_code(support.finish(cleaner), DONE)
            if root:
                self.assertEqual(self.root(self.variant), root)
            for path in self.files():
                os.unlink(path)


if __name__ == '__main__':
    unittest.main()
