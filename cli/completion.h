/* Completions for shells, from the tables of commands, options and settings. */
#pragma once

#include "cli/options.h"

/** Prints the script for a shell: bash, zsh or fish. @return an exit code */
int completion_print(const struct options *options, const char *shell);
