/*
 * Putting manifests into repositories. What is there is only replaced by a rename, when the new one
 * is whole and on the disk. No link is followed on the way.
 */
#include "cache/publishing/publishing.h"

#include "cache/published/published_way.h"
#include "cache/util/file.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

enum { COPY_BYTES = 256 << 10, DIRECTORY_BITS = 02755, FILE_BITS = 0444 };

struct placing {
    const struct pkgcache_handle *handle;
    const struct publishing_manifest *manifest;
    struct pkgcache_error *error;
    char *path; /* of the manifest, for messages */
    int fd;     /* the directory that we are in */
    char aside[64];
};

static int fail(const struct placing *placing, int code)
{
    return error_set(placing->error, code, "%s: cannot be written: %s", placing->path,
                     code == ELOOP || code == ENOTDIR
                         ? "there is a symbolic link, or something else that is no directory, on "
                           "the way to it"
                         : strerror(code));
}

/* --- Directories ----------------------------------------------------------------------------- */

/*
 * Which directory of the repository one on the way is to be like: the repository's own; then that
 * of the package's family; then that of its version. Where the payload is elsewhere, there may be
 * none.
 */
static int stat_model(const struct pkgcache_handle *handle, size_t depth, struct stat *ret)
{
    CLEANUP_FREE char *family = NULL;
    CLEANUP_FREE char *version = NULL;
    if (asprintf(&family, "%s/%s", handle->location, handle->name) < 0 ||
        asprintf(&version, "%s/%s", family, handle->version ? handle->version : "") < 0)
        return -ENOMEM;
    if ((depth >= 4 && stat(version, ret) == 0) || (depth >= 3 && stat(family, ret) == 0))
        return 0;
    return stat(handle->location, ret) < 0 ? -errno : 0;
}

/* Gives a new directory the mode and owner of its model, as far as a manifest in it then counts. */
static int adjust_directory(const struct placing *placing, int fd, size_t depth)
{
    struct stat model;
    int result = stat_model(placing->handle, depth, &model);
    if (result < 0)
        return result;
    uid_t owner = model.st_uid == placing->manifest->root.st_uid ? model.st_uid : 0;
    if (geteuid() == 0 && fchown(fd, owner, model.st_gid) < 0)
        return -errno;
    if (geteuid() != 0)
        (void)!fchown(fd, -1, model.st_gid); /* who is not in that group cannot */
    return fchmod(fd, (model.st_mode & DIRECTORY_BITS) | S_IRWXU) < 0 ? -errno : 0;
}

/* Whether a directory was made by a run that was killed before it could adjust it. */
static bool is_unfinished(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
           (status.st_mode & ~(mode_t)(S_IFMT | S_ISGID)) == S_IRWXU;
}

