/*
 * Names of slots.
 *
 * No name is ever used twice: rez's copier that was paused would wake up in a slot of ours. rez
 * takes the successor of the greatest name as text, so ours begin with all the z that the greatest
 * begins with ("z" is followed by "aa" in rez, which is less, and chosen again and again), and have
 * no z after them.
 *
 * So the names of slots are few: rez counts a, b, … z, aa, ab, …, ours are four letters after all
 * the z that the greatest has, and rez counts on from there. A longer name is nobody's.
 */
#include "cache/store/slot_name.h"

#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/text.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

enum {
    RANDOM_LETTERS = 4,
    COUNTED_LETTERS = 4, /* by rez, after the z: 475,254 slots in one hash directory */
    LETTERS = 25,        /* a to y */
    NAME_TRIES = 100,
};

_Static_assert(RANDOM_LETTERS <= COUNTED_LETTERS, "a name of ours is a valid one");

uint64_t slot_key(const char *directory, const char *name)
{
    char path[SLOT_PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, name);
    return text_key(path, (size_t)length);
}

bool slot_name_of_sidecar(const char *file_name, char ret[static SLOT_NAME_MAX])
{
    static const char suffix[] = ".json";
    size_t length = strlen(file_name);
    if (length < sizeof(suffix) || length - (sizeof(suffix) - 1) >= SLOT_NAME_MAX)
        return false;
    length -= sizeof(suffix) - 1;
    if (strcmp(file_name + length, suffix) != 0)
        return false;
    memcpy(ret, file_name, length);
    ret[length] = '\0';
    return true;
}

bool slot_name_is_valid(const char *name)
{
    const char *counted = name + strspn(name, "z");
    size_t letters = strspn(counted, "abcdefghijklmnopqrstuvwxyz");
    return *name && letters <= COUNTED_LETTERS && counted[letters] == '\0' &&
           counted + letters - name < SLOT_NAME_MAX;
}

/* The greatest name of a sidecar, as rez compares them: as text. Empty when there is none. */
static int greatest_name(int hash_fd, char ret[static SLOT_NAME_MAX])
{
    struct names names;
    int result = names_open(&names, hash_fd);
    *ret = '\0';
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char slot[SLOT_NAME_MAX];
        if (slot_name_of_sidecar(name, slot) && strcmp(slot, ret) > 0)
            strcpy(ret, slot);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

static int random_letters(char *ret)
{
    uint8_t bytes[RANDOM_LETTERS];
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        return -EIO;
    for (int i = 0; i < RANDOM_LETTERS; i++)
        ret[i] = (char)('a' + bytes[i] % LETTERS);
    ret[RANDOM_LETTERS] = '\0';
    return 0;
}

int slot_name_choose(int hash_fd, char ret[static SLOT_NAME_MAX])
{
    char greatest[SLOT_NAME_MAX];
    int result = greatest_name(hash_fd, greatest);
    size_t leading = strspn(greatest, "z");
    if (leading + RANDOM_LETTERS >= SLOT_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(ret, greatest, leading);
    for (int i = 0; i < NAME_TRIES && result == 0; i++) {
        char copying[SLOT_FILE_MAX];
        char sidecar[SLOT_FILE_MAX];
        result = random_letters(ret + leading);
        slot_copying_name(ret, copying);
        slot_sidecar_name(ret, sidecar);
        assert(result < 0 || slot_name_is_valid(ret));
        if (!file_exists(hash_fd, ret) && !file_exists(hash_fd, copying) &&
            !file_exists(hash_fd, sidecar))
            return result;
    }
    return result < 0 ? result : -EEXIST;
}
