/*
 * Who a process is, written so that another process, now or after a crash, can tell whether it is
 * provably gone. Records stand in `.copying-INC` files and in the lock file.
 */
#pragma once

#include "cache/owner/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum {
    OWNER_STAGING_MAX = 64,
    OWNER_HOST_MAX = 64,
    OWNER_BOOT_LENGTH = 36,
    OWNER_TEXT_MAX = 512 /* bytes that owner_format() may write, the NUL included */
};

/** A process. What could not be found out (no /proc) is 0 or "". */
struct owner {
    pid_t pid;
    uint64_t start_ticks;   /* clock ticks after boot */
    uint64_t pid_namespace; /* its inode number */
    char boot[OWNER_BOOT_LENGTH + 1];
    uint64_t
        boot_time_ns; /* wall-clock time of that boot, as the clock was when this was found out */
    char host[OWNER_HOST_MAX + 1];
    char command[PROCESS_COMMAND_MAX + 1];
    char staging[OWNER_STAGING_MAX + 1]; /* its directory under .sys/staging, "": none */
};

/** What is known of a process that left a record. */
enum owner_state {
    OWNER_ALIVE,
    OWNER_GONE,   /* proven */
    OWNER_UNKNOWN /* not ours to see: the grace time decides */
};

/**
 * Finds out who this process is. Reads three files in /proc (some 20 us), so keep the result; but
 * it is another process after a fork.
 *
 * @param ret_owner filled in, with staging ""; what cannot be found out is left 0 or ""
 */
void owner_of_this_process(struct owner *ret_owner);

/**
 * Finds out who another process is, in this process's numbering.
 *
 * @param self this process
 * @return     0; -ESRCH: there is none, or it has ended; -EACCES: /proc hides it; or another -errno
 */
int owner_of_process(pid_t pid, const struct owner *self, struct owner *ret_owner);

/**
 * Whether a name can be a staging id: 1 to 64 letters, digits, `_`, `-` and `.`, the first no `.`.
 */
bool owner_staging_is_valid(const char *staging);

/**
 * Writes an owner as text: a line `pkgcache-owner 1`, then `KEY VALUE` lines. Bytes of the host
 * and the command that are not printable ASCII become `?`.
 *
 * @param owner    its staging must be "" or valid
 * @param ret_text receives the lines and a NUL
 * @return         the number of bytes without the NUL
 */
size_t owner_format(const struct owner *owner, char ret_text[static OWNER_TEXT_MAX]);

/**
 * Reads an owner's text. Keys that it does not know are passed over; a known one may occur once.
 *
 * @param text      need not end in a NUL
 * @param length    bytes; more than 4096 are refused
 * @param ret_owner filled in on success; only `pid` is sure to be there
 * @return          0, or -EBADMSG: not such a text (empty, cut off in a line, out of range)
 */
int owner_parse(const char *text, size_t length, struct owner *ret_owner);

/** Whether both mean the same process: pid, start, boot and pid namespace, all known and equal. */
bool owner_is_same(const struct owner *one, const struct owner *other);

/**
 * Whether the process that left a record still runs. Sleeps for 20 ms before it says OWNER_GONE of
 * a process of this boot.
 *
 * @param record NULL: there is none (rez writes none), or it could not be read
 * @param self   this process
 * @param beat   modification time of the file the record was in; NULL: not known
 * @return       OWNER_GONE: proven; OWNER_ALIVE: it was there a moment ago; OWNER_UNKNOWN: no proof
 *               either way, the caller applies its grace time
 */
enum owner_state owner_judge(const struct owner *record, const struct owner *self,
                             const struct timespec *beat);

/**
 * The same from one look, without sleeping: OWNER_GONE is no proof until it is said again 20 ms
 * later. For those who judge many, and sleep once.
 */
enum owner_state owner_judge_once(const struct owner *record, const struct owner *self,
                                  const struct timespec *beat);

/** Sleeps for as long as lies between the two glances of a proof. */
void owner_wait_for_proof(void);

/**
 * Wall-clock time of this machine's boot. It moves when somebody sets the clock.
 *
 * @return nanoseconds since the epoch
 */
int64_t owner_boot_time_ns(void);

/**
 * A descriptor to poll for the end of a process (it becomes readable).
 *
 * @param record the process
 * @param self   this process
 * @param ret_fd receives the descriptor, close-on-exec; the caller closes it
 * @return       0; -ESRCH: that process is gone; -ENOSYS: kernel before 5.3; -EREMOTE: it lives in
 *               another pid namespace, or cannot be identified; -EACCES: /proc hides it;
 *               or another -errno
 */
int owner_pidfd(const struct owner *record, const struct owner *self, int *ret_fd);
