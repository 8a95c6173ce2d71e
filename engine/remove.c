/*
 * Removing trees. Readers remove what they read, each in another directory; a directory goes with
 * the last thing in it. Links are removed, never followed, and this user's directories without
 * write permission are given it.
 *
 * Each directory keeps those above it open, and somebody may have made more levels than a process
 * may have descriptors. So a directory that is found very deep is moved up to the root of what is
 * being removed. When all else is gone, and closed, the root is read again for what was moved
 * there: as often as needed, so no tree is too deep.
 */
#include "engine/remove.h"

#include "engine/compiler.h"
#include "engine/finding.h"
#include "engine/finish.h"
#include "engine/same_mount.h"
#include "engine/schedule.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { MOVED_NAME_SIZE = 48 };

static const int open_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/* Where a directory's name is. */
static int parent_fd(const struct directory *directory)
{
    return directory->parent ? directory->parent->source_fd
                             : directory->job->copy.destination_dirfd;
}

static const char *name_in_parent(const struct directory *directory)
{
    return directory->parent ? directory->name : directory->job->copy.destination;
}

/* How many bytes go with a name, if that is to be counted: the size of a file without other names.
 */
static uint64_t find_bytes(const struct io_port *port, const struct copyengine_job *job, int dirfd,
                           const char *name)
{
    struct statx status;
    if (!job->counts_bytes || io_do(port, (struct io_op){.kind = IO_STAT,
                                                         .fd = dirfd,
                                                         .name = name,
                                                         .one_mount = true,
                                                         .flags = AT_SYMLINK_NOFOLLOW,
                                                         .data = &status}) < 0)
        return 0;
    return S_ISREG(status.stx_mode) && status.stx_nlink == 1 ? status.stx_size : 0;
}

/* Makes a directory of the tree writable for its owner. Returns whether it is. */
static bool make_writable(const struct io_port *port, const struct directory *directory)
{
    return io_do(port, (struct io_op){
                           .kind = IO_SET_MODE, .fd = directory->source_fd, .mode = S_IRWXU}) == 0;
}

/* @param parent of the name; NULL: the name is the root's, in a directory that stays as it is */
static int64_t remove_name(const struct io_port *port, const struct directory *parent, int dirfd,
                           const char *name, int flags)
{
    struct io_op op = {.kind = IO_REMOVE, .fd = dirfd, .name = name, .flags = flags};
    int64_t result = io_do(port, op);
    if (result == -EACCES && parent && make_writable(port, parent))
        result = io_do(port, op);
    return result == -ENOENT ? 0 : result;
}

/* A path may lead through mounts; a name in the directory of a tree may not. */
static int64_t open_directory(const struct io_port *port, int dirfd, const char *name)
{
    struct io_op op = {.kind = IO_OPEN,
                       .one_mount = !strchr(name, '/'),
                       .fd = dirfd,
                       .name = name,
                       .flags = open_flags};
    int64_t fd = io_do(port, op);
    if (fd == -EACCES &&
        io_do(port,
              (struct io_op){.kind = IO_SET_MODE, .fd = dirfd, .name = name, .mode = S_IRWXU}) == 0)
        fd = io_do(port, op);
    return fd;
}

/* Begins to move directories up under names that nobody can have foreseen. */
static void begin_round(struct copyengine_job *job)
{
    (void)!getrandom(&job->moved_number, sizeof(job->moved_number), 0);
    atomic_store(&job->moved_count, 0);
}

/* The root may be a file, or gone. Returns 1: it is a directory; 0: it is gone; or -errno. */
static int64_t remove_root_file(const struct io_port *port, const struct directory *root)
{
    int dirfd = parent_fd(root);
    const char *name = name_in_parent(root);
    uint64_t bytes = find_bytes(port, root->job, dirfd, name);
    int64_t result = io_do(port, (struct io_op){.kind = IO_REMOVE, .fd = dirfd, .name = name});
    if (result == 0 && bytes > 0)
        job_moved(root->job, bytes);
    if (result == -ENOENT)
        return 0;
    /* POSIX says EPERM for a directory, Linux EISDIR */
    return result == -EISDIR || result == -EPERM ? 1 : result;
}

/* What is left of a copy that failed is no second error, but is said. */
static void fail(const struct directory *directory, const char *operation, const char *name,
                 int code)
{
    struct copyengine_job *job = directory->job;
    char text[PATH_MAX + 128];
    bool mounted = code == EXDEV || code == EBUSY;
    job_fail_because(job, operation, JOB_DESTINATION, directory, name, code,
                     mounted ? SAME_MOUNT_WHY : NULL);
    if (!job->cleaning_up || atomic_exchange(&job->remains, true))
        return;
    snprintf(text, sizeof(text), "what was copied is left in %s: it cannot be removed: %s",
             job->copy.destination_shown, strerrordesc_np(code));
    job_warn(job, NULL, NULL, text);
}

static bool remove_open(const struct io_port *port, struct directory *directory)
{
    int64_t result = directory->parent ? 1 : remove_root_file(port, directory);
    if (!directory->parent)
        begin_round(directory->job);
    if (result == 1)
        result = open_directory(port, parent_fd(directory), name_in_parent(directory));
    else if (result == 0)
        return false;
    if (result == -ENOENT)
        return false;
    if (result < 0) {
        fail(directory, directory->parent ? "open" : "remove", NULL, (int)-result);
        return false;
    }
    directory->source_fd = (int)result;
    return true;
}

