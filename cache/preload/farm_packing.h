/* Makes the pack of a run, of what is lacking somewhere; once, whoever the coordinator is. */
#pragma once

#include "cache/preload/farm_attempts.h"

/**
 * Has `pkgcache pack` make the pack, or finds the one that was made: coordinator->pack. When it
 * cannot be made, coordinator->lost says why.
 *
 * @return 0 or -errno
 */
int farm_packing_make(struct coordinator *coordinator);

/** Reads what nodes are to have: the order of a warm. @return 0 or -errno */
int farm_packing_read_order(const struct coordinator *coordinator, struct json_document **ret);

/** Writes the order for a step with the pack. @param name of the file @return 0 or -errno */
int farm_packing_write_order(struct coordinator *coordinator, enum farm_step step,
                             const char *name);

/** Divides the pack into parts that are cast one by one. @return 0 or -errno */
int farm_packing_divide(struct coordinator *coordinator);
