/* Which files of a cache are equal: all of them are found, however few fit into memory at once. */
#include "tests/unit/place.h"

#include "cache/clean/equal_files.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { VARIANTS = 3, CONTENTS = 40, LONE = 5 };

static char place[PLACE_BYTES];
static struct pkgcache *cache;

static void write_file(const char *root, const char *name, const char *text)
{
    CLEANUP_FREE char *path = NULL;
    cr_assert(asprintf(&path, "%s/%s", root, name) > 0);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Has CONTENTS files as the other variants have, LONE ones of its own, and an empty one. */
static void make_root(const char *root, int variant)
{
    char name[32];
    char text[64];
    cr_assert_eq(mkdir(root, 0777), 0);
    for (int i = 0; i < CONTENTS + LONE; i++) {
        snprintf(name, sizeof(name), "%d", i);
        snprintf(text, sizeof(text), "contents %d, %d", i, i < CONTENTS ? 0 : variant + 1);
        write_file(root, name, text);
    }
    write_file(root, "empty", "");
}

static void warm_variant(int number)
{
    char text[1024];
    CLEANUP_FREE char *root = NULL;
    struct pkgcache_handle *handle;
    struct pkgcache_result result = {0};
    struct pkgcache_error error = {0};
    cr_assert(asprintf(&root, "%s/v%d", place, number) > 0);
    snprintf(text, sizeof(text),
             "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"%s/repository\", "
             "\"name\": \"v%d\", \"version\": \"1.0\", \"index\": null, \"repository_type\": "
             "\"filesystem\"}}",
             place, number);
    cr_assert_eq(pkgcache_handle_parse(text, strlen(text), &handle, NULL), 0);
    make_root(root, number);
    struct pkgcache_variant variant = {.handle = handle, .root = root};
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = &variant,
        .variant_size = sizeof(variant),
        .count = 1,
        .result_size = sizeof(result),
        .cancel_fd = -1,
    };
    cr_assert(pkgcache_warm(cache, &warm, &result, &error) == 0, "%s", error.message);
    cr_assert_eq(result.status, PKGCACHE_CREATED);
    pkgcache_results_free(&result, sizeof(result), 1);
    pkgcache_handle_free(handle);
}

/* Whatever a copy on one file system has left undigested. */
static void digest_all(void)
{
    struct pkgcache_error error;
    struct pkgcache_verify verify = {.size = sizeof(verify), .cancel_fd = -1};
    struct pkgcache_verify_summary summary = {.size = sizeof(summary)};
    cr_assert(pkgcache_verify(cache, &verify, &summary, &error) == 0, "%s", error.message);
}

static void set_up(void)
{
    const struct pkgcache_options options = {.size = sizeof(options),
                                             .durability = PKGCACHE_DURABILITY_NONE};
    CLEANUP_FREE char *path = NULL;
    struct pkgcache_error error;
    cr_assert_not_null(place_make(place));
    cr_assert(asprintf(&path, "%s/cache", place) > 0);
    cr_assert(pkgcache_open(path, &options, true, &cache, &error) == 0, "%s", error.message);
    for (int i = 0; i < VARIANTS; i++)
        warm_variant(i);
    digest_all();
}

static void tear_down(void)
{
    pkgcache_close(cache);
    cr_expect_eq(copyengine_remove_tree(NULL, AT_FDCWD, place, NULL), 0);
}

TestSuite(equal_files, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

struct seen {
    struct equal_files *files;
    size_t times[CONTENTS + LONE]; /* that each file's group was visited */
    size_t stop_after;             /* 0: never */
    size_t visits;
};

static int on_equal(void *context, const struct equal_file *equal, size_t count)
{
    struct seen *seen = context;
    char path[PATH_MAX];
    struct stat status;
    int name = -1;
    cr_assert_eq(count, VARIANTS);
    for (size_t i = 0; i < count; i++) {
        CLEANUP_CLOSE int fd = equal_file_open(seen->files, &equal[i], path, &status);
        cr_assert(fd >= 0, "%s", strerror(-fd));
        int own = atoi(strrchr(path, '/') + 1);
        cr_assert(i == 0 || own == name);
        name = own;
    }
    cr_assert(name >= 0 && name < CONTENTS);
    seen->times[name]++;
    return ++seen->visits == seen->stop_after ? 7 : 0;
}

static struct seen visit(size_t files_max, size_t stop_after, int expected)
{
    struct seen seen = {.stop_after = stop_after};
    cr_assert_eq(equal_files_find(cache, -1, files_max, &seen.files), 0);
    cr_expect_eq(equal_files_visit(seen.files, on_equal, &seen), expected);
    equal_files_free(seen.files);
    return seen;
}

static void expect_all_once(const struct seen *seen)
{
    for (int i = 0; i < CONTENTS; i++)
        cr_expect_eq(seen->times[i], 1, "file %d: %zu times", i, seen->times[i]);
}

Test(equal_files, all_in_one_pass)
{
    const struct seen seen = visit(10000, 0, 0);
    expect_all_once(&seen);
}

Test(equal_files, in_as_many_passes_as_it_takes)
{
    for (size_t files_max = VARIANTS; files_max < 12; files_max++) {
        const struct seen seen = visit(files_max, 0, 0);
        expect_all_once(&seen);
    }
}

Test(equal_files, ends_when_the_visitor_says_so)
{
    const struct seen seen = visit(10, 3, 7);
    cr_expect_eq(seen.visits, 3);
}

Test(equal_files, of_a_payload_that_goes_meanwhile)
{
    CLEANUP_FREE char *command = NULL;
    struct seen seen = {0};
    cr_assert_eq(equal_files_find(cache, -1, 10000, &seen.files), 0);
    cr_assert(asprintf(&command, "rm -rf '%s/cache/v1'", place) > 0);
    cr_assert_eq(system(command), 0);
    cr_assert(asprintf(&command, "rm -rf '%s/cache/v2'", place) > 0);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(equal_files_visit(seen.files, on_equal, &seen), 0);
    cr_expect_eq(seen.visits, 0);
    equal_files_free(seen.files);
}
