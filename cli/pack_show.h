/* What pkgcache pack says about a pack: its list, and whether it is sound. */
#pragma once

#include "cache/json/json_build.h"
#include "cli/options.h"

/** Lists the variants of each pack that is named. @return an exit code */
int pack_show_list(struct options *options);

/** Checks each pack that is named. @return an exit code */
int pack_show_check(struct options *options);

/** Adds a digest in hexadecimal. @param digest 16 bytes */
void pack_show_digest(cJSON *object, const char *name, const uint8_t *digest);
