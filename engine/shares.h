/* How the threads that may block are shared out among sources. */
#pragma once

/**
 * The share of one source: how many threads may block for it at once. That is all that do not block
 * for others, and at least a fixed part, also when all are taken by others, whose servers may hang.
 *
 * @param jobs    that there are
 * @param total   threads that may block for all sources together
 * @param blocked threads that do
 * @param own     those of them that block for this source
 */
unsigned share_of_source(unsigned jobs, unsigned total, unsigned blocked, unsigned own);

/** How many readers one server may keep busy. */
unsigned share_readers_of_server(unsigned processors);
