/* rez-pkg-cache -a and -r: one variant after the other, and the first that fails is the last. */
#include "cache/json/repr.h"
#include "cache/warm/space.h"
#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"
#include "cli/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>

static void announce(const struct rez_program *program, const char *format, const char *uri)
{
    CLEANUP_TEXT struct text quoted = {0};
    repr_append_string(&quoted, uri, strlen(uri));
    rez_message(REZ_INFO, format, quoted.error ? uri : quoted.bytes, program->directory);
}

/* Finds a variant. Returns -1, or an exit code. */
static int find(struct rez_program *program, const char *uri, struct repository_query *ret)
{
    struct pkgcache_error error;
    *ret = (struct repository_query){.uri = uri};
    if (repositories_find(program->repositories, ret, 1, &error) < 0)
        return rez_fail("%s", error.message);
    if (ret->result == -ENOENT || ret->result == -ESRCH || ret->result == -EINVAL) {
        fprintf(stderr, "No such variant: %s\n", uri);
        return EXIT_FAILED;
    }
    if (ret->result == -ENOTSUP)
        return rez_fail("Not cached - variant is a type that does not have a root: %s", uri);
    if (ret->result < 0)
        rez_message(REZ_ERROR, "PackageMetadataError: %s", ret->error.message);
    return ret->result < 0 ? EXIT_FAILED : -1;
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;
    return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

/*
 * Refuses what is not to be cached. The library would refuse the same, but says so in other words,
 * and in another order. Returns -1, or an exit code.
 */
static int refuse(const struct rez_program *program, const struct repository_variant *variant)
{
    const struct pkgcache_options *options = &program->cache->options;
    const char *location = variant->handle->location;
    int package_length = (int)(strrchr(variant->uri, '[') - variant->uri);
    struct stat root;
    if (stat(variant->root, &root) < 0 || !S_ISDIR(root.st_mode))
        return rez_fail("Not cached - variant %s root does not appear on disk: %s", variant->uri,
                        variant->root);
    if (program->arguments.force)
        return -1;
    if (!variant->cachable)
        return rez_fail("Not cached - package is not cachable: %.*s", package_length, variant->uri);
    if (options->local_packages_path && variant->local)
        return rez_fail("Not cached - package is local: %.*s", package_length, variant->uri);
    if (options->refuse_same_device && root.st_dev == program->cache->device)
        return rez_fail("Not cached - variant %s is on same device as cache: %s", variant->uri,
                        variant->root);
    if (is_below(location, options->temporary_path))
        return rez_fail("Not cached - package is in temp repository filesystem@%s", location);
    return -1;
}

/* Whether a variant that another process copies is waited for. Returns 0 or -errno. */
static int waits(const struct rez_program *program, bool *ret, struct pkgcache_error *error)
{
    const struct json *value;
    *ret = program->arguments.mode == REZ_MODE_SYNC;
    if (program->arguments.mode != REZ_MODE_UNSET)
        return 0;
    int result = rezconfig_get(program->config, REZCONFIG_PACKAGE_CACHE_ASYNC, &value, NULL, error);
    *ret = result == 0 && !value->boolean;
    return result;
}

static void say_no_room(const struct rez_program *program)
{
    static const double mebibyte = 1024 * 1024;
    struct space space = {0};
    space_look(program->cache->fd, &space);
    rez_message(REZ_WARNING,
                "Cache no longer accepting new variant due to size limit.\n"
                "Remaining cache free space: %.2fMB is near configured buffer %.2fMB "
                "(config.package_cache_space_buffer).",
                (double)space.free_bytes / mebibyte,
                (double)program->cache->options.space_buffer_bytes / mebibyte);
}

/* Says what became of a variant. @return -1, or an exit code */
static int say_result(const struct rez_program *program, const struct pkgcache_result *result)
{
    CLEANUP_FREE char *root = rez_path(program, result->root ? result->root : "");
    switch (result->status) {
    case PKGCACHE_FOUND:
        rez_message(REZ_INFO, "Already exists: %s", root);
        return -1;
    case PKGCACHE_COPYING:
        rez_message(REZ_WARNING, "Another process is currently copying to: %s", root);
        return -1;
    case PKGCACHE_COPY_STALLED: /* rez says that it was cached */
        rez_message(REZ_WARNING, "Another process has stalled copying to: %s", root);
        return -1;
    case PKGCACHE_SKIPPED:
        say_no_room(program);
        return -1;
    case PKGCACHE_CREATED:
        rez_message(REZ_INFO, "Successfully cached to: %s", root);
        return -1;
    default:
        return rez_fail("%s", result->reason ? result->reason : "");
    }
}

static int say_interrupted(void)
{
    fprintf(stderr, "%s by user\n", signals_received() == SIGTERM ? "Terminated" : "Interrupted");
    return EXIT_FAILED;
}

static int add(struct rez_program *program, const char *uri, bool wait)
{
    struct pkgcache_error error;
    struct pkgcache_result result = {0};
    struct repository_query query;
    announce(program, "Adding variant %s to package cache at %s:", uri);
    int code = find(program, uri, &query);
    if (code < 0)
        code = refuse(program, &query.variant);
    if (code < 0) {
        struct pkgcache_variant variant = {.handle = query.variant.handle,
                                           .root = query.variant.root,
                                           .force = program->arguments.force,
                                           .requires_json = query.variant.requires_json};
        struct pkgcache_warm warm = {.size = sizeof(warm),
                                     .variants = &variant,
                                     .count = 1,
                                     .no_wait = !wait,
                                     .cancel_fd = signals_fd()};
        int done = pkgcache_warm(program->cache, &warm, &result, &error);
        code = done == -ECANCELED ? say_interrupted()
               : done < 0         ? rez_fail("%s", error.message)
                                  : say_result(program, &result);
    }
    pkgcache_results_free(&result, 1);
    repository_variant_free(&query.variant);
    return code;
}

int rez_add(struct rez_program *program)
{
    struct pkgcache_error error;
    bool wait;
    int code = waits(program, &wait, &error) < 0 ? rez_fail_settings(&error) : -1;
    signals_open();
    for (size_t i = 0; i < program->arguments.uri_count && code < 0; i++)
        code = add(program, program->arguments.uris[i], wait);
    return code < 0 ? EXIT_DONE : code;
}

static int remove_one(struct rez_program *program, const char *uri)
{
    struct pkgcache_error error;
    struct repository_query query;
    announce(program, "Removing variant %s from package cache at %s:", uri);
    int code = find(program, uri, &query);
    int status =
        code < 0 ? pkgcache_remove(program->cache, query.variant.handle, &error) : PKGCACHE_FAILED;
    if (status < 0)
        code = rez_fail("%s", error.message);
    else if (status == PKGCACHE_NOT_FOUND)
        rez_message(REZ_ERROR, "No such variant found in cache");
    else if (status == PKGCACHE_COPYING)
        rez_message(REZ_WARNING, "Another process is currently caching this variant");
    else if (status == PKGCACHE_REMOVED)
        rez_message(REZ_INFO, "Variant successfully removed");
    repository_variant_free(&query.variant);
    return code;
}

int rez_remove(struct rez_program *program)
{
    int code = -1;
    for (size_t i = 0; i < program->arguments.uri_count && code < 0; i++)
        code = remove_one(program, program->arguments.uris[i]);
    return code < 0 ? EXIT_DONE : code;
}
