/* Tokens of a Python module: CPython's Parser/tokenizer.c is the authority. */
#include "cache/rez/pyliteral_token.h"

#include "cache/rez/pyliteral_fstring.h"

#include <ctype.h>
#include <string.h>

enum {
    FIRST_LINE = 1,
    TAB_COLUMNS = 8,
};

static int fail(const struct tokenizer *tokenizer, struct pkgcache_error *ret_error,
                const char *problem)
{
    return error_set(ret_error, EBADMSG, "line %u: %s", tokenizer->line, problem);
}

void tokenizer_start(struct tokenizer *tokenizer, const char *text, size_t length)
{
    *tokenizer = (struct tokenizer){
        .at = text,
        .end = text + length,
        .line = FIRST_LINE,
        .at_line_start = true,
        .indents = 1, /* the first is column 0 */
    };
}

static char peek(const struct tokenizer *tokenizer, size_t ahead)
{
    if ((size_t)(tokenizer->end - tokenizer->at) <= ahead)
        return '\0';
    return tokenizer->at[ahead];
}

static bool is_letter(char byte)
{
    return isalpha((unsigned char)byte) || byte == '_' || (unsigned char)byte >= 0x80;
}

static void skip_comment(struct tokenizer *tokenizer)
{
    const char *newline = memchr(tokenizer->at, '\n', (size_t)(tokenizer->end - tokenizer->at));
    tokenizer->at = newline ? newline : tokenizer->end;
}

/* The indentation of a line, in both ways of counting tabs. */
static void measure_line(struct tokenizer *tokenizer, int *ret_column, int *ret_alternate)
{
    *ret_column = *ret_alternate = 0;
    for (; tokenizer->at < tokenizer->end; tokenizer->at++) {
        if (*tokenizer->at == ' ') {
            (*ret_column)++;
            (*ret_alternate)++;
        } else if (*tokenizer->at == '\t') {
            *ret_column = (*ret_column / TAB_COLUMNS + 1) * TAB_COLUMNS;
            (*ret_alternate)++;
        } else if (*tokenizer->at == '\f') {
            *ret_column = *ret_alternate = 0;
        } else {
            return;
        }
    }
}

/* At the first line that is not blank. Returns false at the end of the text. */
static bool skip_blank_lines(struct tokenizer *tokenizer, int *ret_column, int *ret_alternate)
{
    for (;;) {
        measure_line(tokenizer, ret_column, ret_alternate);
        if (peek(tokenizer, 0) == '#')
            skip_comment(tokenizer);
        if (tokenizer->at == tokenizer->end)
            return false;
        if (*tokenizer->at != '\n')
            return true;
        tokenizer->at++;
        tokenizer->line++;
    }
}

static int set_indent(struct tokenizer *tokenizer, int column, int alternate,
                      struct pkgcache_error *ret_error)
{
    static const char *const tabs = "tabs and spaces are mixed in the indentation";
    int top = tokenizer->indents - 1;
    if (column > tokenizer->columns[top]) {
        if (alternate <= tokenizer->alternate_columns[top])
            return fail(tokenizer, ret_error, tabs);
        if (tokenizer->indents == PYTHON_MAX_INDENTS)
            return fail(tokenizer, ret_error, "it is indented too deeply");
        tokenizer->columns[tokenizer->indents] = column;
        tokenizer->alternate_columns[tokenizer->indents++] = alternate;
        tokenizer->token.kind = TOKEN_INDENT;
        return 1;
    }
    while (column < tokenizer->columns[tokenizer->indents - 1]) {
        tokenizer->indents--;
        tokenizer->pending_dedents++;
    }
    if (column != tokenizer->columns[tokenizer->indents - 1])
        return fail(tokenizer, ret_error, "the indentation matches no line above");
    if (alternate != tokenizer->alternate_columns[tokenizer->indents - 1])
        return fail(tokenizer, ret_error, tabs);
    return 0;
}

