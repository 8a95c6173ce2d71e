/* Published manifests: what is in the file may be anything. Who may write it: program tests. */
#include "cache/published/published.h"

#include "cache/published/published_head.h"
#include "cache/published/published_way.h"
#include "cache/util/file.h"
#include "engine/copyengine.h"
#include "tests/unit/pack_builder.h"
#include "tests/unit/place.h"

#include <criterion/criterion.h>
#include <fcntl.h>

TestSuite(published, .timeout = PATIENCE_S);

#define HELLO_DIGEST "b5e9c1ad071b3e7fc779cfaa5e523818" /* xxhsum -H2 of "hello" */
#define ROOT         "d 755 0 1700000000.000000001 - .|"
#define HELLO        "f 644 5 1700000000.000000001 " HELLO_DIGEST " "
#define LINK         "l 777 5 1700000000.000000001 " HELLO_DIGEST " "

/* A repository with one variant, whose payload is its package. */
struct world {
    char place[PLACE_BYTES];
    char *location;
    char *root;
    struct pkgcache_handle *handle;
    struct published_head head;
    struct text entries; /* compressed */
    struct text json;
};

static void make_directory(const char *path)
{
    cr_assert(mkdir(path, 0755) == 0 || errno == EEXIST, "%s: %s", path, strerror(errno));
}

/* Makes the directories of a path, from its n-th byte on. */
static void make_directories(const char *path, size_t from)
{
    CLEANUP_FREE char *copy = strdup(path);
    for (char *slash = copy + from; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        make_directory(copy);
    }
}

/* Makes a repository, and what is right in a manifest of these entries. */
static struct world make_world(const char *entries, const char *numbers)
{
    struct world world = {0};
    struct builder parts = {0};
    struct text records = builder_records(entries);
    struct stat status;
    XXH128_canonical_t digest;
    cr_assert(place_make(world.place));
    cr_assert(asprintf(&world.location, "%s/svr", world.place) > 0);
    cr_assert(asprintf(&world.root, "%s/foo/1.0", world.location) > 0);
    make_directories(world.root, strlen(world.place) + 1);
    make_directory(world.root);
    cr_assert(handle_create(world.location, "foo", "1.0", HANDLE_NO_INDEX, &world.handle, NULL) ==
              0);
    handle_to_json(&world.json, world.handle);
    cr_assert(stat(world.root, &status) == 0);
    world.head = (struct published_head){
        .variant = {.handle = world.json.bytes, .root = world.root},
        .stored = builder_add(&parts, records.bytes, records.length),
        .size = records.length,
        .root = published_times_of(&status),
        .definitions = {{.name = "package.py"}},
        .definition_count = 1,
    };
    struct pack_variant *variant = &world.head.variant;
    cr_assert(sscanf(numbers, "%ju %ju %ju", &variant->entry_count, &variant->file_count,
                     &variant->bytes) == 3);
    XXH128_canonicalFromHash(&digest, XXH3_128bits(records.bytes, records.length));
    memcpy(variant->digest, digest.digest, sizeof(digest.digest));
    world.entries = parts.file;
    text_free(&records);
    return world;
}

/* Writes the manifest. */
static void write_manifest(const struct world *world)
{
    CLEANUP_FREE char *path = published_way_path(world->handle);
    CLEANUP_TEXT struct text head = {0};
    make_directories(path, strlen(world->location) + 1);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    published_head_append(&head, &world->head);
    cr_assert(fd >= 0 && file_write_all(fd, head.bytes, head.length) == 0 &&
              file_write_all(fd, world->entries.bytes, world->entries.length) == 0);
}

static void end_world(struct world *world)
{
    handle_free(world->handle);
    text_free(&world->entries);
    text_free(&world->json);
    free(world->location);
    free(world->root);
    copyengine_remove_tree(NULL, AT_FDCWD, world->place, NULL);
}

/* Opens and reads a manifest. Returns 0; or why it does not count, or is damaged, as -errno. */
static int read_manifest(const struct world *world, uint64_t *ret_count,
                         struct pkgcache_error *error)
{
    struct published *published = NULL;
    struct pack_entries *entries = NULL;
    const struct pack_entry *entry;
    *ret_count = 0;
    int result = published_open(world->handle, world->root, &published, error);
    cr_assert(result == 0 || result == 1);
    if (result == 0)
        return -error->code;
    result = pack_entries_open(published_pack(published), 0, &entries, error);
    while (result == 0 && (result = pack_entries_next(entries, &entry, error)) == 1) {
        ++*ret_count;
        result = 0;
    }
    pack_entries_close(entries);
    published_close(published);
    return result;
}

Test(published, what_is_right)
{
    struct world world = make_world(ROOT "d 755 0 1700000000.000000001 - a|" HELLO "a/x|" LINK
                                         "b|> hello|" HELLO "c|= 2|",
                                    "5 2 10");
    struct pkgcache_error error;
    uint64_t count;
    cr_expect(read_manifest(&world, &count, &error) == -ENOENT);
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == 0 && count == 5, "%s", error.message);
    end_world(&world);
}

