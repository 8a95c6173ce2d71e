/* Reading directories: from a directory that waits to what is in it. */
#pragma once

#include "engine/engine.h"

enum { WALK_BUFFER_BYTES = 32 << 10 };

/**
 * Reads a piece of a directory, which is opened, and made at the destination, when this is its
 * first. Hands what it finds to the schedule; symbolic links are copied on the way.
 *
 * @param directory one reference of it is taken over
 * @param buffer    WALK_BUFFER_BYTES, aligned for struct dirent
 */
void walk_read(struct copyengine *engine, const struct io_port *port, struct directory *directory,
               char *buffer);
