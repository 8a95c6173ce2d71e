#!/usr/bin/env python3
"""Counts test cases, not test programs: prints what was skipped and why, and one closing line.

usage: summary.py TESTLOG.JSON
"""
import json
import re
import sys

COLOURS = re.compile(r'\x1b\[[0-9;]*m')
PYTHON_COUNTS = re.compile(r'^(\d+) passed, (\d+) failed, (\d+) skipped$', re.MULTILINE)
CRITERION_COUNTS = re.compile(r'Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)')
SKIPPED_CASE = re.compile(r'^skipped: .*$', re.MULTILINE)


def counts(test):
    """(passed, failed, skipped) cases of one test program, from what it printed and how it ended."""
    output = COLOURS.sub('', test.get('stdout', '') + '\n' + test.get('stderr', ''))
    found = PYTHON_COUNTS.search(output)
    if found:
        passed, failed, skipped = (int(number) for number in found.groups())
    elif (found := CRITERION_COUNTS.search(output)):
        tested, passed = int(found[1]), int(found[2])
        failed, skipped = tested - passed, 0
    else:
        passed, failed, skipped = int(test['result'] == 'OK'), 0, int(test['result'] == 'SKIP')
    if test['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL'):
        failed = max(failed, 1)
    return passed, failed, skipped


def main(path):
    """Prints the summary; 1 when something failed or nothing ran."""
    with open(path, encoding='utf-8') as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        for reason in SKIPPED_CASE.findall(test.get('stdout', '')):
            print(f'{test["name"]}: {reason}')
    passed, failed, skipped = (sum(column) for column in zip(*map(counts, tests), (0, 0, 0)))
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
