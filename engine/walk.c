/*
 * Reading directories. Everything is opened by one name relative to a directory that is open, and
 * links are not followed (unless the job says so), so a walk never leaves the source; the
 * destination is made name by name in the same way, so a copy never leaves it either.
 */
#include "engine/walk.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/remove.h"
#include "engine/scan.h"
#include "engine/symlink.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

enum {
    BATCH_FILES_MAX = 64,
    BTRFS_WORKERS_MAX = 4, /* it serialises on its trees: more only burn time (measured) */
};

/* What one piece of a directory held. */
struct finding {
    const struct io_port *port;
    struct directory *directories;
    struct batch *batches;
    const char *names[BATCH_FILES_MAX]; /* of the batch to be, inside the reader's buffer */
    unsigned name_count;
};

static bool follows(const struct copyengine_job *job)
{
    return job->copy.symlinks == COPYENGINE_SYMLINKS_FOLLOW;
}

static int64_t open_name(const struct io_port *port, int dirfd, const char *name, int flags)
{
    return io_do(port, (struct io_op){.kind = IO_OPEN,
                                      .fd = dirfd,
                                      .name = name,
                                      .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags});
}

/* Looks at the directory that was opened. */
static bool take_attributes(const struct io_port *port, struct directory *directory)
{
    struct statx status;
    int64_t result =
        io_do(port, (struct io_op){.kind = IO_STAT, .fd = directory->source_fd, .data = &status});
    if (result < 0) {
        job_fail(directory->job, "stat", JOB_SOURCE, directory, NULL, (int)-result);
        return false;
    }
    directory->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    directory->inode = status.stx_ino;
    directory->attributes = (struct attributes){
        .mode = attr_permissions(directory->job, status.stx_mode),
        .user = status.stx_uid,
        .group = status.stx_gid,
        .mtime = {.tv_sec = status.stx_mtime.tv_sec, .tv_nsec = status.stx_mtime.tv_nsec},
    };
    return true;
}

/* Whether a directory of the source, which a link led to, is the copy. */
static bool is_copy(const struct directory *directory)
{
    const struct copyengine_job *job = directory->job;
    return directory->device == job->root_device && directory->inode == job->root_inode;
}

/* Only when links are followed can a directory contain itself. */
static bool is_loop(const struct directory *directory)
{
    for (const struct directory *above = directory->parent; above; above = above->parent)
        if (above->device == directory->device && above->inode == directory->inode)
            return true;
    return false;
}

/*
 * Whether the destination's parent is the source, or lies in it: the copy would copy itself for
 * ever. Goes up from the parent to the root of the file system.
 */
static bool destination_is_inside(const struct copyengine_job *job, const struct directory *root)
{
    CLEANUP_FREE char *parent = strdup(job->copy.destination);
    if (!parent)
        return false;
    size_t length = strlen(parent);
    while (length > 1 && parent[length - 1] == '/')
        parent[--length] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    int fd = openat(job->copy.destination_dirfd, slash ? parent : ".", flags);
    struct stat below = {0};
    while (fd >= 0) {
        struct stat status;
        bool known = fstat(fd, &status) == 0;
        bool inside = known && status.st_dev == root->device && status.st_ino == root->inode;
        bool top = !known || (status.st_dev == below.st_dev && status.st_ino == below.st_ino);
        int up = inside || top ? -1 : openat(fd, "..", flags);
        below = status;
        close(fd);
        if (inside)
            return true;
        fd = up;
    }
    return false;
}

/*
 * Learns what the tree that was just made inherits from where it was made, and what the two file
 * systems are like.
 */
static bool learn_destination(struct copyengine_job *job, const struct directory *root)
{
    struct stat status;
    int fd = root->destination_fd;
    if (fstat(fd, &status) < 0)
        return false;
    job->root_fd = fd;
    job->root_device = status.st_dev;
    job->root_inode = status.st_ino;
    job->inherited_bits = status.st_mode & S_ISGID;
    job->modes_need_setting = atomic_load(&job->engine->modes_masked) ||
                              fgetxattr(fd, "system.posix_acl_default", NULL, 0) >= 0;
    enum device_kind source = device_kind(root->source_fd), destination = device_kind(fd);
    job->source_latency = device_latency(source);
    /* Making files, and writing to the page cache, does not wait for a disk. */
    job->destination_latency = destination == DEVICE_REMOTE ? IO_REMOTE : IO_IMMEDIATE;
    job->pair = devices_find(&job->engine->devices, root->device, status.st_dev);
    if (!job->pair)
        return false;
    if (source == DEVICE_OVERLAY || destination == DEVICE_OVERLAY)
        atomic_store(&job->pair->flushes, true);
    job->workers_max = destination == DEVICE_BTRFS ? BTRFS_WORKERS_MAX : UINT_MAX;
    if (destination == DEVICE_BTRFS)
        atomic_store(&job->pair->no_allocate, true);
    return true;
}