/* Moves a directory from deep inside up to the root, under a name that nobody can have foreseen. */
static bool move_up(const struct io_port *port, const struct directory *directory, const char *name,
                    const struct directory *root, const char *moved)
{
    struct io_op op = {.kind = IO_RENAME,
                       .fd = directory->source_fd,
                       .name = name,
                       .other_fd = root->source_fd,
                       .other_name = moved};
    struct io_op open_up = {
        .kind = IO_SET_MODE, .fd = directory->source_fd, .name = name, .mode = S_IRWXU};
    int64_t result = io_do(port, op);
    if (result == -EACCES && make_writable(port, root) && make_writable(port, directory)) {
        io_do(port, open_up); /* whose ".." changes */
        result = io_do(port, op);
    }
    return result == 0;
}

static void format_moved(const struct copyengine_job *job, char ret[static MOVED_NAME_SIZE])
{
    snprintf(ret, MOVED_NAME_SIZE, ".deep-%016llx-", (unsigned long long)job->moved_number);
}

/* Whether a name in the root is that of a directory that was moved up in this round. */
static bool was_moved(const struct copyengine_job *job, const char *name)
{
    char prefix[MOVED_NAME_SIZE];
    if (*name != '.' || atomic_load(&job->moved_count) == 0)
        return false;
    format_moved(job, prefix);
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Adds a directory to those that are to be emptied. */
static bool add_directory(struct finding *finding, struct directory *directory, const char *name)
{
    struct copyengine_job *job = directory->job;
    struct directory *root = directory;
    char moved[MOVED_NAME_SIZE];
    if (directory->depth < job->common->removal_depth_max)
        return finding_add_directory(finding, directory, name);
    while (root->parent)
        root = root->parent;
    format_moved(job, moved);
    size_t length = strlen(moved);
    snprintf(moved + length, sizeof(moved) - length, "%u",
             atomic_fetch_add(&job->moved_count, 1) + 1);
    return move_up(finding->port, directory, name, root, moved) ||
           finding_add_directory(finding, directory, name);
}

/* Removes an entry, or adds it to what is to be removed later. */
static bool remove_entry(struct finding *finding, struct directory *directory,
                         const struct dirent64 *entry)
{
    struct copyengine_job *job = directory->job;
    if (!directory->parent && was_moved(job, entry->d_name))
        return true; /* for the next round */
    if (entry->d_type == DT_DIR)
        return add_directory(finding, directory, entry->d_name);
    int dirfd = directory->source_fd;
    uint64_t bytes = find_bytes(finding->port, job, dirfd, entry->d_name);
    int64_t result = remove_name(finding->port, directory, dirfd, entry->d_name, 0);
    if (result == -EISDIR) /* a file system that does not tell types */
        return add_directory(finding, directory, entry->d_name);
    if (result < 0)
        fail(directory, "remove", entry->d_name, (int)-result);
    else
        job_completed(job, &job->files_done);
    if (result == 0 && bytes > 0)
        job_moved(job, bytes);
    return result == 0;
}

static void remove_unreadable(struct directory *directory, int code)
{
    if (code != ENOENT) /* somebody else removes it, too, and was faster */
        fail(directory, "read", NULL, code);
}

static void remove_complete(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    if (directory->source_fd < 0)
        return; /* it was gone */
    if (!directory->parent && atomic_load(&job->moved_count) > 0) {
        begin_round(job);
        directory->again = true;
        io_do(port, (struct io_op){.kind = IO_SEEK, .fd = directory->source_fd, .flags = SEEK_SET});
        return;
    }
    int64_t result = remove_name(port, directory->parent, parent_fd(directory),
                                 name_in_parent(directory), AT_REMOVEDIR);
    if (result < 0)
        fail(directory, "rmdir", NULL, (int)-result);
    else
        job_completed(job, &job->directories_done);
}

static void remove_finish(struct copyengine_job *job)
{
    bool settled = finish_settle(job);
    /* Of a copy that is cleaned up, the result stood before, and is not reported yet. */
    finish_leave(job, settled || job->cleaning_up);
}

const struct job_kind remove_kind = {
    .verb = "remove",
    .side = JOB_DESTINATION,
    .removes = true,
    .open = remove_open,
    .entry = remove_entry,
    .unreadable = remove_unreadable,
    .complete = remove_complete,
    .finish = remove_finish,
};

int remove_submit(struct engine_common *common, const struct copyengine_removal *removal,
                  struct copyengine_job **ret)
{
    struct copyengine_removal known;
    int result = take_struct(&known, sizeof(known), removal);
    if (result < 0)
        return result;
    if (!known.path || !*known.path)
        return -EINVAL;
    struct copyengine_job *job;
    result = job_new(common, &remove_kind,
                     &(struct copyengine_copy){
                         .destination_dirfd = known.dirfd,
                         .destination = known.path,
                         .on_progress = known.on_progress,
                         .progress_interval_ms = known.progress_interval_ms,
                         .on_done = known.on_done,
                         .context = known.context,
                         .priority = known.priority,
                     },
                     &job);
    if (result < 0)
        return result;
    job->counts_bytes = known.count_bytes;
    return schedule_submit(common->schedule, job, ret);
}
