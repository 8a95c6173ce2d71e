/*
 * Messages to the daemon: what is accepted has an id that can be sent back as it came, and what its
 * parameters say is in range.
 */
#include "cache/service/message.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_id(const char *id)
{
    CLEANUP_JSON struct json_document *document = NULL;
    FUZZ_CHECK(strlen(id) < MESSAGE_ID_MAX && !strchr(id, '\n'));
    FUZZ_CHECK(json_parse(id, strlen(id), &document, NULL) == 0);
}

static void check_answer(const char *id, const char *why)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text text = {0};
    message_append_error(&text, id, MESSAGE_NO_REQUEST, 5, why);
    FUZZ_CHECK(text.error == 0 && !memchr(text.bytes, '\n', text.length));
    FUZZ_CHECK(json_parse(text.bytes, text.length, &document, NULL) == 0);
    FUZZ_CHECK(json_member(document->root, "error"));
}

static void check_params(const struct json *params)
{
    static const char *const names[] = {"handle", "touch", NULL};
    static const char *const words[] = {"normal", "bulk", NULL};
    bool boolean;
    int64_t number;
    unsigned word = 7;
    char *path;
    if (message_number(params, "job", 1, 1000, 0, &number))
        FUZZ_CHECK(number >= 0 && number <= 1000);
    if (message_word(params, "priority", words, &word))
        FUZZ_CHECK(word < 2 || word == 7);
    (void)message_boolean(params, "touch", true, &boolean);
    (void)message_has_only(params, names);
    if (params && message_path(json_member(params, "root"), &path) == 0 && path) {
        FUZZ_CHECK(*path == '/');
        free(path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct message message;
    const char *why;
    if (json_parse((const char *)data, size, &document, NULL) < 0)
        return 0;
    const struct json *root = document->root;
    const struct json *value = root->type == JSON_ARRAY && root->first ? root->first : root;
    int code = message_read(value, &message, &why);
    check_id(message.id);
    check_answer(message.id, why);
    if (code == 0) {
        FUZZ_CHECK(message.method->type == JSON_STRING);
        FUZZ_CHECK(!message.params || message.params->type == JSON_OBJECT);
        check_params(message.params);
    }
    return 0;
}
