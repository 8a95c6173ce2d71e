/*
 * A context's packages are a list; each entry is a handle, or refused with a reason. What rez makes
 * of it (of serialize version 3, in a bundle or not) is one as well, and stays so.
 */
#include "cache/rez/context.h"
#include "cache/store/handle.h"
#include "fuzz/fuzz.h"

static void read_handle(const struct json *entry)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    struct pkgcache_error why = {0};
    FUZZ_CHECK((handle_from_json(entry, &handle, &why) == 0) == !why.message[0]);
}

/* Whether a handle has a location that a bundle would be put before. */
static bool has_relative_location(const struct json *entry)
{
    const struct json *location = json_member(json_member(entry, "variables"), "location");
    return location && location->type == JSON_STRING && location->text_length > 0 &&
           *location->text != '/';
}

static void adapt(const struct context *context, const struct json *entry)
{
    char bundle[] = "/bundle";
    const struct context_place places[] = {{NULL}, {bundle}};
    struct values values = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        const struct json *adapted = NULL;
        const struct json *again = NULL;
        if (context_adapt_handle(context, &places[i], &values, entry, &adapted) < 0)
            continue; /* no memory */
        FUZZ_CHECK(adapted);
        FUZZ_CHECK(adapted == entry || adapted->type == JSON_OBJECT);
        FUZZ_CHECK(!places[i].bundle || adapted == entry || !has_relative_location(adapted));
        read_handle(adapted);
        if (context_adapt_handle(context, &places[i], &values, adapted, &again) == 0)
            read_handle(again);
    }
    values_free(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_CONTEXT struct context context = {0};
    struct pkgcache_error error = {0};
    const struct json *packages = NULL;
    int result = context_parse((const char *)data, size, &context, &error);
    FUZZ_CHECK(result == -error.code && (result == 0) == (context.root != NULL));
    if (result < 0) {
        FUZZ_CHECK(result == -EBADMSG && error.message[0]);
        return 0;
    }
    result = context_packages(&context, &packages, &error);
    FUZZ_CHECK(result == -error.code && (result == 0) == (packages != NULL));
    for (const struct json *one = packages ? packages->first : NULL; one; one = one->next) {
        read_handle(one);
        adapt(&context, one);
    }
    return 0;
}
