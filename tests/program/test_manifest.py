"""`pkgcache manifest`: what it publishes beside a repository, when that counts, and what --check and doctor say."""
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import unittest

import mounts
import steps
import support
import trees
from support import DONE, FAILED, INTERRUPTED, NOBODY, PARTLY

NONE = 0xffffffff  # the number in an entry of an ACL that names nobody
HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(HERE)), 'docs', 'examples')


class ManifestTest(support.ProgramTest):
    """Has a repository with a package of two variants."""

    def setUp(self):
        super().setUp()
        self.repository = self.path('repository')
        self.environment.update(REZ_PACKAGES_PATH=self.repository, REZ_DEFAULT_CACHABLE='1')

    def make_package(self, name='foo', version='1.0', variants=('a', 'b'), files=None):
        """Writes a package; returns its variants."""
        base = os.path.join(self.repository, name, *[version] if version else [])
        os.makedirs(base)
        self.write_definition(base, name, version, variants)
        made = []
        for index, variant in enumerate(variants):
            root = os.path.join(base, variant)
            trees.make_plain_tree(root, files or {'lib/x': b'hello' * 99, 'lib/y': b'', 'z': 'lib/x'})
            made.append(support.Variant(support.make_handle(self.repository, name, version, index), root))
        return made

    @staticmethod
    def write_definition(base, name, version, variants):
        """Writes package.py."""
        with open(os.path.join(base, 'package.py'), 'w', encoding='utf-8') as file:
            file.write(f'name = {name!r}\nvariants = {[[one] for one in variants]!r}\n')
            file.write(f'version = {version!r}\n' if version else '')

    def publish(self, *arguments, codes=(DONE,), **options):
        """Runs `manifest` on the repository, or on what is named."""
        sources = [one for one in arguments if not str(one).startswith('-')]
        result = self.run_program('--json', 'manifest', *arguments,
                                  *[] if sources else [self.repository], **options)
        self.assert_code(result, *codes)
        return result

    def outcomes(self, *arguments, **options):
        """What `manifest --check` says of each variant."""
        result = self.publish('--check', *arguments, **options)
        return [one['status'] for one in result.json()['results']]

    def manifests(self):
        """The paths of all manifests."""
        top = os.path.join(self.repository, '.pkgcache')
        return sorted(os.path.join(directory, name) for directory, _, names in os.walk(top) for name in names)

    def doctor(self):
        """What doctor says of manifests."""
        result = self.run_program('--json', '--cache', self.path('none'), 'doctor', self.repository)
        return [one for one in result.json()['findings'] if one['subject'].startswith('manifest')]


