#!/usr/bin/env python3
"""Makes a cache with many variants, for measuring what a large one costs.

usage: bigcache.py [--pending N] CACHE VARIANTS

Writes hash directories, sidecars and empty payloads as the program leaves them, without copying
anything: 10 variants of each of 10 versions of as many packages as it takes. --pending queues N
variants more, as rez does. Prints the handle of one variant that is cached and of one that is not, as
`get` takes them.
"""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'tests', 'program'))

import rezlike  # noqa: E402

LOCATION = '/svr/packages'
VERSIONS = VARIANTS = 10
SLOT = 'aaaa'  # one that the program might choose


def handle_of(number):
    """The handle of the variant of this number."""
    package, number = divmod(number, VERSIONS * VARIANTS)
    version, index = divmod(number, VARIANTS)
    return {'key': 'filesystem.variant',
            'variables': {'location': LOCATION, 'name': f'package{package}',
                          'version': f'{version}.0', 'index': index,
                          'repository_type': 'filesystem'}}


def root_of(handle):
    """Where the payload came from."""
    variables = handle['variables']
    return '/'.join([LOCATION, variables['name'], variables['version'], str(variables['index'])])


def write(path, text):
    """Writes a small file."""
    with open(path, 'x', encoding='ascii') as file:
        file.write(text)


def add(cache, handle):
    """One variant: a payload with nothing in it, and its sidecar."""
    slot = os.path.join(rezlike.hash_directory(cache, handle), SLOT)
    while os.path.exists(slot):  # two handles with the same four digits
        slot += 'b'
    os.makedirs(slot)
    sidecar = {'handle': handle, 'pkgcache': {'root': root_of(handle)}}
    write(slot + '.json', json.dumps(sidecar))


def fill(cache, variants, pending):
    """Makes the cache: this many variants, and as many more that wait."""
    os.mkdir(cache)
    rezlike.open_cache(cache)
    for name in ('staging', 'to_delete'):
        os.makedirs(os.path.join(cache, '.sys', name), exist_ok=True)
    for number in range(variants):
        add(cache, handle_of(number))
    for number in range(variants, variants + pending):
        rezlike.pend(cache, handle_of(number))


def main(arguments):
    """Runs once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pending', type=int, default=0, metavar='N')
    parser.add_argument('cache')
    parser.add_argument('variants', type=int)
    options = parser.parse_args(arguments)
    fill(options.cache, options.variants, options.pending)
    print(json.dumps(handle_of(options.variants // 2)))
    print(json.dumps(handle_of(options.variants + options.pending)))


if __name__ == '__main__':
    main(sys.argv[1:])
