/* The literal part of Python modules: what is read, what is not known, what is refused. */
#include "cache/json/repr.h"
#include "cache/rez/pyliteral.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

static void expect_bytes(const char *module_text, size_t length, const char *name,
                         const char *expected)
{
    struct pyliteral_module module;
    struct pkgcache_error error = {0};
    CLEANUP_TEXT struct text value = {0};
    int result = pyliteral_parse(module_text, length, &module, &error);
    cr_assert(result == 0, "%s: %s", module_text, error.message);
    const struct pyliteral_name *found = pyliteral_find(&module, name);
    if (!found)
        text_append_string(&value, "nothing");
    else if (!found->value)
        text_printf(&value, "? %u", found->line);
    else
        repr_append(&value, found->value);
    cr_expect(text_is(&value, expected, strlen(expected)), "%s: %s is %s, not %s", module_text,
              name, value.bytes, expected);
    pyliteral_free(&module);
}

/* REPR; "? LINE": it is not literal; "nothing". */
static void expect(const char *module_text, const char *name, const char *expected)
{
    expect_bytes(module_text, strlen(module_text), name, expected);
}

static void expect_refused_bytes(const char *text, size_t length, const char *message)
{
    struct pyliteral_module module;
    struct pkgcache_error error = {0};
    cr_expect(pyliteral_parse(text, length, &module, &error) == -EBADMSG, "%.40s", text);
    cr_expect(strstr(error.message, message), "%.40s: %s", text, error.message);
    cr_expect(module.names == NULL && module.values.blocks == NULL);
}

static void expect_refused(const char *text, const char *message)
{
    expect_refused_bytes(text, strlen(text), message);
}

Test(pyliteral, values)
{
    expect("a = 'x'", "a", "'x'");
    expect("a = 'x' r'\\n' \"y\\n\"\n", "a", "'x\\\\ny\\n'");
    expect("a = ('x'  # one\n     'y')", "a", "'xy'");
    expect("a = '''x\r\ny\rz'''", "a", "'x\\ny\\nz'");
    expect("a = '\\x41\\101\\u00e9\\q\\\n'", "a", "'AA\u00e9\\\\q'");
    expect("a = '\\ud800'", "a", "'\\ud800'");
    expect("a = 1_000", "a", "1000");
    expect("a = 0xffffffffffffffff", "a", "18446744073709551615");
    expect("a = - -0b11", "a", "3");
    expect("a = -0", "a", "0");
    expect("a = -1_0.50e0_0", "a", "-10.5");
    expect("a = [1, (2,), (), {'k': None, 'l': 1, 'k': True,},]", "a",
           "[1, (2,), (), {'k': True, 'l': 1}]");
    expect("a = 1, 'b',", "a", "(1, 'b')");
    expect("a = not 0 and '' or [] if 0.0 else 'z'", "a", "'z'");
    expect("a = [['x'], ] if False else [['y'], (\n'z')]\n", "a", "[['y'], 'z']");
}

Test(pyliteral, assignments)
{
    expect("a = 1\na = 2\n", "a", "2");
    expect("a: 'x[1]' = 2", "a", "2");
    expect("a: list[int] | None = None", "a", "None");
    expect("a = b = c = 'x'", "b", "'x'");
    expect("name, version = 'a', '1'; x = 0", "version", "'1'");
    expect("[a, b] = (c, d) = 1, 2", "d", "2");
    expect("\xEF\xBB\xBF# coding: utf-8\n\f\na = \\\n 1", "a", "1");
    expect("if x:\n\ta = 1\na = 2", "a", "2");
    expect("def a():\n    pass\na = 1", "a", "1");
    expect("name = 'x'\nif name: pass\nf(name)", "name", "'x'");
    expect("def commands():\n    variants = 3\n    global_x = variants\nname = 1", "name", "1");
    expect("f(a=1)", "a", "nothing");
}

Test(pyliteral, not_literal)
{
    static const char *const values[] = {
        "f()",
        "b",
        "1 + 1",
        "'a' % 1",
        "[*()]",
        "{1: 2}",
        "{1}",
        "b'x'",
        "1j",
        "f'{x}'",
        "1e999",
        "'\\N{DOT}'",
        "-True",
        "~1",
        "1 < 2",
        "lambda: 0",
        "...",
        "'a'.b",
        "0777",
        "0x1ffffffffffffffff",
        "[x for x in ()]",
        "(yield)",
        "not 1 == 2",
        "'\\x4'",
        "'\\U00110000'",
        "(b := 1)",
        "await x",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        char module[128];
        snprintf(module, sizeof(module), "\na = %s\n", values[i]);
        expect(module, "a", "? 2");
    }
}

