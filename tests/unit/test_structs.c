/* Structures with a size: what programs meet whose header is older or newer than the library. */
#include "tests/unit/place.h"

#include "cache/pkgcache.h"

#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { UNTOUCHED = 0x55 };

static char directory[PLACE_BYTES];
static struct pkgcache *cache;
static struct pkgcache_error error;

/* A newer header's, whose last member this library does not know. */
struct newer_stats {
    struct pkgcache_stats known;
    uint64_t unknown;
};
struct newer_summary {
    struct pkgcache_verify_summary known;
    uint64_t unknown;
};

static void set_up(void)
{
    cr_assert(place_make(directory));
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *source = NULL;
    cr_assert(asprintf(&path, "%s/cache", directory) > 0);
    cr_assert(asprintf(&source, "%s/source", directory) > 0);
    cr_assert(mkdir(source, 0755) == 0);
    cr_assert(pkgcache_open(path, NULL, true, &cache, &error) == 0, "%s", error.message);
    struct pkgcache_handle *handle = NULL;
    cr_assert(pkgcache_handle_new("/svr", "foo", "1.0", -1, &handle, &error) == 0);
    struct pkgcache_variant variant = {.handle = handle, .root = source};
    struct pkgcache_result result;
    cr_assert(pkgcache_add(cache, &variant, &result, &error) == 0, "%s", error.message);
    cr_assert(result.status == PKGCACHE_CREATED);
    pkgcache_results_free(&result, sizeof(result), 1);
    pkgcache_handle_free(handle);
}

static void tear_down(void)
{
    pkgcache_close(cache);
    copyengine_remove_tree(NULL, AT_FDCWD, directory, NULL);
}

TestSuite(structs, .init = set_up, .fini = tear_down);

static bool is_untouched(const void *start, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (((const unsigned char *)start)[i] != UNTOUCHED)
            return false;
    return true;
}

Test(structs, stats_of_an_older_header)
{
    struct pkgcache_stats stats;
    memset(&stats, UNTOUCHED, sizeof(stats));
    stats.size = offsetof(struct pkgcache_stats, failures);
    cr_assert(pkgcache_stats(cache, &stats, &error) == 0, "%s", error.message);
    cr_expect(stats.size == offsetof(struct pkgcache_stats, failures));
    cr_expect(stats.misses == 1 && stats.copies == 1);
    cr_expect(is_untouched(&stats, stats.size, sizeof(stats)));
}

Test(structs, stats_of_a_newer_header)
{
    struct newer_stats stats = {.known.size = sizeof(stats)};
    cr_assert(pkgcache_stats(cache, &stats.known, &error) == 0, "%s", error.message);
    cr_expect(stats.known.size == sizeof(stats) && stats.known.copies == 1 && stats.unknown == 0);
}

Test(structs, stats_without_a_size)
{
    struct pkgcache_stats stats;
    memset(&stats, UNTOUCHED, sizeof(stats));
    stats.size = 0;
    cr_expect(pkgcache_stats(cache, &stats, &error) == -EINVAL);
    cr_expect(strstr(error.message, "size"));
    cr_expect(is_untouched(&stats, sizeof(stats.size), sizeof(stats)));
}

Test(structs, summary_of_an_older_header)
{
    struct pkgcache_verify verify = {.size = sizeof(verify)};
    struct pkgcache_verify_summary summary;
    memset(&summary, UNTOUCHED, sizeof(summary));
    summary.size = offsetof(struct pkgcache_verify_summary, digested);
    cr_assert(pkgcache_verify(cache, &verify, &summary, &error) == 0, "%s", error.message);
    cr_expect(summary.variants == 1 && summary.sound == 1);
    cr_expect(is_untouched(&summary, summary.size, sizeof(summary)));
}

Test(structs, summary_of_a_newer_header)
{
    struct pkgcache_verify verify = {.size = sizeof(verify)};
    struct newer_summary summary = {.known.size = sizeof(summary)};
    cr_assert(pkgcache_verify(cache, &verify, &summary.known, &error) == 0, "%s", error.message);
    cr_expect(summary.known.size == sizeof(summary) && summary.known.sound == 1);
    cr_expect(summary.unknown == 0);
}

Test(structs, verify_that_nobody_understands)
{
    struct pkgcache_verify verify = {.size = sizeof(verify)};
    struct pkgcache_verify_summary summary = {0};
    struct {
        struct pkgcache_verify known;
        uint64_t unknown;
    } newer = {.known.size = sizeof(newer), .unknown = 1};
    cr_expect(pkgcache_verify(cache, &verify, &summary, &error) == -EINVAL);
    summary.size = sizeof(summary);
    cr_expect(pkgcache_verify(cache, &newer.known, &summary, &error) == -EINVAL);
    newer.unknown = 0;
    cr_expect(pkgcache_verify(cache, &newer.known, &summary, &error) == 0, "%s", error.message);
}

/* A newer header's elements, whose last member this library does not know. */
struct newer_variant {
    struct pkgcache_variant known;
    uint64_t unknown;
};
struct newer_result {
    struct pkgcache_result known;
    uint64_t unknown;
};

