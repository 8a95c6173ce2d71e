/* Shares of threads. */
#include "engine/shares.h"

#include "engine/compiler.h"

#include <assert.h>

enum {
    READERS_PER_PROCESSOR = 8, /* for one server; more take longer to start than they save */
    READERS_MIN = 16,          /* bounds of the same, whatever the number of processors */
    READERS_MAX = 64,
    SHARES_MAX = 4, /* the share of a source is at least one of so many */
};

unsigned share_of_source(unsigned jobs, unsigned total, unsigned blocked, unsigned own)
{
    assert(own <= blocked);
    unsigned others = MIN(blocked - own, total);
    unsigned least = total / MIN(MAX(jobs, 1U), (unsigned)SHARES_MAX);
    return MAX(total - others, MAX(least, 1U));
}

unsigned share_readers_of_server(unsigned processors)
{
    return MIN(MAX(READERS_PER_PROCESSOR * processors, (unsigned)READERS_MIN),
               (unsigned)READERS_MAX);
}
