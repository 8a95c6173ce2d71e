/* Messages of the daemon. */
#include "cache/service/message.h"

#include <string.h>

/* An id is a string or a number, and goes back as it came. */
static bool read_id(const struct json *id, char ret[static MESSAGE_ID_MAX])
{
    struct text text = text_over(ret, MESSAGE_ID_MAX);
    bool allowed = id->type == JSON_STRING || id->type == JSON_INTEGER || id->type == JSON_NULL;
    if (allowed && id->text_length < MESSAGE_ID_MAX)
        json_write(&text, id);
    if (allowed && text.length > 0 && !text.truncated)
        return true;
    strcpy(ret, "null");
    return false;
}

int message_read(const struct json *value, struct message *ret, const char **ret_why)
{
    *ret = (struct message){.id = "null"};
    *ret_why = "a request must be an object";
    if (value->type != JSON_OBJECT)
        return MESSAGE_NO_REQUEST;
    const struct json *id = json_member(value, "id");
    *ret_why = "\"id\" is neither a string nor a whole number, or is longer than 255 bytes";
    if (id && !read_id(id, ret->id))
        return MESSAGE_NO_REQUEST;
    ret->silent = !id;
    ret->method = json_member(value, "method");
    ret->params = json_member(value, "params");
    *ret_why = "\"jsonrpc\": \"2.0\" is missing";
    if (!json_is_string(json_member(value, "jsonrpc"), "2.0"))
        return MESSAGE_NO_REQUEST;
    *ret_why = "\"method\" is not a string";
    if (!ret->method || ret->method->type != JSON_STRING)
        return MESSAGE_NO_REQUEST;
    *ret_why = "\"params\" is not an object";
    return ret->params && ret->params->type != JSON_OBJECT ? MESSAGE_BAD_PARAMS : 0;
}

/*
 * Begins an answer, which a member and a brace are to end. What is the same in all of them is not
 * built, only printed: that is most of what the answer to a look-up consists of.
 */
static void begin_answer(struct text *text, const char *id)
{
    text_append_string(text, "{\"jsonrpc\":\"2.0\",\"id\":");
    text_append_string(text, id);
}

void message_append_result(struct text *text, const char *id, cJSON *result)
{
    begin_answer(text, id);
    text_append_string(text, ",\"result\":");
    json_print(text, result);
    text_append_byte(text, '}');
}

void message_open_result(struct json_stream *stream, const char *id)
{
    begin_answer(&stream->text, id);
    stream->separate = true;
    json_stream_open(stream, "result", '{');
}

void message_close_result(struct json_stream *stream)
{
    json_stream_close(stream, '}');
    json_stream_close(stream, '}');
}

void message_append_error(struct text *text, const char *id, enum message_error code,
                          int code_errno, const char *why)
{
    cJSON *error = cJSON_CreateObject();
    json_add_integer(error, "code", code);
    json_add_string_reference(error, "message", why);
    if (code_errno)
        json_add_integer(json_add_object(error, "data"), "errno", code_errno);
    begin_answer(text, id);
    text_append_string(text, ",\"error\":");
    json_print(text, error);
    text_append_byte(text, '}');
}

/* A request or a notification, with what both have. */
static cJSON *build_message(void)
{
    cJSON *message = cJSON_CreateObject();
    json_add_string_reference(message, "jsonrpc", "2.0");
    return message;
}

void message_append_request(struct text *text, uint64_t number, const char *method,
                            const char *params)
{
    cJSON *request = build_message();
    json_add_unsigned(request, "id", number);
    json_add_string_reference(request, "method", method);
    json_add_raw_reference(request, "params", params);
    json_print(text, request);
}

void message_append_notification(struct text *text, const char *method, cJSON *params)
{
    cJSON *notification = build_message();
    json_add_string_reference(notification, "method", method);
    json_add_item(notification, "params", params);
    json_print(text, notification);
}

cJSON *message_build_found(enum pkgcache_status status, const char *root, const char *reason)
{
    cJSON *found = cJSON_CreateObject();
    json_add_string_reference(found, "status", pkgcache_status_name(status));
    json_add_string_reference(found, "root", root);
    if (reason)
        json_add_string_reference(found, "reason", reason);
    return found;
}

bool message_has_only(const struct json *object, const char *const *names)
{
    for (const struct json *member = object ? object->first : NULL; member; member = member->next) {
        const char *const *name = names;
        while (*name && !json_has_key(member, *name))
            name++;
        if (!*name)
            return false;
    }
    return true;
}

/* A member; one that is null is missing. */
static const struct json *find_member(const struct json *object, const char *key)
{
    const struct json *value = object ? json_member(object, key) : NULL;
    return value && value->type != JSON_NULL ? value : NULL;
}

bool message_boolean(const struct json *object, const char *key, bool missing, bool *ret)
{
    const struct json *value = find_member(object, key);
    *ret = value ? value->boolean : missing;
    return !value || value->type == JSON_BOOLEAN;
}

bool message_number(const struct json *object, const char *key, int64_t minimum, int64_t maximum,
                    int64_t missing, int64_t *ret)
{
    const struct json *value = find_member(object, key);
    *ret = missing;
    return !value || json_integer(value, minimum, maximum, ret) == 0;
}

bool message_word(const struct json *object, const char *key, const char *const *words,
                  unsigned *ret)
{
    const struct json *value = find_member(object, key);
    if (!value)
        return true;
    for (unsigned i = 0; words[i]; i++)
        if (json_is_string(value, words[i])) {
            *ret = i;
            return true;
        }
    return false;
}

int message_path(const struct json *value, char **ret)
{
    *ret = NULL;
    if (!value || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_STRING || value->text_length == 0 || *value->text != '/' ||
        memchr(value->text, '\0', value->text_length))
        return -EINVAL;
    CLEANUP_FREE char *path = malloc(value->text_length + 1);
    if (!path)
        return -ENOMEM;
    if (utf8_to_path(value->text, value->text_length, path) < 0)
        return -EINVAL;
    *ret = STEAL(path);
    return 0;
}
