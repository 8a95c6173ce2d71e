/* One examination by the doctor: what its parts share. doctor.c says which part does what. */
#pragma once

#include "cache/store/cache.h"

/** One examination. */
struct examination {
    const struct pkgcache_doctor *request;
    struct pkgcache *cache; /* NULL: there is none yet */
};

/**
 * Reports a finding.
 *
 * @param path   absolute, or relative to the cache, if there is one; NULL: the machine
 * @param advice what to do; NULL: nothing
 * @param format what was found
 */
void doctor_report(const struct examination *examination, enum pkgcache_severity severity,
                   const char *subject, const char *path, const char *advice, const char *format,
                   ...) PRINTF_LIKE(6, 7);

/** Examines what the machine can do: doctor_machine.c. */
void doctor_examine_machine(const struct examination *examination,
                            const struct pkgcache_options *options);

/** Examines the file system that the cache is on, and how payloads get there: doctor_disk.c. */
void doctor_examine_disk(const struct examination *examination);

/** Where there is no cache yet: examines whether there can be one. */
void doctor_examine_place(const struct examination *examination, const char *cache_path);

/** Examines the lock: doctor_lock.c. */
void doctor_examine_lock(const struct examination *examination);

/** Examines all that is in the cache: doctor_tree.c. @return 0 or -errno */
int doctor_examine_tree(const struct examination *examination);

/** Examines the published manifests of the sources: doctor_manifests.c. */
void doctor_examine_manifests(const struct examination *examination);
