/*
 * Literals of Python, by recursive descent. Only containers, brackets and the branches of
 * conditional expressions recurse, at most JSON_MAX_DEPTH deep; what is deeper is not literal.
 */
#include "cache/rez/pyliteral_value.h"

#include "cache/json/json_members.h"
#include "cache/rez/pyliteral_number.h"
#include "cache/rez/pyliteral_string.h"

#include <string.h>

enum { NOT_LITERAL = 0, LITERAL = 1 };

static int read_expression(struct literals *literals, struct json **ret_value);

static const struct token *present(const struct literals *literals)
{
    return &literals->tokenizer->token;
}

static bool present_is(const struct literals *literals, const char *text)
{
    return token_is(present(literals), text);
}

static int advance(struct literals *literals)
{
    return tokenizer_next(literals->tokenizer, literals->error);
}

static int make(struct literals *literals, enum json_type type, struct json **ret_value)
{
    if (literals->count++ >= LITERAL_MAX_VALUES)
        return NOT_LITERAL;
    *ret_value = values_new(literals->values, type);
    return *ret_value ? LITERAL : -ENOMEM;
}

static int make_text(struct literals *literals, enum json_type type, const struct text *text,
                     struct json **ret_value)
{
    if (text->error)
        return text->error;
    if (literals->count++ >= LITERAL_MAX_VALUES)
        return NOT_LITERAL;
    *ret_value =
        values_new_text(literals->values, type, text->length ? text->bytes : "", text->length);
    return *ret_value ? LITERAL : -ENOMEM;
}

static int make_boolean(struct literals *literals, bool boolean, struct json **ret_value)
{
    int result = make(literals, JSON_BOOLEAN, ret_value);
    if (result == LITERAL)
        (*ret_value)->boolean = boolean;
    return result;
}

static bool is_true(const struct json *value)
{
    switch (value->type) {
    case JSON_NULL:
        return false;
    case JSON_BOOLEAN:
        return value->boolean;
    case JSON_INTEGER:
        return strcmp(value->text, "0") != 0;
    case JSON_REAL:
        return strcmp(value->text, "0.0") != 0 && strcmp(value->text, "-0.0") != 0;
    case JSON_STRING:
        return value->text_length > 0;
    default:
        return value->first != NULL;
    }
}

/* Strings that stand side by side are one. */
static int read_strings(struct literals *literals, struct json **ret_value)
{
    CLEANUP_TEXT struct text text = {0};
    while (present(literals)->kind == TOKEN_STRING) {
        if (!pystring_append(&text, present(literals)))
            return NOT_LITERAL;
        int result = advance(literals);
        if (result < 0)
            return result;
    }
    return make_text(literals, JSON_STRING, &text, ret_value);
}

static int read_number(struct literals *literals, bool negative, struct json **ret_value)
{
    CLEANUP_TEXT struct text text = {0};
    enum json_type type;
    if (!pynumber_append(&text, present(literals), negative, &type))
        return text.error ? text.error : NOT_LITERAL;
    int result = advance(literals);
    return result < 0 ? result : make_text(literals, type, &text, ret_value);
}

static int read_word(struct literals *literals, struct json **ret_value)
{
    int result = NOT_LITERAL;
    if (present_is(literals, "None"))
        result = make(literals, JSON_NULL, ret_value);
    else if (present_is(literals, "True") || present_is(literals, "False"))
        result = make_boolean(literals, present_is(literals, "True"), ret_value);
    if (result != LITERAL)
        return result;
    result = advance(literals);
    return result < 0 ? result : LITERAL;
}

/* Behind the first of several: up to what is no part of them. */
static int read_more(struct literals *literals, struct json *container, const char *close)
{
    struct json *last = container->first;
    while (present_is(literals, ",")) {
        struct json *value;
        int result = advance(literals);
        if (result < 0)
            return result;
        if (close ? present_is(literals, close)
                  : present_is(literals, "=") || present_is(literals, ";") ||
                        present(literals)->kind == TOKEN_NEWLINE)
            return LITERAL;
        result = read_expression(literals, &value);
        if (result != LITERAL)
            return result;
        last->next = value;
        last = value;
    }
    return LITERAL;
}

/* The elements of a list or tuple that has some, and its bracket. */
static int read_elements(struct literals *literals, struct json *first, const char *close,
                         struct json *container)
{
    container->first = first;
    int result = read_more(literals, container, close);
    if (result != LITERAL || !present_is(literals, close))
        return MIN(result, NOT_LITERAL);
    result = advance(literals);
    return result < 0 ? result : LITERAL;
}

