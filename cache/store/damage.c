/*
 * Damage: what crashes, power cuts, other programs and people leave behind.
 *
 * A slot with a `.copying-INC` belongs to its copier, whatever else is missing: a claim begins when
 * that file is made, and ends when it is removed. Such a slot is damaged only if its copier is
 * gone. A slot without that file is finished, and must have a sidecar that can be read and a
 * payload that is a directory.
 *
 * A judgement without the lock may be wrong for a moment: somebody may be making the slot, or
 * removing it. So a slot is judged again with the lock held before it is removed. With the lock
 * held, there is no half-made slot without a `.copying-INC`: rez and pkgcache make that file first
 * and remove it last.
 */
#include "cache/store/damage.h"

#include "cache/owner/owner_file.h"
#include "cache/store/lookup.h"
#include "cache/store/sidecar.h"
#include "cache/util/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

const struct damage_kind damage_kinds[DAMAGE_COUNT] = {
    [DAMAGE_NONE] = {"none", "is whole", false},
    [DAMAGE_SIDECAR_MISSING] = {"sidecar-missing", "has no sidecar", true},
    [DAMAGE_SIDECAR_BAD] = {"sidecar-bad", "its sidecar cannot be read", true},
    [DAMAGE_PAYLOAD_MISSING] = {"payload-missing", "its payload is missing", true},
    [DAMAGE_PAYLOAD_KIND] = {"payload-kind", "its payload is not a directory", true},
    [DAMAGE_STALLED] = {"stalled", "its copy stalled", true},
    [DAMAGE_DUPLICATE] = {"duplicate", "is a duplicate: look-ups find the other one", true},
    [DAMAGE_SIDECAR_CLOSED] = {"sidecar-closed", "its sidecar cannot be opened", false},
    [DAMAGE_SIDECAR_OTHER] = {"sidecar-other", "its sidecar holds another kind of handle", false},
    [DAMAGE_ELSEWHERE] = {"elsewhere", "its handle belongs in another directory", false},
    [DAMAGE_FOREIGN] = {"foreign", "was not made by rez or pkgcache", false},
};

bool damage_find_slot_name(int hash_fd, const char *entry, unsigned char type,
                           char ret[static SLOT_NAME_MAX])
{
    static const size_t prefix_length = sizeof(SLOT_COPYING_PREFIX) - 1;
    char sidecar[SLOT_FILE_MAX];
    if (slot_name_of_sidecar(entry, ret))
        return slot_name_is_valid(ret);
    bool is_copying = strncmp(entry, SLOT_COPYING_PREFIX, prefix_length) == 0;
    const char *name = is_copying ? entry + prefix_length : entry;
    if (!slot_name_is_valid(name))
        return false;
    slot_sidecar_name(name, sidecar);
    strcpy(ret, name);
    if (file_exists(hash_fd, sidecar) || (is_copying && file_is_directory(hash_fd, name)))
        *ret = '\0'; /* the other entry stands for the slot */
    else if (!is_copying && type != DT_DIR && !file_is_directory(hash_fd, name))
        return false; /* somebody's file */
    return true;
}

/* For a sidecar that this user may not read: it is damaged if it is his own. */
static enum damage damage_of_closed(int hash_fd, const char *name)
{
    char sidecar[SLOT_FILE_MAX];
    struct stat status;
    slot_sidecar_name(name, sidecar);
    bool own =
        fstatat(hash_fd, sidecar, &status, AT_SYMLINK_NOFOLLOW) == 0 && status.st_uid == geteuid();
    return own ? DAMAGE_SIDECAR_BAD : DAMAGE_SIDECAR_CLOSED;
}

/* For a slot without a .copying-INC. @param sidecar_result what sidecar_read() returned */
static enum damage damage_of(int hash_fd, const char *name, int sidecar_result)
{
    struct stat status;
    bool payload = fstatat(hash_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    switch (sidecar_result) {
    case 0:
        return !payload                  ? DAMAGE_PAYLOAD_MISSING
               : S_ISDIR(status.st_mode) ? DAMAGE_NONE
                                         : DAMAGE_PAYLOAD_KIND;
    case -ENOENT:
        return payload && S_ISDIR(status.st_mode) ? DAMAGE_SIDECAR_MISSING : DAMAGE_NONE;
    case -EBADMSG:
        return DAMAGE_SIDECAR_BAD;
    case -EINVAL:
        return DAMAGE_SIDECAR_OTHER;
    case -EACCES:
        return damage_of_closed(hash_fd, name);
    default:
        return DAMAGE_SIDECAR_CLOSED;
    }
}

/* Whether the copier of a slot is dead. */
static bool is_stalled(const struct owner_file *file, const struct diagnosis *before,
                       const struct diagnosis *now)
{
    if (!before)
        return file->state == OWNER_GONE || file->overdue;
    return before->damage == DAMAGE_STALLED && before->copying_inode == now->copying_inode &&
           before->beat.tv_sec == now->beat.tv_sec && before->beat.tv_nsec == now->beat.tv_nsec;
}

/* For a whole slot: whether this directory is the right one for it. */
static enum damage damage_of_place(int hash_fd, const char *name, const char *path,
                                   const struct sidecar *sidecar)
{
    struct slot_view first;
    if (strcmp(sidecar->handle->relative_path, path) != 0)
        return DAMAGE_ELSEWHERE;
    bool found =
        slot_find(hash_fd, sidecar->handle, false, &first) == 0 && first.status == PKGCACHE_FOUND;
    return found && strcmp(first.name, name) != 0 ? DAMAGE_DUPLICATE : DAMAGE_NONE;
}

/* For a slot with a .copying-INC. Returns false: there is none. */
static bool diagnose_copy(const struct pkgcache *cache, int hash_fd, const char *name,
                          const struct diagnosis *before, struct diagnosis *ret)
{
    char copying[SLOT_FILE_MAX];
    struct owner_file file = {0};
    slot_copying_name(name, copying);
    int result =
        before
            ? (fstatat(hash_fd, copying, &file.status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0)
            : owner_file_find(hash_fd, copying, &cache->self, cache->options.stall_grace_s, &file);
    if (result == -ENOENT)
        return false;
    ret->owner = file.owner;
    ret->copying_inode = file.status.st_ino;
    ret->beat = file.status.st_mtim;
    if (result == 0 && is_stalled(&file, before, ret))
        ret->damage = DAMAGE_STALLED;
    return true;
}

void damage_diagnose(const struct pkgcache *cache, int hash_fd, const char *name, const char *path,
                     const struct diagnosis *before, struct diagnosis *ret)
{
    char file[SLOT_FILE_MAX];
    *ret = (struct diagnosis){.damage = DAMAGE_NONE};
    if (diagnose_copy(cache, hash_fd, name, before, ret))
        return;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    slot_sidecar_name(name, file);
    int result = sidecar_read(hash_fd, file, &sidecar, NULL);
    ret->damage = damage_of(hash_fd, name, result);
    if (result == 0 && ret->damage == DAMAGE_NONE && path)
        ret->damage = damage_of_place(hash_fd, name, path, &sidecar);
}
