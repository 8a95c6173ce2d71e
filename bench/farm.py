#!/usr/bin/env python3
"""Models a preload: time, and the file server's load, for 10 to 10,000 nodes and each fan-out.

usage: farm.py [--plot FILE.svg] [--set NAME=VALUE]...

A model, no measurement: what it assumes stands beside its numbers (ASSUMPTIONS; --set changes one).
"""
import argparse
import math

NODES = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]
ASSUMPTIONS = {
    'payload_gb': (10.0, 'GB that each node lacks'),
    'files_thousand': (250.0, 'thousand files in them'),
    'ratio': (0.38, 'size of a pack: 182 MB of 471 MB were measured, zstd -3'),
    'server_gb_s': (1.2, 'GB/s that the file server gives to all: 10 Gbit/s'),
    'server_files_s': (20000.0, 'files/s that it opens for all'),
    'link_gb_s': (1.2, 'GB/s into and out of a node'),
    'pack_mb_s': (90.0, 'MB/s of payload packed by one host: 471 MB in 5 to 6 processor seconds'),
    'create_files_s': (1500.0, 'files/s that a node creates: 12,603 in 6 to 12 s'),
    'at_once': (16, 'nodes that read the source at a time'),
    'tree_width': (8, 'nodes that Slurm sends to from one, at most'),
    'cast_cpu_ms_mb': (5.0, 'processor ms a MB and node that a cast takes; seen on one machine'),
    'start_s': (1.0, 's from srun to the first byte'),
    'starts_s': (100.0, 'jobs/s that the controller starts'),
}


def model(fanout, nodes, given):
    """(seconds, GB the file server reads out, thousand files it opens) of one run."""
    payload, files, pack = given['payload_gb'], given['files_thousand'] * 1000, given['payload_gb'] * given['ratio']
    create = files / given['create_files_s']
    begin = given['start_s'] + nodes / given['starts_s']
    if fanout == 'source':
        at_once = min(nodes, given['at_once'])
        one = max(payload / given['link_gb_s'], payload * at_once / given['server_gb_s'],
                  files * at_once / given['server_files_s'], create)
        return begin + math.ceil(nodes / at_once) * one, nodes * payload, nodes * files / 1000
    packing = max(payload * 1000 / given['pack_mb_s'], payload / given['server_gb_s'], files / given['server_files_s'])
    if fanout == 'pack':
        spread = max(pack / given['link_gb_s'], pack * nodes / given['server_gb_s'])
        return begin + packing + max(spread, create), payload + pack * (nodes + 1), (files + nodes) / 1000
    depth = math.ceil(math.log(max(nodes, 2) * (given['tree_width'] - 1) + 1, given['tree_width']))
    width = min(nodes, given['tree_width'])
    # Blocks go down level by level: the stream's speed is that of a node which feeds `width` others.
    spread = max(pack * width / given['link_gb_s'], pack * 1000 * given['cast_cpu_ms_mb'] / 1000) + depth * 0.05
    return begin + packing + spread + create, payload, files / 1000


def print_table(given):
    """Assumptions, then the numbers."""
    for name, (_, meaning) in ASSUMPTIONS.items():
        print(f'{name:15} {given[name]:>9g}  {meaning}')
    print(f'\n{"nodes":>7}' + ''.join(f'{name + " s":>12}{"GB":>10}{"files k":>10}' for name in ('source', 'pack', 'tree')))
    for nodes in NODES:
        cells = [model(fanout, nodes, given) for fanout in ('source', 'pack', 'tree')]
        print(f'{nodes:7}' + ''.join(f'{seconds:12.0f}{read:10.0f}{files:10.0f}' for seconds, read, files in cells))


def plot(path, given):
    """Two diagrams: time, and what the file server reads out."""
    import matplotlib  # pylint: disable=import-outside-toplevel
    matplotlib.use('svg')
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel
    matplotlib.rcParams['svg.hashsalt'] = 'farm'
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for axis, index, title in ((axes[0], 0, 'time, minutes'), (axes[1], 1, 'read from the file server, GB')):
        for fanout, colour in (('source', '#c9352b'), ('pack', '#b27708'), ('tree', '#2f6fd0')):
            values = [model(fanout, nodes, given)[index] / (60 if index == 0 else 1) for nodes in NODES]
            axis.plot(NODES, values, color=colour, marker='o', markersize=3, label=fanout)
        axis.set(xscale='log', yscale='log', xlabel='nodes', title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.suptitle(f'A model: {given["payload_gb"]:g} GB in {given["files_thousand"]:g} thousand files for each node', fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None})


def main():
    """Reads the options, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--plot', metavar='FILE.svg')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE')
    options = parser.parse_args()
    given = {name: value for name, (value, _) in ASSUMPTIONS.items()}
    for name, value in (word.split('=', 1) for word in options.set):
        if name not in given:
            parser.error(f'{name} is no assumption: {", ".join(given)}')
        given[name] = type(given[name])(value)
    print_table(given)
    if options.plot:
        plot(options.plot, given)


if __name__ == '__main__':
    main()
