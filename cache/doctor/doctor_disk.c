/*
 * The file system that a cache is on: which, how it is mounted, how much room there is, and how
 * bytes get onto it from where payloads come from. What can be done is tried, on files that are
 * gone when that is known: without names (open(2), O_TMPFILE), or in staging.
 */
#include "cache/doctor/examination.h"

#include "cache/lock/lock_probe.h"
#include "cache/warm/space.h"

#include "engine/copyengine.h"

#include <fcntl.h>
#include <fts.h>
#include <libgen.h>
#include <linux/fs.h>
#include <mntent.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

enum {
    LITTLE_ROOM_PERCENT = 5,
    LOOKED_AT_MAX = 2000, /* entries of a source, until a file is found in it */
    MOUNT_BYTES = 4096,
};

/* What the mount table says of a path. */
struct mount {
    char type[64];
    char options[512];
    char directory[1024];
};

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strcmp(directory, "/") == 0 ||
           (strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

/* The mount that a path is on: the longest that it is below, and of those the last. */
static bool find_mount(const char *path, struct mount *ret)
{
    struct mntent entry;
    char buffer[MOUNT_BYTES];
    bool found = false;
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    if (!mounts)
        return false;
    *ret = (struct mount){0};
    while (getmntent_r(mounts, &entry, buffer, sizeof(buffer))) {
        if (!is_below(path, entry.mnt_dir) || strlen(entry.mnt_dir) < strlen(ret->directory))
            continue;
        snprintf(ret->type, sizeof(ret->type), "%s", entry.mnt_type);
        snprintf(ret->options, sizeof(ret->options), "%s", entry.mnt_opts);
        snprintf(ret->directory, sizeof(ret->directory), "%s", entry.mnt_dir);
        found = true;
    }
    endmntent(mounts);
    return found;
}

/* What somebody has mounted inside of the cache, anywhere: commands enter none of it. */
static void examine_mounts_inside(const struct examination *examination)
{
    struct mntent entry;
    char buffer[MOUNT_BYTES];
    char self[32];
    char path[PATH_MAX];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", examination->cache->fd);
    ssize_t length = readlink(self, path, sizeof(path) - 1);
    FILE *mounts = length > 1 ? setmntent("/proc/self/mounts", "re") : NULL;
    if (!mounts)
        return;
    path[length] = '\0';
    while (getmntent_r(mounts, &entry, buffer, sizeof(buffer)))
        if (is_below(entry.mnt_dir, path) && strlen(entry.mnt_dir) > (size_t)length)
            doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "mounted",
                          entry.mnt_dir + length + 1,
                          "Unmount it: a cache must be on one file system",
                          "has another file system mounted on it (%s)", entry.mnt_type);
    endmntent(mounts);
}

static bool has_option(const struct mount *mount, const char *option)
{
    return hasmntopt(&(struct mntent){.mnt_opts = (char *)mount->options}, option);
}

/*
 * Tries whether the file system can carry a cache, as the first warm does. The doctor changes
 * nothing: the directory gets its time back, which only its owner and root can do.
 */
static void examine_lock_files(const struct examination *examination, int dirfd, const char *path)
{
    struct stat before;
    struct pkgcache_error error;
    if (fstat(dirfd, &before) < 0 || (geteuid() != 0 && geteuid() != before.st_uid))
        return;
    int result = lock_probe(dirfd, path, &error);
    if (result == 0)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "file-system", path, NULL,
                      "can carry the lock that is shared with rez");
    else if (result < 0)
        doctor_report(examination, PKGCACHE_SEVERITY_PROBLEM, "file-system", path, NULL,
                      "cannot be used for a cache: %s", error.message + strlen(path) + 2);
    if (result <= 0)
        (void)futimens(dirfd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, before.st_mtim});
}

void doctor_examine_place(const struct examination *examination, const char *cache_path)
{
    CLEANUP_FREE char *path = strdup(cache_path);
    const char *parent = path ? dirname(path) : ".";
    CLEANUP_CLOSE int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        examine_lock_files(examination, fd, parent);
}

/* What a mount option, or a kind of file system, means for a cache. */
static void examine_mount(const struct examination *examination)
{
    static const struct {
        const char *option;
        enum pkgcache_severity severity;
        const char *text;
        const char *advice;
    } options[] = {
        {"ro", PKGCACHE_SEVERITY_PROBLEM,
         "is mounted read-only: cached variants can be used, but none can be added or removed",
         NULL},
        {"noexec", PKGCACHE_SEVERITY_WARNING,
         "is mounted noexec: programs and libraries in the cache cannot be run",
         "Mount it with the option exec"},
        {"sync", PKGCACHE_SEVERITY_WARNING, "is mounted sync: every write waits for the disk",
         "Mount it with the option async: pkgcache flushes what must be on disk"},
        {"nobarrier", PKGCACHE_SEVERITY_WARNING,
         "is mounted nobarrier: a power cut may destroy data that was flushed",
         "Mount it with barriers"},
        {"barrier=0", PKGCACHE_SEVERITY_WARNING,
         "is mounted without barriers: a power cut may destroy data that was flushed",
         "Mount it with barriers"},
    };
    const char *path = examination->cache->path;
    struct mount mount;
    if (!find_mount(path, &mount))
        return;
    bool memory = strcmp(mount.type, "tmpfs") == 0 || strcmp(mount.type, "ramfs") == 0;
    if (copyengine_is_remote(examination->cache->fd))
        doctor_report(
            examination, PKGCACHE_SEVERITY_WARNING, "file-system", path,
            "Put the cache on a local disk",
            "is on %s, a file system that another machine or process serves: look-ups have "
            "to wait for it",
            mount.type);
    else
        doctor_report(examination, memory ? PKGCACHE_SEVERITY_NOTE : PKGCACHE_SEVERITY_OK,
                      "file-system", path, NULL, "is on %s%s", mount.type,
                      memory ? ": it is in memory, and lost at a reboot" : "");
    if (strcmp(mount.type, "overlay") == 0)
        doctor_report(examination, PKGCACHE_SEVERITY_NOTE, "file-system", path, NULL,
                      "is an overlay: to remove what lies in a lower layer frees no room");
    for (size_t i = 0; i < ARRAY_LENGTH(options); i++)
        if (has_option(&mount, options[i].option))
            doctor_report(examination, options[i].severity, "mount", mount.directory,
                          options[i].advice, "%s", options[i].text);
}

