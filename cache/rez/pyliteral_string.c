/* Escapes: https://docs.python.org/3.11/reference/lexical_analysis.html#escape-sequences */
#include "cache/rez/pyliteral_string.h"

#include "cache/util/utf8.h"

#include <limits.h>
#include <string.h>

enum { LAST_CODE_POINT = 0x10FFFF };

static int digit_value(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return INT_MAX;
}

static bool append_code_point(struct text *text, uint32_t code_point)
{
    char bytes[UTF8_MAX_BYTES];
    if (code_point > LAST_CODE_POINT)
        return false;
    text_append(text, bytes, utf8_encode(code_point, bytes));
    return true;
}

/* So many digits, no fewer than `least`. Returns how many there were; 0: too few. */
static size_t read_digits(const char *at, const char *end, int base, size_t least, size_t most,
                          uint32_t *ret_number)
{
    size_t count = 0;
    *ret_number = 0;
    for (; count < most && at + count < end && digit_value(at[count]) < base; count++)
        *ret_number = *ret_number * (uint32_t)base + (uint32_t)digit_value(at[count]);
    return count < least ? 0 : count;
}

static bool append_number(struct text *text, const char **at, const char *end, int base,
                          size_t least, size_t most)
{
    uint32_t number;
    size_t count = read_digits(*at, end, base, least, most, &number);
    *at += count;
    return count > 0 && append_code_point(text, number);
}

/* At what follows a backslash. */
static bool append_escape(struct text *text, const char **at, const char *end)
{
    static const char escapes[] = "\\'\"abfnrtv";
    static const char meanings[] = "\\'\"\a\b\f\n\r\t\v";
    char byte = *(*at)++;
    const char *escape = strchr(escapes, byte);
    if (byte == '\n')
        return true;
    if (escape) {
        text_append_byte(text, meanings[escape - escapes]);
        return true;
    }
    if (byte >= '0' && byte <= '7') {
        (*at)--;
        return append_number(text, at, end, 8, 1, 3);
    }
    if (byte == 'x')
        return append_number(text, at, end, 16, 2, 2);
    if (byte == 'u')
        return append_number(text, at, end, 16, 4, 4);
    if (byte == 'U')
        return append_number(text, at, end, 16, 8, 8);
    if (byte == 'N')
        return false;
    text_append_byte(text, '\\');
    text_append_byte(text, byte);
    return true;
}

bool pystring_append(struct text *text, const struct token *token)
{
    if (token_has_prefix(token, 'b') || token_is_formatted(token))
        return false;
    bool raw = token_has_prefix(token, 'r');
    const char *at = token->text + token->prefix_length + token->quote_length;
    const char *end = token->text + token->length - token->quote_length;
    while (at < end) {
        const char *backslash = raw ? NULL : memchr(at, '\\', (size_t)(end - at));
        const char *plain_end = backslash ? backslash : end;
        text_append(text, at, (size_t)(plain_end - at));
        at = plain_end;
        if (!backslash)
            break;
        at++;
        if (!append_escape(text, &at, end))
            return false;
    }
    return true;
}

bool pystring_name(const struct token *token, struct token *ret_name)
{
    if (token->kind != TOKEN_STRING || token_has_prefix(token, 'b') || token_is_formatted(token))
        return false;
    *ret_name = (struct token){
        .kind = TOKEN_NAME,
        .line = token->line,
        .text = token->text + token->prefix_length + token->quote_length,
        .length = token->length - token->prefix_length - 2 * token->quote_length,
    };
    for (size_t i = 0; i < ret_name->length; i++) {
        if ((unsigned char)ret_name->text[i] >= 0x80 || ret_name->text[i] == '\\')
            return false;
    }
    return ret_name->length > 0;
}
