"""The reader of Python's literals against CPython itself: what it says is what Python says, or that it
does not know; and what is plain it knows.

From the environment: PKGCACHE_PYLITERAL_DUMP (the program), PKGCACHE_TEST_SEED, PKGCACHE_TEST_SCALE.
"""
import ast
import os
import random
import subprocess
import sys
import sysconfig
import unittest
import warnings

DUMP = os.environ.get('PKGCACHE_PYLITERAL_DUMP')
SCALE = min(1, float(os.environ.get('PKGCACHE_TEST_SCALE') or 1))
SEED = int(os.environ.get('PKGCACHE_TEST_SEED') or random.SystemRandom().randrange(1 << 32))
LIBRARY_FILES, GENERATED, MUTATED = (int(n * SCALE) for n in (1500, 5000, 4000))
UNKNOWN = '?'

# Where the reader must know less than Python: who has these reaches names that it cannot follow.
REACHES_ALL = {'exec', 'eval', 'globals', 'locals', 'vars', 'f_globals', 'f_locals', '__globals__',
               'scope'}


# --- what Python says ------------------------------------------------------------------------

class NotLiteral(Exception):
    pass


def evaluate(node):
    """A literal's value, with and, or, not and conditional expressions folded."""
    match node:
        case ast.Constant(value=None | bool() | str() | int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            value = evaluate(node.operand)
            if type(value) not in (int, float):
                raise NotLiteral
            return -value if isinstance(node.op, ast.USub) else value
        case ast.UnaryOp(op=ast.Not()):
            return not evaluate(node.operand)
        case ast.BoolOp():
            values = [evaluate(value) for value in node.values]
            decides = isinstance(node.op, ast.Or)
            return next((value for value in values[:-1] if bool(value) == decides), values[-1])
        case ast.IfExp():
            body, other = evaluate(node.body), evaluate(node.orelse)
            return body if evaluate(node.test) else other
        case ast.List():
            return [evaluate(element) for element in node.elts]
        case ast.Tuple():
            return tuple(evaluate(element) for element in node.elts)
        case ast.Dict():
            keys = [evaluate(key) for key in node.keys]
            if all(isinstance(key, str) for key in keys):
                return dict(zip(keys, map(evaluate, node.values)))
    raise NotLiteral


def first_raise(tree):
    """The line of the first statement of the module, in no block, that raises for certain; or None."""
    for statement in tree.body:
        match statement:
            case ast.Raise() | ast.Assert(test=ast.Constant(value=False)):
                return statement.lineno
    return None


def is_mutable(value):
    return isinstance(value, (list, dict)) or (isinstance(value, tuple) and any(map(is_mutable, value)))


def bound_names(node):
    """Names of the module that a statement may bind, and None for a star import."""
    todo = [node]
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
                todo += node.decorator_list + node.args.defaults + [d for d in node.args.kw_defaults if d]
            case ast.ClassDef():
                yield node.name
                todo += node.decorator_list + node.bases + [k.value for k in node.keywords]
            case ast.Lambda():
                todo += node.args.defaults + [d for d in node.args.kw_defaults if d]
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                todo += [n.target for n in ast.walk(node) if isinstance(n, ast.NamedExpr)]
            case ast.AnnAssign(value=None, target=ast.Name()):
                todo.append(node.annotation)
            case ast.alias():
                yield None if node.name == '*' else node.asname or node.name.split('.')[0]
            case ast.Name(ctx=ast.Store() | ast.Del()):
                yield node.id
            case ast.ExceptHandler(name=str()) | ast.MatchAs(name=str()) | ast.MatchStar(name=str()):
                yield node.name
                todo += ast.iter_child_nodes(node)
            case ast.MatchMapping(rest=str()):
                yield node.rest
                todo += ast.iter_child_nodes(node)
            case _:
                todo += ast.iter_child_nodes(node)


def unpack(target, value):
    match target:
        case ast.Name():
            yield target.id, value
        case ast.Tuple() | ast.List() if (isinstance(value, (tuple, list)) and
                                          len(value) == len(target.elts) and
                                          all(isinstance(name, ast.Name) for name in target.elts)):
            yield from zip((name.id for name in target.elts), value)
        case _:
            raise NotLiteral


def expect(tree):
    """Each name's last value; NotLiteral for one that cannot be told. All values are known at the end
    of the module, so who mentions a list may have changed it."""
    values = {}
    for statement in tree.body:
        try:
            match statement:
                case ast.Assign():
                    value = evaluate(statement.value)
                    pairs = [pair for target in statement.targets for pair in unpack(target, value)]
                    if len(statement.targets) > 1:  # they share it
                        pairs = [(name, NotLiteral if is_mutable(part) else part) for name, part in pairs]
                case ast.AnnAssign(value=ast.expr(), target=ast.Name()):
                    pairs = [(statement.target.id, evaluate(statement.value))]
                    if any(isinstance(n, ast.NamedExpr) for n in ast.walk(statement.annotation)):
                        raise NotLiteral
                case _:
                    raise NotLiteral
            values.update(pairs)
        except NotLiteral:
            for name in bound_names(statement):
                for every in [name] if name else list(values):
                    values[every] = NotLiteral
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                values.update((name, NotLiteral) for name in node.names)
            case ast.Name(ctx=ast.Load()) if is_mutable(values.get(node.id)):
                values[node.id] = NotLiteral
    return values


# --- what the reader says --------------------------------------------------------------------

def read_all(modules):
    """For each module its error, or a dict: repr of each name's value, or UNKNOWN."""
    feed = b''.join(b'%d\n%s' % (len(module), module) for module in modules)
    result = subprocess.run([DUMP], input=feed, stdout=subprocess.PIPE, check=True)
    answers, names = [], {}
    for line in result.stdout.decode('utf-8', 'surrogatepass').split('\n')[:-1]:
        if line == '.':
            answers.append(names)
            names = {}
        elif line.startswith('! '):
            answers.append(line)
        else:
            name, _, value = line.split(' ', 2)
            names[name] = value
    return answers


# --- modules ---------------------------------------------------------------------------------

def library(rng):
    """Python's own files."""
    found = []
    for top in {sysconfig.get_path('stdlib'), '/usr/lib/python3/dist-packages'}:
        for directory, _, files in sorted(os.walk(top)):
            found += [os.path.join(directory, name) for name in sorted(files) if name.endswith('.py')]
    for path in rng.sample(found, min(LIBRARY_FILES, len(found))):
        with open(path, 'rb') as file:
            yield file.read(60000 + 1)


class Writer:
    """Writes modules at random: Python, or nearly."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *choices):
        choice = self.rng.choice(choices)
        return choice() if callable(choice) else choice

    def space(self):
        return self.pick('', '', ' ', '  ', '\t')

    def inner_space(self):
        return self.pick('', '', ' ', '\n', ' # x = [1\n', '\\\n', '\t', '\f', '\n\n   ')

    def string(self):
        quote = self.pick('"', "'", '"""', "'''")
        prefix = self.pick('', '', '', 'r', 'u', 'R', 'U')
        pieces = ['a', 'b c', '#', '{', '}', '\u00e9', '\u6f22', '\U0001f600', '\\n', '\\\\', '\\x41', '\\u00e9',
                  '\\U0001F600', '\\ud83d\\ude00', '\\101', '\\0', '\\777', '\\q', "\\'", '\\"', '\\\n', '\\\t',
                  "x='1'" if quote[0] == '"' else 'x="1"', '=', '\t']
        if len(quote) == 3:
            pieces += ['\n', '\nname = 1\n', '\r\n', '"x' if quote[0] == "'" else "'x"]
        return prefix + quote + ''.join(self.rng.choices(pieces, k=self.rng.randrange(5))) + quote

    def strings(self):
        return self.inner_space().join(self.string() for _ in range(self.rng.randrange(2, 4)))

    def number(self):
        return self.pick(
            '0', '00', '1', '-1', '+1', '- -2', '1_000', '0x1F', '0b101', '0o17', '0XdeadBEEF', '-0', '0xffffffffffffffff',
            str(self.rng.randrange(10 ** 30)), '1.0', '.5', '1.', '1e5', '1E-7', '-0.0', '1_0.0_1e1_0', '1e16', '5e-324',
            repr(self.rng.random()), repr(self.rng.uniform(-1e300, 1e300)), '123456789.123456789')

    def list(self, depth):
        return self.bracketed('[', ']', [self.value(depth) for _ in range(self.rng.randrange(4))])

    def tuple(self, depth):
        values = [self.value(depth) for _ in range(self.rng.randrange(4))]
        return self.bracketed('(', ')', values + [''] if len(values) == 1 else values)

    def dict(self, depth):
        keys = ['"a"', "'b'", '"c" "d"', 'r"e"', '"a"', '"a" and "c"', '"b" if 0 else "c"']
        return self.bracketed('{', '}', [f'{self.rng.choice(keys)}{self.inner_space()}:{self.inner_space()}'
                                         f'{self.value(depth)}' for _ in range(self.rng.randrange(4))])

    def bracketed(self, opening, closing, values):
        comma = self.inner_space() + ',' + self.inner_space()
        last = self.pick('', ',') if values and values[-1] else ''
        return opening + self.inner_space() + comma.join(values) + last + self.inner_space() + closing

    def folded(self, depth):
        a, b, c = (self.value(depth) for _ in range(3))
        return self.pick(f'{a} and {b} or {c}', f'{a} or {b} and {c}', f'not {a}', f'not not {a}', f'({a} if {b} else {c})',
                         f'({a} or {b})', f'({a})', f'{a} if not {b} else {c}', f'[{a} if {b} else {c} if {a} else {b}]')

    def value(self, depth=0):
        simple = [self.string, self.number, 'None', 'True', 'False']
        if depth > 3:
            return self.pick(*simple)
        return self.pick(*simple, *simple, self.strings_in_brackets, *(
            lambda make=make: make(depth + 1) for make in (self.list, self.tuple, self.dict, self.folded)))

    def strings_in_brackets(self):
        return '(' + self.strings() + ')'

    def name(self):
        return self.rng.choice(['name', 'version', 'variants', 'cachable', 'config', 'a', 'b', 'case', 'match', 'type'])

    def computed(self):
        name = self.name()
        return self.pick('f()', name, name + '.x', '1 + 1', '"a" % 1', '[*()]', '{1: 2}', '{1, 2}', 'b"x"', '1j', 'f"{x}"',
                         'f"{a[\'b\']:>{w}}" "c"', '[x for x in ()]', 'lambda: 0', f'lambda {name}=1: 0', f'({name} := 1)',
                         '-True', '~1', '1 < 2', '"a" == "a"', '"\\N{DIGIT ONE}"', '...', '[1][0]', '"a".b', '1 .real',
                         '{**{}}', '[1, f()]', '(yield)', '"a" in "ab"', 'not 1 == 2', '2 ** 3', 'rb"\\x"', '{"a": f()}')

    def plain(self):
        name, value = self.name(), self.value()
        other = self.rng.choice(['a', 'b'])
        return self.pick(f'{name} = {value}', f'{name}={value}', f'{name}{self.space()}={self.space()}{value}',
                         f'{name} = {value}  # {name} = 1', f'{name}: int = {value}', f'{name} = \\\n    {value}',
                         f'{name}, {other} = {value}, {self.value()}' if name != other else 'a = 1',
                         f'{name} = {value}; {other} = {self.value()}', f'{name} = {value},', f'({name}) = {value}',
                         f'[{name}] = [{value}]', f'{name}: "x[1]" = {value};')

    def chained(self):
        return f'{self.name()} = {self.name()} = {self.value()}'

    def block(self, depth=0):
        indent = self.rng.choice(['    ', '\t', ' '])
        lines = [self.statement(depth + 1) for _ in range(self.rng.randrange(1, 4))]
        return ''.join('\n' + indent + line.replace('\n', '\n' + indent) for line in lines)

    def compound(self, depth=0):
        name, other = self.name(), self.name()
        head = self.pick(f'if {name}:', 'while 0:', f'for {name} in ():', f'def {name}(a, {other}=1):', f'class {name}:',
                         f'with open("x") as {name}:', f'with f() as ({name}, {other}):', f'@f({other})\ndef {name}() -> int:',
                         f'async def {name}():', 'if 1: pass\nelse:', f'try: pass\nexcept E as {name}:', 'try: pass\nfinally:',
                         f'for {name}, [{other}] in ():', f'class {name}({other}, x={name}):', f'if ({name} := 1):')
        if self.rng.random() < 0.2:
            return head + ' ' + self.simple_line(depth)
        return head + self.block(depth)

    def simple_line(self, depth):
        return self.rng.choice([f'{self.name()} = 1', f'a = 1; {self.name()} = 2', 'pass', f'import {self.name()}',
                                f'{self.name()} += 1', f'del {self.name()}'])

    def other(self):
        name, other = self.name(), self.name()
        return self.pick(f'import {name}', f'import os.path as {name}, {other}', f'from x import ({name},\n {other})',
                         f'from . import {name}', f'del {name}', f'{name} += 1', f'{name}.append({other})', f'{name}[0] = 1',
                         f'{name}: int', f'{name} = {self.computed()}', f'{name}, {other} = {self.computed()}', 'pass',
                         f'f({name}=1)', f'f({name})', f'assert {name}', f'{name}.x = 1', f'a, *{name} = 1, 2',
                         f'({name}, ({other}, a)) = 1, (2, 3)', f'global {name}', f'{name} = {other}', f'{name} = [{other}]',
                         f'{name} = {self.value()}, {self.computed()}', f'{name}: ({other} := 1) = 2', f'print({name})',
                         f'{name} @= 1', f'x = ({name} := 2)', f'[{name} for {name} in ()]', f'x = lambda: {name}',
                         f'f({name} := 2)', f'{name} = a = {self.computed()}', f'x[{name}] = y', '"docstring"',
                         f'raise {name}', f'assert False, {name}', f'assert False or {name}')

    def statement(self, depth=0):
        pick = self.rng.random()
        if depth < 3 and pick < 0.15:
            return self.compound(depth)
        if pick < 0.3:
            return self.other()
        return self.chained() if pick < 0.35 else self.plain()

    def module(self):
        lines = [self.rng.choice(['', '', '# comment', '\f', '   # x', '    ']) if self.rng.random() < 0.2 else
                 self.statement() for _ in range(self.rng.randrange(1, 10))]
        text = '\n'.join(lines) + self.rng.choice(['', '\n', '\n\n', '\n# end'])
        if self.rng.random() < 0.1:
            text = text.replace('\r\n', '\n').replace('\n', '\r\n')
        start = self.rng.choice([b'', b'', b'', b'\xef\xbb\xbf', b'# -*- coding: utf-8 -*-\n'])
        return start + text.encode()

    def plain_module(self):
        """Every name in it is known to the reader."""
        return '\n'.join(f'n{i} = {self.value()}' for i in range(self.rng.randrange(1, 5))).encode()


def mutate(rng, module):
    """Bytes are cut, doubled, swapped or replaced by what means something."""
    data = bytearray(module[:3000])
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        length = rng.choice([1, 1, 2, 5, 30])
        piece = rng.choice([b'', b'', bytes(data[at:at + length]) * 2, b'"', b"'", b'\\', b'\n', b'#', b'=', b'(', b')', b'[',
                            b']', b':', b';', b',', b' ', b'    ', b'\t', b'\r', b'0', b'_', b'f', b'b', b'r', b'{', b'}', b'"""',
                            b' if ', b' and ', b'not ', b'\nif 1:\n ', b'.', b':=', b' = ', b' as ', b'-', b'e', b'\f', b' for '])
        data[at:at + rng.choice([0, length])] = piece
    return bytes(data)


# --- the comparison --------------------------------------------------------------------------

def parse(module):
    """The syntax tree; None: Python refuses the module, or only overlooks what is not UTF-8."""
    try:
        module.decode()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            tree = ast.parse(module)
            compile(module, 'module', 'exec')
            return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@unittest.skipUnless(DUMP, 'PKGCACHE_PYLITERAL_DUMP does not name the program to be tested')
class AgainstPython(unittest.TestCase):

    def setUp(self):
        print(f'PKGCACHE_TEST_SEED={SEED}', file=sys.stderr)
        self.rng = random.Random(SEED)
        self.known = self.missed = self.refused = 0

    def compare(self, module, answer):
        tree = parse(module)
        if tree is None:
            self.refused += 1
            return
        raising = first_raise(tree)
        if isinstance(answer, str) and raising is not None:
            self.assertEqual(answer, f'! line {raising}: it raises an exception', repr(module))
            self.refused += 1
            return
        self.assertIsInstance(answer, dict, f'Python takes this: {module!r}')
        expected = expect(tree)
        for name, value in answer.items():
            if value == UNKNOWN:
                continue
            self.assertIn(name, expected, f'no name in {module!r}')
            self.assertIsNot(expected[name], NotLiteral, f'{name} cannot be known in {module!r}')
            self.assertEqual(value, repr(expected[name]), f'{name} in {module!r}')
        for name, value in expected.items():
            if value is not NotLiteral:
                self.known += answer.get(name, UNKNOWN) != UNKNOWN
                self.missed += answer.get(name, UNKNOWN) == UNKNOWN
            else:
                self.assertEqual(answer.get(name, answer.get('*')), UNKNOWN, f'{name} in {module!r}')

    def compare_all(self, modules, least_share):
        """The reader knows at least such a share of what can be known."""
        modules = list(modules)
        answers = read_all(modules)
        self.assertEqual(len(answers), len(modules))
        for module, answer in zip(modules, answers):
            self.compare(module, answer)
        print(f'{len(modules)} modules, {self.refused} refused; values known {self.known}, '
              f'missed {self.missed}', file=sys.stderr)
        self.assertGreater(self.known, 0)
        self.assertGreaterEqual(self.known / (self.known + self.missed), least_share)

    def test_library(self):
        modules = (m for m in library(self.rng) if len(m) <= 60000 and not any(
            word.encode() in m for word in REACHES_ALL))
        self.compare_all(modules, 0.9)

    def test_generated(self):
        writer = Writer(self.rng)
        self.compare_all((writer.module() for _ in range(GENERATED)), 0.5)

    def test_plain(self):
        writer = Writer(self.rng)
        self.compare_all((writer.plain_module() for _ in range(max(1, GENERATED // 5))), 1)

    def test_mutated(self):
        writer = Writer(self.rng)
        start = [m for m in library(self.rng) if len(m) < 3000] or [b'a = 1']
        self.compare_all((mutate(self.rng, writer.module() if i % 4 else self.rng.choice(start))
                          for i in range(MUTATED)), 0.5)


if __name__ == '__main__':
    unittest.main()
