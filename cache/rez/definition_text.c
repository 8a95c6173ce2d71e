/*
 * A definition's attributes. Only those that matter for a cache are looked at: name and version do
 * not, as rez goes by the directories' names; they are told where they are literal.
 */
#include "cache/rez/definition_text.h"

#include "cache/rez/pyliteral.h"
#include "cache/rez/yaml.h"

/* Sets an attribute from its value; the reason, if the value cannot be used. */
typedef const char *set_function(struct definition *definition, const struct json *value);

static bool is_sequence(const struct json *value)
{
    return value->type == JSON_ARRAY || value->type == JSON_TUPLE;
}

static const char *set_variants(struct definition *definition, const struct json *value)
{
    static const char *const problem = "must be a list of lists of strings";
    definition->variants = NULL;
    if (!is_sequence(value)) /* None, neither: rez refuses it */
        return problem;
    for (const struct json *variant = value->first; variant; variant = variant->next) {
        if (!is_sequence(variant))
            return problem;
        for (const struct json *request = variant->first; request; request = request->next) {
            if (request->type != JSON_STRING)
                return problem;
        }
    }
    if (value->first)
        definition->variants = value;
    return NULL;
}

static const char *set_hashed_variants(struct definition *definition, const struct json *value)
{
    if (value->type != JSON_BOOLEAN && value->type != JSON_NULL)
        return "must be true or false";
    definition->hashed_variants = value->boolean;
    return NULL;
}

static const char *set_flag(enum definition_flag *flag, const struct json *value)
{
    *flag = DEFINITION_UNSET;
    if (value->type == JSON_NULL)
        return NULL;
    if (value->type != JSON_BOOLEAN)
        return "must be true, false or none";
    *flag = value->boolean ? DEFINITION_YES : DEFINITION_NO;
    return NULL;
}

static const char *set_cachable(struct definition *definition, const struct json *value)
{
    return set_flag(&definition->cachable, value);
}

static const char *set_relocatable(struct definition *definition, const struct json *value)
{
    return set_flag(&definition->relocatable, value);
}

static const char *set_config(struct definition *definition, const struct json *value)
{
    if (value->type != JSON_OBJECT && value->type != JSON_NULL)
        return "must be a dictionary";
    definition->config = value->type == JSON_OBJECT ? value : NULL;
    return NULL;
}

/* Without a NUL inside, or it is not told. */
static const char *text_of(const struct json *value)
{
    return value->type == JSON_STRING && strlen(value->text) == value->text_length ? value->text
                                                                                   : NULL;
}

static const char *set_name(struct definition *definition, const struct json *value)
{
    definition->name = text_of(value);
    return NULL;
}

static const char *set_version(struct definition *definition, const struct json *value)
{
    definition->version = text_of(value);
    return NULL;
}

static const struct attribute {
    const char *name;
    set_function *set;
    bool matters;
} attributes[] = {
    {"name", set_name, false},        {"version", set_version, false},
    {"variants", set_variants, true}, {"hashed_variants", set_hashed_variants, true},
    {"cachable", set_cachable, true}, {"relocatable", set_relocatable, true},
    {"config", set_config, true},
};

/* Nothing is known. */
static void start(struct definition *definition)
{
    *definition = (struct definition){
        .path = definition->path,
        .values = definition->values,
        .cachable = DEFINITION_UNSET,
        .relocatable = DEFINITION_UNSET,
    };
}

static int refuse(const struct definition *definition, unsigned line,
                  const struct attribute *attribute, const char *problem, int code,
                  struct pkgcache_error *ret_error)
{
    char where[32] = "";
    if (line > 0)
        snprintf(where, sizeof(where), ", line %u", line);
    return error_set(ret_error, code, "%s%s: %s %s", definition->path, where, attribute->name,
                     problem);
}

static int set_from_python(struct definition *definition, const struct pyliteral_module *module,
                           const struct attribute *attribute, struct pkgcache_error *ret_error)
{
    const struct pyliteral_name *name = pyliteral_find(module, attribute->name);
    if (!name || (!name->value && !attribute->matters))
        return 0;
    if (!name->value)
        return refuse(definition, name->line, attribute, "is computed", EAGAIN, ret_error);
    const char *problem = attribute->set(definition, name->value);
    return problem ? refuse(definition, name->line, attribute, problem, EBADMSG, ret_error) : 0;
}

int definition_parse_python(const char *text, size_t length, struct definition *definition,
                            struct pkgcache_error *ret_error)
{
    struct pyliteral_module module;
    struct pkgcache_error why = {0};
    start(definition);
    int result = pyliteral_parse(text, length, &module, &why);
    if (result < 0)
        return error_set(ret_error, -result, "%s, %s", definition->path, why.message);
    for (size_t i = 0; i < ARRAY_LENGTH(attributes) && result == 0; i++)
        result = set_from_python(definition, &module, &attributes[i], ret_error);
    if (result < 0 && result != -EAGAIN) {
        pyliteral_free(&module);
        return result;
    }
    definition->values = module.values; /* and with them what the attributes point to */
    return result;
}

static int set_from_object(struct definition *definition, const struct json *object,
                           struct pkgcache_error *ret_error)
{
    for (size_t i = 0; i < ARRAY_LENGTH(attributes); i++) {
        const struct json *value = json_member(object, attributes[i].name);
        const char *problem = value ? attributes[i].set(definition, value) : NULL;
        if (problem)
            return refuse(definition, 0, &attributes[i], problem, EBADMSG, ret_error);
    }
    return 0;
}

int definition_parse_yaml(const char *text, size_t length, struct definition *definition,
                          struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    struct json *root;
    start(definition);
    int result = yaml_parse(text, length, &definition->values, &root, &why);
    if (result < 0)
        return error_set(ret_error, -result, "%s, %s", definition->path, why.message);
    if (root->type != JSON_OBJECT && root->type != JSON_NULL)
        return error_set(ret_error, EBADMSG, "%s: it is not a mapping", definition->path);
    return set_from_object(definition, root, ret_error);
}

int definition_take(const struct json *attributes_object, struct definition *definition,
                    struct pkgcache_error *ret_error)
{
    start(definition);
    struct json *copy = values_copy_value(&definition->values, attributes_object);
    if (!copy)
        return error_set(ret_error, ENOMEM, "out of memory");
    if (copy->type != JSON_OBJECT)
        return error_set(ret_error, EBADMSG, "%s: rez gave an unexpected answer", definition->path);
    return set_from_object(definition, copy, ret_error);
}
