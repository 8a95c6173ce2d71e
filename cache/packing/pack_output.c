/* The files of a pack under way. */
#include "cache/packing/pack_output.h"

#include "cache/pack/seek_table.h"
#include "cache/pack/zstd_frame.h"
#include "cache/util/file.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    PIECE_BYTES = 64 << 20, /* after which the spool gives its room back */
    BUFFER_BYTES = 256 << 10,
};

char *pack_output_temporary_name(const char *path)
{
    char *name;
    return asprintf(&name, "%s.%d.tmp", path, getpid()) < 0 ? NULL : name;
}

/* The directory of a path, allocated. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int pack_output_open(const char *path, int fd, struct pack_output *ret,
                     struct pkgcache_error *error)
{
    const char *temporary = getenv("TMPDIR");
    CLEANUP_FREE char *directory =
        path ? directory_of(path) : strdup(temporary && *temporary ? temporary : "/tmp");
    *ret = PACK_OUTPUT_INIT;
    ret->path = path;
    if (!directory)
        return error_set(error, ENOMEM, "out of memory");
    if (path && file_check_place(path, error) < 0)
        return -error->code;
    ret->fd = path ? -1 : fd;
    ret->spool = file_open_unnamed(directory);
    ret->index = ret->spool < 0 ? -1 : file_open_unnamed(directory);
    int result = ret->spool < 0 ? ret->spool : ret->index;
    if (result >= 0)
        return 0;
    ret->spool = MAX(ret->spool, -1);
    ret->index = -1;
    pack_output_close(ret);
    return error_set(error, -result, "no file can be made in %s: %s", directory, strerror(-result));
}

int pack_output_check_room(const struct pack_output *output, uint64_t bytes,
                           struct pkgcache_error *error)
{
    struct statvfs room;
    if (fstatvfs(output->spool, &room) < 0 || room.f_blocks == 0)
        return 0;
    uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    if (bytes <= free_bytes)
        return 0;
    return error_set(
        error, ENOSPC,
        "%s: the files to be packed have %ju MB, and the disk has room for %ju MB: make "
        "room, or use --any-room if they can be compressed that much",
        output->path ? output->path : "$TMPDIR", (uintmax_t)bytes / 1000000,
        (uintmax_t)free_bytes / 1000000);
}

/* Moves all bytes of a file behind what is in another one. Returns how many, or -errno. */
static int64_t move_bytes(int from, int to)
{
    CLEANUP_FREE char *buffer = NULL;
    off_t at = 0;
    off_t freed = 0;
    bool by_kernel = true;
    for (;;) {
        ssize_t moved;
        if (by_kernel) {
            moved = copy_file_range(from, &at, to, NULL, PIECE_BYTES, 0);
            if (moved < 0 && errno != ENOSPC && errno != EDQUOT && errno != EIO) {
                by_kernel = false;
                continue;
            }
        } else {
            if (!buffer && !(buffer = malloc(BUFFER_BYTES)))
                return -ENOMEM;
            moved = pread(from, buffer, BUFFER_BYTES, at);
            int result = moved > 0 ? file_write_all(to, buffer, (size_t)moved) : 0;
            if (result < 0)
                return result;
            at += MAX(moved, 0);
        }
        if (moved < 0)
            return -errno;
        if (moved == 0)
            return at;
        if (at - freed >= PIECE_BYTES) { /* so that the pack needs its room only once */
            fallocate(from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, freed, at - freed);
            freed = at;
        }
    }
}

/* Opens the file that is to have the name. Returns a descriptor or -errno. */
static int open_final(struct pack_output *output)
{
    CLEANUP_FREE char *directory = directory_of(output->path);
    if (!directory)
        return -ENOMEM;
    int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        return fd;
    output->aside = pack_output_temporary_name(output->path);
    if (!output->aside)
        return -ENOMEM;
    unlink(output->aside); /* of a process that was killed, and had our number */
    fd = open(output->aside, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

/* Gives the complete file its name. Returns 0 or -errno. */
static int name_file(struct pack_output *output)
{
    CLEANUP_FREE char *directory = directory_of(output->path);
    char self[64];
    if (!directory)
        return -ENOMEM;
    if (!output->aside) {
        output->aside = pack_output_temporary_name(output->path);
        if (!output->aside)
            return -ENOMEM;
        unlink(output->aside);
        snprintf(self, sizeof(self), "/proc/self/fd/%d", output->fd);
        if (linkat(AT_FDCWD, self, AT_FDCWD, output->aside, AT_SYMLINK_FOLLOW) < 0)
            return -errno;
    }
    if (rename(output->aside, output->path) < 0)
        return -errno;
    free(STEAL(output->aside));
    CLEANUP_CLOSE int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory_fd < 0 || fsync(directory_fd) < 0 ? -errno : 0;
}

static int write_parts(struct pack_output *output, const void *head, size_t head_length,
                       const uint8_t *table, size_t table_length, uint64_t *ret_bytes)
{
    int result = file_write_all(output->fd, head, head_length);
    int64_t index = result < 0 ? result : move_bytes(output->index, output->fd);
    int64_t frames = index < 0 ? index : move_bytes(output->spool, output->fd);
    if (frames < 0)
        return (int)frames;
    *ret_bytes = head_length + (uint64_t)index + (uint64_t)frames + table_length;
    return file_write_all(output->fd, table, table_length);
}

int pack_output_finish(struct pack_output *output, const void *head, size_t head_length,
                       const struct frames_size *const sizes[2], const size_t counts[2],
                       uint64_t *ret_bytes, struct pkgcache_error *error)
{
    size_t length = seek_table_bytes(counts[0] + counts[1]);
    CLEANUP_FREE uint8_t *table = malloc(length);
    int result = table ? 0 : -ENOMEM;
    if (table)
        seek_table_fill(sizes, counts, table);
    if (result == 0 && output->path) {
        int fd = open_final(output);
        output->fd = MAX(fd, -1);
        result = MIN(fd, 0);
    }
    if (result == 0)
        result = write_parts(output, head, head_length, table, length, ret_bytes);
    if (result == 0 && output->path && fsync(output->fd) < 0)
        result = -errno;
    if (result == 0 && output->path && output->on_complete)
        output->on_complete(output->context);
    if (result == 0 && output->path)
        result = name_file(output);
    return result == 0
               ? 0
               : error_set(error, -result, "%s cannot be written: %s",
                           output->path ? output->path : "standard output", strerror(-result));
}

void pack_output_close(struct pack_output *output)
{
    if (output->path)
        cleanup_close_fd(&output->fd);
    cleanup_close_fd(&output->spool);
    cleanup_close_fd(&output->index);
    if (output->aside)
        unlink(output->aside);
    free(output->aside);
    *output = PACK_OUTPUT_INIT;
}
