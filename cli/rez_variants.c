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

static void say_unknown(const char *uri)
{
    CLEANUP_TEXT struct text text = {0};
    text_printf(&text, "No such variant: %s", uri);
    if (text.error == 0)
        rez_print_line(stderr, REZ_PLAIN, text.bytes);
}

/* Finds a variant, cached or not. Returns NULL if there is none. ret_code: -1, or an exit code. */
static const struct source_variant *find_variant(struct rez_program *program, const char *uri,
                                                 int *ret_code)
{
    struct sources *sources = &program->sources;
    struct pkgcache_error error;
    sources_clear(sources);
    int result = source_names_add_uri(&sources->names, uri) < 0
                     ? error_set(&error, ENOMEM, "out of memory")
                     : sources_find_handles(sources, &error);
    if (result == 0)
        result = sources_find_roots(sources, NULL, &error);
    if (result < 0) {
        *ret_code = rez_fail("%s", error.message);
        return NULL;
    }
    const struct source_variant *variant = &sources->variants.items[0];
    int code = variant->is_refused ? 0 : variant->code;
    *ret_code = code ? EXIT_FAILED : -1;
    if (code == ENOENT || code == ESRCH || code == EINVAL)
        say_unknown(uri);
    else if (code == ENOTSUP)
        *ret_code = rez_fail("Not cached - variant is a type that does not have a root: %s", uri);
    else if (code)
        rez_message(REZ_ERROR, "PackageMetadataError: %s", variant->reason);
    return code ? NULL : variant;
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
static int refuse(const struct rez_program *program, const struct source_variant *variant)
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
    if (variant->is_refused)
        return rez_fail("Not cached - package is not cachable: %.*s", package_length, variant->uri);
    if (options->local_packages_path && variant->is_local)
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
    space_measure(program->cache->fd, &space);
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

/* How one is warmed. */
struct adding {
    struct pkgcache *cache;
    bool wait;
};

static void on_warning(void *context, const char *path, const char *text)
{
    (void)context;
    rez_message(REZ_WARNING, "%s: %s", path, text);
}

static int warm(void *context, struct source_additions *additions, struct pkgcache_error *error)
{
    const struct adding *adding = context;
    const struct pkgcache_warm warm = {.size = sizeof(warm),
                                       .variant_size = sizeof(struct pkgcache_variant),
                                       .result_size = sizeof(struct pkgcache_result),
                                       .variants = additions->variants,
                                       .count = additions->count,
                                       .no_wait = !adding->wait,
                                       .cancel_fd = signals_fd(),
                                       .on_warning = on_warning};
    return pkgcache_warm(adding->cache, &warm, additions->results, error);
}

static int add(struct rez_program *program, const char *uri, bool wait)
{
    struct pkgcache_error error;
    struct pkgcache_result result = {0};
    int code;
    announce(program, "Adding variant %s to package cache at %s:", uri);
    const struct source_variant *variant = find_variant(program, uri, &code);
    if (variant)
        code = refuse(program, variant);
    if (code < 0) {
        struct adding adding = {program->cache, wait};
        int done = sources_warm(&program->sources, warm, &adding, &result, &error);
        code = done == -ECANCELED ? say_interrupted()
               : done < 0         ? rez_fail("%s", error.message)
                                  : say_result(program, &result);
    }
    pkgcache_results_free(&result, sizeof(result), 1);
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
    int code;
    announce(program, "Removing variant %s from package cache at %s:", uri);
    const struct source_variant *variant = find_variant(program, uri, &code);
    enum pkgcache_status status = PKGCACHE_FAILED;
    if (variant && pkgcache_remove(program->cache, variant->handle, &status, &error) < 0)
        code = rez_fail("%s", error.message);
    else if (status == PKGCACHE_NOT_FOUND)
        rez_message(REZ_ERROR, "No such variant found in cache");
    else if (status == PKGCACHE_COPYING)
        rez_message(REZ_WARNING, "Another process is currently caching this variant");
    else if (status == PKGCACHE_REMOVED)
        rez_message(REZ_INFO, "Variant successfully removed");
    return code;
}

int rez_remove(struct rez_program *program)
{
    int code = -1;
    for (size_t i = 0; i < program->arguments.uri_count && code < 0; i++)
        code = remove_one(program, program->arguments.uris[i]);
    return code < 0 ? EXIT_DONE : code;
}
