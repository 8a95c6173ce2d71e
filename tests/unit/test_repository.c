/*
 * Repositories, against what rez said of the same ones. They lay in /svr/packages then; here they
 * lie where the tests do.
 */
#include "cache/rez/repository.h"
#include "tests/unit/place.h"
#include "tests/unit/vectors.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define REZ_PACKAGES "/svr/packages"

static char packages[PATH_MAX]; /* the directory that stands for that */
static struct rezconfig *config;
static struct repositories *repositories;

static void set_up(void)
{
    CLEANUP_FREE char *local = NULL;
    cr_assert(realpath(TEST_VECTORS, packages));
    cr_assert(asprintf(&local, "%s/repo_built", packages) > 0);
    setenv("REZ_DISABLE_HOME_CONFIG", "1", true);
    setenv("REZ_LOCAL_PACKAGES_PATH", local, true);
    unsetenv("REZ_CONFIG_FILE");
    unsetenv("REZ_DEFAULT_CACHABLE");
    unsetenv("REZ_DEFAULT_CACHABLE_JSON");
    cr_assert(rezconfig_new(&config) == 0);
    cr_assert(repositories_new(config, &repositories) == 0);
}

static void tear_down(void)
{
    repositories_free(repositories);
    rezconfig_free(config);
}

TestSuite(repository, .init = set_up, .fini = tear_down);

/* A path of rez's as it is here; freed by the caller. */
static char *mapped(const struct json *path)
{
    char *copy = NULL;
    const char *text = path->text;
    if (strncmp(text, REZ_PACKAGES, strlen(REZ_PACKAGES)) != 0)
        return strdup(text);
    cr_assert(asprintf(&copy, "%s%s", packages, text + strlen(REZ_PACKAGES)) > 0);
    return copy;
}

static struct pkgcache_handle *mapped_handle(const struct json *value)
{
    const struct json *variables = vectors_member(value, "variables");
    CLEANUP_FREE char *location = mapped(vectors_member(variables, "location"));
    const struct json *version = json_member(variables, "version");
    const struct json *index = vectors_member(variables, "index");
    int64_t number = HANDLE_NO_INDEX;
    struct pkgcache_handle *handle = NULL;
    if (index->type == JSON_INTEGER)
        json_integer(index, 0, INT32_MAX, &number);
    cr_assert(handle_create(location, vectors_member(variables, "name")->text,
                            version && version->type == JSON_STRING ? version->text : NULL,
                            (int32_t)number, &handle, NULL) == 0);
    return handle;
}

static bool is_combined(const struct json *variant)
{
    return json_is_string(vectors_member(vectors_member(variant, "handle"), "key"),
                          "filesystem.variant.combined");
}

/* What only rez itself can tell, which need not be installed here. */
static bool needs_rez(const struct json *package)
{
    const char *name = vectors_member(package, "qualified_name")->text;
    return strcmp(name, "computed-4.2") == 0 || strcmp(name, "latebound-1") == 0;
}

static void expect_answer(const struct json *variant, const struct repository_query *query)
{
    CLEANUP_FREE char *root = mapped(vectors_member(variant, "root"));
    CLEANUP_FREE char *uri = mapped(vectors_member(variant, "uri"));
    CLEANUP_TEXT struct text data = {0};
    CLEANUP_HANDLE struct pkgcache_handle *handle =
        mapped_handle(vectors_member(variant, "handle"));
    const struct repository_variant *found = &query->variant;
    const struct json *requires = vectors_member(variant, "sidecar_data");
    json_write(&data, requires);
    cr_expect(strcmp(found->root, root) == 0, "%s, not %s", found->root, root);
    cr_expect(strcmp(found->uri, uri) == 0, "%s, not %s", found->uri, uri);
    cr_expect(handle_equal(found->handle, handle), "%s", uri);
    cr_expect(found->local == vectors_member(variant, "is_local")->boolean, "%s", uri);
    if (requires->type == JSON_NULL)
        cr_expect(!found->requires_json, "%s has %s", uri, found->requires_json);
    else
        cr_expect(strcmp(found->requires_json, data.bytes) == 0, "%s", found->requires_json);
}

