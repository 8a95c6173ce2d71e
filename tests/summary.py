#!/usr/bin/env python3
"""Counts test cases, not test programs: prints what was skipped and why, what failed, and one closing line.

usage: summary.py TESTLOG.JSON
"""
import json
import re
import sys

GOOD = ('OK', 'SKIP', 'EXPECTEDFAIL')
COLOURS = re.compile(r'\x1b\[[0-9;]*m')
PYTHON_COUNTS = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped$', re.MULTILINE)
CRITERION_COUNTS = re.compile(r'Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)')
SKIPPED_CASE = re.compile(r'^skipped: .*$', re.MULTILINE)
FAILED_CASE = re.compile(r'^(?:FAIL: |ERROR: |\[FAIL\] )([\w:]+)', re.MULTILINE)
STARTED_CASE = re.compile(r'^(test_\w+) \(', re.MULTILINE)


def printed(test):
    """All that a test program printed."""
    return COLOURS.sub('', test.get('stdout', '') + '\n' + test.get('stderr', ''))


def counts(test):
    """(passed, failed, skipped) cases of one test program, from what it printed and how it ended."""
    output = printed(test)
    found = PYTHON_COUNTS.search(output)
    if found:
        passed, failed, skipped = (int(number) for number in found.groups())
    elif (found := CRITERION_COUNTS.search(output)):
        tested, passed = int(found[1]), int(found[2])
        failed, skipped = tested - passed, 0
    else:
        passed, failed, skipped = int(test['result'] == 'OK'), 0, int(test['result'] == 'SKIP')
    if test['result'] not in GOOD:
        failed = max(failed, 1)
    return passed, failed, skipped


def failures(test):
    """The names of the cases that failed; if it did not end, of the case that it was at."""
    if test['result'] in GOOD:
        return []
    cases = FAILED_CASE.findall(printed(test))
    return cases or [f'{test["result"]} {" ".join(STARTED_CASE.findall(printed(test))[-1:])}']


def main(path):
    """Prints the summary; 1 when something failed or nothing ran."""
    with open(path, encoding='utf-8') as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        for reason in SKIPPED_CASE.findall(test.get('stdout', '')):
            print(f'{test["name"]}: {reason}')
    for test in tests:
        for case in failures(test):
            print(f'{test["name"]}: failed: {case}')
    passed, failed, skipped = (sum(column) for column in zip(*map(counts, tests), (0, 0, 0)))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
