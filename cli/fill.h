/* What warm and add share: bringing variants into the cache, and the summary of it. */
#pragma once

#include "cache/rez/sources.h"
#include "cli/options.h"

/** Caches what the sources name, prints the summary. @return an exit code */
int fill_cache(struct options *options, struct sources *sources);
