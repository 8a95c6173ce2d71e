/* What a file system, or a pair of them, is like: guessed once, then learned. */
#pragma once

#include "engine/io.h"

#include <stdatomic.h>

/** What the kernel can do between two file systems. Starts as "try it". */
struct device_pair {
    atomic_bool cannot_clone;      /* FICLONE */
    atomic_bool cannot_copy_range; /* copy_file_range(2) */
};

/**
 * Guesses from the type of a file system how long its operations may take. A network file system,
 * and FUSE, make their callers wait also for what is cached.
 *
 * @param fd any open file of it
 */
enum io_latency device_latency(int fd);

/**
 * Whether an error of FICLONE or copy_file_range(2) says that this pair of file systems cannot do
 * it at all, so that nobody need ask again.
 *
 * @param code an errno value, positive
 */
bool device_pair_cannot(int code);
