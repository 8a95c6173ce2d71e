/* Removing trees: what a walk does with what it finds when the tree is to go. */
#pragma once

#include "engine/directory.h"

#include <dirent.h>

/**
 * Opens a directory whose contents are to go, made readable and writable if it is not.
 *
 * @return false: there is nothing to read, or the job has failed
 */
bool remove_open(const struct io_port *port, struct directory *directory);

/**
 * Removes an entry that is no directory.
 *
 * @param ret_directory it turned out to be one
 * @return              false: the job has failed
 */
bool remove_entry(const struct io_port *port, struct directory *directory,
                  const struct dirent64 *entry, bool *ret_directory);

/** Removes a directory that is empty now. */
void remove_directory(const struct io_port *port, struct directory *directory);
