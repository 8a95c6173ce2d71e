/*
 * Python's repr(float). The rule is that of CPython's float_repr_style "short" (Python/dtoa.c,
 * mode 0): the fewest digits that read back as the same number, and of those the nearest.
 */
#include "cache/util/real.h"

#include <assert.h>
#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DIGITS = 17,           /* always enough for a double */
    FIRST_LARGE_EXPONENT = 16, /* repr writes 1e+16, but 1000000000000000.0 */
    LAST_SMALL_EXPONENT = -4,  /* repr writes 0.0001, but 1e-05 */
};

/** DIGITS[0].DIGITS[1...] times ten to the power of `exponent`. */
struct decimal {
    char digits[MAX_DIGITS + 1];
    int exponent;
};

int real_parse(const char *literal, double *ret_value)
{
    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!locale)
        return -ENOMEM;
    double value = strtod_l(literal, NULL, locale);
    freelocale(locale);
    if (!isfinite(value))
        return -ERANGE;
    *ret_value = value;
    return 0;
}

/* The nearest decimal with so many digits. printf's decimal point, which is the locale's, is
 * skipped. */
static struct decimal round_to(double value, int digits)
{
    char buffer[64];
    snprintf(buffer, sizeof(buffer), "%.*e", digits - 1, value);
    struct decimal decimal = {0};
    size_t count = 0;
    const char *at = buffer;
    for (; *at != 'e'; at++) {
        if (isdigit((unsigned char)*at) && count < MAX_DIGITS)
            decimal.digits[count++] = *at;
    }
    decimal.exponent = (int)strtol(at + 1, NULL, 10);
    return decimal;
}

static bool reads_back(const struct decimal *decimal, double value)
{
    char buffer[64];
    int shift = decimal->exponent - ((int)strlen(decimal->digits) - 1);
    snprintf(buffer, sizeof(buffer), "%se%d", decimal->digits, shift);
    return strtod(buffer, NULL) == value;
}

/* Below a power of two the doubles lie closer together than above it: there the nearest decimal,
   just below, can read back as another number when the next one above does not. */
static bool next_above(struct decimal *decimal)
{
    char *last = decimal->digits + strlen(decimal->digits) - 1;
    if (*last == '9')
        return false;
    (*last)++;
    return true;
}

static struct decimal shortest(double value)
{
    struct decimal decimal;
    for (int digits = 1; digits <= MAX_DIGITS; digits++) {
        decimal = round_to(value, digits);
        if (reads_back(&decimal, value))
            return decimal;
        struct decimal above = decimal;
        if (next_above(&above) && reads_back(&above, value))
            return above;
    }
    return decimal;
}

static void append_fixed(struct text *text, const struct decimal *decimal)
{
    int count = (int)strlen(decimal->digits);
    int whole = decimal->exponent + 1;
    if (whole <= 0) {
        text_printf(text, "0.%.*s%s", -whole, "0000", decimal->digits);
    } else if (whole >= count) {
        text_append_string(text, decimal->digits);
        for (int i = count; i < whole; i++)
            text_append_byte(text, '0');
        text_append_string(text, ".0");
    } else {
        text_printf(text, "%.*s.%s", whole, decimal->digits, decimal->digits + whole);
    }
}

void real_append(struct text *text, double value)
{
    assert(isfinite(value));
    if (signbit(value))
        text_append_byte(text, '-');
    struct decimal decimal = shortest(fabs(value));
    if (decimal.exponent >= LAST_SMALL_EXPONENT && decimal.exponent < FIRST_LARGE_EXPONENT) {
        append_fixed(text, &decimal);
    } else {
        const char *point = decimal.digits[1] ? "." : "";
        text_printf(text, "%c%s%se%+03d", decimal.digits[0], point, decimal.digits + 1,
                    decimal.exponent);
    }
}