/* Whether a warm would begin a copy, by the rule that it goes by. */
static void examine_kept_room(const struct examination *examination)
{
    struct space space;
    char reason[SPACE_REASON_MAX];
    const struct pkgcache *cache = examination->cache;
    if (space_measure(cache->fd, &space) == 0 &&
        space_is_short(&space, &cache->options, false, reason))
        doctor_report(examination, PKGCACHE_SEVERITY_PROBLEM, "room", cache->path,
                      "Lower --space-buffer if that much need not stay free",
                      "has too little room for anything to be cached: %s", reason);
}

static void examine_room(const struct examination *examination)
{
    struct statvfs room;
    const char *path = examination->cache->path;
    if (fstatvfs(examination->cache->fd, &room) < 0 || room.f_blocks == 0)
        return;
    double free_percent = 100.0 * (double)room.f_bavail / (double)room.f_blocks;
    bool little = free_percent < LITTLE_ROOM_PERCENT;
    doctor_report(examination, little ? PKGCACHE_SEVERITY_WARNING : PKGCACHE_SEVERITY_OK, "room",
                  path, little ? "Run pkgcache clean: it deletes what is no longer used" : NULL,
                  "%.1f GiB are free, %.0f %% of its file system",
                  (double)room.f_bavail * (double)room.f_frsize / (1 << 30), free_percent);
    if (room.f_files > 0 &&
        100.0 * (double)room.f_favail < LITTLE_ROOM_PERCENT * (double)room.f_files)
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "room", path,
                      "Run pkgcache clean: it deletes what is no longer used",
                      "its file system has room for only %llu more files (df -i)",
                      (unsigned long long)room.f_favail);
}

/* A file without a name in the cache. */
static int open_nameless(const struct pkgcache *cache)
{
    int dirfd = cache->staging_fd >= 0 ? cache->staging_fd : cache->fd;
    return openat(dirfd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

/* How a file's bytes get into the cache. */
static const char *way_into_cache(const struct pkgcache *cache, int from_fd)
{
    CLEANUP_CLOSE int to_fd = open_nameless(cache);
    if (to_fd < 0)
        return NULL;
    if (ioctl(to_fd, FICLONE, from_fd) == 0)
        return "share their blocks (reflink): no data is copied";
    loff_t from = 0;
    if (copy_file_range(from_fd, &from, to_fd, NULL, 1, 0) == 1)
        return "are copied inside the kernel (copy_file_range)";
    return "are read and written: neither reflink nor copy_file_range works";
}

static void examine_reflink(const struct examination *examination)
{
    const struct pkgcache *cache = examination->cache;
    CLEANUP_CLOSE int fd = open_nameless(cache);
    const char *way = NULL;
    if (fd >= 0 && write(fd, "x", 1) == 1)
        way = way_into_cache(cache, fd);
    if (way)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "reflink", cache->path, NULL,
                      "files from its own file system %s", way);
}

/* The first file that is not empty, among the first LOOKED_AT_MAX entries. */
static int open_some_file(const char *directory)
{
    char *paths[] = {(char *)directory, NULL};
    int fd = -1, looked_at = 0;
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; walk && fd < 0 && looked_at < LOOKED_AT_MAX && (entry = fts_read(walk));
         looked_at++)
        if (entry->fts_info == FTS_F && entry->fts_statp->st_size > 0)
            fd = open(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (walk)
        fts_close(walk);
    return fd;
}

static void examine_source(const struct examination *examination, const char *source)
{
    struct mount mount = {.type = "an unknown file system"};
    CLEANUP_FREE char *path = realpath(source, NULL);
    CLEANUP_CLOSE int root_fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (root_fd < 0) {
        doctor_report(examination, PKGCACHE_SEVERITY_PROBLEM, "source", source, NULL,
                      "is not a readable directory: %s", strerror(errno));
        return;
    }
    find_mount(path, &mount);
    CLEANUP_CLOSE int fd = open_some_file(path);
    const char *way = fd < 0 ? NULL : way_into_cache(examination->cache, fd);
    doctor_report(examination, PKGCACHE_SEVERITY_OK, "source", path, NULL, "is on %s%s; %s%s",
                  mount.type, copyengine_is_remote(root_fd) ? " (a remote file system)" : "",
                  way ? "its files " : "",
                  way ? way : "there was no file to test how files are copied into the cache");
}

void doctor_examine_disk(const struct examination *examination)
{
    const struct pkgcache *cache = examination->cache;
    examine_mount(examination);
    examine_mounts_inside(examination);
    examine_lock_files(examination, cache->staging_fd >= 0 ? cache->staging_fd : cache->fd,
                       cache->path);
    examine_room(examination);
    examine_kept_room(examination);
    examine_reflink(examination);
    for (size_t i = 0; i < examination->request->source_count; i++)
        examine_source(examination, examination->request->sources[i]);
}
