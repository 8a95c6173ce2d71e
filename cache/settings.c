/* Settings. What they mean is the business of those who use them. */
#include "cache/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#define SECONDS_MAX (365ULL * 24 * 3600)
#define DAYS_MAX    36500

static const char *const backends[] = {"auto", "ring", "threads", NULL};
static const char *const durabilities[] = {"batch", "each", "none", NULL};
static const char *const symlinks[] = {"keep", "preserve", "follow", NULL};
static const char *const priorities[] = {"normal", "idle", NULL};
static const char *const stalled[] = {"heal", "report", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

/* The order of choices is that of the enumerations which settings_cache_options casts them to. */
_Static_assert(COPYENGINE_RING == 1 && COPYENGINE_THREADS == 2, "see backends");
_Static_assert(PKGCACHE_DURABILITY_EACH == 1 && PKGCACHE_DURABILITY_NONE == 2, "see durabilities");
_Static_assert(COPYENGINE_SYMLINKS_PRESERVE == 1 && COPYENGINE_SYMLINKS_FOLLOW == 2,
               "see symlinks");

const struct setting settings_table[SETTING_COUNT] = {
    [SETTING_CACHE] = {"cache", "PKGCACHE_DIR", "REZ_CACHE_PACKAGES_PATH", SETTING_PATH, NULL, 0, 0,
                       "", "directory of the cache"},
    [SETTING_BACKEND] = {"backend", "PKGCACHE_BACKEND", NULL, SETTING_CHOICE, backends, 0, 0,
                         "auto", "how files are copied"},
    [SETTING_DURABILITY] = {"durability", "PKGCACHE_DURABILITY", NULL, SETTING_CHOICE, durabilities,
                            0, 0, "batch", "what survives a power cut (copy: none)"},
    [SETTING_SYMLINKS] = {"symlinks", "PKGCACHE_SYMLINKS", NULL, SETTING_CHOICE, symlinks, 0, 0,
                          "keep", "links keep their meaning, their letters, or go"},
    [SETTING_DIGEST] = {"digest", "PKGCACHE_DIGEST", NULL, SETTING_CHOICE, yes_no, 0, 0, "yes",
                        "digests of what is copied, for verify (copy: --manifest)"},
    [SETTING_IN_FLIGHT] = {"in-flight", "PKGCACHE_IN_FLIGHT", NULL, SETTING_NUMBER, NULL, 0, 4096,
                           "0", "operations at once, at most (0: found out)"},
    [SETTING_BWLIMIT] = {"bwlimit", "PKGCACHE_BWLIMIT", NULL, SETTING_BYTES, NULL, 0,
                         (uint64_t)INT64_MAX, "0", "bytes a second, with K, M, G (0: no limit)"},
    [SETTING_IO_PRIORITY] = {"io-priority", "PKGCACHE_IO_PRIORITY", NULL, SETTING_CHOICE,
                             priorities, 0, 0, "normal", "idle: when nobody else uses the disk"},
    [SETTING_STALLED] = {"stalled", "PKGCACHE_STALLED", NULL, SETTING_CHOICE, stalled, 0, 0, "heal",
                         "stalled copies: take over, or report as rez does"},
    [SETTING_STALL_GRACE] = {"stall-grace", "PKGCACHE_STALL_GRACE", NULL, SETTING_NUMBER, NULL, 5,
                             SECONDS_MAX, "60", "seconds without a heartbeat until it is over"},
    [SETTING_LOCK_TIMEOUT] = {"lock-timeout", "PKGCACHE_LOCK_TIMEOUT", NULL, SETTING_NUMBER, NULL,
                              1, SECONDS_MAX, "10", "seconds to wait for the cache's lock"},
    [SETTING_SAME_DEVICE] = {"same-device", "PKGCACHE_SAME_DEVICE", "REZ_PACKAGE_CACHE_SAME_DEVICE",
                             SETTING_CHOICE, yes_no, 0, 0, "yes",
                             "cache what is on the cache's file system"},
    [SETTING_LOCAL] = {"local", "PKGCACHE_LOCAL", "REZ_PACKAGE_CACHE_LOCAL", SETTING_CHOICE, yes_no,
                       0, 0, "yes", "cache local packages"},
    [SETTING_LOCAL_PATH] = {"local-path", "PKGCACHE_LOCAL_PATH", "REZ_LOCAL_PACKAGES_PATH",
                            SETTING_PATH, NULL, 0, 0, "", "repository of local packages"},
    [SETTING_SPACE_BUFFER] = {"space-buffer", "PKGCACHE_SPACE_BUFFER",
                              "REZ_PACKAGE_CACHE_SPACE_BUFFER", SETTING_BYTES, NULL, 0,
                              (uint64_t)INT64_MAX, "100M", "bytes kept free, with K, M, G, T"},
    [SETTING_USED_THRESHOLD] = {"used-threshold", "PKGCACHE_USED_THRESHOLD",
                                "REZ_PACKAGE_CACHE_USED_THRESHOLD", SETTING_NUMBER, NULL, 0, 100,
                                "80", "percent used from which copies are stopped, too"},
    [SETTING_MAX_SIZE] = {"max-size", "PKGCACHE_MAX_SIZE", NULL, SETTING_SHARE, NULL, 0,
                          (uint64_t)INT64_MAX, "0",
                          "clean: bytes, or percent of the disk (0: all)"},
    [SETTING_MAX_VARIANT_DAYS] = {"max-variant-days", "PKGCACHE_MAX_VARIANT_DAYS",
                                  "REZ_PACKAGE_CACHE_MAX_VARIANT_DAYS", SETTING_NUMBER, NULL, 0,
                                  DAYS_MAX, "30", "clean: unused for longer goes (0: stays)"},
    [SETTING_LOG_DAYS] = {"log-days", "PKGCACHE_LOG_DAYS", "REZ_PACKAGE_CACHE_LOG_DAYS",
                          SETTING_NUMBER, NULL, 0, DAYS_MAX, "7",
                          "clean: logs that are older go (0: stay)"},
};

static int refuse(const struct setting *setting, const char *text, const char *origin,
                  const char *expected, struct pkgcache_error *error)
{
    return error_set(error, EINVAL, "--%s (from %s): \"%.100s\" is not %s", setting->name, origin,
                     text, expected);
}

/* Reads yes and no in all the words that rez has for them in a variable. */
static bool parse_rez_boolean(const char *text, uint64_t *ret)
{
    static const char *const words[][2] = {{"0", "1"},    {"false", "true"}, {"f", "t"},
                                           {"no", "yes"}, {"n", "y"},        {"off", "on"}};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        for (*ret = 0; *ret < 2; ++*ret)
            if (strcasecmp(text, words[i][*ret]) == 0)
                return true;
    return false;
}

static int parse_choice(const struct setting *setting, const char *text, const char *origin,
                        uint64_t *ret, struct pkgcache_error *error)
{
    char expected[128] = "one of";
    bool of_rez = setting->rez_variable && strcmp(origin, setting->rez_variable) == 0;
    if (of_rez && setting->choices == yes_no && parse_rez_boolean(text, ret))
        return 0;
    for (size_t i = 0; setting->choices[i]; i++) {
        if (strcmp(text, setting->choices[i]) == 0) {
            *ret = i;
            return 0;
        }
        size_t length = strlen(expected);
        snprintf(expected + length, sizeof(expected) - length, "%s %s", i ? "," : "",
                 setting->choices[i]);
    }
    return refuse(setting, text, origin, expected, error);
}

static int parse_number(const struct setting *setting, const char *text, const char *origin,
                        uint64_t *ret, struct pkgcache_error *error)
{
    static const char units[] = "KMGT";
    char expected[128];
    char *end;
    bool bytes = setting->type != SETTING_NUMBER;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    bool valid = isdigit((unsigned char)*text) && errno == 0;
    const char *unit = bytes && *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        valid =
            valid && !__builtin_mul_overflow(number, 1ULL << (10 * (unit - units + 1)), &number);
        end++;
    }
    if (valid && *end == '\0' && number >= setting->minimum && number <= setting->maximum) {
        *ret = number;
        return 0;
    }
    snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64 "%s",
             setting->minimum, setting->maximum, bytes ? ", with K, M, G or T" : "");
    return refuse(setting, text, origin, expected, error);
}

