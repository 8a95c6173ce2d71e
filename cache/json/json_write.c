/* Writing JSON values to the byte as Python's json.dumps, Lib/json/encoder.py. */
#include "cache/json/json.h"
#include "cache/util/real.h"

#include <string.h>

/* Not JSON, and never parsed from it: YAML has these, and so has Python's json. */
static const char *infinite_name(const struct json *value)
{
    if (strcmp(value->text, "nan") == 0)
        return "NaN";
    if (strcmp(value->text, "inf") == 0)
        return "Infinity";
    return strcmp(value->text, "-inf") == 0 ? "-Infinity" : NULL;
}

static void write_real(struct text *text, const struct json *value)
{
    double number;
    const char *name = infinite_name(value);
    if (name) {
        text_append_string(text, name);
        return;
    }
    int result = real_parse(value->text, &number);
    if (result < 0)
        text->error = result;
    else
        real_append(text, number);
}

static void write_children(struct text *text, const struct json *container)
{
    bool object = container->type == JSON_OBJECT;
    text_append_byte(text, object ? '{' : '[');
    for (const struct json *child = container->first; child; child = child->next) {
        if (child != container->first)
            text_append(text, ", ", 2);
        if (object) {
            json_write_text(text, child->key, child->key_length, UTF8_GENERALISED);
            text_append(text, ": ", 2);
        }
        json_write(text, child);
        if (text->truncated)
            break;
    }
    text_append_byte(text, object ? '}' : ']');
}

void json_write(struct text *text, const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        text_append_string(text, "null");
        break;
    case JSON_BOOLEAN:
        text_append_string(text, value->boolean ? "true" : "false");
        break;
    case JSON_INTEGER:
        text_append_string(text, strcmp(value->text, "-0") == 0 ? "0" : value->text);
        break;
    case JSON_REAL:
        write_real(text, value);
        break;
    case JSON_STRING:
        json_write_text(text, value->text, value->text_length, UTF8_GENERALISED);
        break;
    case JSON_ARRAY:
    case JSON_TUPLE:
    case JSON_OBJECT:
        write_children(text, value);
        break;
    }
}

const char *json_quote(const struct json *value, char ret_buffer[JSON_QUOTE_SIZE])
{
    struct text text = text_over(ret_buffer, JSON_QUOTE_SIZE);
    if (value)
        json_write(&text, value);
    else
        text_append_string(&text, "nothing");
    return json_shorten(&text);
}
