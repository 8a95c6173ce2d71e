/*
 * Reading JSON. One allocation holds a usual document: its values, and room for its decoded
 * strings, which are never longer than the text. The parser keeps its own stack, so depth costs no
 * C stack.
 */
#include "cache/json/json.h"

#include "cache/json/json_members.h"
#include "cache/util/file.h"
#include "cache/util/real.h"
#include "cache/util/utf8.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

enum {
    FIRST_NODES_MAX = 64,
    NODES_MAX = 16384, /* values per further allocation */
};

/** Room for values, the newest first. */
struct json_nodes {
    struct json_nodes *next;
    size_t used;
    size_t capacity;
    struct json nodes[];
};

struct frame {
    struct json *container;
    struct json *last;
    size_t count;
};

struct parser {
    const char *start;
    const char *at;
    const char *end;
    struct json_document *document;
    struct pkgcache_error *error;
    struct frame frames[JSON_MAX_DEPTH];
    size_t depth;
};

static int fail(const struct parser *parser, const char *at, const char *why)
{
    size_t line = 1;
    size_t column = 1;
    for (const char *byte = parser->start; byte < at; byte++) {
        if (*byte == '\n') {
            line++;
            column = 1;
        } else if ((*byte & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(parser->error, EBADMSG, "not JSON: %s at line %zu, column %zu", why, line,
                     column);
}

static int out_of_memory(struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "not enough memory for a JSON text");
}

static struct json_nodes *nodes_create(size_t capacity)
{
    struct json_nodes *nodes = malloc(sizeof(*nodes) + capacity * sizeof(nodes->nodes[0]));
    if (nodes)
        *nodes = (struct json_nodes){.capacity = capacity};
    return nodes;
}

static struct json *new_value(struct parser *parser)
{
    struct json_nodes *nodes = parser->document->nodes;
    if (nodes->used == nodes->capacity) {
        struct json_nodes *more = nodes_create(MIN(nodes->capacity * 2, (size_t)NODES_MAX));
        if (!more)
            return NULL;
        more->next = nodes;
        nodes = parser->document->nodes = more;
    }
    struct json *value = &nodes->nodes[nodes->used++];
    *value = (struct json){0};
    return value;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && is_space(*parser->at))
        parser->at++;
}

static bool next_is(const struct parser *parser, char byte)
{
    return parser->at < parser->end && *parser->at == byte;
}

/* Four hexadecimal digits, as they follow \u; -1 when they do not. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t number = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)at[i]))
            return -1;
        int digit = isdigit((unsigned char)at[i]) ? at[i] - '0' : (at[i] | 0x20) - 'a' + 10;
        number = number << 4 | digit;
    }
    return number;
}

/* at: after \u; two escapes that are a surrogate pair make one code point. */
static int decode_unicode_escape(struct parser *parser, const char **at, char **out)
{
    int32_t unit = hex4(*at, parser->end);
    if (unit < 0)
        return fail(parser, *at - 2, "an incomplete \\u escape");
    *at += 4;
    if (unit >= 0xd800 && unit <= 0xdbff && parser->end - *at >= 6 && memcmp(*at, "\\u", 2) == 0) {
        int32_t low = hex4(*at + 2, parser->end);
        if (low >= 0xdc00 && low <= 0xdfff) {
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            *at += 6;
        }
    }
    *out += utf8_encode((uint32_t)unit, *out);
    return 0;
}

static int decode_escape(struct parser *parser, const char **at, char **out)
{
    static const char escapes[] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                   ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const char *escape = *at + 1;
    if (escape == parser->end)
        return fail(parser, *at, "an incomplete escape");
    if (*escape == 'u') {
        *at += 2;
        return decode_unicode_escape(parser, at, out);
    }
    unsigned char index = (unsigned char)*escape;
    if (index >= sizeof(escapes) || !escapes[index])
        return fail(parser, *at, "an unknown escape");
    *(*out)++ = escapes[index];
    *at += 2;
    return 0;
}

/* Moves to the document what decoding has appended at `out`, with a NUL behind it. */
static void keep_string(struct parser *parser, char *out, const char **ret_text, size_t *ret_length)
{
    char *begin = parser->document->strings;
    *ret_text = begin;
    *ret_length = (size_t)(out - begin);
    *out = '\0';
    parser->document->strings = out + 1;
}

/* Most of a string is this: neither its end, nor an escape, nor anything to check. */
static size_t plain_length(const char *at, const char *end)
{
    const char *begin = at;
    while (at < end && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\')
        at++;
    return (size_t)(at - begin);
}

/* One character that is written as it is. */
static int copy_character(struct parser *parser, const char **at, char **out)
{
    uint32_t code_point;
    size_t used = utf8_decode(*at, (size_t)(parser->end - *at), UTF8_STRICT, &code_point);
    if (used == 0)
        return fail(parser, *at, "bytes that are not UTF-8");
    if (code_point < 0x20)
        return fail(parser, *at, "a control character in a string");
    memcpy(*out, *at, used);
    *out += used;
    *at += used;
    return 0;
}

static int parse_string(struct parser *parser, const char **ret_text, size_t *ret_length)
{
    const char *at = parser->at + 1;
    char *out = parser->document->strings;
    for (;;) {
        size_t plain = plain_length(at, parser->end);
        memcpy(out, at, plain);
        out += plain;
        at += plain;
        if (at == parser->end)
            return fail(parser, parser->at, "a string that does not end");
        if (*at == '"')
            break;
        int result =
            *at == '\\' ? decode_escape(parser, &at, &out) : copy_character(parser, &at, &out);
        if (result < 0)
            return result;
    }
    parser->at = at + 1;
    keep_string(parser, out, ret_text, ret_length);
    return 0;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && isdigit((unsigned char)*at))
        at++;
    return at;
}

/* The end of a fraction or an exponent that begins at `at`; `at` itself when none does. */
static const char *skip_digits_after(const char *at, const char *digits, const char *end)
{
    const char *after = skip_digits(digits, end);
    return after > digits ? after : at;
}

static int parse_number(struct parser *parser, struct json *value)
{
    const char *end = parser->end;
    const char *digits = parser->at + (*parser->at == '-');
    const char *at = skip_digits(digits, end);
    if (at == digits || (at - digits > 1 && *digits == '0'))
        return fail(parser, parser->at, "a number that begins wrongly");
    const char *whole = at;
    if (at < end && *at == '.')
        at = skip_digits_after(at, at + 1, end);
    if (at < end && (*at | 0x20) == 'e') {
        const char *exponent = at + 1;
        if (exponent < end && (*exponent == '+' || *exponent == '-'))
            exponent++;
        at = skip_digits_after(at, exponent, end);
    }

    value->type = at == whole ? JSON_INTEGER : JSON_REAL;
    size_t length = (size_t)(at - parser->at);
    memcpy(parser->document->strings, parser->at, length);
    keep_string(parser, parser->document->strings + length, &value->text, &value->text_length);
    if (value->type == JSON_INTEGER && at - digits > JSON_MAX_INTEGER_DIGITS)
        return fail(parser, parser->at, "an integer with too many digits");
    double number;
    int result = value->type == JSON_REAL ? real_parse(value->text, &number) : 0;
    if (result == -ERANGE)
        return fail(parser, parser->at, "a number too large for a double");
    if (result < 0)
        return out_of_memory(parser->error);
    parser->at = at;
    return 0;
}

static bool skip_word(struct parser *parser, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, word, length) != 0)
        return false;
    parser->at += length;
    return true;
}

