/* The lines of a node's report: written on the node, read by the coordinator. */
#include "cache/preload/farm_line.h"

#include "cache/json/json.h"
#include "cache/json/json_build.h"

#include <math.h>
#include <string.h>

enum { SECONDS_DIGITS = 3 };

#define NUMBER_MAX (INT64_C(1) << 53) /* what JSON readers agree about */

static const char *const status_names[] = {"found", "created", "missing", "failed"};

/* --- reading --- */

static int read_number(const struct json *object, const char *key, uint64_t *ret)
{
    int64_t number = 0;
    const struct json *value = json_member(object, key);
    if (value && json_integer(value, 0, NUMBER_MAX, &number) < 0)
        return -EBADMSG;
    *ret = (uint64_t)number;
    return 0;
}

/* Cuts it, and replaces what is no UTF-8: nothing of it is needed but for people. */
static int read_reason(const struct json *object, const char *key, struct farm_line *line)
{
    const struct json *value = json_member(object, key);
    if (!value || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_STRING)
        return -EBADMSG;
    CLEANUP_FREE char *copy = strndup(value->text, value->text_length);
    if (!copy)
        return -ENOMEM;
    farm_line_set_reason(line, copy);
    return 0;
}

static int read_node(const struct json *object, struct farm_line *line)
{
    const struct json *value = json_member(object, "node");
    if (!value || value->type != JSON_STRING ||
        !farm_name_is_sound_bytes(value->text, value->text_length))
        return -EBADMSG;
    memcpy(line->node, value->text, value->text_length);
    line->node[value->text_length] = '\0';
    return 0;
}

static int read_variant(const struct json *object, struct farm_line *line)
{
    const struct json *status = json_member(object, "status");
    const struct json *packed = json_member(object, "packed");
    line->kind = FARM_LINE_VARIANT;
    line->is_packed = packed && packed->type == JSON_BOOLEAN && packed->boolean;
    for (size_t i = 0; i < ARRAY_LENGTH(status_names); i++)
        if (json_is_string(status, status_names[i])) {
            line->status = (enum farm_line_status)i;
            return read_reason(object, "reason", line);
        }
    return -EBADMSG;
}

static int read_end(const struct json *object, struct farm_line *line)
{
    const struct json *seconds = json_member(object, "seconds");
    line->kind = FARM_LINE_END;
    if (!json_member(object, "lines"))
        return -EBADMSG;
    if (seconds) {
        if (seconds->type != JSON_REAL && seconds->type != JSON_INTEGER)
            return -EBADMSG;
        line->seconds = strtod(seconds->text, NULL);
        if (!isfinite(line->seconds) || line->seconds < 0)
            return -EBADMSG;
    }
    return read_reason(object, "error", line);
}

static int read_numbers(const struct json *object, struct farm_line *line)
{
    const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {"variant", &line->variant}, {"files", &line->files}, {"bytes", &line->bytes},
        {"lines", &line->lines},     {"part", &line->part},   {"job", &line->job},
        {"step", &line->step},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        if (read_number(object, numbers[i].key, numbers[i].number) < 0)
            return -EBADMSG;
    return 0;
}

static int read_object(const struct json *object, struct farm_line *line)
{
    int result = read_node(object, line);
    if (result == 0)
        result = read_numbers(object, line);
    if (result < 0)
        return result;
    if (json_member(object, "end"))
        return read_end(object, line);
    if (json_member(object, "variant"))
        return read_variant(object, line);
    const struct json *share = json_member(object, "share");
    const struct json *bad = json_member(object, "bad");
    line->is_bad = bad && bad->type == JSON_BOOLEAN && bad->boolean;
    line->sees_share = share && share->type == JSON_BOOLEAN && share->boolean;
    line->kind = json_member(object, "ready")  ? FARM_LINE_READY
                 : json_member(object, "part") ? FARM_LINE_PART
                                               : FARM_LINE_BEGIN;
    return line->kind != FARM_LINE_BEGIN || json_member(object, "begin") ? 0 : -EBADMSG;
}

int farm_line_parse(const char *text, size_t length, struct farm_line *ret)
{
    CLEANUP_JSON struct json_document *document = NULL;
    *ret = (struct farm_line){0};
    const char *object = length < FARM_LINE_MAX ? memchr(text, '{', length) : NULL;
    if (!object)
        return -EBADMSG;
    size_t before = (size_t)(object - text);
    if (before > 0 && (before < 3 || object[-1] != ' ' || object[-2] != ':' ||
                       !farm_name_is_sound_bytes(text, before - 2)))
        return -EBADMSG;
    if (json_parse(object, length - before, &document, NULL) < 0 ||
        document->root->type != JSON_OBJECT || read_object(document->root, ret) < 0)
        return -EBADMSG;
    if (before > 0) {
        memcpy(ret->node, text, before - 2);
        ret->node[before - 2] = '\0';
    }
    return 0;
}

/* --- writing --- */

void farm_line_set_reason(struct farm_line *line, const char *reason)
{
    size_t length = reason ? strlen(reason) : 0;
    if (length > FARM_LINE_REASON_MAX) {
        length = FARM_LINE_REASON_MAX;
        while (length > 0 && ((unsigned char)reason[length] & 0xC0) == 0x80)
            length--; /* within a character */
    }
    if (length > 0)
        memcpy(line->reason, reason, length);
    line->reason[length] = '\0';
}

static cJSON *build(const struct farm_line *line, const char *reason)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "node", line->node);
    switch (line->kind) {
    case FARM_LINE_BEGIN:
        json_add_string(object, "begin", PKGCACHE_VERSION_STRING);
        json_add_boolean(object, "share", line->sees_share);
        return object;
    case FARM_LINE_VARIANT:
        json_add_unsigned(object, "variant", line->variant);
        json_add_string(object, "status", status_names[line->status]);
        json_add_unsigned(object, "files", line->files);
        json_add_unsigned(object, "bytes", line->bytes);
        if (line->is_packed)
            json_add_boolean(object, "packed", true);
        json_add_string(object, "reason", reason);
        return object;
    case FARM_LINE_READY:
        json_add_boolean(object, "ready", true);
        json_add_unsigned(object, "job", line->job);
        json_add_unsigned(object, "step", line->step);
        return object;
    case FARM_LINE_PART:
        json_add_unsigned(object, "part", line->part);
        if (line->is_bad)
            json_add_boolean(object, "bad", true);
        return object;
    default:
        json_add_boolean(object, "end", true);
        json_add_unsigned(object, "lines", line->lines);
        json_add_decimal(object, "seconds", line->seconds, SECONDS_DIGITS);
        json_add_string(object, "error", reason);
        return object;
    }
}

void farm_line_print(struct text *text, const struct farm_line *line)
{
    struct farm_line shorter = *line;
    for (;;) { /* escapes make a reason up to six times as long */
        CLEANUP_TEXT struct text printed = {0};
        json_print(&printed, build(&shorter, *shorter.reason ? shorter.reason : NULL));
        if (printed.error < 0) {
            text->error = printed.error;
            return;
        }
        if (printed.length < FARM_LINE_MAX) {
            text_append(text, printed.bytes, printed.length);
            text_append_byte(text, '\n');
            return;
        }
        size_t half = strlen(shorter.reason) / 2;
        while (half > 0 && ((unsigned char)shorter.reason[half] & 0xC0) == 0x80)
            half--;
        shorter.reason[half] = '\0';
    }
}
