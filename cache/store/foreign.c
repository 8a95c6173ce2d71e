/* Telling a cache from a repository of packages, whose directories are called the same way. */
#include "cache/store/foreign.h"

#include "cache/json/json.h"
#include "cache/lock/lock_probe.h"
#include "cache/util/names.h"
#include "engine/compiler.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

enum { LEVEL_VERSION = 2 }; /* CACHE/NAME/VERSION: below it, definitions may be parts of payloads */

/* What file systems and file servers put into a directory that is empty. */
static bool is_of_file_system(const char *name)
{
    return strcmp(name, "lost+found") == 0 || strncmp(name, ".nfs", 4) == 0 ||
           strncmp(name, ".snapshot", 9) == 0 || strncmp(name, ".Trash", 6) == 0;
}

/* What another process that makes the same cache has there for a moment, or was killed with. */
static bool is_probe(const char *name)
{
    return strncmp(name, LOCK_PROBE_PREFIX, strlen(LOCK_PROBE_PREFIX)) == 0;
}

int foreign_check_new(int fd, const char *path, struct pkgcache_error *ret_error)
{
    struct names names;
    char quoted[JSON_QUOTE_SIZE];
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        if (!is_of_file_system(name) && !is_probe(name))
            result =
                error_set(ret_error, ENOTEMPTY,
                          "%s is no cache, and becomes none: it contains %s. A new cache needs "
                          "an empty directory, or one that does not exist. If this is a cache "
                          "that lost its directory .sys, make that again: mkdir %s/.sys",
                          path, json_quote_string(name, strlen(name), quoted), path);
    if (result == 0 && names.error < 0)
        result = error_set(ret_error, -names.error, "cache %s: %s", path, strerror(-names.error));
    names_close(&names);
    return result;
}

static bool is_definition(const char *name, unsigned char type)
{
    size_t length = strlen(name);
    return type != DT_DIR && ((length > 3 && strcmp(name + length - 3, ".py") == 0) ||
                              (length > 5 && strcmp(name + length - 5, ".yaml") == 0));
}

static bool find_definition(int fd, int level, char ret_path[static FOREIGN_PATH_MAX])
{
    struct names names;
    bool found = false;
    size_t length = strlen(ret_path);
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && !found && (name = names_next(&names));) {
        if (*name == '.')
            continue;
        snprintf(ret_path + length, FOREIGN_PATH_MAX - length, "%s%s", length ? "/" : "", name);
        found = is_definition(name, names.type);
        if (found || level == LEVEL_VERSION || names.type == DT_REG || names.type == DT_LNK)
            continue;
        CLEANUP_CLOSE int below = names_open_directory(fd, name);
        found = below >= 0 && find_definition(below, level + 1, ret_path);
    }
    names_close(&names);
    return found;
}

bool foreign_find_definition(int fd, char ret_path[static FOREIGN_PATH_MAX])
{
    *ret_path = '\0';
    return find_definition(fd, 0, ret_path);
}
