/*
 * Copies of trees: what is opened and made for a directory, and what it is given when everything in
 * it is copied. Everything is opened by one name relative to a directory that is open, and links
 * are not followed (unless the job says so), so a copy never leaves the source; the destination is
 * made name by name in the same way, so it never leaves that either. Files are in transfer_copy.c.
 */
#include "engine/copy.h"

#include "engine/attr.h"
#include "engine/compiler.h"
#include "engine/destination.h"
#include "engine/finding.h"
#include "engine/schedule.h"
#include "engine/source.h"
#include "engine/symlink.h"
#include "engine/transfer_copy.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char is_inside[] = "the destination lies inside the source";

enum { PARENT_FLAGS = O_PATH | O_DIRECTORY | O_CLOEXEC };

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

/* Opens the directory that the destination is made in. Returns a descriptor or -1. */
static int open_destination_parent(const struct copyengine_job *job)
{
    CLEANUP_FREE char *parent = strdup(job->copy.destination);
    if (!parent)
        return -1;
    size_t length = strlen(parent);
    while (length > 1 && parent[length - 1] == '/')
        parent[--length] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    return openat(job->copy.destination_dirfd, slash ? parent : ".", PARENT_FLAGS);
}

/* Whether it is worth while to look whether one of them is below the other by another mount. */
static bool may_share_file_system(const struct directory *root, int fd)
{
    struct stat status;
    return (fstat(fd, &status) == 0 && status.st_dev == root->device) ||
           (device_kind(fd) == DEVICE_BTRFS && device_kind(root->source_fd) == DEVICE_BTRFS);
}

/*
 * Whether the destination's parent is the source, or lies in it: the copy would copy itself for
 * ever. Goes up from the parent to the root of the file system; if a bind mount leads to the
 * parent, that is another way than the one from the source.
 */
static bool destination_is_inside(const struct directory *root, int parent_fd)
{
    CLEANUP_CLOSE int fd = fcntl(parent_fd, F_DUPFD_CLOEXEC, 0);
    struct stat below = {0};
    while (fd >= 0) {
        struct stat status;
        bool known = fstat(fd, &status) == 0;
        bool inside = known && status.st_dev == root->device && status.st_ino == root->inode;
        bool top = !known || (status.st_dev == below.st_dev && status.st_ino == below.st_ino);
        if (inside)
            return true;
        int up = top ? -1 : openat(fd, "..", PARENT_FLAGS);
        below = status;
        close(fd);
        fd = up;
    }
    return may_share_file_system(root, parent_fd) &&
           copyengine_is_inside(parent_fd, root->source_fd);
}

/* Remembers where the destination is made. Returns whether that is not in the source. */
static bool check_destination(struct copyengine_job *job, const struct directory *root)
{
    struct stat status;
    CLEANUP_CLOSE int parent_fd = open_destination_parent(job);
    if (parent_fd < 0 || fstat(parent_fd, &status) < 0)
        return true; /* making the destination will say why */
    job->parent_device = status.st_dev;
    job->parent_inode = status.st_ino;
    if (!destination_is_inside(root, parent_fd))
        return true;
    job_fail_because(job, "mkdir", JOB_DESTINATION, NULL, NULL, EINVAL, is_inside);
    return false;
}

/*
 * A gluster brick that is down makes directories have mode 0 and lists only a part of what is in
 * them, without an error. Whoever can read one all the same (root) is told.
 */
static void warn_of_mode_0(const struct directory *directory)
{
    if ((directory->attributes.mode & (S_IRWXU | S_IRWXG | S_IRWXO)) == 0)
        job_warn(directory->job, directory, NULL,
                 "nobody may read this directory (mode 0), and what it lists may not be all: look "
                 "whether a part of its server is down");
}

/* Whether the source is the directory that the caller has looked at, if he has. */
static bool is_expected_source(const struct copyengine_copy *copy, const struct directory *root)
{
    return copy->source_inode == 0 ||
           (copy->source_inode == root->inode && copy->source_device == root->device);
}

static bool open_root(const struct io_port *port, struct directory *root)
{
    struct copyengine_job *job = root->job;
    int64_t fd = source_open_directory(port, AT_FDCWD, job->copy.source, 0, false);
    root->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, NULL, NULL, (int)-fd);
        return false;
    }
    if (!source_stat_directory(port, root))
        return false;
    if (!is_expected_source(&job->copy, root)) {
        job_fail_because(job, "open", JOB_SOURCE, NULL, NULL, ESTALE,
                         "another directory has taken its place: try again");
        return false;
    }
    warn_of_mode_0(root);
    if (!check_destination(job, root))
        return false;
    int result = symlink_learn_root(job);
    if (result < 0) {
        job_fail(job, "resolve", JOB_SOURCE, NULL, NULL, -result);
        return false;
    }
    return destination_make(port, root, job->copy.destination_dirfd, job->copy.destination);
}

/* Whether the walk has come to where the destination is made: by a mount in the source of a file
 * system that the destination is on, say. Numbers alone may be those of two directories (bindfs).
 */
static bool is_destination_parent(const struct directory *directory)
{
    const struct copyengine_job *job = directory->job;
    if (directory->device != job->parent_device || directory->inode != job->parent_inode)
        return false;
    CLEANUP_CLOSE int parent_fd = open_destination_parent(job);
    return parent_fd >= 0 && copyengine_is_inside(parent_fd, directory->source_fd);
}

static bool open_below(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    struct directory *parent = directory->parent;
    int64_t fd = source_open_directory(port, parent->source_fd, directory->name,
                                       job_follows_links(job) ? 0 : O_NOFOLLOW, false);
    directory->source_fd = (int)fd;
    if (fd < 0) {
        job_fail(job, "open", JOB_SOURCE, directory, NULL, (int)-fd);
        return false;
    }
    if (!source_stat_directory(port, directory))
        return false;
    if (!job_follows_links(job) && is_destination_parent(directory)) {
        job_fail_because(job, "mkdir", JOB_DESTINATION, NULL, NULL, EINVAL, is_inside);
        return false;
    }
    warn_of_mode_0(directory);
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
    return destination_make(port, directory, parent->destination_fd, directory->name);
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
        if (type == -EPERM && job_follows_links(job)) /* only a link that is followed says so */
            return symlink_leave_out(directory, name);
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
    if (directory->destination_fd < 0) /* it was not made */
        return;
    const struct attr_target target = {
        .port = port,
        .directory = directory,
        .source_fd = directory->source_fd,
        .destination_fd = directory->destination_fd,
    };
    int has_xattrs = attr_has_xattrs(&target);
    if (has_xattrs < 0)
        job_fail(directory->job, "listxattr", JOB_SOURCE, directory, NULL, -has_xattrs);
    else
        destination_complete(&target, directory, has_xattrs > 0);
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
    .finish = destination_finish,
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
