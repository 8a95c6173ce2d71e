/* pkgcache get: prints the cached root of each variant, an empty line for one that is missing. */
#include "cache/json/json_stream.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"

#include <assert.h>
#include <string.h>

static cJSON *build_result(const char *variant, const struct pkgcache_result *result)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "variant", variant);
    json_add_string(object, "status", output_status((int)result->status));
    json_add_string(object, "root", result->root);
    return object;
}

/* Has the daemon look up all, if there is one. Returns an exit code, or -1: go on, with what it
 * found or, when *ret_found is false, without it. */
static int ask_daemon(const struct options *options, const struct named_variants *named,
                      struct pkgcache_result *results, bool *ret_found)
{
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    size_t count = named->sources.variants.count;
    int code = options->lease_pid ? -1 : daemon_connect(options, &client);
    CLEANUP_FREE const struct pkgcache_handle **handles =
        calloc(count, sizeof(struct pkgcache_handle *));
    *ret_found = client && handles;
    for (size_t i = 0; *ret_found && i < count; i++)
        handles[i] = named->sources.variants.items[i].handle;
    int result = *ret_found ? pkgcache_client_get_many(client, handles, count, options->touch,
                                                       results, sizeof(*results), &error)
                            : 0;
    pkgcache_client_close(client);
    if (result == 0)
        return code;
    *ret_found = false;
    pkgcache_results_free(results, sizeof(*results), count);
    return daemon_is_passed_over(options, result)
               ? -1
               : output_error(options, EXIT_FAILED, error.code, "%s", error.message);
}

static int get_one(const struct options *options, const struct named_variants *named, size_t i,
                   struct pkgcache_result *ret, struct pkgcache_error *error)
{
    assert(named->sources.variants.items); /* at least one is named */
    const struct pkgcache_handle *handle = named->sources.variants.items[i].handle;
    if (options->lease_pid)
        return pkgcache_lease(named->cache, handle, options->lease_pid, &ret->root, &ret->status,
                              error);
    return pkgcache_get(named->cache, handle, options->touch, &ret->root, &ret->status, error);
}

/* Looks up all, one by one. Returns an exit code, or -1: go on. */
static int ask_cache(struct options *options, struct named_variants *named,
                     struct pkgcache_result *results)
{
    struct pkgcache_error error;
    int code = open_cache(options, &named->cache);
    for (size_t i = 0; i < named->sources.variants.count && code < 0; i++) {
        int result = get_one(options, named, i, &results[i], &error);
        if (result < 0)
            code = output_error(options, output_exit_code(result), error.code, "%s", error.message);
    }
    return code;
}

static int print_document(const struct options *options, const struct pkgcache_result *results,
                          size_t count)
{
    struct json_stream document = {.file = stdout};
    json_stream_open(&document, NULL, '[');
    for (size_t i = 0; i < count; i++)
        json_stream_add(&document, build_result(options->arguments[i], &results[i]));
    json_stream_close(&document, ']');
    return output_end_document(options, json_stream_end(&document));
}

static int print_all(const struct options *options, const struct pkgcache_result *results,
                     size_t count)
{
    bool missing = false;
    for (size_t i = 0; i < count; i++) {
        if (results[i].status == PKGCACHE_FAILED)
            return output_error(options, EXIT_FAILED, 0, "%s", results[i].reason);
        if (!options->json)
            printf("%s\n", results[i].root ? results[i].root : "");
        missing = missing || !results[i].root;
    }
    int code =
        options->json ? print_document(options, results, count) : output_end(options, EXIT_DONE);
    return code == EXIT_DONE && missing ? EXIT_MISSING : code;
}

int cmd_get(struct options *options)
{
    struct named_variants named;
    bool found = false;
    int code = named_variants_read(options, &named);
    size_t count = named.sources.variants.count;
    CLEANUP_FREE struct pkgcache_result *results = calloc(count + 1, sizeof(*results));
    if (!results) {
        named_variants_close(&named);
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    }
    if (code < 0)
        code = ask_daemon(options, &named, results, &found);
    if (code < 0 && !found)
        code = ask_cache(options, &named, results);
    if (code < 0)
        code = print_all(options, results, count);
    pkgcache_results_free(results, sizeof(*results), count);
    named_variants_close(&named);
    return code;
}
