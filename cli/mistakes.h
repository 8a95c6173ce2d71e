/* Commands and options that there are not: what is meant, perhaps. */
#pragma once

#include "cli/options.h"

/** Refuses a command. @return an exit code */
int mistake_command(const struct options *options, const char *word);

/** Refuses an option. @param word as it was written. @return an exit code */
int mistake_option(const struct options *options, const char *word);
