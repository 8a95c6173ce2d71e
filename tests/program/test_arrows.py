"""The check of arrows (tests/check_arrows.py) on small trees: it passes what is in order, and fails for each kind
of disorder. From the environment: PKGCACHE_CC, the compiler (cc)."""
import json
import os
import subprocess
import sys
import unittest

import support

CHECK = os.path.join(support.TOP, 'tests', 'check_arrows.py')
COMPILER = os.environ.get('PKGCACHE_CC', 'cc').split()

# Each file's text. Arrows: main -> serve -> slot -> text -> job.
IN_ORDER = {
    'engine/meson.build': "files(\n  'job.c',\n)\n",
    'engine/engine_public.h': '',
    'engine/job.h': 'int job_run(void);\n',
    'engine/job.c': '#include "engine/job.h"\nint job_run(void) { return 0; }\n',
    'cache/meson.build': "files(\n  'util/text.c',\n  'store/slot.c',\n  'store/slot_name.c',\n  'service/serve.c',\n)\n",
    'cache/public.h': '#include "engine/engine_public.h"\nint serve(void);\n',
    'cache/util/text.h': 'int text_new(void);\n',
    'cache/util/text.c': '#include "cache/util/text.h"\n#include "engine/job.h"\n'
                         'int text_new(void) { return job_run(); }\n',
    'cache/store/slot.h': 'int slot_open(void);\n',
    'cache/store/slot.c': '#include "cache/store/slot.h"\n#include "cache/store/slot_name.h"\n'
                          '#include "cache/store/slot_parts.h"\n#include "cache/util/text.h"\n'
                          'int slot_open(void) { return slot_name() + text_new(); }\n',
    'cache/store/slot_parts.h': 'struct slot_part;\n',
    'cache/store/slot_name.h': 'int slot_name(void);\n',
    'cache/store/slot_name.c': '#include "cache/store/slot_name.h"\n#include "cache/store/slot_parts.h"\n'
                               'int slot_name(void) { return 0; }\n',
    'cache/service/serve.c': '#include "cache/public.h"\n#include "cache/store/slot.h"\n'
                             'int serve(void) { return slot_open(); }\n',
    'cli/meson.build': "files(\n  'main.c',\n)\n",
    'cli/main.c': '#include "cache/public.h"\nint main(void) { return serve(); }\n',
    'tests/fault.h': '',
}


