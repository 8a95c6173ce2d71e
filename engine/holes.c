/* Asking for holes, and what the answers are worth. */
#include "engine/holes.h"

#include "engine/compiler.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

enum { STAT_BLOCK_BYTES = 512 }; /* the unit of stx_blocks */

/*
 * Has everything on its disk that was written to a file: in files that it keeps without extents,
 * ext4 takes for a hole what is not. cachestat(2), of Linux 6.5, tells whether there is such; but
 * it knows, and sync_file_range(2) writes, only what belongs to a file's own file system. Returns
 * false if it cannot be done.
 */
static bool flush(const struct io_port *port, int fd, bool stacked)
{
    struct io_page_state pages;
    struct io_op op = {.kind = IO_PAGE_STATE, .fd = fd, .data = &pages};
    bool clean = !stacked && io_do(port, op) == 0 && pages.dirty == 0 && pages.writeback == 0;
    return clean || io_do(port, (struct io_op){.kind = IO_FLUSH, .fd = fd, .flags = stacked}) == 0;
}

static int64_t seek(const struct io_port *port, int fd, uint64_t offset, int whence)
{
    return io_do(port,
                 (struct io_op){.kind = IO_SEEK, .fd = fd, .offset = offset, .flags = whence});
}

/*
 * The data from an offset on. Returns false when there is no telling: whatever the error is, a read
 * says what is wrong with the file. So does it when the answer leads nowhere.
 */
static bool find_data(const struct io_port *port, int fd, uint64_t offset, uint64_t end,
                      uint64_t *ret_offset, uint64_t *ret_end)
{
    int64_t data = seek(port, fd, offset, SEEK_DATA);
    *ret_offset = *ret_end = end;
    if (data == -ENXIO || data >= (int64_t)end) /* no more data */
        return true;
    if (data < (int64_t)offset)
        return false;
    int64_t hole = seek(port, fd, (uint64_t)data, SEEK_HOLE);
    if (hole <= data)
        return false;
    *ret_offset = (uint64_t)data;
    *ret_end = MIN((uint64_t)hole, end);
    return true;
}

uint64_t holes_data_bytes(uint64_t size, uint64_t blocks)
{
    return blocks > size / STAT_BLOCK_BYTES ? size : blocks * STAT_BLOCK_BYTES;
}

enum holes holes_learn(const struct io_port *port, int fd, bool stacked, uint64_t size,
                       uint64_t blocks)
{
    uint64_t offset, end;
    if (holes_data_bytes(size, blocks) == size)
        return HOLES_NONE;
    if (!flush(port, fd, stacked) || !find_data(port, fd, 0, size, &offset, &end))
        return HOLES_UNTOLD;
    /* What cannot tell says that all is data. */
    return offset == 0 && end == size ? HOLES_UNTOLD : HOLES_TOLD;
}

void holes_find_data(const struct io_port *port, int fd, uint64_t offset, uint64_t end,
                     uint64_t *ret_offset, uint64_t *ret_end)
{
    assert(offset < end);
    if (!find_data(port, fd, offset, end, ret_offset, ret_end)) {
        *ret_offset = offset;
        *ret_end = end;
    }
}
