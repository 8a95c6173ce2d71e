/*
 * Serving rez's queue: what is pending is copied until nothing is left. And who does that: one
 * process at a time for a cache, any number of others hand over to it and leave.
 */
#pragma once

#include "cache/rez/sources.h"
#include "cache/store/cache.h"

/**
 * Becomes the process that serves a cache, until the descriptor is closed; children share it.
 *
 * @param sys_fd `.sys` of the cache
 * @return       a descriptor; -EWOULDBLOCK: another process serves, and will see what is queued
 *               now; or -errno: nobody can
 */
int serve_begin(int sys_fd);

/** Whether no process that serves has thought of cleaning for some minutes. One system call. */
bool serve_clean_is_due(int sys_fd);

/** From now on it is not due for some minutes. */
void serve_note_clean(const struct pkgcache *cache);

/**
 * Copies what is pending, also what becomes so meanwhile, the oldest first. Ends when nothing is
 * left but what other processes copy, or when there is no room: then the queue stays. What cannot
 * be cached leaves the queue with a line in the log: who wants it again, queues it again. What
 * another user has queued is served if its repository is one of rez's packages_path, and no
 * directory on the way to its root is closed to that user; else it is left to that user.
 *
 * @param serving_fd of serve_begin; closed
 * @param config     rez's settings
 * @param sources    opened: where variants are looked for
 * @param cancel_fd  readable: stop, what is unfinished stays queued; -1: none
 * @return           0; -ECANCELED; or -errno: the cache cannot be used, and the queue stays
 */
int serve_pending(struct pkgcache *cache, int serving_fd, struct rezconfig *config,
                  struct sources *sources, int cancel_fd, struct pkgcache_error *ret_error);
