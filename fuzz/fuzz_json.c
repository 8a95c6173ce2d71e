/* What is read can be written, and what is written reads back the same; so do strings of any bytes.
 */
#include "cache/json/json.h"
#include "cache/json/repr.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_text(const char *data, size_t size)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_JSON struct json_document *again = NULL;
    struct pkgcache_error error = {0};
    int result = json_parse(data, size, &document, &error);
    FUZZ_CHECK(result == -error.code);
    FUZZ_CHECK((result == 0) == (document != NULL));
    if (result < 0) {
        FUZZ_CHECK(result == -EBADMSG && error.message[0]);
        return;
    }

    CLEANUP_TEXT struct text once = {0};
    CLEANUP_TEXT struct text twice = {0};
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text repr_again = {0};
    json_write(&once, document->root);
    FUZZ_CHECK(once.error == 0);
    FUZZ_CHECK(json_parse(once.bytes, once.length, &again, &error) == 0);
    json_write(&twice, again->root);
    FUZZ_CHECK(twice.length == once.length && memcmp(twice.bytes, once.bytes, once.length) == 0);
    repr_append(&repr, document->root);
    repr_append(&repr_again, again->root);
    FUZZ_CHECK(repr.error == 0 && utf8_is_valid(repr.bytes, repr.length, UTF8_STRICT));
    FUZZ_CHECK(repr_again.length == repr.length);
    FUZZ_CHECK(memcmp(repr_again.bytes, repr.bytes, repr.length) == 0);

    char quoted[JSON_QUOTE_SIZE];
    FUZZ_CHECK(strlen(json_quote(document->root, quoted)) < JSON_QUOTE_SIZE);
}

static void check_bytes(const char *data, size_t size)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text text = {0};
    json_write_string(&text, data, size);
    FUZZ_CHECK(text.error == 0);
    FUZZ_CHECK(json_parse(text.bytes, text.length, &document, NULL) == 0);
    const struct json *string = document->root;
    FUZZ_CHECK(string->type == JSON_STRING);
    CLEANUP_FREE char *path = malloc(string->text_length + 1);
    FUZZ_CHECK(path && utf8_to_path(string->text, string->text_length, path) == 0);
    FUZZ_CHECK(memcmp(path, data, size) == 0 && path[size] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text((const char *)data, size);
    check_bytes((const char *)data, size);
    return 0;
}
