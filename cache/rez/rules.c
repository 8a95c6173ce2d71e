/*
 * How rez's `filesystem` repositories go through directories: src/rezplugins/package_repository/
 * filesystem.py of rez 3.4.0, _get_family_dirs, iter_packages, _get_version_dirs and _get_file.
 */
#include "cache/rez/rules.h"

#include "engine/compiler.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define BUILDING_PREFIX ".building" /* and a version: it is being installed */
#define IGNORE_PREFIX   ".ignore"   /* and a version: rez does not look at it */

static const char *const built_in_names[] = {"package"};
static const char *const endings[] = {".py", ".yaml"};

/* --- reading the settings --- */

static size_t count_values(const struct json *list)
{
    size_t count = 0;
    for (const struct json *one = list->first; one; one = one->next)
        count++;
    return count;
}

/* Takes the paths of a list that are paths. `canonical`: follows their links. */
static int take_paths(const struct json *list, bool canonical, char ***ret, size_t *ret_count)
{
    *ret = calloc(count_values(list) + 1, sizeof(char *));
    if (!*ret)
        return -ENOMEM;
    for (const struct json *one = list->first; one; one = one->next) {
        CLEANUP_FREE char *path = rezconfig_path(one);
        char *resolved = path && canonical ? realpath(path, NULL) : NULL;
        if (resolved)
            (*ret)[(*ret_count)++] = resolved;
        else if (path)
            (*ret)[(*ret_count)++] = STEAL(path);
    }
    return 0;
}

/* What a plugin's settings are wrong in is for rez to say, which has a schema for each. */
static int take_plugin(const struct json *settings, struct rules *rules)
{
    const struct json *names = json_member(settings, "package_filenames");
    const struct json *lock = json_member(settings, "file_lock_dir");
    const struct json *checks = json_member(settings, "check_package_definition_files");
    rules->checks_definitions = checks && checks->type == JSON_BOOLEAN && checks->boolean;
    if (lock && lock->type == JSON_STRING)
        rules->lock_directory = rezconfig_path(lock);
    return names && names->type == JSON_ARRAY
               ? take_paths(names, false, &rules->names, &rules->name_count)
               : 0;
}

int rules_read_names(struct rezconfig *config, struct rules *ret, struct pkgcache_error *ret_error)
{
    const struct json *plugins;
    *ret = (struct rules){0};
    int result = rezconfig_get(config, REZCONFIG_PLUGINS, &plugins, NULL, ret_error);
    if (result < 0)
        return result;
    result =
        take_plugin(json_member(json_member(plugins, "package_repository"), "filesystem"), ret);
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}

int rules_read(struct rezconfig *config, struct rules *ret, struct pkgcache_error *ret_error)
{
    const struct json *paths = NULL;
    const struct json *unversioned = NULL;
    int result = rules_read_names(config, ret, ret_error);
    if (result == 0)
        result = rezconfig_get(config, REZCONFIG_PACKAGES_PATH, &paths, NULL, ret_error);
    if (result == 0)
        result = rezconfig_get(config, REZCONFIG_ALLOW_UNVERSIONED_PACKAGES, &unversioned, NULL,
                               ret_error);
    if (result < 0 || !unversioned)
        return result;
    ret->versions_only = !unversioned->boolean;
    if (take_paths(paths, true, &ret->repositories, &ret->repository_count) < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    return 0;
}

void rules_free(struct rules *rules)
{
    for (size_t i = 0; i < rules->repository_count; i++)
        free(rules->repositories[i]);
    for (size_t i = 0; i < rules->name_count; i++)
        free(rules->names[i]);
    free(rules->repositories);
    free(rules->names);
    free(rules->lock_directory);
    *rules = (struct rules){0};
}

/* --- applying them --- */

bool rules_have_repository(const struct rules *rules, const char *path)
{
    for (size_t i = 0; i < rules->repository_count; i++)
        if (strcmp(rules->repositories[i], path) == 0)
            return true;
    return false;
}

static bool is_file(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static bool find_definition(const char *const *names, size_t count, const char *directory,
                            char **ret_path)
{
    for (size_t i = 0; i < count; i++)
        for (size_t ending = 0; ending < ARRAY_LENGTH(endings); ending++) {
            CLEANUP_FREE char *path = NULL;
            if (asprintf(&path, "%s/%s%s", directory, names[i], endings[ending]) < 0)
                return false;
            if (!is_file(path))
                continue;
            if (ret_path)
                *ret_path = STEAL(path);
            return true;
        }
    return false;
}

bool rules_find_definition(const struct rules *rules, const char *directory, char **ret_path)
{
    if (ret_path)
        *ret_path = NULL;
    return rules->names
               ? find_definition((const char *const *)rules->names, rules->name_count, directory,
                                 ret_path)
               : find_definition(built_in_names, ARRAY_LENGTH(built_in_names), directory, ret_path);
}

/* isalnum() would go by the locale. */
static bool is_word(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '_';
}

/* PACKAGE_NAME_REGEX of src/rez/utils/formatting.py: words with single dots between them. */
bool rules_is_package_name(const char *name)
{
    if (strcmp(name, "__pycache__") == 0)
        return false;
    for (const char *at = name;; at++) {
        if (!is_word(*at))
            return false;
        while (is_word(*at))
            at++;
        if (*at == '\0')
            return true;
        if (*at != '.')
            return false;
    }
}

/* Whether a mark is beside a version: FAMILY/PREFIXVERSION. */
static bool has_mark(const char *family, const char *prefix, const char *version, bool any_kind)
{
    char path[PATH_MAX];
    struct stat status;
    int length = snprintf(path, sizeof(path), "%s/%s%s", family, prefix, version);
    return length < (int)sizeof(path) && stat(path, &status) == 0 &&
           (any_kind || S_ISREG(status.st_mode));
}

/* What rez looks for where it checks that a version is one: not what definitions are called. */
static bool has_literal_definition(const char *family, const char *version)
{
    CLEANUP_FREE char *directory = NULL;
    return asprintf(&directory, "%s/%s", family, version) > 0 &&
           find_definition(built_in_names, ARRAY_LENGTH(built_in_names), directory, NULL);
}

const char *rules_hide(const struct rules *rules, const char *family, const char *version)
{
    if (!version)
        return rules->versions_only
                   ? "rez's allow_unversioned_packages is off, and the package has no version"
                   : NULL;
    if (*version == '.')
        return "rez does not look at names that begin with a dot";
    if (has_mark(family, IGNORE_PREFIX, version, false))
        return "rez does not look at this version: it is marked with a file .ignoreVERSION";
    if (!rules->versions_only && rules_find_definition(rules, family, NULL))
        return "rez does not look at versions of this package: it has a definition outside of them";
    bool checked = rules->checks_definitions || has_mark(family, BUILDING_PREFIX, version, true);
    if (checked && rules->names && !has_literal_definition(family, version))
        return "rez does not look at this version: it looks for a package.py or package.yaml there";
    return NULL;
}