class Arrows(support.ProgramTest):
    """What the check says of small trees."""

    def build(self, changes):
        """Writes the tree, with these files changed (None: taken away), and compiles its sources."""
        commands = []
        for path, text in {**IN_ORDER, **changes}.items():
            if text is None:
                continue
            os.makedirs(self.path(os.path.dirname(path)), exist_ok=True)
            with open(self.path(path), 'w', encoding='utf-8') as file:
                file.write(text)
            if path.endswith('.c'):
                commands.append({'file': '../' + path, 'output': path.replace('/', '_') + '.o',
                                 'command': f'cc -I.. -c ../{path}'})
        os.mkdir(self.path('build'))
        for command in commands:
            subprocess.run([*COMPILER, '-I..', '-c', command['file'], '-o', command['output']],
                           cwd=self.path('build'), check=True)
        with open(self.path('build/compile_commands.json'), 'w', encoding='utf-8') as file:
            json.dump(commands, file)

    def check(self, status, *expected):
        """Runs the check, and looks for its exit status and for these texts."""
        result = subprocess.run([sys.executable, CHECK, self.path('build'), self.path('')], check=False,
                                capture_output=True, text=True)
        printed = result.stdout + result.stderr
        self.assertEqual(result.returncode, status, printed)
        for text in expected:
            self.assertIn(text, printed)
        return printed

    def judge(self, changes, *expected):
        """A tree with these changes has exactly one problem, which is described with these texts."""
        self.build(changes)
        return self.check(1, *expected, ', 1 problems\n')

    def test_in_order(self):
        """Arrows down, headers of their own sources, headers without a source: nothing to say."""
        self.build({})
        printed = self.check(0)
        self.assertEqual(printed.count('\n'), 1, printed)

    def test_a_header_that_the_build_makes(self):
        """Lies where the build directory mirrors the tree, and stands as high as what lies there."""
        self.build({})
        for made in ('engine', 'cache/util'):
            os.makedirs(self.path('build/' + made))
            with open(self.path(f'build/{made}/version.h'), 'w', encoding='utf-8'):
                pass
        commands = self.path('build/compile_commands.json')
        with open(commands, encoding='utf-8') as file:
            text = file.read()
        with open(commands, 'w', encoding='utf-8') as file:
            file.write(text.replace('-I..', '-I. -I..'))
        def include(name):
            with open(self.path('engine/job.h'), 'w', encoding='utf-8') as file:
                file.write(f'#include "{name}"\n')
        include('engine/version.h')
        self.check(0)
        include('cache/util/version.h')
        self.check(1, 'arrow up: engine stands below cache/util', ', 1 problems\n')

    def test_a_symbol_of_a_directory_above(self):
        """Without any include."""
        self.judge({'cache/util/text.c': 'int slot_name(void);\nint text_new(void);\n'
                                         'int text_new(void) { return slot_name(); }\n'},
                   'arrow up: cache/util stands below cache/store',
                   'cache/util/text.c -> cache/store/slot_name.c\n      slot_name\n', 'An arrow up: move')

    def test_a_variable_of_a_directory_above(self):
        """Symbols are not only functions."""
        self.judge({'cache/util/text.c': 'extern int slot_count;\nint text_new(void);\n'
                                         'int text_new(void) { return slot_count; }\n',
                    'cache/store/slot_name.c': 'int slot_count = 1;\nint slot_name(void) { return 0; }\n'},
                   'cache/util/text.c -> cache/store/slot_name.c\n      slot_count\n')

    def test_an_include_of_a_directory_above(self):
        """Without any symbol."""
        self.judge({'cache/util/text.h': '#include "cache/store/slot_parts.h"\nint text_new(void);\n'},
                   'arrow up: cache/util stands below cache/store', 'cache/util/text.c -> cache/store/slot_parts.h\n',
                   '#include "cache/store/slot_parts.h" (cache/util/text.h:1)')

    def test_a_symbol_of_a_layer_above(self):
        """The engine calls the cache."""
        self.judge({'engine/job.c': 'int slot_name(void);\nint job_run(void) { return slot_name(); }\n'},
                   'arrow up: engine stands below cache/store', 'engine/job.c -> cache/store/slot_name.c\n',
                   '      slot_name\n')

    def test_an_include_of_a_layer_above(self):
        """The engine includes the cache's public header, of its own way too: <> is as good as quotes."""
        self.judge({'engine/job.c': '#  include <cache/public.h>\nint job_run(void) { return 0; }\n'},
                   'arrow up: engine stands below cache', '#include "cache/public.h" (engine/job.c:1)')

    def test_an_include_of_what_is_no_part(self):
        """Tests use the libraries, and not the other way round."""
        self.judge({'cli/main.c': '#include "tests/fault.h"\nint main(void) { return 0; }\n'},
                   'arrow up: cli stands below tests', '#include "tests/fault.h" (cli/main.c:1)')

    def test_a_circle_of_symbols(self):
        """Of two files in one directory."""
        self.judge({'cache/store/slot_name.c': 'int slot_open(void);\nint slot_name(void);\n'
                                               'int slot_name(void) { return slot_open(); }\n'},
                   'circle of 2 files', 'cache/store/slot.c -> cache/store/slot_name.c\n      slot_name\n',
                   'cache/store/slot_name.c -> cache/store/slot.c\n      slot_open\n', 'A circle: move')

    def test_a_long_circle_of_symbols(self):
        """Of three; what only uses them, or is used by them, is not named."""
        printed = self.judge(
            {'cache/meson.build': IN_ORDER['cache/meson.build'].replace("'store/slot.c'",
                                                                        "'store/slot.c',\n  'store/third.c'"),
             'cache/store/third.c': 'int slot_open(void);\nint third(void);\nint third(void) { return slot_open(); }\n',
             'cache/store/slot_name.c': 'int third(void);\nint slot_name(void) { return third(); }\n'},
            'circle of 3 files', 'cache/store/third.c -> cache/store/slot.c\n      slot_open\n')
        self.assertNotIn('text.c', printed)
        self.assertNotIn('serve.c', printed)

    def test_a_circle_of_includes(self):
        """By headers alone, no symbol: a source and its header are one file."""
        self.judge({'cache/store/slot.c': '#include "cache/store/slot_name.h"\nint slot_open(void) { return 0; }\n',
                    'cache/store/slot_name.h': '#include "cache/store/slot.h"\n',
                    'cache/store/slot_name.c': 'int slot_name(void) { return 0; }\n'},
                   'circle of 2 files', '#include "cache/store/slot_name.h" (cache/store/slot.c:1)',
                   '#include "cache/store/slot.h" (cache/store/slot_name.h:1)')

    def test_a_circle_of_headers_without_sources(self):
        """Which a guard would hide from the compiler."""
        self.judge({'cache/store/slot_parts.h': '#pragma once\n#include "cache/store/slot_more.h"\n',
                    'cache/store/slot_more.h': '#pragma once\n#include "cache/store/slot_parts.h"\n'},
                   'circle of 2 files', 'cache/store/slot_more.h -> cache/store/slot_parts.h\n')

    def test_a_circle_of_a_symbol_and_an_include(self):
        """One way by a call, back by a type."""
        self.judge({'cache/store/slot_name.c': '#include "cache/store/slot.h"\n#include "cache/store/slot_name.h"\n'
                                               'int slot_name(void) { return 0; }\n'},
                   'circle of 2 files', 'cache/store/slot_name.c -> cache/store/slot.c\n')

    def test_a_directory_that_is_not_listed(self):
        """Its files are named: nothing would be said of their arrows."""
        self.judge({'cache/attic/old.h': ''}, 'cache/attic/old.h lies in no listed directory')

    def test_a_directory_in_two_places(self):
        """Its place in the order would be unclear."""
        self.judge({'cache/meson.build': IN_ORDER['cache/meson.build'].replace(
            "  'store/slot_name.c',\n", '').replace("serve.c',\n", "serve.c',\n  'store/slot_name.c',\n")},
                   'cache/meson.build lists cache/store in two places')

    def test_an_include_that_is_nowhere(self):
        """Behind an #if the compiler does not miss it."""
        self.judge({'cache/util/text.h': 'int text_new(void);\n#if 0\n#include "cache/gone.h"\n#endif\n'},
                   'cache/util/text.h:3 includes "cache/gone.h", which is nowhere')

    def test_a_source_that_is_not_compiled(self):
        """Its symbols are unknown."""
        self.build({})
        with open(self.path('cache/store/new.c'), 'w', encoding='utf-8'):
            pass
        self.check(1, 'cache/store/new.c is not compiled')

    def test_what_cannot_be_judged(self):
        """No build, a build of before the change, or part of one: says so, and is no success."""
        self.build({})
        os.utime(self.path('cache/store/slot.c'))
        os.utime(self.path('build/cache_store_slot.c.o'), (1, 1))
        self.check(2, 'cache/store/slot.c has no object that is up to date: build first')
        os.unlink(self.path('build/cache_store_slot.c.o'))
        self.check(2, 'cache/store/slot.c has no object that is up to date: build first')
        os.unlink(self.path('build/compile_commands.json'))
        self.check(2, 'compile_commands.json is missing: build first')


if __name__ == '__main__':
    unittest.main()
