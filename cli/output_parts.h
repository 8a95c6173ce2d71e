/* What both messages and the progress line are made of. */
#pragma once

#include "cache/json/json_build.h"

/** Prints a JSON object on a line of standard error, and frees it; NULL: nothing. */
void output_json_line(cJSON *item);

/** "1.2 GB", for people. @return buffer */
const char *output_bytes(double bytes, char buffer[static 16]);
