/* rez's scopes: the form that rez itself writes, and no other. See rez/utils/scope.py. */
#include "cache/rez/pyliteral_scope.h"

#include "cache/json/json_members.h"
#include "cache/rez/pyliteral_string.h"

#include <string.h>

enum { OTHER = 0, READ = 1 };

static const struct token *present(const struct literals *literals)
{
    return &literals->tokenizer->token;
}

/* Steps over a token of this kind and, unless `text` is NULL, this text. */
static int expect(struct literals *literals, enum token_kind kind, const char *text,
                  struct token *ret_token)
{
    const struct token *token = present(literals);
    if (token->kind != kind || (text && !token_is(token, text)))
        return OTHER;
    if (ret_token)
        *ret_token = *token;
    int result = tokenizer_next(literals->tokenizer, literals->error);
    return result < 0 ? result : READ;
}

struct expected {
    enum token_kind kind;
    const char *text;
    struct token *ret_token;
};

static int expect_all(struct literals *literals, const struct expected *expected, size_t count)
{
    int result = READ;
    for (size_t i = 0; i < count && result == READ; i++)
        result = expect(literals, expected[i].kind, expected[i].text, expected[i].ret_token);
    return result;
}

/* `c.key = literal`. */
static int read_member(struct literals *literals, const struct token *variable,
                       struct json **ret_member)
{
    struct token name = {0};
    struct token key = {0};
    const struct expected parts[] = {{TOKEN_NAME, NULL, &name},
                                     {TOKEN_OPERATOR, ".", NULL},
                                     {TOKEN_NAME, NULL, &key},
                                     {TOKEN_OPERATOR, "=", NULL}};
    int result = expect_all(literals, parts, ARRAY_LENGTH(parts));
    if (result == READ &&
        (name.length != variable->length || memcmp(name.text, variable->text, name.length) != 0 ||
         (key.length > 1 && memcmp(key.text, "__", 2) == 0)))
        return OTHER; /* names with two underscores are no keys */
    if (result == READ)
        result = literal_read(literals, ret_member);
    if (result == READ)
        result = expect(literals, TOKEN_NEWLINE, NULL, NULL);
    if (result != READ)
        return result;
    (*ret_member)->key = values_copy(literals->values, key.text, key.length);
    (*ret_member)->key_length = key.length;
    return (*ret_member)->key ? READ : -ENOMEM;
}

static int read_block(struct literals *literals, const struct token *variable,
                      struct json **ret_value)
{
    struct json *value = *ret_value = values_new(literals->values, JSON_OBJECT);
    if (!value)
        return -ENOMEM;
    size_t count = 0;
    int result = READ;
    for (struct json **link = &value->first;
         result == READ && present(literals)->kind != TOKEN_DEDENT; count++) {
        result = read_member(literals, variable, link);
        if (result == READ)
            link = &(*link)->next;
    }
    if (result == READ)
        result = expect(literals, TOKEN_DEDENT, NULL, NULL);
    if (result == READ && json_merge_members(value, count) < 0)
        return -ENOMEM;
    return result;
}

int pyscope_read(struct literals *literals, struct names *names)
{
    struct token string = {0};
    struct token variable = {0};
    const struct expected head[] = {
        {TOKEN_NAME, "with", NULL},    {TOKEN_NAME, "scope", NULL}, {TOKEN_OPERATOR, "(", NULL},
        {TOKEN_STRING, NULL, &string}, {TOKEN_OPERATOR, ")", NULL}, {TOKEN_NAME, "as", NULL},
        {TOKEN_NAME, NULL, &variable}, {TOKEN_OPERATOR, ":", NULL}, {TOKEN_NEWLINE, NULL, NULL},
        {TOKEN_INDENT, NULL, NULL},
    };
    struct json *value;
    struct token name;
    int result = expect_all(literals, head, ARRAY_LENGTH(head));
    if (result == READ && !pystring_name(&string, &name))
        result = OTHER;
    if (result == READ)
        result = read_block(literals, &variable, &value);
    if (result != READ)
        return result;
    result = names_assign(names, variable.text, variable.length, NULL, variable.line);
    if (result == 0)
        result = names_set_scope(names, name.text, name.length, value, name.line);
    return result < 0 ? result : READ;
}