Test(pyliteral, what_else_assigns)
{
    static const char *const statements[] = {
        "if x: a = 2",
        "if x:\n a = 2",
        "if x: b = 1; a = 2",
        "for a in x: pass",
        "with f() as (b, a): pass",
        "try:\n pass\nexcept E as a: pass",
        "import a",
        "import b.c as a",
        "from a import (b,\n a)",
        "del a",
        "a += 1",
        "a @= 1",
        "a.b = 1",
        "a[0] = 2",
        "f(a := 2)",
        "f'{(a:=2)}'",
        "class a: pass",
        "@early()\ndef a(): pass",
        "async def a(): pass",
        "a, *b = 2",
        "(b, (c, a)) = 1, (2, 3)",
        "a, b = 'xy'",
        "b = a = f()",
        "from x import *",
        "match x:\n case [a]: pass",
        "def f():\n global a\n a = 2",
        "exec('a = 2')",
        "x = globals",
        "\u00aa = 2",
        "with scope('a') as c: pass",
        "x = scope",
        "scope(f())",
        "a: (b := 1) = 2",
        "while x: import a",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(statements); i++) {
        char module[128];
        struct pyliteral_module read;
        int length = snprintf(module, sizeof(module), "a = 1\n%s\n", statements[i]);
        cr_assert(pyliteral_parse(module, (size_t)length, &read, NULL) == 0, "%s", module);
        cr_expect(pyliteral_find(&read, "a") && !pyliteral_find(&read, "a")->value, "%s", module);
        pyliteral_free(&read);
    }
    expect("from x import *\nname = 1\n", "version", "? 1");
    expect("from x import *\nname = 1\n", "name", "1");
}

Test(pyliteral, scopes)
{
    expect(
        "with scope('config') as c:\n    c.x = 1\n    # y\n    c.y = ['a']\n    c.x = 2\nname = 1",
        "config", "{'x': 2, 'y': ['a']}");
    expect("with scope('config') as config:\n\tconfig.x = {}\nconfig = 2\nname = 1\n", "config",
           "{'x': {}}");
    expect("with scope('config') as c:\n c.x = 1\nname = 1\nif name:\n a = 1", "name", "1");
    expect("with scope('config') as c:\n c.x = 1\n", "c", "? 1");
    static const char *const others[] = {
        "\n c.x.y = 1",
        "\n c.x += 1",
        "\n c['x'] = 1",
        "\n x = 1",
        "\n c.x = f()",
        " c.x = 1",
        "\n c.x = 1; c.y = 2",
        "\n c.x = 1\n if x:\n  c.y = 2",
        "\n d.x = 1",
        "\n c.__x__ = 1",
        "\n c.x = c.y = 1",
        "\n c.x = 1\nwith scope('config'): pass",
        "\n c.x = 1\nwith scope('config') as d:\n d.x = 1",
        "\n c.x = 1\nexec('')",
        "\n pass",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        char module[128];
        struct pyliteral_module read;
        int length = snprintf(module, sizeof(module), "with scope('config') as c:%s\nconfig = 1\n",
                              others[i]);
        cr_assert(pyliteral_parse(module, (size_t)length, &read, NULL) == 0, "%s", module);
        cr_expect(!pyliteral_find(&read, "config")->value, "%s", module);
        pyliteral_free(&read);
    }
}

Test(pyliteral, lists_that_others_may_change)
{
    static const char *const mentions[] = {
        "a.append(1)", "b = a",   "f(a)",   "def f(): a.clear()",
        "lambda: a",   "b = [a]", "f'{a}'", "class C:\n b = a",
        "b: a = 1",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(mentions); i++) {
        char module[128];
        snprintf(module, sizeof(module), "%s\na = [1]\n", mentions[i]);
        expect(module, "a", strchr(mentions[i], '\n') ? "? 3" : "? 2");
        snprintf(module, sizeof(module), "%s\na = (1, 'x')\n", mentions[i]);
        expect(module, "a", "(1, 'x')");
    }
    expect("a = b = []", "a", "? 1");
    expect("a, b = [], []", "a", "[]");
}

Test(pyliteral, what_is_skipped)
{
    expect("def f(x='''\na = 2\n''', *, y: {1: 2} = (\n3)) -> 'z':\n  a = f\"{x['y']:>{w}}\" # "
           ":\n\n# x\n"
           "  if x: return\na = 1",
           "a", "1");
    expect("x = f'{a!r:{\"}\"}}' '''\na = 2'''\na = 1", "a", "1");
    expect("x = f'{{a}} {{'\na = 1", "a", "1");
    expect("class X:\n\tdef f(self):\n\t\ta = 1\n\ta = 2\n", "a", "nothing");
    expect("x = f'{'y'}'\na = 1", "a", "1");
    expect("x = f'{y'\na = 1", "a", "? 1");
    expect("  \\\n\na = 1", "a", "? 1");
}

Test(pyliteral, encodings)
{
    expect("# -*- coding: latin-1 -*-\na = '\xe9'\n", "a", "? 1");
    expect("#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\na = 1", "a", "? 2");
    expect("# coding: UTF_8\na = '\u00e9'\n", "a", "'\u00e9'");
    expect("x = 1\n# coding: latin-1\na = 1", "a", "1");
    expect_refused("a = 1\nb = '\xe9'\n", "line 2: not UTF-8");
    expect_refused_bytes("a = 1\n\0", 7, "line 2: a NUL");
}

