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

/**
 * What a link of the copy must say to reach what the link reaches at the source.
 *
 * Inside means: the target, made absolute from the link's resolved parent, begins name by name with
 * the root as given or as resolved. A relative target that never leaves the tree stays; one that
 * leaves and comes back, or an absolute one into the tree, becomes relative; a relative one that
 * leaves becomes absolute. A link that reaches nothing, or itself, stays as it is.
 *
 * @param parent_fd the directory of the link, at the source
 * @param parent    its path relative to the root: "" or "a/b"; no name of it is a link
 * @param name      of the link
 * @param target    what the link says
 * @param ret       what its copy shall say, SYMLINK_TARGET_MAX bytes
 * @return          0, or -ENAMETOOLONG
 */
int symlink_keep_meaning(const struct copyengine_job *job, int parent_fd, const char *parent,
                         const char *name, const char *target, char *ret);
