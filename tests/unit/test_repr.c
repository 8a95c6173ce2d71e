/* Python's repr, against what Python printed. */
#include "cache/json/repr.h"
#include "tests/unit/vectors.h"

static void expect_repr(const char *input, bool tuple, const char *expected)
{
    CLEANUP_JSON struct json_document *document = NULL;
    cr_assert(json_parse(input, strlen(input), &document, NULL) == 0, "%s", input);
    if (tuple)
        document->root->type = JSON_TUPLE;
    CLEANUP_TEXT struct text text = {0};
    repr_append(&text, document->root);
    cr_expect(text_is(&text, expected, strlen(expected)), "%s gave %s", input, text.bytes);
}

Test(repr, strings_that_python_printed)
{
    CLEANUP_JSON struct json_document *document = vectors_load("repr_strings.json");
    size_t count = 0;
    for (const struct json *pair = document->root->first; pair; pair = pair->next) {
        const struct json *expected = pair->first->next;
        CLEANUP_TEXT struct text text = {0};
        repr_append(&text, pair->first);
        cr_expect(text_is(&text, expected->text, expected->text_length), "%s, not %s", text.bytes,
                  expected->text);
        count++;
    }
    cr_expect(count == 314);
}

static bool escapes(uint32_t code_point)
{
    char bytes[UTF8_MAX_BYTES];
    size_t length = utf8_encode(code_point, bytes);
    CLEANUP_TEXT struct text text = {0};
    repr_append_string(&text, bytes, length);
    cr_assert(text.length >= 3 && text.error == 0);
    return text.bytes[1] == '\\' && code_point != '\\';
}

Test(repr, every_code_point_is_printable_or_not_as_python_has_it)
{
    CLEANUP_ITEM cJSON *document = vectors_read("nonprintable.json");
    uint32_t next = 0;
    const cJSON *range;
    cJSON_ArrayForEach (range, cJSON_GetObjectItemCaseSensitive(document, "nonprintable")) {
        double first = cJSON_GetNumberValue(cJSON_GetArrayItem(range, 0));
        double last = cJSON_GetNumberValue(cJSON_GetArrayItem(range, 1));
        cr_assert(first >= next && last >= first && last <= 0x10ffff);
        for (; next < first; next++)
            cr_assert(!escapes(next), "U+%04X is printable", next);
        for (; next <= last; next++)
            cr_assert(escapes(next), "U+%04X is not printable", next);
    }
    cr_assert(next > 0);
    for (; next <= 0x10ffff; next++)
        cr_assert(!escapes(next), "U+%04X is printable", next);
}

Test(repr, values)
{
    expect_repr("null", false, "None");
    expect_repr("[true, false]", false, "[True, False]");
    expect_repr("[1, -0, 18446744073709551616, 1.0, 1e16, -0.0]", false,
                "[1, 0, 18446744073709551616, 1.0, 1e+16, -0.0]");
    expect_repr("{\"z\": [], \"a\": {}, \"it's\": \"\\\"\"}", false,
                "{'z': [], 'a': {}, \"it's\": '\"'}");
    expect_repr("[]", true, "()");
    expect_repr("[1]", true, "(1,)");
    expect_repr("[1, [2]]", true, "(1, [2])");
}

Test(repr, bytes_that_are_not_utf8_are_escaped_as_surrogates)
{
    CLEANUP_TEXT struct text text = {0};
    repr_append_string(&text, "a\xff\xc3", 3);
    cr_expect_str_eq(text.bytes, "'a\\udcff\\udcc3'");
}
