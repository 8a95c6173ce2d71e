/*
 * Room. The rule is rez's: nothing is begun when less than the buffer is free; and when more of the
 * disk is used than the threshold says, only what leaves more than the buffer free.
 *
 * rez adds up the size of a payload before it copies it: a walk of a tree that is a millisecond a
 * file away, for a number that is wrong when others copy at the same time. Here the second half of
 * the rule is looked at while the copies grow: what all of them have written, and the room that
 * large files got beforehand, is missing in what the file system says is free, so together they
 * cannot overrun it by more than what is written between two looks.
 *
 * ext4, XFS and tmpfs count what is still to be written to disk as used. Btrfs does not, so there
 * the line can be crossed by what the kernel keeps in memory; a disk that is really full still says
 * ENOSPC in time.
 */
#include "cache/warm/space.h"

#include "engine/compiler.h"

#include <inttypes.h>
#include <sys/statvfs.h>

enum {
    INODES_KEPT = 1024,     /* as many, */
    INODES_KEPT_PART = 100, /* or a hundredth of all, if that is less */
    NEAR_BYTES = 1 << 30,   /* what may be written between two looks that are far apart */
    NEAR_INODES = 1 << 16,
};

int space_measure(int fd, struct space *ret)
{
    struct statvfs status;
    if (fstatvfs(fd, &status) < 0)
        return -errno;
    *ret = (struct space){
        .total_bytes = (uint64_t)status.f_blocks * status.f_frsize,
        .used_bytes = (uint64_t)(status.f_blocks - status.f_bfree) * status.f_frsize,
        .free_bytes = (uint64_t)status.f_bavail * status.f_frsize,
        .total_inodes = status.f_files,
        .free_inodes = status.f_favail,
    };
    if (status.f_blocks == 0) /* ramfs, FUSE programs without statfs: there is no telling */
        ret->free_bytes = UINT64_MAX;
    return 0;
}

/* Who keeps no room free wants the disk to be filled. */
static uint64_t inodes_kept(const struct space *space, const struct pkgcache_options *options)
{
    if (options->space_buffer_bytes == 0)
        return 0;
    return MIN(space->total_inodes / INODES_KEPT_PART, (uint64_t)INODES_KEPT);
}

static bool past_threshold(const struct space *space, const struct pkgcache_options *options)
{
    return (double)space->used_bytes * 100 >
           (double)space->total_bytes * options->used_threshold_percent;
}

bool space_is_short(const struct space *space, const struct pkgcache_options *options, bool begun,
                    char ret_reason[static SPACE_REASON_MAX])
{
    uint64_t buffer_bytes = options->space_buffer_bytes;
    uint64_t inodes = inodes_kept(space, options);
    bool bytes_short =
        past_threshold(space, options) && buffer_bytes > 0 && space->free_bytes <= buffer_bytes;
    if (bytes_short || (!begun && space->free_bytes < buffer_bytes)) {
        snprintf(ret_reason, SPACE_REASON_MAX,
                 "the cache's disk has %" PRIu64 " MiB left, and --space-buffer keeps %" PRIu64
                 " MiB free; make room with pkgcache clean",
                 space->free_bytes >> 20, buffer_bytes >> 20);
        return true;
    }
    if (space->total_inodes > 0 && space->free_inodes < inodes) {
        snprintf(ret_reason, SPACE_REASON_MAX,
                 "the cache's disk has room for only %" PRIu64
                 " more files (df -i); make room with pkgcache clean",
                 space->free_inodes);
        return true;
    }
    return false;
}

bool space_would_be_short(const struct space *space, const struct pkgcache_options *options,
                          uint64_t promised_bytes, uint64_t bytes, uint64_t inodes,
                          char ret_reason[static SPACE_REASON_MAX])
{
    if (space->free_bytes == UINT64_MAX)
        return false;
    uint64_t free_bytes = space->free_bytes - MIN(promised_bytes, space->free_bytes);
    struct space later = *space;
    later.used_bytes += promised_bytes + bytes;
    later.free_bytes = free_bytes - MIN(bytes, free_bytes);
    if (bytes > free_bytes || space_is_short(&later, options, true, ret_reason)) {
        snprintf(ret_reason, SPACE_REASON_MAX,
                 "its files have %" PRIu64 " MiB, and the cache's disk has %" PRIu64
                 " MiB left for them, of which --space-buffer keeps %" PRIu64
                 " MiB free; make room with pkgcache clean",
                 bytes >> 20, free_bytes >> 20, options->space_buffer_bytes >> 20);
        return true;
    }
    if (space->total_inodes > 0 && space->free_inodes < inodes) {
        snprintf(ret_reason, SPACE_REASON_MAX,
                 "it has %" PRIu64 " files and directories, and the cache's disk has room for only "
                 "%" PRIu64 " more (df -i); make room with pkgcache clean",
                 inodes, space->free_inodes);
        return true;
    }
    return false;
}

bool space_is_near(const struct space *space, const struct pkgcache_options *options)
{
    uint64_t inodes = inodes_kept(space, options);
    return (options->space_buffer_bytes > 0 &&
            space->free_bytes < options->space_buffer_bytes + NEAR_BYTES) ||
           (space->total_inodes > 0 && inodes > 0 && space->free_inodes < inodes + NEAR_INODES);
}
