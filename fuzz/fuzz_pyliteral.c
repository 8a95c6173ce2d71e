/*
 * Python modules. What is read as a literal is one when it is written as Python writes it, and
 * reads the same again; a newline at the end changes nothing.
 */
#include "cache/json/repr.h"
#include "cache/rez/pyliteral.h"
#include "fuzz/fuzz.h"

#include <string.h>

static int depth_of(const struct json *value)
{
    int depth = 0;
    for (const struct json *child = value->first; child; child = child->next)
        depth = MAX(depth, depth_of(child));
    return depth + 1;
}

static void check_again(const struct json *value)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_TEXT struct text again = {0};
    struct pyliteral_module module;
    text_append_string(&text, "a = ");
    repr_append(&text, value);
    FUZZ_CHECK(!text.error && depth_of(value) <= JSON_MAX_DEPTH + 1);
    FUZZ_CHECK(pyliteral_parse(text.bytes, text.length, &module, NULL) == 0);
    const struct pyliteral_name *name = pyliteral_find(&module, "a");
    FUZZ_CHECK(name && name->value);
    text_append_string(&again, "a = ");
    repr_append(&again, name->value);
    FUZZ_CHECK(again.length == text.length && memcmp(again.bytes, text.bytes, text.length) == 0);
    pyliteral_free(&module);
}

static void check_names(const struct pyliteral_module *module, size_t lines)
{
    for (const struct pyliteral_name *name = module->names; name; name = name->next) {
        FUZZ_CHECK(*name->name && name->line > 0 && name->line <= lines);
        FUZZ_CHECK(!name->value || !name->call);
        FUZZ_CHECK(pyliteral_find(module, name->name));
        if (name->value)
            check_again(name->value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pyliteral_module module, longer;
    struct pkgcache_error error = {0};
    CLEANUP_TEXT struct text text = {0};
    size_t lines = 1;
    int result = pyliteral_parse((const char *)data, size, &module, &error);
    FUZZ_CHECK(result == 0 || result == -EBADMSG);
    FUZZ_CHECK(result == 0 || strstr(error.message, "line ") == error.message);
    if (result < 0)
        return 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r';
    check_names(&module, lines);
    text_append(&text, (const char *)data, size);
    text_append_byte(&text, '\n');
    if (size == 0 || data[size - 1] != '\\') {
        FUZZ_CHECK(pyliteral_parse(text.bytes, text.length, &longer, NULL) == 0);
        pyliteral_free(&longer);
    }
    pyliteral_free(&module);
    return 0;
}
