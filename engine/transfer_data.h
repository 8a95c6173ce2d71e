/* The steps that copy what is in a file, or in a range of one. */
#pragma once

#include "engine/transfer.h"

/** Copies what is between the transfer's offset and end; goes on with its step `copied`. */
transfer_step transfer_step_next_extent;

/** Copies what a file has behind the end that it states; goes on with its step `copied`. */
transfer_step transfer_step_read_on;

/** Takes the digest of a file whose bytes did not pass through memory in order; goes on with
 * `copied`. */
transfer_step transfer_step_digest;
