/*
 * What is wrong with the slots of a hash directory. All commands judge by this: look-ups pass over
 * damaged slots, add and clean remove those that heal (heal.h, clean.c), doctor reports all of
 * them. Nothing is changed here; slot.c removes.
 */
#pragma once

#include "cache/store/cache.h"
#include "cache/store/slot_name.h"

enum damage {
    DAMAGE_NONE,
    /* No use to anybody: taken away. */
    DAMAGE_SIDECAR_MISSING,
    DAMAGE_SIDECAR_BAD,     /* empty, half, no JSON, no file at all, or closed to its own owner */
    DAMAGE_PAYLOAD_MISSING, /* the sidecar says that it is there */
    DAMAGE_PAYLOAD_KIND,    /* a file, a symbolic link, …: no directory */
    DAMAGE_STALLED,         /* its copier is gone */
    DAMAGE_DUPLICATE,       /* another slot of the same handle comes first: nobody finds this one */
    /* Of use to somebody, or not ours to judge: only named. */
    DAMAGE_SIDECAR_CLOSED, /* another user's, and we may not read it; or the disk does not */
    DAMAGE_SIDECAR_OTHER,  /* a handle of a kind that rez's own repositories do not have */
    DAMAGE_ELSEWHERE,      /* its handle belongs into another hash directory */
    DAMAGE_MOUNTED,        /* what is below cannot be seen, and what is on top may never answer */
    DAMAGE_FOREIGN,        /* neither rez nor pkgcache makes such things */
    DAMAGE_COUNT,
};

struct damage_kind {
    const char *name; /* for programs */
    const char *why;  /* for people: follows a path */
    bool heals;       /* add and clean take it away */
};

extern const struct damage_kind damage_kinds[DAMAGE_COUNT];

/** A hash directory whose slots are diagnosed one after the other, in the order of its names. */
struct damage_directory {
    const char *path; /* relative to the cache */
    void *whole;      /* private: the first whole slot of each handle, which look-ups find */
};

/** Frees what was found out about a directory. */
void damage_directory_free(struct damage_directory *directory);

/** What can be found out about a slot. */
struct diagnosis {
    enum damage damage;
    char other[SLOT_NAME_MAX]; /* of a duplicate: the slot that look-ups find */
    ino_t copying_inode;       /* of .copying-INC; 0: there is none */
    struct timespec beat;      /* of the copier */
    struct owner owner;        /* the copier; pid 0: not known (rez leaves no record) */
};

/**
 * Finds the slot that an entry of a hash directory stands for. Each slot has one such entry: the
 * first that exists of INC.json, INC and .copying-INC. The others stand for nothing.
 *
 * @param type as names_next has it: DT_DIR, …, DT_UNKNOWN
 * @param ret  the slot's name; "": the entry stands for nothing
 * @return     false: the entry is no part of a slot
 */
bool damage_find_slot_name(int hash_fd, const char *entry, unsigned char type,
                           char ret[static SLOT_NAME_MAX]);

/**
 * Finds out what is wrong with a slot. With the lock held, an earlier diagnosis saves the proof
 * that the copier is gone, which takes 20 ms: a copier that has not beaten since is still gone.
 *
 * @param directory what is known of the hash directory; NULL: only what is wrong with the slot
 *                  itself, not whether it is in the right place, or a duplicate
 * @param before    the diagnosis made without the lock; NULL: none
 */
void damage_diagnose(const struct pkgcache *cache, int hash_fd, const char *name,
                     struct damage_directory *directory, const struct diagnosis *before,
                     struct diagnosis *ret);

/**
 * The same without the lock, for who goes on with the slots that are whole.
 *
 * @param ret_sidecar_fd receives the open sidecar, which is the caller's, of a slot that is whole;
 * -1 of any other
 */
void damage_diagnose_first(const struct pkgcache *cache, int hash_fd, const char *name,
                           struct damage_directory *directory, int *ret_sidecar_fd,
                           struct diagnosis *ret);
