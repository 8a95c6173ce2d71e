/*
 * The page of a run, for people: one file that loads nothing. What it shows is the facts as JSON,
 * which its own script (data/preload-report.html) reads; so it can say no more than they do.
 */
#pragma once

#include "cache/preload/farm_run.h"

/** Writes the page of a run. @return 0; -ENOMEM; or -errno of the write that failed */
int farm_page_write(FILE *file, const struct farm_run *run);

/**
 * Writes the page of a run whose facts were written before.
 *
 * @param facts  the run as one JSON document, as `farm_run_write() prints it. Names and messages
 *               in it are others' words: whatever they say, they stay text
 * @param length in bytes
 * @return       0, or -errno of the write that failed
 */
int farm_page_put(FILE *file, const char *facts, size_t length);
