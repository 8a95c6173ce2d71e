/*
 * Look-ups of one process while others change what it found before: as it looks by itself, and as
 * the daemon does, which is told.
 */
#include "tests/unit/place.h"

#include "cache/store/recall.h"

#include "cache/store/handle.h"
#include "cache/store/sidecar.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* Two tests, of a process that looks and of one that is told. */
#define BOTH_WAYS(name)          \
    static void name(bool told); \
    Test(recall, name##_looking) \
    {                            \
        name(false);             \
    }                            \
    Test(recall, name##_told)    \
    {                            \
        name(true);              \
    }                            \
    static void name(bool told)

/* A cache with one variant in slot `a`, that was found once. */
struct fixture {
    char directory[PLACE_BYTES];
    char hash_directory[PATH_MAX];
    struct pkgcache *cache;
    struct pkgcache_handle *handle;
};

/* Runs shell commands; $D is the directory. */
static void run(const char *directory, const char *commands)
{
    char line[2 * PATH_MAX];
    snprintf(line, sizeof(line), "D='%s'; %s", directory, commands);
    cr_assert(system(line) == 0, "%s", line);
}

static void make_slot(const struct fixture *fixture, const struct pkgcache_handle *handle,
                      const char *slot)
{
    char path[PATH_MAX + 16];
    CLEANUP_TEXT struct text text = {0};
    sidecar_write(&text, handle, NULL, NULL);
    snprintf(path, sizeof(path), "%s/%s", fixture->hash_directory, slot);
    cr_assert(mkdir(path, 0777) == 0 || errno == EEXIST);
    strcat(path, ".json");
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    cr_assert(write(fd, text.bytes, text.length) == (ssize_t)text.length);
}

static void expect(const struct fixture *fixture, enum pkgcache_status expected_status,
                   const char *slot)
{
    enum pkgcache_status status;
    char path[PATH_MAX];
    char expected[PATH_MAX + 16] = "";
    if (slot)
        snprintf(expected, sizeof(expected), "%s/%s", fixture->hash_directory, slot);
    for (int touch = 0; touch < 2; touch++) {
        recall_take_changes(fixture->cache);
        cr_expect(pkgcache_get_into(fixture->cache, fixture->handle, touch, path, sizeof(path),
                                    &status, NULL) == (expected_status == PKGCACHE_FOUND));
        cr_expect_eq(status, expected_status);
        cr_expect_str_eq(path, expected);
    }
}

static void open_fixture(struct fixture *ret, bool told)
{
    cr_assert(place_make(ret->directory));
    cr_assert(pkgcache_open(ret->directory, NULL, true, &ret->cache, NULL) == 0);
    if (told)
        recall_watch(ret->cache);
    cr_assert(handle_create("/svr", "foo", "1.0", 0, &ret->handle, NULL) == 0);
    snprintf(ret->hash_directory, sizeof(ret->hash_directory), "%s/%s", ret->directory,
             ret->handle->relative_path);
    run(ret->hash_directory, "mkdir -p $D");
    make_slot(ret, ret->handle, "a");
    expect(ret, PKGCACHE_FOUND, "a");
}

static void close_fixture(struct fixture *fixture)
{
    run(fixture->directory, "rm -rf $D");
    handle_free(fixture->handle);
    pkgcache_close(fixture->cache);
}

BOTH_WAYS(what_others_do_is_seen)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    const char *path = fixture.hash_directory;
    run(path, "touch $D/.copying-a");
    expect(&fixture, PKGCACHE_COPYING, NULL);
    run(path, "rm $D/.copying-a");
    expect(&fixture, PKGCACHE_FOUND, "a");
    run(path, "rmdir $D/a");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "mkdir $D/a && rm $D/a.json");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    run(path, "rm -r $D");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "mkdir -p $D");
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    close_fixture(&fixture);
}

BOTH_WAYS(the_slot_becomes_another_s)
{
    struct fixture fixture;
    struct pkgcache_handle *other;
    open_fixture(&fixture, told);
    cr_assert(handle_create("/svr", "foo", "1.0", 1, &other, NULL) == 0);
    make_slot(&fixture, other, "a");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    handle_free(other);
    close_fixture(&fixture);
}

/* Moves a directory above the slot away, and back. */
static void move_away(const struct fixture *fixture, const char *directory)
{
    char commands[PATH_MAX + 64];
    snprintf(commands, sizeof(commands), "mv %s $D/bar", directory);
    run(fixture->directory, commands);
    expect(fixture, PKGCACHE_NOT_FOUND, NULL);
    run(fixture->hash_directory, "mkdir -p $D/a"); /* the same path, and another directory */
    expect(fixture, PKGCACHE_NOT_FOUND, NULL);
    snprintf(commands, sizeof(commands), "rm -r %s && ln -s $D/bar %s", directory, directory);
    run(fixture->directory, commands);
    expect(fixture, PKGCACHE_NOT_FOUND, NULL); /* links are not followed */
    snprintf(commands, sizeof(commands), "rm %s && mv $D/bar %s", directory, directory);
    run(fixture->directory, commands);
    expect(fixture, PKGCACHE_FOUND, "a");
}

