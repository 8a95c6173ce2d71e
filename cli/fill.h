/* What warm and add share: bringing variants into the cache, and the summary of it. */
#pragma once

#include "cache/rez/sources.h"
#include "cli/options.h"

/* What an interruption says before fill_cache, which ends that (interruption.h). */
#define INTERRUPTION_BEFORE_FILL "interrupted: nothing was begun"

/** Caches what the sources name, prints the summary. @return an exit code */
int fill_cache(struct options *options, struct sources *sources);

/**
 * Makes the directory that user caches are in, if the cache is there because nobody said where: the
 * XDG Base Directory Specification asks for that, and for its mode. Elsewhere a missing parent is
 * more likely a disk that is not mounted.
 */
void fill_make_default_parent(const struct settings *settings);
