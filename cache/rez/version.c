/* The order of versions, found without taking them apart into lists: one piece of each at a time.
 */
#include "cache/rez/version.h"

#include "engine/compiler.h"

#include <stdbool.h>
#include <string.h>

/* In the order in which they compare where two versions differ. */
enum piece_type { PIECE_END, PIECE_SEPARATOR, PIECE_LETTERS, PIECE_NUMBER };

struct piece {
    enum piece_type type;
    const char *text;
    size_t length;
};

/* isalnum() and isdigit() would go by the locale. */
static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

size_t version_length(const char *text, size_t length)
{
    size_t end = 0;
    for (size_t at = 0; at < length; at++) {
        if (is_digit(text[at]) || is_letter(text[at]))
            end = at + 1;
        else if ((text[at] != '.' && text[at] != '-') || end != at || at == 0)
            break;
    }
    return end;
}

static struct piece next_piece(const char **text, const char *end)
{
    struct piece piece = {.text = *text, .length = 1};
    if (piece.text == end)
        return (struct piece){.type = PIECE_END, .text = end};
    bool digits = is_digit(*piece.text);
    if (!digits && !is_letter(*piece.text)) {
        piece.type = PIECE_SEPARATOR;
    } else {
        piece.type = digits ? PIECE_NUMBER : PIECE_LETTERS;
        while (piece.text + piece.length < end &&
               (digits ? is_digit(piece.text[piece.length]) : is_letter(piece.text[piece.length])))
            piece.length++;
    }
    *text += piece.length;
    return piece;
}

static int compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, MIN(a_length, b_length));
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_numbers(const struct piece *a, const struct piece *b)
{
    size_t a_zeros = 0;
    size_t b_zeros = 0;
    while (a_zeros < a->length && a->text[a_zeros] == '0')
        a_zeros++;
    while (b_zeros < b->length && b->text[b_zeros] == '0')
        b_zeros++;
    size_t a_digits = a->length - a_zeros;
    size_t b_digits = b->length - b_zeros;
    if (a_digits != b_digits)
        return a_digits > b_digits ? 1 : -1;
    int order = memcmp(a->text + a_zeros, b->text + b_zeros, a_digits);
    return order ? order : compare_text(a->text, a->length, b->text, b->length);
}

int version_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    const char *a_end = a + a_length;
    const char *b_end = b + b_length;
    for (;;) {
        struct piece left = next_piece(&a, a_end);
        struct piece right = next_piece(&b, b_end);
        int order = 0;
        if (left.type != right.type)
            return left.type > right.type ? 1 : -1;
        if (left.type == PIECE_END)
            return 0;
        if (left.type == PIECE_NUMBER)
            order = compare_numbers(&left, &right);
        else if (left.type == PIECE_LETTERS)
            order = compare_text(left.text, left.length, right.text, right.length);
        if (order != 0)
            return order;
    }
}
