/* Definitions in both formats, and what rez might answer: attributes are of their types, or
 * refused. */
#include "cache/rez/definition_text.h"
#include "fuzz/fuzz.h"

#include <string.h>

static bool is_sequence(const struct json *value)
{
    return value->type == JSON_ARRAY || value->type == JSON_TUPLE;
}

static void check_definition(const struct definition *definition)
{
    const struct json *variants = definition->variants;
    FUZZ_CHECK(!variants || (is_sequence(variants) && variants->first));
    FUZZ_CHECK(!definition->config || definition->config->type == JSON_OBJECT);
    for (const struct json *variant = variants ? variants->first : NULL; variant;
         variant = variant->next) {
        FUZZ_CHECK(is_sequence(variant));
        for (const struct json *request = variant->first; request; request = request->next)
            FUZZ_CHECK(request->type == JSON_STRING && request->text);
    }
    if (definition->name)
        FUZZ_CHECK(strlen(definition->name) < SIZE_MAX);
    if (definition->version)
        FUZZ_CHECK(strlen(definition->version) < SIZE_MAX);
}

static int parse_answer(const char *text, size_t length, struct definition *definition,
                        struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    if (json_parse(text, length, &document, error) < 0)
        return -EBADMSG;
    return definition_take(document->root, definition, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int (*const parsers[])(const char *text, size_t length, struct definition *definition,
                                  struct pkgcache_error *error) = {
        definition_parse_python,
        definition_parse_yaml,
        parse_answer,
    };
    for (size_t i = 0; i < ARRAY_LENGTH(parsers); i++) {
        struct definition definition = {.path = "package"};
        struct pkgcache_error error = {0};
        int result = parsers[i]((const char *)data, size, &definition, &error);
        FUZZ_CHECK(result == 0 || result == -EBADMSG || result == -EAGAIN);
        FUZZ_CHECK(result == 0 || *error.message);
        if (result == 0)
            check_definition(&definition);
        values_free(&definition.values);
    }
    return 0;
}
