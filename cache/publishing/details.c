/*
 * Each entry is looked up once more, below the root, and must be what the scan saw. It is not
 * opened for reading (O_PATH): on a server that would be three calls more for each.
 */
#include "cache/publishing/details.h"

#include "cache/util/beneath.h"
#include "cache/util/spread.h"
#include "engine/compiler.h"
#include "engine/device.h"
#include "engine/digest.h"

#include <fcntl.h>
#include <limits.h>

enum { PERMISSIONS = 01777, LOCAL_THREADS = 16, REMOTE_THREADS = 64 };

struct finding {
    int root_fd;
    bool sizes_may_lie;
    struct detail *details;
};

/* Whether an entry is what the scan saw. */
static bool is_same(const struct finding *finding, const struct detail *detail,
                    const struct stat *status)
{
    const struct manifest_record *record = &detail->record;
    mode_t type = record->type == 'd' ? S_IFDIR : record->type == 'l' ? S_IFLNK : S_IFREG;
    return (status->st_mode & S_IFMT) == type &&
           (record->type == 'l' || ((status->st_mode ^ record->mode) & PERMISSIONS) == 0) &&
           (record->type != 'f' || finding->sizes_may_lie ||
            (uint64_t)status->st_size == record->size) &&
           status->st_mtim.tv_sec == record->mtime.tv_sec &&
           status->st_mtim.tv_nsec == record->mtime.tv_nsec;
}

/* Reads what a link says, which must be what the scan digested. */
static int read_target(int fd, struct detail *detail)
{
    char target[PATH_MAX];
    XXH128_canonical_t digest;
    ssize_t length = readlinkat(fd, "", target, sizeof(target) - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    XXH128_canonicalFromHash(&digest, digest_of(target, (size_t)length));
    if (memcmp(digest.digest, detail->record.digest, sizeof(digest.digest)) != 0)
        return -ESTALE;
    detail->target = strdup(target);
    return detail->target ? 0 : -ENOMEM;
}

static int find_one(const struct finding *finding, struct detail *detail)
{
    struct stat status;
    char type = detail->record.type;
    int flags = type == 'l' ? O_PATH : type == 'd' ? O_RDONLY | O_DIRECTORY : O_RDONLY | O_NONBLOCK;
    CLEANUP_CLOSE int fd = beneath_open(finding->root_fd, detail->record.path, flags);
    if (fd < 0)
        return fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV ? -ESTALE : fd;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!is_same(finding, detail, &status))
        return -ESTALE;
    detail->names = type == 'd' ? 1 : status.st_nlink;
    detail->device = status.st_dev;
    detail->inode = status.st_ino;
    if (type == 'l')
        return read_target(fd, detail);
    int result = xattrs_read_unopened(fd, &detail->xattrs);
    detail->xattrs_unread = result < 0 && result != -ENOMEM && result != -E2BIG;
    return detail->xattrs_unread ? 0 : result;
}

static void find(void *context, size_t index)
{
    const struct finding *finding = context;
    struct detail *detail = &finding->details[index];
    if (detail->record.type != 'o' && !detail->record.error)
        detail->error = find_one(finding, detail);
}

void details_find(int root_fd, bool sizes_may_lie, struct detail *details, size_t count)
{
    struct finding finding = {root_fd, sizes_may_lie, details};
    spread_over(device_kind(root_fd) == DEVICE_REMOTE ? REMOTE_THREADS : LOCAL_THREADS, count, find,
                &finding);
}

void details_clear(struct detail *details, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(details[i].target);
        free(details[i].xattrs);
        details[i] = (struct detail){0};
    }
}
