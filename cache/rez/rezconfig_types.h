/*
 * rez's settings that matter here: their types, what is built in, and how rez reads them from a
 * variable (rez/config.py, the classes below Setting). Messages begin as rez's do.
 */
#pragma once

#include "cache/rez/rezconfig_key.h"
#include "cache/rez/values.h"

enum rezconfig_type {
    REZCONFIG_STRING,
    REZCONFIG_OPTIONAL_STRING,
    REZCONFIG_PATHS,
    REZCONFIG_INTEGER,
    REZCONFIG_REAL,
    REZCONFIG_BOOLEAN,
    REZCONFIG_OPTIONAL_BOOLEAN,
    REZCONFIG_OPTIONAL_DICT, /* none is an empty one */
};

struct rezconfig_setting {
    const char *name;          /* in files */
    const char *variable;      /* REZ_NAME */
    const char *json_variable; /* REZ_NAME_JSON */
    enum rezconfig_type type;
    const char *built_in; /* JSON */
};

extern const struct rezconfig_setting rezconfig_table[REZCONFIG_COUNT];

/**
 * Reads what the variable REZ_NAME says.
 *
 * @param ret_value owned by `values`
 * @return          0; -EINVAL: it says something else than the type allows; -ENOMEM
 */
int rezconfig_parse(const struct rezconfig_setting *setting, const char *text,
                    struct values *values, const struct json **ret_value,
                    struct pkgcache_error *ret_error);

/**
 * Checks the type of a value.
 *
 * @param origin for the message
 * @return       0; -EINVAL
 */
int rezconfig_check(const struct rezconfig_setting *setting, const struct json *value,
                    const char *origin, struct pkgcache_error *ret_error);
