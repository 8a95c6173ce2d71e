/*
 * Python's argparse (3.11, the one that rez 3.4 runs on) for one table of options. Its rules are
 * older than they are clear, and scripts depend on them: long options may be shortened; -a, -r and
 * -c take all that follows up to the next option, DIR too; short options may be joined; what is
 * wrong is found in two passes. All arguments are classified first, then consumed.
 *
 * rez parses twice, as `rez COMMAND` and as `rez pkg-cache`, and so do its messages. Help is laid
 * out for 80 columns, whatever the terminal has.
 */
#include "cli/rez_arguments.h"

#include "cache/json/repr.h"
#include "cache/json/visible.h"
#include "cli/exit.h"
#include "engine/compiler.h"

#include <stdarg.h>

enum { JOINED_MAX = 256 }; /* short options in one argument */

#define COLUMN_SET "{status,package,variant_uri,orig_path,cache_path}"

static const char outer_usage[] = "usage: rez [-h] [-i] [-V] [-v] COMMAND ...\n";

static const char usage[] =
    "usage: rez pkg-cache [-h] [-a URI [URI ...] | --logs | -r URI [URI ...] |\n"
    "                     --clean] [--pkg-cache-mode {sync,async}]\n"
    "                     [-c " COLUMN_SET " [" COLUMN_SET " ...]]\n"
    "                     [-f] [-v]\n"
    "                     [DIR]\n";

static const char help[] =
    "\n"
    "Manipulate a package cache.\n"
    "\n"
    "positional arguments:\n"
    "  DIR                   Package cache directory; will use config setting\n"
    "                        'cache_packages_path' if not provided\n"
    "\n"
    "options:\n"
    "  -h, --help            show this help message and exit\n"
    "  -a URI [URI ...], --add-variants URI [URI ...]\n"
    "                        Add variants to the cache\n"
    "  --logs                View logs\n"
    "  -r URI [URI ...], --remove-variants URI [URI ...]\n"
    "                        Remove variants from cache\n"
    "  --clean               Remove unused variants and other cache files pending\n"
    "                        deletion\n"
    "  --pkg-cache-mode {sync,async}\n"
    "                        If provided, override the rezconfig's\n"
    "                        package_cache_async key. If 'sync', the process will\n"
    "                        block until packages are cached. If 'async', the\n"
    "                        process will not block while packages are cached.\n"
    "  -c " COLUMN_SET " [" COLUMN_SET " ...], --columns " COLUMN_SET " [" COLUMN_SET " ...]\n"
    "                        Columns to print, choose from: status, package,\n"
    "                        variant_uri, orig_path, cache_path\n"
    "  -f, --force           Force a package add, even if package is not cachable.\n"
    "                        Only applicable with --add-variants\n"
    "  -v, --verbose         verbose mode, repeat for more verbosity\n";

const char *const rez_column_names[REZ_COLUMN_COUNT] = {
    "status", "package", "variant_uri", "orig_path", "cache_path",
};

static const char *const mode_names[] = {"sync", "async"};

/* In argparse's order, in which it names those that an abbreviation could mean. */
enum option_id {
    OPTION_HELP,
    OPTION_ADD,
    OPTION_LOGS,
    OPTION_REMOVE,
    OPTION_CLEAN,
    OPTION_DAEMON,
    OPTION_MODE,
    OPTION_COLUMNS,
    OPTION_FORCE,
    OPTION_VERBOSE,
    OPTION_DEBUG,
    OPTION_PROFILE,
    OPTION_COUNT,
    OPTION_UNKNOWN, /* looks like an option, and is none */
};

enum arity { TAKES_NONE, TAKES_ONE, TAKES_SOME };

static const struct option {
    const char *short_name; /* NULL: none */
    const char *long_name;
    enum arity arity;
    enum rez_action action; /* REZ_LIST: none; two of the others exclude each other */
} options[OPTION_COUNT] = {
    [OPTION_HELP] = {"-h", "--help", TAKES_NONE, REZ_LIST},
    [OPTION_ADD] = {"-a", "--add-variants", TAKES_SOME, REZ_ADD},
    [OPTION_LOGS] = {NULL, "--logs", TAKES_NONE, REZ_LOGS},
    [OPTION_REMOVE] = {"-r", "--remove-variants", TAKES_SOME, REZ_REMOVE},
    [OPTION_CLEAN] = {NULL, "--clean", TAKES_NONE, REZ_CLEAN},
    [OPTION_DAEMON] = {NULL, "--daemon", TAKES_NONE, REZ_DAEMON},
    [OPTION_MODE] = {NULL, "--pkg-cache-mode", TAKES_ONE, REZ_LIST},
    [OPTION_COLUMNS] = {"-c", "--columns", TAKES_SOME, REZ_LIST},
    [OPTION_FORCE] = {"-f", "--force", TAKES_NONE, REZ_LIST},
    [OPTION_VERBOSE] = {"-v", "--verbose", TAKES_NONE, REZ_LIST}, /* changes nothing in rez */
    [OPTION_DEBUG] = {NULL, "--debug", TAKES_NONE, REZ_LIST},     /* as in rez, not in the help: */
    [OPTION_PROFILE] = {NULL, "--profile", TAKES_ONE, REZ_LIST},  /* taken, and of no effect */
};

