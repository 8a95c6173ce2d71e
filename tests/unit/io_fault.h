/*
 * An io backend that makes operations go wrong, in front of another one that does not.
 *
 * The fault model. Of all operations that all threads of an engine begin, in the order in which
 * they begin them, the nth goes wrong in one of these ways, and no other:
 *
 *     error   it is not carried out, and answers with an errno; a descriptor that was to be closed
 *             is closed all the same (close(2))
 *     full    from then on everything that needs room on the disk answers ENOSPC
 *     short   a read, a write or a copy moves half of what it was asked to, but at least a byte
 *     hang    it is not carried out before io_fault_release
 *
 * Not in the model: data that is wrong, an answer to something that was not asked, a kernel that
 * crashes.
 */
#pragma once

#include "engine/engine.h"
#include "engine/io.h"

enum fault_how { FAULT_ERROR, FAULT_FULL, FAULT_SHORT, FAULT_HANG };

struct fault_plan {
    const struct io_backend *inner;
    unsigned nth; /* from 1; 0: never */
    enum fault_how how;
    int code;    /* FAULT_ERROR: an errno value */
    bool queues; /* what may be queued is, as on a server's file system */
};

extern const struct io_backend io_fault_backend;

/** From now on, until the next call, this is what goes wrong. No engine may run. */
void io_fault_plan(const struct fault_plan *plan);

/** Whether the nth operation was reached. */
bool io_fault_happened(void);

/** Waits until the nth operation is reached, or the engine has no job. @return whether it was */
bool io_fault_wait(struct copyengine *engine);

/** Waits until the engine has no job. */
void io_fault_wait_idle(struct copyengine *engine);

/** Carries out what hangs. */
void io_fault_release(void);