static bool make_destination(const struct io_port *port, struct directory *directory, int dirfd,
                             const char *name)
{
    struct copyengine_job *job = directory->job;
    if (job_is_stopped(job)) /* while a server took its time: nothing is made any more */
        return false;
    int64_t result = io_do(port, (struct io_op){.kind = IO_MAKE_DIR,
                                                .fd = dirfd,
                                                .name = name,
                                                .mode = directory->attributes.mode | S_IRWXU});
    if (result == -EEXIST && !directory->parent) {
        job_fail_because(job, "mkdir", JOB_DESTINATION, directory, NULL, EEXIST,
                         "it exists; a copy is made where nothing is: name another, or remove it");
        return false;
    }
    if (result < 0) {
        job_fail(job, "mkdir", JOB_DESTINATION, directory, NULL, (int)-result);
        return false;
    }
    if (!directory->parent)
        atomic_store(&job->destination_made, true);
    result = open_name(port, dirfd, name, O_NOFOLLOW);
    directory->destination_fd = (int)result;
    if (result >= 0 && !directory->parent && !learn_destination(job, directory))
        result = -errno;
    if (result < 0)
        job_fail(job, "open", JOB_DESTINATION, directory, NULL, (int)-result);
    return result >= 0;
}

static bool open_root(const struct io_port *port, struct directory *root)
{
    struct copyengine_job *job = root->job;
    int64_t fd = open_name(port, AT_FDCWD, job->copy.source, 0);
    root->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, NULL, NULL, (int)-fd);
        return false;
    }
    if (!take_attributes(port, root))
        return false;
    if (destination_is_inside(job, root)) {
        job_fail_because(job, "mkdir", JOB_DESTINATION, NULL, NULL, EINVAL,
                         "the destination lies inside the source");
        return false;
    }
    int result = symlink_learn_root(job);
    if (result < 0) {
        job_fail(job, "resolve", JOB_SOURCE, NULL, NULL, -result);
        return false;
    }
    return make_destination(port, root, job->copy.destination_dirfd, job->copy.destination);
}

static bool open_below(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    struct directory *parent = directory->parent;
    int64_t fd = open_name(port, parent->source_fd, directory->name, follows(job) ? 0 : O_NOFOLLOW);
    directory->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, directory, NULL, (int)-fd);
        return false;
    }
    if (!take_attributes(port, directory))
        return false;
    if (follows(job) && is_loop(directory)) {
        job_fail_because(job, "open", JOB_SOURCE, directory, NULL, ELOOP,
                         "symbolic links form a loop");
        return false;
    }
    if (follows(job) && is_copy(directory)) {
        job_fail_because(job, "open", JOB_SOURCE, directory, NULL, EINVAL,
                         "a symbolic link leads to the destination");
        return false;
    }
    return make_destination(port, directory, parent->destination_fd, directory->name);
}

/* Opens a directory that is only read. */
static bool open_scanned(const struct io_port *port, struct directory *directory)
{
    const struct directory *parent = directory->parent;
    int64_t fd = open_name(port, parent ? parent->source_fd : AT_FDCWD,
                           parent ? directory->name : directory->job->copy.source, O_NOFOLLOW);
    directory->source_fd = (int)fd;
    if (fd < 0)
        return scan_failed(directory, NULL, 'd', "open", (int)-fd);
    return take_attributes(port, directory) && (parent || scan_learn_root(directory));
}

static bool open_directory(const struct io_port *port, struct directory *directory)
{
    if (directory->job->kind == JOB_REMOVAL)
        return remove_open(port, directory);
    if (directory->job->kind == JOB_SCAN)
        return open_scanned(port, directory);
    return directory->parent ? open_below(port, directory) : open_root(port, directory);
}

static bool end_batch(struct directory *directory, struct finding *finding)
{
    if (finding->name_count == 0)
        return true;
    struct batch *batch = batch_new(directory, finding->names, finding->name_count);
    if (!batch) {
        job_fail(directory->job, "read", JOB_SOURCE, directory, NULL, ENOMEM);
        return false;
    }
    batch->next = finding->batches;
    finding->batches = batch;
    finding->name_count = 0;
    return true;
}