/* What an argument is taken for. */
struct token {
    char kind;         /* argparse's letters: A argument, O option, - two dashes */
    enum option_id id; /* O */
    bool is_short;     /* by its short name, so that others may be joined to it */
    const char *value; /* O: what is joined to it; NULL: nothing */
};

struct parser {
    char **arguments; /* without the program's name */
    size_t count;
    struct token *tokens;
    struct rez_arguments *result;
    const char **extras;
    size_t extra_count;
};

static int refuse(const char *usage_text, const char *program, const char *message)
{
    CLEANUP_TEXT struct text visible = {0};
    if (isatty(STDERR_FILENO)) /* names in it may be others' */
        visible_append(&visible, message, strlen(message));
    fprintf(stderr, "%s%s: error: %s\n", usage_text, program,
            visible.length > 0 ? visible.bytes : message);
    return EXIT_USAGE;
}

int rez_arguments_refuse(const char *message)
{
    return refuse(usage, "rez pkg-cache", message);
}

static int refuse_outer(const char *message)
{
    return refuse(outer_usage, "rez", message);
}

/* Refuses an option: "argument -a/--add-variants: WHY". */
PRINTF_LIKE(2, 3)
static int refuse_option(enum option_id id, const char *format, ...)
{
    const struct option *option = &options[id];
    CLEANUP_TEXT struct text text = {0};
    va_list arguments;
    char why[1024];
    va_start(arguments, format);
    vsnprintf(why, sizeof(why), format, arguments);
    va_end(arguments);
    text_printf(&text, "argument %s%s%s: %s", option->short_name ? option->short_name : "",
                option->short_name ? "/" : "", option->long_name, why);
    return rez_arguments_refuse(text.error ? why : text.bytes);
}

static int refuse_value(enum option_id id, const char *before, const char *value, const char *after)
{
    CLEANUP_TEXT struct text quoted = {0};
    repr_append_string(&quoted, value, strlen(value));
    return refuse_option(id, "%s %s%s", before, quoted.error ? "?" : quoted.bytes, after);
}

/* Whether an argument is an abbreviation, up to its `=`, of a name. */
static bool abbreviates(const char *argument, const char *name)
{
    return strncmp(name, argument, strcspn(argument, "=")) == 0;
}

/* An abbreviation that rez's first parser, of `rez COMMAND`, has several options for. */
static bool is_ambiguous_outside(const char *argument)
{
    return strncmp(argument, "--v", 3) == 0 && abbreviates(argument, "--verbose") &&
           abbreviates(argument, "--version");
}

/* Finds the option that a long name, or the beginning of one, means. Returns -1, or an exit code.
 */
static int find_long(const char *argument, struct token *token)
{
    CLEANUP_TEXT struct text text = {0};
    size_t length = strcspn(argument, "=");
    unsigned found = 0;
    text_printf(&text, "ambiguous option: %s could match", argument);
    for (enum option_id id = 0; id < OPTION_COUNT; id++) {
        if (!abbreviates(argument, options[id].long_name))
            continue;
        token->id = id;
        if (options[id].long_name[length] == '\0') {
            found = 1;
            break;
        }
        text_printf(&text, "%s %s", found++ > 0 ? "," : "", options[id].long_name);
    }
    if (found > 1)
        return rez_arguments_refuse(text.error ? "ambiguous option" : text.bytes);
    token->value = found && argument[length] == '=' ? argument + length + 1 : NULL;
    return -1;
}

static enum option_id find_short(char letter)
{
    for (enum option_id id = 0; id < OPTION_COUNT; id++)
        if (options[id].short_name && options[id].short_name[1] == letter)
            return id;
    return OPTION_UNKNOWN;
}

static bool is_negative_number(const char *argument)
{
    const char *at = argument + 1;
    size_t digits = strspn(at, "0123456789");
    if (at[digits] == '\0')
        return digits > 0;
    at += digits + 1;
    return at[-1] == '.' && *at && at[strspn(at, "0123456789")] == '\0';
}