class Publishing(ManifestTest):
    """What is written."""

    def test_a_random_tree(self):
        """It is sound; the same payload makes the same bytes."""
        variant, = self.make_package(variants=['a'])
        shutil.rmtree(variant.root)
        trees.make_random_tree(variant.root, support.scaled(300, 50))
        result = self.publish()
        entry, = result.json()['results']
        self.assertEqual(entry['handle'], variant.handle)
        self.assertEqual([result.json()[key] for key in ('variants', 'written', 'failed')], [1, 1, 0])
        self.assertEqual(entry['files'], sum(len([one for one in names if not os.path.islink(os.path.join(top, one))])
                                             for top, _, names in os.walk(variant.root)))
        self.assertEqual(self.outcomes(), ['sound'])
        with open(entry['manifest'], 'rb') as file:
            before = file.read()
        self.publish()
        with open(entry['manifest'], 'rb') as file:
            self.assertEqual(file.read(), before)
        self.assertEqual([one['severity'] for one in self.doctor()], ['well'])

    def test_names(self):
        """One for each variant, also where there is no version, and with upper and lower case; no index."""
        self.make_package()
        self.make_package('Foo')
        self.make_package('bare', version=None)
        os.makedirs(os.path.join(self.repository, 'plain', '2', 'lib'))
        self.write_definition(os.path.join(self.repository, 'plain', '2'), 'plain', '2', [])
        self.publish()
        paths = [os.path.relpath(one, self.repository).split('/')[2:4] for one in self.manifests()]
        self.assertEqual(paths, [['Foo', '1.0']] * 2 + [['bare', '_NO_VERSION']] * 2 + [['foo', '1.0']] * 2
                         + [['plain', '2']])
        self.assertEqual(self.outcomes(), ['sound'] * 7)

    def test_what_a_copy_leaves_out(self):
        """Sockets and fifos are left out, with a warning; what cannot be read fails its variant only."""
        one, other = self.make_package()
        os.mkfifo(os.path.join(one.root, 'fifo'))
        result = self.publish()
        self.assertIn('fifo', result.err)
        os.rename(other.root, other.root + '.gone')
        result = self.publish(codes=(PARTLY,))
        self.assertEqual([one['status'] for one in result.json()['results']], ['written', 'failed'])
        self.assert_refused(self.run_program('manifest', self.repository), PARTLY, about=[other.root])
        self.assert_refused(self.run_program('manifest', self.path('nothing')), FAILED)

    def test_all_kinds_of_sources(self):
        """Manifests of warm, URIs and directories."""
        variants = self.make_package()
        listed = support.write_manifest(self.path('list.json'), variants)
        for sources in ([listed], [os.path.join(self.repository, 'foo')],
                        [os.path.join(self.repository, 'foo/1.0/package.py[0]')]):
            shutil.rmtree(os.path.join(self.repository, '.pkgcache'), ignore_errors=True)
            self.publish(*sources)
            self.assertEqual(len(self.manifests()), 1 if sources[0].endswith(']') else 2, sources)

    @support.once
    def test_modes_and_owners(self):
        """Those of the repository, but that nobody else may write; who cannot publish is told before."""
        if os.geteuid() != 0:
            self.skipTest('needs root: other owners')
        variant, _ = self.make_package()
        for top, names, files in os.walk(self.repository):
            for name in ['.', *names, *files]:
                os.chown(os.path.join(top, name), NOBODY, NOBODY)
        os.chmod(variant.root, 0o2775)
        os.chmod(self.repository, 0o2750)
        self.publish()
        for path in (self.manifests()[0], *[os.path.join(self.repository, one) for one in
                                            ('.pkgcache', '.pkgcache/manifests/foo/1.0')]):
            status = os.stat(path)
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o022), (NOBODY, NOBODY, 0), path)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.repository, '.pkgcache')).st_mode), 0o2750)
        self.assertEqual(self.outcomes(), ['sound'] * 2)
        os.chmod(self.repository, 0o755)
        self.publish(uid=NOBODY, program=self.program_for_anybody())
        os.chown(variant.root, 0, 0)
        result = self.publish(uid=NOBODY, program=self.program_for_anybody(), codes=(PARTLY,))
        self.assertIn('only that user and root can publish', result.err)

    @support.once
    def test_a_lease(self):
        """What cannot be opened yet, for a lease or since a directory is renamed just now, is opened again."""
        self.skip_with_sanitizers('they do not work where a program is traced')
        self.make_package(variants=['a'])
        self.publish()
        if not shutil.which('strace'):
            self.skipTest('strace is not installed')
        trace = self.path('trace')
        result = self.run_program('-f', '-o', trace, '-e', 'trace=openat2', '-e', 'inject=openat2:error=EAGAIN:when=1',
                                  support.PROGRAM, 'manifest', self.repository, program=shutil.which('strace'))
        with open(trace, encoding='utf-8', errors='replace') as file:
            if 'INJECTED' not in file.read():
                self.skipTest('strace cannot make calls fail here')
        self.assert_code(result, DONE)
        self.assertEqual(self.outcomes(), ['sound'])

    @support.once
    def test_a_full_disk(self):
        """What was there stays, and nothing is left beside it."""
        variant, = self.make_package(variants=['a'])
        self.publish()
        small = self.enter(mounts.mounted('tmpfs', 64 << 10))
        room = os.statvfs(small)
        trees.make_plain_tree(small, {'filler': bytes(room.f_bavail * room.f_frsize - (64 << 10))})
        trees.make_plain_tree(os.path.join(variant.root, 'more'), {str(one): b'' for one in range(3000)})
        with self.untouched(os.path.join(self.repository, '.pkgcache')):
            result = self.publish(TMPDIR=small, codes=(FAILED,))
        self.assertIn('No space left', result.err)


