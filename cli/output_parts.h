/* What both messages and the progress line are made of. */
#pragma once

#include "cache/json/json_build.h"

#include <stdint.h>

/** Prints a JSON object on a line of standard error, and frees it; NULL: nothing. */
void output_json_line(cJSON *item);

/** "1.2 GiB", for people: K, M and G are powers of 1024, as in settings. @return buffer */
const char *output_bytes(double bytes, char buffer[static 16]);

/** @return the word that stands behind a count, "file" or "files" */
const char *output_plural(uint64_t count, const char *one, const char *many);
