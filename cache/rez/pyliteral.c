/*
 * The statements of a module, without a grammar. An assignment at the top level is read as a
 * literal if it is one. Any other statement is skipped, and each name in it noted: is it assigned
 * there, or mentioned? Where that takes a grammar to tell, the worse is assumed. In functions and
 * classes a mere assignment makes a name of their own; what else they mention they may change
 * whenever they are called. Blocks are followed by their indentation alone, so depth costs no
 * stack.
 */
#include "cache/rez/pyliteral.h"

#include "cache/rez/pyliteral_names.h"
#include "cache/rez/pyliteral_scope.h"
#include "cache/rez/pyliteral_source.h"
#include "cache/rez/pyliteral_string.h"
#include "cache/rez/pyliteral_value.h"

#include <string.h>

enum { MAX_TARGETS = 64 }; /* of an assignment that is read as a literal */

struct module_reader {
    struct tokenizer tokenizer;
    struct names names;
    struct literals literals;
    struct pkgcache_error *error;

    int level;              /* of blocks */
    int function_level;     /* of the block of the outermost function or class; 0: in none */
    bool block_is_function; /* the next block is one of a function or class */
    bool at_line_start;     /* the next statement is the first of its line */
    bool block_follows;     /* the last line ended in a colon */
    bool line_is_compound;  /* statements behind its semicolons belong to its first */

    /* the statement that is skipped */
    const char
        *assignment;   /* the last `=`; what stands before it is assigned; NULL: there is none */
    bool first;        /* at its first token */
    bool assigns_all;  /* from here on: import, del, ... */
    bool assigns_next; /* def, class */
    bool holds_all;    /* global */
};

static const struct token *present(const struct module_reader *reader)
{
    return &reader->tokenizer.token;
}

static bool present_is(const struct module_reader *reader, const char *text)
{
    return token_is(present(reader), text);
}

static int advance(struct module_reader *reader)
{
    return tokenizer_next(&reader->tokenizer, reader->error);
}

static bool is_one_of(const struct token *token, const char *const *words, size_t count)
{
    for (size_t i = 0; token->kind == TOKEN_NAME && i < count; i++) {
        if (token_is(token, words[i]))
            return true;
    }
    return false;
}

static bool is_keyword(const struct token *token)
{
    static const char *const words[] = {
        "False", "None",     "True",  "and",    "as",   "assert", "async",  "await",    "break",
        "class", "continue", "def",   "del",    "elif", "else",   "except", "finally",  "for",
        "from",  "global",   "if",    "import", "in",   "is",     "lambda", "nonlocal", "not",
        "or",    "pass",     "raise", "return", "try",  "while",  "with",   "yield",
    };
    return is_one_of(token, words, ARRAY_LENGTH(words));
}

static bool starts_compound(const struct token *token)
{
    static const char *const words[] = {"async", "class", "def", "elif", "else",  "except",
                                        "for",   "if",    "try", "with", "while", "finally"};
    return is_one_of(token, words, ARRAY_LENGTH(words));
}

/* Who has one of these can reach the module's names from anywhere. */
static bool reaches_names(const struct token *token)
{
    static const char *const words[] = {
        "exec", "eval", "globals", "locals", "vars", "f_globals", "f_locals", "__globals__",
    };
    return is_one_of(token, words, ARRAY_LENGTH(words));
}

static bool ends_statement(const struct token *token)
{
    return token->kind == TOKEN_NEWLINE || token->kind == TOKEN_END ||
           (token->depth == 0 && token_is(token, ";"));
}

/* `=`, or one like `+=`. */
static bool is_assignment(const struct token *token)
{
    static const char not_first[] = "=!<>:";
    if (token->kind != TOKEN_OPERATOR || token->text[token->length - 1] != '=')
        return false;
    return token->length != 2 || !strchr(not_first, token->text[0]);
}

/* What a value is assigned to. */
struct target {
    struct token name;
    size_t of; /* so many that the value's elements go to; 0: the value itself */
};

