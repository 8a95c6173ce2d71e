#!/usr/bin/env python3
"""Draws the plots of a run from its results.json, each as PNG and SVG.

usage: plots.py FOLDER

times         wall time by tool, one panel a workload
in-flight     throughput by operations in flight, one panel a sweep
growth        time per file by size of the tree

A program of its own, so that it can run in the Python that has matplotlib, and once more later.
"""
import json
import math
import os
import sys
import textwrap

import matplotlib
matplotlib.use('Agg')
from matplotlib import pyplot, ticker  # noqa: E402

OURS = 'pkgcache'
YARDSTICK = 'cp -a'
COLOURS = {OURS: '#0b5fa5', 'pkgcache ring': '#5a9bd3', 'pkgcache threads': '#9cc5e8',
           YARDSTICK: '#4a4a4a'}
PEER_COLOUR = '#b5b5b5'
BACKEND_STYLES = {'ring': ('#0b5fa5', 'o'), 'threads': ('#d9731a', 's')}
MIB = 1 << 20
COLUMNS = 3
PANEL_WIDTH, BAR_HEIGHT, PANEL_MARGIN = 4.6, 0.27, 1.1  # inches
NARROWEST = 7  # inches: what the titles need
STYLE = {'font.size': 9, 'axes.titlesize': 10, 'axes.titleweight': 'bold', 'axes.spines.top': False,
         'axes.spines.right': False, 'axes.edgecolor': '#888888', 'axes.axisbelow': True,
         'grid.color': '#e4e4e4', 'figure.dpi': 100, 'savefig.dpi': 150}


def of_kind(results, kind):
    """[(name, measured)] of the workloads of a kind."""
    return [(name, measured) for name, measured in results['workloads'].items()
            if measured['kind'] == kind]


def panels(count, height, columns=COLUMNS):
    """A figure with so many panels, each this high; returns it and the panels."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure, grid = pyplot.subplots(rows, columns, squeeze=False, layout='constrained',
                                   figsize=(max(NARROWEST, PANEL_WIDTH * columns), height * rows + 0.8))
    axes = [axis for row in grid for axis in row]
    for axis in axes[count:]:
        axis.set_axis_off()
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
    return figure, axes[:count]


def save(figure, results, title, folder, name):
    """Writes both forms of a figure."""
    found = results['machine']
    quick = ', quick run: smaller trees' if results['options']['quick'] else ''
    figure.suptitle(title, fontweight='bold', fontsize=12)
    figure.supxlabel(f'{results["started"]}, {found["cores"]} cores ({found["cpu"]}), '
                     f'{found["kernel"]}{quick}', fontsize=8, color='#666666')
    for form in ('png', 'svg'):
        figure.savefig(os.path.join(folder, f'{name}.{form}'))
    pyplot.close(figure)


def describe(measured):
    """What a panel shows, in a few short lines."""
    source = measured['sources'][0]
    files = 'file' if source['files'] == 1 else 'files'
    where = measured['file_systems']
    amount = (f'{source["files"]:,} {files}, {source["bytes"] / MIB:,.0f} MiB, '
              f'{where["source"]["kind"]} to {where["target"]["kind"]}, caches {measured["caches"]}')
    return '\n'.join([*textwrap.wrap(measured['what'], 62, break_on_hyphens=False), amount])


# --- time by tool ----------------------------------------------------------------------------

def draw_times(results, folder):
    """Wall time by tool, one panel a workload."""
    races = of_kind(results, 'race')
    if not races:
        return
    most = max(len(measured['tools']) for _, measured in races)
    figure, axes = panels(len(races), most * BAR_HEIGHT + PANEL_MARGIN)
    for axis, (name, measured) in zip(axes, races):
        draw_race(axis, name, measured)
    save(figure, results, 'Wall time of one copy, seconds (less is better)', folder, 'times')


def draw_race(axis, name, measured):
    """One panel: bars, the fastest on top, each with its time; failures at the bottom."""
    tools = sorted(measured['tools'].items(), key=lambda item: item[1].get('median_s', math.inf))
    longest = max((tool['median_s'] for _, tool in tools if 'median_s' in tool), default=1)
    for place, (tool_name, tool) in enumerate(tools):
        if 'failed' in tool:
            axis.text(longest * 0.015, place, 'failed', va='center', color='#b03030', fontsize=8)
            continue
        median = tool['median_s']
        axis.barh(place, median, height=0.7, color=COLOURS.get(tool_name, PEER_COLOUR))
        axis.text(median + longest * 0.015, place, f'{median:.3g}', va='center', fontsize=8)
    axis.set_yticks(range(len(tools)), [tool_name for tool_name, _ in tools])
    for label in axis.get_yticklabels():
        if label.get_text().startswith(OURS):
            label.set_color(COLOURS[OURS])
    axis.set_ylim(len(tools) - 0.4, -0.6)
    axis.set_xlim(0, longest * 1.16)
    axis.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axis.grid(axis='x')
    axis.tick_params(axis='y', length=0)
    set_titles(axis, name, measured)


def set_titles(axis, name, measured):
    """The panel's name, and below it in small what it shows."""
    text = describe(measured)
    axis.set_title(text, fontsize=7.5, fontweight='normal', color='#666666', loc='left', pad=4)
    lines = text.count('\n') + 1
    axis.annotate(name, (0, 1), xycoords='axes fraction', xytext=(0, 4 + 9.5 * lines),
                  textcoords='offset points', fontsize=10, fontweight='bold', va='bottom')


