"""Published manifests as bytes (docs/manifests.md): takes one apart, and makes one of which anything may be wrong.

Digests and frames are made by xxhsum(1) and zstd(1).
"""
import os
import re
import subprocess
from typing import NamedTuple

BLOCK = 512


def run(data, *command):
    """What a program makes of bytes."""
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def digest(data):
    """The XXH3-128 of bytes, in hexadecimal."""
    return run(data, 'xxhsum', '-q', '-H2', '-').split()[0]


def padded(data):
    """With zeros up to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def frame(data, path):
    """A frame of zstd with its size and a checksum; `path` is where a file may be."""
    with open(path, 'wb') as file:
        file.write(data)
    return run(b'', 'zstd', '-q', '-c', '--check', path)


class ManifestFile(NamedTuple):
    """What is in a manifest.

    head     records of the head, but for the end; the second has the numbers
    entries  records of the entries
    """
    head: list
    entries: list

    @classmethod
    def read(cls, path):
        """Of a file that `pkgcache manifest` has made."""
        with open(path, 'rb') as file:
            data = file.read()
        end = re.search(rb'\0end [0-9a-f]{32}\0', data).end()
        entries = run(data[end + -end % BLOCK:], 'zstd', '-q', '-d', '-c')
        return cls(data[:end].split(b'\0')[:-2], entries.rstrip(b'\0').split(b'\0'))

    def paths(self):
        """Of all entries but the root."""
        return [os.fsdecode(one.split(b' ', 5)[5]) for one in self.entries[1:] if re.match(rb'[fdl] \d+ \d+ ', one)]

    def replaced(self, old, new):
        """With a record of the entries, or several, in place of the one that matches."""
        found = [one for one in self.entries if re.search(old, one)]
        assert len(found) == 1, (old, self.entries)
        place = self.entries.index(found[0])
        records = new(found[0]) if callable(new) else new
        return self._replace(entries=self.entries[:place] + records + self.entries[place + 1:])

    def write(self, path, numbers=None):
        """Writes it: what the head says of the entries is right, unless `numbers` are given."""
        entries = padded(b''.join(one + b'\0' for one in self.entries))
        stored = frame(entries, path)
        whole = [one.split(b' ') for one in self.entries if re.match(rb'[fdl] \d+ \d+ ', one)]
        files = [int(one[2]) for one in whole if one[0] == b'f']
        said = numbers or (len(whole), len(files), sum(files), len(stored), len(entries))
        head = self.head[:1] + [b'variant %d %d %d %d %d ' % said + digest(entries)] + self.head[2:]
        records = b''.join(one + b'\0' for one in head)
        with open(path, 'wb') as file:
            file.write(padded(records + b'end ' + digest(records) + b'\0') + stored)
