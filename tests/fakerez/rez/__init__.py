"""Stands in for rez where definitions are read: no more of it than asking rez about them takes.
FAKEREZ_LOG gets a line whenever it is imported."""
import os

if os.environ.get('FAKEREZ_LOG'):
    with open(os.environ['FAKEREZ_LOG'], 'a') as log:
        log.write('started\n')
