"""The Debian packages, installed, used and removed in a fresh Debian; what is in the RPM.

`./dev package` has made them in build-package. Needs root, and Debian's mirror.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

import support

PACKAGES = os.path.join(support.TOP, 'build-package')
SUITE = 'bookworm'
MIRROR = 'http://deb.debian.org/debian'
# Beside our packages: a compiler for programs with the libraries, and what the units are for.
WANTED = ['gcc', 'libc6-dev', 'pkg-config', 'procps', 'systemd', 'util-linux']
USER = 'pkgcache'
SYSTEM_CACHE = '/var/cache/pkgcache'


def enter_world():
    """Starts this test program again where its mounts and processes end with it."""
    if 'PKGCACHE_TEST_WORLD' not in os.environ and not os.geteuid():
        world = os.path.join(support.HERE, 'world.py')
        os.execv(sys.executable, [sys.executable, world, *sys.orig_argv])


enter_world()


class Fresh(support.ProgramTest):
    """One machine for all steps: the order is that of an administrator."""

    def setUp(self):
        super().setUp()
        if os.geteuid():
            raise unittest.SkipTest('chroot needs root')
        if not shutil.which('debootstrap'):
            raise unittest.SkipTest('debootstrap is not installed')
        if not glob.glob(os.path.join(PACKAGES, '*.deb')):
            raise unittest.SkipTest('there are no packages: ./dev package makes them')
        self.root = self.path('debian')

    def run_here(self, *command):
        """Runs a command of this machine; returns what it printed."""
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors='backslashreplace', check=False)
        self.assertEqual(result.returncode, 0, f'{command}: {result.stdout[-3000:]}')
        return result.stdout

    def run_there(self, script, *arguments, user='root'):
        """Runs a shell script of one user on the fresh machine; returns what it printed."""
        return self.run_here('chroot', self.root, 'setpriv', f'--reuid={user}', f'--regid={user}',
                             '--init-groups', 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
                             'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8',
                             'sh', '-euc', script, 'sh', *arguments)

    def make_machine(self):
        """A Debian with nothing in it, and our packages beside."""
        self.run_here('debootstrap', '--variant=minbase', SUITE, self.root, MIRROR)
        proc = os.path.join(self.root, 'proc')
        self.run_here('mount', '-t', 'proc', 'proc', proc)
        self.addCleanup(self.run_here, 'umount', '--lazy', proc)
        shutil.copy('/etc/resolv.conf', os.path.join(self.root, 'etc'))
        # No service is started: there is no systemd that runs.
        with open(os.path.join(self.root, 'usr/sbin/policy-rc.d'), 'w', encoding='utf-8') as file:
            file.write('#!/bin/sh\nexit 101\n')
        os.chmod(file.name, 0o755)
        os.mkdir(os.path.join(self.root, 'packages'))
        for path in glob.glob(os.path.join(PACKAGES, '*.deb')):
            if '-dbgsym_' not in path:
                shutil.copy(path, os.path.join(self.root, 'packages'))

    def install(self):
        """As a user installs files."""
        self.run_there('apt-get -qq update; apt-get -qq -y --no-install-recommends install "$@"',
                       *WANTED)
        self.run_there('apt-get -qq -y --no-install-recommends install /packages/*.deb')
        self.assertRegex(self.run_there('pkgcache --version'), r'^pkgcache \d+\.\d+\.\d+')
        self.run_there('rez-pkg-cache --help; test -s /usr/share/man/man1/pkgcache.1.gz')

    def check_units(self):
        """systemd takes them, none is enabled, and what they start works as their user."""
        self.run_there('systemd-analyze verify --man=no /lib/systemd/system/pkgcache*')
        self.run_there('XDG_RUNTIME_DIR=/tmp systemd-analyze --user verify --man=no /usr/lib/systemd/user/pkgcache*')
        enabled = self.run_there('find /etc/systemd -name "pkgcache*"')
        self.assertEqual(enabled, '')
        owner = self.run_there(f'stat -c "%U %G %a" {SYSTEM_CACHE}')
        self.assertEqual(owner.strip(), f'{USER} {USER} 755')
        with open(os.path.join(self.root, 'lib/systemd/system/pkgcache.service'),
                  encoding='utf-8') as file:
            unit = file.read()
        start = re.search(r'^ExecStart=(.*)$', unit, re.MULTILINE)[1]
        self.assertIn(f'User={USER}', unit)
        self.run_there('mkdir -p /run/pkgcache; chown pkgcache /run/pkgcache')  # systemd's part
        self.run_there(f'export PKGCACHE_DIR={SYSTEM_CACHE}; '
                       'systemd-socket-activate --listen=/run/pkgcache/daemon.sock '
                       f'--setenv=PKGCACHE_DIR {start} & daemon=$!; '
                       'until [ -S /run/pkgcache/daemon.sock ]; do kill -0 $daemon; sleep 0.1; done; '
                       'pkgcache --daemon=require status; '
                       'kill $daemon; wait $daemon || [ $? -eq 143 ]', user=USER)
        self.run_there('rm -r /run/pkgcache')

    def configure(self):
        """The system's settings: commented out, changed as README says, and kept by an upgrade."""
        conffiles = self.run_there("dpkg-query -W -f '${Conffiles}' pkgcache")
        self.assertIn('/etc/pkgcache.conf', conffiles)
        self.run_there('export HOME=/root; pkgcache config --check; '
                       'pkgcache config | grep -E "^cache = /root/.*# built in"')
        with open(os.path.join(support.TOP, 'README.md'), encoding='utf-8') as file:
            command = re.search(r"^    (sed -i .* /etc/pkgcache\.conf)", file.read(), re.MULTILINE)[1]
        self.run_there(command)
        for again in ('', 'apt-get -qq -y --no-install-recommends --reinstall install /packages/pkgcache_*.deb'):
            self.run_there(f'{again}\nexport HOME=/root; pkgcache config | grep -E '
                           f'"^cache = {SYSTEM_CACHE} +# /etc/pkgcache.conf, line [0-9]+$"')

    def build_with_libraries(self):
        """The first lines of docs/library.md, with each example."""
        self.run_there('for name in look_up look_up_many list warm; do '
                       'cc /usr/share/doc/libpkgcache-dev/examples/$name.c '
                       '$(pkg-config --cflags --libs libpkgcache) -o /tmp/$name; done; '
                       'ldd /tmp/look_up | grep "libpkgcache.so.0 => /"; '
                       '/tmp/list /tmp/cache || :')

    def remove(self):
        """Nothing stays."""
        self.run_there('apt-get -qq -y purge pkgcache libpkgcache0 libcopyengine0 libpkgcache-dev')
        left = self.run_there('find / -xdev -path /packages -prune -o '
                              r'\( -name "*pkgcache*" -o -name "*copyengine*" \) -print | '
                              'grep -v -e /proc/ -e /var/lib/dpkg/ -e /var/lib/apt/ -e /var/cache/apt/ || :')
        self.assertEqual(left, '')

    @support.once
    def test_from_install_to_purge(self):
        """Install, run as a service, set up, build with the libraries, uninstall."""
        self.make_machine()
        self.install()
        self.check_units()
        self.configure()
        self.build_with_libraries()
        self.remove()

    @support.once
    def test_rpm(self):
        """Has the programs, the libraries, the units and the manual."""
        if not shutil.which('rpm'):
            raise unittest.SkipTest('rpm is not installed')
        packages = [path for path in glob.glob(os.path.join(PACKAGES, '*.rpm'))
                    if not path.endswith('.src.rpm') and '-debug' not in path]
        listed = self.run_here('rpm', '-q', '-l', '-p', *packages)
        for name in ('/usr/bin/pkgcache', '/usr/bin/rez-pkg-cache', 'system/pkgcache.service',
                     'user/pkgcache.socket', 'man1/pkgcache.1', 'libpkgcache.so.0',
                     'libcopyengine.so.0', 'pkgcache/pkgcache.h', 'libpkgcache.pc',
                     '/etc/pkgcache.conf', 'sysusers.d/pkgcache.conf', 'tmpfiles.d/pkgcache.conf'):
            self.assertIn(name, listed)


if __name__ == '__main__':
    unittest.main()
