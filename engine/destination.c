/*
 * Making trees: directories, from their mkdir to their last attributes. A tree is made name by
 * name, each relative to a directory that is open and never followed, so it never leaves its
 * destination.
 */
#include "engine/destination.h"

#include "engine/finish.h"
#include "engine/manifest.h"
#include "engine/remove.h"
#include "engine/schedule.h"
#include "engine/source.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>

enum { BTRFS_WORKERS_MAX = 4 }; /* it serialises on its trees: more only burn time (measured) */

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
    job->pair = devices_enter(&job->common->devices, root->device, status.st_dev);
    if (!job->pair)
        return false;
    job->source_mount = root->mount;
    if (source == DEVICE_OVERLAY || destination == DEVICE_OVERLAY)
        atomic_store(&job->pair->flushes, true);
    job->workers_max = destination == DEVICE_BTRFS ? BTRFS_WORKERS_MAX : UINT_MAX;
    if (destination == DEVICE_BTRFS)
        atomic_store(&job->pair->no_allocate, true);
    return true;
}

bool destination_make(const struct io_port *port, struct directory *directory, int dirfd,
                      const char *name)
{
    struct copyengine_job *job = directory->job;
    assert(directory->destination_fd < 0);
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
    if (!directory->parent && job_is_stopped(job)) { /* while that hung: nobody else removes it */
        io_do(port,
              (struct io_op){.kind = IO_REMOVE, .fd = dirfd, .name = name, .flags = AT_REMOVEDIR});
        return false;
    }
    if (!directory->parent)
        atomic_store(&job->destination_made, true);
    result = source_open_directory(port, dirfd, name, O_NOFOLLOW, directory->parent);
    directory->destination_fd = (int)result;
    if (result >= 0 && !directory->parent && !learn_destination(job, directory))
        result = -errno;
    if (result < 0)
        job_fail(job, "open", JOB_DESTINATION, directory, NULL, (int)-result);
    if (result < 0 || directory->parent)
        return result >= 0;
    result = attr_learn_destination(port, directory);
    if (result < 0)
        job_fail(job, "chmod", JOB_DESTINATION, directory, NULL, (int)-result);
    return result >= 0;
}

/* Notes what a directory of the copy was given: less where its ACL was lost, and something else
 * where the destination does not keep it. */
static void take_kept(struct directory *directory, const struct attributes *given)
{
    struct copyengine_job *job = directory->job;
    const mode_t narrowed = given->mode | ~(mode_t)S_IRWXG;
    if (!directory->parent)
        job->result.root_mode &= narrowed;
    if (atomic_load(&job->pair->keeps_modes))
        directory->attributes.mode &= narrowed;
    else
        directory->attributes.mode = given->mode;
    directory->attributes.mtime = given->mtime;
}

void destination_complete(const struct attr_target *target, struct directory *directory,
                          bool has_xattrs)
{
    struct copyengine_job *job = directory->job;
    const mode_t wanted = directory->attributes.mode;
    struct attributes attributes = directory->attributes;
    const char *failed = "";
    assert(target->directory == directory && target->destination_fd >= 0);
    attributes.mode |= job->inherited_bits;
    if (!directory->parent) {
        job->result.root_mode = attributes.mode;
        job->result.root_mtime = attributes.mtime;
        if (job->copy.root_stays_writable)
            attributes.mode |= S_IRWXU;
    }
    bool made_otherwise = (wanted & S_IRWXU) != S_IRWXU;
    int result = attr_set(target, &attributes, has_xattrs,
                          made_otherwise || has_xattrs || job->modes_need_setting, &failed);
    if (result < 0) {
        job_fail(job, failed, JOB_DESTINATION, directory, NULL, -result);
        return;
    }
    take_kept(directory, &attributes);
    if (job->manifest)
        manifest_add_directory(job->manifest, directory);
    job_completed(job, &job->directories_done);
}

/* Turns a job that failed into the removal of what it made. Returns false: there is nothing. */
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
    schedule_add_directory(job->common->schedule, root);
    return true;
}

void destination_finish(struct copyengine_job *job)
{
    finish_manifest(job, JOB_DESTINATION);
    bool settled = finish_settle(job); /* false: the job was abandoned, and somebody cleans up */
    if (!settled || !begin_cleanup(job))
        finish_leave(job, settled);
}
