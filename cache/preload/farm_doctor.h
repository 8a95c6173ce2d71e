/*
 * The doctor of a farm: why a preload would fail on this host, or could not be started from here.
 * Like pkgcache_doctor, it changes nothing. farm_doctor.c looks at the host itself;
 * farm_doctor_slurm.c at what starts programs on it.
 */
#pragma once

#include "cache/doctor/examination.h"

/** What a preload would use here. */
struct farm_doctor {
    const struct pkgcache_doctor *request; /* who is told */
    const char *cache;
    const struct pkgcache_options *cache_options;
    const char *program; /* pkgcache on the nodes; its path is the same on all of them */
    const char *run_dir; /* absolute; NULL: none was named */
};

/** Examines program, name, cache, what casts have left in it, run directory, clock, Slurm and
 * launchers. What is found is told as findings. */
void farm_doctor_examine(const struct farm_doctor *asked);

/** This host's name, as reports have it: Slurm's, in a job; else the host's.
 * @param ret of FARM_NAME_MAX + 1 bytes
 * @return 0; -EINVAL: it has none that can stand in a report */
int farm_doctor_find_name(char *ret);

/**
 * Whether a cache could be made or filled by this user.
 *
 * @param path absolute; it need not be there, but the directory that it is to be in
 * @return     0; -ENOENT; -EACCES; -EROFS; …
 */
int farm_doctor_check_writable(const char *path, struct pkgcache_error *ret_error);
