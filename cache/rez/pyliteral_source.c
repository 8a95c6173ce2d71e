/* The text of a Python module; its encoding is declared as PEP 263 says. */
#include "cache/rez/pyliteral_source.h"

#include "cache/util/utf8.h"

#include <ctype.h>
#include <string.h>

static const char byte_order_mark[] = "\xEF\xBB\xBF";

static bool is_name_byte(char byte)
{
    return isalnum((unsigned char)byte) || (byte != '\0' && strchr("-_.", byte));
}

/* "utf-8" and what else Python takes for it: "UTF_8", "utf8", "utf-8-unix". */
static bool is_utf8_name(const char *name, size_t length)
{
    char plain[8] = "";
    size_t used = 0;
    for (size_t i = 0; i < length && used < sizeof(plain) - 1; i++) {
        if (name[i] != '-' && name[i] != '_')
            plain[used++] = (char)tolower((unsigned char)name[i]);
        else if (used == strlen("utf8") && name[i] == '-')
            break;
    }
    return strcmp(plain, "utf8") == 0;
}

/* Whether a line is blank, a comment, or a comment that declares another encoding. */
static bool line_is_empty(const char *line, const char *end, bool *ret_encoded)
{
    static const char word[] = "coding";
    while (line < end && strchr(" \t\f", *line))
        line++;
    if (line == end)
        return true;
    if (*line != '#')
        return false;
    for (const char *at = line; (size_t)(end - at) > strlen(word) + 1; at++) {
        if (memcmp(at, word, strlen(word)) != 0)
            continue;
        const char *name = at + strlen(word);
        if (*name != ':' && *name != '=')
            continue;
        name++;
        while (name < end && (*name == ' ' || *name == '\t'))
            name++;
        size_t length = 0;
        while (name + length < end && is_name_byte(name[length]))
            length++;
        if (length == 0)
            continue;
        *ret_encoded = !is_utf8_name(name, length);
        return false; /* the first one counts */
    }
    return true;
}

/* The first two lines may declare an encoding. */
static unsigned find_encoding(const char *text, const char *end)
{
    bool encoded = false;
    for (unsigned line = 1; line <= 2; line++) {
        const char *line_end = text;
        while (line_end < end && *line_end != '\n' && *line_end != '\r')
            line_end++;
        bool empty = line_is_empty(text, line_end, &encoded);
        if (encoded)
            return line;
        if (!empty || line_end == end)
            return 0;
        text = line_end + 1;
        if (*line_end == '\r' && text < end && *text == '\n')
            text++;
    }
    return 0;
}

static unsigned line_of(const struct pysource *source, const char *at)
{
    unsigned line = 1;
    for (const char *byte = source->text; byte < at; byte++)
        line += *byte == '\n';
    return line;
}

static int check(const struct pysource *source, struct pkgcache_error *ret_error)
{
    const char *end = source->text + source->length;
    const char *nul = source->length ? memchr(source->text, '\0', source->length) : NULL;
    if (nul)
        return error_set(ret_error, EBADMSG, "line %u: a NUL", line_of(source, nul));
    if (source->encoding_line > 0 || utf8_is_valid(source->text, source->length, UTF8_STRICT))
        return 0;
    const char *at = source->text;
    uint32_t code_point;
    for (size_t length; at < end; at += length) {
        length = utf8_decode(at, (size_t)(end - at), UTF8_STRICT, &code_point);
        if (length == 0)
            break;
    }
    return error_set(ret_error, EBADMSG, "line %u: not UTF-8, and no other encoding is declared",
                     line_of(source, at));
}

/* Carriage returns, and those before a newline, are newlines to Python, in strings, too. */
static int normalise_lines(struct pysource *source)
{
    if (source->length == 0 || !memchr(source->text, '\r', source->length))
        return 0;
    char *to = source->copy = calloc(source->length, 1);
    if (!to)
        return -ENOMEM;
    for (const char *at = source->text, *end = at + source->length; at < end; at++) {
        if (*at == '\r' && at + 1 < end && at[1] == '\n')
            continue;
        *to = *at;
        if (*at == '\r')
            *to = '\n';
        to++;
    }
    source->text = source->copy;
    source->length = (size_t)(to - source->copy);
    return 0;
}

int pysource_read(const char *text, size_t length, struct pysource *ret,
                  struct pkgcache_error *ret_error)
{
    size_t mark = strlen(byte_order_mark);
    bool marked = length >= mark && memcmp(text, byte_order_mark, mark) == 0;
    *ret = (struct pysource){.text = marked ? text + mark : text,
                             .length = marked ? length - mark : length};
    ret->encoding_line = find_encoding(ret->text, ret->text + ret->length);
    int result = normalise_lines(ret);
    if (result < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    return check(ret, ret_error);
}

void pysource_free(struct pysource *source)
{
    free(source->copy);
    *source = (struct pysource){0};
}
