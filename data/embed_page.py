#!/usr/bin/env python3
"""Makes a C header of a page: what stands before its marker @RUN@, and what stands behind.

usage: embed_page.py PAGE.html HEADER.h
"""
import sys

ESCAPES = {ord('\\'): '\\\\', ord('"'): '\\"', ord('\n'): '\\n'}


def as_array(name, text):
    """The definition of a string, a line of C for each of the text's; other than ASCII in octal."""
    lines = [''.join(ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f'\\{byte:03o}') for byte in line)
             for line in text.encode().splitlines(keepends=True)]
    return f'static const char {name}[] =\n' + '\n'.join(f'    "{line}"' for line in lines) + ';\n'


def main(page, header):
    """Splits and writes."""
    with open(page, encoding='utf-8') as file:
        head, tail = file.read().split('@RUN@')
    with open(header, 'w', encoding='ascii') as file:
        file.write('/* Made of preload-report.html by embed_page.py. */\n')
        file.write(as_array('page_head', head) + as_array('page_tail', tail))


if __name__ == '__main__':
    main(*sys.argv[1:])
