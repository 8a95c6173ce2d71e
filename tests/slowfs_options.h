/*
 * The options of slowfs.c: what the server can do wrong, and no more.
 *
 *     --delay-ms N        answers a lookup, getattr, open, read, readlink, or the first readdir of
 *                         a directory N ms after it was asked
 *     --jitter-ms N       and up to N ms more, evenly spread
 *     --bandwidth BYTES   reads share this many bytes a second
 *     --hang-file SUFFIX  reads of a file whose path ends so are not answered while it is mounted;
 *                         they fail with EINTR when the reader is killed
 *     --hold-file SUFFIX  before the second read of a file whose path ends so is answered, waits
 *     --hold-fifo PATH    until somebody has opened this pipe for writing and closed it; once
 *     --attr-seconds N    the kernel may remember attributes for so long (3600)
 *     --keep-cache        it may keep contents at an open, and when times change
 *     --direct-io         it keeps no contents
 *     --count-file FILE   at the end, writes "OPENS READS BACK PATH" and a NUL for each file that
 *                         was opened; BACK: how far a read began behind what was read, at most
 *     --at-once N         works on at most so many requests at once (512)
 */
#pragma once

#include <fuse_opt.h>
#include <stddef.h>

struct options {
    unsigned delay_ms;
    unsigned jitter_ms;
    unsigned long long bandwidth_bytes;
    char *hang_suffix;
    char *hold_suffix;
    char *hold_fifo;
    unsigned attr_seconds;
    int keep_cache;
    int direct_io;
    char *count_path;
    unsigned at_once;
};

static const struct fuse_opt option_table[] = {
    {"--delay-ms %u", offsetof(struct options, delay_ms), 0},
    {"--jitter-ms %u", offsetof(struct options, jitter_ms), 0},
    {"--bandwidth %llu", offsetof(struct options, bandwidth_bytes), 0},
    {"--hang-file %s", offsetof(struct options, hang_suffix), 0},
    {"--hold-file %s", offsetof(struct options, hold_suffix), 0},
    {"--hold-fifo %s", offsetof(struct options, hold_fifo), 0},
    {"--attr-seconds %u", offsetof(struct options, attr_seconds), 0},
    {"--keep-cache", offsetof(struct options, keep_cache), 1},
    {"--direct-io", offsetof(struct options, direct_io), 1},
    {"--count-file %s", offsetof(struct options, count_path), 0},
    {"--at-once %u", offsetof(struct options, at_once), 0},
    FUSE_OPT_END,
};
