/* Arrays of callers whose elements may be of an older or a newer header. */
#include "cache/store/elements.h"

#include "cache/store/warnings.h"
#include "cache/util/error.h"
#include "engine/compiler.h"

#include <string.h>

/* Of the first version: what each caller knows. */
enum {
    VARIANT_BYTES_MIN = offsetof(struct pkgcache_variant, requires_json) + sizeof(const char *),
    RESULT_BYTES_MIN = offsetof(struct pkgcache_result, bytes) + sizeof(uint64_t),
    /* of the first with warnings: */
    RESULT_BYTES_WARNINGS = offsetof(struct pkgcache_result, warning_count) + sizeof(size_t),
};

bool elements_have_result(size_t result_size)
{
    return result_size >= RESULT_BYTES_MIN;
}

static struct pkgcache_result *find_result(struct pkgcache_result *results, size_t result_size,
                                           size_t index)
{
    return (struct pkgcache_result *)((char *)results + index * result_size);
}

void elements_give_result(struct pkgcache_result *results, size_t result_size, size_t index,
                          struct pkgcache_result *ours)
{
    void *given = find_result(results, result_size, index);
    if (result_size < RESULT_BYTES_WARNINGS)
        warnings_free(ours);
    memset(given, 0, result_size);
    memcpy(given, ours, MIN(result_size, sizeof(*ours)));
}

void pkgcache_results_free(struct pkgcache_result *results, size_t result_size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pkgcache_result *result = find_result(results, result_size, i);
        free(result->root);
        free(result->reason);
        if (result_size >= RESULT_BYTES_WARNINGS)
            warnings_free(result);
        memset(result, 0, result_size);
    }
}

static int fail_all(const struct pkgcache_warm *warm, struct pkgcache_result *results,
                    struct pkgcache_error *ret_error)
{
    for (size_t i = 0; i < warm->count; i++) {
        struct pkgcache_result failed = {.status = PKGCACHE_FAILED,
                                         .reason = strdup("out of memory")};
        elements_give_result(results, warm->result_size, i, &failed);
    }
    return error_set(ret_error, ENOMEM, "out of memory");
}

int elements_take(struct pkgcache_warm *warm, struct pkgcache_result *results, struct elements *ret,
                  struct pkgcache_error *ret_error)
{
    *ret = (struct elements){0};
    if (warm->count > 0 &&
        (warm->variant_size < VARIANT_BYTES_MIN || !elements_have_result(warm->result_size)))
        return error_set(ret_error, EINVAL,
                         "warm: variant_size and result_size must be the sizeof of the elements");
    struct elements taken = {
        .variants = calloc(warm->count + 1, sizeof(*taken.variants)),
        .results = calloc(warm->count + 1, sizeof(*taken.results)),
    };
    int result = taken.variants && taken.results ? 0 : fail_all(warm, results, ret_error);
    for (size_t i = 0; i < warm->count && result == 0; i++) {
        const char *given = (const char *)warm->variants + i * warm->variant_size;
        if (take_element(&taken.variants[i], sizeof(*taken.variants), given, warm->variant_size) <
            0)
            result = error_struct_size(ret_error, "warm", "pkgcache_variant");
    }
    if (result < 0) {
        free(taken.variants);
        free(taken.results);
        return result;
    }
    warm->variants = taken.variants;
    warm->variant_size = sizeof(*taken.variants);
    *ret = taken;
    return 0;
}

void elements_give(struct elements *elements, const struct pkgcache_warm *warm,
                   struct pkgcache_result *results)
{
    for (size_t i = 0; i < warm->count; i++)
        elements_give_result(results, warm->result_size, i, &elements->results[i]);
    free(elements->variants);
    free(elements->results);
}
