#!/usr/bin/env python3
"""Runs the test cases of one file, or those named.

usage: run.py FILE [CLASS[.CASE]...]

Where PKGCACHE_TEST_AGAIN is set, the file ran before, with another backend: cases that are marked
`once` (support.py) are left out, unless they are named. PKGCACHE_TEST_PART is "2/3" where only the
second, fifth, eighth... of the cases are to run, while two others run the rest. PKGCACHE_TEST_COMPILED
is where compiled modules are kept; else they are not. Exit status: 0 all passed, 1 something failed,
77 all were skipped. Prints why a case was skipped, and at the end "N passed, N failed, N skipped".
"""
import gc
import importlib
import os
import random
import signal
import sys
import unittest

EVERYTHING_SKIPPED = 77


def load(path, names):
    """The test cases of a file; of these names only, if there are any."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module = importlib.import_module(os.path.splitext(os.path.basename(path))[0])
    loader = unittest.defaultTestLoader
    if names:
        return loader.loadTestsFromNames(names, module)
    cases = list(each_case(loader.loadTestsFromModule(module)))
    if os.environ.get('PKGCACHE_TEST_AGAIN'):
        cases = [case for case in cases if not is_marked_once(case)]
    part, parts = map(int, (os.environ.get('PKGCACHE_TEST_PART') or '1/1').split('/'))
    return unittest.TestSuite(cases[part - 1::parts])


def each_case(cases):
    """The test cases of a suite, and of the suites in it."""
    if isinstance(cases, unittest.TestCase):
        yield cases
    else:
        for some in cases:
            yield from each_case(some)


def is_marked_once(case):
    """Whether a test case is marked `once`."""
    return hasattr(getattr(case, case.id().rsplit('.', 1)[1], None), 'once')


def interrupt(number, _frame):
    """Ends as Ctrl-C does, so that what was mounted is taken away."""
    raise KeyboardInterrupt(f'signal {number}')


def perturb_memory():
    """Has what the tests start fill the memory that it gets and gives back, as Meson has it."""
    if os.environ.get('MALLOC_PERTURB_') == '0':
        os.environ['MALLOC_PERTURB_'] = str(random.randrange(1, 256))
        print(f'MALLOC_PERTURB_={os.environ["MALLOC_PERTURB_"]}')


def main(path, names):
    """Runs and counts."""
    sys.pycache_prefix = os.environ.get('PKGCACHE_TEST_COMPILED')
    sys.dont_write_bytecode = not sys.pycache_prefix
    signal.signal(signal.SIGTERM, interrupt)
    sys.stdout.reconfigure(errors='backslashreplace', line_buffering=True)
    sys.stderr.reconfigure(errors='backslashreplace')
    perturb_memory()
    gc.set_threshold(50_000)  # there are no large rings of objects here to look for
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(load(path, names))
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    passed = max(0, result.testsRun - failed - skipped)
    for case, reason in result.skipped:
        print(f'skipped: {case}: {reason}')
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    if failed:
        return 1
    return 0 if passed else EVERYTHING_SKIPPED


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2:]))
