/* Python's repr, after CPython 3.11: Objects/unicodeobject.c, unicode_repr(), and the containers'.
 */
#include "cache/json/repr.h"

#include "cache/json/repr_table.h"

#include <string.h>

bool repr_is_printable(uint32_t code_point)
{
    size_t low = 0;
    size_t high = ARRAY_LENGTH(nonprintable);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code_point > nonprintable[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low == ARRAY_LENGTH(nonprintable) || code_point < nonprintable[low].first;
}

static void append_escape(struct text *text, uint32_t code_point)
{
    static const char escapes[] = {['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};
    if (code_point < sizeof(escapes) && escapes[code_point])
        text_printf(text, "\\%c", escapes[code_point]);
    else if (code_point <= 0xff)
        text_printf(text, "\\x%02x", (unsigned)code_point);
    else if (code_point <= 0xffff)
        text_printf(text, "\\u%04x", (unsigned)code_point);
    else
        text_printf(text, "\\U%08x", (unsigned)code_point);
}

static size_t plain_length(const char *bytes, size_t length, char quote)
{
    size_t i = 0;
    while (i < length && bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != quote &&
           bytes[i] != '\\')
        i++;
    return i;
}

void repr_append_string(struct text *text, const char *bytes, size_t length)
{
    bool single = length > 0 && memchr(bytes, '\'', length);
    char quote = single && !memchr(bytes, '"', length) ? '"' : '\'';
    text_append_byte(text, quote);
    size_t i = 0;
    for (;;) {
        size_t plain = plain_length(bytes + i, length - i, quote);
        text_append(text, bytes + i, plain);
        i += plain;
        if (i == length)
            break;
        uint32_t code_point;
        size_t used = utf8_decode(bytes + i, length - i, UTF8_GENERALISED, &code_point);
        if (used == 0) {
            code_point = 0xdc00u + (unsigned char)bytes[i];
            used = 1;
        }
        if (bytes[i] == quote || bytes[i] == '\\')
            text_append_byte(text, '\\');
        if (repr_is_printable(code_point))
            text_append(text, bytes + i, used);
        else
            append_escape(text, code_point);
        i += used;
    }
    text_append_byte(text, quote);
}

static void append_children(struct text *text, const struct json *container, const char brackets[2])
{
    text_append_byte(text, brackets[0]);
    for (const struct json *child = container->first; child; child = child->next) {
        if (child != container->first)
            text_append(text, ", ", 2);
        if (container->type == JSON_OBJECT) {
            repr_append_string(text, child->key, child->key_length);
            text_append(text, ": ", 2);
        }
        repr_append(text, child);
    }
    bool single = container->first && !container->first->next;
    if (container->type == JSON_TUPLE && single)
        text_append_byte(text, ',');
    text_append_byte(text, brackets[1]);
}

void repr_append(struct text *text, const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        text_append_string(text, "None");
        break;
    case JSON_BOOLEAN:
        text_append_string(text, value->boolean ? "True" : "False");
        break;
    case JSON_REAL:
        if (strstr(value->text, "inf") || strstr(value->text, "nan")) /* JSON has no such number */
            text_append_string(text, value->text);
        else
            json_write(text, value);
        break;
    case JSON_INTEGER:
        json_write(text, value);
        break;
    case JSON_STRING:
        repr_append_string(text, value->text, value->text_length);
        break;
    case JSON_ARRAY:
        append_children(text, value, "[]");
        break;
    case JSON_OBJECT:
        append_children(text, value, "{}");
        break;
    case JSON_TUPLE:
        append_children(text, value, "()");
        break;
    }
}