class Counting(ManifestTest):
    """When a manifest counts, and what --check and doctor say."""

    def check(self, outcome, about=''):
        """Both say so of the first variant, and nothing of the other one."""
        self.assertEqual(self.outcomes(codes=(PARTLY,)), [outcome, 'sound'])
        findings = [one for one in self.doctor() if one['severity'] != 'well']
        self.assertEqual(len(findings), 1, findings)
        self.assertIn(about, findings[0]['text'])

    def setUp(self):
        super().setUp()
        self.variant, _ = self.make_package()
        entries = self.publish().json()['results']
        self.manifest = entries[0]['manifest']

    def test_changes_of_the_payload(self):
        """Those deep down are found by --check alone, and each is named."""
        path = os.path.join(self.variant.root, 'lib', 'x')
        status = os.stat(path)
        with open(path, 'r+b') as file:
            file.write(b'H')
        os.utime(path, ns=(0, status.st_mtime_ns))
        os.chmod(os.path.join(self.variant.root, 'lib', 'y'), 0o600)
        trees.make_plain_tree(os.path.join(self.variant.root, 'lib'), {'new': b''})
        self.assertEqual(self.outcomes(codes=(PARTLY,)), ['differs', 'sound'])
        result = self.run_program('manifest', '--check', self.repository)
        self.assert_code(result, PARTLY)
        for what in ('lib/x has other contents', 'lib/y has another mode', 'lib/new was added',
                     'lib has another modification time'):
            self.assertIn(f'{self.variant.root}/{what}\n', result.out)
        self.assertEqual({one['severity'] for one in self.doctor()}, {'well'})
        self.publish()
        os.unlink(path)
        self.assertIn('lib/x is missing\n', self.run_program('manifest', '--check', self.repository).out)

    def test_attributes_and_links(self):
        """Extended attributes, targets and hard links are compared, too."""
        root = self.variant.root
        try:
            os.setxattr(os.path.join(root, 'lib/y'), 'user.a', b'b')
        except OSError:
            self.skipTest('this file system has no extended attributes')
        trees.make_plain_tree(os.path.join(root, 'lib'), {'l': 'there', 'one': b'1', 'two': b'1'})
        self.publish()
        for name in ('l', 'two'):
            os.unlink(os.path.join(root, 'lib', name))
        os.symlink('where', os.path.join(root, 'lib/l'))
        os.link(os.path.join(root, 'lib/one'), os.path.join(root, 'lib/two'))
        os.setxattr(os.path.join(root, 'lib/y'), 'user.a', b'c')
        result = self.run_program('manifest', '--check', self.repository)
        for what in ('lib/l is a link to something else', 'lib/two has', 'lib/y has other extended attributes'):
            self.assertIn(f'{root}/{what}', result.out)

    def test_a_new_root(self):
        """Older than the payload's root: also if the times of the new one are made the same."""
        status = os.stat(self.variant.root)
        os.rename(self.variant.root, self.variant.root + '.old')
        shutil.copytree(self.variant.root + '.old', self.variant.root, symlinks=True)
        os.utime(self.variant.root, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.check('stale', 'root was changed')

    def test_a_new_definition(self):
        """Written again, replaced by one of another name, or joined by one that rez would prefer."""
        base = os.path.dirname(self.variant.root)
        os.utime(os.path.join(base, 'package.py'))
        self.assertEqual(self.outcomes(codes=(PARTLY,)), ['stale'] * 2)
        self.publish()
        with open(os.path.join(base, 'package.yaml'), 'w', encoding='utf-8') as file:
            file.write('name: foo\n')
        self.assertEqual(self.outcomes(codes=(PARTLY,)), ['stale'] * 2)
        self.assertEqual(len([one for one in self.doctor() if 'package.yaml' in one['text']]), 2)

    def test_damage(self):
        """Cut off, longer, another byte, of another variant, of another version."""
        with open(self.manifest, 'rb') as file:
            whole = file.read()
        with open(self.manifests()[0 if self.manifests()[1] == self.manifest else 1], 'rb') as file:
            other = file.read()
        for damaged in (b'', whole[:-1], whole[:700], whole + b'x', whole[:-20] + b'?' + whole[-19:], other,
                        whole.replace(b'published 1', b'published 7', 1), whole.replace(b'foo', b'fop', 1)):
            with open(self.manifest, 'wb') as file:
                file.write(damaged)
            self.assertEqual(self.outcomes(codes=(PARTLY,)), ['damaged', 'sound'])
        self.check('damaged')

    def test_links(self):
        """The manifest, or a directory on the way: not even of the same owner."""
        for path in (self.manifest, os.path.dirname(self.manifest)):
            os.rename(path, path + '.real')
            os.symlink(path + '.real', path)
            self.assertIn('distrusted', self.outcomes(codes=(PARTLY,)))
            result = self.publish(codes=(PARTLY, FAILED))
            self.assertIn('regular file' if path == self.manifest else 'symbolic link', result.err)
            os.unlink(path)
            os.rename(path + '.real', path)
        os.unlink(self.manifest)
        os.mkfifo(self.manifest)
        self.check('distrusted', 'fifo')

    @support.once
    def test_others_may_write(self):
        """The manifest and each directory up to the repository's: by mode or by an ACL."""
        path = self.manifest
        while len(path) >= len(self.repository):
            mode = stat.S_IMODE(os.stat(path).st_mode)
            for more in (0o020, 0o002):
                os.chmod(path, mode | more)
                self.assertIn('distrusted', self.outcomes(codes=(PARTLY,)), path)
                os.chmod(path, mode)
            path = os.path.dirname(path)
        self.assertEqual(self.outcomes(), ['sound'] * 2)
        entries = ((1, 7, NONE), (2, 7, NOBODY), (4, 5, NONE), (0x10, 7, NONE), (0x20, 5, NONE))
        directory = os.path.dirname(self.manifest)
        os.setxattr(directory, 'system.posix_acl_access',
                    struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *one) for one in entries))
        self.assertEqual(self.outcomes(codes=(PARTLY,)), ['distrusted'] * 2)
        os.removexattr(directory, 'system.posix_acl_access')
        os.chmod(directory, 0o755)
        os.chmod(self.repository, 0o1777)
        self.assert_refused(self.run_program('manifest', self.repository), FAILED, about=['chmod'])

    @support.once
    def test_others_own_it(self):
        """Neither root nor the owner of the payload's root."""
        if os.geteuid() != 0:
            self.skipTest('needs root: other owners')
        path = self.manifest
        while len(path) >= len(self.repository):
            os.chown(path, NOBODY, -1)
            self.assertIn('distrusted', self.outcomes(codes=(PARTLY,)), path)
            os.chown(self.variant.root, NOBODY, -1)
            self.publish('--check', codes=(PARTLY,))
            os.chown(path, 0, -1)
            os.chown(self.variant.root, 0, -1)
            self.publish()
            path = os.path.dirname(path)
        self.assertEqual(self.outcomes(), ['sound'] * 2)

    @support.once
    def test_leftovers(self):
        """What an interrupted run left, or who renamed manifests, doctor names."""
        with open(os.path.join(os.path.dirname(self.manifest), '.x.tmp'), 'wb'):
            pass
        os.makedirs(os.path.join(self.repository, '.pkgcache/manifests/bar/1.0'))
        shutil.copy(self.manifest, os.path.join(self.repository, '.pkgcache/manifests/bar/1.0'))
        findings = [one['text'] for one in self.doctor() if one['severity'] == 'warning']
        self.assertEqual(len(findings), 2, findings)
        self.assertIn('is no manifest', ''.join(findings))
        self.assertIn('of another name', ''.join(findings))


