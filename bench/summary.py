#!/usr/bin/env python3
"""Writes the results for users from the tables of docs/performance-log.md: the table in
docs/performance.md, and the picture beside it, docs/performance.svg.

`run.py --write-docs` calls this after it has written the log. Run alone, it writes both again
from the figures that the log holds; it measures nothing.
"""
import math
import os
import re
from typing import NamedTuple
from xml.sax.saxutils import escape

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOG = os.path.join(TOP, 'docs', 'performance-log.md')
PAGE = os.path.join(TOP, 'docs', 'performance.md')
PICTURE = os.path.join(TOP, 'docs', 'performance.svg')
LOG_MARKS = ('<!-- latest results: bench/run.py --write-docs replaces what follows -->',
             '<!-- end of latest results -->')
PAGE_MARKS = ('<!-- results: bench/summary.py replaces what follows -->', '<!-- end of results -->')

OURS, YARDSTICK, REMOVER = 'pkgcache', 'cp -a', 'rm -rf'
OURS_COLOUR, PEER_COLOUR, TEXT_COLOUR, FAINT_COLOUR = '#0b5fa5', '#b5b5b5', '#222222', '#666666'
GRID_COLOUR = '#e4e4e4'
WIDTH, LEFT, RIGHT, TOP_MARGIN, BOTTOM_MARGIN = 760, 120, 150, 62, 66  # pixels
BAR, GAP = 15, 12  # pixels: the height of a bar, and what is between two workloads


class Race(NamedTuple):
    """One workload: seconds, as the log prints them; ratios of pkgcache's time to the others'."""
    name: str
    yardstick: str
    peer: str
    peer_seconds: str
    ours: str
    of_yardstick: str
    of_peer: str

    def speed(self, seconds):
        """How many times as fast as the yardstick."""
        return float(self.yardstick) / float(seconds)


def between(text, marks, path):
    """What stands before two marks, between them, and behind them."""
    before, begin, rest = text.partition(marks[0])
    inside, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f'{path} lacks the marks that results go between')
    return before, inside, after


def replace_between(path, marks, lines):
    """Puts lines between the marks of a file."""
    with open(path, encoding='utf-8') as file:
        before, _, after = between(file.read(), marks, path)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'{before}{marks[0]}\n\n' + '\n'.join(lines).rstrip('\n') + f'\n\n{marks[1]}{after}')


# --- reading the log -------------------------------------------------------------------------

def read_log():
    """The first paragraph, which names the machine, and {section: [cells of each row]}."""
    with open(LOG, encoding='utf-8') as file:
        _, text, _ = between(file.read(), LOG_MARKS, LOG)
    first, *sections = re.split(r'(?m)^### ', text)
    tables = {}
    for section in sections:
        name, _, body = section.partition('\n')
        rows = [[cell.strip() for cell in line.strip('|').split(' | ')]
                for line in body.splitlines() if line.startswith('| ')]
        tables[name.strip()] = rows
    return ' '.join(first.strip().partition('\n\n')[0].split()), tables


def read_race(name, rows):
    """A race of the log; None when the section is none, or pkgcache or the yardstick is missing."""
    if not rows or 'of the fastest peer' not in rows[0]:
        return None
    times = {row[0]: row for row in rows[2:] if row[1] != 'failed'}
    peers = [row for tool, row in times.items() if not tool.startswith(OURS)]
    if OURS not in times or YARDSTICK not in times:
        return None
    peer = min(peers, key=lambda row: float(row[1]))
    ours = times[OURS]
    return Race(name, times[YARDSTICK][1], peer[0], peer[1], ours[1], ours[4], ours[5])


# --- the page --------------------------------------------------------------------------------

def removal_line(rows):
    """One sentence about removing."""
    times = {row[0]: row for row in rows}
    if OURS not in times or REMOVER not in times:
        return []
    return [f'Removing such a tree again (`removal`): {times[REMOVER][1]} s with `rm -rf`, '
            f'{times[OURS][1]} s with `pkgcache clean`, {times[OURS][-1]} of it.', '']


def growth_line(rows):
    """One sentence about the size of trees."""
    points = [f'{row[2]} for {row[0]}' for row in rows[2:] if row[-1] != '–']
    return [f'Microseconds per file, by the size of the tree (`growth`): {", ".join(points)}.', ''] \
        if points else []


