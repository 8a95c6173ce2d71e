#!/usr/bin/env python3
"""Makes docs/preload-report.png: the page of an invented preload of 400 nodes, as Chromium shows it.

usage: docs/preload_report.py PAGE_DUMP [PICTURE.png]

Needs Chromium.

PAGE_DUMP is build/tests/page_dump, which puts the facts of a run, as JSON, into a page.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

BEGIN_S = 1_780_000_000  # 28 May 2026
VARIANTS, PAYLOAD_BYTES, FILES = 184, 61_400_000, 74
HEIGHT = 1960  # of the picture, in pixels
REASONS = [
    (7, '/var/cache/rez: No space left on device: 10.5 GiB are needed, {number} MiB are free'),
    (3, '/var/cache/rez: cannot write there: Permission denied'),
    (2, 'no report: the node died while it copied'),
]


def invent(node_count=400, seed=16):
    """The facts of a run: a cast in three minutes, then nodes that warm, some slow, some failing."""
    chance = random.Random(seed)
    names = [f'{rack}-{number:03d}' for rack in ('render', 'sim') for number in range(1, node_count // 2 + 1)]
    reasons = [reason for number, reason in REASONS for _ in range(number)]
    failing = dict(zip(chance.sample(names, len(reasons)), reasons))
    slow = {f'sim-{number:03d}' for number in range(121, 141)}  # one switch
    nodes = [invent_node(chance, name, failing.get(name), name in slow) for name in names]
    phases = [('resolve', 0, 2), ('look', 2, 14), ('pack', 14, 71), ('spread', 71, 196), ('warm', 196, None)]
    end = max(node['end'] for node in nodes)
    return {
        'run': '20260528-nightly', 'launcher': 'slurm', 'state': 'partly', 'exit': 4, 'begin': BEGIN_S,
        'end': end + 2, 'fanout': {'asked': 'auto', 'chosen': 'tree', 'why': '400 nodes lack 184 variants: the file server is read once, and Slurm casts'},
        'cache': '/var/cache/rez', 'variants': VARIANTS, 'nodes': nodes,
        'phases': [{'name': name, 'begin': BEGIN_S + begin, 'end': end if last is None else BEGIN_S + last,
                    'why': None} for name, begin, last in phases],
        'failures': [{'node': name, 'variant': 'houdini-20.5.332[2]', 'why': 'libHoudiniUT.so: Input/output error'}
                     for name in chance.sample(sorted(set(names) - set(failing)), 4)]}


def invent_node(chance, name, why, is_slow):
    """What one node reports."""
    begin = BEGIN_S + 197 + chance.random() * 25
    seconds = chance.lognormvariate(3.6, 0.13) * (chance.uniform(2.2, 3.0) if is_slow else 1)
    found = min(VARIANTS, int(chance.expovariate(1 / 12)))
    created = VARIANTS - found
    if why:
        created = chance.randrange(created) if 'died' not in why else 0
        seconds = chance.uniform(1, 20)
    done, copied = found + created, created * PAYLOAD_BYTES
    late = copied // 40 if chance.random() < 0.04 else 0  # evicted meanwhile: from the source
    return {'node': name, 'state': 'failed' if why else 'done', 'variants': VARIANTS, 'done': done, 'found': found,
            'created': created, 'failed': VARIANTS - done, 'files': created * FILES, 'bytes': copied,
            'source_bytes': late, 'pack_bytes': copied - late, 'begin': begin, 'end': begin + seconds,
            'seconds': seconds, 'attempts': 2 if why else 1,
            'why': why and why.format(number=chance.randrange(1000))}


def browse(page, *options, dark=False):
    """Has Chromium show a page and do what the options say; returns what it printed."""
    with tempfile.TemporaryDirectory() as profile:
        command = ['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--disable-dev-shm-usage',
                   '--no-first-run', '--disable-background-networking', '--disable-component-update',
                   f'--user-data-dir={profile}', f'--blink-settings=preferredColorScheme={0 if dark else 1}',
                   *options, f'file://{page}']
        return subprocess.run(command, check=True, capture_output=True).stdout


def main(page_dump, picture=os.path.join(os.path.dirname(__file__), 'preload-report.png')):
    """Invents, writes the page, draws it."""
    with tempfile.TemporaryDirectory() as directory:
        page = os.path.join(directory, 'run.html')
        with open(page, 'wb') as file:
            subprocess.run([page_dump], input=json.dumps(invent()).encode(), stdout=file, check=True)
        browse(page, f'--window-size=1160,{HEIGHT}', f'--screenshot={os.path.abspath(picture)}')


if __name__ == '__main__':
    main(*sys.argv[1:])
