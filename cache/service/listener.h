/*
 * The socket that a daemon listens on, and what makes it the only one of its cache: a lock on
 * `.sys/daemon.lock`, which the kernel gives back when its holder ends.
 */
#pragma once

#include "cache/service/peer.h"
#include "cache/store/cache.h"

struct listener {
    int fd;
    int lock_fd;
    char *path; /* NULL: it is not ours to make (systemd's) */
    int sys_fd; /* the cache's, where the socket is in its .sys; -1: the path leads to it */
    mode_t mode;
    gid_t gid;    /* -1: as it comes */
    dev_t device; /* of the socket file, when we made it */
    ino_t inode;
};

enum { LISTENER_PASSED_FD = 3 }; /* SD_LISTEN_FDS_START */

/** Whether whoever started us has passed a socket to listen on, as that descriptor
 * (sd_listen_fds(3)). */
bool listener_is_passed(void);

/** Where a cache's socket is when nothing else is said: CACHE/.sys/daemon.sock. Allocated. */
char *listener_default_path(const char *cache_path);

/**
 * Makes sure that no other daemon serves the cache.
 *
 * @return 0; -EBUSY: one does, and the error says which process; or another -errno
 */
int listener_lock(struct pkgcache *cache, struct listener *listener,
                  struct pkgcache_error *ret_error);

/**
 * Listens. With a socket that was handed over by whoever started us (sd_listen_fds(3)), on that.
 * Else a socket file that nobody listens on is replaced, in one step.
 *
 * @param cache stays open; in its .sys the socket is found by descriptor, whatever has that name
 * @param path  of the socket; may be longer than unix(7) allows
 * @return      0; -EADDRINUSE: somebody listens there; or another -errno. listener_close in any
 * case
 */
int listener_open(struct listener *listener, const struct pkgcache *cache, const char *path,
                  const struct peer_rule *rule, struct pkgcache_error *ret_error);

/**
 * Makes the socket file again if somebody took it away, or put another in its place.
 *
 * @return whether there is another socket now, under the same descriptor
 */
bool listener_keep(struct listener *listener);

/** Stops to listen, removes the socket file if it is still ours, and gives the lock back. */
void listener_close(struct listener *listener);

/** Connects to a socket. @param path may be longer than unix(7) allows. @return a descriptor or
 * -errno */
int listener_connect(const char *path);
