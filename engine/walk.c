/*
 * Reading directories. Everything is opened by one name relative to a directory that is open, and
 * links are not followed (unless the job says so), so a walk never leaves the source; the
 * destination is made name by name in the same way, so a copy never leaves it either.
 */
#include "engine/walk.h"

#include "engine/compiler.h"
#include "engine/symlink.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { BATCH_FILES_MAX = 64 };

static const mode_t permission_bits = S_ISVTX | S_IRWXU | S_IRWXG | S_IRWXO;

/* What one piece of a directory held. */
struct finding {
    struct directory *directories;
    struct batch *batches;
    const char *names[BATCH_FILES_MAX]; /* of the batch to be, inside the reader's buffer */
    unsigned name_count;
};

static bool follows(const struct copyengine_job *job)
{
    return job->copy.symlinks == COPYENGINE_SYMLINKS_FOLLOW;
}

static bool take_attributes(struct directory *directory)
{
    struct stat status;
    if (fstat(directory->source_fd, &status) < 0) {
        job_fail(directory->job, "stat", JOB_SOURCE, directory, NULL, errno);
        return false;
    }
    directory->device = status.st_dev;
    directory->inode = status.st_ino;
    directory->mode = status.st_mode & permission_bits;
    directory->mtime = status.st_mtim;
    return true;
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

/* Learns what the tree that was just made inherits from where it was made. */
static bool learn_destination(struct copyengine_job *job, int destination_fd)
{
    struct stat status;
    if (fstat(destination_fd, &status) < 0)
        return false;
    job->inherited_bits = status.st_mode & S_ISGID;
    job->modes_need_setting = atomic_load(&job->engine->modes_masked) ||
                              fgetxattr(destination_fd, "system.posix_acl_default", NULL, 0) >= 0;
    /* Making files, and writing to the page cache, does not wait for a disk. */
    job->destination_latency =
        device_latency(destination_fd) == IO_REMOTE ? IO_REMOTE : IO_IMMEDIATE;
    return true;
}

static bool make_destination(struct directory *directory, int dirfd, const char *name)
{
    struct copyengine_job *job = directory->job;
    if (job_is_stopped(job)) /* while a server took its time: nothing is made any more */
        return false;
    if (mkdirat(dirfd, name, directory->mode | S_IRWXU) < 0) {
        job_fail(job, "mkdir", JOB_DESTINATION, directory, NULL, errno);
        return false;
    }
    if (!directory->parent)
        job->destination_made = true;
    directory->destination_fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory->destination_fd < 0 ||
        (!directory->parent && !learn_destination(job, directory->destination_fd))) {
        job_fail(job, "open", JOB_DESTINATION, directory, NULL, errno);
        return false;
    }
    return true;
}

static bool open_root(struct directory *root)
{
    struct copyengine_job *job = root->job;
    root->source_fd = open(job->copy.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root->source_fd < 0) {
        job_fail(job, "open", JOB_SOURCE, NULL, NULL, errno);
        return false;
    }
    if (!take_attributes(root))
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
    job->source_latency = device_latency(root->source_fd);
    if (!make_destination(root, job->copy.destination_dirfd, job->copy.destination))
        return false;
    engine_grow(job->engine, job);
    return true;
}

static bool open_below(struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    struct directory *parent = directory->parent;
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follows(job) ? 0 : O_NOFOLLOW);
    directory->source_fd = openat(parent->source_fd, directory->name, flags);
    if (directory->source_fd < 0) {
        job_fail(job, "open", JOB_SOURCE, directory, NULL, errno);
        return false;
    }
    if (!take_attributes(directory))
        return false;
    if (follows(job) && is_loop(directory)) {
        job_fail_because(job, "open", JOB_SOURCE, directory, NULL, ELOOP,
                         "symbolic links form a loop");
        return false;
    }
    return make_destination(directory, parent->destination_fd, directory->name);
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
static unsigned char find_type(const struct directory *directory, const struct dirent64 *entry)
{
    bool follow = follows(directory->job);
    if (entry->d_type != DT_UNKNOWN && !(follow && entry->d_type == DT_LNK))
        return entry->d_type;
    struct stat status;
    if (fstatat(directory->source_fd, entry->d_name, &status, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        return DT_UNKNOWN;
    return (unsigned char)IFTODT(status.st_mode);
}

static bool add_entry(struct directory *directory, const struct dirent64 *entry,
                      struct finding *finding)
{
    struct copyengine_job *job = directory->job;
    const char *name = entry->d_name;
    switch (find_type(directory, entry)) {
    case DT_REG:
        finding->names[finding->name_count++] = name;
        return finding->name_count < BATCH_FILES_MAX || end_batch(directory, finding);
    case DT_DIR: {
        struct directory *found = directory_new(job, directory, name);
        if (!found) {
            job_fail(job, "read", JOB_SOURCE, directory, name, ENOMEM);
            return false;
        }
        found->next = finding->directories;
        finding->directories = found;
        return true;
    }
    case DT_LNK:
        return symlink_copy(directory, name);
    case DT_UNKNOWN:
        job_fail(job, "stat", JOB_SOURCE, directory, name, errno);
        return false;
    default:
        job_warn(job, directory, name, "is a socket, fifo or device: not copied");
        job_completed(job, &job->skipped);
        return true;
    }
}

/* Returns whether there is more to read. */
static bool read_piece(struct directory *directory, char *buffer, struct finding *finding)
{
    ssize_t bytes = getdents64(directory->source_fd, buffer, WALK_BUFFER_BYTES);
    if (bytes < 0)
        job_fail(directory->job, "read", JOB_SOURCE, directory, NULL, errno);
    if (bytes <= 0)
        return false;
    for (ssize_t at = 0; at < bytes;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
        at += entry->d_reclen;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!add_entry(directory, entry, finding))
            return false;
    }
    return end_batch(directory, finding);
}

void walk_read(struct copyengine *engine, struct directory *directory, char *buffer)
{
    struct copyengine_job *job = directory->job;
    struct finding finding = {0};
    bool more = !job_is_stopped(job);
    if (more && directory->source_fd < 0)
        more = directory->parent ? open_below(directory) : open_root(directory);
    more = more && read_piece(directory, buffer, &finding);
    schedule_add(engine, job, more ? directory : NULL, finding.directories, finding.batches);
    if (!more)
        directory_release(directory);
}
