/* Directories of the source: how copies and scans open them. */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

/**
 * Opens a directory.
 *
 * @param flags     beside O_RDONLY, O_DIRECTORY
 * @param one_mount nothing that is mounted there (-EXDEV)
 * @return          a descriptor, or -errno
 */
int64_t source_open_directory(const struct io_port *port, int dirfd, const char *name, int flags,
                              bool one_mount);

/** What mount a file is on, as a number that is true as long as somebody uses that mount; of
 * kernels before 5.8, the file system. */
uint64_t source_mount(const struct statx *status);

/** Takes down what a directory is, which is open, and what its copy shall have. @return false: the
 * job has failed */
bool source_stat_directory(const struct io_port *port, struct directory *directory);