Test(published, entries_that_cannot_be)
{
    static const struct {
        const char *entries;
        const char *why;
    } cases[] = {
        {ROOT HELLO "../x|", "leads out"},
        {ROOT HELLO "/etc/passwd|", "leads out"},
        {ROOT HELLO "a/../x|", "leads out"},
        {ROOT HELLO "x|" HELLO "x|", "twice"},
        {ROOT HELLO "b|" HELLO "a|", "not in order"},
        {ROOT LINK "a|> hello|" HELLO "a/x|", "not there before, or is none"},
        {ROOT HELLO "a|" HELLO "a/x|", "not there before, or is none"},
        {HELLO "x|", "not the root"},
        {ROOT LINK "a|", "without a text"},
        {ROOT HELLO "x|= 1|", "hard link"},
        {ROOT HELLO "x|@ 0|", "in no frame"},
        {ROOT "f 644 9223372036854775808 1.000000001 " HELLO_DIGEST " x|", "cannot be read"},
        {ROOT "f 644 9223372036854775807 1.000000001 " HELLO_DIGEST
              " x|f 644 1 1.000000001 " HELLO_DIGEST " y|",
         "more than can be"},
        {ROOT "f 4755 5 1.000000001 " HELLO_DIGEST " x|", "nothing that packs have"},
        {ROOT "f 644 5 1.000000001 - x|", "nothing that packs have"},
        {ROOT HELLO "x|x 00 security.capability|", "none that packs have"},
        {ROOT, "other entries than it says"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct world world = make_world(cases[i].entries, "2 1 5");
        struct pkgcache_error error = {0};
        uint64_t count;
        write_manifest(&world);
        cr_expect(read_manifest(&world, &count, &error) == -EBADMSG, "%s", cases[i].entries);
        cr_expect(strstr(error.message, cases[i].why) && strstr(error.message, world.location),
                  "%s: %s", cases[i].entries, error.message);
        end_world(&world);
    }
}

Test(published, numbers_that_cannot_be)
{
    static const struct {
        uint64_t entries, files, size, stored;
        const char *why;
    } cases[] = {
        {1000000000, 1, UINT64_C(20000000000), 0, "claims 1000000000 entries"},
        {2, 1, UINT64_C(1) << 62, 0, "claims"},
        {2, 1, UINT64_MAX, 0, "cannot be read"},
        {PUBLISHED_ENTRIES_MAX, 1, 512, 0, "more entries than"},
        {2, 2, 512, 0, "more entries than"},
        {0, 0, 512, 0, "more entries than"},
        {2, 1, PUBLISHED_BYTES_MAX, 0, "larger than their frames"},
        {2, 1, 512, INT64_MAX, "its head says"},
        {2, 1, 512, 7, "its head says"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct world world = make_world(ROOT HELLO "x|", "2 1 5");
        struct pkgcache_error error = {0};
        uint64_t count;
        world.head.variant.entry_count = cases[i].entries;
        world.head.variant.file_count = cases[i].files;
        world.head.size = cases[i].size;
        if (cases[i].stored)
            world.head.stored = cases[i].stored;
        write_manifest(&world);
        cr_expect(read_manifest(&world, &count, &error) == -EBADMSG, "%zu", i);
        cr_expect(strstr(error.message, cases[i].why), "%zu: %s", i, error.message);
        end_world(&world);
    }
}

Test(published, of_what_it_was_made)
{
    struct world world = make_world(ROOT HELLO "x|", "2 1 5");
    struct pkgcache_error error = {0};
    uint64_t count;
    CLEANUP_FREE char *definition = NULL;
    cr_assert(asprintf(&definition, "%s/package.py", world.root) > 0);
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == 0, "%s", error.message);
    world.head.root.ctime.tv_nsec ^= 1;
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == -ESTALE);
    world.head.root.ctime.tv_nsec ^= 1;
    world.head.definitions[0].exists = true;
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == -ESTALE);
    cr_expect(strstr(error.message, "package.py"));
    world.head.variant.handle = BUILDER_HANDLE("1.0");
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == -EBADMSG);
    cr_expect(strstr(error.message, "another variant"));
    end_world(&world);
}

Test(published, a_repository_that_is_a_link)
{
    struct world world = make_world(ROOT HELLO "x|", "2 1 5");
    struct pkgcache_error error = {0};
    struct pkgcache_handle *real = world.handle;
    CLEANUP_FREE char *link = NULL;
    uint64_t count;
    cr_assert(asprintf(&link, "%s/link", world.place) > 0);
    cr_assert(symlink(world.location, link) == 0);
    cr_assert(handle_create(link, "foo", "1.0", HANDLE_NO_INDEX, &world.handle, NULL) == 0);
    cr_expect(read_manifest(&world, &count, &error) == -ENOENT, "%s", error.message);
    write_manifest(&world);
    cr_expect(read_manifest(&world, &count, &error) == -EPERM);
    cr_expect(strstr(error.message, "symbolic link"));
    handle_free(real);
    end_world(&world);
}