/* Those that are known are found by the caller's size. */
Test(structs, elements_of_a_newer_header)
{
    struct newer_variant variants[3] = {0};
    struct newer_result results[3];
    const struct pkgcache_handle *handles[3];
    char names[3][8];
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = &variants[0].known,
        .variant_size = sizeof(variants[0]),
        .count = 3,
        .result_size = sizeof(results[0]),
    };
    CLEANUP_FREE char *source = NULL;
    cr_assert(asprintf(&source, "%s/source", directory) > 0);
    for (int i = 0; i < 3; i++) {
        struct pkgcache_handle *handle;
        snprintf(names[i], sizeof(names[i]), "bar%d", i);
        cr_assert(pkgcache_handle_new("/svr", names[i], "1.0", -1, &handle, &error) == 0);
        variants[i].known = (struct pkgcache_variant){.handle = handle, .root = source};
        handles[i] = handle;
    }
    memset(results, UNTOUCHED, sizeof(results));
    cr_assert(pkgcache_warm(cache, &warm, &results[0].known, &error) == 0, "%s", error.message);
    for (int i = 0; i < 3; i++)
        cr_expect(results[i].known.status == PKGCACHE_CREATED && results[i].unknown == 0 &&
                  strstr(results[i].known.root, names[i]));
    pkgcache_results_free(&results[0].known, sizeof(results[0]), 3);
    cr_expect(!results[2].known.root);

    memset(results, UNTOUCHED, sizeof(results));
    cr_assert(pkgcache_get_many(cache, handles, 3, false, &results[0].known, sizeof(results[0]),
                                &error) == 0);
    for (int i = 0; i < 3; i++)
        cr_expect(results[i].known.status == PKGCACHE_FOUND && results[i].unknown == 0 &&
                  strstr(results[i].known.root, names[i]));
    pkgcache_results_free(&results[0].known, sizeof(results[0]), 3);

    variants[2].unknown = 1; /* only a newer library can do that */
    memset(results, UNTOUCHED, sizeof(results));
    cr_expect(pkgcache_warm(cache, &warm, &results[0].known, &error) == -EINVAL);
    cr_expect(is_untouched(results, 0, sizeof(results)));
    for (int i = 0; i < 3; i++)
        pkgcache_handle_free((struct pkgcache_handle *)handles[i]);
}

/* A result of an older header has no warnings: they are not his to free. */
Test(structs, results_of_an_older_header)
{
    struct pkgcache_handle *handle;
    struct pkgcache_variant variant = {0};
    struct pkgcache_result result;
    const size_t older = offsetof(struct pkgcache_result, warnings);
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = &variant,
        .variant_size = sizeof(variant),
        .count = 1,
        .result_size = older,
    };
    CLEANUP_FREE char *source = NULL;
    CLEANUP_FREE char *fifo = NULL;
    cr_assert(asprintf(&source, "%s/source", directory) > 0);
    cr_assert(asprintf(&fifo, "%s/fifo", source) > 0);
    cr_assert(mkfifo(fifo, 0600) == 0);
    for (int i = 0; i < 2; i++) {
        cr_assert(pkgcache_handle_new("/svr", i ? "new" : "old", "1.0", -1, &handle, &error) == 0);
        variant = (struct pkgcache_variant){.handle = handle, .root = source};
        memset(&result, UNTOUCHED, sizeof(result));
        cr_assert(pkgcache_warm(cache, &warm, &result, &error) == 0, "%s", error.message);
        cr_expect(result.status == PKGCACHE_CREATED);
        if (i == 0)
            cr_expect(is_untouched(&result, older, sizeof(result)));
        else
            cr_expect(result.warning_count == 1 && strcmp(result.warnings[0].path, fifo) == 0);
        pkgcache_results_free(&result, warm.result_size, 1);
        pkgcache_handle_free(handle);
        warm.result_size = sizeof(result);
    }
}

Test(structs, elements_without_a_size)
{
    struct pkgcache_variant variant = {.root = "/svr"};
    struct pkgcache_result result;
    const struct pkgcache_handle *handle = NULL;
    struct pkgcache_warm warm = {.size = sizeof(warm), .variants = &variant, .count = 1};
    memset(&result, UNTOUCHED, sizeof(result));
    cr_expect(pkgcache_warm(cache, &warm, &result, &error) == -EINVAL);
    warm.variant_size = sizeof(variant);
    cr_expect(pkgcache_warm(cache, &warm, &result, &error) == -EINVAL);
    cr_expect(pkgcache_get_many(cache, &handle, 1, false, &result, 0, &error) == -EINVAL);
    cr_expect(is_untouched(&result, 0, sizeof(result)));
}

/* What pkgcache.h promises of ret_error. */
Test(structs, errors_stay_as_they_were_after_success)
{
    struct pkgcache_verify verify = {.size = sizeof(verify)};
    struct pkgcache_verify_summary summary = {.size = sizeof(summary)};
    struct pkgcache_warm warm = {.size = sizeof(warm)};
    struct pkgcache_clean clean = {.size = sizeof(clean)};
    struct pkgcache_result none;
    error = (struct pkgcache_error){.code = 4711};
    cr_expect(pkgcache_verify(cache, &verify, &summary, &error) == 0);
    cr_expect(error.code == 4711);
    cr_expect(pkgcache_warm(cache, &warm, &none, &error) == 0);
    cr_expect(error.code == 4711);
    cr_expect(pkgcache_clean(cache, &clean, &error) == 0);
    cr_expect(error.code == 4711);
}
