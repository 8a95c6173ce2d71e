/*
 * Attributes. Of the xattrs, those of users and POSIX ACLs (acl(5), which the kernel shows as
 * system.posix_acl_*) belong to a copy; security.* and trusted.* say what this machine thinks of
 * the file, and are the new file's own.
 *
 * Contents matter more than attributes: one that cannot be read, or that the destination refuses,
 * is lost, and the job's owner is warned of it. Nothing is remembered of file systems that have no
 * xattrs. The call that would be saved is cheap, and in a tree there may be several of them.
 */
#include "engine/attr.h"

#include "engine/acl.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

enum {
    SMALL_BYTES = 1024,
    TEXT_BYTES = XATTR_NAME_MAX + 256,
    /* Times in between can be kept by any file system but the oldest: FAT begins in 1980, and 32
     * bits end in 2038. */
    USUAL_FIRST_S = 315619200,
    USUAL_LAST_S = INT32_MAX,
};

#define ACCESS_ACL "system.posix_acl_access"

static const mode_t set_id_bits = S_ISUID | S_ISGID;

mode_t attr_permissions(const struct copyengine_job *job, mode_t mode)
{
    mode_t kept = S_ISVTX | S_IRWXU | S_IRWXG | S_IRWXO | (job->copy.set_id ? set_id_bits : 0);
    if (job->copy.owned_directories && S_ISDIR(mode))
        kept &= ~(mode_t)(S_ISVTX | S_IWGRP | S_IWOTH);
    return mode & kept;
}

/* --- Extended attributes --------------------------------------------------------------------- */

static bool is_acl(const char *name)
{
    return strcmp(name, ACCESS_ACL) == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

static bool is_wanted(const struct copyengine_job *job, const char *name)
{
    return strncmp(name, "user.", 5) == 0 || is_acl(name) ||
           (job->copy.set_id && strcmp(name, "security.capability") == 0);
}

static bool is_unsupported(int64_t result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS;
}

/* Whether an error says that xattrs of a source cannot be read, though its contents may be. */
static bool is_unreadable(int64_t result)
{
    switch (result) {
    case -EIO: /* rclone, for files */
    case -EUCLEAN:
    case -EBADMSG:
    case -EACCES:
    case -EPERM:
    case -EINVAL:
    case -E2BIG:
    case -ERANGE:
        return true;
    default:
        return is_unsupported(result);
    }
}

/* Whether an error of the destination is about one attribute. A full disk is not. */
static bool is_refused(int fd, int64_t result)
{
    struct statvfs room;
    switch (result) {
    case -ENOSPC: /* ext4 has a block for all xattrs of a file */
        return fstatvfs(fd, &room) == 0 && room.f_bavail > 0;
    case -EIO: /* rclone has none, and says so */
    case -E2BIG:
    case -ERANGE:
    case -EINVAL: /* an ACL of a user that this user namespace does not know */
    case -EACCES:
    case -EPERM:
        return true;
    default:
        return is_unsupported(result);
    }
}

/* The names of all xattrs, one after the other; in `small` if they fit. *ret_allocated: free it. */
static int64_t list_xattrs(const struct io_port *port, int fd, char *small, char **ret,
                           char **ret_allocated)
{
    *ret = small;
    *ret_allocated = NULL;
    int64_t length = io_do(
        port,
        (struct io_op){.kind = IO_LIST_XATTR, .fd = fd, .data = small, .length = SMALL_BYTES});
    if (length != -ERANGE)
        return length;
    *ret = *ret_allocated = malloc(XATTR_LIST_MAX);
    if (!*ret)
        return -ENOMEM;
    return io_do(
        port,
        (struct io_op){.kind = IO_LIST_XATTR, .fd = fd, .data = *ret, .length = XATTR_LIST_MAX});
}

/* Takes an error of listing: a job says once that xattrs cannot be read. Returns 0 or -errno. */
static int take_list_error(const struct attr_target *target, int64_t result)
{
    struct copyengine_job *job = target->directory->job;
    char text[TEXT_BYTES];
    if (is_unsupported(result)) /* there are none */
        return 0;
    if (!is_unreadable(result))
        return (int)result;
    snprintf(
        text, sizeof(text),
        "whether it has extended attributes or ACLs cannot be read (%s): it is copied without. "
        "This is said of the first such file only",
        strerrordesc_np((int)-result));
    if (!atomic_exchange(&job->xattrs_unread, true))
        job_warn(job, target->directory, target->name, text);
    return 0;
}

int attr_has_xattrs(const struct attr_target *target)
{
    char small[SMALL_BYTES];
    char *names;
    CLEANUP_FREE char *allocated = NULL;
    int fd = target->source_fd;
    int64_t length =
        io_do(target->port, (struct io_op){.kind = IO_LIST_XATTR, .fd = fd}); /* the length */
    if (length > 0)
        length = list_xattrs(target->port, fd, small, &names, &allocated);
    for (int64_t at = 0; at < length; at += (int64_t)strlen(names + at) + 1)
        if (is_wanted(target->directory->job, names + at))
            return 1;
    return length < 0 ? take_list_error(target, length) : 0;
}

/* Warns that one xattr is lost. @param why NULL: what `result` means */
static void warn_lost(const struct attr_target *target, const char *name, int64_t result,
                      const char *why)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "%s %s is lost: %s", is_acl(name) ? "ACL" : "extended attribute",
             name, why ? why : strerrordesc_np((int)-result));
    job_warn(target->directory->job, target->directory, target->name, text);
}