/* The type of an entry, where the directory does not tell, or what it reaches is asked for. */
static int find_type(const struct io_port *port, const struct directory *directory,
                     const struct dirent64 *entry)
{
    bool follow = follows(directory->job);
    if (entry->d_type != DT_UNKNOWN && !(follow && entry->d_type == DT_LNK))
        return entry->d_type;
    struct statx status;
    int64_t result = io_do(port, (struct io_op){.kind = IO_STAT,
                                                .fd = directory->source_fd,
                                                .name = entry->d_name,
                                                .flags = follow ? 0 : AT_SYMLINK_NOFOLLOW,
                                                .data = &status});
    return result < 0 ? (int)result : IFTODT(status.stx_mode);
}

static bool add_directory(struct directory *parent, const char *name, struct finding *finding)
{
    struct directory *found = directory_new(parent->job, parent, name);
    if (!found) {
        job_fail(parent->job, "read", JOB_SOURCE, parent, name, ENOMEM);
        return false;
    }
    found->next = finding->directories;
    finding->directories = found;
    return true;
}

static bool add_entry(struct directory *directory, const struct dirent64 *entry,
                      struct finding *finding)
{
    struct copyengine_job *job = directory->job;
    const char *name = entry->d_name;
    int type = find_type(finding->port, directory, entry);
    switch (type) {
    case DT_REG:
        finding->names[finding->name_count++] = name;
        return finding->name_count < BATCH_FILES_MAX || end_batch(directory, finding);
    case DT_DIR:
        return add_directory(directory, name, finding);
    case DT_LNK:
        return job->kind == JOB_SCAN ? symlink_scan(finding->port, directory, name)
                                     : symlink_copy(finding->port, directory, name);
    default:
        if (job->kind == JOB_SCAN)
            return scan_failed(directory, name, 'o', "stat", type < 0 ? -type : 0);
        if (type < 0) {
            job_fail(job, "stat", JOB_SOURCE, directory, name, -type);
            return false;
        }
        job_warn(job, directory, name, "is a socket, fifo or device: not copied");
        job_completed(job, &job->skipped);
        return true;
    }
}

/* Removes an entry, or adds it to what is to be removed later. */
static bool take_away_entry(struct directory *directory, const struct dirent64 *entry,
                            struct finding *finding)
{
    bool is_directory;
    return remove_entry(finding->port, directory, entry, &is_directory) &&
           (!is_directory || add_directory(directory, entry->d_name, finding));
}

/* Returns whether there is more to read. */
static bool read_piece(struct directory *directory, char *buffer, struct finding *finding)
{
    bool removal = directory->job->kind == JOB_REMOVAL;
    bool scan = directory->job->kind == JOB_SCAN;
    uint64_t began_ns = clock_monotonic_ns();
    int64_t bytes = io_do(finding->port, (struct io_op){.kind = IO_LIST,
                                                        .fd = directory->source_fd,
                                                        .data = buffer,
                                                        .length = WALK_BUFFER_BYTES});
    if (directory->job->kind == JOB_COPY && bytes > 0)
        device_pair_learn(directory->job->pair, began_ns, bytes);
    if (bytes < 0 && scan)
        return scan_unreadable(directory, (int)-bytes);
    if (removal && bytes == -ENOENT) /* somebody else removes it, too, and was faster */
        bytes = 0;
    if (bytes < 0)
        job_fail(directory->job, "read", removal ? JOB_DESTINATION : JOB_SOURCE, directory, NULL,
                 (int)-bytes);
    if (bytes <= 0)
        return false;
    for (int64_t at = 0; at < bytes;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
        at += entry->d_reclen;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (job_is_stopped(directory->job) ||
            !(removal ? take_away_entry : add_entry)(directory, entry, finding))
            return false;
    }
    return end_batch(directory, finding);
}

void walk_read(struct copyengine *engine, const struct io_port *port, struct directory *directory,
               char *buffer)
{
    struct finding finding = {.port = port};
    bool more = !job_is_stopped(directory->job);
    if (more && directory->source_fd < 0)
        more = open_directory(port, directory);
    more = more && read_piece(directory, buffer, &finding);
    schedule_add(engine, directory, more, finding.directories, finding.batches);
    if (!more)
        directory_release(port, directory);
}
