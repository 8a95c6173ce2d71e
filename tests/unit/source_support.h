/* What the tests of sources and of their stages share: a directory with a repository in it. */
#pragma once

#include "cache/rez/repository.h"
#include "cache/rez/source_variants.h"
#include "engine/copyengine.h"
#include "tests/unit/place.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define HANDLE(location, name, version, index)                                    \
    "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"" location \
    "\", \"name\": \"" name "\", \"version\": \"" version "\", \"index\": " index \
    ", \"repository_type\": \"filesystem\"}}"

static char directory[PATH_MAX]; /* all that a test makes is in it */
static struct rezconfig *config;
static struct repositories *repositories;
static struct pkgcache_error error;

static inline void set_up(void)
{
    char made[PLACE_BYTES];
    cr_assert(place_make(made) && realpath(made, directory));
    setenv("REZ_DISABLE_HOME_CONFIG", "1", true);
    setenv("PKGCACHE_REZ_PYTHON", "", true);
    unsetenv("REZ_CONFIG_FILE");
    cr_assert(rezconfig_new(&config) == 0);
    cr_assert(repositories_new(config, &repositories) == 0);
}

static inline void tear_down(void)
{
    repositories_free(repositories);
    rezconfig_free(config);
    cr_expect(copyengine_remove_tree(NULL, AT_FDCWD, directory, NULL) == 0);
}

/* A path in the directory; freed by the caller. */
static inline char *path_of(const char *name)
{
    char *path;
    cr_assert(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

/* Makes a file, and the directories that it is in. Returns its path. */
static inline char *write_file(const char *name, const char *text)
{
    char *path = path_of(name);
    for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        cr_assert(mkdir(path, 0777) == 0 || errno == EEXIST);
        *slash = '/';
    }
    CLEANUP_FCLOSE FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0);
    return path;
}

/* Makes a package without variants in repo/, with a payload. */
static inline void make_package(const char *name, const char *version, const char *more)
{
    char definition[512];
    char file[256];
    snprintf(definition, sizeof(definition), "name = '%s'\n%s\n", name, more);
    snprintf(file, sizeof(file), "repo/%s/%s/package.py", name, version);
    free(write_file(file, definition));
    snprintf(file, sizeof(file), "repo/%s/%s/payload", name, version);
    free(write_file(file, "payload"));
}

/* The URI of such a package. */
static inline char *uri_of(const char *name, const char *version)
{
    char *uri;
    cr_assert(asprintf(&uri, "%s/repo/%s/%s/package.py[]", directory, name, version) > 0);
    return uri;
}

/* Adds a variant in repo/ to a list. */
static inline struct source_variant *add(struct source_variants *variants, const char *name,
                                         int32_t index)
{
    CLEANUP_FREE char *location = path_of("repo");
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    cr_assert(handle_create(location, name, "1.0", index, &handle, &error) == 0);
    cr_assert(source_variants_add_handle(variants, handle, name) == 0);
    return &variants->items[variants->count - 1];
}

static inline struct pkgcache *open_cache(void)
{
    struct pkgcache *cache;
    CLEANUP_FREE char *path = path_of("cache");
    const struct pkgcache_options options = {.size = sizeof(options),
                                             .durability = PKGCACHE_DURABILITY_NONE};
    cr_assert(pkgcache_open(path, &options, true, &cache, &error) == 0, "%s", error.message);
    return cache;
}

static inline void expect_text(const char *text, const char *expected)
{
    cr_expect(text && strcmp(text, expected) == 0, "%s, not %s", text, expected);
}

static inline void expect_within(const char *text, const char *part)
{
    cr_expect(text && strstr(text, part), "%s: there is no %s in it", text, part);
}
