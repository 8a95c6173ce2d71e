/*
 * The table of settings: one row gives each its names, type, range, default and help. Where a value
 * comes from is for settings.h.
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
    SETTING_REUSE,
    SETTING_MANIFESTS,
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
    SETTING_REPOSITORIES,
    SETTING_TRUST,
    SETTING_SHARE_IDLE,
    SETTING_COUNT,
};

enum setting_type {
    SETTING_PATH,   /* or another text that is not empty */
    SETTING_CHOICE, /* the number is the place in `choices`, from 0 */
    SETTING_NUMBER,
    SETTING_BYTES, /* with B, or K, M, G, T, KiB, ...: powers of 1024 */
    SETTING_SHARE, /* bytes as above, never without a unit, or a percentage from 1 to 100 */
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

#define SETTINGS_BUILT_IN     "built in"         /* the origin of what nobody set */
#define SETTINGS_COMMAND_LINE "the command line" /* and of what a flag set */

struct setting_value {
    char *text;         /* allocated */
    uint64_t number;    /* all but SETTING_PATH */
    bool percent;       /* SETTING_SHARE: so the number is */
    const char *origin; /* "the command line", the name of a variable, one of rez's files, or
                           SETTINGS_BUILT_IN */
};

/** @return the setting of that name; SETTING_COUNT: there is none */
enum setting_id settings_find(const char *name);