/* Bytes, or a number from 1 to 100 and a percent sign. */
static int parse_share(const struct setting *setting, const char *text, const char *origin,
                       struct setting_value *ret, struct pkgcache_error *error)
{
    char *end;
    size_t length = strlen(text);
    ret->percent = length > 0 && text[length - 1] == '%';
    if (!ret->percent)
        return parse_number(setting, text, origin, &ret->number, error);
    ret->number = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '%' && end[1] == '\0' && ret->number >= 1 &&
        ret->number <= 100)
        return 0;
    return refuse(setting, text, origin, "a percentage from 1% to 100%", error);
}

/* Numbers as rez reads them from its variables: with blanks around, and less than none is none. */
static int parse_rez_number(const struct setting *setting, const char *text, const char *origin,
                            uint64_t *ret, struct pkgcache_error *error)
{
    char number[32];
    size_t length = 0;
    const char *at = text;
    while (isspace((unsigned char)*at))
        at++;
    bool negative = *at == '-' && isdigit((unsigned char)at[1]);
    at += negative;
    while (length < sizeof(number) - 1 && isdigit((unsigned char)at[length]))
        length++;
    if (at[length + strspn(at + length, " \t\n\r\f\v")] != '\0')
        return parse_number(setting, text, origin, ret, error);
    memcpy(number, at, length);
    number[length] = '\0';
    return parse_number(setting, negative ? "0" : number, origin, ret, error);
}

