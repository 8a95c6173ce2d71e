/* The first error of a supply's copy, which threads of the engine meet and who warms reads. */
#pragma once

#include "cache/util/error.h"

#include <pthread.h>

struct first_error {
    pthread_mutex_t lock;
    struct pkgcache_error error; /* code 0: none yet */
};

void first_error_init(struct first_error *first);
void first_error_destroy(struct first_error *first);

/** A copy begins: there is none yet. */
void first_error_clear(struct first_error *first);

/** Keeps an error if it is the first; not that the copy was stopped, since the engine knows why.
 * @param result 0 or -errno @return it */
int first_error_take(struct first_error *first, int result, const struct pkgcache_error *error);

/** @return the message, which stays until the next copy begins; "": there is none */
const char *first_error_message(struct first_error *first);
