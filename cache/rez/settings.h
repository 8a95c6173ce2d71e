/*
 * Settings: one table gives each its names, type, range, default and help. Where a value comes
 * from, in this order: the command line, PKGCACHE_ variables, the user's file and then the system's
 * (settings_files.h), rez's own settings (its variables and files: cache/rez/rezconfig.h), what is
 * built in.
 */
#pragma once

#include "cache/rez/settings_files.h"

#include <stdbool.h>
#include <stdint.h>

/** Starts as `struct settings settings = {0};`. */
struct settings {
    struct setting_value values[SETTING_COUNT];
    bool rez_defaults; /* for what stands in for rez: what rez has built in counts, too; and neither
                          our variable nor our files name the cache, so there may be none */
    bool lenient;      /* what is wrong in our variables and files is a problem, and counts as not
                          set; else the first such thing is an error */
    struct settings_problems problems; /* found by settings_complete */
    struct settings_files *files;      /* NULL: not read yet */
    struct rezconfig *rez;             /* NULL: nobody asked for it yet */
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
 *               not read where nothing needs them; a cache that does not matter stays unset. What
 *               others need, if they have another value than the one that is built in, matters,
 * too:
 *               --local-path for --local, --repositories for --clients
 * @return       as settings_set; -EINVAL also when a file of rez's cannot be read, or one of ours
 * is wrong
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

/**
 * Looks for all that is wrong in our files and variables, also where something else counts.
 *
 * @param ret freed with settings_problems_free, whatever is returned
 * @return    0 or -ENOMEM
 */
int settings_check(struct settings_problems *ret);

/** The options of a cache that the settings ask for. They must be complete; the strings are theirs.
 */
struct pkgcache_options settings_cache_options(const struct settings *settings);
