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
#include "cache/util/names.h"

#include <dirent.h>
#include <fcntl.h>
#include <search.h>
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
    [DAMAGE_MOUNTED] = {"mounted", "has another file system mounted on a part of it", false},
    [DAMAGE_FOREIGN] = {"foreign", "was not made by rez or pkgcache", false},
};

/* Whether a name is a directory, or was one before something was mounted there. */
static bool may_be_payload(int hash_fd, const char *name)
{
    struct stat status;
    return names_stat(hash_fd, name, &status) == 0 ? S_ISDIR(status.st_mode) : errno == EXDEV;
}

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
    if (file_exists(hash_fd, sidecar) || (is_copying && may_be_payload(hash_fd, name)))
        *ret = '\0'; /* the other entry stands for the slot */
    else if (!is_copying && type != DT_DIR && !may_be_payload(hash_fd, name))
        return false; /* somebody's file */
    return true;
}

/* For a sidecar that this user may not read: it is damaged if it is his own. */
static enum damage damage_of_closed(int hash_fd, const char *name)
{
    char sidecar[SLOT_FILE_MAX];
    struct stat status;
    slot_sidecar_name(name, sidecar);
    bool own = names_stat(hash_fd, sidecar, &status) == 0 && status.st_uid == geteuid();
    return own ? DAMAGE_SIDECAR_BAD : DAMAGE_SIDECAR_CLOSED;
}

/* For a slot without a .copying-INC. @param sidecar_result what sidecar_read() returned */
static enum damage damage_of(int hash_fd, const char *name, int sidecar_result)
{
    struct stat status;
    bool payload = names_stat(hash_fd, name, &status) == 0;
    if ((!payload && errno == EXDEV) || sidecar_result == -EXDEV)
        return DAMAGE_MOUNTED;
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

/** A slot that look-ups find. */
struct whole_slot {
    struct pkgcache_handle *handle;
    char name[]; /* with the NUL */
};

static int compare_handles(const void *left, const void *right)
{
    const struct whole_slot *a = left;
    const struct whole_slot *b = right;
    return handle_compare(a->handle, b->handle);
}

static void free_whole_slot(void *node)
{
    struct whole_slot *slot = node;
    handle_free(slot->handle);
    free(slot);
}

void damage_directory_free(struct damage_directory *directory)
{
    tdestroy(directory->whole, free_whole_slot);
    directory->whole = NULL;
}

/* The first whole slot of a handle: this one, if there was none before it. NULL: no memory. */
static const struct whole_slot *find_first(struct damage_directory *directory, const char *name,
                                           struct sidecar *sidecar)
{
    struct whole_slot *slot = malloc(sizeof(*slot) + strlen(name) + 1);
    if (!slot)
        return NULL;
    slot->handle = sidecar->handle;
    strcpy(slot->name, name);
    struct whole_slot *const *first = tsearch(slot, &directory->whole, compare_handles);
    if (first && *first == slot)
        sidecar->handle = NULL; /* the directory has it now */
    else
        free(slot);
    return first ? *first : NULL;
}

/*
 * For a whole slot: whether this directory is the right one for it, and which slot of its handle
 * look-ups find. They read the names in the same order: so no directory is read again for each.
 */
static void judge_place(struct damage_directory *directory, const char *name,
                        struct sidecar *sidecar, struct diagnosis *ret)
{
    if (strcmp(sidecar->handle->relative_path, directory->path) != 0) {
        ret->damage = DAMAGE_ELSEWHERE;
        return;
    }
    const struct whole_slot *first = find_first(directory, name, sidecar);
    if (!first || strcmp(first->name, name) == 0)
        return;
    ret->damage = DAMAGE_DUPLICATE;
    strcpy(ret->other, first->name);
}

/* For what was a duplicate without the lock: whether the other slot is still found. */
static void judge_duplicate(int hash_fd, const struct diagnosis *before,
                            const struct sidecar *sidecar, struct diagnosis *ret)
{
    char file[SLOT_FILE_MAX];
    struct slot_view view;
    CLEANUP_CLOSE int fd = -1;
    slot_sidecar_name(before->other, file);
    if (before->damage != DAMAGE_DUPLICATE || !sidecar_holds(hash_fd, file, sidecar->handle, &fd))
        return;
    slot_view_read(hash_fd, before->other, fd, &view);
    if (view.status != PKGCACHE_FOUND)
        return;
    ret->damage = DAMAGE_DUPLICATE;
    strcpy(ret->other, before->other);
}

/* For a slot with a .copying-INC. Returns false: there is none. */
static bool diagnose_copy(const struct pkgcache *cache, int hash_fd, const char *name,
                          const struct diagnosis *before, struct diagnosis *ret)
{
    char copying[SLOT_FILE_MAX];
    struct owner_file file = {0};
    slot_copying_name(name, copying);
    int result = before ? (names_stat(hash_fd, copying, &file.status) < 0 ? -errno : 0)
                        : owner_file_find(hash_fd, copying, &cache->self,
                                          cache->options.stall_grace_s, &file);
    if (result == -ENOENT)
        return false;
    if (result == -EXDEV) {
        ret->damage = DAMAGE_MOUNTED;
        return true;
    }
    ret->owner = file.owner;
    ret->copying_inode = file.status.st_ino;
    ret->beat = file.status.st_mtim;
    if (result == 0 && is_stalled(&file, before, ret))
        ret->damage = DAMAGE_STALLED;
    return true;
}

static void diagnose(const struct pkgcache *cache, int hash_fd, const char *name,
                     struct damage_directory *directory, const struct diagnosis *before,
                     int *ret_sidecar_fd, struct diagnosis *ret)
{
    char file[SLOT_FILE_MAX];
    *ret = (struct diagnosis){.damage = DAMAGE_NONE};
    if (diagnose_copy(cache, hash_fd, name, before, ret))
        return;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    slot_sidecar_name(name, file);
    int result = sidecar_read(hash_fd, file, &sidecar, NULL);
    ret->damage = damage_of(hash_fd, name, result);
    if (result < 0 || ret->damage != DAMAGE_NONE || !directory)
        return;
    if (before)
        judge_duplicate(hash_fd, before, &sidecar, ret);
    else
        judge_place(directory, name, &sidecar, ret);
    if (ret_sidecar_fd && ret->damage == DAMAGE_NONE)
        *ret_sidecar_fd = steal_fd(&sidecar.fd);
}

void damage_diagnose(const struct pkgcache *cache, int hash_fd, const char *name,
                     struct damage_directory *directory, const struct diagnosis *before,
                     struct diagnosis *ret)
{
    diagnose(cache, hash_fd, name, directory, before, NULL, ret);
}

void damage_diagnose_first(const struct pkgcache *cache, int hash_fd, const char *name,
                           struct damage_directory *directory, int *ret_sidecar_fd,
                           struct diagnosis *ret)
{
    *ret_sidecar_fd = -1;
    diagnose(cache, hash_fd, name, directory, NULL, ret_sidecar_fd, ret);
}