/* Returns 1: the token is an indent; 0: there are dedents, or none; or an error. */
static int start_line(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    int column = 0;
    int alternate = 0;
    tokenizer->at_line_start = false;
    if (!skip_blank_lines(tokenizer, &column, &alternate)) {
        column = alternate = 0;
    } else if (*tokenizer->at == '\\') {
        return -ENODATA; /* what that does to the indentation depends on the version */
    }
    return set_indent(tokenizer, column, alternate, ret_error);
}

/* Blanks, comments, joined lines; newlines, too, inside brackets. */
static int skip_space(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    for (;;) {
        char byte = peek(tokenizer, 0);
        if (byte == ' ' || byte == '\t' || byte == '\f') {
            tokenizer->at++;
        } else if (byte == '#') {
            skip_comment(tokenizer);
        } else if (byte == '\n' && tokenizer->depth > 0) {
            tokenizer->at++;
            tokenizer->line++;
        } else if (byte == '\\') {
            if (peek(tokenizer, 1) != '\n')
                return fail(tokenizer, ret_error, "a backslash must end its line");
            tokenizer->at += 2;
            tokenizer->line++;
            if (tokenizer->at == tokenizer->end)
                return fail(tokenizer, ret_error, "the text ends in a joined line");
        } else {
            return 0;
        }
    }
}

/* Digits with single underscores between them. */
static void skip_digits(struct tokenizer *tokenizer, int (*is_digit)(int byte))
{
    while (is_digit((unsigned char)peek(tokenizer, 0)) ||
           (peek(tokenizer, 0) == '_' && is_digit((unsigned char)peek(tokenizer, 1))))
        tokenizer->at++;
}

static void read_number(struct tokenizer *tokenizer)
{
    char base = (char)tolower((unsigned char)peek(tokenizer, 1));
    if (*tokenizer->at == '0' && (base == 'x' || base == 'o' || base == 'b')) {
        tokenizer->at += 2;
        skip_digits(tokenizer, base == 'x' ? isxdigit : isdigit);
        return;
    }
    skip_digits(tokenizer, isdigit);
    if (peek(tokenizer, 0) == '.') {
        tokenizer->at++;
        skip_digits(tokenizer, isdigit);
    }
    if (tolower((unsigned char)peek(tokenizer, 0)) == 'e') {
        size_t sign = peek(tokenizer, 1) == '+' || peek(tokenizer, 1) == '-';
        if (isdigit((unsigned char)peek(tokenizer, 1 + sign))) {
            tokenizer->at += 1 + sign;
            skip_digits(tokenizer, isdigit);
        }
    }
    if (tolower((unsigned char)peek(tokenizer, 0)) == 'j')
        tokenizer->at++;
}

/* Behind the quotes that end a string, which starts behind its first quotes. */
static int skip_string(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    char quote = tokenizer->token.text[tokenizer->token.prefix_length];
    bool triple = tokenizer->token.quote_length == 3;
    for (; tokenizer->at < tokenizer->end; tokenizer->at++) {
        char byte = *tokenizer->at;
        if (byte == quote &&
            (!triple || (peek(tokenizer, 1) == quote && peek(tokenizer, 2) == quote))) {
            tokenizer->at += tokenizer->token.quote_length;
            return 0;
        }
        if (byte == '\n' && !triple)
            break;
        if (byte == '\\' && tokenizer->at + 1 < tokenizer->end)
            byte = *++tokenizer->at;
        if (byte == '\n')
            tokenizer->line++;
    }
    tokenizer->line = tokenizer->token.line;
    return fail(tokenizer, ret_error, "a string does not end");
}

