/* Reading directories: from a directory that was taken to what is in it. */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

enum { WALK_BUFFER_BYTES = 32 << 10 };

/**
 * Reads a piece of a directory, which is opened, and made at the destination, when this is its
 * first. Hands what it finds to the schedule; symbolic links are copied on the way.
 *
 * @param directory taken from the schedule; one reference of it is taken over
 * @param buffer    WALK_BUFFER_BYTES, aligned for struct dirent64
 */
void walk_read(const struct io_port *port, struct directory *directory, char *buffer);
