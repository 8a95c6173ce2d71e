/* One file of a copy. */
#pragma once

#include "engine/transfer.h"

/** Sets the first step of a transfer that begins with a file. */
void transfer_begin_copy(struct transfer *transfer);

/** Begins with a range of a shared file, of which one reference is taken over. */
void transfer_begin_range(struct transfer *transfer, struct file *file, uint64_t offset,
                          uint64_t end);