Test(pyliteral, refused)
{
    expect_refused("a = (1,\n'b'", "line 2: the text ends inside brackets");
    expect_refused("a = (1]", "line 1: a bracket closes none");
    expect_refused("x = 1\na = 'b\n", "line 2: a string does not end");
    expect_refused("a = '''b\n\n", "line 1: a string does not end");
    expect_refused("  a = 1", "line 1: it is indented");
    expect_refused("if x:\n    a\n  b\n", "line 3: the indentation matches no line");
    expect_refused("if x:\n\ta\n        b\n", "line 3: tabs and spaces");
    expect_refused("if x:\na = 1\n", "line 1: an indented block is missing");
    expect_refused("def f():\n", "line 1: an indented block is missing");
    expect_refused("a = \\ 1\n", "line 1: a backslash must end its line");
    expect_refused("a = \\\n", "line 2: the text ends in a joined line");
}

static void repeat(struct text *text, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++)
        text_append_string(text, piece);
}

static void expect_repeated(const char *piece, size_t count, const char *rest, const char *expected)
{
    CLEANUP_TEXT struct text text = {0};
    text_append_string(&text, "a = ");
    repeat(&text, piece, count);
    text_append_string(&text, rest);
    if (strncmp(expected, "line", 4) == 0)
        expect_refused_bytes(text.bytes, text.length, expected);
    else
        expect_bytes(text.bytes, text.length, "a", expected);
}

Test(pyliteral, deep)
{
    expect_repeated("[", 100000, "", "line 1: brackets are nested too deeply");
    expect_repeated("[", 199, "", "line 1: the text ends inside brackets");
    expect_repeated("(", 100, "1", "line 1: the text ends inside brackets");
    expect_repeated("not ", 100000, "1", "True");
    expect_repeated("- ", 100000, "1", "1");
    expect_repeated("1 if 0 else ", 50, "2", "2");
    expect_repeated("1 if 0 else ", 100000, "2", "? 1");
    expect_repeated("0 or ", 100000, "2", "2");
    expect_repeated("'x' ", 3, "", "'xxx'");
    expect_repeated("f'{", 100000, "", "? 1");
    expect_repeated("b = ", 64, "1", "? 1");
    CLEANUP_TEXT struct text text = {0};
    for (size_t i = 0; i < 200; i++) {
        repeat(&text, " ", i);
        text_append_string(&text, "if x:\n");
    }
    expect_refused_bytes(text.bytes, text.length, "line 101: it is indented too deeply");
}

/* Linear in time: each of these takes seconds where it is not. */
Test(pyliteral, large, .timeout = PATIENCE_S)
{
    enum { MANY = 200000 };
    CLEANUP_TEXT struct text names = {0};
    for (unsigned i = 0; i < MANY; i++)
        text_printf(&names, "n%u = 1\nfrom x import *\n", i);
    expect_bytes(names.bytes, names.length, "n1", "? 400000");
    for (unsigned i = MANY; i < (1 << 18) + 1; i++)
        text_printf(&names, "n%u = 1\n", i);
    expect_refused_bytes(names.bytes, names.length, "names");

    CLEANUP_TEXT struct text keys = {0};
    text_append_string(&keys, "a = {");
    for (unsigned i = 0; i < MANY; i++)
        text_printf(&keys, "'%u': 1,", i);
    text_append_string(&keys, "}\nb = 2\n");
    expect_bytes(keys.bytes, keys.length, "b", "2");

    CLEANUP_TEXT struct text values = {0};
    text_append_string(&values, "a = [");
    repeat(&values, "1,", 1100000);
    text_append_string(&values, "]\nb = 2");
    expect_bytes(values.bytes, values.length, "a", "? 1");
    expect_bytes(values.bytes, values.length, "b", "? 2");
}

/* What `a` is assigned: "NAME REPR" of a call; "": no call that is read. */
static void expect_call(const char *module_text, const char *expected)
{
    struct pyliteral_module module;
    CLEANUP_TEXT struct text call = {0};
    cr_assert(pyliteral_parse(module_text, strlen(module_text), &module, NULL) == 0);
    const struct pyliteral_name *found = pyliteral_find(&module, "a");
    cr_assert(found && !found->value && !found->call == !found->arguments, "%s", module_text);
    if (found->call) {
        text_printf(&call, "%s ", found->call);
        repr_append(&call, found->arguments);
    }
    cr_expect(text_is(&call, expected, strlen(expected)), "%s", module_text);
    pyliteral_free(&module);
}

Test(pyliteral, calls)
{
    expect_call("a = ModifyList(append=['/x'], prepend=(\n'y',),)",
                "ModifyList {'append': ['/x'], 'prepend': ('y',)}");
    expect_call("a = F()", "F {}");
    static const char *const others[] = {
        "a = F(['x'])",     "a = F(x=y)",   "a = F(x=1).y",           "a = F(x=1) + [2]",
        "a = F(x=1,, y=2)", "a = F(**{})",  "a, b = F(x=1)",          "a = F(x=1)\na.append(2)",
        "a = eval(x=1)",    "a = F(x=1)()", "a = F(x=1) if b else 2", "a = b = F(x=1)",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        expect_call(others[i], "");
}