BOTH_WAYS(directories_are_moved_away)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    move_away(&fixture, "$D/foo");
    move_away(&fixture, "$D/foo/1.0");
    move_away(&fixture, fixture.hash_directory);
    move_away(&fixture, "$D/foo");
    close_fixture(&fixture);
}

BOTH_WAYS(what_is_no_sidecar_any_more)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    const char *path = fixture.hash_directory;
    run(path, "truncate -s 20 $D/a.json");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "rm $D/a.json && mkfifo $D/a.json");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "rm $D/a.json && mkdir $D/a.json");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "rmdir $D/a.json && ln -s /dev/zero $D/a.json");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    close_fixture(&fixture);
}

/* When the sidecar was last used, in seconds ago. */
static double used_ago(const struct fixture *fixture)
{
    char path[PATH_MAX + 16];
    struct stat status;
    struct timespec now;
    snprintf(path, sizeof(path), "%s/a.json", fixture->hash_directory);
    cr_assert(stat(path, &status) == 0);
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)(now.tv_sec - status.st_mtim.tv_sec) +
           (double)(now.tv_nsec - status.st_mtim.tv_nsec) / 1e9;
}

/* A sidecar that did not change for a while is not read again: whatever happens then is seen. */
BOTH_WAYS(what_was_the_same_for_a_while)
{
    struct fixture fixture;
    struct pkgcache_handle *other;
    open_fixture(&fixture, told);
    const char *path = fixture.hash_directory;
    cr_assert(handle_create("/svr", "foo", "1.0", 1, &other, NULL) == 0);
    for (int i = 0; i < 5; i++) {
        usleep(50 * 1000);
        expect(&fixture, PKGCACHE_FOUND, "a");
    }
    run(path, "touch $D/.copying-a");
    expect(&fixture, PKGCACHE_COPYING, NULL);
    run(path, "rm $D/.copying-a");
    expect(&fixture, PKGCACHE_FOUND, "a");
    run(path, "rmdir $D/a && ln -s / $D/a");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(path, "rm $D/a && mkdir $D/a");
    expect(&fixture, PKGCACHE_FOUND, "a");
    make_slot(&fixture, other, "a"); /* the same inode, and as long as before */
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    make_slot(&fixture, fixture.handle, "a");
    for (int i = 0; i < 5; i++) {
        usleep(50 * 1000);
        expect(&fixture, PKGCACHE_FOUND, "a");
    }
    run(fixture.directory, "mv $D/foo $D/bar");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run(fixture.directory, "ln -s bar $D/foo");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    handle_free(other);
    close_fixture(&fixture);
}

BOTH_WAYS(uses_are_recorded)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    run(fixture.hash_directory, "touch -d '1 hour ago' $D/a.json");
    if (told) /* not of times: the next use is noted when this one is old */
        usleep(RECALL_TOUCH_INTERVAL_MS * 1000 + 100 * 1000);
    expect(&fixture, PKGCACHE_FOUND, "a");
    cr_expect(used_ago(&fixture) < 600);
    for (int i = 0; i < 3; i++) {
        usleep(50 * 1000);
        expect(&fixture, PKGCACHE_FOUND, "a");
    }
    sleep(2);
    double before = used_ago(&fixture);
    expect(&fixture, PKGCACHE_FOUND, "a");
    cr_expect(used_ago(&fixture) < before);
    close_fixture(&fixture);
}

BOTH_WAYS(a_buffer_that_is_too_small)
{
    struct fixture fixture;
    struct pkgcache_error error;
    char path[8];
    open_fixture(&fixture, told);
    cr_expect(pkgcache_get_into(fixture.cache, fixture.handle, false, path, sizeof(path), NULL,
                                &error) == -ENAMETOOLONG);
    cr_expect(error.code == ENAMETOOLONG);
    close_fixture(&fixture);
}

/* Another handle with something in common. */
static struct pkgcache_handle *find_handle(const struct pkgcache_handle *handle,
                                           bool (*is_like)(const struct pkgcache_handle *,
                                                           const struct pkgcache_handle *))
{
    struct pkgcache_handle *other;
    for (int32_t index = handle->index + 1;; index++) {
        cr_assert(handle_create("/svr", "foo", "1.0", index, &other, NULL) == 0);
        if (is_like(handle, other))
            return other;
        handle_free(other);
    }
}

static bool share_directory(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    return strcmp(a->relative_path, b->relative_path) == 0;
}

/* Two variants in one hash directory. They have one place, too. */
BOTH_WAYS(two_in_one_directory)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    const char *path = fixture.hash_directory;
    struct fixture second = fixture;
    second.handle = find_handle(fixture.handle, share_directory);
    make_slot(&second, second.handle, "b");
    for (int i = 0; i < 3; i++) {
        expect(&fixture, PKGCACHE_FOUND, "a");
        expect(&second, PKGCACHE_FOUND, "b");
        run(path, "touch $D/.copying-a");
        expect(&fixture, PKGCACHE_COPYING, NULL);
        expect(&second, PKGCACHE_FOUND, "b");
        run(path, "mv $D/.copying-a $D/.copying-b");
        expect(&fixture, PKGCACHE_FOUND, "a");
        expect(&second, PKGCACHE_COPYING, NULL);
        run(path, "rm $D/.copying-b");
    }
    handle_free(second.handle);
    close_fixture(&fixture);
}

