/* A growable buffer of bytes with a sticky error. What the bytes mean is the callers' business. */
#include "cache/util/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

struct text text_over(char *buffer, size_t capacity)
{
    buffer[0] = '\0';
    return (struct text){.bytes = buffer, .capacity = capacity, .fixed = true};
}

int text_reserve(struct text *text, size_t additional)
{
    if (text->error)
        return text->error;
    if (additional < text->capacity - text->length)
        return 0;
    if (text->fixed || additional >= SIZE_MAX / 4 || text->length >= SIZE_MAX / 4)
        return text->error = -ENOMEM;

    size_t needed = text->length + additional + 1;
    size_t capacity = MAX(MAX(needed, text->capacity * 2), (size_t)FIRST_CAPACITY);
    char *bytes = realloc(text->bytes, capacity);
    if (!bytes)
        return text->error = -ENOMEM;
    bytes[text->length] = '\0';
    text->bytes = bytes;
    text->capacity = capacity;
    return 0;
}

void text_append(struct text *text, const char *bytes, size_t length)
{
    if (text->fixed && length >= text->capacity - text->length) {
        length = text->capacity - text->length - 1;
        text->truncated = true;
    }
    if (text_reserve(text, length) < 0)
        return;
    if (length > 0)
        memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_byte(struct text *text, char byte)
{
    text_append(text, &byte, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    size_t room = text->capacity - text->length;
    char *end = room > 0 ? text->bytes + text->length : NULL;
    int length = text->error ? text->error : vsnprintf(end, room, format, arguments);
    if (length < 0) {
        text->error = -ENOMEM;
    } else if ((size_t)length < room) {
        text->length += (size_t)length;
    } else if (text->fixed) {
        text->truncated = true;
        text->length += room - 1;
    } else if (text_reserve(text, (size_t)length) == 0) {
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
}

char *text_vformat(const char *format, va_list arguments)
{
    char *string;
    return vasprintf(&string, format, arguments) < 0 ? NULL : string;
}

int text_steal(struct text *text, char **ret_bytes, size_t *ret_length)
{
    int result = text->fixed ? -EINVAL : text_reserve(text, 0);
    if (result < 0) {
        text_free(text);
        return result;
    }
    *ret_bytes = text->bytes;
    if (ret_length)
        *ret_length = text->length;
    *text = (struct text){0};
    return 0;
}

void text_free(struct text *text)
{
    if (!text->fixed)
        free(text->bytes);
    *text = (struct text){0};
}

uint64_t text_key(const char *bytes, size_t length)
{
    uint64_t key = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < length; i++)
        key = (key ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
    return key ? key : 1;
}
