/*
 * Names of hosts and nodes, and what else becomes a word of a launcher's command line. Slurm reads
 * lists and ranges in names, ssh joins words and a shell reads them: so a word has only characters
 * that mean nothing to any of them, whatever started the launcher.
 */
#pragma once

#include "cache/util/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FARM_NAME_MAX = 255,     /* bytes of a name; as of a host in the domain name system */
    FARM_NODES_MAX = 100000, /* of one run */
};

/** Names, in the order in which they were added. Starts as `struct farm_names names = {0};`. */
struct farm_names {
    char **items;
    size_t count;
    size_t capacity; /* private */
};

/** Whether a text is a name: letters, digits, `.`, `_`, `-`, the first no `.` or `-`; 1 to
 * FARM_NAME_MAX bytes. */
bool farm_name_is_sound(const char *name);

/** The same for so many bytes, which need not end in NUL. */
bool farm_name_is_sound_bytes(const char *bytes, size_t length);

/**
 * Refuses a text that is no name.
 *
 * @param what what it should be the name of: "node", "host", "partition"
 * @return     0 or -EINVAL
 */
int farm_name_check(const char *what, const char *name, struct pkgcache_error *ret_error);

/** Refuses what is no expression of Slurm's for nodes: names as above, also with `[1-3,7]` and
 * commas. @return 0 or -EINVAL */
int farm_expression_check(const char *expression, struct pkgcache_error *ret_error);

/** Refuses a program that a shell on the way could read as something else: an absolute path of
 * letters, digits, `/`, `.`, `_`, `-`, `+`. @return 0 or -EINVAL */
int farm_program_check(const char *path, struct pkgcache_error *ret_error);

/**
 * Adds a name, which is copied.
 *
 * @return 0; -EINVAL: it is none; -E2BIG: more than FARM_NODES_MAX; -ENOMEM
 */
int farm_names_add(struct farm_names *names, const char *name, struct pkgcache_error *ret_error);

/** Sorts the names and drops those that are there twice: n2 comes before n10. */
void farm_names_sort(struct farm_names *names);

void farm_names_free(struct farm_names *names);

#define CLEANUP_NAMES __attribute__((cleanup(farm_names_free)))
