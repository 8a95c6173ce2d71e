/*
 * The doctor: looks at everything that a cache rests on, and says what it found. It changes nothing
 * and takes no lock, so that it can be asked at any time, also about a cache that hangs. What it
 * says was true a moment ago.
 *
 * Each part examines one thing: doctor_machine.c the kernel and its limits, doctor_disk.c the file
 * system, doctor_lock.c the lock, doctor_tree.c all that lies in the cache, doctor_manifests.c what
 * is published beside sources.
 */
#include "cache/doctor/examination.h"

#include <string.h>

int pkgcache_doctor(const char *path, const struct pkgcache_options *options,
                    const struct pkgcache_doctor *doctor, struct pkgcache_error *ret_error)
{
    struct pkgcache_error error;
    struct pkgcache_doctor known;
    struct pkgcache_options asked = {0};
    struct examination examination = {.request = &known};
    if (take_struct(&known, sizeof(known), doctor) < 0)
        return error_struct_size(ret_error, "doctor", "pkgcache_doctor");
    if (options && take_struct(&asked, sizeof(asked), options) < 0)
        return error_struct_size(ret_error, "doctor", "pkgcache_options");
    int result = pkgcache_open(path, options, false, &examination.cache, &error);
    doctor_examine_machine(&examination, &asked);
    doctor_examine_manifests(&examination);
    if (result == -ENOENT) {
        doctor_report(&examination, PKGCACHE_SEVERITY_NOTE, "cache", NULL, NULL, "%s",
                      error.message);
        doctor_examine_place(&examination, path);
        return 0;
    }
    if (result == 0)
        result = cache_open_directories(examination.cache, &error);
    if (result < 0)
        doctor_report(&examination, PKGCACHE_SEVERITY_PROBLEM, "cache", NULL, NULL, "%s",
                      error.message);
    if (!examination.cache)
        return 0;
    doctor_examine_disk(&examination);
    if (examination.cache->sys_fd >= 0)
        doctor_examine_lock(&examination);
    result = doctor_examine_tree(&examination);
    if (result < 0)
        error_set(ret_error, -result, "cache %s: cannot be read: %s", path, strerror(-result));
    pkgcache_close(examination.cache);
    return result;
}
