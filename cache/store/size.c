/* Sizes of payloads. Adding them up, and what follows from that, is clean's business. */
#include "cache/store/size.h"

#include "cache/store/slot_name.h"

#include "engine/compiler.h"

#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

static const char attribute[] = "user.pkgcache.size";

static bool read_number(const char **at, const char *end, char terminator, uint64_t *ret)
{
    uint64_t value = 0;
    const char *digits = *at;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
            return false;
    bool ended = terminator ? *at < end && **at == terminator : *at == end;
    if (*at == digits || !ended || value > INT64_MAX)
        return false;
    *at += terminator != '\0';
    *ret = value;
    return true;
}

int size_parse(const char *text, size_t length, struct size *ret)
{
    struct size size;
    const char *at = text;
    const char *end = text + length;
    if (!read_number(&at, end, ' ', &size.bytes) || !read_number(&at, end, '\0', &size.files))
        return -EBADMSG;
    *ret = size;
    return 0;
}

int size_keep(int sidecar_fd, const struct size *size)
{
    char text[SIZE_TEXT_MAX];
    int length = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, size->bytes, size->files);
    return fsetxattr(sidecar_fd, attribute, text, (size_t)length, 0) < 0 ? -errno : 0;
}

int size_kept(int sidecar_fd, struct size *ret)
{
    char text[SIZE_TEXT_MAX];
    ssize_t length = fgetxattr(sidecar_fd, attribute, text, sizeof(text));
    return length < 0 ? -errno : size_parse(text, (size_t)length, ret);
}

/* Of a file that has several names here, each counts for its part. */
static uint64_t bytes_of(const struct stat *status)
{
    uint64_t bytes = (uint64_t)status->st_size;
    uint64_t allocated = (uint64_t)status->st_blocks * 512;
    if (allocated > 0) /* 0: inside the inode, or not written yet */
        bytes = MIN(bytes, allocated);
    return bytes / MAX(status->st_nlink, (nlink_t)1);
}

int size_count(int dirfd, const char *name, struct size *ret)
{
    char path[64 + NAME_MAX];
    char *paths[] = {path, NULL};
    *ret = (struct size){0};
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    snprintf(path, sizeof(path), "/proc/self/fd/%d/", fd);
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!walk)
        return -errno;
    for (FTSENT *entry; (entry = fts_read(walk));)
        if (entry->fts_info == FTS_F) {
            ret->bytes += bytes_of(entry->fts_statp);
            ret->files++;
        }
    fts_close(walk);
    return 0;
}

int size_find(int hash_fd, const char *name, struct size *ret)
{
    char sidecar[SLOT_FILE_MAX];
    snprintf(sidecar, sizeof(sidecar), "%s.json", name);
    CLEANUP_CLOSE int fd = openat(hash_fd, sidecar, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (size_kept(fd, ret) == 0)
        return 0;
    int result = size_count(hash_fd, name, ret);
    if (result == 0)
        size_keep(fd, ret); /* where that is possible */
    return result;
}

int size_find_at(const char *root, struct size *ret)
{
    const char *name = strrchr(root, '/') + 1;
    CLEANUP_FREE char *directory = strndup(root, (size_t)(name - root));
    if (!directory)
        return -ENOMEM;
    CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : size_find(fd, name, ret);
}
