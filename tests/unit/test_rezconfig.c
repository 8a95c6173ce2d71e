/* rez's settings: all of rez's vectors, and what rez does that they do not have. */
#include "cache/repr.h"
#include "cache/rez/rezconfig.h"
#include "cache/rez/rezconfig_types.h"
#include "tests/unit/vectors.h"

#include <sys/stat.h>

#define VECTOR_FILES "/svr/packages/config/" /* where they lay when rez read them */

/* The environment that the vectors were made in. */
static void clean_environment(void)
{
    clearenv();
    setenv("HOME", "/home/artist", 1);
    setenv("REZ_DISABLE_HOME_CONFIG", "1", 1);
}

/* Sets a variable to a text in which the vectors' directory may be named. */
static void set_variable(const char *name, const char *value)
{
    CLEANUP_TEXT struct text text = {0};
    const char *found;
    for (; (found = strstr(value, VECTOR_FILES)); value = found + strlen(VECTOR_FILES)) {
        text_append(&text, value, (size_t)(found - value));
        text_append_string(&text, TEST_VECTORS "/config/");
    }
    text_append_string(&text, value);
    setenv(name, text.bytes, 1);
}

static enum rezconfig_key find_key(const char *name)
{
    for (int key = 0; key < REZCONFIG_COUNT; key++)
        if (strcmp(rezconfig_table[key].name, name) == 0)
            return (enum rezconfig_key)key;
    cr_assert(false, "no setting %s", name);
    return REZCONFIG_COUNT;
}

/* The part of rez's message that is the same wherever it runs: one line, no address. */
static size_t common_length(const char *message)
{
    const char *address = strstr(message, " at 0x");
    size_t length = strcspn(message, "\n");
    return address ? MIN(length, (size_t)(address - message)) : length;
}

static void check_vector(const struct json *vector)
{
    struct rezconfig *config;
    struct pkgcache_error error = {0};
    const struct json *value;
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text label = {0};
    const struct json *expected = json_member(vector, "error");
    clean_environment();
    for (const struct json *variable = vectors_member(vector, "env")->first; variable;
         variable = variable->next)
        set_variable(variable->key, variable->text);
    json_write(&label, vector);
    cr_assert(rezconfig_new(&config) == 0);
    int result = rezconfig_get(config, find_key(vectors_member(vector, "key")->text), &value, NULL,
                               &error);
    if (expected) {
        const char *message = expected->text + strlen("ConfigurationError: ");
        cr_expect(result == -EINVAL, "%s: %d", label.bytes, result);
        cr_expect(strncmp(error.message, message, common_length(message)) == 0, "%s: %s",
                  label.bytes, error.message);
    } else {
        cr_assert(result == 0, "%s: %s", label.bytes, error.message);
        if (value->type == JSON_REAL && strcmp(value->text, "nan") == 0)
            text_append_string(&repr, value->text);
        else
            repr_append(&repr, value);
        cr_expect(json_is_string(vectors_member(vector, "repr"), repr.bytes), "%s: %s", label.bytes,
                  repr.bytes);
    }
    rezconfig_free(config);
}

Test(rezconfig, vectors)
{
    struct json_document *document = vectors_load("config.json");
    size_t count = 0;
    for (const struct json *vector = document->root->first; vector; vector = vector->next, count++)
        check_vector(vector);
    cr_expect(count == 71);
    json_document_free(document);
}