/* `[...]`, behind the bracket. */
static int read_list(struct literals *literals, struct json **ret_value)
{
    struct json *first;
    int result = make(literals, JSON_ARRAY, ret_value);
    if (result != LITERAL)
        return result;
    if (present_is(literals, "]")) {
        result = advance(literals);
        return result < 0 ? result : LITERAL;
    }
    result = read_expression(literals, &first);
    return result != LITERAL ? result : read_elements(literals, first, "]", *ret_value);
}

/* `(...)`, behind the bracket: a tuple, or an expression. */
static int read_brackets(struct literals *literals, struct json **ret_value)
{
    struct json *first = NULL;
    struct json *tuple;
    int result = LITERAL;
    if (!present_is(literals, ")"))
        result = read_expression(literals, &first);
    if (result != LITERAL)
        return result;
    if (present_is(literals, ")")) {
        *ret_value = first;
        result = first ? LITERAL : make(literals, JSON_TUPLE, ret_value);
        int advanced = result == LITERAL ? advance(literals) : 0;
        return advanced < 0 ? advanced : result;
    }
    if (!present_is(literals, ","))
        return NOT_LITERAL;
    result = make(literals, JSON_TUPLE, &tuple);
    if (result != LITERAL)
        return result;
    *ret_value = tuple;
    return read_elements(literals, first, ")", tuple);
}

static int read_member(struct literals *literals, struct json **ret_member)
{
    struct json *key;
    int result = read_expression(literals, &key);
    if (result != LITERAL)
        return result;
    if (!present_is(literals, ":") || key->type != JSON_STRING)
        return NOT_LITERAL;
    result = advance(literals);
    if (result < 0)
        return result;
    result = read_expression(literals, ret_member);
    if (result != LITERAL)
        return result;
    (*ret_member)->key = key->text;
    (*ret_member)->key_length = key->text_length;
    return LITERAL;
}

/* `{...}`, behind the bracket: a dictionary whose keys are strings. */
static int read_dictionary(struct literals *literals, struct json **ret_value)
{
    struct json *dictionary;
    size_t count = 0;
    int result = make(literals, JSON_OBJECT, &dictionary);
    if (result != LITERAL)
        return result;
    for (struct json **link = &dictionary->first; !present_is(literals, "}"); count++) {
        result = read_member(literals, link);
        if (result != LITERAL)
            return result;
        link = &(*link)->next;
        if (present_is(literals, ",")) {
            result = advance(literals);
            if (result < 0)
                return result;
        } else if (!present_is(literals, "}")) {
            return NOT_LITERAL;
        }
    }
    *ret_value = dictionary;
    result = json_merge_members(dictionary, count);
    if (result == 0)
        result = advance(literals);
    return result < 0 ? result : LITERAL;
}

static int read_container(struct literals *literals, struct json **ret_value)
{
    char bracket = *present(literals)->text;
    int result = advance(literals);
    if (result < 0)
        return result;
    if (bracket == '[')
        return read_list(literals, ret_value);
    return bracket == '(' ? read_brackets(literals, ret_value)
                          : read_dictionary(literals, ret_value);
}

static int read_atom(struct literals *literals, struct json **ret_value)
{
    switch (present(literals)->kind) {
    case TOKEN_STRING:
        return read_strings(literals, ret_value);
    case TOKEN_NUMBER:
        return read_number(literals, false, ret_value);
    case TOKEN_NAME:
        return read_word(literals, ret_value);
    case TOKEN_OPERATOR:
        if (strchr("([{", *present(literals)->text))
            return read_container(literals, ret_value);
        return NOT_LITERAL;
    default:
        return NOT_LITERAL;
    }
}

/* Signs stand before numbers only. */
static int read_signed(struct literals *literals, struct json **ret_value)
{
    bool negative = false;
    bool sign = false;
    while (present_is(literals, "-") || present_is(literals, "+")) {
        negative ^= present_is(literals, "-");
        sign = true;
        int result = advance(literals);
        if (result < 0)
            return result;
    }
    if (!sign)
        return read_atom(literals, ret_value);
    if (present(literals)->kind != TOKEN_NUMBER)
        return NOT_LITERAL;
    return read_number(literals, negative, ret_value);
}

