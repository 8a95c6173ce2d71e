/* URIs of variants, both ways. */
#include "cache/rez/uri.h"
#include "tests/unit/vectors.h"

static void expect(const char *text, const char *directory, int32_t index)
{
    CLEANUP_URI struct uri uri = {0};
    struct pkgcache_error error = {0};
    cr_assert(uri_parse(text, &uri, &error) == 0, "%s", error.message);
    cr_expect(strcmp(uri.directory, directory) == 0, "%s gave %s", text, uri.directory);
    cr_expect(uri.index == index, "%s", text);
}

Test(uri, taken_apart)
{
    expect("/svr/packages/foo/1.0/package.py[0]", "/svr/packages/foo/1.0", 0);
    expect("/svr/packages/foo/1.0/package.yaml[12]", "/svr/packages/foo/1.0", 12);
    expect("/svr/packages/foo/package.py[]", "/svr/packages/foo", HANDLE_NO_INDEX);
    expect("//svr/./packages//foo/1.0///package.py[]", "/svr/packages/foo/1.0", HANDLE_NO_INDEX);
    expect("/a[1]/../b/1/package.py[2147483647]", "/a[1]/../b/1", INT32_MAX);
    expect("/svr/packages/foo/1.0/rez.yaml[]", "/svr/packages/foo/1.0", HANDLE_NO_INDEX);
    expect("/package.py[]", "/", HANDLE_NO_INDEX);
}

static void expect_refused(const char *text, int code, const char *why)
{
    struct uri uri = {0};
    struct pkgcache_error error = {0};
    cr_expect(uri_parse(text, &uri, &error) == -code, "%s", text);
    cr_expect(strstr(error.message, why), "%s", error.message);
    cr_expect(!uri.directory);
}

Test(uri, refused)
{
    expect_refused("", EINVAL, "does not end in [INDEX]");
    expect_refused("/svr/foo/1.0/package.py", EINVAL, "does not end in [INDEX]");
    expect_refused("/svr/foo/1.0/package.py[0] ", EINVAL, "does not end in [INDEX]");
    expect_refused("/svr/foo/1.0/package.py[x]", EINVAL, "the brackets must");
    expect_refused("/svr/foo/1.0/package.py[-1]", EINVAL, "the brackets must");
    expect_refused("/svr/foo/1.0/package.py[2147483648]", EINVAL, "the brackets must");
    expect_refused("/svr/foo/1.0/package.py[99999999999999999999]", EINVAL, "the brackets must");
    expect_refused("svr/foo/1.0/package.py[0]", EINVAL, "not absolute");
    expect_refused("/svr/foo/1.0/package.json[0]", EINVAL, "its file must be");
    expect_refused("/svr/foo/1.0/[0]", EINVAL, "its file must be");
    expect_refused("/svr/foo.yaml<1.0>[0]", ENOTSUP, "combined package");
    expect_refused("/svr/foo.py<>[]", ENOTSUP, "combined package");
    expect_refused("/svr/foo.txt<1.0>[]", EINVAL, "its file must be");
    CLEANUP_TEXT struct text text = {0};
    for (int i = 0; i < URI_BYTES_MAX; i++)
        text_append_byte(&text, '/');
    text_append_string(&text, "package.py[0]");
    expect_refused(text.bytes, EINVAL, "too long");
}

static void expect_uri(const char *location, const char *version, int32_t index, const char *file,
                       const char *expected)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    CLEANUP_TEXT struct text text = {0};
    cr_assert(handle_create(location, "foo", version, index, &handle, NULL) == 0);
    uri_append(&text, handle, file);
    cr_expect(strcmp(text.bytes, expected) == 0, "%s, not %s", text.bytes, expected);
}

Test(uri, made_of_a_handle)
{
    expect_uri("/svr", "1.0", 2, "package.py", "/svr/foo/1.0/package.py[2]");
    expect_uri("/svr", "1.0", HANDLE_NO_INDEX, "package.yaml", "/svr/foo/1.0/package.yaml[]");
    expect_uri("/svr", NULL, HANDLE_NO_INDEX, "package.py", "/svr/foo/package.py[]");
    expect_uri("/", "1", 0, "rez.py", "/foo/1/rez.py[0]");
}
