/* An open cache: its directories and options. */
#pragma once

#include "cache/lock/lock.h"
#include "cache/owner/owner.h"
#include "cache/store/handle.h"
#include "cache/util/error.h"

#include <pthread.h>
#include <sys/stat.h>

enum log_level { LOGGED_INFO, LOGGED_WARNING, LOGGED_ERROR };

struct pkgcache {
    char *path; /* absolute */
    int fd;
    int sys_fd;     /* .sys; this and the next are -1 until cache_make_directories */
    int staging_fd; /* .sys/staging: payloads on their way */
    int trash_fd;   /* .sys/to_delete: payloads on their way out */
    int log_fd;     /* .sys/log; -1 until something is logged */
    void (*log_echo)(enum log_level level, const char *line); /* told of what is logged, without the
                                                                 line feed; NULL: nobody */
    dev_t device;
    struct stat root;  /* of fd, when it was opened: what is made in it follows its mode */
    struct owner self; /* this process */
    struct pkgcache_options options;
    struct copyengine *engine;    /* NULL until something is copied or deleted */
    pthread_mutex_t look_up_lock; /* for the next two: any number of threads may look up */
    struct recall *recall;        /* NULL until something is found */
    struct stats *stats;          /* NULL until something is counted */
};

/**
 * Opens the directories under .sys, made if they are missing. Those who only look need none.
 *
 * @return 0 or -errno
 */
int cache_make_directories(struct pkgcache *cache, struct pkgcache_error *ret_error);

/**
 * Opens those of the directories under .sys that are there. Those who only take away make none.
 *
 * @return 0; -ENOENT: there is no .sys, so this is no cache; or -errno
 */
int cache_open_directories(struct pkgcache *cache, struct pkgcache_error *ret_error);

/**
 * Opens a directory under .sys that all who use the cache may write to. No symbolic link is
 * followed.
 *
 * @param make make it if it is missing, but not .sys itself: those who look make no cache
 * @return     a descriptor or -errno
 */
int cache_open_private(const struct pkgcache *cache, const char *name, bool make);

/**
 * Opens NAME/VERSION/HASH4 of a handle. No symbolic link is followed: another user may have put it
 * there.
 *
 * @param create make what is missing
 * @return       a descriptor, or -errno; -ENOENT: nothing is cached there
 */
int cache_open_hash_directory(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                              bool create);

/**
 * Opens what a path in the cache names, without following any symbolic link.
 *
 * @param flags of open(2)
 * @return      a descriptor, or -errno; -ENOSYS: not on this kernel, go name by name
 */
int cache_open_below(const struct pkgcache *cache, const char *path, int flags);

/** The path of a slot's payload, allocated; NULL for want of memory. */
char *cache_payload_path(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                         const char *slot_name);

/**
 * Takes the cache's lock. See lock_acquire.
 *
 * @param timeout_ms how long to wait; cache_lock_timeout_ms: as its options say
 * @param cancel_fd  readable: give up; -1: none
 */
int cache_lock(const struct pkgcache *cache, uint64_t timeout_ms, int cancel_fd, struct lock **ret,
               struct pkgcache_error *ret_error);

static inline uint64_t cache_lock_timeout_ms(const struct pkgcache *cache)
{
    return cache->options.lock_timeout_s * 1000ULL;
}

/** The options of a cache that are its engine's. */
struct copyengine_options cache_engine_options(const struct pkgcache_options *options);

/** Starts the cache's engine, unless it runs. @return 0 or -errno */
int cache_start_engine(struct pkgcache *cache, struct pkgcache_error *ret_error);

/**
 * Deletes a tree for good.
 *
 * @param cancel_fd readable: stop; -1: none
 * @param ret_bytes of contents that went with it, also where it failed half-way;
 *                  PKGCACHE_NOT_COUNTED: not known. NULL: need not be counted
 * @param ret_error may be NULL; what could not be deleted; the caller ends it with
 *                  copyengine_error_clear
 * @return          0, also when there is none; -ECANCELED; or -errno
 */
int cache_delete_tree(struct pkgcache *cache, int dirfd, const char *name, int cancel_fd,
                      uint64_t *ret_bytes, struct copyengine_error *ret_error);

/** Writes a name that nobody uses into a buffer: PREFIX-32HEX, as rez names what it deletes. */
void cache_unique_name(const char *prefix, char *buffer, size_t size);

/** The descriptor that a caller gave to cancel by; -1 for what is none. Who leaves it zero does not
 * mean standard input. */
static inline int cache_cancel_fd(int given)
{
    return given > 0 ? given : -1;
}

/** Whether a descriptor is readable now. -1: never. */
bool cache_is_cancelled(int cancel_fd);
