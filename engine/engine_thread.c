/* What the threads of an engine have of their own. */
#include "engine/engine_thread.h"

#include "engine/copyengine.h"
#include "engine/processors.h"

#include <linux/ioprio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static atomic_bool leaves_processor; /* all engines */

void copyengine_leave_processor(bool leave)
{
    atomic_store_explicit(&leaves_processor, leave, memory_order_relaxed);
}

void engine_thread_choose_processors(const struct engine_thread_settings *settings,
                                     bool *one_is_left)
{
    processors_use(&settings->processor_set,
                   atomic_load_explicit(&leaves_processor, memory_order_relaxed), one_is_left);
}

bool engine_thread_enter(const struct engine_thread_settings *settings)
{
    /* A umask of its own lets open(2) give files their final mode. Refused in some containers. */
    if (unshare(CLONE_FS) == 0)
        umask(0);
    else
        atomic_store(settings->modes_masked, true);
    if (settings->idle_priority)
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
    return processors_one_is_left(&settings->processor_set);
}
