/* What a scan could not read: a finding, which goes into the manifest. What is gone by now is none.
 */
#pragma once

#include "engine/job.h"

/** Whether an error says something of this process, and nothing of the file: EMFILE, ENOMEM, … */
bool scan_error_is_ours(int code);

/**
 * Notes what is no file, directory or link, or could not be read. A root that could not be opened
 * ends the job, and so does an error that is ours.
 *
 * @param name NULL: the directory itself
 * @param type as in a manifest
 * @param code an errno value, positive; 0: nothing is wrong with it
 * @return     whether to go on in this directory
 */
bool scan_note_failure(struct directory *directory, const char *name, char type,
                       const char *operation, int code);
