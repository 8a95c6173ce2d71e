/* One error, under a lock of its own. */
#include "cache/warm/first_error.h"

#include <errno.h>

void first_error_init(struct first_error *first)
{
    *first = (struct first_error){0};
    pthread_mutex_init(&first->lock, NULL);
}

void first_error_destroy(struct first_error *first)
{
    pthread_mutex_destroy(&first->lock);
}

void first_error_clear(struct first_error *first)
{
    pthread_mutex_lock(&first->lock);
    first->error = (struct pkgcache_error){0};
    pthread_mutex_unlock(&first->lock);
}

int first_error_take(struct first_error *first, int result, const struct pkgcache_error *error)
{
    pthread_mutex_lock(&first->lock);
    if (result < 0 && result != -ECANCELED && first->error.code == 0)
        first->error = *error;
    pthread_mutex_unlock(&first->lock);
    return result;
}

const char *first_error_message(struct first_error *first)
{
    pthread_mutex_lock(&first->lock);
    const char *message = first->error.code ? first->error.message : "";
    pthread_mutex_unlock(&first->lock);
    return message;
}
