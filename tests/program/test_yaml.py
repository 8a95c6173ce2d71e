"""The reader of YAML against PyYAML: what both take has the same value.

From the environment: PKGCACHE_YAML_DUMP (the program), PKGCACHE_TEST_SEED, PKGCACHE_TEST_SCALE.
"""
import datetime
import os
import random
import subprocess
import sys
import unittest

try:
    import yaml
except ImportError:
    yaml = None

DUMP = os.environ.get('PKGCACHE_YAML_DUMP')
SCALE = min(1, float(os.environ.get('PKGCACHE_TEST_SCALE') or 1))
SEED = int(os.environ.get('PKGCACHE_TEST_SEED') or random.SystemRandom().randrange(1 << 32))
DOCUMENTS, SCALARS = int(3000 * SCALE), int(5000 * SCALE)


class Unlike(Exception):
    """Said in another way by the reader, or not at all."""


def as_read(value):
    """What the reader makes of it: members whose key is no string are left out."""
    if isinstance(value, dict):
        return {key: as_read(member) for key, member in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [as_read(element) for element in value]
    if isinstance(value, (datetime.date, set, tuple, bytes)):
        raise Unlike
    return value


def read_all(documents):
    feed = b''.join(b'%d\n%s' % (len(text), text) for text in documents)
    result = subprocess.run([DUMP], input=feed, stdout=subprocess.PIPE, check=True)
    return result.stdout.decode('utf-8', 'surrogatepass').split('\n')[:-1]


def loads(text):
    try:
        return repr(as_read(yaml.load(text.decode(), Loader=yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError):
        return None
    except Unlike:
        return Unlike


class Writer:

    def __init__(self, rng):
        self.rng = rng
        self.anchors = 0

    def scalar(self):
        rng = self.rng
        return rng.choice([
            'yes', 'No', 'on', 'OFF', 'true', 'False', 'y', 'n', '~', 'null', 'Null', '', '010', '0o17', '0b1_0', '0x1F', '-0x1f',
            '1:30', '1:30.5', '-1:00:00', '01:30', '1_000', '+1', '-0', '.5', '5.', '1.5e+3', '1.5e3', '1e5', '.inf', '-.INF', '.nan',
            '1.0.0', '08', '0.', '-.5', '6.02e+23', '1:60', 'foo-1.0', '">=1"', "'it''s'", '"a\\n\\x41\\u00e9"', '<<', '=',
            '!!str 1', '!!int "1"', '!!float 1.5', '!!bool yes', '!!null ""', '! 1', 'a b', 'a#b', '2020-01-01', '"<<"', '12e03', '0_7',
            '|\n    block\n    text\n', '>-\n    folded\n    text\n', '[]', '{}', str(rng.randrange(10 ** 20)), repr(rng.random())])

    def flow(self, depth=0):
        pick = self.rng.random()
        if depth > 3 or pick < 0.5:
            return self.rng.choice([self.scalar().replace('\n', ' ') if '\n' not in (s := self.scalar()) else 'x', s if '\n' not in s else 'y'])
        values = [self.flow(depth + 1) for _ in range(self.rng.randrange(4))]
        if pick < 0.75:
            return '[' + ', '.join(values) + ']'
        return '{' + ', '.join(f'{self.rng.choice("abcd")}: {value}' for value in values) + '}'

    def block(self, indent=0, depth=0):
        space = ' ' * indent
        pick = self.rng.random()
        anchor = ''
        if self.rng.random() < 0.2:
            self.anchors += 1
            anchor = f'&a{self.anchors} '
        if self.anchors and self.rng.random() < 0.1:
            return f'*a{self.rng.randrange(1, self.anchors + 1)}'
        if depth > 3 or pick < 0.4:
            return anchor + (self.flow() if self.rng.random() < 0.4 else self.scalar().replace('\n    ', '\n' + space + '  '))
        lines = []
        for _ in range(self.rng.randrange(1, 5)):
            value = self.block(indent + 2, depth + 1)
            if pick < 0.6:
                lines.append(f'{space}- {value}')
            else:
                key = self.rng.choice(['a', 'b', 'c', '"d"', '1', 'yes', '<<', '<<', 'name', '? e'])
                lines.append(f'{space}{key}: {value}')
        return anchor.rstrip() + '\n' + '\n'.join(lines)

    def number(self):
        return ''.join(self.rng.choices('0123456789_.:+-eExXbBaAinfINF', k=self.rng.randrange(1, 7)))


@unittest.skipUnless(DUMP, 'PKGCACHE_YAML_DUMP does not name the program to be tested')
@unittest.skipUnless(yaml, 'PyYAML is not installed')
class AgainstPyYaml(unittest.TestCase):

    def compare_all(self, texts, least_share):
        print(f'PKGCACHE_TEST_SEED={SEED}', file=sys.stderr)
        documents = [text.encode() for text in texts]
        both = refused = taken = 0
        answers = read_all(documents)
        self.assertEqual(len(answers), len(documents))
        for document, answer in zip(documents, answers):
            expected = loads(document)
            if expected is Unlike:
                continue
            if expected is not None and not answer.startswith('! '):
                self.assertEqual(answer, expected, document)
                both += 1
            elif expected is not None:
                refused += 1
            elif not answer.startswith('! '):
                taken += 1
        print(f'{len(documents)} documents: {both} read alike, {refused} refused, {taken} taken that '
              'PyYAML refuses', file=sys.stderr)
        self.assertGreater(both, 0)
        self.assertGreaterEqual(both / (both + refused), least_share)

    def test_documents(self):
        rng = random.Random(SEED)
        self.compare_all((Writer(rng).block() for _ in range(DOCUMENTS)), 0.9)

    def test_numbers(self):
        writer = Writer(random.Random(SEED))
        self.compare_all((f'- {writer.number()}\n' for _ in range(SCALARS)), 0.99)


if __name__ == '__main__':
    unittest.main()
