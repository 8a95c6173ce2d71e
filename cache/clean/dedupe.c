/* Sharing blocks, in pieces that each file system takes at once. */
#include "cache/clean/dedupe.h"

#include "engine/compiler.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    EXTENTS_AT_ONCE = 32,
    PIECE_BYTES = 16 << 20, /* Btrfs takes no more in one call */
};

struct extents {
    struct fiemap map;
    struct fiemap_extent extents[EXTENTS_AT_ONCE];
};

static int read_extents(int fd, uint64_t offset, struct extents *ret)
{
    *ret = (struct extents){.map = {.fm_start = offset,
                                    .fm_length = FIEMAP_MAX_OFFSET - offset,
                                    .fm_flags = FIEMAP_FLAG_SYNC,
                                    .fm_extent_count = EXTENTS_AT_ONCE}};
    return ioctl(fd, FS_IOC_FIEMAP, &ret->map) < 0 ? -errno : 0;
}

static bool is_same_extent(const struct fiemap_extent *a, const struct fiemap_extent *b)
{
    const uint32_t unknown =
        FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE;
    if (a->fe_flags & b->fe_flags & FIEMAP_EXTENT_DATA_INLINE)
        return true; /* nothing that could be shared */
    return a->fe_logical == b->fe_logical && a->fe_physical == b->fe_physical &&
           a->fe_length == b->fe_length && !((a->fe_flags | b->fe_flags) & unknown);
}

int dedupe_is_shared(int fd, int other_fd)
{
    struct extents ours;
    struct extents others = {0};
    for (uint64_t offset = 0;;) {
        int result = read_extents(fd, offset, &ours);
        if (result == 0)
            result = read_extents(other_fd, offset, &others);
        if (result < 0)
            return result;
        uint32_t count = ours.map.fm_mapped_extents;
        if (count != others.map.fm_mapped_extents)
            return 0;
        for (uint32_t i = 0; i < count; i++)
            if (!is_same_extent(&ours.extents[i], &others.extents[i]))
                return 0;
        if (count == 0)
            return 1;
        const struct fiemap_extent *last = &ours.extents[count - 1];
        if (last->fe_flags & FIEMAP_EXTENT_LAST)
            return 1;
        offset = last->fe_logical + last->fe_length;
    }
}

/* Shares a piece. Returns how many bytes were equal, or -errno. */
static int64_t share_piece(int fd, int other_fd, uint64_t offset, uint64_t length)
{
    struct {
        struct file_dedupe_range range;
        struct file_dedupe_range_info info;
    } piece = {
        .range = {.src_offset = offset, .src_length = length, .dest_count = 1},
        .info = {.dest_fd = other_fd, .dest_offset = offset},
    };
    if (ioctl(fd, FIDEDUPERANGE, &piece) < 0)
        return errno == ENOTTY ? -EOPNOTSUPP : -errno;
    if (piece.info.status == FILE_DEDUPE_RANGE_DIFFERS)
        return 0;
    return piece.info.status < 0 ? piece.info.status : (int64_t)piece.info.bytes_deduped;
}

bool dedupe_is_supported(int fd, int other_fd)
{
    return share_piece(fd, other_fd, 0, 0) != -EOPNOTSUPP;
}

int64_t dedupe_share(int fd, int other_fd, uint64_t size)
{
    uint64_t offset = 0;
    while (offset < size) {
        int64_t bytes = share_piece(fd, other_fd, offset, MIN(size - offset, PIECE_BYTES));
        if (bytes < 0)
            return bytes;
        if (bytes == 0)
            break;
        offset += (uint64_t)bytes;
    }
    return (int64_t)offset;
}
