/*
 * How far apart two names are: how many letters have to be put in, left out, changed, or exchanged
 * with their neighbours (optimal string alignment; Damerau 1964). One in three may be wrong.
 */
#include "cache/util/suggest.h"

#include "engine/compiler.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { NAME_LENGTH_MAX = 40, LETTERS_PER_MISTAKE = 3 };

static char fold(char letter)
{
    return (char)(letter == '_' ? '-' : tolower((unsigned char)letter));
}

/* Both are at most NAME_LENGTH_MAX long. */
static size_t measure(const char *a, size_t a_length, const char *b, size_t b_length)
{
    uint8_t rows[3][NAME_LENGTH_MAX + 1]; /* of the last two letters of `a`, and this one */
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = (uint8_t)j;
    for (size_t i = 1; i <= a_length; i++) {
        uint8_t *row = rows[i % 3];
        const uint8_t *above = rows[(i + 2) % 3];
        row[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_length; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            unsigned cost = MIN(above[j], row[j - 1]) + 1U;
            cost = MIN(cost, above[j - 1] + (same ? 0U : 1U));
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                cost = MIN(cost, rows[(i + 1) % 3][j - 2] + 1U);
            row[j] = (uint8_t)cost;
        }
    }
    return rows[a_length % 3][b_length];
}

void suggestion_try(struct suggestion *suggestion, const char *name)
{
    size_t typed_length = strlen(suggestion->typed);
    size_t name_length = strlen(name);
    if (typed_length == 0 || typed_length > NAME_LENGTH_MAX || name_length > NAME_LENGTH_MAX)
        return;
    size_t distance = measure(suggestion->typed, typed_length, name, name_length);
    if (distance > MAX(MIN(typed_length, name_length), (size_t)LETTERS_PER_MISTAKE) /
                       LETTERS_PER_MISTAKE ||
        distance == MAX(typed_length, name_length))
        return;
    if (suggestion->best && suggestion->distance <= distance)
        return;
    suggestion->best = name;
    suggestion->distance = distance;
}
