/* The progress line: variants, files, bytes, rate, time left; or one JSON object a line. */
#pragma once

#include "cache/pkgcache.h"
#include "cli/options.h"

/** Starts the clock. */
void progress_start(const struct options *options);

/** Shows how far it is. Without variants (copy), `variants` is 0. */
void progress_show(const struct pkgcache_progress *progress);

/** Takes the line off the terminal, before something else is printed. */
void progress_clear(void);
