/* What --help, --version and --help-settings print, as text or as JSON. */
#pragma once

#include "cli/options.h"

/** @param command NULL: of the program. @return an exit code */
int help_print(const struct options *options, const struct command *command);

/** @return an exit code */
int help_print_version(const struct options *options);

/** Completes the settings, and prints them. @return an exit code */
int help_print_settings(struct options *options);
