/* Where the values of settings come from, and what they may be. */
#include "cache/rez/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

static const char *const yes_no[] = {"no", "yes"};

/* The order of choices is that of the enumerations which settings_cache_options casts them to. */
_Static_assert(COPYENGINE_RING == 1 && COPYENGINE_THREADS == 2, "see backends");
_Static_assert(PKGCACHE_DURABILITY_EACH == 1 && PKGCACHE_DURABILITY_NONE == 2, "see durabilities");
_Static_assert(COPYENGINE_SYMLINKS_PRESERVE == 1 && COPYENGINE_SYMLINKS_FOLLOW == 2,
               "see symlinks");

#define BYTES_EXPECTED "a number of bytes below 8388608T, such as 500M (B, K, M, G or T)"
#define SHARE_EXPECTED \
    "a percentage of the disk from 1% to 100%, or a number of bytes with B, K, M, G or T"

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

/* Passes over B, K, KiB, M, ... in either case. Returns the factor; 1, without passing over
 * anything, for what is no unit. */
static uint64_t parse_unit(char **text)
{
    static const char units[] = "BKMGT";
    const char *unit = strchr(units, toupper((unsigned char)**text));
    if (!unit)
        return 1;
    *text += unit > units && strncasecmp(*text + 1, "ib", 2) == 0 ? 3 : 1;
    return 1ULL << (10 * (unit - units));
}

static int parse_number(const struct setting *setting, const char *text, const char *origin,
                        uint64_t *ret, struct pkgcache_error *error)
{
    char expected[128];
    char *end;
    bool bytes = setting->type != SETTING_NUMBER;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    bool valid = isdigit((unsigned char)*text) && errno == 0;
    if (bytes && *end)
        valid = valid && !__builtin_mul_overflow(number, parse_unit(&end), &number);
    if (valid && *end == '\0' && number >= setting->minimum && number <= setting->maximum) {
        *ret = number;
        return 0;
    }
    if (setting->type == SETTING_SHARE)
        return refuse(setting, text, origin, SHARE_EXPECTED, error);
    if (bytes)
        return refuse(setting, text, origin, BYTES_EXPECTED, error);
    snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, setting->minimum,
             setting->maximum);
    return refuse(setting, text, origin, expected, error);
}

/* Bytes with a unit, or a number from 1 to 100 and a percent sign. Who means the one is not to get
 * the other: a bare number is refused, but for 0. */
static int parse_share(const struct setting *setting, const char *text, const char *origin,
                       struct setting_value *ret, struct pkgcache_error *error)
{
    char *end;
    size_t length = strlen(text);
    ret->percent = length > 0 && text[length - 1] == '%';
    if (strcmp(text, "0") != 0 && length > 0 && text[strspn(text, "0123456789")] == '\0')
        return refuse(setting, text, origin,
                      "a size with a unit: write % (of the disk), B, K, M, G or T behind it",
                      error);
    if (!ret->percent)
        return parse_number(setting, text, origin, &ret->number, error);
    ret->number = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end == '%' && end[1] == '\0' && ret->number >= 1 &&
        ret->number <= 100)
        return 0;
    return refuse(setting, text, origin, SHARE_EXPECTED, error);
}

