/* Requirements and subpaths, against what rez printed. */
#include "cache/rez/requirement.h"
#include "cache/rez/version.h"
#include "tests/unit/vectors.h"

static size_t compare_with_rez(const char *vectors)
{
    CLEANUP_ITEM cJSON *document = vectors_read(vectors);
    size_t count = 0;
    const cJSON *one;
    cJSON_ArrayForEach (one, document) {
        const char *in = vectors_string(one, "in");
        const char *expected = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "str"));
        CLEANUP_TEXT struct text text = {0};
        struct pkgcache_error error = {0};
        text_append_string(&text, "before");
        int result = requirement_normalise(&text, in, strlen(in), &error);
        if (expected) {
            cr_expect(result == 0, "%s: %s", in, error.message);
            cr_expect_str_eq(text.bytes + 6, expected, "%s", in);
        } else {
            cr_expect(result == -EINVAL && error.code == EINVAL && error.message[0], "%s", in);
            cr_expect(strcmp(text.bytes, "before") == 0, "%s left %s", in, text.bytes);
        }
        count++;
    }
    return count;
}

Test(requirement, as_rez_prints_them)
{
    cr_expect(compare_with_rez("requirements.json") == 33);
}

/* Drawn at random, of every form that its grammar has, and then one of each kind kept. */
Test(requirement, odd_ones_as_rez_prints_them)
{
    cr_expect(compare_with_rez("requirements_random.json") == 414);
}

Test(requirement, reasons)
{
    static const struct {
        const char *requirement;
        const char *reason;
    } cases[] = {
        {"", "requirement \"\": \"\" is not the name of a package"},
        {"foo+-1", "requirement \"foo+-1\": \"foo+\" is not the name of a package"},
        {"foo-1;rm", "requirement \"foo-1;rm\": \"1;rm\" is not a range of versions"},
        {"foo-3+<2", "requirement \"foo-3+<2\": no version is in the range \"3+<2\""},
        {"foo-2|3|", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP_TEXT struct text text = {0};
        struct pkgcache_error error = {0};
        int result = requirement_normalise(&text, cases[i].requirement,
                                           strlen(cases[i].requirement), &error);
        if (!cases[i].reason)
            cr_expect(result == 0);
        else
            cr_expect(strcmp(error.message, cases[i].reason) == 0, "%s", error.message);
    }
}

static int normalise_many(char byte, size_t count, const char *before, const char *after)
{
    CLEANUP_TEXT struct text requirement = {0};
    CLEANUP_TEXT struct text text = {0};
    text_append_string(&requirement, before);
    for (size_t i = 0; i < count; i++)
        text_append_byte(&requirement, byte);
    text_append_string(&requirement, after);
    return requirement_normalise(&text, requirement.bytes, requirement.length, NULL);
}

Test(requirement, limits)
{
    cr_expect(normalise_many('1', REQUIREMENT_DIGITS_MAX, "foo-a", "b") == 0);
    cr_expect(normalise_many('1', REQUIREMENT_DIGITS_MAX + 1, "foo-a", "b") == -EINVAL);
    cr_expect(normalise_many('|', REQUIREMENT_BYTES_MAX - 5, "foo-1", "") == 0);
    cr_expect(normalise_many('a', REQUIREMENT_BYTES_MAX, "foo-", "") == -EINVAL);
}

static int subpath(const struct json *requires, bool hashed, struct text *text)
{
    return requirement_subpath(text, requires, hashed, NULL);
}

Test(requirement, hashed_subpaths)
{
    CLEANUP_JSON struct json_document *document = vectors_load("hashed.json");
    size_t count = 0;
    for (const struct json *one = document->root->first; one; one = one->next, count++) {
        CLEANUP_TEXT struct text text = {0};
        const struct json *expected = vectors_member(one, "dir");
        cr_expect(subpath(vectors_member(one, "requires"), true, &text) == 0);
        cr_expect(json_is_string(expected, text.bytes), "%s, not %s", text.bytes, expected->text);
    }
    cr_expect(count == 7);
}

static void expect_subpath(const char *requires, bool hashed, const char *expected)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text text = {0};
    cr_assert(json_parse(requires, strlen(requires), &document, NULL) == 0);
    int result = subpath(document->root, hashed, &text);
    cr_expect(result == (expected ? 0 : -EINVAL), "%s gave %d", requires, result);
    if (expected)
        cr_expect(strcmp(text.bytes, expected) == 0, "%s gave %s", requires, text.bytes);
}

Test(requirement, plain_subpaths)
{
    expect_subpath("[\"python-3.7\"]", false, "python-3.7");
    expect_subpath("[\"foo>=1,<2\", \"!bar-2|1\"]", false, "foo-1+<2/!bar-1|2");
    expect_subpath("[]", false, NULL); /* rez fails, too */
    expect_subpath("[1]", false, NULL);
    expect_subpath("[\"../etc\"]", false, NULL);
    expect_subpath("[\"foo-1\", \"\"]", true, NULL);
    expect_subpath("\"foo\"", true, NULL);
}

Test(version, order)
{
    cr_expect(version_compare("1.0", 3, "1-0", 3) == 0);
    cr_expect(version_compare("01", 2, "1", 1) < 0);
    cr_expect(version_compare("", 0, "_", 1) < 0);
    cr_expect(version_compare("1", 1, "1.0", 3) < 0);
    cr_expect(version_compare("1.0", 3, "1_", 2) < 0);
    cr_expect(version_compare("9", 1, "10", 2) < 0);
    cr_expect(version_compare("beta", 4, "1", 1) < 0);
    cr_expect(version_compare("99999999999999999999999999", 26, "a", 1) > 0);
    cr_expect(version_length("1.2-b_3..4", 10) == 7);
    cr_expect(version_length("-1", 2) == 0);
    cr_expect(version_length("1.", 2) == 1);
}
