/* The destination of what makes a tree: its directories, what is learned of it from its root, and
 * how a job ends that made something. Copies and supplies have that in common. */
#pragma once

#include "engine/attr.h"

/**
 * Makes a directory of the destination, and opens it. With the root, learns what the tree inherits
 * and what the two file systems are like; the root's `device` and `source_fd` say where the source
 * is.
 *
 * @param dirfd where it is made
 * @return      false: the job has failed, or has stopped
 */
bool destination_make(const struct io_port *port, struct directory *directory, int dirfd,
                      const char *name);

/**
 * Gives a directory, in which everything is done, what only now stays as it is: files made in it
 * change its times. Notes it in the manifest.
 *
 * @param target     the directory, open
 * @param has_xattrs whether the target has any to be given
 */
void destination_complete(const struct attr_target *target, struct directory *directory,
                          bool has_xattrs);

/** Ends a job; one that failed becomes the removal of what it made. */
void destination_finish(struct copyengine_job *job);
