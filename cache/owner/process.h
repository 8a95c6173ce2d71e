/*
 * What the kernel says about one process: whether a process id still means the process that it
 * meant. Not for finding out which files a process uses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PROCESS_COMMAND_MAX = 63 };

/** One process, as /proc/PID/stat shows it. */
struct process {
    pid_t pid;
    uint64_t start_ticks; /* clock ticks after boot: a pid and its start are used once per boot */
    pid_t session;        /* the process that it is named after; 0: of another pid namespace */
    uint64_t threads;     /* that have not ended yet */
    char state;           /* R, S, D, T, Z, X, ... */
    bool kernel_thread;
    char command[PROCESS_COMMAND_MAX + 1]; /* any bytes, but no NUL */
};

/**
 * Reads the text of /proc/PID/stat.
 *
 * @param text        need not end in a NUL
 * @param ret_process filled in on success
 * @return            0, or -EBADMSG: this is no such text
 */
int process_parse_stat(const char *text, size_t length, struct process *ret_process);

/**
 * Reads what the kernel says of a process.
 *
 * @param pid         as seen from this process's pid namespace, greater than 0
 * @param ret_process filled in on success
 * @return            0; -ESRCH: there is no such process; -EACCES: there is, but nothing can be
 *                    learned about it (/proc hides it, or is not mounted); or another -errno
 */
int process_read(pid_t pid, struct process *ret_process);

/**
 * Whether nothing of the process can run any more: it has been killed, or left, and only waits for
 * its parent to take notice.
 */
bool process_has_ended(const struct process *process);

/**
 * When the process started.
 *
 * @param boot_ns wall-clock time of boot, in nanoseconds since the epoch
 * @return        wall-clock time in nanoseconds since the epoch, in steps of a clock tick
 */
int64_t process_start_ns(const struct process *process, int64_t boot_ns);
