/* What one clean keeps for the next: the file, and which candidates are kept. And sizes. */
#include "cache/clean/clean_state.h"
#include "cache/store/size.h"
#include "tests/unit/place.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct timespec at(time_t seconds)
{
    return (struct timespec){.tv_sec = seconds};
}

static void note(struct clean_state *state, int number, time_t last_used)
{
    char path[64];
    snprintf(path, sizeof(path), "n%d/1/00ff/a", number);
    cr_assert(clean_state_note(state, path, at(last_used), 10) == 0);
}

/* The candidates that remain are the oldest, whatever the order they came in. */
Test(clean_state, the_oldest_are_kept)
{
    struct clean_state state = {.limit = 100};
    for (int i = 0; i < 1000; i++)
        note(&state, i, (i * 377) % 1000);
    cr_expect(state.count == 100 && state.bytes == 10000);
    clean_state_sort(&state);
    for (size_t i = 0; i < state.count; i++)
        cr_expect(state.oldest[state.count - 1 - i].last_used.tv_sec == (time_t)i);
    clean_state_clear(&state);
    cr_expect(state.count == 0 && state.limit == 100);
}

Test(clean_state, no_limit, .description = "all are kept")
{
    struct clean_state state = {.limit = SIZE_MAX};
    for (int i = 0; i < 1000; i++)
        note(&state, i, i % 7);
    cr_expect(state.count == 1000);
    clean_state_count(&state, UINT64_MAX - 5);
    cr_expect(state.bytes == UINT64_MAX);
    clean_state_clear(&state);
}

Test(clean_state, none_are_wanted)
{
    struct clean_state state = {.limit = 0};
    note(&state, 1, 1);
    cr_expect(state.count == 0 && state.bytes == 10);
    clean_state_clear(&state);
}

Test(clean_state, is_read_as_it_was_written)
{
    struct clean_state state = {.limit = 10, .sized = true, .after = "a\xff\"b/1.0/00ff"};
    struct clean_state again = {.limit = 10};
    struct text text = {0};
    for (int i = 0; i < 5; i++)
        note(&state, i, -i);
    clean_state_format(&text, &state);
    cr_assert(clean_state_parse(text.bytes, text.length, &again) == 0, "%s", text.bytes);
    cr_expect(strcmp(again.after, state.after) == 0);
    cr_expect(again.sized && again.bytes == 50 && again.count == 5);
    clean_state_sort(&state);
    clean_state_sort(&again);
    for (size_t i = 0; i < 5; i++) {
        cr_expect(strcmp(state.oldest[i].path, again.oldest[i].path) == 0);
        cr_expect(state.oldest[i].last_used.tv_sec == again.oldest[i].last_used.tv_sec);
    }
    text_free(&text);
    clean_state_clear(&state);
    clean_state_clear(&again);
}

static int parse(const char *text)
{
    struct clean_state state = {.limit = 10, .bytes = 77};
    int result = clean_state_parse(text, strlen(text), &state);
    cr_expect(result == 0 || (state.bytes == 77 && state.count == 0), "%s", text);
    clean_state_clear(&state);
    return result;
}

#define SLOT(path)   "{\"slot\": \"" path "\", \"seconds\": 1, \"nanoseconds\": 2, \"bytes\": 3}"
#define STATE(slots) "{\"after\": \"a/1/00ff\", \"bytes\": 1, \"oldest\": [" slots "]}"