def page_lines(machine, races, tables):
    """All that stands between the marks of the page."""
    lines = [f'Measured on {machine}', '',
             '![How many times as fast as cp -a pkgcache and the fastest other tool are]'
             '(performance.svg)', '',
             '| workload | `cp -a` | fastest other tool | `pkgcache copy` | of `cp -a` '
             '| of the fastest other |',
             '| --- | ---: | ---: | ---: | ---: | ---: |']
    lines += [f'| {race.name} | {race.yardstick} s | {race.peer}: {race.peer_seconds} s '
              f'| {race.ours} s | {race.of_yardstick} | {race.of_peer} |' for race in races]
    return lines + [''] + removal_line(tables.get('removal', [])) + growth_line(tables.get('growth', []))


# --- the picture -----------------------------------------------------------------------------

def text_at(x, y, words, size=13, anchor='start', colour=TEXT_COLOUR, weight='normal'):
    """A line of text."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{escape(words)}</text>')


def bar_at(place, y, race, tool, seconds):
    """A bar from 1, the yardstick, to the tool's speed, and its label."""
    speed = race.speed(seconds)
    left, right = sorted((place(1), place(speed)))
    colour = OURS_COLOUR if tool == OURS else PEER_COLOUR
    label = f'{speed:.1f}' + ('' if tool == OURS else f' {tool}')
    return [f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 1):.1f}" height="{BAR}" '
            f'fill="{colour}"/>',
            text_at(right + 5, y + BAR - 3, label, 12,
                    colour=OURS_COLOUR if tool == OURS else FAINT_COLOUR)]


def picture(machine, races):
    """The picture as SVG: two bars a workload, on a logarithmic scale."""
    speeds = [race.speed(seconds) for race in races for seconds in (race.ours, race.peer_seconds)]
    low, high = math.log(min(1, *speeds)), math.log(max(2, *speeds))
    height = TOP_MARGIN + len(races) * (2 * BAR + GAP) + BOTTOM_MARGIN
    bottom = height - BOTTOM_MARGIN

    def place(speed):
        return LEFT + (math.log(speed) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             text_at(16, 24, 'How many times as fast as cp -a (logarithmic scale)', 16, weight='bold'),
             f'<rect x="16" y="36" width="12" height="12" fill="{OURS_COLOUR}"/>',
             text_at(34, 46.5, 'pkgcache copy'),
             f'<rect x="150" y="36" width="12" height="12" fill="{PEER_COLOUR}"/>',
             text_at(168, 46.5, 'the fastest other tool')]
    for tick in (1, 2, 5, 10, 20, 50, 100):
        if math.log(tick) <= high:
            parts += [f'<line x1="{place(tick):.1f}" y1="{TOP_MARGIN - 4}" x2="{place(tick):.1f}" '
                      f'y2="{bottom}" stroke="{GRID_COLOUR if tick > 1 else FAINT_COLOUR}"/>',
                      text_at(place(tick), bottom + 15, str(tick), 12, 'middle', FAINT_COLOUR)]
    for number, race in enumerate(races):
        y = TOP_MARGIN + number * (2 * BAR + GAP)
        parts.append(text_at(LEFT - 10, y + BAR + 4, race.name, anchor='end'))
        parts += bar_at(place, y, race, OURS, race.ours)
        parts += bar_at(place, y + BAR, race, race.peer, race.peer_seconds)
    parts += [text_at(16, height - 30 + 15 * place_of, words, 11, colour=FAINT_COLOUR)
              for place_of, words in enumerate(two_lines(machine))]
    return '\n'.join([*parts, '</svg>', ''])


def two_lines(words, length=115):
    """A long sentence as two lines."""
    if len(words) <= length:
        return [words]
    cut = words.rfind(' ', 0, length)
    return [words[:cut], words[cut + 1:]]


def write():
    """Reads the log, writes the page's table and the picture; without a race both stay as they are."""
    described, tables = read_log()
    races = [race for race in (read_race(*item) for item in tables.items()) if race]
    if not races:
        return
    machine = re.match(r'.*?revision \w+|.*', described).group(0) + '.'
    replace_between(PAGE, PAGE_MARKS, page_lines(machine, races, tables))
    with open(PICTURE, 'w', encoding='utf-8') as file:
        file.write(picture(machine, races))


if __name__ == '__main__':
    write()