/* At the quote; the token's text begins with its prefix. */
static int read_string(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    struct token *token = &tokenizer->token;
    char quote = *tokenizer->at;
    bool triple = peek(tokenizer, 1) == quote && peek(tokenizer, 2) == quote;
    token->kind = TOKEN_STRING;
    token->prefix_length = (size_t)(tokenizer->at - token->text);
    token->quote_length = triple ? 3 : 1;
    tokenizer->at += token->quote_length;
    if (!token_is_formatted(token))
        return skip_string(tokenizer, ret_error);

    const char *end = fstring_skip(tokenizer->at, tokenizer->end, quote, token->quote_length,
                                   token_has_prefix(token, 'r'));
    if (!end)
        return -ENODATA;
    for (; tokenizer->at < end; tokenizer->at++)
        tokenizer->line += *tokenizer->at == '\n';
    return 0;
}

static bool is_string_prefix(const char *text, size_t length)
{
    static const char *const prefixes[] = {"r",  "u",  "b",  "f",  "t", "rb",
                                           "br", "fr", "rf", "tr", "rt"};
    for (size_t i = 0; i < ARRAY_LENGTH(prefixes); i++) {
        if (strlen(prefixes[i]) == length && strncasecmp(prefixes[i], text, length) == 0)
            return true;
    }
    return false;
}

static void skip_word(struct tokenizer *tokenizer)
{
    while (is_letter(peek(tokenizer, 0)) || isdigit((unsigned char)peek(tokenizer, 0)))
        tokenizer->at++;
}

static int read_name(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    struct token *token = &tokenizer->token;
    skip_word(tokenizer);
    char next = peek(tokenizer, 0);
    if ((next == '"' || next == '\'') &&
        is_string_prefix(token->text, (size_t)(tokenizer->at - token->text)))
        return read_string(tokenizer, ret_error);
    token->kind = TOKEN_NAME;
    return 0;
}

static int open_bracket(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    if (tokenizer->depth == PYTHON_MAX_BRACKETS)
        return fail(tokenizer, ret_error, "brackets are nested too deeply");
    tokenizer->brackets[tokenizer->depth++] = *tokenizer->at;
    return 0;
}

static int close_bracket(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    char opening = '{';
    if (*tokenizer->at == ')')
        opening = '(';
    else if (*tokenizer->at == ']')
        opening = '[';
    if (tokenizer->depth == 0 || tokenizer->brackets[tokenizer->depth - 1] != opening)
        return fail(tokenizer, ret_error, "a bracket closes none");
    tokenizer->token.depth = --tokenizer->depth;
    return 0;
}

static int read_operator(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    static const char *const longer[] = {
        "**=", "//=", ">>=", "<<=", "...", ":=", "->", "==", "!=", "<=", ">=", "+=",
        "-=",  "*=",  "/=",  "%=",  "&=",  "|=", "^=", "@=", "**", "//", "<<", ">>"};
    size_t left = (size_t)(tokenizer->end - tokenizer->at);
    tokenizer->token.kind = TOKEN_OPERATOR;
    for (size_t i = 0; i < ARRAY_LENGTH(longer); i++) {
        size_t length = strlen(longer[i]);
        if (left >= length && memcmp(tokenizer->at, longer[i], length) == 0) {
            tokenizer->at += length;
            return 0;
        }
    }
    int result = 0;
    if (strchr("([{", *tokenizer->at))
        result = open_bracket(tokenizer, ret_error);
    else if (strchr(")]}", *tokenizer->at))
        result = close_bracket(tokenizer, ret_error);
    tokenizer->at++;
    return result;
}

/* At something that is neither space nor the end. */
static int read_token(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    char byte = *tokenizer->at;
    if (is_letter(byte))
        return read_name(tokenizer, ret_error);
    if (byte == '"' || byte == '\'')
        return read_string(tokenizer, ret_error);
    if (isdigit((unsigned char)byte) ||
        (byte == '.' && isdigit((unsigned char)peek(tokenizer, 1)))) {
        tokenizer->token.kind = TOKEN_NUMBER;
        read_number(tokenizer);
        return 0;
    }
    if (byte == '\n') {
        tokenizer->token.kind = TOKEN_NEWLINE;
        tokenizer->at++;
        tokenizer->line++;
        tokenizer->at_line_start = true;
        return 0;
    }
    return read_operator(tokenizer, ret_error);
}

