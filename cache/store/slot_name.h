/*
 * Names of slots, and of the three files that a slot is: INC (the payload), INC.json (the sidecar)
 * and .copying-INC. What stands in those files, and what is wrong with it, is not known here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    SLOT_NAME_MAX = 247, /* with the NUL: ".copying-INC" is a file name, too */
    SLOT_FILE_MAX = 256, /* ".copying-INC" or "INC.json" */
    SLOT_PATH_MAX = 640, /* NAME/VERSION/HASH4/INC, with the NUL */
};

/** How the names of payloads begin that were taken out, and could not be moved to to_delete. */
#define SLOT_REMOVED_PREFIX ".removed"
#define SLOT_COPYING_PREFIX ".copying-"

static inline void slot_copying_name(const char *name, char buffer[static SLOT_FILE_MAX])
{
    snprintf(buffer, SLOT_FILE_MAX, SLOT_COPYING_PREFIX "%s", name);
}

static inline void slot_sidecar_name(const char *name, char buffer[static SLOT_FILE_MAX])
{
    snprintf(buffer, SLOT_FILE_MAX, "%s.json", name);
}

/**
 * A number that stands for a slot where there is no room for its path: in the names of leases, in
 * the table of slots in use.
 *
 * @param directory NAME/VERSION/HASH4
 */
uint64_t slot_key(const char *directory, const char *name);

/** The slot that a sidecar's file name belongs to; false: it is no sidecar's name. */
bool slot_name_of_sidecar(const char *file_name, char ret[static SLOT_NAME_MAX]);

/** Whether rez or pkgcache may have chosen this name for a slot. */
bool slot_name_is_valid(const char *name);

/**
 * Chooses a name for a new slot. No slot of the directory has it, nor had it for as long as rez
 * remembers.
 * The lock is held.
 *
 * @return 0; -ENAMETOOLONG, -EEXIST: all names are taken; or -errno
 */
int slot_name_choose(int hash_fd, char ret[static SLOT_NAME_MAX]);
