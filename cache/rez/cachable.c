/*
 * Two chains of the same form. Where the first does not decide whether a package is cachable, it is
 * if it is relocatable, which the second decides.
 * rez asks its own settings here, not those in a definition's `config` (src/rez/packages.py,
 * is_cachable and is_relocatable).
 */
#include "cache/rez/cachable.h"

#include "engine/compiler.h"

/* One chain, in the order in which it is followed. */
struct chain {
    const char *attribute;
    struct {
        enum rezconfig_key key;
        const char *said_by;
    } settings[3]; /* by repository, by package, for all */
};

static const struct chain cachable_chain = {
    "its attribute cachable",
    {{REZCONFIG_DEFAULT_CACHABLE_PER_REPOSITORY, "rez's default_cachable_per_repository"},
     {REZCONFIG_DEFAULT_CACHABLE_PER_PACKAGE, "rez's default_cachable_per_package"},
     {REZCONFIG_DEFAULT_CACHABLE, "rez's default_cachable"}}};

static const struct chain relocatable_chain = {
    "its attribute relocatable",
    {{REZCONFIG_DEFAULT_RELOCATABLE_PER_REPOSITORY, "rez's default_relocatable_per_repository"},
     {REZCONFIG_DEFAULT_RELOCATABLE_PER_PACKAGE, "rez's default_relocatable_per_package"},
     {REZCONFIG_DEFAULT_RELOCATABLE, "rez's default_relocatable"}}};

/* Anything that rez lets through counts as Python's bool() of it. */
static bool is_true(const struct json *value)
{
    int64_t number = 1;
    if (value->type == JSON_BOOLEAN)
        return value->boolean;
    return value->type != JSON_INTEGER || json_integer(value, 0, 0, &number) < 0;
}

/* @return 1: the chain says *ret; 0: nothing; or -errno */
static int follow_chain(struct rezconfig *config, const struct chain *chain,
                        enum definition_flag flag, const char *const names[2], bool *ret,
                        const char **ret_said_by, struct pkgcache_error *error)
{
    if (flag != DEFINITION_UNSET) {
        *ret = flag == DEFINITION_YES;
        *ret_said_by = chain->attribute;
        return 1;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(chain->settings); i++) {
        const struct json *value = NULL;
        int result = rezconfig_get(config, chain->settings[i].key, &value, NULL, error);
        if (result < 0)
            return result;
        if (i < 2)
            value = json_member(value, names[i]);
        if (!value || value->type == JSON_NULL)
            continue;
        *ret = is_true(value);
        *ret_said_by = chain->settings[i].said_by;
        return 1;
    }
    return 0;
}

int cachable_find(struct rezconfig *config, const struct pkgcache_handle *handle,
                  const struct definition *definition, bool *ret, const char **ret_said_by,
                  struct pkgcache_error *ret_error)
{
    const char *const names[] = {handle->location_text, handle->name};
    *ret = false;
    *ret_said_by = "nothing";
    int result = follow_chain(config, &cachable_chain, definition->cachable, names, ret,
                              ret_said_by, ret_error);
    if (result == 0)
        result = follow_chain(config, &relocatable_chain, definition->relocatable, names, ret,
                              ret_said_by, ret_error);
    return result < 0 ? result : 0;
}
