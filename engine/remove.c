/*
 * Removing trees. Readers remove what they read, each in another directory; a directory goes with
 * the last thing in it. Links are removed, never followed, and directories without write permission
 * are given it.
 */
#include "engine/remove.h"

#include "engine/compiler.h"
#include "engine/finding.h"
#include "engine/finish.h"
#include "engine/schedule.h"

#include <fcntl.h>
#include <sys/stat.h>

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

static int64_t remove_name(const struct io_port *port, int dirfd, const char *name, int flags)
{
    struct io_op op = {.kind = IO_REMOVE, .fd = dirfd, .name = name, .flags = flags};
    int64_t result = io_do(port, op);
    if (result == -EACCES && dirfd != AT_FDCWD &&
        io_do(port, (struct io_op){.kind = IO_SET_MODE, .fd = dirfd, .mode = S_IRWXU}) == 0)
        result = io_do(port, op);
    return result == -ENOENT ? 0 : result;
}

static int64_t open_directory(const struct io_port *port, int dirfd, const char *name)
{
    struct io_op op = {.kind = IO_OPEN, .fd = dirfd, .name = name, .flags = open_flags};
    int64_t fd = io_do(port, op);
    if (fd == -EACCES &&
        io_do(port,
              (struct io_op){.kind = IO_SET_MODE, .fd = dirfd, .name = name, .mode = S_IRWXU}) == 0)
        fd = io_do(port, op);
    return fd;
}

/* The root may be a file, or gone. Returns 1: it is a directory; 0: it is gone; or -errno. */
static int64_t remove_root_file(const struct io_port *port, const struct directory *root)
{
    int64_t result = io_do(
        port,
        (struct io_op){.kind = IO_REMOVE, .fd = parent_fd(root), .name = name_in_parent(root)});
    if (result == -ENOENT)
        return 0;
    /* POSIX says EPERM for a directory, Linux EISDIR */
    return result == -EISDIR || result == -EPERM ? 1 : result;
}

static bool remove_open(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    int64_t result = directory->parent ? 1 : remove_root_file(port, directory);
    if (result == 1)
        result = open_directory(port, parent_fd(directory), name_in_parent(directory));
    else if (result == 0)
        return false;
    if (result == -ENOENT)
        return false;
    if (result < 0) {
        job_fail(job, directory->parent ? "open" : "remove", JOB_DESTINATION, directory, NULL,
                 (int)-result);
        return false;
    }
    directory->source_fd = (int)result;
    return true;
}

/* Removes an entry, or adds it to what is to be removed later. */
static bool remove_entry(struct finding *finding, struct directory *directory,
                         const struct dirent64 *entry)
{
    struct copyengine_job *job = directory->job;
    if (entry->d_type == DT_DIR)
        return finding_add_directory(finding, directory, entry->d_name);
    int64_t result = remove_name(finding->port, directory->source_fd, entry->d_name, 0);
    if (result == -EISDIR) /* a file system that does not tell types */
        return finding_add_directory(finding, directory, entry->d_name);
    if (result < 0)
        job_fail(job, "remove", JOB_DESTINATION, directory, entry->d_name, (int)-result);
    else
        job_completed(job, &job->files_done);
    return result == 0;
}

static void remove_unreadable(struct directory *directory, int code)
{
    if (code != ENOENT) /* somebody else removes it, too, and was faster */
        job_fail(directory->job, "read", JOB_DESTINATION, directory, NULL, code);
}

static void remove_complete(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    if (directory->source_fd < 0)
        return; /* it was gone */
    int64_t result =
        remove_name(port, parent_fd(directory), name_in_parent(directory), AT_REMOVEDIR);
    if (result < 0)
        job_fail(job, "rmdir", JOB_DESTINATION, directory, NULL, (int)-result);
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
    return result < 0 ? result : schedule_submit(common->schedule, job, ret);
}