/* Takes what the destination answered to an xattr. Returns 0 or -errno. */
static int take_set_result(const struct attr_target *target, const char *name, int64_t result)
{
    struct copyengine_job *job = target->directory->job;
    if (result >= 0)
        return 0;
    if (!is_refused(target->destination_fd, result))
        return (int)result;
    if (is_unsupported(result)) { /* of this kind: it may have others */
        if (!atomic_exchange(&job->xattrs_lost, true))
            job_warn(job, NULL, NULL,
                     "extended attributes or ACLs are lost: the destination's file system does "
                     "not support them. This is said once, for all files");
        return 0;
    }
    const char *why = NULL;
    if (result == -ENOSPC || result == -E2BIG || result == -ERANGE)
        why = "it is too large for the destination's file system";
    else if (result == -EINVAL && is_acl(name))
        why = "it names a user or group that does not exist in this user namespace";
    warn_lost(target, name, result, why);
    return 0;
}

/* @param mode that the copy shall have; less where an ACL is lost */
static int give_xattr(const struct attr_target *target, const struct copyengine_xattr *xattr,
                      mode_t *mode)
{
    int64_t result = io_do(target->port, (struct io_op){.kind = IO_SET_XATTR,
                                                        .fd = target->destination_fd,
                                                        .name = xattr->name,
                                                        .data = (void *)xattr->value,
                                                        .length = xattr->length});
    if (result < 0 && strcmp(xattr->name, ACCESS_ACL) == 0) {
        *mode = acl_narrow_mode(xattr->value, xattr->length, *mode);
        atomic_store_explicit(&target->directory->job->modes_narrowed, true, memory_order_relaxed);
    }
    return take_set_result(target, xattr->name, result);
}

static int copy_xattr(const struct attr_target *target, const char *name, mode_t *mode)
{
    char small[SMALL_BYTES];
    CLEANUP_FREE char *allocated = NULL;
    struct io_op op = {.kind = IO_GET_XATTR,
                       .fd = target->source_fd,
                       .name = name,
                       .data = small,
                       .length = sizeof(small)};
    int64_t length = io_do(target->port, op);
    if (length == -ERANGE) {
        op.data = allocated = malloc(XATTR_SIZE_MAX);
        op.length = XATTR_SIZE_MAX;
        length = allocated ? io_do(target->port, op) : -ENOMEM;
    }
    if (length == -ENODATA) /* removed in between */
        return 0;
    if (is_unreadable(length)) {
        warn_lost(target, name, length, NULL);
        return 0;
    }
    if (length < 0)
        return (int)length;
    return give_xattr(target, &(struct copyengine_xattr){name, op.data, (size_t)length}, mode);
}

static int give_xattrs(const struct attr_target *target, mode_t *mode)
{
    int result = 0;
    for (size_t i = 0; i < target->xattr_count && result == 0; i++)
        if (is_wanted(target->directory->job, target->xattrs[i].name))
            result = give_xattr(target, &target->xattrs[i], mode);
    return result;
}

bool attr_supplies_xattrs(const struct attr_target *target)
{
    for (size_t i = 0; i < target->xattr_count; i++)
        if (is_wanted(target->directory->job, target->xattrs[i].name))
            return true;
    return false;
}

static int copy_xattrs(const struct attr_target *target, mode_t *mode)
{
    char small[SMALL_BYTES];
    char *names;
    CLEANUP_FREE char *allocated = NULL;
    int64_t length = list_xattrs(target->port, target->source_fd, small, &names, &allocated);
    if (length < 0) /* though it had some a moment ago */
        return take_list_error(target, length);
    for (int64_t at = 0; at < length; at += (int64_t)strlen(names + at) + 1) {
        if (!is_wanted(target->directory->job, names + at))
            continue;
        int result = copy_xattr(target, names + at, mode);
        if (result < 0)
            return result;
    }
    return 0;
}

