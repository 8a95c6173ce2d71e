/* Reading records, and writing bytes as they have them. */
#include "cache/pack/records.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool record_take_word(const char **text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(*text, word, length) != 0 || (*text)[length] != ' ')
        return false;
    *text += length + 1;
    return true;
}

bool record_take_number(const char **text, char after, uint64_t maximum, uint64_t *ret)
{
    char *end;
    if (!isdigit((unsigned char)**text)) /* strtoull(3) takes blanks and signs, too */
        return false;
    errno = 0;
    *ret = strtoull(*text, &end, 10);
    if (errno || *ret > maximum || *end != after)
        return false;
    *text = end + (after != '\0');
    return true;
}

static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool record_take_bytes(const char **text, size_t length, uint8_t *ret)
{
    for (size_t i = 0; i < length; i++) {
        int high = value_of(**text);
        int low = high < 0 ? -1 : value_of((*text)[1]);
        if (low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}

void record_append_bytes(struct text *text, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        text_append_byte(text, digits[bytes[i] >> 4]);
        text_append_byte(text, digits[bytes[i] & 0xf]);
    }
}

int record_grow(void *array, size_t *capacity, size_t count, size_t size)
{
    void *old;
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    memcpy(&old, array, sizeof(old));
    void *larger = realloc(old, wanted * size);
    if (!larger)
        return -ENOMEM;
    memcpy(array, &larger, sizeof(larger));
    *capacity = wanted;
    return 0; // cppcheck-suppress memleak ; it is the array now
}