static int open_container(struct parser *parser, struct json *value)
{
    if (parser->depth == JSON_MAX_DEPTH)
        return fail(parser, parser->at, "nested too deeply");
    value->type = *parser->at == '{' ? JSON_OBJECT : JSON_ARRAY;
    parser->at++;
    parser->frames[parser->depth++] = (struct frame){.container = value};
    return 0;
}

/* A whole value, or the opening bracket of one. */
static int parse_value(struct parser *parser, struct json *value)
{
    if (parser->at == parser->end)
        return fail(parser, parser->at, "a value is missing");
    switch (*parser->at) {
    case '{':
    case '[':
        return open_container(parser, value);
    case '"':
        value->type = JSON_STRING;
        return parse_string(parser, &value->text, &value->text_length);
    case '-':
    case '0' ... '9':
        return parse_number(parser, value);
    default:
        break;
    }
    if (skip_word(parser, "null"))
        return 0;
    value->type = JSON_BOOLEAN;
    value->boolean = skip_word(parser, "true");
    if (value->boolean || skip_word(parser, "false"))
        return 0;
    return fail(parser, parser->at, "a value is missing");
}

static int parse_key(struct parser *parser, struct json *member)
{
    if (!next_is(parser, '"'))
        return fail(parser, parser->at, "a member's name is missing");
    int result = parse_string(parser, &member->key, &member->key_length);
    if (result < 0)
        return result;
    skip_space(parser);
    if (!next_is(parser, ':'))
        return fail(parser, parser->at, "a ':' is missing");
    parser->at++;
    skip_space(parser);
    return 0;
}