/* --- Times ----------------------------------------------------------------------------------- */

static bool is_usual(struct timespec time)
{
    return time.tv_sec >= USUAL_FIRST_S && time.tv_sec <= USUAL_LAST_S;
}

/* Whether an error says that a time cannot be set there, or not this one. */
static bool is_time_refused(int64_t result, bool is_link)
{
    switch (result) {
    case -EPERM:
    case -EINVAL:
    case -ERANGE:
    case -EOVERFLOW:
        return true;
    case -ENOENT: /* a server that follows the link */
        return is_link;
    default:
        return is_unsupported(result);
    }
}

/*
 * Sets both times: some servers do not understand UTIME_OMIT (bindfs then sets neither). The access
 * time is now, as of any file that was just made: programs that tidy up go by it.
 */
static int64_t set_times(const struct io_port *port, int fd, const char *name,
                         struct timespec mtime)
{
    struct timespec times[2] = {{0}, mtime};
    clock_gettime(CLOCK_REALTIME_COARSE, &times[0]);
    return io_do(port, (struct io_op){.kind = IO_SET_TIMES, .fd = fd, .name = name, .data = times});
}

static int64_t ask(const struct io_port *port, int fd, const char *name, struct statx *ret)
{
    return io_do(
        port,
        (struct io_op){
            .kind = IO_STAT, .fd = fd, .name = name, .flags = AT_SYMLINK_NOFOLLOW, .data = ret});
}

static struct timespec time_of(const struct statx *copy)
{
    return (struct timespec){.tv_sec = copy->stx_mtime.tv_sec, .tv_nsec = copy->stx_mtime.tv_nsec};
}

/* Takes the time that the copy has. Fractions of seconds that are coarser there are not worth a
 * word. */
static void take_time(const struct attr_target *target, const struct statx *copy, bool refused,
                      struct timespec *mtime)
{
    struct copyengine_job *job = target->directory->job;
    if ((refused || copy->stx_mtime.tv_sec != mtime->tv_sec) &&
        !atomic_exchange(&job->times_lost, true))
        job_warn(job, target->directory, target->name,
                 "its modification time is another one in the copy: the destination's file system "
                 "cannot keep it. This is said of the first such file only");
    *mtime = time_of(copy);
}

/* --- Modes ----------------------------------------------------------------------------------- */

static bool keeps_modes(const struct copyengine_job *job)
{
    return atomic_load_explicit(&job->pair->keeps_modes, memory_order_relaxed);
}

/* Takes the mode that the copy has. */
static void take_mode(const struct attr_target *target, const struct statx *copy, mode_t *mode)
{
    struct copyengine_job *job = target->directory->job;
    const mode_t permissions = S_IRWXU | S_IRWXG | S_IRWXO;
    if (((copy->stx_mode ^ *mode) & permissions) != 0 && !atomic_exchange(&job->modes_lost, true))
        job_warn(job, target->directory, target->name,
                 "its mode is another one in the copy: the destination's file system does not keep "
                 "modes. This is said of the first such file only");
    *mode = copy->stx_mode & ~(mode_t)S_IFMT;
}

/* --- What a destination keeps ---------------------------------------------------------------- */

int attr_learn_destination(const struct io_port *port, const struct directory *root)
{
    /* 2001; FAT keeps even seconds, others milliseconds */
    const struct timespec odd = {.tv_sec = 981173107, .tv_nsec = 123456789};
    const struct copyengine_job *job = root->job;
    struct device_pair *pair = job->pair;
    struct io_op op = {.kind = IO_SET_MODE, .fd = root->destination_fd, .mode = S_IRWXU};
    struct statx copy;
    if (keeps_modes(job) && atomic_load(&pair->keeps_times))
        return 0;
    /* A set-gid bit that is inherited is a mode that is kept; who is not of the group would lose it
     * to a chmod. */
    bool inherits = job->inherited_bits != 0;
    bool mode_set = !inherits && io_do(port, op) == 0;
    bool time_set = set_times(port, op.fd, NULL, odd) == 0;
    if (ask(port, op.fd, NULL, &copy) == 0) {
        struct timespec kept = time_of(&copy);
        if (inherits || (mode_set && (copy.stx_mode & ~(mode_t)S_IFMT) == op.mode))
            atomic_store(&pair->keeps_modes, true);
        if (time_set && kept.tv_sec == odd.tv_sec && kept.tv_nsec == odd.tv_nsec)
            atomic_store(&pair->keeps_times, true);
    }
    op.mode |= root->attributes.mode & ~set_id_bits;
    return mode_set ? (int)io_do(port, op) : 0;
}

