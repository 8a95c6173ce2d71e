/* Sizes of payloads. Adding them up, and what follows from that, is clean's business. */
#include "cache/store/size.h"

#include "cache/store/own.h"
#include "cache/store/slot_name.h"
#include "cache/util/descent.h"
#include "cache/util/names.h"

#include "engine/compiler.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

enum {
    INLINE_BYTES_MAX = 4096, /* of a file without blocks: file systems keep no more in an inode */
    LEVELS = 4,              /* NAME, VERSION, HASH4, INC */
};

static const char attribute[] = "user.pkgcache.size";
static const int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

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
    struct size size = {0};
    struct statvfs disk;
    ssize_t length = fgetxattr(sidecar_fd, attribute, text, sizeof(text));
    int result = length < 0 ? -errno : size_parse(text, (size_t)length, &size);
    if (result < 0)
        return result;
    if (fstatvfs(sidecar_fd, &disk) == 0 && disk.f_blocks > 0 && disk.f_frsize > 0 &&
        size.bytes / disk.f_frsize > disk.f_blocks)
        return -EBADMSG; /* nothing so large was ever there */
    *ret = size;
    return 0;
}

/* Whether only this user or root can have written what was kept beside a sidecar. */
static bool is_trusted(int sidecar_fd)
{
    struct stat status;
    return fstat(sidecar_fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
           own_is_ours(&status);
}

/* Of a file that has several names here, each counts for its part; holes do not count. */
static uint64_t bytes_of(const struct stat *status)
{
    uint64_t allocated = MAX((uint64_t)status->st_blocks * 512, (uint64_t)INLINE_BYTES_MAX);
    return MIN((uint64_t)status->st_size, allocated) / MAX(status->st_nlink, (nlink_t)1);
}

static void count_file(void *context, const struct stat *status)
{
    struct size *size = context;
    if (!S_ISREG(status->st_mode))
        return;
    size->bytes += bytes_of(status);
    size->files++;
}

int size_count(int dirfd, const char *name, struct size *ret)
{
    *ret = (struct size){0};
    return descent_visit(dirfd, name, count_file, ret);
}

/* Counts what was not kept. @param sidecar_fd where to keep it, if that was all */
static int count_and_keep(int hash_fd, const char *name, int sidecar_fd, struct size *ret)
{
    int result = size_count(hash_fd, name, ret);
    if (result == 0)
        size_keep(sidecar_fd, ret); /* where that is possible */
    return MIN(result, 0);
}

int size_find(int hash_fd, const char *name, struct size *ret)
{
    char sidecar[SLOT_FILE_MAX];
    slot_sidecar_name(name, sidecar);
    CLEANUP_CLOSE int fd = names_open_file(hash_fd, sidecar, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    return size_kept(fd, ret) == 0 ? 0 : count_and_keep(hash_fd, name, fd, ret);
}

int size_find_trusted(int hash_fd, const char *name, int sidecar_fd, struct size *ret)
{
    if (is_trusted(sidecar_fd) && size_kept(sidecar_fd, ret) == 0)
        return 0;
    return count_and_keep(hash_fd, name, sidecar_fd, ret);
}

/* Opens the directory that a payload's name is in; from the cache's root on without links. */
static int open_hash_directory(char *root, const char **ret_name)
{
    char *names[LEVELS];
    for (int i = LEVELS; i-- > 0;) {
        char *slash = strrchr(root, '/');
        if (!slash)
            return -EINVAL;
        *slash = '\0';
        names[i] = slash + 1;
    }
    int fd = open(*root ? root : "/", directory_flags);
    for (int i = 0; i + 1 < LEVELS && fd >= 0; i++) {
        int below = names_open_directory(fd, names[i]);
        cleanup_close_fd(&fd);
        fd = below;
    }
    *ret_name = names[LEVELS - 1];
    return fd < 0 ? -errno : fd;
}

int size_find_at(const char *root, struct size *ret)
{
    const char *name;
    CLEANUP_FREE char *path = strdup(root);
    if (!path)
        return -ENOMEM;
    CLEANUP_CLOSE int fd = open_hash_directory(path, &name);
    return fd < 0 ? fd : size_find(fd, name, ret);
}
