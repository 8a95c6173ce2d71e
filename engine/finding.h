/* What one piece of a directory held: collected by who reads it, handed to the schedule at its end.
 */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

#include <dirent.h>

enum { FINDING_NAMES_MAX = 64 };

struct finding {
    const struct io_port *port;
    struct directory *directories;        /* linked by `next` */
    struct batch *batches;                /* linked by `next` */
    const char *names[FINDING_NAMES_MAX]; /* of the batch to be, inside the reader's buffer */
    unsigned name_count;
};

/** Adds a directory that was found in another. @return false: the job has failed */
bool finding_add_directory(struct finding *finding, struct directory *parent, const char *name);

/** Adds a file. @param name inside the reader's buffer @return false: the job has failed */
bool finding_add_file(struct finding *finding, struct directory *directory, const char *name);

/** Makes a batch of the files added last. @return false: the job has failed */
bool finding_end_batch(struct finding *finding, struct directory *directory);

/**
 * Finds out the type of an entry, with a system call where the directory does not tell, or links
 * are followed.
 *
 * @return DT_REG, DT_DIR, …; or -errno
 */
int finding_ask_type(const struct finding *finding, const struct directory *directory,
                     const struct dirent64 *entry);
