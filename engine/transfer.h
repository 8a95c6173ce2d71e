/*
 * One file under way: from its name to a complete copy, one operation at a time. Knows how a file
 * is copied; who copies which file when is the worker's and the schedule's business.
 */
#pragma once

#include "engine/directory.h"
#include "engine/io.h"

struct transfer_host;
struct transfer;

enum transfer_state {
    TRANSFER_ADVANCE, /* the next step can be taken at once */
    TRANSFER_QUEUED,  /* the io will hand its operation back */
    TRANSFER_STARVED, /* no buffer is free, or the io is busy: when an operation completed, again */
    TRANSFER_YIELDED, /* it had its share, let files of smaller jobs go first */
    TRANSFER_DONE,    /* complete, or failed: free for the next file */
};

struct transfer {
    struct io_op op;
    struct transfer *next; /* in one of the worker's lists */
    struct batch *batch;
    const char *name;
    enum transfer_state (*step)(struct transfer_host *host, struct transfer *transfer);
    enum transfer_state (*after)(struct transfer_host *host, struct transfer *transfer);
    int source_fd;
    int destination_fd;
    int buffer_index; /* -1: none */
    bool retried;     /* the source changed once already */
    bool sparse;      /* may have holes */
    mode_t mode;
    uint64_t size;
    uint64_t offset;      /* copied up to here */
    uint64_t extent_end;  /* of the data that `offset` is in */
    uint64_t since_yield; /* bytes */
    struct timespec mtime;
    struct timespec ctime;
};

/** What a transfer needs of the thread that it runs on. */
struct transfer_host {
    struct copyengine *engine;
    struct io *io;
    const struct io_buffers *buffers;
    int *free_buffers; /* a stack of indexes */
    unsigned free_buffer_count;
};

/** Begins with a file. The batch's reference for it is dropped when it is done. */
void transfer_begin(struct transfer *transfer, struct batch *batch, const char *name);

/** Takes steps until the file is done, or something has to be waited for. */
enum transfer_state transfer_run(struct transfer_host *host, struct transfer *transfer);
