/*
 * How far a clean has come, for the next one of the same user to go on: kept in `.sys/clean.UID`.
 * Where it is in the tree, how much it has counted on its way, and which slots have not been used
 * for longest.
 */
#pragma once

#include "cache/store/cache.h"

#define CLEAN_STATE_PREFIX "clean."

enum {
    CLEAN_PATH_MAX = 640,            /* bytes of NAME/VERSION/HASH4/INC, the NUL included */
    CLEAN_STATE_MAX_BYTES = 4 << 20, /* of the file */
};

/** A slot that may go when there is too much. */
struct clean_candidate {
    char *path; /* NAME/VERSION/HASH4/INC; owned */
    struct timespec last_used;
    uint64_t bytes;
};

/** Starts zeroed but for `limit`, and is freed with clean_state_clear(). */
struct clean_state {
    char after[CLEAN_PATH_MAX]; /* NAME/VERSION/HASH4 of the last one that is done; "": none is */
    bool sized;                 /* sizes were counted: what follows is filled in */
    uint64_t bytes;             /* of all found slots so far, also of those that are not here */
    struct clean_candidate *oldest; /* a heap: the one that was used last comes first */
    size_t count;
    size_t capacity;
    size_t limit; /* so many at most: others, used later, are left out; SIZE_MAX: all */
};

/**
 * Reads a state. Anybody may have written it: a path in it is in the form of a slot's, and may lead
 * nowhere.
 *
 * @param ret its `limit` holds; untouched on failure
 * @return    0; -EBADMSG: it is none; -ENOMEM
 */
int clean_state_parse(const char *text, size_t length, struct clean_state *ret);

/** Appends a state as JSON. */
void clean_state_format(struct text *text, const struct clean_state *state);

/**
 * Reads the state that the last clean of this user kept. None, one that cannot be read, and one
 * that another user can have written, is the beginning.
 */
void clean_state_load(const struct pkgcache *cache, struct clean_state *ret);

/** Keeps a state, in place of the one before, whole or not at all. @return 0 or -errno */
int clean_state_save(const struct pkgcache *cache, const struct clean_state *state);

/** The next clean begins at the beginning. */
void clean_state_forget(const struct pkgcache *cache);

/** Counts a found slot that is no candidate. */
void clean_state_count(struct clean_state *state, uint64_t bytes);

/** Counts a found slot, and notes it as a candidate. @return 0 or -ENOMEM */
int clean_state_note(struct clean_state *state, const char *path, struct timespec last_used,
                     uint64_t bytes);

/** Puts the candidates in order: the one that was not used for longest comes last. No heap then. */
void clean_state_sort(struct clean_state *state);

void clean_state_clear(struct clean_state *state);
