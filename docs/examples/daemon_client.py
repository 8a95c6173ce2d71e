"""A client of pkgcache's daemon, to be copied: one file, and nothing but Python 3's own library.

    with Daemon('/var/cache/pkgcache') as daemon:
        root = daemon.get(handle)                            # None: not cached
        roots = daemon.get_many(handles)                     # a look-up each, one message
        daemon.warm([{'handle': handle, 'root': source}])    # returns when it is cached
        daemon.warm(sources=['/show/shot.rxt'])              # what a context resolved to
        root = daemon.lease(handle)                          # stays until this is closed
        handles = [variant['handle'] for variant in daemon.list()]

docs/daemon.md has all messages. One object is for one thread at a time.
"""
import json
import os
import socket


class DaemonError(Exception):
    """The daemon answered with an error; `code` is its number."""

    def __init__(self, error):
        super().__init__(error.get('message'))
        self.code = error.get('code')
        self.errno = error.get('data', {}).get('errno')


BUSY = -32001  # too much waits already: try again later


def address(path):
    """What to connect to; the kernel takes at most 107 bytes, and paths are longer."""
    if len(os.fsencode(path)) <= 107:
        return path, None
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    return f'/proc/self/fd/{directory}/{os.path.basename(path)}', directory


class Daemon:
    """A connection to the daemon of a cache."""

    def __init__(self, cache=None, path=None, timeout=None):
        """Raises OSError when there is no daemon: then look into the cache yourself."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        short, directory = address(path or os.path.join(cache, '.sys', 'daemon.sock'))
        try:
            self.socket.connect(short)
        except OSError:
            self.socket.close()
            raise
        finally:
            if directory is not None:
                os.close(directory)
        self.file = self.socket.makefile('rwb')
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection, and the leases that it took."""
        self.file.close()
        self.socket.close()

    def send(self, method, **params):
        """Sends a request, and returns its number. Several may be under way."""
        self.number += 1
        request = {'jsonrpc': '2.0', 'id': self.number, 'method': method, 'params': params}
        self.file.write(json.dumps(request).encode() + b'\n')
        return self.number

    def receive(self):
        """The next message: an answer, or a notification."""
        self.file.flush()
        line = self.file.readline()
        if not line:
            raise ConnectionError('the daemon has gone')
        return json.loads(line)

    def call(self, method, on_notification=None, **params):
        """Sends a request and waits for its answer; what is told meanwhile goes to the function."""
        number = self.send(method, **params)
        while True:
            message = self.receive()
            if message.get('id') == number:
                if 'error' in message:
                    raise DaemonError(message['error'])
                return message['result']
            if 'error' in message and message.get('id') is None:
                raise DaemonError(message['error'])
            if 'method' in message and on_notification:
                on_notification(message['method'], message['params'])

    def get(self, handle, touch=True):
        """Where a variant is cached; None: it is not."""
        return self.call('get', handle=handle, touch=touch)['root']

    def get_many(self, handles, touch=True):
        """The same for many, in order."""
        found = self.call('get_many', handles=list(handles), touch=touch)
        return [variant['root'] for variant in found['variants']]

    def list(self):
        """All variants, in no order: dicts with 'handle', 'status', 'cache_path' and more."""
        return self.call('list')['variants']

    def warm(self, variants=None, wait=True, priority='interactive', on_progress=None,
             sources=None):
        """Has variants cached: {'handle': ..., 'root': where its payload is}; or what sources name:
        absolute paths of contexts and manifests, and URIs, which only the daemon's own user may."""
        wanted = {'variants': list(variants)} if sources is None else {'sources': list(sources)}
        return self.call('warm', on_notification=on_progress, wait=wait, priority=priority,
                         progress=on_progress is not None, **wanted)

    def lease(self, handle):
        """As get, and what is found stays until release, close, or the end of this process."""
        return self.call('lease', handle=handle)['root']

    def release(self, handle):
        """Ends a lease."""
        return self.call('release', handle=handle)['released']