int settings_set(struct settings *settings, enum setting_id id, const char *text,
                 const char *origin, struct pkgcache_error *ret_error)
{
    const struct setting *setting = &settings_table[id];
    struct setting_value value = {.origin = origin};
    int result = 0;
    switch (setting->type) {
    case SETTING_PATH:
        if (!*text && strcmp(origin, SETTINGS_BUILT_IN) != 0)
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

/* Appends the paths of a list, with colons between them. Returns 0 or -errno. */
static int join_paths(const struct json *list, struct text *text)
{
    for (const struct json *element = list->first; element; element = element->next) {
        CLEANUP_FREE char *path = rezconfig_path(element);
        if (!path)
            return -EILSEQ;
        text_append_string(text, text->length ? ":" : "");
        text_append_string(text, path);
    }
    return text->error;
}

/* What a value of rez's is in ours; *ret_text is allocated, or NULL: nothing. Numbers that are
 * beyond our range mean what its end means. */
static int convert_rez(const struct setting *setting, const struct json *value, char **ret_text)
{
    int64_t number;
    CLEANUP_TEXT struct text paths = {0};
    switch (value->type) {
    case JSON_ARRAY: {
        int result = join_paths(value, &paths);
        return result == 0 && paths.length > 0 ? text_steal(&paths, ret_text, NULL) : result;
    }
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

/* Takes what was written for us, or notes what is wrong with it. */
static int set_from_us(struct settings *settings, enum setting_id id, const char *text,
                       const char *origin, struct pkgcache_error *error)
{
    struct pkgcache_error why;
    int result = settings_set(settings, id, text, origin, &why);
    if (result == 0)
        return 0;
    if (result != -EINVAL || !settings->lenient)
        return error_set(error, -result, "%s", why.message);
    const char *what = strstr(why.message, "): "); /* "--NAME (from ORIGIN): WHAT" */
    return settings_problems_add(&settings->problems, true, origin,
                                 what ? what + strlen("): ") : why.message);
}

/* What our variable says, or else our files. */
static int complete_from_us(struct settings *settings, enum setting_id id,
                            struct pkgcache_error *error)
{
    const char *variable = settings_table[id].variable;
    const char *text = getenv(variable);
    int result = 0;
    if (id == SETTING_CACHE && settings->rez_defaults)
        return 0;
    if (text && *text)
        result = set_from_us(settings, id, text, variable, error);
    for (int i = 0; i < SETTINGS_FILE_COUNT && result == 0 && !settings->values[id].text; i++) {
        const struct setting_value *value = &settings->files->sources[i].values[id];
        if (value->text)
            result = set_from_us(settings, id, value->text, value->origin, error);
    }
    return result;
}

static int complete(struct settings *settings, enum setting_id id, bool wanted,
                    struct pkgcache_error *error)
{
    const struct setting *setting = &settings_table[id];
    if (settings->values[id].text)
        return 0;
    int set = complete_from_us(settings, id, error);
    if (set < 0 || settings->values[id].text)
        return set;
    if (wanted && setting->rez != SETTING_OURS) {
        int result = set_from_rez(settings, id, error);
        if (result < 0 || settings->values[id].text)
            return result;
    }
    if (id == SETTING_CACHE && (!wanted || settings->rez_defaults))
        return 0;
    return set_built_in(settings, id, error);
}

/* Reads our files, unless that was done. */
static int read_files(struct settings *settings, struct pkgcache_error *error)
{
    struct settings_problems *problems = &settings->problems;
    if (settings->files)
        return 0;
    if (settings_files_read(&settings->files, problems) < 0 ||
        settings_files_find_unknown_variables(problems) < 0)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < problems->count && !settings->lenient; i++)
        if (problems->items[i].fatal)
            return error_set(error, EINVAL, "%s: %s", problems->items[i].where,
                             problems->items[i].what);
    return 0;
}

int settings_complete(struct settings *settings, uint32_t wanted, struct pkgcache_error *ret_error)
{
    int result = read_files(settings, ret_error);
    for (int i = 0; i < SETTING_COUNT && result == 0; i++) {
        result = complete(settings, (enum setting_id)i, wanted & SETTING_BIT(i), ret_error);
        if (i == SETTING_LOCAL && wanted & SETTING_BIT(i) && settings->values[i].number == 0)
            wanted |= SETTING_BIT(SETTING_LOCAL_PATH); /* which path that is matters now */
        if (i == SETTING_CLIENTS && wanted & SETTING_BIT(i) && result == 0 &&
            strcmp(settings->values[i].text, settings_table[i].built_in) != 0)
            wanted |= SETTING_BIT(SETTING_REPOSITORIES); /* what they may name matters now */
    }
    return result;
}

void settings_free(struct settings *settings)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        free(settings->values[i].text);
    rezconfig_free(settings->rez);
    settings_files_free(settings->files);
    settings_problems_free(&settings->problems);
    *settings = (struct settings){0};
}

/* Each is judged by itself, in settings that nobody uses. */
static int check_value(struct settings *settings, enum setting_id id, const char *text,
                       const char *origin)
{
    int result = text && *text ? set_from_us(settings, id, text, origin, NULL) : 0;
    free(settings->values[id].text);
    settings->values[id] = (struct setting_value){0};
    return result;
}

int settings_check(struct settings_problems *ret)
{
    struct settings settings = {.lenient = true};
    int result = read_files(&settings, NULL);
    for (int id = 0; id < SETTING_COUNT && result == 0; id++) {
        const char *variable = settings_table[id].variable;
        result = check_value(&settings, (enum setting_id)id, getenv(variable), variable);
        for (int i = 0; i < SETTINGS_FILE_COUNT && result == 0; i++) {
            const struct setting_value *value = &settings.files->sources[i].values[id];
            result = check_value(&settings, (enum setting_id)id, value->text, value->origin);
        }
    }
    for (int i = 0; i < SETTINGS_FILE_COUNT && result == 0; i++) {
        const struct settings_source *source = &settings.files->sources[i];
        for (size_t k = 0; k < source->earlier_count && result == 0; k++)
            result = check_value(&settings, source->earlier[k].id, source->earlier[k].text,
                                 source->earlier[k].origin);
    }
    *ret = settings.problems;
    settings.problems = (struct settings_problems){0};
    settings_free(&settings);
    return result;
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
        .no_reuse = values[SETTING_REUSE].number == 0,
        .no_manifests = values[SETTING_MANIFESTS].number == 0,
        .refuse_same_device = values[SETTING_SAME_DEVICE].number == 0,
        .local_packages_path =
            values[SETTING_LOCAL].number == 0 ? values[SETTING_LOCAL_PATH].text : NULL,
        .space_buffer_bytes = values[SETTING_SPACE_BUFFER].number,
        .used_threshold_percent = (unsigned)values[SETTING_USED_THRESHOLD].number,
        .own_only = values[SETTING_TRUST].number == 1,
    };
}
