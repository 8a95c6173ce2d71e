/* Look-ups of one process while others change what it found before. */
#include "cache/handle.h"
#include "cache/sidecar.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/* A cache with one variant in slot `a`, that was found once. */
struct fixture {
    char directory[32];
    char hash_directory[PATH_MAX];
    struct pkgcache *cache;
    struct pkgcache_handle *handle;
};

static void run(const char *format, const char *argument)
{
    char command[2 * PATH_MAX];
    snprintf(command, sizeof(command), format, argument, argument, argument);
    cr_assert(system(command) == 0, "%s", command);
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

static void expect(const struct fixture *fixture, int status, const char *slot)
{
    char path[PATH_MAX];
    char expected[PATH_MAX + 16] = "";
    if (slot)
        snprintf(expected, sizeof(expected), "%s/%s", fixture->hash_directory, slot);
    for (int touch = 0; touch < 2; touch++) {
        cr_expect(pkgcache_get_into(fixture->cache, fixture->handle, touch, path, sizeof(path),
                                    NULL) == status);
        cr_expect_str_eq(path, expected);
    }
}

static void open_fixture(struct fixture *ret)
{
    strcpy(ret->directory, "/tmp/pkgcache-test-XXXXXX");
    cr_assert(mkdtemp(ret->directory));
    cr_assert(pkgcache_open(ret->directory, NULL, true, &ret->cache, NULL) == 0);
    cr_assert(handle_create("/svr", "foo", "1.0", 0, &ret->handle, NULL) == 0);
    snprintf(ret->hash_directory, sizeof(ret->hash_directory), "%s/%s", ret->directory,
             ret->handle->relative_path);
    run("mkdir -p %s", ret->hash_directory);
    make_slot(ret, ret->handle, "a");
    expect(ret, PKGCACHE_FOUND, "a");
}

static void close_fixture(struct fixture *fixture)
{
    run("rm -rf %s", fixture->directory);
    handle_free(fixture->handle);
    pkgcache_close(fixture->cache);
}

Test(recall, what_others_do_is_seen)
{
    struct fixture fixture;
    open_fixture(&fixture);
    const char *path = fixture.hash_directory;
    run("touch %s/.copying-a", path);
    expect(&fixture, PKGCACHE_COPYING, NULL);
    run("rm %s/.copying-a", path);
    expect(&fixture, PKGCACHE_FOUND, "a");
    run("rmdir %s/a", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("mkdir %s/a && rm %s/a.json", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    run("rm -r %s", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("mkdir -p %s", path);
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    close_fixture(&fixture);
}

Test(recall, the_slot_becomes_another_s)
{
    struct fixture fixture;
    struct pkgcache_handle *other;
    open_fixture(&fixture);
    cr_assert(handle_create("/svr", "foo", "1.0", 1, &other, NULL) == 0);
    make_slot(&fixture, other, "a");
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    make_slot(&fixture, fixture.handle, "b");
    expect(&fixture, PKGCACHE_FOUND, "b");
    handle_free(other);
    close_fixture(&fixture);
}

Test(recall, directories_are_moved_away)
{
    struct fixture fixture;
    open_fixture(&fixture);
    run("mv %s/foo %s/bar", fixture.directory);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("ln -s bar %s/foo", fixture.directory); /* links are not followed */
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("rm %s/foo && mv %s/bar %s/foo", fixture.directory);
    expect(&fixture, PKGCACHE_FOUND, "a");
    close_fixture(&fixture);
}

Test(recall, what_is_no_sidecar_any_more)
{
    struct fixture fixture;
    open_fixture(&fixture);
    const char *path = fixture.hash_directory;
    run("truncate -s 20 %s/a.json", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("rm %s/a.json && mkfifo %s/a.json", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("rm %s/a.json && mkdir %s/a.json", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    run("rmdir %s/a.json && ln -s /dev/zero %s/a.json", path);
    expect(&fixture, PKGCACHE_NOT_FOUND, NULL);
    close_fixture(&fixture);
}

Test(recall, a_buffer_that_is_too_small)
{
    struct fixture fixture;
    struct pkgcache_error error;
    char path[8];
    open_fixture(&fixture);
    cr_expect(pkgcache_get_into(fixture.cache, fixture.handle, false, path, sizeof(path), &error) ==
              -ENAMETOOLONG);
    cr_expect(error.code == ENAMETOOLONG);
    close_fixture(&fixture);
}
