/*
 * Copies of trees: what is opened and made for a directory, and what it is given when everything in
 * it is copied. Everything is opened by one name relative to a directory that is open, and links
 * are not followed (unless the job says so), so a copy never leaves the source; the destination is
 * made name by name in the same way, so it never leaves that either. Files are in transfer_copy.c.
 */
#include "engine/copy.h"

#include "engine/attr.h"
#include "engine/compiler.h"
#include "engine/finding.h"
#include "engine/finish.h"
#include "engine/manifest.h"
#include "engine/remove.h"
#include "engine/schedule.h"
#include "engine/source.h"
#include "engine/symlink.h"
#include "engine/transfer_copy.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum {
    BTRFS_WORKERS_MAX = 4, /* it serialises on its trees: more only burn time (measured) */
};

/* Whether a directory of the source, which a link led to, is the copy. */
static bool is_root_of_copy(const struct directory *directory)
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
    job->modes_need_setting = atomic_load(&job->common->modes_masked) ||
                              fgetxattr(fd, "system.posix_acl_default", NULL, 0) >= 0;
    enum device_kind source = device_kind(root->source_fd), destination = device_kind(fd);
    job->source_latency = device_latency(source);
    /* Making files, and writing to the page cache, does not wait for a disk. */
    job->destination_latency = destination == DEVICE_REMOTE ? IO_REMOTE : IO_IMMEDIATE;
    job->pair = devices_find(&job->common->devices, root->device, status.st_dev);
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
    assert(directory->source_fd >= 0 && directory->destination_fd < 0);
    if (job_is_stopped(job)) /* while a server took its time: nothing is made any more */
        return false;
    int64_t result = io_do(port, (struct io_op){.kind = IO_MAKE_DIR,
                                                .fd = dirfd,
                                                .name = name,
                                                .mode = directory->attributes.mode | S_IRWXU});
    if (result == -EEXIST && !directory->parent) {
        job_fail_because(job, "mkdir", JOB_DESTINATION, directory, NULL, EEXIST,
                         "the destination already exists: remove it, or give another path");
        return false;
    }
    if (result < 0) {
        job_fail(job, "mkdir", JOB_DESTINATION, directory, NULL, (int)-result);
        return false;
    }
    if (!directory->parent)
        atomic_store(&job->destination_made, true);
    result = source_open_directory(port, dirfd, name, O_NOFOLLOW);
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
    int64_t fd = source_open_directory(port, AT_FDCWD, job->copy.source, 0);
    root->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, NULL, NULL, (int)-fd);
        return false;
    }
    if (!source_stat_directory(port, root))
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
    int64_t fd = source_open_directory(port, parent->source_fd, directory->name,
                                       job_follows_links(job) ? 0 : O_NOFOLLOW);
    directory->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, directory, NULL, (int)-fd);
        return false;
    }
    if (!source_stat_directory(port, directory))
        return false;
    if (job_follows_links(job) && is_loop(directory)) {
        job_fail_because(job, "open", JOB_SOURCE, directory, NULL, ELOOP,
                         "symbolic links form a loop");
        return false;
    }
    if (job_follows_links(job) && is_root_of_copy(directory)) {
        job_fail_because(job, "open", JOB_SOURCE, directory, NULL, EINVAL,
                         "a symbolic link leads to the destination");
        return false;
    }
    return make_destination(port, directory, parent->destination_fd, directory->name);
}

static bool copy_entry(struct finding *finding, struct directory *directory,
                       const struct dirent64 *entry)
{
    struct copyengine_job *job = directory->job;
    const char *name = entry->d_name;
    int type = finding_ask_type(finding, directory, entry);
    switch (type) {
    case DT_REG:
        return finding_add_file(finding, directory, name);
    case DT_DIR:
        return finding_add_directory(finding, directory, name);
    case DT_LNK:
        return symlink_copy(finding->port, directory, name);
    default:
        if (type < 0) {
            job_fail(job, "stat", JOB_SOURCE, directory, name, -type);
            return false;
        }
        job_warn(job, directory, name, "not copied: it is a socket, fifo or device");
        job_completed(job, &job->skipped);
        return true;
    }
}

static void copy_unreadable(struct directory *directory, int code)
{
    job_fail(directory->job, "read", JOB_SOURCE, directory, NULL, code);
}

static bool copy_open(const struct io_port *port, struct directory *directory)
{
    return directory->parent ? open_below(port, directory) : open_root(port, directory);
}

/* Sets what only now stays as it is: files made in a directory change its times. */
static void copy_complete(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    if (directory->destination_fd < 0) /* it was not made */
        return;
    const mode_t wanted = directory->attributes.mode;
    struct attributes attributes = directory->attributes;
    const char *failed = "";
    attributes.mode |= job->inherited_bits;
    if (!directory->parent) {
        job->result.root_mode = attributes.mode;
        job->result.root_mtime = attributes.mtime;
        if (job->copy.root_stays_writable)
            attributes.mode |= S_IRWXU;
    }
    int has_xattrs = attr_has_xattrs(port, job, directory->source_fd);
    if (has_xattrs < 0) {
        job_fail(job, "listxattr", JOB_SOURCE, directory, NULL, -has_xattrs);
        return;
    }
    bool made_otherwise = (wanted & S_IRWXU) != S_IRWXU;
    int result = attr_set(port, job, directory->source_fd, directory->destination_fd, &attributes,
                          has_xattrs > 0,
                          made_otherwise || has_xattrs > 0 || job->modes_need_setting, &failed);
    if (result < 0) {
        job_fail(job, failed, JOB_DESTINATION, directory, NULL, -result);
        return;
    }
    if (job->manifest)
        manifest_add_directory(job->manifest, directory);
    job_completed(job, &job->directories_done);
}

/* Turns a copy that failed into the removal of what it made. Returns false: there is nothing. */
static bool begin_cleanup(struct copyengine_job *job)
{
    if (job->result.error.code == 0 || !atomic_load(&job->destination_made))
        return false;
    struct directory *root = directory_new(job, NULL, "");
    if (!root)
        return false;
    pthread_mutex_lock(&job->lock);
    assert(job->ended && !job->cleaning_up);
    job->cleaning_up = true;
    job->kind = &remove_kind;
    atomic_store(&job->stopped, false);
    pthread_mutex_unlock(&job->lock);
    schedule_add_root(job->common->schedule, root);
    return true;
}

static void copy_finish(struct copyengine_job *job)
{
    finish_manifest(job, JOB_DESTINATION);
    bool settled = finish_settle(job); /* false: the job was abandoned, and somebody cleans up */
    if (!settled || !begin_cleanup(job))
        finish_leave(job, settled);
}

static const struct job_kind copy_kind = {
    .verb = "copy",
    .side = JOB_SOURCE,
    .read_by_workers_when_hot = true,
    .open = copy_open,
    .entry = copy_entry,
    .unreadable = copy_unreadable,
    .begin = transfer_begin_copy,
    .complete = copy_complete,
    .finish = copy_finish,
};

int copy_submit(struct engine_common *common, const struct copyengine_copy *copy,
                struct copyengine_job **ret)
{
    struct copyengine_copy known;
    int result = take_struct(&known, sizeof(known), copy);
    if (result < 0)
        return result;
    if (!known.source || !known.destination || !*known.source || !*known.destination)
        return -EINVAL;
    struct copyengine_job *job;
    result = job_new(common, &copy_kind, &known, &job);
    return result < 0 ? result : schedule_submit(common->schedule, job, ret);
}
