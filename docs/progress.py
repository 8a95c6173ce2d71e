#!/usr/bin/env python3
"""Draws what a warm shows on terminals of 100 and of 40 columns: docs/progress.svg.

usage: docs/progress.py PROGRAM SLOWFS PICTURE
"""
import fcntl
import html
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time

COLUMNS = (100, 40)
LINE_HEIGHT, CHARACTER_WIDTH, MARGIN = 20, 8.4, 16


def make_manifest(directory, through):
    """Three packages, found through a mount; returns the manifest's path."""
    variants = []
    for name in ('compiler', 'renderer', 'textures'):
        root = os.path.join('packages', name, '1.0')
        os.makedirs(os.path.join(directory, root))
        for number in range(900):
            with open(os.path.join(directory, root, str(number)), 'wb') as file:
                file.write(os.urandom(30_000))
        handle = {'key': 'filesystem.variant',
                  'variables': {'location': '/svr/packages', 'name': name, 'version': '1.0', 'index': None,
                                'repository_type': 'filesystem'}}
        variants.append({'handle': handle, 'root': os.path.join(through, root)})
    path = os.path.join(directory, 'show.json')
    with open(path, 'w', encoding='utf-8') as file:
        json.dump({'variants': variants}, file)
    return path


def record(command, columns):
    """All lines that a command shows on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        time.sleep(0.2)  # until the terminal has its size
        os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    output = b''
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        output += piece
    os.waitpid(pid, 0)
    return [line.removeprefix('\x1b[K').strip('\n') for line in output.decode().split('\r') if line.strip()]


def draw(terminals, path):
    """One block a terminal: the line at a few moments, then the summary."""
    rows = []
    for columns, lines in terminals:
        shown = [lines[len(lines) * part // 10] for part in (1, 5, 8)] + lines[-1:]
        rows += [f'$ pkgcache warm show.json        # {columns} columns', *shown, '']
    width = round(COLUMNS[0] * CHARACTER_WIDTH + 2 * MARGIN)
    height = LINE_HEIGHT * len(rows) + MARGIN
    text = ''.join(f'<text x="{MARGIN}" y="{LINE_HEIGHT * (number + 1) + 4}">{html.escape(row)}</text>\n'
                   for number, row in enumerate(rows))
    with open(path, 'w', encoding='utf-8') as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n'
                   '<rect width="100%" height="100%" rx="6" fill="#1e1e1e"/>\n'
                   '<g font-family="monospace" font-size="14" fill="#d8d8d8" xml:space="preserve">\n'
                   f'{text}</g>\n</svg>\n')


def main(program, slowfs, picture):
    """Copies from a source that is two milliseconds away."""
    terminals = []
    with tempfile.TemporaryDirectory() as directory:
        mount = os.path.join(directory, 'server')
        os.makedirs(os.path.join(directory, 'real'))
        os.mkdir(mount)
        manifest = make_manifest(os.path.join(directory, 'real'), mount)
        server = subprocess.Popen([slowfs, '--delay-ms', '2', '--bandwidth', '30000000',
                                   os.path.join(directory, 'real'), mount])
        try:
            while not os.path.ismount(mount):
                time.sleep(0.05)
            for columns in COLUMNS:
                cache = os.path.join(directory, f'cache-{columns}')
                terminals.append((columns, record([program, '--cache', cache, '--daemon=never', 'warm', manifest],
                                                  columns)))
        finally:
            subprocess.run(['umount', mount], check=False)
            server.wait()
    draw(terminals, picture)


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(os.path.abspath, sys.argv[1:]))