/* Takes an argument for an option, or not. Returns -1, or an exit code. */
static int classify(const char *argument, struct token *token)
{
    *token = (struct token){.kind = 'A', .id = OPTION_UNKNOWN};
    if (*argument != '-' || argument[1] == '\0')
        return -1;
    if (argument[1] == '-') {
        int code = find_long(argument, token);
        if (code >= 0)
            return code;
    } else {
        token->id = find_short(argument[1]);
        token->is_short = true;
        if (argument[2] != '\0')
            token->value = argument + 2 + (argument[2] == '=');
    }
    if (token->id == OPTION_UNKNOWN && (is_negative_number(argument) || strchr(argument, ' ')))
        return -1;
    token->kind = 'O';
    return -1;
}

static int classify_all(struct parser *parser)
{
    bool ended = false; /* by two dashes: the rest are arguments */
    for (size_t i = 0; i < parser->count && strcmp(parser->arguments[i], "--") != 0; i++) {
        char message[256];
        if (!is_ambiguous_outside(parser->arguments[i]))
            continue;
        snprintf(message, sizeof(message), "ambiguous option: %s could match --version, --verbose",
                 parser->arguments[i]);
        return refuse_outer(message);
    }
    for (size_t i = 0; i < parser->count; i++) {
        struct token *token = &parser->tokens[i];
        if (ended) {
            *token = (struct token){.kind = 'A'};
        } else if (strcmp(parser->arguments[i], "--") == 0) {
            *token = (struct token){.kind = '-'};
            ended = true;
        } else {
            int code = classify(parser->arguments[i], token);
            if (code >= 0)
                return code;
        }
    }
    return -1;
}

/* Returns the place of a value in a list of choices, or its length. */
static size_t find_choice(const char *value, const char *const *choices, size_t count)
{
    size_t i = 0;
    while (i < count && strcmp(value, choices[i]) != 0)
        i++;
    return i;
}

static int take_columns(struct rez_arguments *result, const char *const *values, size_t count)
{
    result->column_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t column = find_choice(values[i], rez_column_names, REZ_COLUMN_COUNT);
        if (column == REZ_COLUMN_COUNT)
            return refuse_value(OPTION_COLUMNS, "invalid choice:", values[i],
                                " (choose from 'status', 'package', 'variant_uri', 'orig_path', "
                                "'cache_path')");
        result->columns[result->column_count++] = (enum rez_column)column;
    }
    return -1;
}

static int take_mode(struct rez_arguments *result, const char *value)
{
    size_t mode = find_choice(value, mode_names, ARRAY_LENGTH(mode_names));
    if (mode == ARRAY_LENGTH(mode_names))
        return refuse_value(OPTION_MODE, "invalid choice:", value,
                            " (choose from 'sync', 'async')");
    result->mode = mode == 0 ? REZ_MODE_SYNC : REZ_MODE_ASYNC;
    return -1;
}

static int take_action(struct parser *parser, enum option_id id, const char *const *values,
                       size_t count)
{
    struct rez_arguments *result = parser->result;
    for (enum option_id other = 0; other < OPTION_COUNT; other++)
        if (options[other].action == result->action && result->action != REZ_LIST && other != id)
            return refuse_option(id, "not allowed with argument %s%s%s",
                                 options[other].short_name ? options[other].short_name : "",
                                 options[other].short_name ? "/" : "", options[other].long_name);
    result->action = options[id].action;
    result->uri_count = count;
    for (size_t i = 0; i < count; i++)
        result->uris[i] = values[i];
    return -1;
}

/* Does what an option with its values says. Returns -1, or an exit code. */
static int take(struct parser *parser, enum option_id id, const char *const *values, size_t count)
{
    if (options[id].action != REZ_LIST)
        return take_action(parser, id, values, count);
    switch (id) {
    case OPTION_HELP:
        printf("%s%s", usage, help);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    case OPTION_COLUMNS:
        return take_columns(parser->result, values, count);
    case OPTION_MODE:
        return count > 0 ? take_mode(parser->result, values[0]) : -1;
    case OPTION_FORCE:
        parser->result->force = true;
        return -1;
    default:
        return -1;
    }
}

/* Short options may be joined: those that take nothing come before the last one. */
static int split_joined(struct token *last, enum option_id joined[static JOINED_MAX],
                        size_t *ret_count)
{
    *ret_count = 0;
    while (last->value && options[last->id].arity == TAKES_NONE) {
        enum option_id next = last->is_short && *last->value && *ret_count < JOINED_MAX
                                  ? find_short(*last->value)
                                  : OPTION_UNKNOWN;
        if (next == OPTION_UNKNOWN)
            return refuse_value(last->id, "ignored explicit argument", last->value, "");
        joined[(*ret_count)++] = last->id;
        last->id = next;
        last->value = last->value[1] ? last->value + 1 : NULL;
    }
    return -1;
}

