/*
 * Clients of a cache's daemon (`pkgcache daemon`). The daemon does what pkgcache.h does, has the
 * cache open already, and copies a variant once when many ask for it.
 *
 * A connection is for one thread at a time. After an error that the daemon did not answer with, it
 * can only be closed. What pkgcache.h says of results and structures holds here, too.
 */
#pragma once

#include "pkgcache.h" /* installed beside this one */

#ifdef __cplusplus
extern "C" {
#endif

struct pkgcache_client;

/**
 * Connects to the daemon of a cache. The daemon must run as this user, as root, or as the user who
 * owns the cache.
 *
 * @param path        the cache's directory
 * @param socket_path NULL: in the cache
 * @param ret         the connection; the caller ends it with pkgcache_client_close
 * @return            0; -ENOENT, -ECONNREFUSED: there is no daemon; -EPERM: it runs as another
 *                    user; or another -errno
 */
PKGCACHE_PUBLIC int pkgcache_client_open(const char *path, const char *socket_path,
                                         struct pkgcache_client **ret,
                                         struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 3) PKGCACHE_CHECKED;

/** Closes a connection, which ends the leases that were taken with it. NULL is allowed. */
PKGCACHE_PUBLIC void pkgcache_client_close(struct pkgcache_client *client);

/**
 * Calls a method of the daemon, by its name: docs/daemon.md describes them.
 *
 * @param params     a JSON object; NULL: none
 * @param ret_result may be NULL; the result as JSON, which the caller frees with free(3)
 * @return           0; -EAGAIN: the daemon is busy; -EPERM: this user may not call it; -ETIMEDOUT:
 *                   no answer for 30 s; -ECONNRESET: the daemon ended; -EBADMSG: its answer is
 * none; or the -errno that it answered
 */
PKGCACHE_PUBLIC int pkgcache_client_call(struct pkgcache_client *client, const char *method,
                                         const char *params, char **ret_result,
                                         struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/** As pkgcache_get. @return as it, or as pkgcache_client_call */
PKGCACHE_PUBLIC int pkgcache_client_get(struct pkgcache_client *client,
                                        const struct pkgcache_handle *handle, bool touch,
                                        char **ret_root, enum pkgcache_status *ret_status,
                                        struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 4) PKGCACHE_CHECKED;

/** As pkgcache_get_many, in few messages. @return as it, or as pkgcache_client_call */
PKGCACHE_PUBLIC int pkgcache_client_get_many(struct pkgcache_client *client,
                                             const struct pkgcache_handle *const *handles,
                                             size_t count, bool touch,
                                             struct pkgcache_result *results, size_t result_size,
                                             struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1) PKGCACHE_CHECKED;

/**
 * As pkgcache_list, but the calling thread makes all calls of `visit`.
 *
 * @return as it, or as pkgcache_client_call; -EMSGSIZE: the list is too long for one message
 */
PKGCACHE_PUBLIC int
pkgcache_client_list(struct pkgcache_client *client,
                     int (*visit)(void *context, const struct pkgcache_entry *entry), void *context,
                     struct pkgcache_error *ret_error) PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/**
 * As pkgcache_warm, with two differences. The calling thread calls on_warning, when the results are
 * there. With `no_wait` the call does not wait for any copy: a variant is COPYING unless the daemon
 * knows already that it is there, and its warnings are in the log only.
 *
 * @return as pkgcache_client_call; or -ECANCELED: the daemon rolls back what no other client wants
 */
PKGCACHE_PUBLIC int
pkgcache_client_warm(struct pkgcache_client *client, const struct pkgcache_warm *warm,
                     struct pkgcache_result *results, struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2) PKGCACHE_CHECKED;

/**
 * As pkgcache_lease, for this process. The lease also ends with pkgcache_client_release and with
 * pkgcache_client_close.
 *
 * @return as pkgcache_lease, or as pkgcache_client_call
 */
PKGCACHE_PUBLIC int pkgcache_client_lease(struct pkgcache_client *client,
                                          const struct pkgcache_handle *handle, char **ret_root,
                                          enum pkgcache_status *ret_status,
                                          struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2, 3) PKGCACHE_CHECKED;

/** Ends a lease of this connection. @return 0, also when there was none; or -errno */
PKGCACHE_PUBLIC int pkgcache_client_release(struct pkgcache_client *client,
                                            const struct pkgcache_handle *handle,
                                            struct pkgcache_error *ret_error)
    PKGCACHE_NONNULL(1, 2);

#ifdef __cplusplus
}
#endif
