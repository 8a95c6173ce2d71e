/* Symbolic links of the copy: to the letter, or so that they keep their meaning. */
#pragma once

#include "engine/job.h"

enum { SYMLINK_TARGET_MAX = 4096 }; /* PATH_MAX, with the NUL */

/** Finds out what "inside the tree" means for a job. @return 0 or -errno */
int symlink_learn_root(struct copyengine_job *job);

/**
 * Copies one link.
 *
 * @param name of the link, in the directory
 * @return     false: failed, and the job knows
 */
bool symlink_copy(const struct io_port *port, struct directory *directory, const char *name);

/**
 * Reads what a link of the source says, and its attributes.
 *
 * @param target     filled in, with a NUL
 * @param ret_status filled in
 * @return           0 or -errno
 */
int64_t symlink_read(const struct io_port *port, const struct directory *directory,
                     const char *name, char target[static SYMLINK_TARGET_MAX],
                     struct statx *ret_status);