/* The last line ends, even if no newline says so. */
static int read_end(struct tokenizer *tokenizer, bool in_line, struct pkgcache_error *ret_error)
{
    if (tokenizer->depth > 0)
        return fail(tokenizer, ret_error, "the text ends inside brackets");
    tokenizer->token.kind = in_line ? TOKEN_NEWLINE : TOKEN_END;
    tokenizer->at_line_start = true;
    return 0;
}

int tokenizer_next(struct tokenizer *tokenizer, struct pkgcache_error *ret_error)
{
    enum token_kind before = tokenizer->token.kind;
    bool in_line = !tokenizer->at_line_start && tokenizer->pending_dedents == 0 &&
                   before != TOKEN_DEDENT && before != TOKEN_INDENT;
    int result = 0;
    tokenizer->token = (struct token){.kind = TOKEN_DEDENT, .line = tokenizer->line};
    if (tokenizer->at_line_start && tokenizer->pending_dedents == 0) {
        result = start_line(tokenizer, ret_error);
        tokenizer->token.line = tokenizer->line;
        if (result != 0)
            return MIN(result, 0);
    }
    if (tokenizer->pending_dedents > 0) {
        tokenizer->pending_dedents--;
        return 0;
    }
    result = skip_space(tokenizer, ret_error);
    if (result < 0)
        return result;
    tokenizer->token.text = tokenizer->at;
    tokenizer->token.line = tokenizer->line;
    tokenizer->token.depth = tokenizer->depth;
    result = tokenizer->at == tokenizer->end ? read_end(tokenizer, in_line, ret_error)
                                             : read_token(tokenizer, ret_error);
    tokenizer->token.length = (size_t)(tokenizer->at - tokenizer->token.text);
    return result;
}

bool tokenizer_next_word(struct tokenizer *tokenizer)
{
    while (tokenizer->at < tokenizer->end && !is_letter(*tokenizer->at))
        tokenizer->line += *tokenizer->at++ == '\n';
    tokenizer->token =
        (struct token){.kind = TOKEN_NAME, .line = tokenizer->line, .text = tokenizer->at};
    skip_word(tokenizer);
    tokenizer->token.length = (size_t)(tokenizer->at - tokenizer->token.text);
    return tokenizer->token.length > 0;
}

bool token_is_formatted(const struct token *token)
{
    return token->kind == TOKEN_STRING &&
           (token_has_prefix(token, 'f') || token_has_prefix(token, 't'));
}

struct tokenizer_mark tokenizer_mark(const struct tokenizer *tokenizer)
{
    return (struct tokenizer_mark){tokenizer->at, tokenizer->line, tokenizer->depth,
                                   tokenizer->token};
}

void tokenizer_return(struct tokenizer *tokenizer, const struct tokenizer_mark *mark)
{
    tokenizer->at = mark->at;
    tokenizer->line = mark->line;
    tokenizer->depth = mark->depth;
    tokenizer->token = mark->token;
    tokenizer->at_line_start = false;
    if (mark->token.kind == TOKEN_OPERATOR && strchr("([{", *mark->token.text))
        tokenizer->brackets[mark->depth - 1] = *mark->token.text; /* others were there since */
}

bool token_is(const struct token *token, const char *text)
{
    return (token->kind == TOKEN_NAME || token->kind == TOKEN_OPERATOR) &&
           strlen(text) == token->length && memcmp(token->text, text, token->length) == 0;
}

bool token_has_prefix(const struct token *token, char letter)
{
    for (size_t i = 0; i < token->prefix_length; i++) {
        if (tolower((unsigned char)token->text[i]) == letter)
            return true;
    }
    return false;
}