static void expect_variant(const struct json *package, const struct json *variant,
                           const char *setting)
{
    const struct json *cachable = vectors_member(vectors_member(package, "is_cachable"), setting);
    CLEANUP_FREE char *uri = mapped(vectors_member(variant, "uri"));
    CLEANUP_HANDLE struct pkgcache_handle *handle =
        mapped_handle(vectors_member(variant, "handle"));
    struct layout_query named = {.uri = uri};
    cr_assert(repositories_find_handles(repositories, &named, 1, NULL) == 0);
    if (named.handle)
        cr_expect(handle_equal(named.handle, handle), "%s", uri);
    else
        cr_expect(is_combined(variant) && named.result == -ENOTSUP &&
                      strstr(named.error.message, "combined"),
                  "%s: %s", uri, named.error.message);
    struct repository_query queries[] = {{.handle = handle}, {.handle = named.handle}};
    size_t count = named.handle ? 2 : 1;
    cr_assert(repositories_find_roots(repositories, queries, count, NULL) == 0);
    for (size_t i = 0; i < count; i++) {
        struct repository_query *query = &queries[i];
        if (is_combined(variant)) {
            cr_expect(query->result == -ENOTSUP, "%s: %d", uri, query->result);
            cr_expect(strstr(query->error.message, "combined"), "%s", query->error.message);
        } else if (query->result == -EBADMSG && needs_rez(package)) {
            cr_expect(strstr(query->error.message, "rez could not evaluate it"), "%s",
                      query->error.message);
        } else {
            cr_assert(query->result == 0, "%s: %s", uri, query->error.message);
            expect_answer(variant, query);
            cr_expect(query->variant.cachable == cachable->boolean, "%s, %s: said by %s", uri,
                      setting, query->variant.said_by);
        }
        repository_variant_free(&query->variant);
    }
    handle_free(named.handle);
}

static void expect_all(const char *setting)
{
    CLEANUP_JSON struct json_document *document = vectors_load("packages.json");
    size_t count = 0;
    for (const struct json *all = document->root->first; all; all = all->next)
        for (const struct json *package = all->first; package; package = package->next)
            for (const struct json *variant = vectors_member(package, "variants")->first; variant;
                 variant = variant->next, count++)
                expect_variant(package, variant, setting);
    cr_expect(count == 31, "%zu", count);
}

Test(repository, as_rez_has_it_where_default_cachable_is_false)
{
    setenv("REZ_DEFAULT_CACHABLE", "0", true);
    expect_all("default_cachable=False");
}

Test(repository, as_rez_has_it_where_default_cachable_is_true)
{
    setenv("REZ_DEFAULT_CACHABLE", "1", true);
    expect_all("default_cachable=True");
}

Test(repository, as_rez_has_it_where_default_cachable_is_null)
{
    setenv("REZ_DEFAULT_CACHABLE_JSON", "null", true);
    expect_all("default_cachable=None");
}

/* The reason why a URI has no handle, or its handle no root. */
static void expect_reason(const char *uri, int code, const char *reason)
{
    CLEANUP_FREE char *here = NULL;
    cr_assert(asprintf(&here, "%s%s", packages, uri) > 0);
    struct layout_query named = {.uri = here};
    struct repository_query query = {0};
    cr_assert(repositories_find_handles(repositories, &named, 1, NULL) == 0);
    query.handle = named.handle;
    if (named.handle)
        cr_assert(repositories_find_roots(repositories, &query, 1, NULL) == 0);
    int result = named.handle ? query.result : named.result;
    const struct pkgcache_error *error = named.handle ? &query.error : &named.error;
    cr_expect(result == -code && error->code == code, "%s: %d", uri, result);
    cr_expect(strstr(error->message, reason), "%s", error->message);
    cr_expect(!query.variant.root && !query.variant.handle);
    handle_free(named.handle);
}

Test(repository, what_is_not_there)
{
    expect_reason("/repo/vbase/1.0/package.py[0]", ESRCH, "has no variants");
    expect_reason("/repo/withvars/2.1/package.py[]", ESRCH, "end its URI with one of [0] to [2]");
    expect_reason("/repo/withvars/2.1/package.py[3]", ESRCH, "the last one is [2]");
    expect_reason("/repo/withvars/2.2/package.py[0]", ENOENT, "contains no package.py");
    expect_reason("/repo/nothing/1.0/package.py[]", ENOENT, "contains no package.py");
    expect_reason("/repo/combined/1.0/package.py[]", ENOTSUP, "combined");
    expect_reason("/repo/vbase/1.0", EINVAL, "not the URI");
}

static void expect_handle(const char *uri, const char *location, const char *name,
                          const char *version)
{
    struct layout_query query = {.uri = uri};
    cr_assert(repositories_find_handles(repositories, &query, 1, NULL) == 0);
    CLEANUP_HANDLE struct pkgcache_handle *handle = query.handle;
    cr_assert(query.result == 0 && handle, "%s", query.error.message);
    cr_expect(strcmp(handle->location, location) == 0, "%s: %s", uri, handle->location);
    cr_expect(strcmp(handle->name, name) == 0, "%s: %s", uri, handle->name);
    cr_expect(version ? handle->version && strcmp(handle->version, version) == 0 : !handle->version,
              "%s", uri);
}

