/* Donors: found in the manifests of what is cached, whatever these say, and nowhere else. */
#include "tests/unit/place.h"

#include "cache/store/slot_manifest.h"
#include "cache/util/file.h"
#include "cache/warm/donors.h"

#include "engine/compiler.h"
#include "engine/digest.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { NOBODY = 65534, FILES = 4 };

static char place[PLACE_BYTES];
static struct pkgcache *cache;

static char *path_of(const char *name, const char *suffix)
{
    char *path;
    cr_assert(asprintf(&path, "%s/%s%s", place, name, suffix) > 0);
    return path;
}

static void set_up(void)
{
    struct pkgcache_error error;
    struct pkgcache_options options = {.size = sizeof(options),
                                       .durability = PKGCACHE_DURABILITY_NONE};
    cr_assert_not_null(place_make_for_copies(place));
    CLEANUP_FREE char *path = path_of("cache", "");
    cr_assert(pkgcache_open(path, &options, true, &cache, &error) == 0, "%s", error.message);
}

static void tear_down(void)
{
    pkgcache_close(cache);
    cr_expect_eq(copyengine_remove_tree(NULL, AT_FDCWD, place, NULL), 0);
}

TestSuite(donors, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static struct pkgcache_handle *make_handle(const char *location, const char *version)
{
    struct pkgcache_handle *handle;
    cr_assert_eq(handle_create(location, "foo", version, HANDLE_NO_INDEX, &handle, NULL), 0);
    return handle;
}

/* What file `number` of a version has; the versions of a file with an even number are equal. */
static void fill(char text[static 16], unsigned number, const char *version)
{
    snprintf(text, 16, "%u of %s", number, number % 2 == 0 ? "all" : version);
}

static void make_root(const char *root, const char *version)
{
    cr_assert_eq(mkdir(root, 0755), 0);
    CLEANUP_CLOSE int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(mkdirat(fd, "below", 0755), 0);
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        char text[16];
        snprintf(name, sizeof(name), "below/%u", i);
        fill(text, i, version);
        CLEANUP_CLOSE int file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        cr_assert(file >= 0 && file_write(file, text) == 0);
    }
}

/* What the kernel copied by itself has none yet. */
static void add_digests(void)
{
    const struct pkgcache_verify verify = {.size = sizeof(verify)};
    struct pkgcache_verify_summary summary = {.size = sizeof(summary)};
    cr_assert_eq(pkgcache_verify(cache, &verify, &summary, NULL), 0);
}

/* Caches a version. Returns its payload's path. */
static char *add(const char *location, const char *version)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = make_handle(location, version);
    CLEANUP_FREE char *root = path_of("root-", version);
    struct pkgcache_result result = {0};
    const struct pkgcache_variant variant = {.handle = handle, .root = root};
    make_root(root, version);
    cr_assert_eq(pkgcache_add(cache, &variant, &result, NULL), 0);
    cr_assert(result.status == PKGCACHE_CREATED, "%s", result.reason);
    add_digests();
    return STEAL(result.root);
}

/* The entries of a version. */
static void list(const char *version, struct copyengine_entry entries[static FILES])
{
    for (unsigned i = 0; i < FILES; i++) {
        char text[16];
        XXH128_canonical_t digest;
        fill(text, i, version);
        entries[i] =
            (struct copyengine_entry){.path = "any", .type = COPYENGINE_FILE, .size = strlen(text)};
        XXH128_canonicalFromHash(&digest, digest_of(text, strlen(text)));
        memcpy(entries[i].digest, digest.digest, sizeof(digest.digest));
    }
}

/* Looks for donors of a version, all in one payload. Returns how many entries have one. */
static size_t find(const char *location, const char *version, const char *payload)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = make_handle(location, version);
    struct copyengine_entry entries[FILES];
    struct donors *donors = NULL;
    list(version, entries);
    cr_assert_eq(donors_open(cache, handle, &donors), 0);
    if (!donors)
        return 0;
    cr_assert_eq(donors_find(donors, entries, FILES, NULL, NULL), 0);
    size_t found = 0;
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];
        struct donor donor = donors_get(donors, i);
        if (!donor.root)
            continue;
        snprintf(name, sizeof(name), "below/%u", i);
        cr_expect_str_eq(donor.path, name);
        cr_expect_str_eq(donor.root->shown, payload);
        found++;
    }
    cr_expect_eq(found, donors_count(donors));
    donors_free(donors);
    return found;
}

Test(donors, equal_contents_are_found)
{
    CLEANUP_FREE char *payload = add("/svr", "1");
    cr_expect_eq(find("/svr", "2", payload), FILES / 2);
    cr_expect_eq(find("/svr", "1", payload), FILES);
}

Test(donors, nothing_is_cached)
{
    cr_expect_eq(find("/svr", "1", ""), 0);
}

