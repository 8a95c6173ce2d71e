/*
 * What a node is told: the standard input of its `pkgcache preload --on-node`, one JSON document
 * (docs/farm.md). It is our own, but what reads it may be another version, and it came over a
 * network: it is checked as all that is foreign is.
 */
#pragma once

#include "cache/json/json_build.h"
#include "cache/rez/sources.h"

enum {
    FARM_ORDER_FORMAT = 1,
    FARM_ORDER_MAX_BYTES = 256 << 20,
    FARM_JITTER_MAX_S = 3600,
    FARM_KEEP_SIGNAL = 2, /* SIGINT: a node ends, and keeps the parts of a pack that it has */
};

#define FARM_PACK_BYTES_MAX (INT64_MAX / 4)

#define FARM_ORDER_ORIGIN "the order" /* of the settings that it brings */

/** What the node does. */
enum farm_step {
    FARM_STEP_LOOK,    /* say what is missing; changes nothing */
    FARM_STEP_WARM,    /* bring it in from the source */
    FARM_STEP_PACK,    /* bring it in from a pack on a share */
    FARM_STEP_RECEIVE, /* bring it in from a pack that arrives in parts */
};

enum {
    FARM_DIGEST_SIZE = 33, /* XXH3-128 in hexadecimal, and a NUL */
    FARM_PARTS_MAX = 65536,
};

/** A part of a pack. */
struct farm_part {
    uint64_t bytes;
    char digest[FARM_DIGEST_SIZE]; /* of its bytes */
};

/** The pack that a node warms from. All zero: there is none. */
struct farm_pack {
    char *path;                    /* on a share; NULL: it arrives in parts */
    char digest[FARM_DIGEST_SIZE]; /* of its index */
    uint64_t bytes;
    uint64_t payload_bytes; /* of the variants in it */
    char *staging;          /* the directory of the parts, in the cache's .sys/staging */
    struct farm_part *parts;
    size_t part_count;
};

/** Frees what a pack has. */
void farm_pack_free(struct farm_pack *pack);

/** What a step is called. Static. */
const char *farm_step_name(enum farm_step step);

/** The step of that name. @return whether there is one */
bool farm_step_find(const struct json *name, enum farm_step *ret);

/** A setting of the command line, and its value. */
struct farm_setting {
    const char *name;
    const char *value;
};

/** What every order of a run says. */
struct farm_order_settings {
    const struct farm_setting *items;
    size_t count;
    unsigned jitter_s;
};

/**
 * Prints an order without a pack.
 *
 * @param variants each with a handle and a root; those with a reason are left out
 * @param share    a file that the node has to see, with its own name in it; NULL: there is none
 * @param text     appended to; failure is remembered in it
 */
void farm_order_print(struct text *text, enum farm_step step,
                      const struct farm_order_settings *settings,
                      const struct source_variants *variants, const char *share);

/**
 * Prints an order with a pack: another one, the step and the pack exchanged.
 *
 * @param root an order that was printed and read again
 */
void farm_order_print_pack(struct text *text, const struct json *root, enum farm_step step,
                           const struct farm_pack *pack);

/** Prints the variants of an order as a manifest, those that `wanted` says. */
void farm_order_print_manifest(struct text *text, const struct json *root, const bool *wanted);

/** An order that was read. Starts as `struct farm_order order = {0};`. */
struct farm_order {
    struct json_document *document; /* private */
    enum farm_step step;
    unsigned jitter_s;
    const struct json *settings; /* an object of strings; owned by the document */
    const struct json *list;     /* the variants as they stand there; likewise */
    size_t variants;
    struct farm_pack pack;
    char *share; /* a file that must be there, with its name in it; NULL: none */
};

/**
 * Reads an order.
 *
 * @param sources opened; receives the names of the variants, in order
 * @return        0; -EBADMSG: it is none; -ENOTSUP: a later version's; -ENOMEM
 */
int farm_order_read(const char *text, size_t length, struct sources *sources,
                    struct farm_order *ret, struct pkgcache_error *ret_error);

void farm_order_free(struct farm_order *order);
