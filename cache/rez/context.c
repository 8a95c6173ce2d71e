/* Contexts. */
#include "cache/rez/context.h"

#include "cache/rez/yaml.h"

int context_parse(const char *text, size_t length, struct context *ret,
                  struct pkgcache_error *ret_error)
{
    struct context context = {0};
    struct json *root = NULL;
    int result;
    if (length > 0 && *text == '{') {
        result = json_parse(text, length, &context.document, ret_error);
        context.root = result == 0 ? context.document->root : NULL;
    } else {
        result = yaml_parse(text, length, &context.values, &root, ret_error);
        context.root = root;
    }
    if (result < 0)
        context_free(&context);
    else
        *ret = context;
    return result;
}

/* What rez says of a resolve without a solution. */
static int explain_failure(const struct context *context, const struct json *status,
                           struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    char why[JSON_QUOTE_SIZE];
    const struct json *description = json_member(context->root, "failure_description");
    bool given = description && description->type == JSON_STRING;
    return error_set(error, EINVAL, "the resolve failed: its status is %s%s%s",
                     json_quote(status, quoted), given ? ", because " : "",
                     given ? json_quote(description, why) : "");
}

int context_packages(const struct context *context, const struct json **ret_packages,
                     struct pkgcache_error *ret_error)
{
    char quoted[JSON_QUOTE_SIZE];
    const struct json *status = json_member(context->root, "status");
    const struct json *packages = json_member(context->root, "resolved_packages");
    if (!context->root || context->root->type != JSON_OBJECT || (!status && !packages))
        return error_set(ret_error, EINVAL, "it is not a rez context");
    if (status && !json_is_string(status, "solved"))
        return explain_failure(context, status, ret_error);
    if (!packages || packages->type != JSON_ARRAY)
        return error_set(ret_error, EINVAL, "its resolved_packages must be a list, but is %s",
                         json_quote(packages, quoted));
    *ret_packages = packages;
    return 0;
}

void context_free(struct context *context)
{
    json_document_free(context->document);
    values_free(&context->values);
    *context = (struct context){0};
}