/* As many variants are remembered as have a place (PLACES, cache/store/recall.c). */
static bool share_place(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    return a->sha1[0] == b->sha1[0] && a->sha1[1] % 64 == b->sha1[1] % 64;
}

/* Makes slot `b` of a second variant in a directory of its own, and finds it. */
static void make_other_slot(struct fixture *second)
{
    snprintf(second->hash_directory, sizeof(second->hash_directory), "%s/%s", second->directory,
             second->handle->relative_path);
    run(second->hash_directory, "mkdir -p $D");
    make_slot(second, second->handle, "b");
    expect(second, PKGCACHE_FOUND, "b");
}

/* Two variants that are remembered in the same place: one pushes out the other. */
BOTH_WAYS(two_in_one_place)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    struct fixture second = fixture;
    second.handle = find_handle(fixture.handle, share_place);
    make_other_slot(&second);
    for (int i = 0; i < 3; i++) {
        expect(&fixture, PKGCACHE_FOUND, "a");
        expect(&second, PKGCACHE_FOUND, "b");
        run(fixture.hash_directory, "touch $D/.copying-a");
        expect(&second, PKGCACHE_FOUND, "b");
        expect(&fixture, PKGCACHE_COPYING, NULL);
        run(fixture.hash_directory, "rm $D/.copying-a");
    }
    handle_free(second.handle);
    close_fixture(&fixture);
}

/*
 * The numbers of watches grow, and are told apart by their rest of a division by the number of
 * places: whoever shares one with another is not told any more.
 */
BOTH_WAYS(more_watches_than_places)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    struct fixture others[] = {fixture, fixture};
    cr_assert(handle_create("/svr", "foo", "1.0", 1, &others[0].handle, NULL) == 0);
    others[1].handle = find_handle(others[0].handle, share_place);
    make_other_slot(&others[0]);
    make_other_slot(&others[1]);
    for (int i = 0; i < 16500; i++) /* each time another watch */
        expect(&others[i % 2], PKGCACHE_FOUND, "b");
    run(fixture.hash_directory, "touch $D/.copying-a");
    expect(&fixture, PKGCACHE_COPYING, NULL);
    handle_free(others[0].handle);
    handle_free(others[1].handle);
    close_fixture(&fixture);
}

/* More changes than the kernel keeps for us (fs.inotify.max_queued_events), then one more. */
BOTH_WAYS(more_changes_than_are_told)
{
    struct fixture fixture;
    open_fixture(&fixture, told);
    struct fixture second = fixture;
    cr_assert(handle_create("/svr", "foo", "1.0", 1, &second.handle, NULL) == 0);
    make_other_slot(&second);
    expect(&fixture, PKGCACHE_FOUND, "a");
    run(second.hash_directory,
        "cd $D && seq $(($(cat /proc/sys/fs/inotify/max_queued_events) + 1)) | xargs touch");
    run(fixture.hash_directory, "touch $D/.copying-a");
    expect(&fixture, PKGCACHE_COPYING, NULL);
    handle_free(second.handle);
    close_fixture(&fixture);
}

/* Looked up in before it was a cache, and filled then: both are counted. */
Test(recall, counts_from_before_there_was_a_cache)
{
    char directory[PLACE_BYTES];
    char source[PLACE_BYTES + 16];
    char root[PATH_MAX];
    struct pkgcache *cache;
    struct pkgcache_error error;
    struct pkgcache_result result;
    struct pkgcache_stats stats = {.size = sizeof(stats)};
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    cr_assert(place_make(directory));
    run(directory, "mkdir $D/cache $D/source");
    snprintf(source, sizeof(source), "%s/source", directory);
    snprintf(root, sizeof(root), "%s/cache", directory);
    cr_assert(handle_create("/svr/packages", "foo", "1.0", -1, &handle, NULL) == 0);
    cr_assert(pkgcache_open(root, NULL, false, &cache, &error) == 0, "%s", error.message);
    cr_expect(pkgcache_get_into(cache, handle, true, root, sizeof(root), NULL, &error) == 0);
    struct pkgcache_variant variant = {.handle = handle, .root = source};
    cr_assert(pkgcache_add(cache, &variant, &result, &error) == 0, "%s", error.message);
    cr_expect(result.status == PKGCACHE_CREATED);
    cr_assert(pkgcache_stats(cache, &stats, &error) == 0, "%s", error.message);
    cr_expect(stats.misses == 2 && stats.copies == 1);
    pkgcache_results_free(&result, sizeof(result), 1);
    pkgcache_close(cache);
    run(directory, "rm -rf $D");
}
