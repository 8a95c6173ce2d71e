"""The page of a preload, as a browser shows it. The runs are invented (docs/preload_report.py)."""
import html.parser
import json
import os
import shutil
import struct
import subprocess
import sys
import unittest
import zlib

import farm
import support

sys.path.insert(0, os.path.join(support.TOP, 'docs'))
import preload_report  # noqa: E402 pylint: disable=wrong-import-position

farm.enter_world()  # a browser asks its maker for this and that

PAGE_DUMP = os.path.join(os.path.dirname(support.SLOWFS), 'page_dump')
MARKUP = '<script>document.title="ran"</script>'
BREAKOUT = '</script><img src=x onerror=\'document.title="ran"\'><!-- <b>\u2028\udcff"\\'


class Reader(html.parser.HTMLParser):
    """What a browser made of a page: how many elements of each kind, the texts of each."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def shown(self):
        """All that a reader sees."""
        return '\n'.join(text for tag, texts in self.texts.items() if tag not in ('script', 'style')
                         for text in texts)


class Page(support.ProgramTest):
    """What it shows, and what it never does."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which('chromium'):
            raise unittest.SkipTest('chromium is not installed')

    def make_page(self, run, script=''):
        """Writes the page of a run; `script` runs in it after its own."""
        facts = json.dumps(run).encode()
        page = subprocess.run([PAGE_DUMP], input=facts, check=True, capture_output=True).stdout
        path = self.path('run.html')
        with open(path, 'wb') as file:
            file.write(page.replace(b'</body>', f'<script>{script}</script></body>'.encode()) if script else page)
        return path

    def show(self, run, script=''):
        """What the browser made of the page of a run."""
        page = self.make_page(run, script)
        return Reader(preload_report.browse(page, '--dump-dom').decode(errors='replace'))

    def first_pixel(self, page, dark):
        """The colour of the upper left corner."""
        picture = self.path('picture.png')
        preload_report.browse(page, '--window-size=300,200', f'--screenshot={picture}', dark=dark)
        with open(picture, 'rb') as file:
            data = file.read()
        at, packed = 8, b''
        while at < len(data):
            length, kind = struct.unpack('>I4s', data[at:at + 8])
            packed += data[at + 8:at + 8 + length] if kind == b'IDAT' else b''
            at += 12 + length
        return tuple(zlib.decompress(packed)[1:4])  # in the first row, all filters leave it as it is

    def test_names_and_messages_are_text_and_nothing_is_asked_for(self):
        run = preload_report.invent(100)
        run.update(run=MARKUP, cache=BREAKOUT, launcher=MARKUP, fanout={'chosen': MARKUP, 'why': BREAKOUT})
        run['nodes'] = run['nodes'][:9]
        for node, why in zip(run['nodes'], [MARKUP, BREAKOUT] * 2):
            node.update(node=MARKUP, state='failed', why=why)
        run['failures'] = [{'node': MARKUP, 'variant': BREAKOUT, 'why': MARKUP},
                           {'node': None, 'variant': MARKUP, 'why': BREAKOUT}]
        run['phases'][4]['name'] = MARKUP
        page = self.show(run, 'document.getElementById("foot").textContent = '
                              '`${performance.getEntriesByType("resource").length} requests`')
        self.assertEqual(page.tags.count('script'), 3)  # that of the test is one
        self.assertNotIn('img', page.tags)
        self.assertEqual(page.texts['title'], [f'Preload {MARKUP}: partly'])
        self.assertEqual(page.texts['h1'], [f'Preload {MARKUP}'])
        self.assertIn(MARKUP, page.texts['q'])
        self.assertIn('0 requests', page.shown())

    def test_the_policy_forbids_what_could_load_or_send(self):
        with open(self.make_page(preload_report.invent(100)), encoding='utf-8') as file:
            text = file.read()
        self.assertIn('content="default-src \'none\'; style-src \'unsafe-inline\'; script-src \'unsafe-inline\'"', text)
        for word in ('http-equiv="refresh"', ' src=', ' href=', 'url(', '@import', 'fetch(', 'innerHTML'):
            self.assertNotIn(word, text)

    def test_a_thousand_nodes_are_no_wall(self):
        run = preload_report.invent(1000)
        page = self.show(run)
        self.assertEqual(page.tags.count('tr'), 2 + 8 + 10)  # two heads, the slowest, groups of a hundred
        text = page.shown()
        for words in ('988 of 1,000', 'nodes failed', 'render-001 – render-100 (100)', 'Permission denied',
                      'more than twice the median: sim-[121-', 'houdini-20.5.332[2] on 4 nodes'):
            self.assertIn(words, text)

    def test_a_group_opens_sorts_and_ends_where_asked(self):
        script = 'document.querySelector("tr.group").click();' \
                 '[...document.querySelectorAll("#nodes th button")].find(b => b.textContent == "time").click();'
        page = self.show(preload_report.invent(1000), script)
        self.assertEqual(page.tags.count('tr'), 2 + 8 + 10 + 50 + 1)
        self.assertIn('50 more', page.shown())
        page = self.show(preload_report.invent(1000), script + 'document.querySelector("#nodes .more").click();')
        self.assertEqual(page.tags.count('tr'), 2 + 8 + 10 + 100)

    def test_a_run_of_nothing_and_one_under_way_are_shown(self):
        run = preload_report.invent(100)
        empty = {**run, 'nodes': [], 'failures': [], 'phases': [], 'state': 'running', 'end': 0, 'exit': 0}
        page = self.show(empty)
        self.assertIn('0 of 0', page.shown())
        for node in run['nodes'][1:]:
            node.update(state='waiting', begin=0, end=0, seconds=0, bytes=0, source_bytes=0, pack_bytes=0, why=None)
        run['nodes'][0].update(state='running', end=0, seconds=0)
        run.update(state='running', end=0)
        page = self.show(run)
        self.assertIn('No node is done yet.', page.shown())
        self.assertIn('All nodes', page.shown())

    def test_it_is_dark_where_the_reader_wants_it(self):
        page = self.make_page(preload_report.invent(100))
        self.assertGreater(min(self.first_pixel(page, dark=False)), 200)
        self.assertLess(max(self.first_pixel(page, dark=True)), 60)


if __name__ == '__main__':
    unittest.main()
