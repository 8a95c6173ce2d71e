/* Files with several names: one file in the copy, too. */
#pragma once

#include "engine/transfer.h"

#include <sys/stat.h>

enum hard_link_answer {
    HARD_LINK_COPY,   /* this name comes first, or has to be a file of its own: copy it */
    HARD_LINK_MADE,   /* it is a link now to what another name was copied to */
    HARD_LINK_WAITS,  /* the other name is being made; this one comes again when it can be linked */
    HARD_LINK_FAILED, /* and the job knows */
};

/**
 * What to do with a file that has several names.
 *
 * @param source its attributes
 * @param file   of HARD_LINK_COPY, hard_link_ready is told when it was made
 */
enum hard_link_answer hard_link_enter(const struct io_port *port, struct copyengine_job *job,
                                      const struct statx *source, struct file *file);

/** The file of a first name was made, or never will be. Nothing is done for other files. */
void hard_link_ready(struct copyengine_job *job, struct file *file);

/** Forgets all of a job. NULL is allowed. */
void hard_links_free(struct hard_links *links);