struct targets {
    struct target all[MAX_TARGETS];
    size_t count;
    size_t groups; /* of chained assignments */
};

/* --- what is skipped ----------------------------------------------------------------------------
 */

/* Finds the last assignment of a statement, and returns to its start. */
static int find_assignment(struct module_reader *reader)
{
    struct tokenizer_mark start = tokenizer_mark(&reader->tokenizer);
    reader->assignment = NULL;
    while (!ends_statement(present(reader))) {
        if (present(reader)->depth == 0 && is_assignment(present(reader)))
            reader->assignment = present(reader)->text;
        int result = advance(reader);
        if (result < 0)
            return result;
    }
    tokenizer_return(&reader->tokenizer, &start);
    return 0;
}

/* At the bracket behind `scope`: rez makes an attribute of what is named there. */
static int note_scope(struct module_reader *reader)
{
    struct tokenizer_mark bracket = tokenizer_mark(&reader->tokenizer);
    struct token name;
    int result = advance(reader);
    if (result < 0)
        return result;
    bool known = pystring_name(present(reader), &name);
    if (known)
        result = advance(reader);
    if (result < 0 || !known || !present_is(reader, ")"))
        return MIN(result, -ENODATA);
    tokenizer_return(&reader->tokenizer, &bracket);
    return names_hold(&reader->names, name.text, name.length, name.line);
}

static void note_keyword(struct module_reader *reader, const struct token *word,
                         const struct token *next)
{
    if (token_is(word, "import") && token_is(next, "*"))
        names_forget(&reader->names, word->line);
    if (token_is(word, "import") || token_is(word, "del") || token_is(word, "as") ||
        (reader->first && (token_is(word, "for") || token_is(word, "async"))))
        reader->assigns_all = true;
    if (token_is(word, "def") || token_is(word, "class"))
        reader->assigns_next = true;
    if (token_is(word, "global"))
        reader->holds_all = true;
}

/* It may be a part of what the name stands for that is assigned: it is mentioned, too. */
static int assign_unknown(struct names *names, const struct token *name)
{
    int result = names_use(names, name->text, name->length);
    return result < 0 ? result : names_assign(names, name->text, name->length, NULL, name->line);
}

/* What a function mentions. */
static int note_inner_name(struct module_reader *reader, const struct token *name,
                           const struct token *next)
{
    bool own = token_is(next, "=") && (reader->first || name->depth > 0);
    return own ? 0 : names_use(&reader->names, name->text, name->length);
}

static int note_name(struct module_reader *reader, const struct token *name,
                     const struct token *next)
{
    struct names *names = &reader->names;
    if (token_is(name, "scope") && token_is(next, "("))
        return note_scope(reader);
    if (reader->holds_all)
        return names_hold(names, name->text, name->length, name->line);
    if (reader->function_level > 0)
        return note_inner_name(reader, name, next);
    if (reader->first && token_is(name, "case"))
        reader->assigns_all = true; /* a pattern */
    bool assigned = reader->assigns_all || reader->assigns_next || token_is(next, ":=") ||
                    (reader->assignment && name->text < reader->assignment);
    reader->assigns_next = false;
    if (assigned)
        return assign_unknown(names, name);
    if (token_is(next, "=") && name->depth > 0)
        return 0; /* an argument's name */
    if (token_is(name, "scope"))
        return -ENODATA;
    return names_use(names, name->text, name->length);
}

