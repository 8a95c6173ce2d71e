/*
 * What a YAML scalar is. Each reader of a type is PyYAML's regular expression for it, spelled out:
 * it moves a cursor over what it takes, and the scalar is of that type if that reaches the end.
 */
#include "cache/rez/yaml_scalar.h"

#include "cache/util/real.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum {
    SIXTY = 60,
    MAX_SIXTIES = 10, /* more parts than these are beyond 64 bits */
};

static const char decimal_digits[] = "0123456789";
static const char decimal_bytes[] = "0123456789_";

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return true;
    }
    return false;
}

static const char *skip_sign(const char *at)
{
    return *at == '-' || *at == '+' ? at + 1 : at;
}

static const char *skip(const char *at, const char *bytes)
{
    return at + strspn(at, bytes);
}

/* `(?::[0-5]?[0-9])+`; NULL: none. */
static const char *skip_sixties(const char *at)
{
    const char *start = at;
    while (*at == ':' && isdigit((unsigned char)at[1]))
        at += at[1] <= '5' && isdigit((unsigned char)at[2]) ? 3 : 2;
    return at == start ? NULL : at;
}

static bool is_sixties(const char *at, bool real)
{
    const char *end = isdigit((unsigned char)*at) ? skip_sixties(skip(at, decimal_bytes)) : NULL;
    if (!end || (!real && *at == '0'))
        return false;
    if (!real)
        return *end == '\0';
    return *end == '.' && *skip(end + 1, decimal_bytes) == '\0';
}

static bool is_infinite(const char *at)
{
    static const char *const words[] = {".inf", ".Inf", ".INF"};
    return is_one_of(at, words, ARRAY_LENGTH(words));
}

static bool is_nan(const char *text)
{
    static const char *const words[] = {".nan", ".NaN", ".NAN"};
    return is_one_of(text, words, ARRAY_LENGTH(words));
}

/* `[0-9][0-9_]*\.[0-9_]*` or, without a sign before it, `\.[0-9][0-9_]*`; and an exponent, which
   has a sign. */
static bool is_fraction(const char *at, bool has_sign)
{
    if (isdigit((unsigned char)*at)) {
        at = skip(at, decimal_bytes);
        if (*at != '.')
            return false;
    } else if (*at != '.' || has_sign || !isdigit((unsigned char)at[1])) {
        return false;
    }
    at = skip(at + 1, decimal_bytes);
    if ((*at == 'e' || *at == 'E') && (at[1] == '-' || at[1] == '+') &&
        isdigit((unsigned char)at[2]))
        at = skip(at + 2, decimal_digits);
    return *at == '\0';
}

static bool is_real(const char *text)
{
    const char *at = skip_sign(text);
    return is_fraction(at, at > text) || is_sixties(at, true) || is_infinite(at) || is_nan(text);
}

static bool is_integer(const char *text)
{
    const char *at = skip_sign(text);
    if (strncmp(at, "0b", 2) == 0)
        return at[2] && *skip(at + 2, "01_") == '\0';
    if (strncmp(at, "0x", 2) == 0)
        return at[2] && *skip(at + 2, "0123456789abcdefABCDEF_") == '\0';
    if (*at == '0')
        return *skip(at + 1, "01234567_") == '\0';
    if (!isdigit((unsigned char)*at))
        return false;
    return *skip(at, decimal_bytes) == '\0' || is_sixties(at, false);
}

/* How many digits stand here, `least` to `most`; -1: another number of them. */
static const char *skip_count(const char *at, size_t least, size_t most)
{
    size_t count = at ? strspn(at, decimal_digits) : 0;
    return count >= least && count <= most ? at + count : NULL;
}

static const char *skip_byte(const char *at, char byte)
{
    return at && *at == byte ? at + 1 : NULL;
}

/* `Z`, or hours and perhaps minutes with a sign; or nothing. */
static bool is_zone(const char *at)
{
    if (*at == '\0')
        return true;
    at = skip(at, " \t");
    if (*at == 'Z')
        return at[1] == '\0';
    if (*at != '-' && *at != '+')
        return false;
    at = skip_count(at + 1, 1, 2);
    if (at && *at == ':')
        at = skip_count(at + 1, 2, 2);
    return at && *at == '\0';
}

static bool is_date(const char *text)
{
    const char *month = skip_byte(skip_count(text, 4, 4), '-');
    const char *day = skip_byte(skip_count(month, 1, 2), '-');
    const char *at = skip_count(day, 1, 2);
    if (!at)
        return false;
    if (*at == '\0')
        return at - text == (ptrdiff_t)strlen("2000-01-01");
    const char *hour = *at == 'T' || *at == 't' ? at + 1 : skip(at, " \t");
    if (hour == at)
        return false;
    at = skip_count(skip_byte(skip_count(hour, 1, 2), ':'), 2, 2);
    at = skip_count(skip_byte(at, ':'), 2, 2);
    if (at && *at == '.')
        at = skip(at + 1, decimal_digits);
    return at && is_zone(at);
}

/* --- values -------------------------------------------------------------------------------------
 */

static void append_real(struct text *text, double value)
{
    if (isnan(value))
        text_append_string(text, "nan");
    else if (isinf(value))
        text_append_string(text, value < 0 ? "-inf" : "inf");
    else
        real_append(text, value);
}

