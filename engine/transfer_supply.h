/* One unit of a supply; and what all files of a supply have in common. */
#pragma once

#include "engine/attr.h"
#include "engine/transfer.h"

/** Begins with a unit that was taken. @return false: the job has failed, and the unit is to be
 * dropped */
bool transfer_begin_unit(struct transfer *transfer, struct copyengine_job *job, size_t unit);

/** Lets go of units that were taken of a job that has stopped. The last thing that the caller does
 * with the job. */
void transfer_drop_units(const struct io_port *port, struct copyengine_job *job, size_t first,
                         size_t end);

/** What a file of a supply gets its attributes from. */
struct attr_target transfer_supply_target(const struct transfer_host *host,
                                          const struct transfer *transfer,
                                          const struct copyengine_entry *entry);

/** Fills in what a file of a supply shall be. */
void transfer_supply_begin_file(const struct transfer_host *host, struct transfer *transfer,
                                const struct copyengine_entry *entry);

/** Whether a file, which has its digest, is what its entry says. */
bool transfer_supply_is_expected(const struct file *file, const struct copyengine_entry *entry);

/** Makes the hard links of an entry, which is complete. @return false: the job has stopped */
bool transfer_supply_link(const struct io_port *port, const struct transfer *transfer,
                          size_t entry);
