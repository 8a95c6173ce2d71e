/* The stages of what is named, each alone. */
#include "cache/rez/source_additions.h"
#include "cache/rez/source_handles.h"
#include "cache/rez/source_missing.h"
#include "cache/rez/source_names.h"
#include "cache/rez/source_roots.h"
#include "tests/unit/source_support.h"

TestSuite(source_stages, .init = set_up, .fini = tear_down);

/* --- 1: names --- */

Test(source_stages, names_of_a_manifest)
{
    struct source_names names = {0};
    CLEANUP_FREE char *path = write_file(
        "show.json", "{\"variants\": [{\"handle\": " HANDLE(
                         "/nowhere", "foo", "1",
                         "0") ", \"root\": \"/svr/foo\"}, {\"root\": 7}, {\"handle\": {}}]}");
    cr_assert(source_names_read(&names, path, &error) == 0, "%s", error.message);
    cr_assert(names.count == 3);
    for (size_t i = 0; i < 3; i++)
        cr_expect(names.items[i].kind == SOURCE_HANDLE && !names.items[i].has_definition);
    cr_expect(names.items[0].handle && !names.items[0].reason);
    expect_text(names.items[0].root, "/svr/foo");
    cr_expect(!names.items[1].handle && !names.items[1].root);
    expect_text(names.items[1].reason, "its root is not an absolute path");
    expect_within(names.items[1].text, "show.json: entry 2");
    cr_expect(names.items[2].handle && !names.items[2].root); /* whether it is one is not asked */
    source_names_clear(&names);
    cr_expect(names.count == 0 && !names.items);
}

Test(source_stages, names_of_contexts)
{
    struct source_names names = {0};
    CLEANUP_FREE char *json =
        write_file("a.rxt", " {\"status\": \"solved\", \"resolved_packages\": [" HANDLE(
                                "/nowhere", "foo", "1", "null") "]}");
    CLEANUP_FREE char *yaml = write_file("b.rxt", "status: solved\nresolved_packages:\n- key: x\n");
    CLEANUP_FREE char *failed = write_file("c.rxt", "status: failed\nresolved_packages: null\n");
    cr_assert(source_names_read(&names, json, &error) == 0, "%s", error.message);
    cr_assert(source_names_read(&names, yaml, &error) == 0, "%s", error.message);
    cr_assert(names.count == 2);
    for (size_t i = 0; i < 2; i++)
        cr_expect(names.items[i].kind == SOURCE_HANDLE && names.items[i].has_definition);
    cr_expect(
        json_is_string(json_member(names.items[1].handle, "key"), "x")); /* outlives its file */
    cr_expect(source_names_read(&names, failed, &error) == -EINVAL);
    expect_within(error.message, "the resolve failed");
    cr_expect(names.count == 2);
    source_names_clear(&names);
}

Test(source_stages, names_of_directories)
{
    struct source_names names = {0};
    cr_expect(source_names_read(&names, directory, &error) == -EISDIR);
    expect_within(error.message, "--all");
    names.guarded = true;
    cr_expect(source_names_read(&names, directory, &error) == -EISDIR);
    cr_expect(!strstr(error.message, "--all"));
    names = (struct source_names){.all = true};
    cr_assert(source_names_read(&names, directory, &error) == 0); /* what is in it is not asked */
    cr_expect(names.count == 1 && names.items[0].kind == SOURCE_DIRECTORY);
    expect_text(names.items[0].path, directory);
    source_names_clear(&names);
    cr_expect(names.all);
}

