#!/usr/bin/env python3
"""Runs the test cases of one file, or those named.

usage: run.py FILE [CLASS[.CASE]...]

Where PKGCACHE_TEST_AGAIN is set, the file ran before, with another backend: cases that are marked
`once` (support.py) are left out, unless they are named. Exit status: 0 all passed, 1 something failed, 77 all were skipped. Prints why a case was skipped,
and at the end "N passed, N failed, N skipped".
"""
import importlib
import os
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
    cases = loader.loadTestsFromModule(module)
    return leave_out_once(cases) if os.environ.get('PKGCACHE_TEST_AGAIN') else cases


def leave_out_once(cases):
    """The test cases but for those that are marked `once`."""
    if isinstance(cases, unittest.TestCase):
        method = getattr(cases, cases.id().rsplit('.', 1)[1], None)
        return unittest.TestSuite([] if hasattr(method, 'once') else [cases])
    return unittest.TestSuite(map(leave_out_once, cases))


def interrupt(number, _frame):
    """Ends as Ctrl-C does, so that what was mounted is taken away."""
    raise KeyboardInterrupt(f'signal {number}')


def main(path, names):
    """Runs and counts."""
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGTERM, interrupt)
    sys.stdout.reconfigure(errors='backslashreplace', line_buffering=True)
    sys.stderr.reconfigure(errors='backslashreplace')
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
