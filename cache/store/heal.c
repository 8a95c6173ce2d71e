/* Healing a hash directory. What is damaged, and why that is certain with the lock: damage.c. */
#include "cache/store/heal.h"

#include "cache/store/damage.h"
#include "cache/store/sidecar.h"
#include "cache/store/slot.h"
#include "cache/util/names.h"

/*
 * A copy with a sidecar that nobody can read is a rez's that was killed, or lost power, while it
 * wrote that. It left no record, so judging it takes no time.
 */
static bool is_half_claimed(int hash_fd, const char *name, const struct diagnosis *diagnosis)
{
    char file[SLOT_FILE_MAX];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    slot_sidecar_name(name, file);
    return diagnosis->copying_inode && sidecar_read(hash_fd, file, &sidecar, NULL) == -EBADMSG;
}

static bool is_damaged(const struct pkgcache *cache, int hash_fd, const char *name)
{
    static const struct diagnosis not_stalled = {.damage = DAMAGE_NONE};
    struct diagnosis diagnosis;
    damage_diagnose(cache, hash_fd, name, NULL, &not_stalled, &diagnosis);
    if (is_half_claimed(hash_fd, name, &diagnosis))
        damage_diagnose(cache, hash_fd, name, NULL, NULL, &diagnosis);
    return damage_kinds[diagnosis.damage].heals;
}

void heal_directory(const struct pkgcache *cache, const struct lock *lock, int hash_fd,
                    const char *prefix)
{
    struct names names;
    int result = names_open(&names, hash_fd);
    for (const char *entry; result == 0 && (entry = names_next(&names));) {
        char name[SLOT_NAME_MAX];
        if (damage_find_slot_name(hash_fd, entry, names.type, name) && *name &&
            is_damaged(cache, hash_fd, name))
            (void)slot_retire(cache, lock, hash_fd, name, prefix);
    }
    names_close(&names);
}