bool attr_keeps(const struct copyengine_job *job, const struct attributes *attributes)
{
    return keeps_modes(job) && is_usual(attributes->mtime) &&
           atomic_load_explicit(&job->pair->keeps_times, memory_order_relaxed);
}

/* Notes what the destination made of attributes, where it does not keep them. fd, name: the copy.
 * Returns 0 or -errno. */
static int note_kept(const struct attr_target *target, int fd, const char *name, bool time_refused,
                     struct attributes *attributes)
{
    const struct copyengine_job *job = target->directory->job;
    struct statx copy;
    int64_t result = ask(target->port, fd, name, &copy);
    if (result < 0)
        return (int)result;
    take_time(target, &copy, time_refused, &attributes->mtime);
    if (!keeps_modes(job))
        take_mode(target, &copy, &attributes->mode);
    else if (atomic_load_explicit(&job->modes_narrowed, memory_order_relaxed))
        attributes->mode &= copy.stx_mode | ~(mode_t)S_IRWXG;
    return 0;
}

int attr_note_linked(const struct attr_target *target, struct attributes *attributes)
{
    const struct copyengine_job *job = target->directory->job;
    if (!atomic_load_explicit(&job->modes_narrowed, memory_order_relaxed) &&
        attr_keeps(job, attributes))
        return 0;
    return note_kept(target, target->directory->destination_fd, target->name, false, attributes);
}

int attr_set_link_time(const struct io_port *port, const struct directory *directory,
                       const char *name, bool settable, struct timespec *mtime)
{
    const struct attr_target target = {
        .port = port,
        .directory = directory,
        .name = name,
        .source_fd = -1,
        .destination_fd = -1,
    };
    atomic_bool *keeps = &directory->job->pair->keeps_link_times;
    const struct timespec wanted = *mtime;
    struct statx copy;
    int64_t set = settable ? set_times(port, directory->destination_fd, name, wanted) : -EOPNOTSUPP;
    if (set < 0 && !is_time_refused(set, true))
        return (int)set;
    if (set == 0 && is_usual(wanted) && atomic_load_explicit(keeps, memory_order_relaxed))
        return 0;
    int64_t result = ask(port, directory->destination_fd, name, &copy);
    if (result < 0)
        return (int)result;
    take_time(&target, &copy, set < 0, mtime);
    if (is_usual(wanted) && wanted.tv_sec % 2 != 0 && mtime->tv_sec == wanted.tv_sec &&
        mtime->tv_nsec == wanted.tv_nsec)
        atomic_store_explicit(keeps, true, memory_order_relaxed);
    return 0;
}

/* Sets the times of a file or directory, and notes what was not kept. */
static int set_time(const struct attr_target *target, struct attributes *attributes)
{
    int64_t result = set_times(target->port, target->destination_fd, NULL, attributes->mtime);
    if (result < 0 && !is_time_refused(result, false))
        return (int)result;
    if (result == 0 && attr_keeps(target->directory->job, attributes))
        return 0;
    return note_kept(target, target->destination_fd, NULL, result < 0, attributes);
}

/* --- All of them ----------------------------------------------------------------------------- */

int attr_set(const struct attr_target *target, struct attributes *attributes, bool has_xattrs,
             bool set_mode, const char **ret_failed)
{
    const mode_t wanted = attributes->mode;
    int64_t result = 0;
    if (target->directory->job->copy.owner) {
        *ret_failed = "chown";
        result = io_do(target->port, (struct io_op){.kind = IO_SET_OWNER,
                                                    .fd = target->destination_fd,
                                                    .user = attributes->user,
                                                    .group = attributes->group});
    }
    if (result == 0 && has_xattrs) {
        *ret_failed = "setxattr";
        result = target->source_fd < 0 ? give_xattrs(target, &attributes->mode)
                                       : copy_xattrs(target, &attributes->mode);
        if (attributes->mode != wanted)
            set_mode = true;
    }
    if (result == 0 && (set_mode || attributes->mode & set_id_bits)) {
        *ret_failed = "chmod";
        result = io_do(target->port, (struct io_op){.kind = IO_SET_MODE,
                                                    .fd = target->destination_fd,
                                                    .mode = attributes->mode});
        if (!keeps_modes(target->directory->job) && (result == -EPERM || is_unsupported(result)))
            result = 0;
    }
    if (result == 0) {
        *ret_failed = "utimens";
        result = set_time(target, attributes);
    }
    return (int)result;
}