/* What another repository has under the same name was published by somebody else. */
Test(donors, another_repository_is_none)
{
    CLEANUP_FREE char *payload = add("/svr", "1");
    cr_expect_eq(find("/home", "1", payload), 0);
}

Test(donors, the_newest_comes_first)
{
    CLEANUP_FREE char *older = add("/svr", "9");
    CLEANUP_FREE char *newer = add("/svr", "1");
    cr_expect_eq(find("/svr", "2", newer), FILES / 2);
}

/* Whoever fills a slot could make a file that has the digest of another one. */
Test(donors, slots_of_other_users_are_none)
{
    CLEANUP_FREE char *payload = add("/svr", "1");
    if (chown(payload, NOBODY, (gid_t)-1) < 0)
        cr_skip_test("only root can give files away");
    cr_expect_eq(find("/svr", "2", payload), 0);
}

Test(donors, a_link_is_no_payload)
{
    CLEANUP_FREE char *payload = add("/svr", "1");
    CLEANUP_FREE char *moved = path_of("moved", "");
    cr_assert_eq(rename(payload, moved), 0);
    cr_assert_eq(symlink(moved, payload), 0);
    cr_expect_eq(find("/svr", "2", payload), 0);
}

/* The name of the only manifest. */
static void find_manifest(char ret[static 256])
{
    FILE *names = popen("ls", "r");
    cr_assert_not_null(names);
    cr_assert(fgets(ret, 256, names));
    ret[strcspn(ret, "\n")] = '\0';
    pclose(names);
}

static void enter_manifests(char ret[static 256])
{
    CLEANUP_FREE char *directory = path_of("cache/.sys/manifests", "");
    cr_assert_eq(chdir(directory), 0);
    find_manifest(ret);
}

/* What is found before the damage is good enough: whoever takes it looks at it. */
Test(donors, damaged_manifests_end_the_search)
{
    char name[256];
    struct stat status;
    CLEANUP_FREE char *payload = add("/svr", "1");
    enter_manifests(name);
    cr_assert_eq(stat(name, &status), 0);
    for (off_t length = status.st_size; length >= 0; length -= 7) {
        cr_assert_eq(truncate(name, length), 0);
        size_t found = find("/svr", "1", payload);
        cr_expect(found <= FILES);
        if (length < 100)
            cr_expect_eq(found, 0);
    }
    cr_assert_eq(unlink(name), 0);
    cr_expect_eq(find("/svr", "1", payload), 0);
}

/* Nobody waits for a FIFO, and a link is not followed. */
Test(donors, what_is_no_file_is_no_manifest)
{
    char name[256];
    CLEANUP_FREE char *payload = add("/svr", "1");
    enter_manifests(name);
    cr_assert_eq(rename(name, "../kept"), 0);
    cr_assert_eq(mkfifo(name, 0666), 0);
    cr_expect_eq(find("/svr", "1", payload), 0);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(symlink("../kept", name), 0);
    cr_expect_eq(find("/svr", "1", payload), 0);
}

static bool stop(void *context)
{
    ++*(unsigned *)context;
    return false;
}

Test(donors, it_can_be_stopped)
{
    unsigned calls = 0;
    struct donors *donors;
    struct copyengine_entry entries[FILES];
    CLEANUP_FREE char *payload = add("/svr", "1");
    CLEANUP_HANDLE struct pkgcache_handle *handle = make_handle("/svr", "2");
    list("2", entries);
    cr_assert_eq(donors_open(cache, handle, &donors), 0);
    cr_expect_eq(donors_find(donors, entries, FILES, stop, &calls), -ECANCELED);
    cr_expect_eq(calls, 1);
    cr_expect_eq(donors_count(donors), 0);
    cr_expect_null(donors_get(donors, 0).root);
    donors_free(donors);
}

/* Entries that are equal to each other have the same donor, and more than there is room for none.
 */
Test(donors, many_entries)
{
    enum { COUNT = (1 << 19) + 10 };
    struct donors *donors;
    struct copyengine_entry some[FILES];
    struct copyengine_entry *entries = calloc(COUNT, sizeof(*entries));
    cr_assert_not_null(entries);
    CLEANUP_FREE char *payload = add("/svr", "1");
    CLEANUP_HANDLE struct pkgcache_handle *handle = make_handle("/svr", "2");
    list("2", some);
    for (unsigned i = 0; i < COUNT; i++)
        entries[i] = some[0];
    cr_assert_eq(donors_open(cache, handle, &donors), 0);
    cr_assert_eq(donors_find(donors, entries, COUNT, NULL, NULL), 0);
    cr_expect_eq(donors_count(donors), 1 << 19);
    cr_expect_not_null(donors_get(donors, 0).root);
    cr_expect_null(donors_get(donors, COUNT - 1).root);
    donors_free(donors);
    free(entries);
}
