#!/usr/bin/env python3
"""Prints what the tests of some suites need to be built, a target of ninja's a line.

usage: targets.py DIRECTORY SUITE...
"""
import json
import os
import subprocess
import sys


def introspect(directory, what):
    """What meson knows of a build directory."""
    command = ['meson', 'introspect', what, directory]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main(directory, suites):
    """Prints the files of all targets that the tests depend on."""
    wanted = {target for test in introspect(directory, '--tests')
              if any(suite.endswith(':' + name) for suite in test['suite'] for name in suites)
              for target in test['depends']}
    for target in introspect(directory, '--targets'):
        if target['id'] in wanted:
            print(*(os.path.relpath(path, directory) for path in target['filename']), sep='\n')


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
