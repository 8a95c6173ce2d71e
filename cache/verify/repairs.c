/*
 * A sidecar says where its payload came from, and only the sidecar's owner vouches for that, and
 * for the handle in it. If we copied from there with the rights of whoever runs this, root's
 * nightly repair would publish every closed directory that a user names. So root becomes the
 * sidecar's owner to repair it (repair_for.c), and reads no more than that user can read. The new
 * sidecar belongs to that user, too: if it were root's, root would vouch for it. All others repair
 * what is their own or root's.
 *
 * Nobody vouches for a sidecar that other users may write to, or can have moved to where it is: a
 * file that somebody copied out of another user's package belongs to who copied it. So the payload
 * must belong to the sidecar's owner, too, and its directory to no third user.
 *
 * Links that lead to the source are followed if we or root made them: others could change theirs
 * after we had copied from there.
 */
#include "cache/verify/repairs.h"

#include "cache/verify/repair_for.h"

#define REMOVE_AND_ADD "remove the variant, and add it again"

/* Whether nobody vouches for a payload's source, or not to us; and says so. */
static bool refuse(struct repair *repair)
{
    uid_t uid = repair->uid;
    bool is_others = geteuid() != 0 && uid != 0 && uid != geteuid();
    if (!repair->source_root)
        repair_give_reason(repair, "its source is unknown: " REMOVE_AND_ADD);
    else if (repair->is_unvouched)
        repair_give_reason(repair,
                           "other users may write to its sidecar, payload or directory, so nobody "
                           "vouches for the source that it names: " REMOVE_AND_ADD);
    else if (is_others)
        repair_give_reason(repair,
                           "its sidecar, which names its source, is user %u's: only that user and "
                           "root can repair it",
                           uid);
    return !repair->source_root || repair->is_unvouched || is_others;
}

/* Those of a user that were not chosen before, and are not refused. Returns how many. */
static size_t choose(struct repair *repairs, size_t count, uid_t uid, bool *taken,
                     struct repair **ret_chosen)
{
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        if (taken[i] || (repairs[i].uid != uid && geteuid() == 0))
            continue;
        taken[i] = true;
        ret_chosen[chosen++] = &repairs[i];
    }
    return chosen;
}

int repairs_run(struct pkgcache *cache, struct repair *repairs, size_t count, int cancel_fd,
                struct pkgcache_error *ret_error)
{
    const struct repair_how how = {.cancel_fd = cancel_fd};
    CLEANUP_FREE struct repair **chosen = calloc(count + 1, sizeof(struct repair *));
    CLEANUP_FREE bool *taken = calloc(count + 1, sizeof(*taken));
    if (!chosen || !taken)
        return error_set(ret_error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        taken[i] = refuse(&repairs[i]);
    size_t ours = choose(repairs, count, geteuid(), taken, chosen);
    int result = repair_run(cache, chosen, ours, &how, ret_error);
    for (size_t i = 0; i < count && result == 0; i++) {
        uid_t uid = repairs[i].uid;
        size_t theirs = choose(repairs, count, uid, taken, chosen);
        if (theirs > 0 && cache_is_cancelled(cancel_fd))
            result = error_set(ret_error, ECANCELED, "interrupted");
        else if (theirs > 0)
            repair_for(cache, uid, chosen, theirs, cancel_fd);
    }
    return result;
}
