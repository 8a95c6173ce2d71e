/*
 * What a node's program says: JSON objects, one a line, each with the node's name (docs/farm.md).
 * Lines are short, since Slurm lets the lines of several nodes alternate only up to 1,024 bytes:
 * longer ones are torn. Whatever arrives is foreign: another program may run there, or none of
 * ours.
 */
#pragma once

#include "cache/preload/farm_names.h"
#include "cache/util/text.h"

#include <stdint.h>

enum {
    FARM_LINE_MAX = 1000,       /* bytes, the newline included */
    FARM_LINE_REASON_MAX = 480, /* of a reason or an error, before JSON escapes it */
};

enum farm_line_kind {
    FARM_LINE_BEGIN,   /* the node's program has read its order */
    FARM_LINE_VARIANT, /* what became of one variant */
    FARM_LINE_READY,   /* parts of a pack can be cast to it */
    FARM_LINE_PART,    /* a part has arrived */
    FARM_LINE_END,     /* nothing comes behind it */
};

enum farm_line_status {
    FARM_LINE_FOUND,
    FARM_LINE_CREATED,
    FARM_LINE_MISSING, /* of a look */
    FARM_LINE_FAILED,
};

struct farm_line {
    enum farm_line_kind kind;
    char node[FARM_NAME_MAX + 1];
    bool sees_share;  /* FARM_LINE_BEGIN: the run's directory is there, too */
    uint64_t variant; /* FARM_LINE_VARIANT: its place in the order */
    bool is_packed;   /* likewise: it comes from a pack */
    uint64_t part;    /* FARM_LINE_PART: which, from 0 */
    bool is_bad;      /* likewise: it has other bytes, and is to be cast again */
    uint64_t job;     /* FARM_LINE_READY: Slurm's number of the job; 0: none */
    uint64_t step;    /* likewise, of the step */
    enum farm_line_status status;
    uint64_t files;
    uint64_t bytes;
    uint64_t lines; /* FARM_LINE_END: how many came before it */
    double seconds;
    char reason[FARM_LINE_REASON_MAX + 1]; /* also the error of an end; "": none */
};

/**
 * Reads one line.
 *
 * @param text without its newline. A launcher's `NODE: ` may stand before the object: that name
 *             counts
 * @return     0; -EBADMSG: it is none of ours
 */
int farm_line_parse(const char *text, size_t length, struct farm_line *ret);

/** Appends a line, newline included: FARM_LINE_MAX at most. */
void farm_line_print(struct text *text, const struct farm_line *line);

/** Copies a reason, shortened at a whole character. @param reason NULL: "" */
void farm_line_set_reason(struct farm_line *line, const char *reason);
