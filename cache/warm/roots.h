/*
 * Checking the roots of variants in parallel: a server may be slow, or never answer, and the check
 * of one root must not hold up the others.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct roots;

enum { ROOTS_STUCK_MS = 1000 }; /* nothing was found for so long: all threads may hang */

/** What was found of one root. Freed with roots_free_check. */
struct root_check {
    struct root_check *next;
    void *context;  /* the caller's */
    int result;     /* 0: it is a directory that can be read; or -errno */
    dev_t device;   /* that it is on */
    char *resolved; /* its path without symbolic links */
    char root[];
};

/**
 * @param on_done called from one of its threads when something was found
 * @param ret     ended with roots_stop
 * @return        0 or -ENOMEM
 */
int roots_start(void (*on_done)(void *context), void *context, struct roots **ret);

/**
 * Has a root looked at.
 *
 * @param context handed back with what is found
 * @param ret     the check; until roots_take_done returns it, only its context may be touched
 * @return        0, -ENOMEM, or -EAGAIN when there is no thread to be had
 */
int roots_add(struct roots *roots, const char *root, void *context, struct root_check **ret);

/** Sees to it that those that hang do not hold others up. Once in ROOTS_STUCK_MS while any wait. */
void roots_tend(struct roots *roots);

/** @return what was found since the last time, linked by `next`; NULL: nothing */
struct root_check *roots_take_done(struct roots *roots);

void roots_free_check(struct root_check *check);

/** Ends the looking. What hangs is left to the end of the process. NULL is allowed. */
void roots_stop(struct roots *roots);
