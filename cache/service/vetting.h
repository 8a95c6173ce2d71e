/*
 * What guests may have copied: clients that are neither root nor the daemon's user. The daemon
 * reads with its own rights and writes with its own name. So whoever may ask must not decide what a
 * name holds, nor read what is closed: a guest's root is copied if it is where its handle says, in
 * a repository that the daemon knows, and no directory on the way is closed to the guest.
 */
#pragma once

#include "cache/rez/source_variants.h"
#include "cache/service/loop.h"
#include "cache/store/cache.h"
#include "cache/util/access.h"

/** All that are under way. Of each user, only so many roots are looked at at once: those that hang
 * hold up that user. */
struct vettings {
    struct loop *loop;
    const struct pkgcache *cache;
    unsigned stall_grace_s;   /* how long a root may not answer */
    const char *repositories; /* a list with colons between them; "": all may be named */
    int wake_fd;              /* an eventfd that is written to when something was found */
    struct roots *roots;      /* private, as all below; NULL: not started yet */
    struct vetting *first;
    struct guest_looks *looks; /* of each user with some under way, which may be hanging */
    struct loop_timer timer;
};

/**
 * Begins to look at the roots that variants have. Those that are cached lose theirs: nothing will
 * be copied.
 *
 * @param variants get reasons, or their roots as they are without links, and which directories
 * these are. The caller's, and must live until on_done
 * @param user     copied
 * @param on_done  called by the thread of the loop, later or at once
 * @return         0; -ENOMEM, or -EBUSY: too many are waited for already; on_done is not called
 */
int vetting_begin(struct vettings *vettings, struct source_variants *variants,
                  const struct access_user *user, void (*on_done)(void *context), void *context);

/** Takes what was found since the last time. */
void vettings_take_done(struct vettings *vettings);

/** Ends all: what was not found out yet has a reason then. */
void vettings_end(struct vettings *vettings);
