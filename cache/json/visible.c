/* Escaping what is not to reach a terminal as it is. */
#include "cache/json/visible.h"

#include "cache/json/repr.h"
#include "cache/util/utf8.h"

static void append_code_point(struct text *text, uint32_t code_point)
{
    static const char letters[] = "abtnvfr"; /* from 7 on */
    if (code_point >= '\a' && code_point <= '\r')
        text_printf(text, "\\%c", letters[code_point - '\a']);
    else if (code_point < 0x80)
        text_printf(text, "\\x%02x", (unsigned)code_point);
    else if (code_point <= 0xffff)
        text_printf(text, "\\u%04x", (unsigned)code_point);
    else
        text_printf(text, "\\U%08x", (unsigned)code_point);
}

void visible_append(struct text *text, const char *bytes, size_t length)
{
    size_t used;
    for (size_t i = 0; i < length && !text->truncated; i += used) {
        uint32_t code_point;
        used = utf8_decode(bytes + i, length - i, UTF8_STRICT, &code_point);
        if (used == 0) {
            text_printf(text, "\\x%02x", (unsigned)(unsigned char)bytes[i]);
            used = 1;
        } else if (repr_is_printable(code_point)) {
            text_append(text, bytes + i, used);
        } else {
            append_code_point(text, code_point);
        }
    }
}
