/* Which value of a setting counts. */
#include "cache/rez/rezconfig.h"

#include "cache/rez/rezconfig_expand.h"
#include "cache/rez/rezconfig_file.h"
#include "cache/rez/rezconfig_merge.h"
#include "cache/util/real.h"

#include <string.h>
#include <strings.h>

enum { FILES_MAX = 256 };

/** What a setting is, once it was asked for. */
struct answer {
    const struct json *value; /* NULL: not known yet */
    const char *origin;
};

struct rezconfig {
    struct values values;
    struct answer answers[REZCONFIG_COUNT];
    struct answer raw[REZCONFIG_COUNT]; /* what the files say, neither checked nor expanded */
    struct rezconfig_file **files;      /* in the order in which they count */
    size_t file_count;
    struct json_document *built_in[REZCONFIG_COUNT];
    bool files_read; /* or they could not be, and this is why: */
    int files_result;
    struct pkgcache_error files_error;
};

static int out_of_memory(struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "out of memory");
}

int rezconfig_new(struct rezconfig **ret)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : -ENOMEM;
}

void rezconfig_free(struct rezconfig *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->file_count; i++)
        rezconfig_file_free(config->files[i]);
    for (int key = 0; key < REZCONFIG_COUNT; key++)
        json_document_free(config->built_in[key]);
    free(config->files);
    values_free(&config->values);
    free(config);
}

static int read_file(struct rezconfig *config, const char *path, struct pkgcache_error *error)
{
    struct rezconfig_file *file = NULL;
    int result = rezconfig_file_read(path, &file, error);
    if (result < 0 || !file)
        return result;
    if (config->file_count == FILES_MAX) {
        rezconfig_file_free(file);
        return error_set(error, EINVAL, "REZ_CONFIG_FILE: more than %d files", FILES_MAX);
    }
    config->files[config->file_count++] = file;
    return 0;
}

static int read_named_files(struct rezconfig *config, struct pkgcache_error *error)
{
    const char *variable = getenv("REZ_CONFIG_FILE");
    CLEANUP_FREE char *paths = strdup(variable ? variable : "");
    char *rest = paths;
    int result = 0;
    if (!paths)
        return out_of_memory(error);
    for (char *path; result == 0 && (path = strsep(&rest, ":"));)
        if (*path)
            result = read_file(config, path, error);
    return result;
}

static int read_home_file(struct rezconfig *config, struct pkgcache_error *error)
{
    static const char *const words[] = {"1", "t", "true"};
    CLEANUP_TEXT struct text path = {0};
    const char *disabled = getenv("REZ_DISABLE_HOME_CONFIG");
    for (size_t i = 0; disabled && i < ARRAY_LENGTH(words); i++)
        if (strcasecmp(disabled, words[i]) == 0)
            return 0;
    rezconfig_append_home(&path);
    text_append_string(&path, "/.rezconfig");
    return path.error ? out_of_memory(error) : read_file(config, path.bytes, error);
}

static int read_files(struct rezconfig *config)
{
    struct pkgcache_error *error = &config->files_error;
    config->files = calloc(FILES_MAX, sizeof(struct rezconfig_file *));
    if (!config->files)
        return out_of_memory(error);
    int result = read_named_files(config, error);
    return result < 0 ? result : read_home_file(config, error);
}

/* What rez itself has built in, as its own file has it. */
static int read_built_in(struct rezconfig *config, enum rezconfig_key key,
                         const struct json **ret_value, struct pkgcache_error *error)
{
    const char *text = rezconfig_table[key].built_in;
    struct json_document **document = &config->built_in[key];
    int result = *document ? 0 : json_parse(text, strlen(text), document, error);
    if (result == 0)
        *ret_value = (*document)->root;
    return result;
}

/* What the files say, on top of what is built in. */
static int find_in_files(struct rezconfig *config, enum rezconfig_key key, struct answer *ret,
                         struct pkgcache_error *error)
{
    static const struct json nothing = {.type = JSON_NULL};
    struct answer *raw = &config->raw[key];
    if (!config->files_read) {
        config->files_result = read_files(config);
        config->files_read = true;
    }
    if (config->files_result < 0) {
        if (error)
            *error = config->files_error;
        return config->files_result;
    }
    int result = 0;
    if (!raw->value) {
        struct answer found = {.origin = REZCONFIG_BUILT_IN};
        size_t first = config->file_count;
        while (first > 0 && !rezconfig_file_replaces(config->files[first - 1], key))
            first--;
        if (first > 0) {
            first--;
            found.value = &nothing;
        } else {
            result = read_built_in(config, key, &found.value, error);
        }
        for (size_t i = first; i < config->file_count && result == 0; i++) {
            struct rezconfig_file *file = config->files[i];
            result =
                rezconfig_file_apply(file, key, found.value, &config->values, &found.value, error);
            if (rezconfig_file_has(file, key))
                found.origin = rezconfig_file_origin(file, key);
        }
        if (result == 0)
            *raw = found;
    }
    *ret = *raw;
    return result;
}

