/*
 * Finds out what a directory is, by a vote of what is in it. Each subdirectory may say something:
 * one with versions below it, or with a definition of its own name, that it is a package, so this a
 * repository; one with a definition of this directory's name, or of its own version, that it is a
 * version. The definition in the directory itself counts only if these are silent.
 */
#include "cache/rez/repository_kind.h"

#include "cache/rez/definition.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

enum {
    LEAD_MAX = 5, /* so far ahead, it is decided: a repository may have thousands of packages */
    CHILDREN_MAX = 64, /* of one subdirectory are looked at */
};

static const char *base_of(const char *path)
{
    return strrchr(path, '/') + 1;
}

static bool is_called(const char *text, const char *name)
{
    return text && strcmp(text, name) == 0;
}

static char *parent_of(const char *path)
{
    size_t length = (size_t)(base_of(path) - 1 - path);
    return length > 0 ? strndup(path, length) : strdup("/");
}

/* --- what packages_path says --- */

/* Whether the repository is known that a directory is, or is in: then *ret is what it is. */
static bool find_known(const struct rules *rules, const char *directory, enum repository_kind *ret)
{
    static const enum repository_kind kinds[] = {REPOSITORY_WHOLE, REPOSITORY_PACKAGE,
                                                 REPOSITORY_VERSION};
    CLEANUP_FREE char *path = strdup(directory);
    for (size_t i = 0; path && i < ARRAY_LENGTH(kinds); i++) {
        *ret = kinds[i];
        if (rules_have_repository(rules, path))
            return true;
        char *above = parent_of(path);
        free(path);
        path = above;
    }
    return false;
}

/* --- what is in it --- */

static bool may_be_directory(const struct names *names)
{
    return names->type == DT_DIR || names->type == DT_LNK || names->type == DT_UNKNOWN;
}

/* Whether one of the directories in a directory has a definition. */
static bool has_versions(const struct rules *rules, const char *directory)
{
    struct names names;
    bool found = false;
    size_t seen = 0;
    CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    names_borrow(&names, fd);
    for (const char *name; !found && seen < CHILDREN_MAX && (name = names_next(&names));) {
        CLEANUP_FREE char *path = NULL;
        if (*name == '.' || !may_be_directory(&names) ||
            asprintf(&path, "%s/%s", directory, name) < 0)
            continue;
        seen++;
        found = rules_find_definition(rules, path, NULL);
    }
    names_close(&names);
    return found;
}

/* What one subdirectory says: 1: this is a repository; -1: a package, and that a version; 0:
 * nothing.
 */
static int ask_child(const struct rules *rules, const char *directory, const char *name)
{
    CLEANUP_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, name) < 0)
        return 0;
    bool package = rules_is_package_name(name);
    if (!rules_find_definition(rules, path, NULL))
        return package && has_versions(rules, path);
    struct definition *definition = definition_peek(rules, path);
    const char *called = definition ? definition->name : NULL;
    bool is_version = definition && is_called(definition->version, name);
    bool is_package = package && is_called(called, name);
    /* its name, or a number where there is none, is that of a version */
    bool may_be_version =
        called ? is_called(called, base_of(directory)) : *name >= '0' && *name <= '9';
    int says = is_version ? -1 : is_package ? 1 : -may_be_version;
    definition_free(definition);
    return says;
}

/* More than 0: a repository; less: a package with versions. */
static int ask_children(const struct rules *rules, const char *directory)
{
    struct names names;
    int votes = 0;
    CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    names_borrow(&names, fd);
    for (const char *name; abs(votes) < LEAD_MAX && (name = names_next(&names));)
        if (*name != '.' && may_be_directory(&names))
            votes += ask_child(rules, directory, name);
    names_close(&names);
    return votes;
}

/* Of a directory with a definition: what that is the definition of. */
static enum repository_kind ask_definition(const struct rules *rules, const char *directory)
{
    const char *base = base_of(directory);
    CLEANUP_FREE char *parent = parent_of(directory);
    struct definition *definition = definition_peek(rules, directory);
    bool versioned = *base >= '0' && *base <= '9';
    if (definition && parent) {
        bool own_name = is_called(definition->name, base);
        bool parent_name = is_called(definition->name, base_of(parent));
        if (own_name != parent_name)
            versioned = parent_name;
        else if (definition->version)
            versioned = is_called(definition->version, base);
    }
    definition_free(definition);
    return versioned ? REPOSITORY_VERSION : REPOSITORY_PACKAGE;
}

enum repository_kind repository_kind_find(const struct rules *rules, const char *directory)
{
    enum repository_kind kind;
    if (find_known(rules, directory, &kind))
        return kind;
    if (strcmp(directory, "/") == 0)
        return REPOSITORY_WHOLE;
    bool defined = rules_find_definition(rules, directory, NULL);
    int votes = ask_children(rules, directory);
    if (votes > 0)
        return REPOSITORY_WHOLE;
    if (defined)
        return ask_definition(rules, directory);
    return votes < 0 ? REPOSITORY_PACKAGE : REPOSITORY_WHOLE;
}