# --- throughput by operations in flight ------------------------------------------------------

def draw_sweeps(results, folder):
    """Throughput by operations in flight, one panel a sweep."""
    sweeps = of_kind(results, 'sweep')
    if not sweeps:
        return
    figure, axes = panels(len(sweeps), 3.6, columns=2)
    for axis, (name, measured) in zip(axes, sweeps):
        draw_sweep(axis, name, measured)
    save(figure, results, 'Throughput by operations in flight (more is better)', folder, 'in-flight')


def draw_sweep(axis, name, measured):
    """One panel: a line for each backend, and a level for automatic."""
    source = measured['sources'][0]
    in_files = source['files'] > 100
    amount, unit = (source['files'], 'files') if in_files else (source['bytes'] / MIB, 'MiB')
    tools = measured['tools']
    for backend, (colour, marker) in BACKEND_STYLES.items():
        points = [(sample['in_flight'], amount / tools[key]['median_s'])
                  for key, sample in measured['samples'].items()
                  if sample['backend'] == backend and 'median_s' in tools[key]]
        if points:
            axis.plot(*zip(*points), color=colour, marker=marker, markersize=4.5, linewidth=1.6,
                      label=backend)
    if 'median_s' in tools.get(OURS, {}):
        axis.axhline(amount / tools[OURS]['median_s'], color='#333333', linestyle='--', linewidth=1.3,
                     label='automatic')
    axis.set_xscale('log', base=2)
    axis.xaxis.set_major_locator(ticker.LogLocator(base=2, numticks=12))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:,.0f}'))
    axis.set_ylim(0, axis.get_ylim()[1] * 1.05)
    axis.set_xlabel('operations in flight')
    axis.set_ylabel(f'{unit} a second')
    axis.grid()
    if axis.lines:
        axis.legend(frameon=True, framealpha=0.9, edgecolor='none', loc='lower right', fontsize=8)
    set_titles(axis, name.removeprefix('sweep-'), measured)


# --- time per file by size -------------------------------------------------------------------

def draw_growth(results, folder):
    """Time per file by size of the tree."""
    for _, measured in of_kind(results, 'growth'):
        tools = [tool for tool in measured['tools'].values() if 'median_s' in tool]
        if not tools:
            continue
        figure, (axis,) = panels(1, 3.6)
        sizes = [tool['files'] for tool in tools]
        times = [tool['median_s'] / tool['files'] * 1e6 for tool in tools]
        axis.plot(sizes, times, color=COLOURS[OURS], marker='o', linewidth=1.6)
        for size, time in zip(sizes, times):
            axis.annotate(f'{time:.1f}', (size, time), xytext=(0, 8), textcoords='offset points',
                          ha='center', fontsize=8)
        axis.set_xscale('log')
        axis.set_xticks(sizes, [f'{size:,}' for size in sizes])
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.margins(x=0.12)
        axis.set_ylim(0, max(times) * 1.25)
        axis.set_xlabel('files in the tree')
        axis.set_ylabel('microseconds a file')
        axis.grid()
        save(figure, results, 'pkgcache copy: time per file by size of the tree', folder, 'growth')


def main(folder):
    """Draws all that there are results for."""
    with open(os.path.join(folder, 'results.json'), encoding='utf-8') as file:
        results = json.load(file)
    with pyplot.rc_context(STYLE):
        draw_times(results, folder)
        draw_sweeps(results, folder)
        draw_growth(results, folder)


if __name__ == '__main__':
    main(sys.argv[1])
