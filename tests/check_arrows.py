#!/usr/bin/env python3
"""Fails when a file uses one that stands above it, or when files use each other in a circle.

usage: check_arrows.py BUILD [TOP]

BUILD is a build directory whose objects are up to date, TOP the source tree (the one that this script
lies in). A file uses another when its object needs a symbol that the other's defines, or when it includes
the other. A source and its header (slot.c, slot.h) are one file; a header without a source is a file by
itself, also if its name begins as a source's does (jobs_parts.h).

The order: the layers stand below, lowest first. The directories of a layer stand in its meson.build, which
lists the sources: a directory may use itself, those listed before it, and the layers below. A header right
in a layer's directory is the layer's public one, for everybody from there on up.

Exit status: 0 all is well, 1 there are problems, 2 nothing could be judged.
"""
import collections
import glob
import itertools
import json
import os
import re
import shlex
import subprocess
import sys

LAYERS = ('engine', 'cache', 'cli')

LISTED_SOURCE = re.compile(r"^\s*'((?:\w+/)*)\w+\.c'", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
UNDEFINED = 'Uwv'  # nm's letters; all others in capitals, 'u' and 'i' are definitions for everybody
WHAT_TO_DO = """
An arrow up: move what is needed down into the user's directory or below, or hand it down as an argument or a callback.
A circle: move what both need (a type, a small function) into a file below both, or let the upper one hand the
lower one a callback. The arrow with the fewest symbols, listed first, is the cheapest to cut."""


class Unjudged(Exception):
    """Something is missing without which nothing can be said."""


def unit_of(path):
    """What counts as one file: a source and its header."""
    return os.path.splitext(path)[0]


class Tree:
    """The source tree, and the order of what stands in it."""

    def __init__(self, top):
        self.top = os.path.realpath(top)
        self.problems = []
        self.directories = [directory for layer in LAYERS for directory in self.list_directories(layer)]
        self.files = sorted(os.path.relpath(path, self.top) for layer in LAYERS for path in
                            glob.glob(f'{self.top}/{layer}/**/*.[ch]', recursive=True))
        names = collections.defaultdict(list)
        for path in self.files:
            names[unit_of(path)].append(path)
            if os.path.dirname(path) not in self.directories:
                self.problems.append(f'{path} lies in no listed directory: list its sources in '
                                     f'{path.split("/")[0]}/meson.build, or move it')
        self.names = dict(names)

    def list_directories(self, layer):
        """The directories of a layer, lowest first: itself for its public headers, then as its sources are listed."""
        try:
            with open(f'{self.top}/{layer}/meson.build', encoding='utf-8') as file:
                listed = [directory.rstrip('/') for directory in LISTED_SOURCE.findall(file.read())]
        except FileNotFoundError as error:
            raise Unjudged(f'{error.filename} is missing, which lists the sources of a layer') from error
        directories = [directory for directory, _ in itertools.groupby(listed)]
        for directory in sorted({directory for directory in directories if directories.count(directory) > 1}):
            self.problems.append(f'{layer}/meson.build lists {layer}/{directory} in two places: '
                                 'a directory stands in one')
        return [layer] + [f'{layer}/{directory}' for directory in dict.fromkeys(directories) if directory]

    def rank(self, unit):
        """How high a file's directory stands. What lies in no layer (tests, benchmarks) uses all, used by none."""
        directory = os.path.dirname(unit)
        return self.directories.index(directory) if directory in self.directories else len(self.directories)

    def name(self, unit):
        """The source of a unit, or its header if it has no source."""
        return self.names.get(unit, [unit])[0]


class Arrows:
    """Who uses whom, and by what: uses[unit][other unit] is a list of texts."""

    def __init__(self):
        self.uses = collections.defaultdict(lambda: collections.defaultdict(list))

    def add(self, user, used, how):
        """Notes an arrow, once."""
        if user != used and how not in self.uses[user][used]:
            self.uses[user][used].append(how)

    def all(self):
        """(user, used, how) of all arrows, sorted."""
        return sorted((user, used, how) for user, row in self.uses.items() for used, how in row.items())


# --- reading ---------------------------------------------------------------------------------------

def read_commands(build, tree):
    """The newest object of each source, as {source: object}, and the directories that includes are looked for in."""
    try:
        with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
            commands = json.load(file)
    except FileNotFoundError as error:
        raise Unjudged(f'{error.filename} is missing: build first (./dev build)') from error
    built = collections.defaultdict(list)
    directories = set()
    for command in commands:
        source = os.path.relpath(os.path.realpath(os.path.join(build, command['file'])), tree.top)
        if source in tree.files:
            built[source].append(os.path.join(build, command['output']))
            words = [word[2:] for word in shlex.split(command['command']) if word.startswith('-I')]
            directories.update(os.path.realpath(os.path.join(build, word)) for word in words)
    objects = {}
    for source in (path for path in tree.files if path.endswith('.c')):
        if source not in built:
            tree.problems.append(f'{source} is not compiled, so its symbols cannot be judged: build it, or delete it')
            continue
        times = {os.path.getmtime(path): path for path in built[source] if os.path.exists(path)}
        if not times or max(times) < os.path.getmtime(os.path.join(tree.top, source)):
            raise Unjudged(f'{source} has no object that is up to date: build first (./dev build)')
        objects[source] = times[max(times)]
    return objects, sorted(directories)


def add_symbols(arrows, objects):
    """Adds an arrow for each symbol that one object needs and another defines."""
    definers = collections.defaultdict(set)
    needed = collections.defaultdict(set)
    sources = {path: source for source, path in objects.items()}
    printed = subprocess.run(['nm', '-P', '-A', *sources], check=True, capture_output=True, text=True).stdout
    for line in printed.splitlines():
        path, rest = line.rsplit(': ', 1)
        symbol, kind = rest.split()[:2]
        unit = unit_of(sources[path])
        if kind in UNDEFINED:
            needed[unit].add(symbol)
        elif kind.isupper() or kind in 'ui':
            definers[symbol].add(unit)
    if not definers:
        raise Unjudged('the objects define no symbols: build without link-time optimisation')
    for user, symbols in needed.items():
        for symbol in sorted(symbols):
            if user not in definers[symbol]:
                for used in definers[symbol]:
                    arrows.add(user, used, symbol)


def place_in_tree(path, build, top):
    """Where a file lies in the tree; one that the build makes, where it would lie; None: it is the system's."""
    for root in (os.path.realpath(build), top):
        if path.startswith(root + os.sep):
            return os.path.relpath(path, root)
    return None


def add_includes(arrows, tree, build, directories):
    """Adds an arrow for each include of a file of the tree."""
    for path in tree.files:
        with open(os.path.join(tree.top, path), encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                quoted, name = found[1], found[1] or found[2]
                beside = [os.path.dirname(os.path.join(tree.top, path))] if quoted else []
                places = [os.path.join(place, name) for place in beside + directories]
                place = next((place for place in places if os.path.exists(place)), None)
                if place:
                    target = place_in_tree(os.path.realpath(place), build, tree.top)
                    if target:
                        arrows.add(unit_of(path), unit_of(target), f'#include "{name}" ({path}:{number})')
                elif quoted:
                    tree.problems.append(f'{path}:{number} includes "{name}", which is nowhere')


# --- judging ---------------------------------------------------------------------------------------

def find_circles(uses):
    """The sets of units that reach each other (Tarjan's strongly connected components), sorted."""
    order, low, stack, circles = {}, {}, [], []

    def visit(unit):
        order[unit] = low[unit] = len(order)
        stack.append(unit)
        for used in uses.get(unit, ()):
            if used not in order:
                visit(used)
                low[unit] = min(low[unit], low[used])
            elif used in stack:
                low[unit] = min(low[unit], order[used])
        if low[unit] == order[unit]:
            at = stack.index(unit)
            circles.append(sorted(stack[at:]))
            del stack[at:]

    for unit in sorted(uses):
        if unit not in order:
            visit(unit)
    return sorted(circle for circle in circles if len(circle) > 1)


def describe(tree, user, used, how):
    """An arrow in words."""
    return '\n'.join([f'  {tree.name(user)} -> {tree.name(used)}'] + [f'      {text}' for text in how])


def judge(tree, arrows):
    """The problems, each a text; the arrows up first."""
    problems = []
    for user, used, how in arrows.all():
        if tree.rank(used) > tree.rank(user):
            directories = [os.path.dirname(unit) or unit for unit in (user, used)]
            problems.append(f'arrow up: {directories[0]} stands below {directories[1]} and must not use it\n'
                            + describe(tree, user, used, how))
    for circle in find_circles(arrows.uses):
        inside = [arrow for arrow in arrows.all() if arrow[0] in circle and arrow[1] in circle]
        inside.sort(key=lambda arrow: len(arrow[2]))
        problems.append(f'circle of {len(circle)} files\n'
                        + '\n'.join(describe(tree, *arrow) for arrow in inside))
    return problems


def main(build, top=None):
    """Judges, and prints."""
    sys.setrecursionlimit(10000)
    try:
        tree = Tree(top or os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
        objects, directories = read_commands(build, tree)
        arrows = Arrows()
        add_symbols(arrows, objects)
        add_includes(arrows, tree, build, directories)
    except Unjudged as reason:
        print(f'arrows: {reason}', file=sys.stderr)
        return 2
    problems = tree.problems + judge(tree, arrows)
    for problem in problems:
        print(problem)
    if problems:
        print(WHAT_TO_DO)
    print(f'arrows: {len(tree.names)} files, {len(arrows.all())} arrows, {len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