int settings_set(struct settings *settings, enum setting_id id, const char *text,
                 const char *origin, struct pkgcache_error *ret_error)
{
    const struct setting *setting = &settings_table[id];
    struct setting_value value = {.origin = origin};
    int result = 0;
    switch (setting->type) {
    case SETTING_PATH:
        if (!*text)
            result = refuse(setting, text, origin, "a path", ret_error);
        break;
    case SETTING_CHOICE:
        result = parse_choice(setting, text, origin, &value.number, ret_error);
        break;
    case SETTING_SHARE:
        result = parse_share(setting, text, origin, &value, ret_error);
        break;
    case SETTING_NUMBER:
        if (setting->rez_variable && origin == setting->rez_variable) {
            result = parse_rez_number(setting, text, origin, &value.number, ret_error);
            break;
        }
        __attribute__((fallthrough));
    case SETTING_BYTES:
        result = parse_number(setting, text, origin, &value.number, ret_error);
        break;
    }
    if (result < 0)
        return result;
    value.text = strdup(text);
    if (!value.text)
        return error_set(ret_error, ENOMEM, "out of memory");
    free(settings->values[id].text);
    settings->values[id] = value;
    return 0;
}

/* The XDG Base Directory Specification. */
static int set_default_cache(struct settings *settings, struct pkgcache_error *error)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    bool xdg = base && *base == '/'; /* relative ones are to be ignored */
    if (!xdg && (!home || !*home))
        return error_set(error, EINVAL,
                         "which cache? HOME is not set; name a directory with --cache or "
                         "PKGCACHE_DIR");
    snprintf(path, sizeof(path), "%s/%spkgcache", xdg ? base : home, xdg ? "" : ".cache/");
    return settings_set(settings, SETTING_CACHE, path, SETTINGS_BUILT_IN, error);
}

/* rez's own default. */
static int set_default_local_path(struct settings *settings, struct pkgcache_error *error)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/packages", home ? home : "");
    return settings_set(settings, SETTING_LOCAL_PATH, path, SETTINGS_BUILT_IN, error);
}

int settings_complete(struct settings *settings, struct pkgcache_error *ret_error)
{
    int result = 0;
    for (int i = 0; i < SETTING_COUNT && result == 0; i++) {
        const struct setting *setting = &settings_table[i];
        if (settings->values[i].text)
            continue;
        const char *text = getenv(setting->variable);
        const char *rez_text = setting->rez_variable ? getenv(setting->rez_variable) : NULL;
        if (text && *text)
            result = settings_set(settings, i, text, setting->variable, ret_error);
        else if (rez_text && *rez_text)
            result = settings_set(settings, i, rez_text, setting->rez_variable, ret_error);
        else if (i == SETTING_CACHE)
            result = set_default_cache(settings, ret_error);
        else if (i == SETTING_LOCAL_PATH)
            result = set_default_local_path(settings, ret_error);
        else
            result = settings_set(settings, i, setting->built_in, SETTINGS_BUILT_IN, ret_error);
    }
    return result;
}

void settings_free(struct settings *settings)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        free(settings->values[i].text);
    *settings = (struct settings){0};
}

struct pkgcache_options settings_cache_options(const struct settings *settings)
{
    const struct setting_value *values = settings->values;
    return (struct pkgcache_options){
        .size = sizeof(struct pkgcache_options),
        .durability = (enum pkgcache_durability)values[SETTING_DURABILITY].number,
        .symlinks = (enum copyengine_symlinks)values[SETTING_SYMLINKS].number,
        .backend = (enum copyengine_backend)values[SETTING_BACKEND].number,
        .in_flight = (unsigned)values[SETTING_IN_FLIGHT].number,
        .bytes_per_s = values[SETTING_BWLIMIT].number,
        .idle_priority = values[SETTING_IO_PRIORITY].number == 1,
        .report_stalled = values[SETTING_STALLED].number == 1,
        .stall_grace_s = (unsigned)values[SETTING_STALL_GRACE].number,
        .lock_timeout_s = (unsigned)values[SETTING_LOCK_TIMEOUT].number,
        .no_digests = values[SETTING_DIGEST].number == 0,
        .refuse_same_device = values[SETTING_SAME_DEVICE].number == 0,
        .local_packages_path =
            values[SETTING_LOCAL].number == 0 ? values[SETTING_LOCAL_PATH].text : NULL,
        .space_buffer_bytes = values[SETTING_SPACE_BUFFER].number,
        .used_threshold_percent = (unsigned)values[SETTING_USED_THRESHOLD].number,
    };
}
