/* How what is under way ends: batches with their files, directories with all in them, and a job
 * with its root. */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

/** Drops a reference; completes the directory, and those above it, when it was the last. With the
 * root, its job is finished. */
void directory_release(const struct io_port *port, struct directory *directory);

/** One file of the batch is completed. */
void batch_release(const struct io_port *port, struct batch *batch);
