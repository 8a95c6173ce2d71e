/* YAML: how scalars resolve, merges, aliases, and what is refused. */
#include "cache/json/repr.h"
#include "cache/rez/yaml.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

static int parse(const char *text, size_t length, struct text *repr, struct pkgcache_error *error)
{
    CLEANUP_VALUES struct values values = {0};
    struct json *root;
    int result = yaml_parse(text, length, &values, &root, error);
    if (result == 0)
        repr_append(repr, root);
    return result;
}

static void expect(const char *text, const char *expected)
{
    CLEANUP_TEXT struct text repr = {0};
    struct pkgcache_error error = {0};
    cr_assert(parse(text, strlen(text), &repr, &error) == 0, "%s: %s", text, error.message);
    cr_expect(text_is(&repr, expected, strlen(expected)), "%s: %s, not %s", text, repr.bytes,
              expected);
}

static void expect_refused_bytes(const char *text, size_t length, const char *message)
{
    CLEANUP_TEXT struct text repr = {0};
    struct pkgcache_error error = {0};
    cr_expect(parse(text, length, &repr, &error) == -EBADMSG, "%.40s: %s", text, repr.bytes);
    cr_expect(strstr(error.message, message), "%.40s: %s", text, error.message);
}

static void expect_refused(const char *text, const char *message)
{
    expect_refused_bytes(text, strlen(text), message);
}

Test(yaml, scalars)
{
    expect("", "None");
    expect("# x\n", "None");
    expect("[yes, No, ON, off, true, FALSE, y, n, 'yes', !!str yes]",
           "[True, False, True, False, True, False, 'y', 'n', 'yes', 'yes']");
    expect("[~, null, Null, NULL, nULL, '', ! null]", "[None, None, None, None, 'nULL', '', None]");
    expect("[1, -0, +1_0, 010, 0o10, 08, 0b1_1, 0x1F, -0x1f, 1:30, -1:00:00, 01:30, 1:60]",
           "[1, 0, 10, 8, '0o10', '08', 3, 31, -31, 90, -3600, '01:30', '1:60']");
    expect(
        "[1.5, .5, 5., -.5, 1e5, 1.0e5, 1.0e+5, 1:30.5, .inf, -.INF, .nan, 1.0.0, 1_0.0_1]",
        "[1.5, 0.5, 5.0, '-.5', '1e5', '1.0e5', 100000.0, 90.5, inf, -inf, nan, '1.0.0', 10.01]");
    expect("[2020-01-01, 2020-1-1, 1.0-beta]", "['2020-01-01', '2020-1-1', '1.0-beta']");
    expect("18446744073709551616", "18446744073709551616");
    expect("\"\\0\\x41\\u00e9\"", "'\\x00A\u00e9'");
    expect("|\n block\n text\n", "'block\\ntext\\n'");
    expect(">-\n folded\n text\n", "'folded text'");
    expect("\xEF\xBB\xBF"
           "a",
           "'a'");
}

Test(yaml, mappings)
{
    expect("a: 1\nb: {c: [d]}\na: 2\n", "{'a': 2, 'b': {'c': ['d']}}");
    expect("1: x\nyes: y\n~: z\n2020-01-01: d\na: b", "{'a': 'b'}");
    expect("=: x\n'<<': y\n", "{'=': 'x', '<<': 'y'}");
    expect("a: &a {x: 1, y: 2}\nb: {z: 0, <<: *a, y: 3}\n",
           "{'a': {'x': 1, 'y': 2}, 'b': {'x': 1, 'y': 3, 'z': 0}}");
    expect("a: &a {x: 1}\nb: {<<: [*a, {x: 2, y: 2}]}\n", "{'a': {'x': 1}, 'b': {'x': 1, 'y': 2}}");
    expect("a: {<<: &m {x: 1}}\nb: *m\n", "{'a': {'x': 1}, 'b': {'x': 1}}");
    expect("&k a: 1\nb: *k\n*k : 2\n", "{'a': 2, 'b': 'a'}");
    expect("a: &x 1\na: 2\nb: *x\n", "{'a': 2, 'b': 1}");
    expect("- &a [1]\n- *a\n- *a\n", "[[1], [1], [1]]");
}

Test(yaml, refused)
{
    expect_refused("a: [", "line 2, column 1: ");
    expect_refused("a: 1\n b: 2\n", "line 2, column 3: ");
    expect_refused("a\n---\nb\n", "several documents");
    expect_refused("- <<\n", "line 1, column 3: this stands for no value");
    expect_refused("=", "stands for no value");
    expect_refused("[a]: b", "a key that is neither");
    expect_refused("? {}\n: b", "a key that is neither");
    expect_refused("- &a [1]\n- *a : 2\n", "a key that is neither");
    expect_refused("*a", "alias");
    expect_refused("&a [*a]", "an alias inside what it stands for");
    expect_refused("&a {<<: *a}", "an alias inside what it stands for");
    expect_refused("- &a 1\n- &a 2\n", "an anchor has this name already");
    expect_refused("<<: 1", "only mappings can be merged");
    expect_refused("<<: [1]", "only mappings can be merged");
    expect_refused("!!python/tuple [1]", "a tag that is not known");
    expect_refused("!!set {a}", "a tag that is not known");
    expect_refused("!!int a", "not what its tag says");
    expect_refused("!x a", "a tag that is not known");
    expect_refused("0b_", "a number that cannot be read");
    expect_refused("0xfffffffffffffffff", "a number that cannot be read");
    expect_refused("a: '\xe9'", "not UTF-8");
    expect_refused_bytes("a\0b", 3, "NUL");
}

static void repeat(struct text *text, const char *piece, size_t count)
{
    for (size_t i = 0; i < count; i++)
        text_append_string(text, piece);
}

/* Also as large as a file may be: each costs no more than what is read of it. */
Test(yaml, bounds, .timeout = PATIENCE_S)
{
    CLEANUP_TEXT struct text deep = {0};
    repeat(&deep, "[", 100000);
    expect_refused_bytes(deep.bytes, deep.length, "values are nested too deeply");

    CLEANUP_TEXT struct text bomb = {0};
    text_append_string(&bomb, "- &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        text_printf(&bomb, "- &a%d [", i);
        for (int j = 0; j < 10; j++)
            text_printf(&bomb, "*a%d, ", i - 1);
        text_append_string(&bomb, "]\n");
    }
    expect_refused_bytes(bomb.bytes, bomb.length, "too many values");

    CLEANUP_TEXT struct text chain = {0};
    text_append_string(&chain, "- &a0 []\n");
    for (int i = 1; i < 100; i++)
        text_printf(&chain, "- &a%d [*a%d]\n", i, i - 1);
    expect_refused_bytes(chain.bytes, chain.length, "too deeply");

    CLEANUP_TEXT struct text anchors = {0};
    for (int i = 0; i < 2000; i++)
        text_printf(&anchors, "- &a%d x\n", i);
    expect_refused_bytes(anchors.bytes, anchors.length, "too many anchors");

    CLEANUP_TEXT struct text many = {0};
    repeat(&many, "- x\n", (1 << 20) + 1);
    expect_refused_bytes(many.bytes, many.length, "too many values");
}
