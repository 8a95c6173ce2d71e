/* Contexts: one that rez saved, and what else may be called so. */
#include "cache/rez/context.h"
#include "cache/store/handle.h"
#include "tests/unit/vectors.h"

#include "cache/util/file.h"

static int read_packages(const char *text, size_t length, struct context *context,
                         const struct json **ret, struct pkgcache_error *error)
{
    int result = context_parse(text, length, context, error);
    return result < 0 ? result : context_packages(context, ret, error);
}

Test(context, that_rez_saved)
{
    CLEANUP_JSON struct json_document *expected = vectors_load("context.json");
    CLEANUP_CONTEXT struct context context = {0};
    CLEANUP_TEXT struct text text = {0};
    const struct json *packages = NULL;
    CLEANUP_CLOSE int fd = open(TEST_VECTORS "/context.rxt", O_RDONLY);
    cr_assert(file_read(fd, 1 << 20, &text, NULL) == 0);
    cr_assert(read_packages(text.bytes, text.length, &context, &packages, NULL) == 0);
    const struct json *one = packages->first;
    for (const struct json *resolved = vectors_member(expected->root, "resolved")->first; resolved;
         resolved = resolved->next, one = one->next) {
        CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
        cr_assert(one && handle_from_json(one, &handle, NULL) == 0);
        cr_expect(handle_equals_json(handle, vectors_member(resolved, "handle")));
    }
    cr_expect(!one);
}

static void expect_reason(const char *text, const char *reason)
{
    CLEANUP_CONTEXT struct context context = {0};
    struct pkgcache_error error = {0};
    const struct json *packages = NULL;
    int result = read_packages(text, strlen(text), &context, &packages, &error);
    cr_expect(result < 0 && error.code == -result && !packages, "%s", text);
    cr_expect(strstr(error.message, reason), "%s: %s", text, error.message);
}

Test(context, refused)
{
    expect_reason("", "not a rez context");
    expect_reason("{", "line 1");
    expect_reason("{}", "not a rez context");
    expect_reason("[]", "not a rez context");
    expect_reason("solved", "not a rez context");
    expect_reason("{\"status\": \"solved\"}", "its resolved_packages are missing");
    expect_reason("{\"status\": \"solved\", \"resolved_packages\": null}", "but is null");
    expect_reason("{\"status\": \"failed\", \"failure_description\": \"foo conflicts\", "
                  "\"resolved_packages\": null}",
                  "the resolve failed: its status is \"failed\", because \"foo conflicts\"");
    expect_reason("{\"status\": 1, \"resolved_packages\": []}", "its status is 1");
    expect_reason("status: failed\nresolved_packages: []\n", "its status is \"failed\"");
}

Test(context, yaml)
{
    static const char text[] = "status: solved\n"
                               "resolved_packages:\n"
                               "- key: filesystem.variant\n"
                               "  variables:\n"
                               "    location: /svr\n"
                               "    name: foo\n"
                               "    version: '1.0'\n"
                               "    index: null\n"
                               "    repository_type: filesystem\n";
    CLEANUP_CONTEXT struct context context = {0};
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    const struct json *packages = NULL;
    cr_assert(read_packages(text, strlen(text), &context, &packages, NULL) == 0);
    cr_assert(handle_from_json(packages->first, &handle, NULL) == 0);
    cr_expect(strcmp(handle->qualified_name, "foo-1.0") == 0);
    cr_expect(!packages->first->next);
}

/* As in a Python dict, the last one counts. */
Test(context, keys_twice)
{
    static const char text[] = "{\"status\": \"failed\", \"resolved_packages\": [1], "
                               "\"status\": \"solved\", \"resolved_packages\": []}";
    CLEANUP_CONTEXT struct context context = {0};
    const struct json *packages = NULL;
    cr_assert(read_packages(text, strlen(text), &context, &packages, NULL) == 0);
    cr_expect(!packages->first);
}
