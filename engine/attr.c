/*
 * Attributes. Of the xattrs, those of users and POSIX ACLs (acl(5), which the kernel shows as
 * system.posix_acl_*) belong to a copy; security.* and trusted.* say what this machine thinks of
 * the file, and are the new file's own.
 */
#include "engine/attr.h"

#include "engine/compiler.h"

#include <string.h>
#include <sys/xattr.h>

enum { SMALL_BYTES = 1024 };

static const mode_t set_id_bits = S_ISUID | S_ISGID;

mode_t attr_permissions(const struct copyengine_job *job, mode_t mode)
{
    return mode & (S_ISVTX | S_IRWXU | S_IRWXG | S_IRWXO | (job->copy.set_id ? set_id_bits : 0));
}

static bool is_wanted(const struct copyengine_job *job, const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0 ||
           (job->copy.set_id && strcmp(name, "security.capability") == 0);
}

static bool is_unsupported(int64_t result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS;
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

int attr_has_xattrs(const struct io_port *port, struct copyengine_job *job, int fd)
{
    char small[SMALL_BYTES];
    char *names;
    CLEANUP_FREE char *allocated = NULL;
    if (atomic_load_explicit(&job->pair->no_xattrs, memory_order_relaxed))
        return 0;
    int64_t listed = io_do(port, (struct io_op){.kind = IO_LIST_XATTR, .fd = fd}); /* the length */
    if (is_unsupported(listed)) {
        atomic_store_explicit(&job->pair->no_xattrs, true, memory_order_relaxed);
        return 0;
    }
    int64_t length = listed > 0 ? list_xattrs(port, fd, small, &names, &allocated) : listed;
    for (int64_t at = 0; at < length; at += (int64_t)strlen(names + at) + 1)
        if (is_wanted(job, names + at))
            return 1;
    return length < 0 ? (int)length : 0;
}

static int copy_xattr(const struct io_port *port, int source_fd, int destination_fd,
                      const char *name)
{
    char small[SMALL_BYTES];
    CLEANUP_FREE char *allocated = NULL;
    struct io_op op = {.kind = IO_GET_XATTR,
                       .fd = source_fd,
                       .name = name,
                       .data = small,
                       .length = sizeof(small)};
    int64_t length = io_do(port, op);
    if (length == -ERANGE) {
        op.data = allocated = malloc(XATTR_SIZE_MAX);
        op.length = XATTR_SIZE_MAX;
        length = allocated ? io_do(port, op) : -ENOMEM;
    }
    if (length == -ENODATA) /* removed in between */
        return 0;
    if (length < 0)
        return (int)length;
    op.kind = IO_SET_XATTR;
    op.fd = destination_fd;
    op.length = (size_t)length;
    return (int)io_do(port, op);
}

static int copy_xattrs(const struct io_port *port, struct copyengine_job *job, int source_fd,
                       int destination_fd)
{
    char small[SMALL_BYTES];
    char *names;
    CLEANUP_FREE char *allocated = NULL;
    int64_t length = list_xattrs(port, source_fd, small, &names, &allocated);
    for (int64_t at = 0; at < length; at += (int64_t)strlen(names + at) + 1) {
        if (!is_wanted(job, names + at))
            continue;
        int result = copy_xattr(port, source_fd, destination_fd, names + at);
        if (is_unsupported(result)) { /* of this kind: it may have others */
            if (!atomic_exchange(&job->xattrs_lost, true))
                job_warn(job, NULL, NULL,
                         "extended attributes or ACLs are lost: the destination's file system does "
                         "not support them");
        } else if (result < 0) {
            return result;
        }
    }
    return length < 0 ? (int)length : 0;
}

int attr_set(const struct io_port *port, struct copyengine_job *job, int source_fd,
             int destination_fd, const struct attributes *attributes, bool has_xattrs,
             bool set_mode, const char **ret_failed)
{
    int64_t result = 0;
    if (job->copy.owner) {
        *ret_failed = "chown";
        result = io_do(port, (struct io_op){.kind = IO_SET_OWNER,
                                            .fd = destination_fd,
                                            .user = attributes->user,
                                            .group = attributes->group});
    }
    if (result == 0 && has_xattrs) {
        *ret_failed = "setxattr";
        result = copy_xattrs(port, job, source_fd, destination_fd);
    }
    if (result == 0 && (set_mode || attributes->mode & set_id_bits)) {
        *ret_failed = "chmod";
        result = io_do(
            port,
            (struct io_op){.kind = IO_SET_MODE, .fd = destination_fd, .mode = attributes->mode});
    }
    if (result == 0) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, attributes->mtime};
        *ret_failed = "utimens";
        result =
            io_do(port, (struct io_op){.kind = IO_SET_TIMES, .fd = destination_fd, .data = times});
    }
    return (int)result;
}
