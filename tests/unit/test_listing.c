/* Variants as method list answers them, there and back: the daemon writes them, clients read them.
 */
#include "cache/service/listing.h"

#include "cache/store/handle.h"

#include <criterion/criterion.h>
#include <string.h>

static int show_json(const char *json, int (*visit)(void *, const struct pkgcache_entry *),
                     void *context)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error error = {0};
    cr_assert(json_parse(json, strlen(json), &document, NULL) == 0, "%s", json);
    int result = listing_show(document->root, visit, context, &error);
    cr_expect(result >= 0 || error.code == -result);
    return result;
}

static int expect_same(void *context, const struct pkgcache_entry *entry)
{
    const struct pkgcache_entry *expected = context;
    cr_expect(handle_equal(entry->handle, expected->handle));
    cr_expect_eq(entry->status, expected->status);
    cr_expect_eq(entry->bytes, expected->bytes);
    cr_expect_eq(entry->files, expected->files);
    cr_expect_eq(entry->last_used.tv_sec, expected->last_used.tv_sec);
    cr_expect_eq(entry->last_used.tv_nsec, expected->last_used.tv_nsec);
    cr_expect(!entry->cached_root == !expected->cached_root);
    cr_expect(!entry->source_root == !expected->source_root);
    if (entry->cached_root && expected->cached_root)
        cr_expect_str_eq(entry->cached_root, expected->cached_root);
    if (entry->source_root && expected->source_root)
        cr_expect_str_eq(entry->source_root, expected->source_root);
    return 7;
}

static void write_variant(struct text *text, const struct pkgcache_entry *entry)
{
    json_print(text, listing_build(entry));
    cr_assert_eq(text->error, 0);
    cr_expect(!memchr(text->bytes, '\n', text->length)); /* it is part of a line */
}

Test(listing, there_and_back)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    cr_assert(handle_create("/a \n\xff\xc3\xa9", "\xc3\xa9", NULL, 3, &handle, NULL) == 0);
    struct pkgcache_entry entries[] = {
        {.status = PKGCACHE_FOUND,
         .cached_root = "/c/\xff",
         .source_root = "/s\n\"",
         .last_used = {1700000000, 123456789},
         .bytes = INT64_MAX,
         .files = 0},
        {.status = PKGCACHE_FOUND,
         .cached_root = "/c",
         .last_used = {-2, 1},
         .bytes = PKGCACHE_NOT_COUNTED,
         .files = PKGCACHE_NOT_COUNTED},
        {.status = PKGCACHE_COPYING, .cached_root = "/c", .source_root = "/s"},
        {.status = PKGCACHE_COPY_STALLED, .cached_root = "/c", .last_used = {INT64_MAX, 999999999}},
        {.status = PKGCACHE_PENDING, .bytes = PKGCACHE_NOT_COUNTED, .files = PKGCACHE_NOT_COUNTED},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++) {
        CLEANUP_TEXT struct text text = {0};
        entries[i].handle = handle;
        write_variant(&text, &entries[i]);
        cr_expect_eq(show_json(text.bytes, expect_same, &entries[i]), 7, "%s", text.bytes);
    }
}

static int count(void *context, const struct pkgcache_entry *entry)
{
    (void)entry;
    ++*(int *)context;
    return -ENOMEM;
}

/* What is no variant is refused, whatever it is; what is not known may be left out. */
Test(listing, what_is_none)
{
#define HANDLE                                                                              \
    "{\"handle\": {\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"/a\", " \
    "\"name\": \"foo\", \"version\": \"1\", \"index\": null, \"repository_type\": "         \
    "\"filesystem\"}}"
#define CACHED HANDLE ", \"status\": \"cached\""
    static const char *const broken[] = {
        "7",
        "{}",
        "{\"handle\": 7, \"status\": \"cached\"}",
        HANDLE "}",
        HANDLE ", \"status\": \"failed\"}",
        CACHED ", \"cache_path\": \"relative\"}",
        CACHED ", \"orig_path\": 7}",
        CACHED ", \"size\": -1}",
        CACHED ", \"files\": 1.5}",
        CACHED ", \"last_used\": 7}",
        CACHED ", \"last_used\": 7.5}",
        CACHED ", \"last_used\": 7.5e0000000}",
        CACHED ", \"last_used\": 7e0}",
    };
    int shown = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++)
        cr_expect_eq(show_json(broken[i], count, &shown), -EBADMSG, "%s", broken[i]);
    cr_expect_eq(shown, 0);
    cr_expect_eq(show_json(CACHED "}", count, &shown), -ENOMEM);
    cr_expect_eq(shown, 1);
}
