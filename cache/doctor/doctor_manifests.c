/*
 * Examining published manifests: those of each source that is a repository, one by one, as a warm
 * would open them. Payloads are not read: what was edited in place, `manifest --check` finds.
 */
#include "cache/doctor/examination.h"

#include "cache/published/published.h"
#include "cache/published/published_head.h"
#include "cache/published/published_way.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/spread.h"

#include <assert.h>
#include <fcntl.h>

enum { DEPTH = 2 /* NAME, VERSION */ };

/* A file where manifests are. */
struct found {
    char *path; /* relative to the repository */
    char *text; /* what is wrong; NULL: nothing */
    const char *advice;
};

static const char again[] = "Run pkgcache manifest again, or delete it";

struct manifests {
    const char *repository;
    struct stat status; /* of it */
    struct found *items;
    size_t count;
    size_t capacity;
};

/* --- Finding them ---------------------------------------------------------------------------- */

static int add(struct manifests *manifests, const char *path)
{
    if (manifests->count == manifests->capacity) {
        size_t capacity = manifests->capacity ? 2 * manifests->capacity : 64;
        struct found *larger = realloc(manifests->items, capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        manifests->items = larger;
        manifests->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    manifests->items[manifests->count++] = (struct found){.path = copy};
    return 0;
}

/* Adds all names in a directory, and in those in it as deep as manifests are. */
static int list(struct manifests *manifests, int dirfd, const char *path, int depth)
{
    struct names names;
    const char *name;
    int result = names_open(&names, dirfd);
    while (result == 0 && (name = names_next(&names))) {
        CLEANUP_FREE char *inside = NULL;
        if (asprintf(&inside, "%s/%s", path, name) < 0) {
            result = -ENOMEM;
            break;
        }
        CLEANUP_CLOSE int fd = depth > 0 ? names_open_directory(dirfd, name) : -1;
        result = fd >= 0 ? list(manifests, fd, inside, depth - 1) : add(manifests, inside);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

/* --- Judging them ---------------------------------------------------------------------------- */

static void say(struct found *found, const char *advice, const char *text)
{
    found->text = strdup(text);
    found->advice = advice;
}

/* Says what an error says, without the path, which the finding has. */
static void say_error(struct found *found, const char *path, const struct pkgcache_error *error)
{
    size_t length = strlen(path);
    const char *text = error->message;
    if (strncmp(text, path, length) == 0 && strncmp(text + length, ": ", 2) == 0)
        text += length + 2;
    say(found, error->code == EBADMSG && !strstr(text, "run pkgcache") ? again : NULL, text);
}

/* Whether a handle's repository is the one that is examined, whatever it is called. */
static bool is_of_repository(const struct manifests *manifests,
                             const struct pkgcache_handle *handle)
{
    struct stat status;
    return stat(handle->location, &status) == 0 && status.st_dev == manifests->status.st_dev &&
           status.st_ino == manifests->status.st_ino;
}

/* Opens a manifest as a warm of its variant does. */
static void open_as_warm(struct found *found, const char *path,
                         const struct pkgcache_handle *handle, const char *root)
{
    struct published *published = NULL;
    struct pkgcache_error reason = {0};
    int result = published_open(handle, root, &published, &reason);
    published_close(published);
    if (result != 1)
        say_error(found, path, &reason);
}

static void judge(void *context, size_t index)
{
    const struct manifests *manifests = context;
    struct found *found = &manifests->items[index];
    CLEANUP_PUBLISHED_HEAD struct published_head head = {0};
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    CLEANUP_FREE char *path = NULL;
    CLEANUP_CLOSE int fd = -1;
    struct pkgcache_error error = {0};
    const char *base = strrchr(found->path, '/') + 1;
    if (*base == '.' || strlen(base) != SHA1_HEX_SIZE - 1) {
        say(found, "Delete it", "is no manifest, or one that was not completed");
        return;
    }
    if (asprintf(&path, "%s/%s", manifests->repository, found->path) < 0)
        return;
    int result = file_open_regular(AT_FDCWD, path, &fd, &error);
    if (result == 0)
        result = published_head_read(fd, path, &head, &error);
    if (result < 0) {
        if (!error.code)
            error_set(&error, -result, "%s", strerror(-result));
        say_error(found, path, &error);
        return;
    }
    const char *text = head.variant.handle;
    assert(text);
    CLEANUP_FREE char *name = NULL;
    if (handle_parse(text, strlen(text), &handle, NULL) == 0)
        name = published_way_name(handle);
    if (!name || strcmp(name, found->path) != 0 || !is_of_repository(manifests, handle))
        say(found, again, "is the manifest of a variant of another repository, or of another name");
    else
        open_as_warm(found, path, handle, head.variant.root);
}

static void report(const struct examination *examination, const struct manifests *manifests)
{
    size_t fine = 0;
    for (size_t i = 0; i < manifests->count; i++) {
        const struct found *found = &manifests->items[i];
        CLEANUP_FREE char *path = NULL;
        fine += !found->text;
        if (found->text && asprintf(&path, "%s/%s", manifests->repository, found->path) >= 0)
            doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "manifest", path, found->advice,
                          "does not count: %s", found->text);
    }
    if (fine > 0)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "manifests", manifests->repository, NULL,
                      "has %zu published %s that %s", fine, fine == 1 ? "manifest" : "manifests",
                      fine == 1 ? "counts" : "count");
}

static void examine(const struct examination *examination, const char *source)
{
    struct manifests manifests = {0};
    CLEANUP_FREE char *repository = realpath(source, NULL);
    if (!repository || stat(repository, &manifests.status) < 0)
        return;
    manifests.repository = repository;
    CLEANUP_CLOSE int repository_fd = open(repository, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_CLOSE int fd = repository_fd < 0
                               ? -1
                               : openat(repository_fd, PUBLISHED_DIRECTORY,
                                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    int result = list(&manifests, fd, PUBLISHED_DIRECTORY, DEPTH);
    if (result < 0)
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "manifests", repository, NULL,
                      "its published manifests cannot be read: %s", strerror(-result));
    spread(manifests.count, judge, &manifests);
    report(examination, &manifests);
    for (size_t i = 0; i < manifests.count; i++) {
        free(manifests.items[i].path);
        free(manifests.items[i].text);
    }
    free(manifests.items);
}

void doctor_examine_manifests(const struct examination *examination)
{
    for (size_t i = 0; i < examination->request->source_count; i++)
        examine(examination, examination->request->sources[i]);
}
