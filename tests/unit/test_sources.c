/* The driver of the stages: with somebody who stands in for who warms, and with a cache that
 * changes meanwhile. */
#include "cache/rez/sources.h"
#include "cache/warm/run.h"
#include "tests/unit/source_support.h"

TestSuite(sources, .init = set_up, .fini = tear_down);

/* Stands in for who warms: what has no root is not there. */
struct standing_in {
    unsigned calls;
    size_t counts[2];
    enum pkgcache_status rootless;
    int result;
};

static int stand_in(void *context, struct source_additions *additions, struct pkgcache_error *why)
{
    struct standing_in *standing_in = context;
    cr_assert(standing_in->calls < 2);
    standing_in->counts[standing_in->calls++] = additions->count;
    for (size_t i = 0; i < additions->count; i++)
        additions->results[i].status =
            additions->variants[i].root ? PKGCACHE_CREATED : standing_in->rootless;
    return standing_in->result < 0 ? error_set(why, -standing_in->result, "it ends here") : 0;
}

static void expect_second_round(enum pkgcache_status rootless)
{
    struct standing_in standing_in = {.rootless = rootless};
    struct sources sources = {0};
    struct pkgcache_result results[4] = {0};
    make_package("foo", "1.0", "cachable = True");
    make_package("bar", "1.0", "cachable = False");
    cr_assert(sources_open(&sources, config, &error) == 0);
    add(&sources.variants, "given", 0)->root = strdup("/svr/given");
    add(&sources.variants, "foo", HANDLE_NO_INDEX);
    add(&sources.variants, "bar", HANDLE_NO_INDEX);
    source_variant_give_reason(add(&sources.variants, "baz", 0), EINVAL, "a reason");
    cr_assert(sources_warm(&sources, stand_in, &standing_in, results, &error) == 0);
    cr_expect(standing_in.calls == 2 && standing_in.counts[0] == 3 && standing_in.counts[1] == 1);
    cr_expect(results[0].status == PKGCACHE_CREATED && results[1].status == PKGCACHE_CREATED);
    cr_expect(results[2].status == PKGCACHE_SKIPPED && results[3].status == PKGCACHE_FAILED);
    pkgcache_results_free(results, sizeof(*results), 4);
    sources_free(&sources);
}

Test(sources, what_turns_out_to_need_a_root_is_warmed_once_more)
{
    expect_second_round(PKGCACHE_NOT_FOUND);
    expect_second_round(PKGCACHE_FAILED); /* as a daemon answers */
}

Test(sources, a_warm_that_fails_is_not_repeated)
{
    struct standing_in standing_in = {.rootless = PKGCACHE_NOT_FOUND, .result = -ECANCELED};
    struct sources sources = {0};
    struct pkgcache_result result = {0};
    make_package("foo", "1.0", "cachable = True");
    cr_assert(sources_open(&sources, config, &error) == 0);
    add(&sources.variants, "foo", HANDLE_NO_INDEX);
    cr_expect(sources_warm(&sources, stand_in, &standing_in, &result, &error) == -ECANCELED);
    cr_expect(standing_in.calls == 1 && result.status == PKGCACHE_FAILED);
    expect_text(result.reason, "it ends here");
    pkgcache_results_free(&result, sizeof(result), 1);
    sources_free(&sources);
}

static int warm_really(void *cache, struct source_additions *additions, struct pkgcache_error *why)
{
    const struct warm_extras extras = {.reports_rootless = true};
    const struct pkgcache_warm warm = {.size = sizeof(warm),
                                       .variant_size = sizeof(struct pkgcache_variant),
                                       .result_size = sizeof(struct pkgcache_result),
                                       .variants = additions->variants,
                                       .count = additions->count};
    return warm_with(cache, &warm, &extras, additions->results, why);
}

Test(sources, what_is_removed_between_look_and_warm_is_there_again)
{
    struct sources sources = {0};
    struct pkgcache_result results[2] = {0};
    struct pkgcache *cache = open_cache();
    CLEANUP_FREE char *foo = uri_of("foo", "1.0");
    CLEANUP_FREE char *bar = uri_of("bar", "1.0");
    const char *const uris[] = {foo, bar, foo};
    make_package("foo", "1.0", "cachable = True");
    make_package("bar", "1.0", "cachable = True");
    for (int round = 0; round < 2; round++) { /* the second time all are cached at first */
        cr_assert(sources_open(&sources, config, &error) == 0);
        cr_assert(sources_read(&sources, uris, 3, &error) == 0, "%s", error.message);
        cr_assert(sources_find_roots(&sources, cache, &error) == 0, "%s", error.message);
        cr_assert(sources.variants.count == 2);
        for (size_t i = 0; i < 2; i++)
            cr_expect(!sources.variants.items[i].root == (round > 0)); /* nobody was asked */
        if (round > 0)
            cr_assert(pkgcache_remove(cache, sources.variants.items[0].handle, NULL, &error) == 1);
        cr_assert(sources_warm(&sources, warm_really, cache, results, &error) == 0);
        cr_expect(results[0].status == PKGCACHE_CREATED, "%s", results[0].reason);
        cr_expect(results[1].status == (round ? PKGCACHE_FOUND : PKGCACHE_CREATED));
        pkgcache_results_free(results, sizeof(*results), 2);
        sources_free(&sources);
    }
    pkgcache_close(cache);
}

Test(sources, variants_of_the_command_line_are_as_many_as_it_names)
{
    struct sources sources = {0};
    const char *const twice[] = {"/nowhere/foo/1/package.py[]",
                                 HANDLE("/nowhere", "foo", "1", "null"),
                                 HANDLE("/nowhere", ".", "1", "null")};
    const char *const none[] = {"/nowhere/foo/1/package.py[]", "foo-1"};
    cr_assert(sources_open(&sources, NULL, &error) == 0);
    cr_assert(sources_read_variants(&sources, twice, 3, NULL, &error) == 0);
    cr_expect(sources.variants.count == 3 && !sources.variants.items[2].handle);
    cr_expect(handle_equal(sources.variants.items[0].handle, sources.variants.items[1].handle));
    sources_clear(&sources);
    cr_expect(sources_read_variants(&sources, none, 2, NULL, &error) == -EINVAL);
    expect_within(error.message, "nor is it a handle as JSON");
    sources_free(&sources);
}

Test(sources, those_that_are_guarded_are_not_too_many)
{
    struct sources sources = {.names = {.guarded = true}};
    CLEANUP_TEXT struct text text = {0};
    char *paths[2];
    for (int file = 0; file < 2; file++) {
        text_free(&text);
        text_append_string(&text, "{\"variants\": [");
        for (int i = 0; i < SOURCES_GUARDED_MAX; i++)
            text_printf(&text, "%s{\"handle\": " HANDLE("/nowhere", "p%d", "%d", "0") "}",
                        i ? "," : "", i, file);
        text_append_string(&text, "]}");
        paths[file] = write_file(file ? "b.json" : "a.json", text.bytes);
    }
    cr_assert(sources_open(&sources, config, &error) == 0);
    const char *const same[] = {paths[0], paths[0]};
    cr_expect(sources_read(&sources, same, 2, &error) == 0, "%s", error.message);
    cr_expect(sources.variants.count == SOURCES_GUARDED_MAX);
    sources_clear(&sources);
    cr_expect(sources_read(&sources, (const char *const *)paths, 2, &error) == -E2BIG);
    expect_within(error.message, "name more than");
    sources_free(&sources);
    free(paths[0]);
    free(paths[1]);
}
