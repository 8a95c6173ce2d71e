/*
 * The parser. It is ours, and not a library's, since those of Debian 12 that read `name = value`
 * without sections each change what is written: inih cuts a line off at 200 bytes, which a list of
 * repositories may well exceed, and takes ` ;` in a path for a comment; libconfuse expands
 * variables and calls functions in values; GKeyFile wants a section, and all of GLib.
 */
#include "cache/rez/settings_file.h"

#include "cache/json/visible.h"

#include <ctype.h>
#include <string.h>

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static char *skip_spaces(char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

/* Cuts off the spaces before `end`. */
static void trim(const char *start, char *end)
{
    while (end > start && is_space(end[-1]))
        end--;
    *end = '\0';
}

/* Bytes that are no part of any path or word: they would show as something else than they are. */
static const char *find_odd_bytes(const char *line, size_t length)
{
    if (memchr(line, '\0', length))
        return "there is a NUL in it";
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)line[i] < ' ' && !is_space(line[i])) || line[i] == 0x7f)
            return "there is a control character in it";
    return length > SETTINGS_LINE_BYTES_MAX ? "it is too long" : NULL;
}

static int hex_digit(char letter)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = letter ? strchr(digits, tolower((unsigned char)letter)) : NULL;
    return digit ? (int)(digit - digits) : -1;
}

/* What stands behind a backslash. Moves *at behind it. Returns the byte; NUL: it stands for none.
 */
static char take_escape(const char **at)
{
    char letter = *(*at)++;
    if (letter == 'n' || letter == 't')
        return letter == 'n' ? '\n' : '\t';
    if (letter == '"' || letter == '\\')
        return letter;
    int high = letter == 'x' ? hex_digit((*at)[0]) : -1;
    int low = high >= 0 ? hex_digit((*at)[1]) : -1;
    if (low < 0)
        return '\0';
    *at += 2;
    return (char)(high << 4 | low);
}

/* @param text behind the first quote; becomes the value. Returns a fault, or NULL. */
static const char *take_quoted(char *text)
{
    const char *at = text;
    char *end = text;
    while (*at && *at != '"') {
        *end = *at++;
        if (*end == '\\' && (*at == '\0' || (*end = take_escape(&at)) == '\0'))
            return "behind a backslash there has to be \\, \", n, t, or x and two digits";
        end++;
    }
    if (!*at)
        return "the quote is not closed";
    const char *rest = skip_spaces((char *)at + 1);
    *end = '\0';
    return *rest && *rest != '#' ? "there is something behind the quote" : NULL;
}

/* @param value the text behind the sign; its end is cut off. Returns a fault, or NULL. */
static const char *take_value(char **value)
{
    char *text = skip_spaces(*value);
    *value = text;
    if (*text == '"') {
        (*value)++;
        return take_quoted(*value);
    }
    char *end = text;
    while (*end && !(*end == '#' && (end == text || is_space(end[-1]))))
        end++;
    trim(text, end);
    return NULL;
}

/* Reads one line. Returns false: it says nothing. */
static bool read_line(char *line, size_t length, struct settings_line *ret)
{
    ret->fault = find_odd_bytes(line, length);
    ret->name = NULL;
    ret->value = "";
    if (ret->fault)
        return true;
    char *name = skip_spaces(line);
    if (!*name || *name == '#')
        return false;
    char *sign = strchr(name, '=');
    if (!sign || *name == '[') {
        ret->fault = *name == '[' ? "there are no sections here" : "it is not NAME = VALUE";
        return true;
    }
    char *value = sign + 1;
    trim(name, sign);
    ret->fault = *name ? take_value(&value) : "it is not NAME = VALUE";
    if (ret->fault)
        return true;
    ret->name = name;
    ret->value = value;
    return true;
}

int settings_file_parse(char *text, size_t length,
                        int (*on_line)(void *context, const struct settings_line *line),
                        void *context)
{
    static const char mark[] = "\xef\xbb\xbf"; /* with which some editors begin a file */
    struct settings_line line = {0};
    int result = 0;
    char *end = text + length;
    if (length >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0)
        text += sizeof(mark) - 1;
    while (text < end && result == 0) {
        char *next = memchr(text, '\n', (size_t)(end - text));
        if (!next)
            next = end;
        *next = '\0'; /* of the last line: the NUL behind the text */
        line.number++;
        if (read_line(text, (size_t)(next - text), &line))
            result = on_line(context, &line);
        text = next + 1;
    }
    return result;
}

/* Whether there is something in a value that no line may hold, or that nobody would see. */
static bool is_odd(const char *value)
{
    CLEANUP_TEXT struct text shown = {0};
    visible_append(&shown, value, strlen(value));
    return shown.error || strcmp(shown.bytes ? shown.bytes : "", value) != 0;
}

static bool needs_quotes(const char *value)
{
    size_t length = strlen(value);
    for (const char *sign = value; (sign = strchr(sign, '#')); sign++)
        if (sign == value || is_space(sign[-1]))
            return true;
    return *value == '"' || is_space(*value) || (length > 0 && is_space(value[length - 1]));
}

void settings_file_write_value(struct text *text, const char *value)
{
    bool odd = is_odd(value);
    if (!odd && !needs_quotes(value)) {
        text_append_string(text, value);
        return;
    }
    text_append_byte(text, '"');
    for (; *value; value++) {
        unsigned char byte = (unsigned char)*value;
        if (byte == '"' || byte == '\\')
            text_printf(text, "\\%c", byte);
        else if (byte == '\n' || byte == '\t')
            text_append_string(text, byte == '\n' ? "\\n" : "\\t");
        else if (odd && (byte < ' ' || byte >= 0x7f))
            text_printf(text, "\\x%02x", byte);
        else
            text_append_byte(text, *value);
    }
    text_append_byte(text, '"');
}
