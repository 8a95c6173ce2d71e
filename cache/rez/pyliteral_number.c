/* Numbers: https://docs.python.org/3.11/reference/lexical_analysis.html#numeric-literals */
#include "cache/rez/pyliteral_number.h"

#include "cache/util/real.h"

#include <ctype.h>
#include <string.h>

enum { MAX_NUMBER_BYTES = 8192 }; /* underscores included: Python takes 4300 digits */

static bool append_real(struct text *text, const char *digits, bool negative)
{
    double value;
    int result = real_parse(digits, &value);
    if (result == -ENOMEM)
        text->error = result;
    if (result < 0)
        return false;
    real_append(text, negative ? -value : value);
    return text->error == 0;
}

static bool append_decimal(struct text *text, const char *digits, bool negative)
{
    size_t zeros = strspn(digits, "0");
    size_t length = strlen(digits);
    if (length > JSON_MAX_INTEGER_DIGITS || (zeros > 0 && zeros < length))
        return false;
    if (negative && zeros == 0)
        text_append_byte(text, '-');
    text_append_string(text, zeros > 0 ? "0" : digits);
    return text->error == 0;
}

/* In base 2, 8 or 16, behind the letter for it. */
static bool append_based(struct text *text, const char *digits, int base, bool negative)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(digits, &end, base);
    if (errno != 0 || !isxdigit((unsigned char)*digits) || *end)
        return false;
    text_printf(text, "%s%llu", negative && value > 0 ? "-" : "", value);
    return text->error == 0;
}

bool pynumber_append(struct text *text, const struct token *token, bool negative,
                     enum json_type *ret_type)
{
    char digits[MAX_NUMBER_BYTES + 1] = {0};
    size_t length = 0;
    if (token->length > MAX_NUMBER_BYTES)
        return false;
    for (size_t i = 0; i < token->length; i++) {
        if (token->text[i] != '_')
            digits[length++] = (char)tolower((unsigned char)token->text[i]);
    }
    digits[length] = '\0';
    *ret_type = JSON_INTEGER;
    if (digits[0] == '0' && isalpha((unsigned char)digits[1]) && digits[1] != 'e' &&
        digits[1] != 'j') {
        int base = digits[1] == 'x' ? 16 : digits[1] == 'o' ? 8 : 2;
        return append_based(text, digits + 2, base, negative);
    }
    if (digits[length - 1] == 'j')
        return false;
    if (digits[strcspn(digits, ".e")] == '\0')
        return append_decimal(text, digits, negative);
    *ret_type = JSON_REAL;
    return append_real(text, digits, negative);
}
