/* Statistics as JSON, there and back: the daemon writes it, the command line reads it. */
#include "cache/store/figures.h"

#include <criterion/criterion.h>
#include <string.h>

static int read_back(const char *json, struct pkgcache_stats *ret)
{
    CLEANUP_JSON struct json_document *document = NULL;
    cr_assert(json_parse(json, strlen(json), &document, NULL) == 0, "%s", json);
    return figures_read_stats(document->root, ret);
}

Test(figures, there_and_back)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_TEXT struct text again = {0};
    struct pkgcache_stats back;
    const struct pkgcache_stats stats = {
        .size = sizeof(stats),
        .since = 1700000000,
        .hits = INT64_MAX,
        .bytes = 1ULL << 40,
        .copy_seconds = 1.25,
        .cleans = 7,
        .largest_bytes = 99,
        .oldest_used = {.tv_sec = 5},
        .largest = "foo-1.0\n\"",
    };
    json_print(&text, figures_build_stats(&stats));
    cr_assert(read_back(text.bytes, &back) == 0, "%s", text.bytes);
    json_print(&again, figures_build_stats(&back));
    cr_expect_str_eq(again.bytes, text.bytes);
    cr_expect_eq(back.hits, INT64_MAX);
    cr_expect_eq(back.since, 1700000000);
    cr_expect_eq(back.copy_seconds, 1.25);
    cr_expect_str_eq(back.largest, stats.largest);
    cr_expect_str_eq(back.oldest, "");
}

/* What is no statistics is refused, whatever it is. */
Test(figures, each_member_is_needed)
{
    CLEANUP_TEXT struct text text = {0};
    const struct pkgcache_stats stats = {.size = sizeof(stats)};
    struct figure figures[FIGURES_MAX];
    struct pkgcache_stats back;
    size_t count = figures_of_stats(&stats, figures);
    json_print(&text, figures_build_stats(&stats));
    for (size_t i = 0; i < count; i++) {
        char *key = strstr(text.bytes, figures[i].key);
        *key ^= 1;
        cr_expect(read_back(text.bytes, &back) == -EBADMSG, "%s", text.bytes);
        *key ^= 1;
    }
    cr_expect(read_back("{}", &back) == -EBADMSG);
    cr_expect(read_back("[]", &back) == -EBADMSG);
    cr_expect(read_back("7", &back) == -EBADMSG);
}

Test(figures, members_of_the_wrong_type)
{
    static const char *const wrong[] = {"\"hits\": -1,", "\"hits\": null,", "\"hits\": 1.5,",
                                        "\"hits\": 9223372036854775808,", "\"hits\": {},"};
    CLEANUP_TEXT struct text text = {0};
    const struct pkgcache_stats stats = {.size = sizeof(stats)};
    struct pkgcache_stats back;
    json_print(&text, figures_build_stats(&stats));
    const char *rest = strchr(text.bytes, ',') + 1;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        CLEANUP_TEXT struct text changed = {0};
        text_printf(&changed, "{%s%s", wrong[i], rest);
        cr_expect(read_back(changed.bytes, &back) == -EBADMSG, "%s", changed.bytes);
    }
}