Test(clean_state, good_ones)
{
    static const char *const good[] = {
        "{\"after\": \"a/1/00ff\"}",
        STATE(""),
        STATE(SLOT("a/1/00ff/x")),
        STATE(SLOT("a/1/00ff/x") ", " SLOT("b/1/00ff/zzzzabcd")),
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(parse(good[i]) == 0, "%s", good[i]);
}

Test(clean_state, bad_ones)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "7",
        "{\"after\": null}",
        "{\"after\": \"\"}",
        "{\"after\": \"a/1/00ff/x\"}",
        "{\"after\": \"a/../00ff\"}",
        "{\"after\": \".sys/1/00ff\"}",
        "{\"after\": \"/a/1/00ff\"}",
        "{\"after\": \"a//00ff\"}",
        "{\"after\": \"a/1/00fg\"}",
        "{\"after\": \"a/1/00ff0\"}",
        "{\"after\": \"a/1/00ff/\"}",
        "{\"after\": \"a\\u0000/1/00ff\"}",
        "{\"after\": \"a/1/00ff\", \"bytes\": 1}",
        "{\"after\": \"a/1/00ff\", \"bytes\": -1, \"oldest\": []}",
        "{\"after\": \"a/1/00ff\", \"bytes\": 1.0, \"oldest\": []}",
        "{\"after\": \"a/1/00ff\", \"bytes\": 1, \"oldest\": {}}",
        STATE("1"),
        STATE("{}"),
        STATE(SLOT("a/1/00ff")),
        STATE(SLOT("a/1/00ff/")),
        STATE(SLOT("a/1/00ff/..")),
        STATE(SLOT("../1/00ff/x")),
        STATE(SLOT("a/1/00ff/x/y")),
        STATE(SLOT("a/1/00ff/x.json")),
        STATE("{\"slot\": \"a/1/00ff/x\", \"seconds\": 1, \"nanoseconds\": -1, \"bytes\": 3}"),
        STATE("{\"slot\": \"a/1/00ff/x\", \"seconds\": 1, \"nanoseconds\": 1}"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(parse(bad[i]) == -EBADMSG, "%s", bad[i]);
}

Test(size, parse)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "1",
                                      "1 ",
                                      " 1 2",
                                      "1 2 ",
                                      "1 x",
                                      "-1 2",
                                      "1  2",
                                      "1 2\n",
                                      "+1 2",
                                      "9223372036854775808 1",
                                      "99999999999999999999 1"};
    struct size size = {7, 8};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(size_parse(bad[i], strlen(bad[i]), &size) == -EBADMSG, "%s", bad[i]);
    cr_expect(size.bytes == 7 && size.files == 8);
    cr_expect(size_parse("9223372036854775807 12", 22, &size) == 0);
    cr_expect(size.bytes == INT64_MAX && size.files == 12);
}

static bool is_loaded(const struct pkgcache *cache)
{
    struct clean_state state = {.limit = 10};
    clean_state_load(cache, &state);
    bool loaded = *state.after;
    clean_state_clear(&state);
    return loaded;
}

/* What another user can have written decides nothing: not where to begin, and not what goes. */
Test(clean_state, of_another_user_is_not_believed)
{
    char place[PLACE_BYTES];
    char name[32];
    cr_assert_not_null(place_make(place));
    CLEANUP_CLOSE int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct pkgcache cache = {.sys_fd = fd, .staging_fd = fd};
    const struct clean_state state = {.after = "a/1/00ff"};
    umask(0);
    cr_assert_eq(clean_state_save(&cache, &state), 0);
    snprintf(name, sizeof(name), CLEAN_STATE_PREFIX "%u", (unsigned)geteuid());
    cr_expect(is_loaded(&cache));
    cr_assert_eq(fchmodat(fd, name, 0620, 0), 0);
    cr_expect(!is_loaded(&cache), "a group can write it");
    cr_assert_eq(fchmodat(fd, name, 0644, 0), 0);
    cr_expect(!is_loaded(&cache), "it is a copy of what others can read");
    cr_assert_eq(fchmodat(fd, name, 0600, 0), 0);
    cr_assert_eq(linkat(fd, name, fd, "other", 0), 0);
    cr_expect(!is_loaded(&cache), "it is called otherwise, too");
    cr_assert_eq(unlinkat(fd, name, 0), 0);
    cr_assert_eq(symlinkat("other", fd, name), 0);
    cr_expect(!is_loaded(&cache), "it is a link");
    cr_assert_eq(renameat(fd, "other", fd, name), 0);
    cr_expect(is_loaded(&cache));
    if (geteuid() == 0) {
        cr_assert_eq(fchownat(fd, name, 65534, 65534, 0), 0);
        cr_expect(!is_loaded(&cache), "it is another user's");
    }
    clean_state_forget(&cache);
    cr_expect_eq(rmdir(place), 0, "nothing is left");
}
