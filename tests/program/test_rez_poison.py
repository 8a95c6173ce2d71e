"""rez-pkg-cache --daemon: what is in rez's queue and holds no handle."""
import json
import os
import time
import unittest

import rezprogram
import support
from rezprogram import ServingTest
from support import DONE, once


class Poison(ServingTest):
    """Files in the queue that hold no handle: out of the way, and never lost."""

    OLD = time.time() - 60

    def write(self, name, contents, when=OLD):
        """Writes a file into the queue."""
        os.makedirs(self.pending, exist_ok=True)
        path = os.path.join(self.pending, name)
        with open(path, 'wb') as file:
            file.write(contents)
        os.utime(path, (when, when))

    def set_aside(self):
        """What was set aside: {original name: (name there, reason)}."""
        directory = os.path.join(self.cache, '.sys', 'poison')
        found = {}
        for name in os.listdir(directory) if os.path.isdir(directory) else []:
            if not name.endswith('.reason'):
                with open(os.path.join(directory, name + '.reason'), encoding='utf-8') as file:
                    found[name[:-33]] = (os.path.join(directory, name), file.read())
        return found

    def test_set_aside(self):
        """Each with its reason, and in the log; what is good is served."""
        good, = self.make_package()
        other_kind = json.dumps({**good.handle, 'key': 1}).encode()
        contents = {'empty': b'', 'cut.json': json.dumps(good.handle).encode()[:40],
                    'no json': b'garbage', 'list.json': b'[]', 'kind.json': other_kind,
                    'bytes\xff': b'\xff\xfe', 'large.json': b' ' * (2 << 20), 'deep': b'[' * 10000}
        for name, text in contents.items():
            self.write(name, text)
        os.mkfifo(os.path.join(self.pending, 'fifo'))
        os.symlink('/etc/passwd', os.path.join(self.pending, 'link'))
        os.mkdir(os.path.join(self.pending, 'directory'))
        self.queue(good)
        self.serve()
        self.assertEqual(self.queued(), [])
        self.assert_cached(good)
        found = self.set_aside()
        self.assertEqual(sorted(found), sorted([*contents, 'fifo', 'link', 'directory']))
        for name, text in contents.items():
            with open(found[name][0], 'rb') as file:
                self.assertEqual(file.read(), text, name)
        for name, words in (('empty', 'not JSON'), ('fifo', 'fifo'), ('link', 'symbolic link'),
                            ('directory', 'directory'), ('large.json', 'larger'),
                            ('kind.json', 'key'), ('list.json', 'handle')):
            self.assertIn(words, found[name][1])
        warnings = ' '.join(text for level, text in self.log() if level == 'WARNING')
        for name in found:
            self.assertIn(f'/.sys/poison/{name[:5]}', warnings)
        result = self.run_program('--cache', self.cache, 'doctor')
        self.assertNotIn('poison is not', result.out)

    def test_other_kinds(self):
        """Have no payload: rez's daemon says so, and takes them off the queue. Nothing is left of them."""
        good, = self.make_package()
        kinds = {'duo': {'key': 'filesystem.variant.combined', 'ext': 'py', 'repository_type': 'filesystem'},
                 'heap': {'key': 'memory.variant', 'repository_type': 'memory'},
                 'row': {'key': 'database.variant', 'repository_type': 'database'}}
        for _ in range(2):
            for name, kind in kinds.items():
                variables = {**good.handle['variables'], **kind, 'name': name}
                del variables['key']
                handle = {'key': kind['key'], 'variables': variables}
                self.write(f'{name}-1.0-{os.urandom(16).hex()}.json', json.dumps(handle).encode())
            self.queue(good)
            self.serve()
        self.assertEqual(self.queued(), [])
        self.assert_cached(good)
        self.assertEqual(self.set_aside(), {})
        warnings = [text for level, text in self.log() if level == 'WARNING']
        for name in kinds:
            self.assertEqual(len([text for text in warnings if 'does not have a root: ' + name in text]), 2)

    def test_no_more_than_a_hundred(self):
        """Are kept: the oldest go first. doctor counts them, clean deletes them with the logs."""
        good, = self.make_package()
        for number in range(110):
            self.write(f'bad-{number}', b'')
        self.queue(good)
        self.serve()
        self.assertEqual(len(self.set_aside()), 100)
        result = self.run_program('--cache', self.cache, 'doctor')
        self.assertIn("100 files of rez's queue held no handle", result.out)
        self.assert_code(self.run_program('--cache', self.cache, 'clean'), DONE)
        self.assertEqual(len(self.set_aside()), 100)  # they are of today

    def test_half_written(self):
        """A file that somebody is writing is waited for."""
        good, = self.make_package()
        text = json.dumps(good.handle).encode()
        self.write('foo-1.0-1.json', text[:50], time.time())
        self.daemon()
        support.wait_until(self.daemons, 'the daemon')
        time.sleep(0.3)
        self.write('foo-1.0-1.json', text, time.time())
        self.wait_served()
        self.wait_idle()
        self.assertEqual(self.set_aside(), {})
        self.assert_cached(good)

    @once
    def test_hidden(self):
        """What begins with a dot is on its way, and nobody's business."""
        self.note_cleaned()
        self.write('.foo.tmp', b'garbage')
        with self.untouched(self.cache):
            self.daemon()
            self.assertEqual(self.daemons(), [])

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    @once
    def test_of_another_user(self):
        """What a user may not read is left to those who may."""
        os.makedirs(self.pending)
        os.chmod(self.directory, 0o755)
        for path in (self.cache, os.path.join(self.cache, '.sys'), self.pending):
            os.chmod(path, 0o777)
        self.write('foo', b'secret')
        os.chmod(os.path.join(self.pending, 'foo'), 0o600)
        program = self.path('rez-pkg-cache')
        with open(rezprogram.PROGRAM, 'rb') as source, open(program, 'wb') as target:
            target.write(source.read())
        os.chmod(program, 0o755)
        result = self.run_program('--daemon', self.cache, program=program, uid=support.NOBODY)
        self.assert_code(result, DONE)
        self.wait_idle()
        self.assertEqual(self.queued(), ['foo'])
        self.assertIn('foo stays where it is', ' '.join(text for _, text in self.log()))


if __name__ == '__main__':
    unittest.main()
