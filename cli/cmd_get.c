/* pkgcache get: prints the cached root of each variant, an empty line for one that is missing. */
#include "cache/json/json_stream.h"
#include "cache/store/lookup.h"
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

/* Moves each result to the place of what was asked for; what has no handle has none. */
static void spread_results(const struct named_variants *named, struct pkgcache_result *results,
                           size_t count)
{
    for (size_t i = named->count; i-- > 0 && count < i + 1;) {
        if (named->items[i].handle)
            results[i] = results[--count];
        else
            results[i] = (struct pkgcache_result){.status = PKGCACHE_NOT_FOUND};
    }
}

/* Has the daemon look up all, if there is one. Returns an exit code, or -1: go on, with what it
 * found or, when *ret_found is false, without it. */
static int ask_daemon(const struct options *options, const struct named_variants *named,
                      struct pkgcache_result *results, bool *ret_found)
{
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    size_t count = 0;
    /* whose variants the daemon trusts is not what we have been told */
    bool own_only = settings_cache_options(&options->settings).own_only;
    int code = options->lease_pid || own_only ? -1 : daemon_connect(options, &client);
    CLEANUP_FREE const struct pkgcache_handle **handles =
        calloc(named->count + 1, sizeof(struct pkgcache_handle *));
    *ret_found = client && handles;
    for (size_t i = 0; *ret_found && i < named->count; i++)
        if (named->items[i].handle)
            handles[count++] = named->items[i].handle;
    int result = *ret_found && count > 0
                     ? pkgcache_client_get_many(client, handles, count, options->touch, results,
                                                sizeof(*results), &error)
                     : 0;
    pkgcache_client_close(client);
    if (result == 0) {
        if (*ret_found)
            spread_results(named, results, count);
        return code;
    }
    *ret_found = false;
    pkgcache_results_free(results, sizeof(*results), count);
    return daemon_is_passed_over(options, result)
               ? -1
               : output_error(options, EXIT_FAILED, error.code, "%s", error.message);
}

static int get_one(const struct options *options, const struct named_variants *named, size_t i,
                   struct pkgcache_result *ret, struct pkgcache_error *error)
{
    const struct pkgcache_handle *handle = named->items[i].handle;
    if (!handle) {
        ret->status = PKGCACHE_NOT_FOUND;
        return 0;
    }
    if (options->lease_pid)
        return pkgcache_lease(named->cache, handle, (int)options->lease_pid, &ret->root,
                              &ret->status, error);
    return pkgcache_get(named->cache, handle, options->touch, &ret->root, &ret->status, error);
}

/* Says of what was not found that --trust=own hides it. */
static void hint_at_trust(const struct options *options, const struct named_variants *named,
                          size_t i)
{
    if (settings_cache_options(&options->settings).own_only && options->verbosity > 0 &&
        slot_is_cached(named->cache, named->items[i].handle))
        output_verbose(options,
                       "%s: it is cached, but others have put it there, or could replace it "
                       "(--trust=own)",
                       named->items[i].text);
}

/* Looks up all, one by one. Returns an exit code, or -1: go on. */
static int ask_cache(struct options *options, struct named_variants *named,
                     struct pkgcache_result *results)
{
    struct pkgcache_error error;
    int code = open_cache(options, &named->cache);
    for (size_t i = 0; i < named->count && code < 0; i++) {
        int result = get_one(options, named, i, &results[i], &error);
        if (result == -EACCES && options->lease_pid)
            code =
                output_error(options, EXIT_FAILED, error.code,
                             "--lease needs the right to change the cache (a daemon's lease would "
                             "end with this command; a program that stays takes one with "
                             "pkgcache_client_lease): %s",
                             error.message);
        else if (result < 0)
            code = output_error(options, output_exit_code(result), error.code, "%s", error.message);
        else if (!results[i].root && named->items[i].handle)
            hint_at_trust(options, named, i);
    }
    return code;
}

/* Looks again for what was not found, where its URI can be read in another way. */
static int find_otherwise(struct options *options, struct named_variants *named,
                          struct pkgcache_result *results)
{
    const struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    for (size_t i = 0; i < named->count; i++) {
        if (results[i].root || results[i].status == PKGCACHE_FAILED)
            continue;
        if (!named->cache && pkgcache_open(options->settings.values[SETTING_CACHE].text,
                                           &cache_options, false, &named->cache, NULL) < 0)
            return -1; /* the daemon has spoken for it */
        if (named_variants_reread(named, i) && get_one(options, named, i, &results[i], &error) < 0)
            return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    }
    return -1;
}

static int print_document(const struct options *options, const struct named_variants *named,
                          const struct pkgcache_result *results)
{
    struct json_stream document = {.file = stdout};
    json_stream_open(&document, NULL, '[');
    for (size_t i = 0; i < named->count; i++)
        json_stream_add(&document, build_result(named->items[i].text, &results[i]));
    json_stream_close(&document, ']');
    return output_end_document(options, json_stream_end(&document));
}

static int print_all(const struct options *options, const struct named_variants *named,
                     const struct pkgcache_result *results)
{
    bool missing = false;
    for (size_t i = 0; i < named->count; i++) {
        if (results[i].status == PKGCACHE_FAILED)
            return output_error(options, EXIT_FAILED, 0, "%s", results[i].reason);
        if (!options->json)
            output_data(results[i].root ? results[i].root : "");
        missing = missing || !results[i].root;
    }
    int code =
        options->json ? print_document(options, named, results) : output_end(options, EXIT_DONE);
    return code == EXIT_DONE && missing ? EXIT_MISSING : code;
}

int cmd_get(struct options *options)
{
    struct named_variants named;
    bool found = false;
    int code = named_variants_read(options, &named);
    CLEANUP_FREE struct pkgcache_result *results = calloc(named.count + 1, sizeof(*results));
    if (!results) {
        named_variants_close(&named);
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    }
    if (code < 0)
        code = ask_daemon(options, &named, results, &found);
    if (code < 0 && !found)
        code = ask_cache(options, &named, results);
    if (code < 0)
        code = find_otherwise(options, &named, results);
    if (code < 0)
        code = print_all(options, &named, results);
    pkgcache_results_free(results, sizeof(*results), named.count);
    named_variants_close(&named);
    return code;
}
