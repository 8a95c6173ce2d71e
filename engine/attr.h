/* What a copy keeps of a file or directory beside its contents: owner, xattrs, ACLs, mode, times.
 */
#pragma once

#include "engine/directory.h"
#include "engine/job.h"

/** The permission bits that a copy takes over: without set-id unless the job asks for it. */
mode_t attr_permissions(const struct copyengine_job *job, mode_t mode);

/**
 * Whether a source has xattrs that its copy shall have: those of users, and POSIX ACLs.
 *
 * @return 1, 0 (also when its file system is known to have none), or -errno
 */
int attr_has_xattrs(const struct io_port *port, struct copyengine_job *job, int fd);

/**
 * Gives a complete copy its attributes, those that depend on each other in the right order: a
 * change of owner drops set-id bits, and only a mode that lets its owner write lets him set xattrs.
 *
 * @param has_xattrs what attr_has_xattrs said
 * @param set_mode   the mode is not yet what it shall be
 * @param ret_failed filled in with the operation that failed
 * @return           0 or -errno
 */
int attr_set(const struct io_port *port, struct copyengine_job *job, int source_fd,
             int destination_fd, const struct attributes *attributes, bool has_xattrs,
             bool set_mode, const char **ret_failed);
