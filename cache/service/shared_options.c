/* Options that own their strings. */
#include "cache/service/shared_options.h"

#include <stdlib.h>
#include <string.h>

/* Appends a string to the room; NULL stays NULL. */
static const char *keep(char **room, const char *string)
{
    char *kept = *room;
    if (!string)
        return NULL;
    *room = stpcpy(kept, string) + 1;
    return kept;
}

static size_t size_of(const char *string)
{
    return string ? strlen(string) + 1 : 0;
}

struct shared_options *shared_options_new(const struct pkgcache_options *options)
{
    size_t strings_size = size_of(options->local_packages_path) + size_of(options->temporary_path);
    struct shared_options *shared = malloc(sizeof(*shared) + strings_size);
    if (!shared)
        return NULL;
    char *room = (char *)(shared + 1);
    shared->options = *options;
    shared->options.local_packages_path = keep(&room, options->local_packages_path);
    shared->options.temporary_path = keep(&room, options->temporary_path);
    atomic_init(&shared->holders, 1);
    return shared;
}

struct shared_options *shared_options_hold(struct shared_options *shared)
{
    atomic_fetch_add(&shared->holders, 1);
    return shared;
}

void shared_options_release(struct shared_options *shared)
{
    if (shared && atomic_fetch_sub(&shared->holders, 1) == 1)
        free(shared);
}

void shared_options_replace(struct shared_options **held, struct shared_options *by)
{
    struct shared_options *before = *held;
    *held = shared_options_hold(by);
    shared_options_release(before);
}