static int close_container(struct parser *parser)
{
    struct frame *frame = &parser->frames[--parser->depth];
    parser->at++;
    if (frame->container->type != JSON_OBJECT)
        return 0;
    int result = json_merge_members(frame->container, frame->count);
    return result < 0 ? out_of_memory(parser->error) : 0;
}

/* In the innermost open container: its next child, or its end. */
static int parse_next(struct parser *parser)
{
    struct frame *frame = &parser->frames[parser->depth - 1];
    bool object = frame->container->type == JSON_OBJECT;
    skip_space(parser);
    if (next_is(parser, object ? '}' : ']'))
        return close_container(parser);
    if (frame->count > 0) {
        if (!next_is(parser, ','))
            return fail(parser, parser->at,
                        object ? "a ',' or '}' is missing" : "a ',' or ']' is missing");
        parser->at++;
        skip_space(parser);
    }

    struct json *child = new_value(parser);
    if (!child)
        return out_of_memory(parser->error);
    int result = object ? parse_key(parser, child) : 0;
    if (result < 0)
        return result;
    *(frame->last ? &frame->last->next : &frame->container->first) = child;
    frame->last = child;
    frame->count++;
    return parse_value(parser, child);
}

static int parse_text(struct parser *parser)
{
    if (parser->end - parser->start >= 3 && memcmp(parser->start, "\xef\xbb\xbf", 3) == 0)
        return fail(parser, parser->start, "a UTF-8 byte-order mark");
    skip_space(parser);
    if (parser->at == parser->end)
        return error_set(parser->error, EBADMSG, "not JSON: the text is empty");
    parser->document->root = new_value(parser);
    if (!parser->document->root)
        return out_of_memory(parser->error);
    int result = parse_value(parser, parser->document->root);
    while (result == 0 && parser->depth > 0)
        result = parse_next(parser);
    if (result < 0)
        return result;
    skip_space(parser);
    if (parser->at < parser->end)
        return fail(parser, parser->at, "more text after the value");
    return 0;
}

/* The document, its first values and its strings in one piece: of the room, if it is enough. */
static struct json_document *document_create(void *room, size_t room_bytes, size_t length)
{
    size_t count = MIN(length / 16 + 4, (size_t)FIRST_NODES_MAX);
    size_t nodes_size = sizeof(struct json_nodes) + count * sizeof(struct json);
    if (length > SIZE_MAX / 2)
        return NULL;
    size_t bytes = sizeof(struct json_document) + nodes_size + length + 1;
    bool borrowed = bytes <= room_bytes;
    struct json_document *document = borrowed ? room : malloc(bytes);
    if (!document)
        return NULL;
    *document =
        (struct json_document){.nodes = (struct json_nodes *)(document + 1), .borrowed = borrowed};
    *document->nodes = (struct json_nodes){.capacity = count};
    document->strings = (char *)document->nodes + nodes_size;
    return document;
}

