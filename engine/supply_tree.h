/* The tree of a supply while it is made: its directories, and which of its parts may be taken. */
#pragma once

#include "engine/job.h"
#include "engine/supplied.h"

/**
 * Has a directory open until supply_unpin. Makes it, and those above it, if that was not done.
 *
 * @return the directory, with its descriptor; NULL: the job has failed
 */
struct directory *supply_pin(const struct io_port *port, struct copyengine_job *job,
                             uint32_t number);

void supply_unpin(struct supply *supply, uint32_t number);

/** An entry is done, or never will be, and with it its hard links. */
void supply_release_entry(const struct io_port *port, const struct supply *supply, uint32_t entry);

/** What is to become of an entry, with a donor, whose bytes are also in parts, is known. */
void supply_decide(struct copyengine_job *job, uint32_t entry);

/** Says to the schedule which parts may be taken: up to the first of which it is not known yet what
 * is to be made of it. */
void supply_ready_parts(struct copyengine_job *job);

/** A directory is about to be freed. */
void supply_forget(struct directory *directory);
