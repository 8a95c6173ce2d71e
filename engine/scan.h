/*
 * Scans: trees that are read and not copied. A scan finds out what is there, so what cannot be read
 * is a finding, and goes into the manifest; what is gone by now is none.
 */
#pragma once

#include "engine/directory.h"

/** Learns what the file system of the root is like. @return false: the job has failed */
bool scan_learn_root(struct directory *root);

/**
 * Notes what is no file, directory or link, or could not be read. A root that could not be opened
 * ends the job, and so does an error that says nothing of the file (EMFILE, ENOMEM, EINTR, …).
 *
 * @param name NULL: the directory itself
 * @param type as in a manifest
 * @param code an errno value, positive; 0: nothing is wrong with it
 * @return     whether to go on in this directory
 */
bool scan_failed(struct directory *directory, const char *name, char type, const char *operation,
                 int code);

/** Notes that a directory could not be read to its end. @return false: there is no more of it */
bool scan_unreadable(struct directory *directory, int code);

/** Everything in a directory was read. */
void scan_complete(struct directory *directory);
