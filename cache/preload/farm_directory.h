/*
 * The directory of a run: `run.json` (farm_plan.h), `order-STEP.json`, a journal of what the
 * coordinator did, `lock`, and for each start of a launcher `attempt-N.out` and `attempt-N.err`.
 * All that is known of a run is in these files (farm_history.h), so a coordinator may be killed at
 * any moment. Of mode 0700: reports are read from here.
 */
#pragma once

#include "cache/json/json_build.h"
#include "cache/util/error.h"
#include "cache/util/text.h"

#include <stdbool.h>

#define FARM_RUN_FILE     "run.json"
#define FARM_JOURNAL_FILE "journal"
#define FARM_LOCK_FILE    "lock"
#define FARM_SHARE_FILE   "share"
#define FARM_CANCEL_FILE  "cancel" /* the run is to end */

/** A run's directory. Starts as `struct farm_directory directory = FARM_DIRECTORY_NONE;`. */
struct farm_directory {
    char *path;
    int fd;
    int lock_fd;    /* held by the coordinator; -1: not held */
    int journal_fd; /* the coordinator's; -1: not open */
};

#define FARM_DIRECTORY_NONE ((struct farm_directory){.fd = -1, .lock_fd = -1, .journal_fd = -1})

/**
 * Where runs are: `$XDG_STATE_HOME/pkgcache/runs`, else `~/.local/state/pkgcache/runs`.
 *
 * @param given another place, as it is; NULL: there is none
 * @return      allocated; NULL: no memory, or no home
 */
char *farm_directory_base(const char *given);

/**
 * Makes the directory of a new run, and those above it that are of the default place.
 *
 * @return 0; -EEXIST; -EACCES; -EPERM: everybody may replace it; …
 */
int farm_directory_make(const char *base, const char *id, struct farm_directory *ret,
                        struct pkgcache_error *ret_error);

/**
 * Opens the directory of a run.
 *
 * @param run its name, or the directory itself when there is a `/` in it
 * @return    0; -ENOENT: there is no such run; -EINVAL: it is no name; -EPERM: others than root and
 *            this user may write to it
 */
int farm_directory_open(const char *base, const char *run, struct farm_directory *ret,
                        struct pkgcache_error *ret_error);

/** Writes a file of the run, which was not there. @return 0 or -errno */
int farm_directory_write(const struct farm_directory *directory, const char *name,
                         const struct text *text, struct pkgcache_error *ret_error);

/**
 * Becomes the run's coordinator: takes its lock, and opens the journal. A wish to cancel it that an
 * earlier coordinator did not live to see is dropped.
 *
 * @return 0; -EBUSY: another process is; or -errno
 */
int farm_directory_lock(struct farm_directory *directory, struct pkgcache_error *ret_error);

/** Ends that: another process can be the coordinator. */
void farm_directory_unlock(struct farm_directory *directory);

/** Whether a coordinator runs. @return 1, 0 or -errno */
int farm_directory_is_locked(const struct farm_directory *directory);

/** Appends an event to the journal, and flushes it to the disk. @param event freed; NULL: no memory
 * @return 0 or -errno */
int farm_directory_note(const struct farm_directory *directory, cJSON *event,
                        struct pkgcache_error *ret_error);

/** Opens all but the lock again, in a child of fork(2) that has closed what it did not need.
 * @return 0 or -errno */
int farm_directory_reopen(struct farm_directory *directory, struct pkgcache_error *ret_error);

void farm_directory_close(struct farm_directory *directory);

#define CLEANUP_FARM_DIRECTORY __attribute__((cleanup(farm_directory_close)))
