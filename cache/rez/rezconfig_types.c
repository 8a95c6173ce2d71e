/* Types of rez's settings. The order of tests, and the words, are rez's: see rez/config.py. */
#include "cache/rez/rezconfig_types.h"

#include "cache/json/repr.h"
#include "cache/util/real.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { QUOTE_SIZE = 320 }; /* bytes of a value in a message */

#define SETTING(KEY, name, type, built_in) \
    [REZCONFIG_##KEY] = {name, "REZ_" #KEY, "REZ_" #KEY "_JSON", type, built_in}

const struct rezconfig_setting rezconfig_table[REZCONFIG_COUNT] = {
    SETTING(CACHE_PACKAGES_PATH, "cache_packages_path", REZCONFIG_OPTIONAL_STRING, "null"),
    SETTING(PACKAGE_CACHE_MAX_VARIANT_DAYS, "package_cache_max_variant_days", REZCONFIG_INTEGER,
            "30"),
    SETTING(PACKAGE_CACHE_CLEAN_LIMIT, "package_cache_clean_limit", REZCONFIG_REAL, "0.5"),
    SETTING(PACKAGE_CACHE_LOG_DAYS, "package_cache_log_days", REZCONFIG_INTEGER, "7"),
    SETTING(PACKAGE_CACHE_SPACE_BUFFER, "package_cache_space_buffer", REZCONFIG_INTEGER,
            "104857600"),
    SETTING(PACKAGE_CACHE_USED_THRESHOLD, "package_cache_used_threshold", REZCONFIG_INTEGER, "80"),
    SETTING(PACKAGE_CACHE_ASYNC, "package_cache_async", REZCONFIG_BOOLEAN, "true"),
    SETTING(READ_PACKAGE_CACHE, "read_package_cache", REZCONFIG_BOOLEAN, "true"),
    SETTING(WRITE_PACKAGE_CACHE, "write_package_cache", REZCONFIG_BOOLEAN, "true"),
    SETTING(PACKAGE_CACHE_DURING_BUILD, "package_cache_during_build", REZCONFIG_BOOLEAN, "false"),
    SETTING(PACKAGE_CACHE_LOCAL, "package_cache_local", REZCONFIG_BOOLEAN, "false"),
    SETTING(PACKAGE_CACHE_SAME_DEVICE, "package_cache_same_device", REZCONFIG_BOOLEAN, "false"),
    SETTING(DEFAULT_CACHABLE, "default_cachable", REZCONFIG_OPTIONAL_BOOLEAN, "false"),
    SETTING(DEFAULT_CACHABLE_PER_PACKAGE, "default_cachable_per_package", REZCONFIG_OPTIONAL_DICT,
            "null"),
    SETTING(DEFAULT_CACHABLE_PER_REPOSITORY, "default_cachable_per_repository",
            REZCONFIG_OPTIONAL_DICT, "null"),
    SETTING(DEFAULT_RELOCATABLE, "default_relocatable", REZCONFIG_BOOLEAN, "true"),
    SETTING(DEFAULT_RELOCATABLE_PER_PACKAGE, "default_relocatable_per_package",
            REZCONFIG_OPTIONAL_DICT, "null"),
    SETTING(DEFAULT_RELOCATABLE_PER_REPOSITORY, "default_relocatable_per_repository",
            REZCONFIG_OPTIONAL_DICT, "null"),
    SETTING(PACKAGES_PATH, "packages_path", REZCONFIG_PATHS,
            "[\"~/packages\", \"~/.rez/packages/int\", \"~/.rez/packages/ext\"]"),
    SETTING(LOCAL_PACKAGES_PATH, "local_packages_path", REZCONFIG_STRING, "\"~/packages\""),
    SETTING(TMPDIR, "tmpdir", REZCONFIG_OPTIONAL_STRING, "null"),
    SETTING(ALLOW_UNVERSIONED_PACKAGES, "allow_unversioned_packages", REZCONFIG_BOOLEAN, "true"),
    [REZCONFIG_PLUGINS] = {"plugins", "", "", REZCONFIG_OPTIONAL_DICT, "{}"},
};

const char *rezconfig_name(enum rezconfig_key key)
{
    return rezconfig_table[key].name;
}

const char *rezconfig_variable(enum rezconfig_key key)
{
    return rezconfig_table[key].variable;
}

static size_t skip_digits(const char *text, size_t i)
{
    while (isdigit((unsigned char)text[i]))
        i++;
    return i;
}

/*
 * Takes from a text what Python's int() and float() do not look at: blanks around it, and single
 * underscores between digits. Digits and blanks of other scripts, which Python reads, are refused.
 * Returns an allocated text, NULL without memory.
 */
static char *tidy_number(const char *text, size_t length)
{
    while (length > 0 && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    char *tidy = calloc(1, length + 1);
    if (!tidy)
        return NULL;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        bool between = text[i] == '_' && i > 0 && i + 1 < length &&
                       isdigit((unsigned char)text[i - 1]) && isdigit((unsigned char)text[i + 1]);
        if (!between)
            tidy[used++] = text[i];
    }
    return tidy;
}

/* int(text). Returns 0, -EINVAL or -ENOMEM. */
static int parse_integer(const char *text, size_t length, struct values *values,
                         struct json **ret_value)
{
    CLEANUP_FREE char *tidy = tidy_number(text, length);
    if (!tidy)
        return -ENOMEM;
    const char *digits = tidy + (*tidy == '-' || *tidy == '+');
    size_t count = skip_digits(digits, 0);
    if (count == 0 || count > JSON_MAX_INTEGER_DIGITS || digits[count] != '\0')
        return -EINVAL;
    size_t zeros = MIN(strspn(digits, "0"), count - 1);
    char *number = (char *)digits + zeros;
    if (*tidy == '-' && strcmp(number, "0") != 0)
        *--number = '-'; /* over the sign, or the last of the zeros */
    *ret_value = values_new_text(values, JSON_INTEGER, number, strlen(number));
    return *ret_value ? 0 : -ENOMEM;
}

/* Whether a text is a number in the grammar of Python's float(): 1, 1., .5, 1e-5. */
static bool is_decimal(const char *text)
{
    size_t whole = skip_digits(text, 0);
    size_t end = text[whole] == '.' ? skip_digits(text, whole + 1) : whole;
    if (whole == 0 && end <= 1)
        return false;
    if (text[end] == 'e' || text[end] == 'E') {
        size_t digits = end + 1 + (text[end + 1] == '-' || text[end + 1] == '+');
        end = skip_digits(text, digits);
        if (end == digits)
            return false;
    }
    return text[end] == '\0';
}

/* float(text). Returns 0, -EINVAL or -ENOMEM. */
static int parse_real(const char *text, size_t length, struct values *values,
                      struct json **ret_value)
{
    CLEANUP_FREE char *tidy = tidy_number(text, length);
    CLEANUP_TEXT struct text repr = {0};
    double value;
    if (!tidy)
        return -ENOMEM;
    const char *number = tidy + (*tidy == '-' || *tidy == '+');
    bool infinite = strcasecmp(number, "inf") == 0 || strcasecmp(number, "infinity") == 0;
    if (is_decimal(number)) {
        int result = real_parse(*tidy == '+' ? number : tidy, &value);
        if (result == 0)
            real_append(&repr, value);
        else if (result != -ERANGE)
            return result;
        infinite = result == -ERANGE;
    } else if (strcasecmp(number, "nan") == 0) {
        text_append_string(&repr, "nan");
    } else if (!infinite) {
        return -EINVAL;
    }
    if (infinite)
        text_append_string(&repr, *tidy == '-' ? "-inf" : "inf");
    if (repr.error)
        return repr.error;
    *ret_value = values_new_text(values, JSON_REAL, repr.bytes, repr.length);
    return *ret_value ? 0 : -ENOMEM;
}

/* Returns 0, -EINVAL or -ENOMEM. */
static int parse_boolean(const char *text, struct values *values, struct json **ret_value)
{
    static const char *const words[][2] = {{"0", "1"},    {"false", "true"}, {"f", "t"},
                                           {"no", "yes"}, {"n", "y"},        {"off", "on"}};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        for (int truth = 0; truth < 2; truth++) {
            if (strcasecmp(text, words[i][truth]) != 0)
                continue;
            *ret_value = values_new(values, JSON_BOOLEAN);
            if (!*ret_value)
                return -ENOMEM;
            (*ret_value)->boolean = truth;
            return 0;
        }
    return -EINVAL;
}

/* A string of the environment, as Python decodes it. NULL without memory. */
static struct json *new_string(struct values *values, const char *bytes, size_t length)
{
    CLEANUP_TEXT struct text text = {0};
    utf8_append_path(&text, bytes, length);
    return text.error
               ? NULL
               : values_new_text(values, JSON_STRING, text.bytes ? text.bytes : "", text.length);
}

/* Paths with colons between them; empty ones do not count. Returns 0 or -ENOMEM. */
static int parse_paths(const char *text, struct values *values, struct json **ret_value)
{
    struct json *list = values_new(values, JSON_ARRAY);
    if (!list)
        return -ENOMEM;
    struct json **end = (struct json **)&list->first;
    for (const char *at = text; *at;) {
        size_t length = strcspn(at, ":");
        if (length > 0) {
            *end = new_string(values, at, length);
            if (!*end)
                return -ENOMEM;
            end = &(*end)->next;
        }
        at += length + (at[length] == ':');
    }
    *ret_value = list;
    return 0;
}

/* One KEY:VALUE. The value is a number if it can be one. Returns 0, -EINVAL or -ENOMEM. */
static int parse_member(const char *text, size_t length, struct values *values, struct json **ret)
{
    const char *colon = memchr(text, ':', length);
    if (!colon)
        return -EINVAL;
    const char *value = colon + 1;
    size_t value_length = (size_t)(text + length - value);
    int result = parse_integer(value, value_length, values, ret);
    if (result == -EINVAL)
        result = parse_real(value, value_length, values, ret);
    if (result == -EINVAL) {
        *ret = new_string(values, value, value_length);
        result = *ret ? 0 : -ENOMEM;
    }
    const struct json *key = result == 0 ? new_string(values, text, (size_t)(colon - text)) : NULL;
    if (!key)
        return -ENOMEM;
    (*ret)->key = key->text;
    (*ret)->key_length = key->text_length;
    return 0;
}

static bool has_key(const struct json *member, const struct json *other)
{
    return member->key_length == other->key_length &&
           memcmp(member->key, other->key, other->key_length) == 0;
}

/* Puts a member in an object, in the place of one with the same name. */
static void put_member(struct json *object, struct json *member)
{
    struct json **place = (struct json **)&object->first;
    while (*place && !has_key(*place, member))
        place = &(*place)->next;
    if (*place)
        member->next = (*place)->next;
    *place = member;
}

/* K1:V1,K2:V2. Returns 0, -EINVAL or -ENOMEM. */
static int parse_dict(const char *text, struct values *values, struct json **ret_value)
{
    struct json *object = values_new(values, JSON_OBJECT);
    int result = object ? 0 : -ENOMEM;
    for (const char *at = text; at && result == 0;) {
        struct json *member;
        size_t length = strcspn(at, ",");
        result = parse_member(at, length, values, &member);
        if (result == 0)
            put_member(object, member);
        at = at[length] ? at + length + 1 : NULL;
    }
    *ret_value = object;
    return result;
}

/* A value for a message, as Python's repr has it, which is safe for a terminal. */
static const char *quote(const struct json *value, char ret_buffer[static QUOTE_SIZE])
{
    struct text text = text_over(ret_buffer, QUOTE_SIZE);
    repr_append(&text, value);
    return json_shorten(&text);
}

static const char *quote_string(const char *string, char ret_buffer[static QUOTE_SIZE])
{
    struct text text = text_over(ret_buffer, QUOTE_SIZE);
    repr_append_string(&text, string, strlen(string));
    return json_shorten(&text);
}

static bool is_plain(const char *text)
{
    while (*text >= ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

static int refuse(const struct rezconfig_setting *setting, const char *text,
                  struct pkgcache_error *error)
{
    char quoted[QUOTE_SIZE];
    quote_string(text, quoted);
    switch (setting->type) {
    case REZCONFIG_INTEGER:
        return error_set(error, EINVAL, "Expected %s to be an integer: it is %s", setting->variable,
                         quoted);
    case REZCONFIG_REAL:
        return error_set(error, EINVAL, "Expected %s to be a float: it is %s", setting->variable,
                         quoted);
    case REZCONFIG_OPTIONAL_DICT:
        return error_set(error, EINVAL,
                         "Expected dict string in form 'k1:v1,k2:v2,...kN:vN': %.200s (from %s)",
                         is_plain(text) ? text : quoted, setting->variable);
    default:
        return error_set(error, EINVAL,
                         "Expected $%s to be one of: 0, 1, f, false, n, no, off, on, t, true, y, "
                         "yes; it is %s",
                         setting->variable, quoted);
    }
}

int rezconfig_parse(const struct rezconfig_setting *setting, const char *text,
                    struct values *values, const struct json **ret_value,
                    struct pkgcache_error *ret_error)
{
    struct json *value = NULL;
    size_t length = strlen(text);
    int result = 0;
    switch (setting->type) {
    case REZCONFIG_STRING:
    case REZCONFIG_OPTIONAL_STRING:
        value = new_string(values, text, length);
        result = value ? 0 : -ENOMEM;
        break;
    case REZCONFIG_PATHS:
        result = parse_paths(text, values, &value);
        break;
    case REZCONFIG_INTEGER:
        result = parse_integer(text, length, values, &value);
        break;
    case REZCONFIG_REAL:
        result = parse_real(text, length, values, &value);
        break;
    case REZCONFIG_BOOLEAN:
    case REZCONFIG_OPTIONAL_BOOLEAN:
        result = parse_boolean(text, values, &value);
        break;
    case REZCONFIG_OPTIONAL_DICT:
        result = parse_dict(text, values, &value);
        break;
    }
    *ret_value = value;
    if (result == -EINVAL)
        return refuse(setting, text, ret_error);
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}

/* What Python calls a type, and what rez's schema of it prints before it says what is wrong: that
 * of a setting which may be None. */
static const struct {
    const char *name;
    enum json_type type;
    bool optional;
    const char *schema;
} types[] = {
    [REZCONFIG_STRING] = {"str", JSON_STRING, false, NULL},
    [REZCONFIG_OPTIONAL_STRING] = {"str", JSON_STRING, true, "Or(None, <class 'str'>)"},
    [REZCONFIG_PATHS] = {"list", JSON_ARRAY, false, NULL},
    [REZCONFIG_INTEGER] = {"int", JSON_INTEGER, false, NULL},
    [REZCONFIG_REAL] = {"float", JSON_REAL, false, NULL},
    [REZCONFIG_BOOLEAN] = {"bool", JSON_BOOLEAN, false, NULL},
    [REZCONFIG_OPTIONAL_BOOLEAN] = {"bool", JSON_BOOLEAN, true, "Or(None, Schema(<class 'bool'>))"},
    [REZCONFIG_OPTIONAL_DICT] = {"dict", JSON_OBJECT, true,
                                 "Or(And(None, Use(<function OptionalDict.<lambda>>)), "
                                 "<class 'dict'>)"},
};

static int refuse_type(const struct rezconfig_setting *setting, const struct json *value,
                       const char *schema, const char *type, const char *origin,
                       struct pkgcache_error *error)
{
    char quoted[QUOTE_SIZE];
    quote(value, quoted);
    return error_set(error, EINVAL,
                     "Misconfigured setting '%s': %s%s%s%s%s should be instance of <class '%s'> "
                     "(from %s)",
                     setting->name, schema ? schema : "", schema ? " did not validate " : "",
                     schema ? quoted : "", schema ? ": " : "", quoted, type, origin);
}

int rezconfig_check(const struct rezconfig_setting *setting, const struct json *value,
                    const char *origin, struct pkgcache_error *ret_error)
{
    const char *name = types[setting->type].name;
    bool none = value->type == JSON_NULL && types[setting->type].optional;
    bool truth = value->type == JSON_BOOLEAN && setting->type == REZCONFIG_INTEGER; /* Python */
    if (value->type != types[setting->type].type && !none && !truth)
        return refuse_type(setting, value, types[setting->type].schema, name, origin, ret_error);
    if (setting->type != REZCONFIG_PATHS)
        return 0;
    for (const struct json *path = value->first; path; path = path->next)
        if (path->type != JSON_STRING)
            return refuse_type(setting, path, "Or(<class 'str'>)", "str", origin, ret_error);
    return 0;
}
