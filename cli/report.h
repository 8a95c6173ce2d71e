/* --report of warm: the document that --json prints, in a file. */
#pragma once

#include "cli/options.h"

#include <stdbool.h>
#include <stdio.h>

/** Whether the document goes to standard output, and nothing else does. */
bool report_is_printed(const struct options *options);

/**
 * Writes the document aside, if a file is named for it, and renames that: nobody reads half of one.
 *
 * @param print writes it, without the end of its line. @return 0 or -errno
 * @return      EXIT_DONE; EXIT_PARTLY: it cannot be written, which has been said
 */
int report_write(const struct options *options, int (*print)(FILE *file, const void *context),
                 const void *context);
