/* UTF-8 one code point at a time, and Python's file-system encoding. See utf8.h for the sources. */
#include "cache/util/utf8.h"

#include <assert.h>
#include <string.h>

static bool is_surrogate(uint32_t code_point)
{
    return code_point >= 0xd800 && code_point <= 0xdfff;
}

static size_t sequence_length(unsigned char first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    if (first >= 0xf0 && first <= 0xf4)
        return 4;
    return 0;
}

size_t utf8_decode(const char *bytes, size_t length, enum utf8_kind kind, uint32_t *ret_code_point)
{
    assert(length > 0);
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)bytes[0];
    size_t count = sequence_length(first);
    if (count == 0 || count > length)
        return 0;

    uint32_t code_point = count == 1 ? first : first & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        unsigned char next = (unsigned char)bytes[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        code_point = code_point << 6 | (next & 0x3f);
    }
    if (code_point < smallest[count] || code_point > 0x10ffff)
        return 0;
    if (kind == UTF8_STRICT && is_surrogate(code_point))
        return 0;
    *ret_code_point = code_point;
    return count;
}

size_t utf8_encode(uint32_t code_point, char ret_bytes[UTF8_MAX_BYTES])
{
    assert(code_point <= 0x10ffff);
    if (code_point < 0x80) {
        ret_bytes[0] = (char)code_point;
        return 1;
    }
    size_t count = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = count - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    ret_bytes[0] = (char)((0xf00u >> count & 0xff) | code_point);
    return count;
}

bool utf8_is_valid(const char *bytes, size_t length, enum utf8_kind kind)
{
    size_t used;
    for (size_t i = 0; i < length; i += used) {
        uint32_t code_point;
        used = utf8_decode(bytes + i, length - i, kind, &code_point);
        if (used == 0)
            return false;
    }
    return true;
}

int utf8_to_path(const char *bytes, size_t length, char *ret_path)
{
    size_t used;
    for (size_t i = 0; i < length; i += used) {
        uint32_t code_point;
        used = utf8_decode(bytes + i, length - i, UTF8_GENERALISED, &code_point);
        if (used == 0)
            return -EILSEQ;
        if (code_point >= 0xdc80 && code_point <= 0xdcff) {
            *ret_path++ = (char)(code_point - 0xdc00);
        } else if (is_surrogate(code_point)) {
            return -EILSEQ;
        } else {
            memcpy(ret_path, bytes + i, used);
            ret_path += used;
        }
    }
    *ret_path = '\0';
    return 0;
}

void utf8_append_path(struct text *text, const char *path, size_t length)
{
    size_t used;
    for (size_t i = 0; i < length; i += used) {
        uint32_t code_point;
        used = utf8_decode(path + i, length - i, UTF8_STRICT, &code_point);
        if (used > 0) {
            text_append(text, path + i, used);
        } else {
            char escaped[UTF8_MAX_BYTES];
            size_t count = utf8_encode(0xdc00u + (unsigned char)path[i], escaped);
            text_append(text, escaped, count);
            used = 1;
        }
    }
}
