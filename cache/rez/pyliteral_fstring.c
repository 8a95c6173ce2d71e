/*
 * Where a formatted string ends. Up to Python 3.11 it ends at the next of its quotes, wherever that
 * is; from 3.12 on an expression inside may use the same quotes again. What is valid for the former
 * ends in the same place for the latter, so this is the latter.
 */
#include "cache/rez/pyliteral_fstring.h"

#include <ctype.h>
#include <string.h>

enum { MAX_LEVELS = 16 };

struct fstring {
    const char *at;
    const char *end;
    int levels; /* strings and expressions inside each other */
};

static bool skip_formatted(struct fstring *string, char quote, size_t quote_length, bool raw);

static bool at_quotes(const struct fstring *string, char quote, size_t quote_length)
{
    if ((size_t)(string->end - string->at) < quote_length)
        return false;
    for (size_t i = 0; i < quote_length; i++) {
        if (string->at[i] != quote)
            return false;
    }
    return true;
}

static bool skip_plain(struct fstring *string, char quote, size_t quote_length)
{
    for (; string->at < string->end; string->at++) {
        if (at_quotes(string, quote, quote_length)) {
            string->at += quote_length;
            return true;
        }
        if (*string->at == '\n' && quote_length == 1)
            return false;
        if (*string->at == '\\' && string->at + 1 < string->end)
            string->at++;
    }
    return false;
}

/* A string inside an expression, at its quote. */
static bool skip_inner(struct fstring *string, const char *start)
{
    char quote = *string->at;
    size_t quote_length = at_quotes(string, quote, 3) ? 3 : 1;
    const char *prefix = string->at;
    bool formatted = false;
    bool raw = false;
    for (; prefix > start && isalpha((unsigned char)prefix[-1]); prefix--) {
        formatted |= strchr("fFtT", prefix[-1]) != NULL;
        raw |= strchr("rR", prefix[-1]) != NULL;
    }
    string->at += quote_length;
    return formatted ? skip_formatted(string, quote, quote_length, raw)
                     : skip_plain(string, quote, quote_length);
}

static bool skip_expression(struct fstring *string, char quote, size_t quote_length, bool raw);

/* Behind the `:` of an expression, to its `}`. */
static bool skip_format(struct fstring *string, char quote, size_t quote_length, bool raw)
{
    while (string->at < string->end) {
        char byte = *string->at;
        if (byte == '}')
            return true;
        if (byte == '\n' || byte == '\\' || at_quotes(string, quote, quote_length))
            return false;
        string->at++;
        if (byte == '{' && (string->at == string->end || *string->at == '{' ||
                            !skip_expression(string, quote, quote_length, raw)))
            return false;
    }
    return false;
}

/* Behind a `{`, to behind its `}`. */
static bool skip_code(struct fstring *string, char quote, size_t quote_length, bool raw)
{
    const char *start = string->at;
    int depth = 0;
    while (string->at < string->end) {
        char byte = *string->at;
        if (byte == '"' || byte == '\'') {
            if (!skip_inner(string, start))
                return false;
            continue;
        }
        if (byte == '\\' || byte == '#')
            return false; /* new in 3.12, and rare */
        if (byte == ':' && depth == 0) {
            string->at++;
            if (!skip_format(string, quote, quote_length, raw))
                return false;
            byte = '}';
        }
        string->at++;
        if (byte == '}' && depth == 0)
            return true;
        if (byte == '(' || byte == '[' || byte == '{')
            depth++;
        else if ((byte == ')' || byte == ']' || byte == '}') && --depth < 0)
            return false;
    }
    return false;
}

static bool skip_expression(struct fstring *string, char quote, size_t quote_length, bool raw)
{
    if (string->levels++ == MAX_LEVELS)
        return false;
    bool found = skip_code(string, quote, quote_length, raw);
    string->levels--;
    return found;
}

/* What a backslash stands before: never an expression's bracket, unless it names a character. */
static bool skip_escape(struct fstring *string, bool raw)
{
    string->at++;
    if (string->at == string->end)
        return false;
    if (!raw && *string->at == 'N' && string->at + 1 < string->end && string->at[1] == '{') {
        const char *close = memchr(string->at, '}', (size_t)(string->end - string->at));
        string->at = close ? close + 1 : string->end;
    } else if (*string->at != '{' && *string->at != '}') {
        string->at++;
    }
    return true;
}

static bool skip_literal(struct fstring *string, char quote, size_t quote_length, bool raw)
{
    while (string->at < string->end) {
        char byte = *string->at;
        if (at_quotes(string, quote, quote_length)) {
            string->at += quote_length;
            return true;
        }
        if (byte == '\n' && quote_length == 1)
            return false;
        if (byte == '\\') {
            if (!skip_escape(string, raw))
                return false;
            continue;
        }
        string->at++;
        if (byte != '{' && byte != '}')
            continue;
        if (string->at < string->end && *string->at == byte)
            string->at++;
        else if (byte == '}' || !skip_expression(string, quote, quote_length, raw))
            return false;
    }
    return false;
}

static bool skip_formatted(struct fstring *string, char quote, size_t quote_length, bool raw)
{
    if (string->levels++ == MAX_LEVELS)
        return false;
    bool found = skip_literal(string, quote, quote_length, raw);
    string->levels--;
    return found;
}

const char *fstring_skip(const char *at, const char *end, char quote, size_t quote_length, bool raw)
{
    struct fstring string = {.at = at, .end = end};
    return skip_formatted(&string, quote, quote_length, raw) ? string.at : NULL;
}
