import os
import types

from rez.serialise import FileFormat, load_from_file


class Package:
    """With attributes that are bound late."""

    def __init__(self, where):
        path = os.path.join(where['location'], where['name'], where.get('version', ''), 'package.py')
        self.data = load_from_file(path, FileFormat.py, disable_memcache=True)
        self.version = where.get('version', '')
        self.context = None

    def set_context(self, context):
        self.context = context

    def __getattr__(self, name):
        function = self.data[name].function
        function.__globals__['this'] = types.SimpleNamespace(**{**self.data, 'version': self.version})
        function.__globals__['in_context'] = lambda: self.context is not None
        return function()


def get_package_from_handle(handle):
    """As rez has it: a handle as a dict, with all that identifies a package."""
    assert handle['key'] == 'filesystem.package'
    assert handle['variables'].pop('repository_type') == 'filesystem'
    return Package(handle['variables'])
