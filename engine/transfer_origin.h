/* One file of a supply that is taken from another file: from its donor, or from the source. */
#pragma once

#include "engine/transfer.h"

/** Sets the first step of a transfer that begins with a file. */
void transfer_begin_origin(struct transfer *transfer);

/** All bytes are there, of a file that a copy's steps have filled: sets the step that follows. */
void transfer_end_contents(struct transfer *transfer);

/** A file is done, or given up, or never begun: its entry is, too, or somebody else goes on. */
void transfer_end_origin(const struct io_port *port, struct file *file);