/* What rez's type makes of a value: an empty dict of None, and a number of a truth value. */
static const struct json *convert(const struct rezconfig_setting *setting, const struct json *value,
                                  struct values *values)
{
    if (setting->type == REZCONFIG_OPTIONAL_DICT && value->type == JSON_NULL)
        return values_new(values, JSON_OBJECT);
    if (setting->type == REZCONFIG_INTEGER && value->type == JSON_BOOLEAN)
        return values_new_text(values, JSON_INTEGER, value->boolean ? "1" : "0", 1);
    return value;
}

/* Checks and expands a value. */
static int finish(struct rezconfig *config, enum rezconfig_key key, const struct answer *found,
                  const struct json **ret_value, struct pkgcache_error *error)
{
    const struct rezconfig_setting *setting = &rezconfig_table[key];
    struct pkgcache_error why;
    int result = rezconfig_check(setting, found->value, found->origin, error);
    if (result < 0)
        return result;
    const struct json *value = convert(setting, found->value, &config->values);
    if (!value)
        return out_of_memory(error);
    result = rezconfig_expand(value, &config->values, ret_value, &why);
    if (result == -EINVAL)
        return error_set(error, EINVAL, "Misconfigured setting '%s': %.700s (from %s)",
                         setting->name, why.message, found->origin);
    return result < 0 ? out_of_memory(error) : 0;
}

/* REZ_KEY, else REZ_KEY_JSON. ret->value stays NULL when there is neither. */
static int find_variable(struct rezconfig *config, enum rezconfig_key key, struct answer *ret,
                         struct json_document **ret_document, struct pkgcache_error *error)
{
    const struct rezconfig_setting *setting = &rezconfig_table[key];
    struct pkgcache_error why;
    const char *text = getenv(setting->variable);
    if (text) {
        ret->origin = setting->variable;
        return rezconfig_parse(setting, text, &config->values, &ret->value, error);
    }
    text = getenv(setting->json_variable);
    if (!text)
        return 0;
    int result = json_parse(text, strlen(text), ret_document, &why);
    if (result < 0)
        return error_set(error, result == -ENOMEM ? ENOMEM : EINVAL,
                         "Expected $%s to be JSON-encoded string. It is not: %.600s",
                         setting->json_variable, why.message);
    *ret = (struct answer){(*ret_document)->root, setting->json_variable};
    return 0;
}

/* The directory for temporary files, where rez asks the system. */
static int find_tmpdir(struct rezconfig *config, struct answer *found)
{
    CLEANUP_TEXT struct text path = {0};
    rezconfig_append_tmpdir(&path);
    if (!path.error)
        found->value = values_new_text(&config->values, JSON_STRING, path.bytes, path.length);
    return path.error || !found->value ? -ENOMEM : 0;
}

int rezconfig_get(struct rezconfig *config, enum rezconfig_key key, const struct json **ret_value,
                  const char **ret_origin, struct pkgcache_error *ret_error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct answer *answer = &config->answers[key];
    if (!answer->value) {
        struct answer found = {0};
        int result = find_variable(config, key, &found, &document, ret_error);
        if (result == 0 && !found.value) {
            result = find_in_files(config, key, &found, ret_error);
            if (result == 0 && key == REZCONFIG_TMPDIR && found.value->type == JSON_NULL &&
                find_tmpdir(config, &found) < 0)
                result = out_of_memory(ret_error);
        }
        if (result == 0)
            result = finish(config, key, &found, &found.value, ret_error);
        if (result < 0)
            return result;
        *answer = found;
    }
    *ret_value = answer->value;
    if (ret_origin)
        *ret_origin = answer->origin;
    return 0;
}

int rezconfig_get_for_package(struct rezconfig *config, enum rezconfig_key key,
                              const struct json *package_config, const struct json **ret_value,
                              struct pkgcache_error *ret_error)
{
    struct answer found = {
        .value = json_member(package_config, rezconfig_table[key].name),
        .origin = "the package's config",
    };
    if (!package_config || !found.value)
        return rezconfig_get(config, key, ret_value, NULL, ret_error);
    if (found.value->type == JSON_OBJECT) {
        struct answer below;
        int result = find_in_files(config, key, &below, ret_error);
        if (result < 0)
            return result;
        if (rezconfig_merge(below.value, found.value, &config->values, &found.value) < 0)
            return out_of_memory(ret_error);
    }
    return finish(config, key, &found, ret_value, ret_error);
}
