import enum
import types


class FileFormat(enum.Enum):
    py = 1
    yaml = 2


class Late:
    def __init__(self, function):
        self.function = function


class Early(Late):
    pass


class Scope:
    def __init__(self, data):
        self.__dict__['data'] = data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __setattr__(self, name, value):
        self.data[name] = value


def load_from_file(path, kind, disable_memcache):
    assert kind is FileFormat.py and disable_memcache
    scopes = {}
    names = {'early': lambda: Early, 'late': lambda: Late,
             'scope': lambda name: Scope(scopes.setdefault(name, {}))}
    with open(path, 'rb') as file:
        exec(compile(file.read(), path, 'exec'), names)
    names.update(scopes)
    this = types.SimpleNamespace(**names)
    for name, value in list(names.items()):
        if isinstance(value, Early):
            value.function.__globals__['this'] = this
            names[name] = value.function()
    return {name: value for name, value in names.items() if not name.startswith('__')}