Test(repository, handles_of_paths_alone)
{
    expect_handle("/nowhere/foo/1.0/package.py[]", "/nowhere", "foo", "1.0");
    expect_handle("/nowhere/foo/beta/package.py[]", "/nowhere", "foo", "beta");
    expect_handle("/foo/1.0/package.py[]", "/", "foo", "1.0");
    expect_handle("/foo/package.py[]", "/", "foo", NULL);
    struct layout_query none[] = {{.uri = "/package.py[]"},
                                  {.uri = "/nowhere/foo/../package.py[]"}};
    cr_assert(repositories_find_handles(repositories, none, 2, NULL) == 0);
    for (size_t i = 0; i < 2; i++)
        cr_expect(none[i].result == (i == 0 ? -EINVAL : -ESRCH) && !none[i].handle, "%s",
                  none[i].uri);
}

Test(repository, spelled_through_links)
{
    char directory[PLACE_BYTES];
    CLEANUP_FREE char *link = NULL;
    CLEANUP_FREE char *repository = NULL;
    CLEANUP_FREE char *uri = NULL;
    cr_assert(place_make(directory));
    cr_assert(asprintf(&repository, "%s/repo", packages) > 0);
    cr_assert(asprintf(&link, "%s/link", directory) > 0);
    cr_assert(asprintf(&uri, "%s//link/./hashed//0.5/package.py[1]", directory) > 0);
    cr_assert(symlink(repository, link) == 0);
    struct layout_query named = {.uri = uri};
    cr_assert(repositories_find_handles(repositories, &named, 1, NULL) == 0 && named.handle);
    struct repository_query query = {.handle = named.handle};
    cr_assert(repositories_find_roots(repositories, &query, 1, NULL) == 0);
    cr_expect(query.result == 0 && strcmp(query.variant.handle->location, repository) == 0);
    cr_expect(strncmp(query.variant.uri, repository, strlen(repository)) == 0);
    repository_variant_free(&query.variant);
    handle_free(named.handle);
    unlink(link);
    rmdir(directory);
}

/* What a visit saw, a line each. */
struct seen {
    struct text lines;
    size_t errors;
    size_t end_after; /* 0: never */
};

static int see(void *context, const char *path, const struct repository_variant *variant,
               const struct pkgcache_error *error)
{
    struct seen *seen = context;
    cr_assert(strncmp(path, packages, strlen(packages)) == 0);
    cr_assert(!variant == !!error);
    seen->errors += !variant;
    if (variant)
        text_printf(&seen->lines, "%s\n", variant->uri + strlen(packages));
    return seen->end_after > 0 && --seen->end_after == 0 ? 7 : 0;
}

static void expect_visit(const char *directory, const char *expected)
{
    CLEANUP_FREE char *path = NULL;
    struct seen seen = {0};
    struct pkgcache_error error = {0};
    cr_assert(asprintf(&path, "%s/%s", packages, directory) > 0);
    cr_assert(repositories_visit(repositories, path, see, &seen, &error) == 0, "%s", error.message);
    cr_expect(strcmp(seen.lines.bytes, expected) == 0, "%s: %s", directory, seen.lines.bytes);
    text_free(&seen.lines);
}

Test(repository, visits)
{
    expect_visit("repo/vbase", "/repo/vbase/1.0/package.py[]\n/repo/vbase/2.0/package.py[]\n");
    expect_visit("repo/vbase/2.0", "/repo/vbase/2.0/package.py[]\n");
    expect_visit("repo/unversioned", "/repo/unversioned/package.py[]\n");
    expect_visit("repo/withvars", "/repo/withvars/2.1/package.py[0]\n"
                                  "/repo/withvars/2.1/package.py[1]\n"
                                  "/repo/withvars/2.1/package.py[2]\n");
    expect_visit("repo_built", "/repo_built/builtpkg/1.4.0/package.py[0]\n"
                               "/repo_built/builtpkg/1.4.0/package.py[1]\n");
}

Test(repository, visit_of_a_whole_repository)
{
    CLEANUP_FREE char *path = NULL;
    struct seen seen = {0};
    cr_assert(asprintf(&path, "%s/repo", packages) > 0);
    cr_assert(repositories_visit(repositories, path, see, &seen, NULL) == 0);
    size_t lines = 0;
    for (const char *at = seen.lines.bytes; (at = strchr(at, '\n')); at++)
        lines++;
    cr_expect(lines + seen.errors >= 18 && lines <= 19, "%s", seen.lines.bytes);
    cr_expect(strstr(seen.lines.bytes, "/repo/unversioned/package.py[]\n"));
    cr_expect(strstr(seen.lines.bytes, "/repo/yamlpkg/1.1/package.yaml[1]\n"));
    cr_expect(!strstr(seen.lines.bytes, "combined"));
    text_free(&seen.lines);

    seen = (struct seen){.end_after = 2};
    cr_expect(repositories_visit(repositories, path, see, &seen, NULL) == 7);
    text_free(&seen.lines);
    cr_expect(repositories_visit(repositories, "/nowhere", see, &seen, NULL) == -ENOENT);
}
