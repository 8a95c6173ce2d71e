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

/* repr() of a value; JSON has no other numbers than finite ones. */
static void append_repr(struct text *text, const struct json *value)
{
    if (value->type == JSON_REAL && strpbrk(value->text, "in"))
        text_append_string(text, value->text);
    else
        repr_append(text, value);
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

/* How rez ended: its message, or NULL. Other errors than this one are not meant for people. */
static const char *expected_message(const struct json *vector)
{
    static const char ours[] = "ConfigurationError: ";
    const struct json *error = json_member(vector, "error");
    if (!error)
        return NULL;
    return strncmp(error->text, ours, strlen(ours)) == 0 ? error->text + strlen(ours) : "";
}

static void check_vector(const struct json *vector, size_t *asked)
{
    struct rezconfig *config;
    struct pkgcache_error error = {0};
    const struct json *value;
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text label = {0};
    const char *message = expected_message(vector);
    clean_environment();
    for (const struct json *variable = vectors_member(vector, "env")->first; variable;
         variable = variable->next)
        set_variable(variable->key, variable->text);
    json_write(&label, vector);
    cr_assert(rezconfig_new(&config) == 0);
    int result =
        rezconfig_get(config, find_key(vectors_member(vector, "key")->text), &value, NULL, &error);
    if (result < 0 && strstr(error.message, "only rez can tell")) {
        ++*asked; /* and there is none */
    } else if (message) {
        cr_expect(result == -EINVAL, "%s: %d", label.bytes, result);
        cr_expect(strncmp(error.message, message, common_length(message)) == 0, "%s: %s",
                  label.bytes, error.message);
    } else {
        cr_expect(result == 0, "%s: %s", label.bytes, error.message);
        if (result == 0)
            append_repr(&repr, value);
        cr_expect(result == 0 && json_is_string(vectors_member(vector, "repr"), repr.bytes),
                  "%s: %s", label.bytes, repr.bytes);
    }
    rezconfig_free(config);
}

static void check_vectors(const char *name, size_t expected_count, size_t expected_asked)
{
    struct json_document *document = vectors_load(name);
    size_t count = 0, asked = 0;
    for (const struct json *vector = document->root->first; vector; vector = vector->next, count++)
        check_vector(vector, &asked);
    cr_expect(count == expected_count, "%zu", count);
    cr_expect(asked == expected_asked, "%zu", asked);
    json_document_free(document);
}

Test(rezconfig, vectors)
{
    check_vectors("config.json", 71, 0);
}

/* Those that rez is asked about have a conversion, or a format. */
Test(rezconfig, more_vectors)
{
    check_vectors("config_more.json", 375, 12);
}
