/* A context's packages are a list; each entry is a handle, or refused with a reason. */
#include "cache/rez/context.h"
#include "cache/store/handle.h"
#include "fuzz/fuzz.h"

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
        CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
        struct pkgcache_error why = {0};
        FUZZ_CHECK((handle_from_json(one, &handle, &why) == 0) == !why.message[0]);
    }
    return 0;
}
