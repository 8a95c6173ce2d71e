/* Reads the line format of owners' records. Everything in it may have been written by anyone. */
#include "cache/util/record.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

bool record_may_be(const char *text, size_t length)
{
    size_t first_length = strlen(RECORD_FIRST_LINE);
    return length == 0 || *text == '\0' ||
           memcmp(text, RECORD_FIRST_LINE, length < first_length ? length : first_length) == 0;
}

int record_open(struct record_reader *reader, const char *text, size_t length)
{
    size_t first_length = strlen(RECORD_FIRST_LINE);
    if (length < first_length || memcmp(text, RECORD_FIRST_LINE, first_length) != 0)
        return -EBADMSG;
    *reader = (struct record_reader){.at = text + first_length, .end = text + length};
    return 0;
}

int record_next(struct record_reader *reader, struct record_line *ret_line)
{
    if (reader->at == reader->end || *reader->at == '\n')
        return 0;
    /* Without its line feed a number may be the first half of another. */
    const char *line_end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    const char *space = line_end ? memchr(reader->at, ' ', (size_t)(line_end - reader->at)) : NULL;
    if (!space || space == reader->at)
        return -EBADMSG;
    *ret_line = (struct record_line){.key = reader->at,
                                     .key_length = (size_t)(space - reader->at),
                                     .value = space + 1,
                                     .value_length = (size_t)(line_end - space - 1)};
    reader->at = line_end + 1;
    return 1;
}

bool record_is(const struct record_line *line, const char *key)
{
    return line->key_length == strlen(key) && memcmp(line->key, key, line->key_length) == 0;
}

int record_number(const struct record_line *line, uint64_t maximum, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (line->value_length == 0 || (line->value[0] == '0' && line->value_length > 1))
        return -EBADMSG;
    for (size_t i = 0; i < line->value_length; i++) {
        if (!isdigit((unsigned char)line->value[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(line->value[i] - '0'), &value))
            return -EBADMSG;
    }
    if (value > maximum)
        return -EBADMSG;
    *ret_value = value;
    return 0;
}

int record_string(const struct record_line *line, char *ret_value, size_t size)
{
    if (line->value_length == 0 || line->value_length >= size)
        return -EBADMSG;
    for (size_t i = 0; i < line->value_length; i++) {
        if (line->value[i] < ' ' || line->value[i] > '~')
            return -EBADMSG;
    }
    memcpy(ret_value, line->value, line->value_length);
    ret_value[line->value_length] = '\0';
    return 0;
}
