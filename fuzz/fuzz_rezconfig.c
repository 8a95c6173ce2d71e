/*
 * rez's settings: two files on top of each other, YAML or Python, and what variables say. The first
 * byte says which; a NUL ends the first of two files. What is accepted has the type of its setting,
 * and its strings are expanded to something that can be a path.
 */
#include "cache/rez/rezconfig_expand.h"
#include "cache/rez/rezconfig_file.h"
#include "cache/rez/rezconfig_merge.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_strings(const struct json *value)
{
    if (value->type == JSON_STRING)
        FUZZ_CHECK(!memchr(value->text, '\0', value->text_length));
    for (const struct json *child = value->first; child; child = child->next)
        check_strings(child);
}

/* A value from wherever: of its type or refused, and expanded. */
static void check_value(enum rezconfig_key key, const struct json *value, struct values *values)
{
    const struct json *expanded;
    struct pkgcache_error error = {0};
    if (rezconfig_check(&rezconfig_table[key], value, "fuzz", &error) < 0) {
        FUZZ_CHECK(strstr(error.message, rezconfig_name(key)));
        return;
    }
    if (rezconfig_expand(value, values, &expanded, &error) < 0)
        return;
    FUZZ_CHECK(expanded->type == value->type);
    check_strings(expanded);
}

static void check_files(struct rezconfig_file *const files[2])
{
    static const struct json nothing = {.type = JSON_NULL};
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        CLEANUP_VALUES struct values values = {0};
        struct pkgcache_error error;
        const struct json *value = &nothing;
        int result = 0;
        for (int i = 0; i < 2 && result == 0; i++)
            result = rezconfig_file_apply(files[i], (enum rezconfig_key)key, value, &values, &value,
                                          &error);
        if (result == 0)
            check_value((enum rezconfig_key)key, value, &values);
    }
}

static void read_files(const char *name, const char *text, size_t length)
{
    struct rezconfig_file *files[2] = {0};
    struct pkgcache_error error;
    const char *middle = memchr(text, '\0', length);
    size_t first = middle ? (size_t)(middle - text) : length;
    size_t skipped = middle ? first + 1 : first;
    if (rezconfig_file_parse(name, text, first, &files[0], &error) == 0 &&
        rezconfig_file_parse(name, text + skipped, length - skipped, &files[1], &error) == 0)
        check_files(files);
    rezconfig_file_free(files[0]);
    rezconfig_file_free(files[1]);
}

static void read_variable(const char *text, size_t length)
{
    char *variable = calloc(1, length + 1);
    FUZZ_CHECK(variable);
    memcpy(variable, text, length);
    for (int key = 0; key < REZCONFIG_COUNT; key++) {
        CLEANUP_VALUES struct values values = {0};
        struct pkgcache_error error;
        const struct json *value;
        if (rezconfig_parse(&rezconfig_table[key], variable, &values, &value, &error) < 0)
            continue;
        FUZZ_CHECK(rezconfig_check(&rezconfig_table[key], value, "fuzz", &error) == 0);
        check_value((enum rezconfig_key)key, value, &values);
    }
    free(variable);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    setenv("HOME", "/home/artist", 1);
    setenv("PKGCACHE_REZ_PYTHON", "", 1); /* it is not to be started */
    if (size == 0)
        return 0;
    if (*data == 'y')
        read_files("fuzz.yaml", text, size - 1);
    else if (*data == 'p')
        read_files("fuzz.py", text, size - 1);
    else
        read_variable(text, size - 1);
    return 0;
}
