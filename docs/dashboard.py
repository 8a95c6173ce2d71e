#!/usr/bin/env python3
"""Draws the panels of data/grafana-dashboard.json from what Prometheus answers to their queries.

usage: docs/dashboard.py PROGRAM PICTURE [SECONDS]

Runs two daemons that are given something to do, Prometheus's node exporter and Prometheus itself (Debian:
prometheus, prometheus-node-exporter, python3-matplotlib), all on loopback. First `promtool check metrics`
judges what the daemons write. A query that finds nothing is an error.
"""
import glob
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot  # noqa: E402 (the backend first)

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXPORTER, PROMETHEUS = '127.0.0.1:19100', '127.0.0.1:19090'
STEP_S = 5
CONFIGURATION = f"""
global: {{scrape_interval: {STEP_S}s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ['{EXPORTER}']}}]
"""


def make_packages(directory):
    """A manifest for each of a few packages of 1 to 20 MB."""
    manifests = []
    for number in range(24):
        root = os.path.join(directory, 'packages', f'foo{number}', '1.0')
        os.makedirs(root)
        for name in range(40):
            with open(os.path.join(root, str(name)), 'wb') as file:
                file.write(os.urandom(random.randrange(20_000, 500_000)))
        handle = {'key': 'filesystem.variant',
                  'variables': {'location': os.path.join(directory, 'packages'), 'name': f'foo{number}',
                                'version': '1.0', 'index': None, 'repository_type': 'filesystem'}}
        manifests.append((json.dumps(handle), root))
    return manifests


def use(program, cache, packages):
    """Look-ups, copies, and now and then a removal, as a day has them."""
    handle, root = random.choice(packages)
    subprocess.run([program, '--cache', cache, 'get', handle], check=False, capture_output=True)
    if random.random() < 0.15:
        subprocess.run([program, '--cache', cache, '--daemon=require', 'add', '--root', root, handle],
                       check=False, capture_output=True)
    if random.random() < 0.03:
        subprocess.run([program, '--cache', cache, 'remove', handle], check=False, capture_output=True)


def ask(expression, since, until):
    """Prometheus's answer: [(name, times, values)]."""
    query = urllib.parse.urlencode({'query': expression, 'start': since, 'end': until, 'step': STEP_S})
    with urllib.request.urlopen(f'http://{PROMETHEUS}/api/v1/query_range?{query}') as answer:
        result = json.load(answer)['data']['result']
    return [(series['metric'], [point[0] - since for point in series['values']],
             [float(point[1]) for point in series['values']]) for series in result]


def draw(panels, since, until, path):
    """One plot a panel."""
    figure, axes = pyplot.subplots((len(panels) + 1) // 2, 2, figsize=(12, 2.4 * len(panels) / 2))
    for axis, panel in zip(axes.flat, panels):
        for target in panel['targets']:
            expression = (target['expr'].replace('$__rate_interval', '30s')
                          .replace('$instance', '.*').replace('$cache', '.*'))
            answers = ask(expression, since, until)
            if not answers:
                raise SystemExit(f'{panel["title"]}: nothing was found by {expression}')
            for metric, times, values in answers:
                legend = target['legendFormat']
                for name, value in metric.items():
                    legend = legend.replace('{{' + name + '}}', os.path.basename(value))
                axis.plot(times, values, label=legend)
        axis.set_title(f'{panel["title"]} ({panel["fieldConfig"]["defaults"]["unit"]})', fontsize=9)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def main(program, picture, seconds=180):
    """Starts all, waits, draws, ends all."""
    program = os.path.abspath(program)
    with open(os.path.join(TOP, 'data', 'grafana-dashboard.json'), encoding='utf-8') as file:
        panels = json.load(file)['panels']
    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(os.path.join(directory, 'metrics'))
        configuration = os.path.join(directory, 'prometheus.yml')
        with open(configuration, 'w', encoding='utf-8') as file:
            file.write(CONFIGURATION)
        caches = [os.path.join(directory, name) for name in ('cache-a', 'cache-b')]
        commands = [[program, '--cache', cache, 'daemon', '--foreground', '--metrics',
                     os.path.join(directory, 'metrics', os.path.basename(cache) + '.prom')] for cache in caches]
        commands.append(['prometheus-node-exporter', '--collector.disable-defaults', '--collector.textfile',
                         f'--collector.textfile.directory={directory}/metrics', f'--web.listen-address={EXPORTER}'])
        commands.append(['prometheus', f'--config.file={configuration}',
                         f'--storage.tsdb.path={directory}/data', f'--web.listen-address={PROMETHEUS}'])
        processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
        try:
            packages = make_packages(directory)
            since = time.time()
            while time.time() < since + seconds:
                use(program, random.choice(caches), packages)
                time.sleep(0.05)
            for path in glob.glob(os.path.join(directory, 'metrics', '*.prom')):
                with open(path, encoding='utf-8') as file:
                    subprocess.run(['promtool', 'check', 'metrics'], stdin=file, check=True)
            draw(panels, since, time.time(), picture)
        finally:
            for process in processes:
                process.terminate()
                process.wait()


if __name__ == '__main__':
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