static int read_negation(struct literals *literals, struct json **ret_value)
{
    bool negated = false;
    bool negate = false;
    while (present_is(literals, "not")) {
        negate = true;
        negated = !negated;
        int result = advance(literals);
        if (result < 0)
            return result;
    }
    int result = read_signed(literals, ret_value);
    if (result != LITERAL || !negate)
        return result;
    return make_boolean(literals, is_true(*ret_value) != negated, ret_value);
}

/* `a and b and c`, or the same with `or`: the first that decides, else the last. */
static int read_operands(struct literals *literals, bool disjunction, struct json **ret_value);

static int read_operand(struct literals *literals, bool disjunction, struct json **ret_value)
{
    return disjunction ? read_operands(literals, false, ret_value)
                       : read_negation(literals, ret_value);
}

static int read_operands(struct literals *literals, bool disjunction, struct json **ret_value)
{
    int result = read_operand(literals, disjunction, ret_value);
    while (result == LITERAL && present_is(literals, disjunction ? "or" : "and")) {
        struct json *next;
        result = advance(literals);
        if (result < 0)
            return result;
        result = read_operand(literals, disjunction, &next);
        if (result == LITERAL && is_true(*ret_value) != disjunction)
            *ret_value = next;
    }
    return result;
}

/* Behind `if`: the condition, and what stands behind `else`. */
static int read_condition(struct literals *literals, struct json **ret_value)
{
    struct json *condition;
    struct json *other;
    int result = read_operands(literals, true, &condition);
    if (result != LITERAL)
        return result;
    if (!present_is(literals, "else"))
        return NOT_LITERAL;
    result = advance(literals);
    if (result < 0)
        return result;
    result = read_expression(literals, &other);
    if (result == LITERAL && !is_true(condition))
        *ret_value = other;
    return result;
}

static int read_expression(struct literals *literals, struct json **ret_value)
{
    if (literals->depth == JSON_MAX_DEPTH)
        return NOT_LITERAL;
    literals->depth++;
    int result = read_operands(literals, true, ret_value);
    if (result == LITERAL && present_is(literals, "if")) {
        result = advance(literals);
        if (result < 0)
            return result;
        result = read_condition(literals, ret_value);
    }
    literals->depth--;
    return result;
}

int literal_read(struct literals *literals, struct json **ret_value)
{
    struct json *tuple;
    literals->depth = 0;
    int result = read_expression(literals, ret_value);
    if (result != LITERAL || !present_is(literals, ","))
        return result;
    result = make(literals, JSON_TUPLE, &tuple);
    if (result != LITERAL)
        return result;
    tuple->first = *ret_value;
    *ret_value = tuple;
    return read_more(literals, tuple, NULL);
}

/* `key=literal` of a call. */
static int read_argument(struct literals *literals, struct json **ret_member)
{
    struct token name = *present(literals);
    int result = name.kind == TOKEN_NAME ? advance(literals) : NOT_LITERAL;
    if (result < 0 || !present_is(literals, "="))
        return MIN(result, NOT_LITERAL);
    result = advance(literals);
    if (result < 0)
        return result;
    result = read_expression(literals, ret_member);
    if (result != LITERAL)
        return result;
    (*ret_member)->key = values_copy(literals->values, name.text, name.length);
    (*ret_member)->key_length = name.length;
    return (*ret_member)->key ? LITERAL : -ENOMEM;
}

int literal_read_call(struct literals *literals, struct json **ret_call)
{
    struct token name = *present(literals);
    struct json *call;
    int result = name.kind == TOKEN_NAME ? make(literals, JSON_OBJECT, &call) : NOT_LITERAL;
    if (result != LITERAL)
        return result;
    result = advance(literals);
    if (result < 0 || !present_is(literals, "("))
        return MIN(result, NOT_LITERAL);
    literals->depth = 0;
    struct json **link = &call->first;
    do {
        result = advance(literals);
        if (result < 0 || present_is(literals, ")"))
            break;
        result = read_argument(literals, link);
        if (result != LITERAL)
            return result;
        link = &(*link)->next;
    } while (present_is(literals, ","));
    if (result < 0 || !present_is(literals, ")"))
        return MIN(result, NOT_LITERAL);
    call->text = values_copy(literals->values, name.text, name.length);
    call->text_length = name.length;
    *ret_call = call;
    result = call->text ? advance(literals) : -ENOMEM;
    return result < 0 ? result : LITERAL;
}
