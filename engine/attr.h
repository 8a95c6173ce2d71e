/* What a copy keeps of a file or directory beside its contents: owner, xattrs, ACLs, mode, times.
 */
#pragma once

#include "engine/directory.h"
#include "engine/job.h"

/** A file or directory, and the copy of it that gets its attributes. */
struct attr_target {
    const struct io_port *port;
    const struct directory *directory;     /* that it is in, or that it is */
    const char *name;                      /* NULL: it is the directory */
    int source_fd;                         /* -1: of a supply, which has the xattrs itself */
    int destination_fd;                    /* -1: not open yet */
    const struct copyengine_xattr *xattrs; /* of a supply */
    size_t xattr_count;
};

/** The permission bits that a copy takes over: without set-id unless the job asks for it. */
mode_t attr_permissions(const struct copyengine_job *job, mode_t mode);

/**
 * Whether a source has xattrs that its copy shall have: those of users, and POSIX ACLs.
 *
 * @return 1; 0, also when they cannot be read, and the job's owner was warned of that; or -errno
 */
int attr_has_xattrs(const struct attr_target *target);

/** Whether a supply has xattrs that are wanted for a file or directory. */
bool attr_supplies_xattrs(const struct attr_target *target);

/**
 * Gives a complete copy its attributes, those that depend on each other in the right order: a
 * change of owner drops set-id bits, and only a mode that lets its owner write lets him set xattrs.
 * Xattrs and times that the destination refuses are lost; the job's owner is warned of that.
 *
 * @param attributes  what it shall have; mode and time become what the destination made of them,
 *                    and the mode is less where an ACL is lost
 * @param has_xattrs  what attr_has_xattrs or attr_supplies_xattrs said
 * @param set_mode    the mode is not yet what it shall be
 * @param ret_failed  filled in with the operation that failed
 * @return            0 or -errno
 */
int attr_set(const struct attr_target *target, struct attributes *attributes, bool has_xattrs,
             bool set_mode, const char **ret_failed);

/**
 * Learns whether the destination keeps modes and the usual times, from the root of the copy, which
 * was just made.
 *
 * @return 0 or -errno
 */
int attr_learn_destination(const struct io_port *port, const struct directory *root);

/** Whether the destination is known to keep mode and modification time of a file. If not, attr_set
 * and attr_note_linked say what it made of them. */
bool attr_keeps(const struct copyengine_job *job, const struct attributes *attributes);

/**
 * Notes the attributes of a name that was linked to another one, which is complete if it has xattrs
 * or what may not be kept.
 *
 * @param attributes what it shall have; becomes what it has
 * @return           0 or -errno
 */
int attr_note_linked(const struct attr_target *target, struct attributes *attributes);

/**
 * Gives a symbolic link of the copy its time, or warns that it cannot.
 *
 * @param name     in the directory, at the destination
 * @param settable false: it must not be tried
 * @param mtime    that it shall have; becomes what it has
 * @return         0 or -errno
 */
int attr_set_link_time(const struct io_port *port, const struct directory *directory,
                       const char *name, bool settable, struct timespec *mtime);