@support.once
class Interrupted(ManifestTest):
    """Ended at any moment, it leaves a manifest that is whole, or none."""

    def need_steps(self):
        self.skip_with_sanitizers('a sanitizer wants to be loaded first')
        if not os.path.exists(steps.STEPS):
            self.skipTest(f'{steps.STEPS} is not built')

    def publish_until(self, number, signal_number):
        """Publishes, and sends itself a signal after a step."""
        return self.run_program('manifest', self.repository, LD_PRELOAD=steps.STEPS, STEPS_AT=str(number),
                                STEPS_SIGNAL=str(int(signal_number)), STEPS_THREADS='main')

    def test_killed_between(self):
        """A directory that was made and is closed to all others yet is opened to them by the next run."""
        self.make_package()
        os.makedirs(os.path.join(self.repository, '.pkgcache', 'manifests'), 0o700)
        os.chmod(os.path.join(self.repository, '.pkgcache'), 0o700)
        self.publish()
        for directory, _, _ in os.walk(os.path.join(self.repository, '.pkgcache')):
            self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o755, directory)

    def test_signals(self):
        """SIGINT ends it soon, or comes too late; nothing lies beside what is published."""
        self.need_steps()
        self.make_package(variants=['a'])
        for number in range(1, 16, 2):
            result = self.publish_until(number, signal.SIGINT)
            self.assert_code(result, DONE, INTERRUPTED)
            self.assertEqual([one for one in self.manifests() if one.endswith('.tmp')], [])
        self.publish()

    def test_killed(self):
        """After each step: of a first run, and of one that replaces."""
        self.need_steps()
        variant, = self.make_package(variants=['a'])
        for first in (True, False):
            for number in steps.numbers(2):
                if first:
                    shutil.rmtree(os.path.join(self.repository, '.pkgcache'), ignore_errors=True)
                else:
                    with open(os.path.join(variant.root, 'lib', 'x'), 'w', encoding='utf-8') as file:
                        file.write(str(number))
                result = self.publish_until(number, signal.SIGKILL)
                if result.code != -signal.SIGKILL:
                    break
                self.assertIn(self.outcomes(codes=(DONE, PARTLY))[0],
                              ('missing', 'sound') if first else ('differs', 'sound'), result)
            self.assert_code(result, DONE)
            self.assertGreater(number, 5)
            self.assertEqual(self.outcomes(), ['sound'])


