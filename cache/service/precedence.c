/*
 * Precedence of threads. A thread that asks for short slices of a processor gets them soon (since
 * Linux 6.12: sched_setattr(2), sched_runtime; EEVDF in kernel/sched/fair.c); one with a higher
 * nice value, setpriority(2), is put off for others. Where neither can be had, all are equal.
 *
 * Neither is enough where copies keep all processors busy: of two threads that wait, the one that
 * has had less than its share goes first, and that may be the copy, until the next tick of the
 * kernel's clock. So copies leave a processor to others while that matters.
 */
#include "cache/service/precedence.h"

#include "engine/copyengine.h"
#include "engine/processors.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ANSWERS_SLICE_NS = 100000, /* the least there is */
    COPIES_SLICE_NS = 4000000, /* more than others have: those need not wait for its end */
    COPIES_NICE = 10,          /* more than the process */
    KEEP_POLICY = 0x08,        /* SCHED_FLAG_KEEP_POLICY: who began it as idle, say, wants that */
};

/* struct sched_attr of linux/sched/types.h, which older <sched.h> cannot be included with: the part
 * that all kernels know. */
struct attributes {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static atomic_bool leaves_processor;

static int process_nice(void)
{
    return getpriority(PRIO_PROCESS, (id_t)getpid()); /* its first thread's */
}

static void ask_for_slices(uint64_t slice_ns)
{
    struct attributes attributes = {
        .size = sizeof(attributes),
        .flags = KEEP_POLICY,
        .nice = getpriority(PRIO_PROCESS, 0), /* the thread's */
        .runtime_ns = slice_ns,
    };
    syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void precedence_answers(void)
{
    ask_for_slices(ANSWERS_SLICE_NS);
}

void precedence_copies(void)
{
    setpriority(PRIO_PROCESS, 0, process_nice() + COPIES_NICE);
    ask_for_slices(COPIES_SLICE_NS);
}

void precedence_leave_processor(bool leave)
{
    atomic_store(&leaves_processor, leave);
    copyengine_leave_processor(leave);
}

void precedence_begin_copying(struct precedence *ret)
{
    *ret = (struct precedence){.one_is_left = false};
    processors_find(&ret->processors);
}

void precedence_go_on_copying(struct precedence *precedence)
{
    processors_use(&precedence->processors, atomic_load(&leaves_processor),
                   &precedence->one_is_left);
}

void precedence_end_copying(struct precedence *precedence)
{
    processors_use(&precedence->processors, false, &precedence->one_is_left);
}
