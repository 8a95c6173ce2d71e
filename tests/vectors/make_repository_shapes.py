#!/usr/bin/env python3
"""Asks a real rez what it finds in repositories of odd shapes, and writes its answers into the file.

usage: make_repository_shapes.py FILE

Each shape of the file has files, directories and links of a repository, and rez's settings; the answer goes
under "rez": the variants that rez iterates (which package, its index, its root, whether it is cachable), and
the packages that it fails on. rez must be importable (PYTHONPATH). Not a part of the tests, which only read
the file.
"""
import json
import os
import subprocess
import sys
import tempfile

ASK = r'''
import json, os, sys
from rez.packages import iter_package_families
repository = sys.argv[1]
variants, failed = [], []
for family in iter_package_families(paths=[repository]):
    try:
        packages = list(family.resource._repository.iter_packages(family.resource))
    except Exception as error:
        failed.append({'package': family.name, 'error': type(error).__name__})
        continue
    from rez.packages import Package
    for resource in packages:
        package = Package(resource)
        where = '/'.join(filter(None, [package.name, resource.get('version')]))
        try:
            package.version
            found = []
            for variant in package.iter_variants():
                root = variant.root
                found.append({'package': where, 'index': variant.index, 'uri': variant.uri,
                              'root': root and os.path.relpath(root, repository),
                              'there': bool(root and os.path.isdir(root)),
                              'cachable': bool(package.is_cachable)})
        except Exception as error:
            failed.append({'package': where, 'error': type(error).__name__})
            continue
        variants += found
key = lambda one: (one['package'], one.get('index') or 0)
print('ANSWER' + json.dumps({'variants': sorted(variants, key=key), 'failed': sorted(failed, key=key)}))
'''


def make(repository, shape):
    """Makes a shape's repository."""
    os.makedirs(repository)
    for name, text in shape['files'].items():
        path = os.path.join(repository, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
    for name in shape['directories']:
        os.makedirs(os.path.join(repository, name), exist_ok=True)
    for name, target in shape['links'].items():
        os.symlink(target, os.path.join(repository, name))


def ask(shape):
    """What rez finds."""
    with tempfile.TemporaryDirectory() as top:
        top = os.path.realpath(top)
        repository = os.path.join(top, 'repo')
        make(repository, shape)
        environment = {key: value for key, value in os.environ.items() if not key.startswith('REZ_')}
        environment.update(HOME=top, REZ_DISABLE_HOME_CONFIG='1', REZ_DEFAULT_CACHABLE='true',
                           REZ_PACKAGES_PATH=repository)
        if 'REZ_DEFAULT_CACHABLE_JSON' in shape['environment']:
            del environment['REZ_DEFAULT_CACHABLE']
        environment.update(shape['environment'])
        if shape['config']:
            environment['REZ_CONFIG_FILE'] = os.path.join(top, 'config.py')
            with open(environment['REZ_CONFIG_FILE'], 'w', encoding='utf-8') as file:
                file.write(shape['config'])
        result = subprocess.run([sys.executable, '-c', ASK, repository], env=environment, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding='utf-8')
        if result.returncode != 0:
            sys.exit(f'{shape["name"]}: {result.stderr}')
        answer = json.loads(result.stdout.rpartition('ANSWER')[2])
        for one in answer['variants']:
            one['uri'] = one['uri'].replace(repository, 'REPO')
        return answer


def main():
    """All shapes of the file."""
    path = sys.argv[1]
    with open(path, encoding='utf-8') as file:
        shapes = json.load(file)
    for shape in shapes:
        shape['rez'] = ask(shape)
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(shapes, file, indent=1)
        file.write('\n')


if __name__ == '__main__':
    main()
