/* Directories of the source: how copies and scans open them. */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

/** Opens a directory. @param flags beside O_RDONLY, O_DIRECTORY @return a descriptor, or -errno */
int64_t source_open_directory(const struct io_port *port, int dirfd, const char *name, int flags);

/** Takes down what a directory is, which is open, and what its copy shall have. @return false: the
 * job has failed */
bool source_stat_directory(const struct io_port *port, struct directory *directory);