/* A formatted string has expressions inside: each word of it counts, as does each `:=`. */
static int note_formatted(struct module_reader *reader, const struct token *string)
{
    bool assigns = reader->function_level == 0 && memmem(string->text, string->length, ":=", 2);
    struct tokenizer words;
    tokenizer_start(&words, string->text + string->prefix_length,
                    string->length - string->prefix_length);
    words.line = string->line;
    while (tokenizer_next_word(&words)) {
        const struct token *word = &words.token;
        if (reaches_names(word))
            return -ENODATA;
        int result = assigns ? assign_unknown(&reader->names, word)
                             : names_use(&reader->names, word->text, word->length);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Steps over a token. */
static int note_token(struct module_reader *reader, bool attribute)
{
    struct token token = *present(reader);
    int result = advance(reader);
    if (result < 0)
        return result;
    if (reaches_names(&token))
        return -ENODATA;
    if (token_is_formatted(&token))
        result = note_formatted(reader, &token);
    if (token.kind == TOKEN_NAME) {
        if (is_keyword(&token))
            note_keyword(reader, &token, present(reader));
        else if (!attribute)
            result = note_name(reader, &token, present(reader));
    }
    reader->first = false;
    return result;
}

/* At the first token of a statement; afterwards at what ends it. */
static int skip_statement(struct module_reader *reader)
{
    int result = find_assignment(reader);
    bool attribute = false;
    bool colon = false;
    reader->first = true;
    reader->assigns_all = reader->assigns_next = reader->holds_all = false;
    while (result == 0 && !ends_statement(present(reader))) {
        bool dot = present_is(reader, ".");
        colon = present_is(reader, ":");
        result = note_token(reader, attribute);
        attribute = dot;
    }
    reader->block_follows = colon;
    return result;
}

/* --- assignments of literals --------------------------------------------------------------------
 */

/* The names of one `name =` or `name, other =`, whose `=` is stepped over. Returns 1; 0: it is
   something else. */
static int read_targets(struct module_reader *reader, struct targets *targets)
{
    size_t first = targets->count;
    bool list = present_is(reader, "[");
    bool bracket = list || present_is(reader, "(");
    bool unpacks = list;
    int result = bracket ? advance(reader) : 0;
    if (result < 0)
        return result;
    for (;;) {
        if (present(reader)->kind != TOKEN_NAME || is_keyword(present(reader)) ||
            targets->count == MAX_TARGETS)
            return 0;
        targets->all[targets->count++].name = *present(reader);
        result = advance(reader);
        if (result < 0)
            return result;
        if (!present_is(reader, ","))
            break;
        unpacks = true;
        result = advance(reader);
        if (result < 0)
            return result;
        if (present_is(reader, "=") || present_is(reader, ")") || present_is(reader, "]"))
            break;
    }
    for (size_t i = first; i < targets->count; i++)
        targets->all[i].of = unpacks ? targets->count - first : 0;
    targets->groups++;
    if (!bracket)
        return 1;
    if (!present_is(reader, list ? "]" : ")"))
        return 0;
    result = advance(reader);
    return result < 0 ? result : 1;
}

/* `: annotation` of names and what stands between them. It is evaluated, but assigns nothing. */
static int read_annotation(struct module_reader *reader)
{
    static const char *const between[] = {":", ".", ",", "[", "]", "|", "None"};
    while (!present_is(reader, "=")) {
        const struct token *token = present(reader);
        bool harmless = token->kind == TOKEN_STRING && !token_is_formatted(token);
        for (size_t i = 0; i < ARRAY_LENGTH(between); i++)
            harmless |= token_is(token, between[i]);
        int result = 0;
        if (!harmless) {
            if (token->kind != TOKEN_NAME || is_keyword(token) || reaches_names(token))
                return 0;
            result = names_use(&reader->names, token->text, token->length);
        }
        if (result == 0)
            result = advance(reader);
        if (result < 0)
            return result;
    }
    return 1;
}

/* All that stands left of the value. Returns 1; 0: it assigns no mere names. */
static int read_left_side(struct module_reader *reader, struct targets *targets)
{
    for (;;) {
        struct tokenizer_mark start = tokenizer_mark(&reader->tokenizer);
        size_t count = targets->count;
        size_t groups = targets->groups;
        int result = read_targets(reader, targets);
        if (result == 1 && targets->count == 1 && present_is(reader, ":"))
            result = read_annotation(reader);
        if (result < 0)
            return result;
        if (result == 0 || !present_is(reader, "=")) {
            targets->count = count;
            targets->groups = groups;
            tokenizer_return(&reader->tokenizer, &start);
            return count > 0;
        }
        result = advance(reader);
        if (result < 0)
            return result;
    }
}

static size_t count_elements(const struct json *value)
{
    size_t count = 0;
    for (const struct json *child = value->first; child; child = child->next)
        count++;
    return count;
}

/* Returns false: the value cannot be taken apart so. */
static bool fits(const struct targets *targets, const struct json *value)
{
    bool sequence = value->type == JSON_ARRAY || value->type == JSON_TUPLE;
    size_t elements = count_elements(value);
    for (size_t i = 0; i < targets->count; i++) {
        if (targets->all[i].of > 0 && (!sequence || targets->all[i].of != elements))
            return false;
    }
    return true;
}

static int assign(struct module_reader *reader, const struct targets *targets, struct json *value)
{
    struct json *element = NULL;
    for (size_t i = 0; i < targets->count; i++) {
        const struct target *target = &targets->all[i];
        const struct token *name = &target->name;
        if (target->of > 0)
            element = element ? element->next : value->first;
        int result = names_assign(&reader->names, name->text, name->length,
                                  target->of > 0 ? element : value, name->line);
        if (element && !element->next)
            element = NULL; /* the next group begins with the first again */
        if (result == 0 && targets->groups > 1)
            result = names_use(&reader->names, name->text, name->length); /* they share it */
        if (result < 0)
            return result;
    }
    return 0;
}

/* A literal; or, for a single name, a call with literal arguments. Returns 1; 0: it is neither. */
static int read_value(struct module_reader *reader, const struct targets *targets,
                      struct json **ret_value)
{
    struct token name = *present(reader);
    if (name.kind != TOKEN_NAME || is_keyword(&name) || reaches_names(&name) ||
        token_is(&name, "scope") || targets->count > 1 || targets->all[0].of > 0)
        return literal_read(&reader->literals, ret_value);
    int result = literal_read_call(&reader->literals, ret_value);
    int used = result == 1 ? names_use(&reader->names, name.text, name.length) : 0;
    return used < 0 ? used : result;
}

/* Returns 1: it assigns a literal; 0: something else, and reading is where it was. */
static int read_assignment(struct module_reader *reader)
{
    struct tokenizer_mark start = tokenizer_mark(&reader->tokenizer);
    struct targets targets = {0};
    struct json *value = NULL;
    int result = read_left_side(reader, &targets);
    if (result == 1)
        result = read_value(reader, &targets, &value);
    if (result == 1 && ends_statement(present(reader)) && fits(&targets, value)) {
        result = assign(reader, &targets, value);
        return result < 0 ? result : 1;
    }
    tokenizer_return(&reader->tokenizer, &start);
    return MIN(result, 0);
}

/* --- the module ---------------------------------------------------------------------------------
 */

static void start_line(struct module_reader *reader)
{
    reader->at_line_start = false;
    reader->block_follows = false;
    reader->line_is_compound = starts_compound(present(reader));
    reader->block_is_function =
        present_is(reader, "def") || present_is(reader, "class") || present_is(reader, "async");
}

/* `raise`, or `assert False`, in no block: nothing that was read before counts. Returns 0 or
 * -errno.
 */
static int refuse_raising(struct module_reader *reader)
{
    struct tokenizer_mark start = tokenizer_mark(&reader->tokenizer);
    unsigned line = present(reader)->line;
    bool raises = present_is(reader, "raise");
    if (present_is(reader, "assert")) {
        int result = advance(reader);
        raises = present_is(reader, "False") && advance(reader) == 0 &&
                 (ends_statement(present(reader)) || present_is(reader, ","));
        tokenizer_return(&reader->tokenizer, &start);
        if (result < 0)
            return result;
    }
    return raises ? error_set(reader->error, EBADMSG, "line %u: it raises an exception", line) : 0;
}

static int read_statement(struct module_reader *reader)
{
    int result = 0;
    if (reader->at_line_start)
        start_line(reader);
    if (reader->level == 0 && !reader->line_is_compound && refuse_raising(reader) < 0)
        return -EBADMSG;
    if (reader->level == 0 && present_is(reader, "with")) {
        struct tokenizer start = reader->tokenizer;
        result = pyscope_read(&reader->literals, &reader->names);
        reader->at_line_start = result == 1;
        if (result != 0)
            return MIN(result, 0);
        reader->tokenizer = start;
    }
    if (reader->level == 0 && !reader->line_is_compound)
        result = read_assignment(reader);
    return result != 0 ? MIN(result, 0) : skip_statement(reader);
}

static int enter_block(struct module_reader *reader)
{
    if (!reader->block_follows)
        return error_set(reader->error, EBADMSG, "line %u: it is indented for no reason",
                         present(reader)->line);
    reader->level++;
    if (reader->block_is_function && reader->function_level == 0)
        reader->function_level = reader->level;
    return advance(reader);
}

static int leave_block(struct module_reader *reader)
{
    reader->level--;
    if (reader->level < reader->function_level)
        reader->function_level = 0;
    return advance(reader);
}

static int end_line(struct module_reader *reader)
{
    unsigned line = present(reader)->line;
    int result = advance(reader);
    reader->at_line_start = true;
    if (result == 0 && reader->block_follows && present(reader)->kind != TOKEN_INDENT)
        return error_set(reader->error, EBADMSG, "line %u: an indented block is missing behind it",
                         line);
    return result;
}

static int read_module(struct module_reader *reader)
{
    int result = advance(reader);
    while (result == 0 && present(reader)->kind != TOKEN_END) {
        switch (present(reader)->kind) {
        case TOKEN_INDENT:
            result = enter_block(reader);
            break;
        case TOKEN_DEDENT:
            result = leave_block(reader);
            break;
        case TOKEN_NEWLINE:
            result = end_line(reader);
            break;
        default:
            result = present_is(reader, ";") ? advance(reader) : read_statement(reader);
        }
    }
    return result;
}

static int list_names(struct module_reader *reader, struct pyliteral_module *ret)
{
    if (reader->names.era > 0)
        ret->unknown = (struct pyliteral_name){.name = "*", .line = reader->names.era_line};
    return names_list(&reader->names, &ret->values, &ret->names);
}

int pyliteral_parse(const char *text, size_t length, struct pyliteral_module *ret,
                    struct pkgcache_error *ret_error)
{
    CLEANUP_PYSOURCE struct pysource source = {0};
    *ret = (struct pyliteral_module){0};
    int result = pysource_read(text, length, &source, ret_error);
    if (result < 0)
        return result;
    struct module_reader reader = {.error = ret_error, .at_line_start = true};
    tokenizer_start(&reader.tokenizer, source.text, source.length);
    reader.literals = (struct literals){&reader.tokenizer, &ret->values, ret_error, 0, 0};
    result = source.encoding_line > 0 ? -ENODATA : read_module(&reader);
    if (result == -ENODATA) {
        names_lose(&reader.names, MAX(source.encoding_line, reader.tokenizer.line));
        result = 0;
    }
    if (result == 0)
        result = list_names(&reader, ret);
    names_free(&reader.names);
    if (result == -E2BIG)
        result = error_set(ret_error, EBADMSG, "line %u: it has more than %d names",
                           reader.tokenizer.line, NAMES_MAX);
    else if (result == -ENOMEM)
        error_set(ret_error, ENOMEM, "out of memory");
    if (result < 0)
        pyliteral_free(ret);
    return result;
}

const struct pyliteral_name *pyliteral_find(const struct pyliteral_module *module, const char *name)
{
    for (const struct pyliteral_name *at = module->names; at; at = at->next) {
        if (strcmp(at->name, name) == 0)
            return at;
    }
    return module->unknown.line > 0 ? &module->unknown : NULL;
}

void pyliteral_free(struct pyliteral_module *module)
{
    values_free(&module->values);
    *module = (struct pyliteral_module){0};
}
