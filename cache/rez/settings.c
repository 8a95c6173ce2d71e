/* The table of settings, and where their values come from. Their users know what they mean. */
#include "cache/rez/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define SECONDS_MAX (365ULL * 24 * 3600)
#define DAYS_MAX    36500

static const char *const backends[] = {"auto", "ring", "threads", NULL};
static const char *const durabilities[] = {"batch", "each", "none", NULL};
static const char *const symlinks[] = {"keep", "preserve", "follow", NULL};
static const char *const priorities[] = {"normal", "idle", NULL};
static const char *const stalled[] = {"heal", "report", NULL};
static const char *const daemon_uses[] = {"auto", "never", "require", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

/* The order of choices is that of the enumerations which settings_cache_options casts them to. */
_Static_assert(COPYENGINE_RING == 1 && COPYENGINE_THREADS == 2, "see backends");
_Static_assert(PKGCACHE_DURABILITY_EACH == 1 && PKGCACHE_DURABILITY_NONE == 2, "see durabilities");
_Static_assert(COPYENGINE_SYMLINKS_PRESERVE == 1 && COPYENGINE_SYMLINKS_FOLLOW == 2,
               "see symlinks");

const struct setting settings_table[SETTING_COUNT] = {
    [SETTING_CACHE] = {"cache", "PKGCACHE_DIR", REZCONFIG_CACHE_PACKAGES_PATH, SETTING_PATH, NULL,
                       0, 0, "", "directory of the cache"},
    [SETTING_BACKEND] =
        {"backend", "PKGCACHE_BACKEND", SETTING_OURS, SETTING_CHOICE, backends, 0, 0, "auto",
         "how files are copied: by io_uring (ring), by threads, or as pkgcache chooses (auto)"},
    [SETTING_DURABILITY] = {"durability", "PKGCACHE_DURABILITY", SETTING_OURS, SETTING_CHOICE,
                            durabilities, 0, 0, "batch",
                            "when copies are flushed to disk: together (batch), one by one (each), "
                            "never (none); copy: none"},
    [SETTING_SYMLINKS] = {"symlinks", "PKGCACHE_SYMLINKS", SETTING_OURS, SETTING_CHOICE, symlinks,
                          0, 0, "keep",
                          "symbolic links in copies: lead to the same place (keep), have the same "
                          "text (preserve), or are replaced by what they point to (follow)"},
    [SETTING_DIGEST] = {"digest", "PKGCACHE_DIGEST", SETTING_OURS, SETTING_CHOICE, yes_no, 0, 0,
                        "yes",
                        "compute digests of copied files, for verify (copy: with --manifest)"},
    [SETTING_IN_FLIGHT] = {"in-flight", "PKGCACHE_IN_FLIGHT", SETTING_OURS, SETTING_NUMBER, NULL, 0,
                           4096, "0",
                           "maximum number of I/O operations in flight (0: tuned automatically)"},
    [SETTING_BWLIMIT] = {"bwlimit", "PKGCACHE_BWLIMIT", SETTING_OURS, SETTING_BYTES, NULL, 0,
                         (uint64_t)INT64_MAX, "0",
                         "maximum bytes per second, with K, M, G or T (0: no limit)"},
    [SETTING_IO_PRIORITY] =
        {"io-priority", "PKGCACHE_IO_PRIORITY", SETTING_OURS, SETTING_CHOICE, priorities, 0, 0,
         "normal", "I/O priority of copies; idle: only while no other process uses the disk"},
    [SETTING_STALLED] = {"stalled", "PKGCACHE_STALLED", SETTING_OURS, SETTING_CHOICE, stalled, 0, 0,
                         "heal",
                         "copies whose process has died or hangs: take them over (heal), or only "
                         "report them, as rez does"},
    [SETTING_STALL_GRACE] =
        {"stall-grace", "PKGCACHE_STALL_GRACE", SETTING_OURS, SETTING_NUMBER, NULL, 5, SECONDS_MAX,
         "60", "seconds without a heartbeat until another process's copy counts as stalled"},
    [SETTING_LOCK_TIMEOUT] = {"lock-timeout", "PKGCACHE_LOCK_TIMEOUT", SETTING_OURS, SETTING_NUMBER,
                              NULL, 1, SECONDS_MAX, "10", "seconds to wait for the cache's lock"},
    [SETTING_SAME_DEVICE] = {"same-device", "PKGCACHE_SAME_DEVICE",
                             REZCONFIG_PACKAGE_CACHE_SAME_DEVICE, SETTING_CHOICE, yes_no, 0, 0,
                             "yes", "cache payloads that are on the cache's own file system"},
    [SETTING_LOCAL] = {"local", "PKGCACHE_LOCAL", REZCONFIG_PACKAGE_CACHE_LOCAL, SETTING_CHOICE,
                       yes_no, 0, 0, "yes",
                       "cache packages of the local repository (see --local-path)"},
    [SETTING_LOCAL_PATH] = {"local-path", "PKGCACHE_LOCAL_PATH", REZCONFIG_LOCAL_PACKAGES_PATH,
                            SETTING_PATH, NULL, 0, 0, "", "path of the local repository"},
    [SETTING_SPACE_BUFFER] = {"space-buffer", "PKGCACHE_SPACE_BUFFER",
                              REZCONFIG_PACKAGE_CACHE_SPACE_BUFFER, SETTING_BYTES, NULL, 0,
                              (uint64_t)INT64_MAX, "100M",
                              "bytes of the cache's disk to keep free, with K, M, G or T"},
    [SETTING_USED_THRESHOLD] = {"used-threshold", "PKGCACHE_USED_THRESHOLD",
                                REZCONFIG_PACKAGE_CACHE_USED_THRESHOLD, SETTING_NUMBER, NULL, 0,
                                100, "80",
                                "percentage of the disk in use above which running copies are "
                                "stopped, too, to keep --space-buffer free"},
    [SETTING_MAX_SIZE] = {"max-size", "PKGCACHE_MAX_SIZE", SETTING_OURS, SETTING_SHARE, NULL, 0,
                          (uint64_t)INT64_MAX, "0",
                          "clean: maximum size of all variants, in bytes or as a percentage of the "
                          "disk (0: no limit)"},
    [SETTING_MAX_VARIANT_DAYS] =
        {"max-variant-days", "PKGCACHE_MAX_VARIANT_DAYS",
         REZCONFIG_PACKAGE_CACHE_MAX_VARIANT_DAYS, SETTING_NUMBER, NULL, 0, DAYS_MAX, "30",
         "clean: remove variants that were not used for more than this number of days (0: never)"},
    [SETTING_LOG_DAYS] = {"log-days", "PKGCACHE_LOG_DAYS", REZCONFIG_PACKAGE_CACHE_LOG_DAYS,
                          SETTING_NUMBER, NULL, 0, DAYS_MAX, "7",
                          "clean: delete logs that are older than this number of days (0: never)"},
    [SETTING_DAEMON] = {"daemon", "PKGCACHE_DAEMON", SETTING_OURS, SETTING_CHOICE, daemon_uses, 0,
                        0, "auto",
                        "use the cache's daemon: if it runs (auto), never, or always, and fail if "
                        "it does not run (require)"},
    [SETTING_SOCKET] = {"socket", "PKGCACHE_SOCKET", SETTING_OURS, SETTING_PATH, NULL, 0, 0, "",
                        "path of the daemon's socket"},
    [SETTING_CLIENTS] =
        {"clients", "PKGCACHE_CLIENTS", SETTING_OURS, SETTING_PATH, NULL, 0, 0, "owner",
         "daemon: whom to serve besides root: owner, everybody, or the name of a group"},
};

static int refuse(const struct setting *setting, const char *text, const char *origin,
                  const char *expected, struct pkgcache_error *error)
{
    return error_set(error, EINVAL, "--%s (from %s): \"%.100s\" is not %s", setting->name, origin,
                     text, expected);
}

static int parse_choice(const struct setting *setting, const char *text, const char *origin,
                        uint64_t *ret, struct pkgcache_error *error)
{
    char expected[128] = "one of";
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
                         "HOME is not set, so there is no default cache: name its directory with "
                         "--cache or PKGCACHE_DIR");
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

/* In the cache: who finds that finds its daemon. */
static int set_default_socket(struct settings *settings, struct pkgcache_error *error)
{
    char path[PATH_MAX + 32];
    const char *cache = settings->values[SETTING_CACHE].text;
    snprintf(path, sizeof(path), "%s/.sys/daemon.sock", cache ? cache : "");
    return settings_set(settings, SETTING_SOCKET, path, SETTINGS_BUILT_IN, error);
}

int settings_rez(struct settings *settings, struct rezconfig **ret)
{
    int result = settings->rez ? 0 : rezconfig_new(&settings->rez);
    *ret = settings->rez;
    return result;
}

/* What a value of rez's is in ours; *ret_text is allocated, or NULL: nothing. Numbers that are
 * beyond our range mean what its end means. */
static int convert_rez(const struct setting *setting, const struct json *value, char **ret_text)
{
    int64_t number;
    switch (value->type) {
    case JSON_STRING:
        if (value->text_length == 0)
            return 0;
        *ret_text = rezconfig_path(value);
        return *ret_text ? 0 : -EILSEQ;
    case JSON_BOOLEAN:
        *ret_text = strdup(yes_no[value->boolean]);
        return *ret_text ? 0 : -ENOMEM;
    case JSON_INTEGER:
        number = MAX(rezconfig_integer(value), (int64_t)setting->minimum);
        if (asprintf(ret_text, "%" PRIu64, MIN((uint64_t)number, setting->maximum)) < 0) {
            *ret_text = NULL;
            return -ENOMEM;
        }
        return 0;
    default: /* none */
        return 0;
    }
}

/* Takes what rez says. Nothing is set when it says nothing. */
static int set_from_rez(struct settings *settings, enum setting_id id, struct pkgcache_error *error)
{
    const struct setting *setting = &settings_table[id];
    struct rezconfig *rez;
    const struct json *value;
    const char *origin;
    CLEANUP_FREE char *text = NULL;
    if (settings_rez(settings, &rez) < 0)
        return error_set(error, ENOMEM, "out of memory");
    int result = rezconfig_get(rez, setting->rez, &value, &origin, error);
    if (result < 0)
        return result;
    if (strcmp(origin, REZCONFIG_BUILT_IN) == 0 && !settings->rez_defaults)
        return 0;
    result = convert_rez(setting, value, &text);
    if (result < 0)
        return error_set(error, -result, "%s (from %s): %s", rezconfig_name(setting->rez), origin,
                         strerror(-result));
    return text ? settings_set(settings, id, text, origin, error) : 0;
}

static int set_built_in(struct settings *settings, enum setting_id id, struct pkgcache_error *error)
{
    if (id == SETTING_CACHE)
        return set_default_cache(settings, error);
    if (id == SETTING_LOCAL_PATH)
        return set_default_local_path(settings, error);
    if (id == SETTING_SOCKET)
        return set_default_socket(settings, error);
    return settings_set(settings, id, settings_table[id].built_in, SETTINGS_BUILT_IN, error);
}

static int complete(struct settings *settings, enum setting_id id, bool wanted,
                    struct pkgcache_error *error)
{
    const struct setting *setting = &settings_table[id];
    const char *text = getenv(setting->variable);
    if (settings->values[id].text)
        return 0;
    if (text && *text)
        return settings_set(settings, id, text, setting->variable, error);
    if (wanted && setting->rez != SETTING_OURS) {
        int result = set_from_rez(settings, id, error);
        if (result < 0 || settings->values[id].text)
            return result;
    }
    if (id == SETTING_CACHE && (!wanted || settings->rez_defaults))
        return 0;
    return set_built_in(settings, id, error);
}

int settings_complete(struct settings *settings, uint32_t wanted, struct pkgcache_error *ret_error)
{
    int result = 0;
    for (int i = 0; i < SETTING_COUNT && result == 0; i++) {
        result = complete(settings, (enum setting_id)i, wanted & SETTING_BIT(i), ret_error);
        if (i == SETTING_LOCAL && wanted & SETTING_BIT(i) && settings->values[i].number == 0)
            wanted |= SETTING_BIT(SETTING_LOCAL_PATH); /* which path that is matters now */
    }
    return result;
}

void settings_free(struct settings *settings)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        free(settings->values[i].text);
    rezconfig_free(settings->rez);
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