Test(source_stages, names_of_lines)
{
    struct source_names names = {.all = true};
    CLEANUP_FREE char *manifest = write_file("m.json", "{\"variants\": [{}, {}]}");
    CLEANUP_FREE char *text = NULL;
    cr_assert(asprintf(&text, "\n  /nowhere/foo/1/package.py[0] \n%s\n%s\n%s\n", manifest,
                       HANDLE("/nowhere", "bar", "1", "0"), directory) > 0);
    CLEANUP_FREE char *lines = write_file("lines", text);
    CLEANUP_CLOSE int fd = open(lines, O_RDONLY | O_CLOEXEC);
    cr_assert(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    cr_assert(source_names_read(&names, "-", &error) == 0, "%s", error.message);
    const enum source_kind kinds[] = {SOURCE_URI, SOURCE_HANDLE, SOURCE_HANDLE, SOURCE_HANDLE,
                                      SOURCE_DIRECTORY};
    cr_assert(names.count == ARRAY_LENGTH(kinds), "%zu", names.count);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        cr_expect(names.items[i].kind == kinds[i], "%zu", i);
    expect_text(names.items[0].path, "/nowhere/foo/1/package.py[0]");
    source_names_clear(&names);
}

Test(source_stages, names_that_are_relative)
{
    struct source_names names = {0};
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    CLEANUP_FREE char *absolute = NULL;
    cr_assert(here && asprintf(&absolute, "%s/foo/1/package.py[]", here) > 0);
    cr_assert(source_names_add_variant(&names, "foo/1/package.py[]", "root", &error) == 0);
    cr_assert(source_names_add_uri(&names, "foo/1/package.py[]") == 0);
    expect_text(names.items[0].path, absolute);
    expect_text(names.items[0].text, "foo/1/package.py[]");
    cr_expect(*names.items[0].root == '/');
    expect_text(names.items[1].path, "foo/1/package.py[]"); /* as rez's programs take it */
    cr_expect(source_names_add_variant(&names, "{1", NULL, &error) == -EINVAL);
    expect_within(error.message, "{1: no handle: ");
    source_names_clear(&names);
}

Test(source_stages, names_that_are_guarded)
{
    struct source_names names = {.guarded = true};
    CLEANUP_FREE char *fifo = path_of("fifo");
    CLEANUP_TEXT struct text text = {0};
    cr_assert(mkfifo(fifo, 0600) == 0);
    cr_expect(source_names_read(&names, fifo, &error) == -EBADMSG);
    text_append_string(&text, "{\"variants\": [1");
    for (size_t i = 0; i < SOURCES_GUARDED_MAX; i++)
        text_append_string(&text, ",1");
    text_append_string(&text, "]}");
    CLEANUP_FREE char *path = write_file("many.json", text.bytes);
    cr_expect(source_names_read(&names, path, &error) == -E2BIG && names.count == 0);
    source_names_clear(&names);
}

/* --- 2: handles --- */

/* Adds a handle as JSON to names. */
static struct source_name *name_handle(struct source_names *names, const char *json)
{
    CLEANUP_JSON struct json_document *document = NULL;
    cr_assert(json_parse(json, strlen(json), &document, &error) == 0, "%s", error.message);
    cr_assert(source_names_add_handle(names, document->root, NULL, strdup("here")) == 0);
    return source_names_last(names);
}

Test(source_stages, handles_of_json)
{
    struct source_names names = {0};
    struct source_variants variants = {0};
    name_handle(&names, HANDLE("/nowhere", "foo", "1", "0"));
    source_name_give_reason(name_handle(&names, "{\"key\": \"memory.variant\"}"), "also this");
    source_name_give_reason(name_handle(&names, HANDLE("/nowhere", "bar", "1", "0")), "only this");
    cr_assert(source_names_add_handle(&names, NULL, NULL, strdup("there")) == 0);
    cr_assert(source_handles_find(&names, NULL, false, &variants, &error) == 0); /* asks nobody */
    cr_assert(variants.count == 4);
    expect_text(variants.items[0].text, "foo-1");
    cr_expect(variants.items[0].handle && !variants.items[0].reason && !variants.items[0].root);
    expect_text(variants.items[1].text, "here");
    expect_text(variants.items[1].handle_json, "{\"key\": \"memory.variant\"}");
    cr_expect(!variants.items[1].handle && variants.items[1].code == EINVAL);
    cr_expect(!strstr(variants.items[1].reason, "also this"));
    cr_expect(variants.items[2].handle && !variants.items[2].handle_json);
    expect_text(variants.items[2].reason, "only this");
    expect_text(variants.items[3].reason, "\"handle\" is missing");
    source_names_clear(&names);
    source_variants_clear(&variants);
}

Test(source_stages, handles_of_uris)
{
    struct source_names names = {0};
    struct source_variants variants = {0};
    CLEANUP_FREE char *foo = uri_of("foo", "1.0");
    CLEANUP_FREE char *beta = uri_of("foo", "beta");
    CLEANUP_FREE char *tools = path_of("repo/tools/package.py[]");
    make_package("foo", "beta", "");
    free(write_file("repo/tools/package.py", "name = 'tools'\n")); /* without versions */
    const char *const uris[] = {foo, "no URI[]", beta, "/nowhere/foo.yaml<1.0>[0]", tools};
    for (size_t i = 0; i < ARRAY_LENGTH(uris); i++)
        cr_assert(source_names_add_uri(&names, uris[i]) == 0);
    cr_assert(source_handles_find(&names, repositories, false, &variants, &error) == 0);
    cr_assert(variants.count == ARRAY_LENGTH(uris));
    const char *const versions[] = {"1.0", NULL, "beta", NULL, NULL};
    const int codes[] = {0, EINVAL, 0, ENOTSUP, 0};
    for (size_t i = 0; i < ARRAY_LENGTH(uris); i++) {
        const struct source_variant *variant = &variants.items[i];
        cr_expect(variant->code == codes[i] && !variant->handle == !!codes[i], "%s", uris[i]);
        cr_expect(variant->has_definition && !variant->root);
        expect_text(variant->text, uris[i]);
        if (versions[i])
            expect_text(variant->handle->version, versions[i]);
    }
    cr_expect(!variants.items[4].handle->version);
    expect_text(variants.items[4].handle->name, "tools");
    source_names_clear(&names);
    source_variants_clear(&variants);
}

/* Finds all variants in a directory. */
static int find_in(const char *name, bool force, struct source_variants *variants)
{
    struct source_names names = {.all = true};
    CLEANUP_FREE char *path = path_of(name);
    cr_assert(source_names_read(&names, path, &error) == 0, "%s", error.message);
    int result = source_handles_find(&names, repositories, force, variants, &error);
    source_names_clear(&names);
    return result;
}

Test(source_stages, handles_of_directories)
{
    struct source_variants variants = {0};
    make_package("foo", "1.0", "cachable = True\nvariants = [['a'], ['b']]");
    make_package("foo", "2.0", "cachable = False");
    make_package("bar", "1.0", "cachable = 7");
    cr_assert(find_in("repo", false, &variants) == 0, "%s", error.message);
    cr_assert(variants.count == 3 && variants.passed_over == 1);
    expect_within(variants.items[0].reason, "cachable must be");
    cr_expect(!variants.items[0].handle);
    expect_within(variants.items[1].root, "/repo/foo/1.0/a");
    expect_text(variants.items[1].requires_json, "[\"a\"]");
    cr_expect(variants.items[2].handle->index == 1 && !variants.items[2].reason);
    source_variants_clear(&variants);
    cr_expect(variants.count == 0 && variants.passed_over == 0);

    cr_assert(find_in("repo/foo", true, &variants) == 0, "%s", error.message);
    cr_expect(variants.count == 3 && variants.passed_over == 0);
    source_variants_clear(&variants);

    free(write_file("empty/file", ""));
    cr_expect(find_in("empty", false, &variants) == -ENOENT);
    expect_within(error.message, "contains no packages");
    source_variants_clear(&variants);
}

/* --- the list --- */

Test(source_stages, variants_that_are_named_twice)
{
    struct source_variants variants = {0};
    add(&variants, "foo", 0);
    add(&variants, "bar", 0)->root = strdup("/a");
    add(&variants, "foo", 0)->root = strdup("/b");
    add(&variants, "foo", 1);
    add(&variants, "bar", 0)->root = strdup("/c");
    add(&variants, "foo", 0)->has_definition = true;
    source_variants_add(&variants)->text = strdup("no variant");
    cr_assert(source_variants_unite(&variants) == 0);
    cr_assert(variants.count == 4);
    expect_text(variants.items[0].text, "foo");
    expect_text(variants.items[0].root, "/b");
    cr_expect(variants.items[0].has_definition && !variants.items[0].reason);
    expect_text(variants.items[1].reason, "it is named with two different roots, /a and /c");
    cr_expect(variants.items[2].handle->index == 1);
    expect_text(variants.items[3].text, "no variant");
    source_variants_clear(&variants);
}

/* --- 3: what is missing --- */

Test(source_stages, missing_is_what_has_no_root_and_is_not_cached)
{
    struct source_variants variants = {0};
    struct source_places missing;
    struct pkgcache *cache = open_cache();
    CLEANUP_FREE char *root = path_of("repo/foo/1.0");
    struct pkgcache_result result;
    make_package("foo", "1.0", "");
    struct pkgcache_variant cached = {.handle = add(&variants, "foo", HANDLE_NO_INDEX)->handle,
                                      .root = root};
    cr_assert(pkgcache_add(cache, &cached, &result, &error) == 0 &&
                  result.status == PKGCACHE_CREATED,
              "%s", result.reason);
    pkgcache_results_free(&result, sizeof(result), 1);
    add(&variants, "bar", 0);
    add(&variants, "bar", 1)->root = strdup("/svr/bar");
    source_variant_give_reason(add(&variants, "bar", 2), EINVAL, "a reason");
    source_variants_add(&variants);
    add(&variants, "baz", 0);

    cr_assert(source_missing_find(&variants, cache, &missing) == 0);
    cr_expect(missing.count == 2 && missing.places[0] == 1 && missing.places[1] == 5);
    source_places_free(&missing);
    cr_assert(source_missing_find(&variants, NULL, &missing) == 0);
    cr_expect(missing.count == 3 && missing.places[0] == 0);
    source_places_free(&missing);
    pkgcache_close(cache);
    source_variants_clear(&variants);
}

/* --- 4: roots --- */

Test(source_stages, roots_of_those_that_are_asked_for)
{
    struct source_variants variants = {0};
    size_t places[] = {0, 2, 3, 4, 5};
    const struct source_places asked = {places, ARRAY_LENGTH(places)};
    make_package("foo", "1.0", "cachable = True\nvariants = [['a'], ['b']]");
    make_package("bar", "1.0", "cachable = False");
    add(&variants, "foo", 1);
    add(&variants, "foo", 0); /* not asked for */
    add(&variants, "foo", 7);
    add(&variants, "bar", HANDLE_NO_INDEX);
    add(&variants, "nothing", HANDLE_NO_INDEX);
    add(&variants, "nothing", 0);
    cr_assert(source_roots_find(&variants, &asked, repositories, false, &error) == 0);
    expect_within(variants.items[0].root, "/repo/foo/1.0/b");
    expect_within(variants.items[0].uri, "/repo/foo/1.0/package.py[1]");
    expect_text(variants.items[0].requires_json, "[\"b\"]");
    cr_expect(!variants.items[0].reason);
    cr_expect(!variants.items[1].root && !variants.items[1].reason);
    cr_expect(variants.items[2].code == ESRCH && !variants.items[2].is_refused);
    cr_expect(variants.items[3].is_refused && variants.items[3].root);
    expect_within(variants.items[3].reason, "not cachable");
    expect_within(variants.items[4].root, "/repo/nothing/1.0"); /* as far as its handle tells */
    cr_expect(variants.items[5].code == ENOENT && !variants.items[5].root);
    expect_within(variants.items[5].reason, "give its root with");
    source_variants_clear(&variants);
}

Test(source_stages, roots_by_force_and_of_what_must_have_a_definition)
{
    struct source_variants variants = {0};
    size_t places[] = {0, 1};
    const struct source_places asked = {places, ARRAY_LENGTH(places)};
    make_package("bar", "1.0", "cachable = False");
    add(&variants, "bar", HANDLE_NO_INDEX);
    add(&variants, "nothing", HANDLE_NO_INDEX)->has_definition = true;
    cr_assert(source_roots_find(&variants, &asked, repositories, true, &error) == 0);
    cr_expect(variants.items[0].root && !variants.items[0].reason);
    cr_expect(!variants.items[1].root && variants.items[1].code == ENOENT);
    cr_expect(!strstr(variants.items[1].reason, "give its root"));
    source_variants_clear(&variants);
}

/* --- 5: additions --- */

Test(source_stages, additions_and_their_results)
{
    struct source_variants variants = {0};
    struct source_additions additions;
    struct source_places all;
    struct source_places rootless;
    struct pkgcache_result results[5] = {0};
    add(&variants, "a", 0)->root = strdup("/a");
    source_variant_give_reason(add(&variants, "b", 0), ENOENT, "it is not there");
    add(&variants, "c", 0); /* cached, as far as is known; and so on */
    add(&variants, "d", 0);
    add(&variants, "e", 0);
    cr_assert(source_places_fill(&variants, &all) == 0 && all.count == 5);
    cr_assert(source_additions_make(&variants, &all, true, &additions) == 0);
    cr_assert(additions.count == 4 && additions.places[1] == 2);
    cr_expect(additions.variants[0].force && additions.variants[0].root == variants.items[0].root);
    cr_expect(additions.variants[1].handle == variants.items[2].handle);
    additions.results[0] =
        (struct pkgcache_result){.status = PKGCACHE_FAILED, .reason = strdup("its root is gone")};
    additions.results[1].status = PKGCACHE_FOUND;
    additions.results[2].status = PKGCACHE_NOT_FOUND; /* as warm_with() says it */
    additions.results[3] = (struct pkgcache_result){.status = PKGCACHE_FAILED,
                                                    .reason = strdup("as a daemon says it")};
    cr_assert(source_additions_find_rootless(&additions, &rootless) == 0);
    cr_expect(rootless.count == 2 && rootless.places[0] == 3 && rootless.places[1] == 4);
    source_additions_join(&additions, &variants, &all, results);
    expect_text(results[0].reason, "its root is gone");
    expect_text(results[1].reason, "it is not there");
    cr_expect(results[1].status == PKGCACHE_FAILED && results[2].status == PKGCACHE_FOUND);
    source_additions_free(&additions);

    variants.items[3].root = strdup("/d");
    source_variant_give_reason(&variants.items[4], EPERM, "not cachable");
    variants.items[4].is_refused = true;
    cr_assert(source_additions_make(&variants, &rootless, false, &additions) == 0);
    cr_assert(additions.count == 1 && additions.places[0] == 3 && !additions.variants[0].force);
    additions.results[0].status = PKGCACHE_CREATED;
    source_additions_join(&additions, &variants, &rootless, results);
    cr_expect(results[2].status == PKGCACHE_FOUND && results[3].status == PKGCACHE_CREATED);
    cr_expect(results[4].status == PKGCACHE_SKIPPED);
    expect_text(results[4].reason, "not cachable");
    source_additions_free(&additions);
    source_places_free(&all);
    source_places_free(&rootless);
    pkgcache_results_free(results, sizeof(*results), 5);
    source_variants_clear(&variants);
}
