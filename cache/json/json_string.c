/* Strings to the byte as Python's json.dumps(ensure_ascii=True) writes them, Lib/json/encoder.py.
 */
#include "cache/json/json_string.h"

#include <string.h>

static void write_escape(struct text *text, uint32_t code_point)
{
    static const char escapes[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                   ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    if (code_point < sizeof(escapes) && escapes[code_point]) {
        char escape[] = {'\\', escapes[code_point]};
        text_append(text, escape, sizeof(escape));
    } else if (code_point < 0x10000) {
        text_printf(text, "\\u%04x", (unsigned)code_point);
    } else {
        uint32_t offset = code_point - 0x10000;
        text_printf(text, "\\u%04x\\u%04x", (unsigned)(0xd800 + (offset >> 10)),
                    (unsigned)(0xdc00 + (offset & 0x3ff)));
    }
}

static size_t plain_length(const char *bytes, size_t length)
{
    size_t i = 0;
    while (i < length && bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
        i++;
    return i;
}

void json_write_text(struct text *text, const char *bytes, size_t length, enum utf8_kind kind)
{
    text_append_byte(text, '"');
    size_t i = 0;
    for (;;) {
        size_t plain = plain_length(bytes + i, length - i);
        text_append(text, bytes + i, plain);
        i += plain;
        if (i == length || text->truncated)
            break;
        uint32_t code_point;
        size_t used = utf8_decode(bytes + i, length - i, kind, &code_point);
        if (used == 0) {
            code_point = 0xdc00u + (unsigned char)bytes[i];
            used = 1;
        }
        write_escape(text, code_point);
        i += used;
    }
    text_append_byte(text, '"');
}

void json_write_string(struct text *text, const char *bytes, size_t length)
{
    json_write_text(text, bytes, length, UTF8_STRICT);
}

const char *json_shorten(struct text *text)
{
    static const char ellipsis[] = "...";
    if (text->truncated)
        memcpy(text->bytes + text->capacity - sizeof(ellipsis), ellipsis, sizeof(ellipsis));
    return text->bytes;
}

const char *json_quote_string(const char *bytes, size_t length, char ret_buffer[JSON_QUOTE_SIZE])
{
    struct text text = text_over(ret_buffer, JSON_QUOTE_SIZE);
    json_write_string(&text, bytes, length);
    return json_shorten(&text);
}