/* Consumes an option and its values. Returns -1, or an exit code. */
static int consume_option(struct parser *parser, size_t *at)
{
    enum option_id joined[JOINED_MAX];
    size_t joined_count;
    struct token token = parser->tokens[*at];
    if (token.id == OPTION_UNKNOWN) {
        parser->extras[parser->extra_count++] = parser->arguments[(*at)++];
        return -1;
    }
    int code = split_joined(&token, joined, &joined_count);
    enum arity arity = options[token.id].arity;
    size_t start = *at + 1;
    size_t end = start;
    while (!token.value && arity != TAKES_NONE && end < parser->count &&
           parser->tokens[end].kind == 'A' && (arity == TAKES_SOME || end == start))
        end++;
    if (code < 0 && !token.value && arity != TAKES_NONE && end == start)
        code = refuse_option(token.id, arity == TAKES_ONE ? "expected one argument"
                                                          : "expected at least one argument");
    for (size_t i = 0; i < joined_count && code < 0; i++)
        code = take(parser, joined[i], NULL, 0);
    *at = end;
    if (code >= 0)
        return code;
    return token.value ? take(parser, token.id, &token.value, 1)
                       : take(parser, token.id, (const char *const *)parser->arguments + start,
                              end - start);
}

/* Consumes what is no option, up to the next one: DIR, once; two dashes about it; and extras. */
static void consume_arguments(struct parser *parser, size_t *at, bool *directory_taken)
{
    size_t i = *at;
    if (!*directory_taken && i < parser->count) {
        i += parser->tokens[i].kind == '-';
        if (i < parser->count && parser->tokens[i].kind == 'A')
            parser->result->directory = parser->arguments[i++];
        if (i < parser->count && parser->tokens[i].kind == '-')
            i++;
        *directory_taken = true;
    }
    for (; i < parser->count && parser->tokens[i].kind != 'O'; i++)
        parser->extras[parser->extra_count++] = parser->arguments[i];
    *at = i;
}

static int refuse_extras(const struct parser *parser)
{
    CLEANUP_TEXT struct text text = {0};
    text_append_string(&text, "unrecognized arguments:");
    for (size_t i = 0; i < parser->extra_count; i++)
        text_printf(&text, " %s", parser->extras[i]);
    return refuse_outer(text.error ? "unrecognized arguments" : text.bytes);
}

static int parse(struct parser *parser)
{
    bool directory_taken = false;
    int code = classify_all(parser);
    for (size_t i = 0; i < parser->count && code < 0;) {
        if (parser->tokens[i].kind == 'O')
            code = consume_option(parser, &i);
        else
            consume_arguments(parser, &i, &directory_taken);
    }
    if (code < 0 && parser->extra_count > 0)
        code = refuse_extras(parser);
    return code;
}

int rez_arguments_read(int argc, char **argv, struct rez_arguments *ret)
{
    static const enum rez_column defaults[] = {REZ_COLUMN_STATUS, REZ_COLUMN_PACKAGE,
                                               REZ_COLUMN_VARIANT_URI, REZ_COLUMN_CACHE_PATH};
    size_t count = argc > 1 ? (size_t)argc - 1 : 0;
    struct parser parser = {.arguments = argv + 1, .count = count, .result = ret};
    *ret = (struct rez_arguments){
        .uris = calloc(count + 1, sizeof(*ret->uris)),
        .columns = calloc(MAX(count, ARRAY_LENGTH(defaults)), sizeof(*ret->columns)),
        .column_count = ARRAY_LENGTH(defaults),
    };
    parser.tokens = calloc(count + 1, sizeof(*parser.tokens));
    parser.extras = calloc(count + 1, sizeof(*parser.extras));
    int code = EXIT_FAILED;
    if (ret->uris && ret->columns && parser.tokens && parser.extras) {
        memcpy(ret->columns, defaults, sizeof(defaults));
        code = parse(&parser);
    } else {
        fprintf(stderr, "rez-pkg-cache: out of memory\n");
    }
    if (ret->directory && !*ret->directory)
        ret->directory = NULL;
    free(parser.tokens);
    free(parser.extras);
    return code;
}

void rez_arguments_free(struct rez_arguments *arguments)
{
    free(arguments->uris);
    free(arguments->columns);
    *arguments = (struct rez_arguments){0};
}
