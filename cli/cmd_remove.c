/* pkgcache remove: takes variants out of the cache. Their bytes go at the next clean. */
#include "cache/json/json_stream.h"
#include "cache/store/lookup.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"

static cJSON *build_result(const char *variant, enum pkgcache_status status)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "variant", variant);
    json_add_string(object, "status", pkgcache_status_name(status));
    return object;
}

static int end_document(const struct options *options, struct json_stream *document)
{
    json_stream_close(document, ']');
    return output_end_document(options, json_stream_end(document));
}

/* Returns 1: it was removed, or would be; 0: it was not there; or -errno. */
static int remove_one(const struct options *options, struct pkgcache *cache,
                      const struct pkgcache_handle *handle, enum pkgcache_status *ret_status,
                      struct pkgcache_error *error)
{
    if (!options->dry_run)
        return pkgcache_remove(cache, handle, ret_status, error);
    bool cached = slot_is_cached(cache, handle);
    *ret_status = cached ? PKGCACHE_REMOVED : PKGCACHE_NOT_FOUND;
    return cached;
}

int cmd_remove(struct options *options)
{
    struct named_variants named;
    struct pkgcache_error error;
    struct json_stream document = {.file = stdout};
    size_t removed = 0;
    size_t refused = 0;
    bool locked = false;
    int code = named_variants_open(options, &named);
    if (code < 0 && options->json)
        json_stream_open(&document, NULL, '[');
    for (size_t i = 0; i < named.count && code < 0 && !locked; i++) {
        const char *name = named.items[i].name;
        enum pkgcache_status status = PKGCACHE_NOT_FOUND;
        int result = named.items[i].handle
                         ? remove_one(options, named.cache, named.items[i].handle, &status, &error)
                         : 0;
        if (result < 0)
            output_error(options, 0, error.code, "%s", error.message);
        else if (status == PKGCACHE_COPYING)
            output_error(options, 0, EBUSY, "%s: another process copies it", name);
        removed += result > 0;
        refused += result < 0 || status == PKGCACHE_COPYING;
        locked = result == -ETIMEDOUT;
        if (options->json)
            json_stream_add(&document, build_result(named.items[i].text, status));
        else if (options->verbosity >= 0 && result >= 0)
            output_line("%s: %s%s", name, options->dry_run && result > 0 ? "would be " : "",
                        pkgcache_status_name(status));
    }
    named_variants_close(&named);
    if (code >= 0)
        return code;
    code = options->json ? end_document(options, &document) : output_end(options, EXIT_DONE);
    if (code != EXIT_DONE)
        return code;
    if (locked)
        return EXIT_LOCKED;
    if (refused > 0)
        return removed > 0 ? EXIT_PARTLY : EXIT_FAILED;
    return removed > 0 ? EXIT_DONE : EXIT_MISSING;
}
