/* The head of an index: reading its records (docs/packs.md). */
#pragma once

#include "cache/pack/pack_internal.h"

/** Starts as `struct pack_head head = {.pack = pack};`. */
struct pack_head {
    struct pack *pack;
    bool ended;        /* the last record was read */
    char *text;        /* of records that are not complete yet */
    size_t length;     /* of that */
    uint64_t records;  /* that were read */
    uint64_t variants; /* that the head says there are; none of these is believed beforehand */
    uint64_t frames;
    uint64_t shared;
    size_t capacities[4];
    uint64_t stored; /* bytes of all that was named, which the file must have */
    uint64_t texts;  /* bytes of all that belongs to variants */
};

/**
 * Takes the next bytes.
 *
 * @return 0; -EBADMSG, -ENOMEM with a message
 */
int pack_head_add(struct pack_head *head, const char *bytes, size_t length,
                  struct pkgcache_error *error);

void pack_head_free(struct pack_head *head);
