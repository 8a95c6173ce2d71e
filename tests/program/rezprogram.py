"""What the tests of rez-pkg-cache share: packages with definitions, and rez's queue."""
import json
import os
import re
import signal
import uuid

import support
import trees
from support import DONE

PROGRAM = os.path.join(os.path.dirname(support.PROGRAM), 'rez-pkg-cache')
LINE = re.compile(r'rez-pkg-cache [\d-]{10} [\d:,]{12} PID-\d+ (INFO|WARNING|ERROR) (.*)')


class RezProgramTest(support.ProgramTest):
    """Has a repository, and a cache on the same device that may be used."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.cache)
        self.repository = self.path('repository')
        self.pending = os.path.join(self.cache, '.sys', 'pending')
        self.environment.update(REZ_PACKAGE_CACHE_SAME_DEVICE='1', REZ_PACKAGES_PATH=self.repository,
                                REZ_LOCAL_PACKAGES_PATH=self.path('local'),
                                REZ_TMPDIR='/nonexistent', TZ='UTC')

    def make_package(self, name='foo', version='1.0', variants=None, cachable=True, files=3):
        """Writes a package with payloads; returns its variants."""
        base = os.path.join(self.repository, name, *[version] if version else [])
        os.makedirs(base)
        with open(os.path.join(base, 'package.py'), 'w', encoding='utf-8') as file:
            file.write(f'name = {name!r}\ncachable = {cachable}\n')
            file.write(f'version = {version!r}\n' if version else '')
            file.write(f'variants = {variants!r}\n' if variants else '')
        made = []
        for index, requires in enumerate(variants) if variants else [(None, [])]:
            root = os.path.join(base, *requires)
            trees.make_plain_tree(root if requires else os.path.join(root, 'payload'),
                                  {str(number): uuid.uuid4().bytes * 50 for number in range(files)})
            handle = support.make_handle(self.repository, name, version, index)
            made.append(support.Variant(handle, root))
        return made

    @staticmethod
    def uri(variant):
        """The URI of a variant."""
        variables = variant.handle['variables']
        index = '' if variables['index'] is None else variables['index']
        names = [variables[key] for key in ('location', 'name', 'version') if variables[key]]
        return f'{"/".join(names)}/package.py[{index}]'

    def queue(self, *variants):
        """Writes what a resolve writes; returns the names."""
        names = []
        os.makedirs(self.pending, exist_ok=True)
        for variant in variants:
            variables = variant.handle['variables']
            qualified = '-'.join(filter(None, (variables['name'], variables['version'])))
            names.append(f'{qualified}-{uuid.uuid4().hex}.json')
            with open(os.path.join(self.pending, names[-1]), 'w', encoding='utf-8') as file:
                json.dump(variant.handle, file)
        return names

    def queued(self):
        """The names in the queue."""
        return sorted(os.listdir(self.pending))

    def wait_served(self):
        """Returns when the queue is empty."""
        support.wait_until(lambda: not self.queued(), 'the queue to be empty')

    def run_rez(self, *arguments, **options):
        """Runs rez-pkg-cache to its end."""
        return self.run_program(*arguments, program=PROGRAM, **options)

    def daemon(self, **options):
        """Runs `--daemon`, which returns at once and says nothing."""
        result = self.run_rez('--daemon', self.cache, **options)
        self.assertEqual((result.code, result.out, result.err), (DONE, '', ''))

    def log(self):
        """All lines of the log: (level, message)."""
        directory = os.path.join(self.cache, '.sys', 'log')
        lines = []
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            with open(os.path.join(directory, name), encoding='utf-8') as file:
                lines += [LINE.fullmatch(line.rstrip('\n')).groups() for line in file]
        return lines

    def messages(self, result):
        """What it said, without the time of day: (level, message); other lines as they are."""
        said = []
        for line in result.err.splitlines():
            match = re.fullmatch(r'\d\d:\d\d:\d\d (INFO|WARNING|ERROR) +(.*)', line)
            said.append(match.groups() if match else line)
        return said


class ServingTest(RezProgramTest):
    """Sees all daemons of a test to their end."""

    def setUp(self):
        super().setUp()
        self.environment['TEST_DAEMON'] = self.directory
        support.at_the_end(self.addCleanup, self.end_daemons)

    def daemons(self):
        """The processes that serve this test's cache."""
        mark = f'TEST_DAEMON={self.directory}\0'.encode()
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/environ', 'rb') as file:
                    if mark in file.read():
                        found.append(int(pid))
            except OSError:
                pass
        return found

    def end_daemons(self):
        """Kills what is left."""
        for pid in self.daemons():
            os.kill(pid, signal.SIGKILL)

    def wait_idle(self):
        """Returns when no daemon is left."""
        support.wait_until(lambda: not self.daemons(), 'daemons to end')

    def serve(self, **environment):
        """Runs the daemon until it has ended."""
        self.daemon(**environment)
        self.wait_idle()

    def serve_after_kill(self):
        """Serves the whole queue. The lock of a killed daemon stays for a moment after its process."""
        def served():
            self.serve()
            return self.queued() == []
        support.wait_until(served, 'the kernel to let go of what was killed')

    def note_cleaned(self):
        """Makes a cache that was cleaned just now."""
        os.makedirs(self.pending, exist_ok=True)
        with open(os.path.join(self.cache, '.sys', 'served'), 'w', encoding='utf-8'):
            pass

    @staticmethod
    def behind(slow, variant):
        """The variant as it is found through a mount of its repository."""
        variables = {**variant.handle['variables'], 'location': slow.path}
        root = slow.path + variant.root.removeprefix(variant.handle['variables']['location'])
        return support.Variant({**variant.handle, 'variables': variables}, root)