/* Goes into a directory, which is made if it is missing. */
static int enter(struct placing *placing, const char *name, size_t depth)
{
    if (mkdirat(placing->fd, name, S_IRWXU) < 0 && errno != EEXIST)
        return -errno;
    CLEANUP_CLOSE int fd =
        openat(placing->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    bool is_new = is_unfinished(fd);
    int result = is_new ? adjust_directory(placing, fd, depth) : 0;
    if (result == 0 && is_new && fsync(placing->fd) < 0)
        result = -errno;
    if (result < 0)
        return result;
    cleanup_close_fd(&placing->fd);
    placing->fd = steal_fd(&fd);
    return 0;
}

/* --- The file -------------------------------------------------------------------------------- */

/* Copies the entries behind the head. */
static int copy_entries(int from, int to)
{
    CLEANUP_FREE char *buffer = malloc(COPY_BYTES);
    off_t at = 0;
    if (!buffer)
        return -ENOMEM;
    for (;;) {
        ssize_t bytes = pread(from, buffer, COPY_BYTES, at);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes < 0 ? -errno : 0;
        int result = file_write_all(to, buffer, (size_t)bytes);
        if (result < 0)
            return result;
        at += bytes;
    }
}

static int write_file(const struct placing *placing, int fd)
{
    CLEANUP_TEXT struct text head = {0};
    const struct stat *root = &placing->manifest->root;
    published_head_append(&head, &placing->manifest->head);
    if (head.error)
        return head.error;
    if (head.length > PUBLISHED_HEAD_MAX)
        return -E2BIG;
    int result = file_write_all(fd, head.bytes, head.length);
    if (result == 0)
        result = copy_entries(placing->manifest->fd, fd);
    if (result == 0 && geteuid() == 0 && fchown(fd, root->st_uid, root->st_gid) < 0)
        result = -errno;
    if (geteuid() != 0)
        (void)!fchown(fd, -1, root->st_gid); /* who is not in that group cannot */
    if (result == 0 && fchmod(fd, (root->st_mode & FILE_BITS) | S_IRUSR | S_IWUSR) < 0)
        result = -errno;
    return result == 0 && fsync(fd) < 0 ? -errno : result;
}

/* A name for the file until it is renamed, which no other process has. */
static void choose_name(struct placing *placing, const char *name)
{
    uint64_t chance = (uint64_t)getpid();
    (void)!getrandom(&chance, sizeof(chance), GRND_NONBLOCK);
    snprintf(placing->aside, sizeof(placing->aside), ".%.16s.%016" PRIx64 ".tmp", name, chance);
}

/* Makes the file under a name of its own. */
static int make_aside(struct placing *placing, const char *name)
{
    choose_name(placing, name);
    CLEANUP_CLOSE int fd =
        openat(placing->fd, placing->aside, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        placing->aside[0] = '\0';
        return -errno;
    }
    return write_file(placing, fd);
}

static int place_file(struct placing *placing, const char *name)
{
    int result = make_aside(placing, name);
    if (result == 0 && renameat(placing->fd, placing->aside, placing->fd, name) < 0)
        result = -errno;
    if (result < 0 && placing->aside[0])
        unlinkat(placing->fd, placing->aside, 0);
    return result == 0 && fsync(placing->fd) < 0 ? -errno : result;
}

int publishing_place(const struct pkgcache_handle *handle,
                     const struct publishing_manifest *manifest, struct pkgcache_error *error)
{
    struct placing placing = {.handle = handle, .manifest = manifest, .error = error, .fd = -1};
    CLEANUP_FREE char *name = published_way_name(handle);
    CLEANUP_FREE char *path = published_way_path(handle);
    if (!name || !path)
        return error_set(error, ENOMEM, "out of memory");
    placing.path = path;
    placing.fd = open(handle->location, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int result = placing.fd < 0 ? -errno : 0;
    char *part = name;
    for (size_t depth = 1; depth < PUBLISHED_WAY_DIRECTORIES && result == 0; depth++) {
        char *slash = strchr(part, '/');
        *slash = '\0';
        result = enter(&placing, part, depth);
        part = slash + 1;
    }
    if (result == 0)
        result = place_file(&placing, part);
    cleanup_close_fd(&placing.fd);
    return result < 0 ? fail(&placing, -result) : 0;
}

int publishing_check_place(const struct pkgcache_handle *handle, const struct stat *root,
                           struct pkgcache_error *error)
{
    CLEANUP_FREE char *path = published_way_path(handle);
    struct published_way way;
    if (!path)
        return error_set(error, ENOMEM, "out of memory");
    if (geteuid() != 0 && geteuid() != root->st_uid)
        return error_set(error, EPERM,
                         "%s: the payload belongs to user %ju: only that user and root can publish "
                         "its manifest",
                         path, (uintmax_t)root->st_uid);
    int result = published_way_go(handle, path, &way, error);
    cleanup_close_fd(&way.fd);
    if (result < 0 && result != -ENOENT && result != -EACCES)
        return result;
    return published_way_judge(&way, handle, root->st_uid, error);
}
