/*
 * How far a command is: a line on a terminal, which is written again and again; with --stats a line
 * now and then; or one JSON object a line.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cli/options.h"

/** Starts the clock. */
void progress_start(const struct options *options);

/**
 * Shows how far it is.
 *
 * @param progress `variants` is 0 where there are none (copy)
 * @param current  what is being copied, for people; NULL: not known
 */
void progress_show(const struct pkgcache_progress *progress, const char *current);

/** Takes the line off the terminal, before something else is printed. */
void progress_clear(void);
