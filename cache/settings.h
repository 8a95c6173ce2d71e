/*
 * Settings: one table gives each its names, type, range, default and help. Where a value comes
 * from, in this order: the command line, PKGCACHE_ variables, rez's variables, what is built in.
 */
#pragma once

#include "cache/error.h"

#include <stdbool.h>
#include <stdint.h>

enum setting_id {
    SETTING_CACHE,
    SETTING_BACKEND,
    SETTING_DURABILITY,
    SETTING_SYMLINKS,
    SETTING_DIGEST,
    SETTING_IN_FLIGHT,
    SETTING_BWLIMIT,
    SETTING_IO_PRIORITY,
    SETTING_STALLED,
    SETTING_STALL_GRACE,
    SETTING_LOCK_TIMEOUT,
    SETTING_SAME_DEVICE,
    SETTING_LOCAL,
    SETTING_LOCAL_PATH,
    SETTING_SPACE_BUFFER,
    SETTING_USED_THRESHOLD,
    SETTING_MAX_SIZE,
    SETTING_MAX_VARIANT_DAYS,
    SETTING_LOG_DAYS,
    SETTING_COUNT,
};

enum setting_type {
    SETTING_PATH,
    SETTING_CHOICE, /* the number is the place in `choices`, from 0 */
    SETTING_NUMBER,
    SETTING_BYTES, /* with K, M, G, T: powers of 1024 */
    SETTING_SHARE, /* bytes as above, or a percentage from 1 to 100 */
};

struct setting {
    const char *name;         /* of the flag: --NAME */
    const char *variable;     /* PKGCACHE_… */
    const char *rez_variable; /* REZ_…; NULL: rez has no such setting */
    enum setting_type type;
    const char *const *choices; /* SETTING_CHOICE: ends with NULL */
    uint64_t minimum;           /* of numbers and bytes */
    uint64_t maximum;
    const char *built_in;
    const char *help; /* one line of at most 60 columns */
};

extern const struct setting settings_table[SETTING_COUNT];

#define SETTINGS_BUILT_IN "built in" /* the origin of what nobody set */

struct setting_value {
    char *text;         /* allocated */
    uint64_t number;    /* all but SETTING_PATH */
    bool percent;       /* SETTING_SHARE: so the number is */
    const char *origin; /* "the command line", the name of a variable, or SETTINGS_BUILT_IN */
};

struct settings {
    struct setting_value values[SETTING_COUNT];
};

/**
 * Sets one from text.
 *
 * @param origin where the text comes from; static storage
 * @return       0, -EINVAL with ret_error filled in, -ENOMEM
 */
int settings_set(struct settings *settings, enum setting_id id, const char *text,
                 const char *origin, struct pkgcache_error *ret_error);

/** Fills in what was not set, from the environment, or what is built in. @return as settings_set */
int settings_complete(struct settings *settings, struct pkgcache_error *ret_error);

void settings_free(struct settings *settings);

/** The options of a cache that the settings ask for. They must be complete; the strings are theirs.
 */
struct pkgcache_options settings_cache_options(const struct settings *settings);
