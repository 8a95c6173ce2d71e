/*
 * Settings: one table gives each its names, type, range, default and help. Where a value comes
 * from, in this order: the command line, PKGCACHE_ variables, rez's own settings (its variables and
 * files: cache/rez/rezconfig.h), what is built in.
 */
#pragma once

#include "cache/rez/rezconfig.h"

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
    SETTING_DAEMON,
    SETTING_SOCKET,
    SETTING_CLIENTS,
    SETTING_COUNT,
};

enum setting_type {
    SETTING_PATH,   /* or another text that is not empty */
    SETTING_CHOICE, /* the number is the place in `choices`, from 0 */
    SETTING_NUMBER,
    SETTING_BYTES, /* with K, M, G, T: powers of 1024 */
    SETTING_SHARE, /* bytes as above, or a percentage from 1 to 100 */
};

struct setting {
    const char *name;       /* of the flag: --NAME */
    const char *variable;   /* PKGCACHE_… */
    enum rezconfig_key rez; /* rez's setting; SETTING_OURS: it has none */
    enum setting_type type;
    const char *const *choices; /* SETTING_CHOICE: ends with NULL */
    uint64_t minimum;           /* of numbers and bytes */
    uint64_t maximum;
    const char *built_in;
    const char *help; /* one line of at most 60 columns */
};

#define SETTING_OURS REZCONFIG_COUNT

extern const struct setting settings_table[SETTING_COUNT];

#define SETTINGS_BUILT_IN "built in" /* the origin of what nobody set */

struct setting_value {
    char *text;         /* allocated */
    uint64_t number;    /* all but SETTING_PATH */
    bool percent;       /* SETTING_SHARE: so the number is */
    const char *origin; /* "the command line", the name of a variable, one of rez's files, or
                           SETTINGS_BUILT_IN */
};

/** Starts as `struct settings settings = {0};`. */
struct settings {
    struct setting_value values[SETTING_COUNT];
    bool rez_defaults;     /* what rez has built in counts, too: for a program that stands in for
                              rez's; then there may be no cache */
    struct rezconfig *rez; /* NULL: nobody asked for it yet */
};

/**
 * Sets one from text.
 *
 * @param origin where the text comes from; must outlive the settings
 * @return       0, -EINVAL with ret_error filled in, -ENOMEM
 */
int settings_set(struct settings *settings, enum setting_id id, const char *text,
                 const char *origin, struct pkgcache_error *ret_error);

/** A setting's bit in a mask. */
#define SETTING_BIT(id) (UINT32_C(1) << (id))
#define SETTINGS_ALL    (SETTING_BIT(SETTING_COUNT) - 1)

/**
 * Fills in what was not set.
 *
 * @param wanted bits of those that matter. For the others rez is not asked, so that its files are
 *               not read where nothing needs them; a cache that does not matter stays unset
 * @return       as settings_set; -EINVAL also when a file of rez's cannot be read
 */
int settings_complete(struct settings *settings, uint32_t wanted, struct pkgcache_error *ret_error);

/**
 * rez's settings, the same that settings_complete asks.
 *
 * @param ret owned by the settings
 * @return    0 or -ENOMEM
 */
int settings_rez(struct settings *settings, struct rezconfig **ret);

void settings_free(struct settings *settings);

/** The options of a cache that the settings ask for. They must be complete; the strings are theirs.
 */
struct pkgcache_options settings_cache_options(const struct settings *settings);