@support.once
class Rez(ManifestTest):
    """With a real rez, where Python finds one."""

    def setUp(self):
        super().setUp()
        self.python = shutil.which('rez-python') or sys.executable
        self.rez_environment = {key: value for key, value in os.environ.items() if not key.startswith('REZ_')}
        self.rez_environment.update(
            HOME=self.path('home'), REZ_CONFIG_FILE=self.path('rezconfig.py'), GIT_CONFIG_GLOBAL=self.path('gitconfig'))
        found = subprocess.run([self.python, '-c', 'import rez.release_hook'], check=False, env=self.rez_environment,
                               capture_output=True)
        if found.returncode != 0 or not shutil.which('git'):
            self.skipTest('no rez, or no git')
        os.mkdir(self.path('home'))
        with open(self.path('gitconfig'), 'w', encoding='utf-8') as file:
            file.write('[user]\nname = n\nemail = n@example.com\n[init]\ndefaultBranch = main\n')
        with open(self.path('rezconfig.py'), 'w', encoding='utf-8') as file:
            file.write(f'packages_path = [{self.repository!r}]\nrelease_packages_path = {self.repository!r}\n'
                       f'local_packages_path = {self.path("local")!r}\nplugin_path = [{EXAMPLES!r}]\n'
                       'release_hooks = ["pkgcache_manifest"]\ndefault_cachable = True\nplugins = {"release_hook": '
                       f'{{"pkgcache_manifest": {{"program": {support.PROGRAM!r}}}}}}}\n')

    def run_tool(self, *line, cwd=None):
        """Runs git, or Python with rez; returns what it prints."""
        result = subprocess.run(line, cwd=cwd, env=self.rez_environment, check=False, stdin=subprocess.DEVNULL,
                                capture_output=True, encoding='utf-8')
        self.assertEqual(result.returncode, 0, result)
        return result.stdout + result.stderr

    def ask_rez(self, code):
        """Runs a program with rez; returns the JSON that it prints."""
        return json.loads(self.run_tool(self.python, '-c', f'import json\n{code}'))

    def make_source(self):
        """A package in git, with a payload that is copied from it."""
        source = self.path('source')
        trees.make_plain_tree(source, {**{f'data/{number}': b'%d\n' % number * 5000 for number in range(20)}})
        os.makedirs(os.path.join(self.repository, 'bar', '1'))
        self.write_definition(os.path.join(self.repository, 'bar', '1'), 'bar', '1', [])
        self.run_tool('git', 'init', '-q', '--bare', self.path('origin'))
        for line in (['init', '-q'], ['remote', 'add', 'o', self.path('origin')]):
            self.run_tool('git', *line, cwd=source)
        return source

    def release(self, source, version):
        """Commits, and releases; returns what rez-release said."""
        with open(os.path.join(source, 'package.py'), 'w', encoding='utf-8') as file:
            file.write(f"name = 'foo'\nversion = {version!r}\nvariants = [['bar'], ['bar-1']]\n"
                       "build_command = 'mkdir -p $REZ_BUILD_INSTALL_PATH && cp -r {root}/data $REZ_BUILD_INSTALL_PATH'\n")
        for line in (['add', '-A'], ['commit', '-qm', version], ['push', '-qu', 'o', 'main']):
            self.run_tool('git', *line, cwd=source)
        return self.run_tool(self.python, '-c', "import sys; sys.argv = ['rez-release', '-m', 'm']\n"
                             "from rez.cli._main import run\nrun('release')", cwd=source)

    def resolve_and_warm(self, version):
        """What `warm` of a context says of the variant of this version."""
        context = self.path(f'foo-{version}.rxt')
        self.run_tool(self.python, '-c', 'from rez.resolved_context import ResolvedContext\n'
                      f'ResolvedContext(["foo=={version}"]).save({context!r})')
        result = self.run_program('--json', '--cache', self.cache, 'warm', context,
                                  REZ_CONFIG_FILE=self.path('rezconfig.py'))
        self.assert_code(result, DONE)
        return next(one for one in result.json()['results'] if one['handle']['variables']['name'] == 'foo')

    def test_release(self):
        """A release publishes; the next version takes from the cache what is the same; rez finds all."""
        source = self.make_source()
        self.assertNotIn('manifest', self.release(source, '1.0'))
        self.assertEqual(self.outcomes(os.path.join(self.repository, 'foo'),
                                       REZ_CONFIG_FILE=self.path('rezconfig.py')), ['sound'] * 2)
        families = self.ask_rez('from rez.packages import iter_package_families\n'
                                'print(json.dumps(sorted(one.name for one in iter_package_families())))')
        self.assertEqual(families, ['bar', 'foo'])
        os.mkdir(self.cache)
        self.resolve_and_warm('1.0')
        with open(os.path.join(source, 'data', '7'), 'w', encoding='utf-8') as file:
            file.write('changed')
        self.release(source, '1.1')
        second = self.resolve_and_warm('1.1')
        self.assertGreaterEqual(second['reused_files'], 19, second)  # more: rez adds files of its own
        self.assertLess(second['fetched_files'], 5, second)
        found = self.ask_rez('from rez.package_cache import PackageCache\n'
                             f'cached = PackageCache({self.cache!r}).get_variants()\n'
                             'print(json.dumps([[str(one.version), one.root, path, status]\n'
                             '                  for one, path, status in cached if one.name == "foo"]))')
        self.assertEqual(sorted(one[0] for one in found), ['1.0', '1.1'])
        for _, root, path, status in found:
            self.assertEqual(status, 1)
            self.assert_same_tree(root, path)


if __name__ == '__main__':
    unittest.main()