void json_document_free(struct json_document *document)
{
    if (!document)
        return;
    struct json_nodes *nodes = document->nodes;
    while (nodes->next) {
        struct json_nodes *next = nodes->next;
        free(nodes);
        nodes = next;
    }
    if (!document->borrowed)
        free(document);
}

int json_parse(const char *text, size_t length, struct json_document **ret_document,
               struct pkgcache_error *error)
{
    return json_parse_in(NULL, 0, text, length, ret_document, error);
}

int json_parse_in(void *room, size_t room_bytes, const char *text, size_t length,
                  struct json_document **ret_document, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = document_create(room, room_bytes, length);
    if (!document)
        return out_of_memory(error);
    struct parser parser;
    parser.start = parser.at = text;
    parser.end = text + length;
    parser.document = document;
    parser.error = error;
    parser.depth = 0;
    int result = parse_text(&parser);
    if (result < 0)
        return result;
    *ret_document = STEAL(document);
    return 0;
}

static int read_file(int dirfd, const char *name, size_t max_bytes,
                     struct json_document **ret_document, struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_TEXT struct text text = {0};
    int result = file_open_regular(dirfd, name, &fd, error);
    if (result == 0)
        result = file_read(fd, max_bytes, &text, error);
    if (result == 0)
        result = json_parse(text.bytes, text.length, ret_document, error);
    return result;
}

int json_read_file(int dirfd, const char *name, size_t max_bytes,
                   struct json_document **ret_document, struct pkgcache_error *error)
{
    struct pkgcache_error inner;
    int result = read_file(dirfd, name, max_bytes, ret_document, &inner);
    if (result == 0)
        return 0;
    char quoted[JSON_QUOTE_SIZE];
    json_quote_string(name, strlen(name), quoted);
    return error_set(error, -result, "%s: %s", quoted, inner.message);
}

/* Most that differ do so in their first byte, which is a NUL where there is none. */
static bool is_same(const char *bytes, size_t length, const char *string)
{
    return *bytes == *string && strlen(string) == length && memcmp(bytes, string, length) == 0;
}

bool json_has_key(const struct json *member, const char *key)
{
    return member->key && is_same(member->key, member->key_length, key);
}

const struct json *json_member(const struct json *object, const char *key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *member = object->first; member; member = member->next) {
        if (json_has_key(member, key))
            return member;
    }
    return NULL;
}

bool json_is_string(const struct json *value, const char *string)
{
    return value && value->type == JSON_STRING && is_same(value->text, value->text_length, string);
}

int json_integer(const struct json *value, int64_t minimum, int64_t maximum, int64_t *ret_number)
{
    if (!value || value->type != JSON_INTEGER)
        return -EINVAL;
    errno = 0;
    long long number = strtoll(value->text, NULL, 10);
    if (errno == ERANGE || number < minimum || number > maximum)
        return -ERANGE;
    *ret_number = number;
    return 0;
}

uint64_t json_count(const struct json *object, const char *key)
{
    int64_t number = 0;
    json_integer(json_member(object, key), 0, INT64_MAX, &number);
    return (uint64_t)number;
}

int json_take_path(const struct json *value, char **ret)
{
    if (!value || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_STRING || memchr(value->text, '\0', value->text_length))
        return -EBADMSG;
    *ret = malloc(value->text_length + 1);
    if (!*ret)
        return -ENOMEM;
    return utf8_to_path(value->text, value->text_length, *ret) < 0 ? -EBADMSG : 0;
}