static double parse_real(const char *digits)
{
    double value;
    return real_parse(digits, &value) < 0 ? (double)INFINITY : value;
}

/* Parts between colons, the last one counts once, the one before it 60 times. */
static bool sum_sixties(char *digits, double *ret_value)
{
    uint64_t factor = 1;
    *ret_value = 0;
    for (size_t parts = 0;; parts++, factor *= SIXTY) {
        char *colon = strrchr(digits, ':');
        if (parts == MAX_SIXTIES)
            return false;
        *ret_value += parse_real(colon ? colon + 1 : digits) * (double)factor;
        if (!colon)
            return true;
        *colon = '\0';
    }
}

static bool sum_whole_sixties(char *digits, unsigned long long *ret_value)
{
    *ret_value = 0;
    for (char *rest = digits; rest;) {
        char *part = strsep(&rest, ":");
        errno = 0;
        unsigned long long number = strtoull(part, NULL, 10);
        if (errno != 0 || __builtin_mul_overflow(*ret_value, SIXTY, ret_value) ||
            __builtin_add_overflow(*ret_value, number, ret_value))
            return false;
    }
    return true;
}

/* The scalar without sign and underscores, in lower case. */
static int copy_digits(const char *text, struct text *digits)
{
    for (const char *at = skip_sign(text); *at; at++) {
        if (*at != '_')
            text_append_byte(digits, (char)tolower((unsigned char)*at));
    }
    return digits->bytes ? digits->error : -EINVAL;
}

static bool read_real(const char *text, struct text *ret)
{
    CLEANUP_TEXT struct text digits = {0};
    double value;
    if (copy_digits(text, &digits) < 0)
        return false;
    if (is_infinite(skip_sign(text)))
        value = (double)INFINITY;
    else if (is_nan(text))
        value = (double)NAN;
    else if (!strchr(digits.bytes, ':'))
        value = parse_real(digits.bytes);
    else if (!sum_sixties(digits.bytes, &value))
        return false;
    append_real(ret, *text == '-' ? -value : value);
    return ret->error == 0;
}

static bool read_based(const char *digits, int base, unsigned long long *ret_value)
{
    char *end;
    errno = 0;
    *ret_value = strtoull(digits, &end, base);
    return errno == 0 && end > digits && *end == '\0';
}

static bool read_integer(const char *text, struct text *ret)
{
    CLEANUP_TEXT struct text digits = {0};
    unsigned long long value;
    bool read;
    if (copy_digits(text, &digits) < 0 || digits.length > JSON_MAX_INTEGER_DIGITS)
        return false;
    const char *sign = *text == '-' ? "-" : "";
    if (digits.bytes[0] != '0' && !strchr(digits.bytes, ':')) {
        text_printf(ret, "%s%s", sign, digits.bytes);
        return ret->error == 0;
    }
    if (digits.bytes[0] != '0')
        read = sum_whole_sixties(digits.bytes, &value);
    else if (digits.bytes[1] == 'b')
        read = read_based(digits.bytes + 2, 2, &value);
    else if (digits.bytes[1] == 'x')
        read = isxdigit((unsigned char)digits.bytes[2]) && read_based(digits.bytes + 2, 16, &value);
    else
        read = read_based(digits.bytes, 8, &value);
    if (read)
        text_printf(ret, "%s%llu", value > 0 ? sign : "", value);
    return read && ret->error == 0;
}

static bool read_boolean(const char *text, bool *ret_boolean)
{
    static const char *const yes[] = {"yes",  "Yes", "YES", "true", "True",
                                      "TRUE", "on",  "On",  "ON"};
    static const char *const no[] = {"no",    "No",  "NO",  "false", "False",
                                     "FALSE", "off", "Off", "OFF"};
    *ret_boolean = is_one_of(text, yes, ARRAY_LENGTH(yes));
    return *ret_boolean || is_one_of(text, no, ARRAY_LENGTH(no));
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return is_one_of(text, words, ARRAY_LENGTH(words));
}

void yaml_scalar_resolve(const char *bytes, size_t length, struct yaml_scalar *ret_scalar)
{
    struct yaml_scalar *scalar = ret_scalar;
    *scalar = (struct yaml_scalar){.kind = YAML_SCALAR_VALUE, .type = JSON_STRING};
    bool valid = true;
    if (strlen(bytes) != length)
        return;
    if (is_null(bytes)) {
        scalar->type = JSON_NULL;
    } else if (read_boolean(bytes, &scalar->boolean)) {
        scalar->type = JSON_BOOLEAN;
    } else if (strcmp(bytes, "<<") == 0) {
        scalar->kind = YAML_SCALAR_MERGE;
    } else if (strcmp(bytes, "=") == 0) {
        scalar->kind = YAML_SCALAR_DEFAULT;
    } else if (is_real(bytes)) {
        scalar->type = JSON_REAL;
        valid = read_real(bytes, &scalar->text);
    } else if (is_integer(bytes)) {
        scalar->type = JSON_INTEGER;
        valid = read_integer(bytes, &scalar->text);
    } else if (is_date(bytes)) {
        scalar->kind = YAML_SCALAR_DATE;
    }
    if (!valid)
        scalar->kind = YAML_SCALAR_INVALID;
}
