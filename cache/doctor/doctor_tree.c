/*
 * What lies in a cache: slots that are damaged or being copied, what waits in .sys, who may write
 * where, and what is neither rez's nor ours. Slots are judged by damage.c.
 */
#include "cache/doctor/examination.h"

#include "cache/clean/clean_state.h"
#include "cache/lock/lock_record.h"
#include "cache/lock/rezlock.h"
#include "cache/owner/owner_file.h"
#include "cache/store/damage.h"
#include "cache/store/pending.h"
#include "cache/store/poison.h"
#include "cache/store/sidecar.h"
#include "cache/store/staging.h"
#include "cache/util/names.h"
#include "cache/util/project.h"

#include "engine/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum {
    PATH_BYTES = 4 * (NAME_MAX + 1),
    LEVEL_HASH = 3, /* NAME, VERSION, HASH */
};

/* What stands in .sys. */
static const char *const private_names[] = {
    "staging",         "to_delete",      PENDING_DIRECTORY, "log",      "manifests",
    "leases",          "used",           "clean",           "counters", "counters.damaged",
    LOCK_PRIVATE_NAME, LOCK_PUBLIC_NAME, POISON_DIRECTORY,  SERVE_LOCK, SERVE_CLEANED,
    "daemon.lock",     "daemon.sock",
};

/* A walk through the tree. */
struct tour {
    const struct examination *examination;
    mode_t writers;               /* S_IWGRP, S_IWOTH: those who write to the cache's root */
    size_t closed;                /* directories that those may not write to */
    char closed_path[PATH_BYTES]; /* the first of them */
    bool has_project;             /* the cache gives a project id to what is made in it */
    uint32_t project;
    size_t other_projects; /* directories that give another one */
    char other_project_path[PATH_BYTES];
    size_t slots;
    size_t copies;
};

/* What an entry of a hash directory is called: three names, and its own. */
static void join(char ret[PATH_BYTES], const char *directory, const char *name)
{
    snprintf(ret, PATH_BYTES, "%.*s/%s", PATH_BYTES - NAME_MAX - 2, directory, name);
}

static void say_foreign(const struct tour *tour, const char *path, bool harms_rez)
{
    if (harms_rez)
        doctor_report(
            tour->examination, PKGCACHE_SEVERITY_WARNING, "foreign", path,
            "rez takes every file there that ends in .json for a sidecar, and may fail for "
            "all variants of that package: move it away",
            "was not made by rez or pkgcache");
    else
        doctor_report(tour->examination, PKGCACHE_SEVERITY_NOTE, "foreign", path, NULL,
                      "was not made by rez or pkgcache, and is never deleted");
}

static double seconds_ago(struct timespec time)
{
    int64_t age_ns = (int64_t)clock_ns(CLOCK_REALTIME) - clock_file_ns(time);
    return (double)age_ns / (double)NS_PER_S;
}

/* "by pkgcache on host x (pid 3)" */
static void describe_copier(const struct owner *owner, char *buffer, size_t size)
{
    if (owner->pid)
        snprintf(buffer, size, "by %s on host %s (pid %d)",
                 *owner->command ? owner->command : "pkgcache", *owner->host ? owner->host : "?",
                 owner->pid);
    else
        snprintf(buffer, size, "by a rez process (rez records no more)");
}

static void say_copy(struct tour *tour, const char *path, const struct diagnosis *diagnosis)
{
    char copier[256];
    double age_s = seconds_ago(diagnosis->beat);
    describe_copier(&diagnosis->owner, copier, sizeof(copier));
    if (diagnosis->damage == DAMAGE_STALLED)
        doctor_report(
            tour->examination, PKGCACHE_SEVERITY_WARNING, "stalled", path,
            "The process that copied it has ended or hangs. pkgcache warm copies it again; "
            "pkgcache clean deletes it",
            "its copy stalled: begun %s, last heartbeat %.0f s ago", copier, age_s);
    else if (age_s < -1)
        doctor_report(tour->examination, PKGCACHE_SEVERITY_WARNING, "copying", path,
                      "Until then rez takes the copier for alive. Check the clock",
                      "is being copied %s; its heartbeat is dated %.0f s in the future", copier,
                      -age_s);
    else
        doctor_report(tour->examination, PKGCACHE_SEVERITY_NOTE, "copying", path, NULL,
                      "is being copied %s, last heartbeat %.0f s ago", copier, age_s);
}

/* What cannot be read in a sidecar, in words. */
static void explain_sidecar(int hash_fd, const char *name, struct pkgcache_error *error)
{
    char file[SLOT_FILE_MAX];
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    slot_sidecar_name(name, file);
    if (sidecar_read(hash_fd, file, &sidecar, error) == 0)
        snprintf(error->message, sizeof(error->message), "%s",
                 "another process has repaired it meanwhile");
}

static void say_damage(struct tour *tour, int hash_fd, const char *name, const char *path,
                       enum damage damage)
{
    const struct damage_kind *kind = &damage_kinds[damage];
    struct pkgcache_error error = {0};
    bool about_sidecar = damage == DAMAGE_SIDECAR_BAD || damage == DAMAGE_SIDECAR_CLOSED ||
                         damage == DAMAGE_SIDECAR_OTHER;
    const char *advice = "Run pkgcache clean to delete it";
    if (about_sidecar)
        explain_sidecar(hash_fd, name, &error);
    if (damage == DAMAGE_SIDECAR_CLOSED)
        advice = "Its owner or root can repair this: chmod a+r, or pkgcache clean";
    else if (damage == DAMAGE_SIDECAR_OTHER)
        advice = "If no repository of that kind is in use here, move it away: until then rez's "
                 "list and clean fail for the whole cache";
    else if (damage == DAMAGE_ELSEWHERE)
        advice = "Look-ups do not find it there, except those of another version of rez. If "
                 "somebody moved it, move it back";
    doctor_report(tour->examination, PKGCACHE_SEVERITY_WARNING, kind->name, path, advice, "%s%s%s",
                  kind->why, about_sidecar ? ": " : "", error.message);
}

static void say_if_empty(struct tour *tour, int hash_fd, const char *name, const char *path)
{
    struct names names;
    CLEANUP_CLOSE int fd = names_open_directory(hash_fd, name);
    if (fd < 0)
        return;
    bool empty = names_open(&names, fd) == 0 && !names_next(&names) && names.error == 0;
    names_close(&names);
    if (empty)
        doctor_report(tour->examination, PKGCACHE_SEVERITY_NOTE, "payload-empty", path,
                      "If its source is not empty, remove the variant: pkgcache remove",
                      "its payload is an empty directory");
}

static void examine_slot(struct tour *tour, int hash_fd, const char *name,
                         struct damage_directory *directory)
{
    struct diagnosis diagnosis;
    char path[PATH_BYTES];
    join(path, directory->path, name);
    damage_diagnose(tour->examination->cache, hash_fd, name, directory, NULL, &diagnosis);
    tour->slots++;
    if (diagnosis.copying_inode) {
        tour->copies++;
        say_copy(tour, path, &diagnosis);
    } else if (diagnosis.damage == DAMAGE_MOUNTED) {
        return; /* doctor_disk.c says that */
    } else if (diagnosis.damage != DAMAGE_NONE) {
        say_damage(tour, hash_fd, name, path, diagnosis.damage);
    } else {
        say_if_empty(tour, hash_fd, name, path);
    }
}

static bool is_hash_name(const char *name)
{
    return strlen(name) == 4 && strspn(name, "0123456789abcdef") == 4;
}

/* One entry of a hash directory. */
static void examine_entry(struct tour *tour, int hash_fd, const char *entry, unsigned char type,
                          struct damage_directory *directory)
{
    char name[SLOT_NAME_MAX];
    char path[PATH_BYTES];
    bool is_slot = damage_find_slot_name(hash_fd, entry, type, name);
    size_t length = strlen(entry);
    if (is_slot && *name)
        examine_slot(tour, hash_fd, name, directory);
    bool waits_for_clean =
        strncmp(entry, SLOT_REMOVED_PREFIX "-", sizeof(SLOT_REMOVED_PREFIX)) == 0;
    if (is_slot || waits_for_clean)
        return;
    join(path, directory->path, entry);
    say_foreign(tour, path, length > 5 && strcmp(entry + length - 5, ".json") == 0);
}

static void check_mode(struct tour *tour, int fd, const char *path)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || (status.st_mode & tour->writers) == tour->writers)
        return;
    if (tour->closed++ == 0)
        snprintf(tour->closed_path, sizeof(tour->closed_path), "%s", path);
}

/* A rename into a directory that gives another project id fails. */
static void check_project(struct tour *tour, int fd, const char *path)
{
    uint32_t project = 0;
    bool given = project_find(fd, &project);
    if (!given || (tour->has_project && project == tour->project) || tour->other_projects++ > 0)
        return;
    snprintf(tour->other_project_path, sizeof(tour->other_project_path), "%s", path);
}

static int examine_level(struct tour *tour, int fd, const char *path, int level)
{
    struct names names;
    struct damage_directory directory = {.path = path};
    int result = names_open(&names, fd);
    check_mode(tour, fd, path);
    check_project(tour, fd, path);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char below[PATH_BYTES];
        if (level == LEVEL_HASH) {
            examine_entry(tour, fd, name, names.type, &directory);
            continue;
        }
        if (level == 0 && strcmp(name, ".sys") == 0)
            continue;
        int length = snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", name);
        CLEANUP_CLOSE int below_fd = names_open_directory(fd, name);
        bool belongs = (level > 0 || *name != '.') &&
                       (level + 1 < LEVEL_HASH || is_hash_name(name)) &&
                       length < (int)sizeof(below);
        if (below_fd < 0 && errno == EACCES && belongs)
            doctor_report(tour->examination, PKGCACHE_SEVERITY_WARNING, "modes", below,
                          "This user cannot look up the variants in it",
                          "is not readable for this user");
        else if (below_fd < 0 && (errno == ENOENT || errno == EXDEV))
            continue; /* gone by now; mounted on, which doctor_disk.c says */
        else if (below_fd < 0 || !belongs)
            say_foreign(tour, below, false);
        else
            result = examine_level(tour, below_fd, below, level + 1);
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    damage_directory_free(&directory);
    return result;
}

static size_t count_names(int fd)
{
    struct names names;
    size_t count = 0;
    if (names_open(&names, fd) == 0)
        while (names_next(&names))
            count++;
    names_close(&names);
    return count;
}

/* Who works in staging, who left something there. */
static void examine_staging(const struct tour *tour)
{
    const struct pkgcache *cache = tour->examination->cache;
    struct names names;
    int result = names_open(&names, cache->staging_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        struct owner_file file;
        char path[PATH_BYTES], owner_name[NAME_MAX + 1], who[256];
        size_t length = strlen(name), suffix = sizeof(STAGING_OWNER_SUFFIX) - 1;
        if (length > suffix && strcmp(name + length - suffix, STAGING_OWNER_SUFFIX) == 0)
            continue;
        snprintf(path, sizeof(path), ".sys/staging/%s", name);
        int written = snprintf(owner_name, sizeof(owner_name), "%s" STAGING_OWNER_SUFFIX, name);
        if (written > NAME_MAX || owner_file_find(cache->staging_fd, owner_name, &cache->self,
                                                  cache->options.stall_grace_s, &file) < 0) {
            doctor_report(tour->examination, PKGCACHE_SEVERITY_WARNING, "staging", path,
                          "Run pkgcache clean to delete it", "has no owner record");
            continue;
        }
        bool gone = file.state == OWNER_GONE || (file.state == OWNER_UNKNOWN && file.overdue);
        describe_copier(&file.owner, who, sizeof(who));
        doctor_report(tour->examination, gone ? PKGCACHE_SEVERITY_WARNING : PKGCACHE_SEVERITY_NOTE,
                      "staging", path, gone ? "Run pkgcache clean to delete it" : NULL,
                      gone ? "was left behind %s, which has ended" : "is in use %s", who);
    }
    names_close(&names);
}

/* rez's queue: one file that it cannot read ends its daemon, every time. */
static void examine_pending(const struct tour *tour)
{
    struct names names;
    CLEANUP_CLOSE int fd = cache_open_private(tour->examination->cache, PENDING_DIRECTORY, false);
    if (fd < 0)
        return;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        CLEANUP_JSON struct json_document *document = NULL;
        struct pkgcache_error error = {0};
        char path[PATH_BYTES];
        int read = json_read_file(fd, name, SIDECAR_MAX_BYTES, &document, &error);
        snprintf(path, sizeof(path), ".sys/pending/%s", name);
        if (read < 0 && read != -ENOENT)
            doctor_report(tour->examination, PKGCACHE_SEVERITY_WARNING, "pending", path,
                          "rez's daemon ends at this file each time it runs: delete it",
                          "cannot be read: %s", error.message);
    }
    names_close(&names);
}

/* What was set aside of it. */
static void examine_poison(const struct tour *tour)
{
    CLEANUP_CLOSE int fd = cache_open_private(tour->examination->cache, POISON_DIRECTORY, false);
    size_t count = fd < 0 ? 0 : count_names(fd) / 2; /* each has its reason beside it */
    if (count > 0)
        doctor_report(tour->examination, PKGCACHE_SEVERITY_NOTE, "poison", ".sys/" POISON_DIRECTORY,
                      "The files that end in .reason say why. pkgcache clean deletes them as it "
                      "deletes logs",
                      "%zu %s of rez's queue held no handle, and %s set aside", count,
                      count == 1 ? "file" : "files", count == 1 ? "was" : "were");
}

static bool is_private_name(const char *name)
{
    struct rezlock_name parsed;
    for (size_t i = 0; i < ARRAY_LENGTH(private_names); i++)
        if (strcmp(name, private_names[i]) == 0)
            return true;
    return strncmp(name, CLEAN_STATE_PREFIX, sizeof(CLEAN_STATE_PREFIX) - 1) == 0 ||
           rezlock_parse_name(name, &parsed);
}

static void examine_private(struct tour *tour)
{
    const struct pkgcache *cache = tour->examination->cache;
    struct names names;
    int result = names_open(&names, cache->sys_fd);
    check_mode(tour, cache->sys_fd, ".sys");
    check_project(tour, cache->sys_fd, ".sys");
    for (const char *name; result == 0 && (name = names_next(&names));) {
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), ".sys/%s", name);
        CLEANUP_CLOSE int fd = names_open_directory(cache->sys_fd, name);
        if (fd >= 0) {
            check_mode(tour, fd, path);
            check_project(tour, fd, path);
        }
        if (!is_private_name(name))
            say_foreign(tour, path, false);
    }
    names_close(&names);
    size_t waiting = cache->trash_fd >= 0 ? count_names(cache->trash_fd) : 0;
    if (waiting > 0)
        doctor_report(tour->examination, PKGCACHE_SEVERITY_NOTE, "to-delete", ".sys/to_delete",
                      "Run pkgcache clean to delete them", "%zu payloads wait to be deleted",
                      waiting);
    if (cache->staging_fd >= 0)
        examine_staging(tour);
    examine_pending(tour);
    examine_poison(tour);
}

/* What the modes that a shared cache is to have cannot change. */
static void say_what_sharing_means(const struct examination *examination, mode_t writers)
{
    if (examination->cache->options.own_only)
        return;
    doctor_report(
        examination, writers & S_IWOTH ? PKGCACHE_SEVERITY_WARNING : PKGCACHE_SEVERITY_NOTE,
        "modes", examination->cache->path,
        writers & S_IWOTH
            ? "With --trust=own, get returns only what root or the user who asks has cached"
            : "Share it only with people whose programs you would run (get --trust=own returns "
              "nothing from it)",
        "is shared: %s run each other's code; whoever caches a variant first decides what "
        "the others run",
        writers & S_IWOTH ? "all users" : "the users of a group");
}

static void examine_sharing(struct tour *tour, const struct stat *root)
{
    const struct examination *examination = tour->examination;
    if (root->st_mode & S_IWOTH && !(root->st_mode & S_ISVTX))
        doctor_report(
            examination, PKGCACHE_SEVERITY_WARNING, "modes", examination->cache->path,
            "Any user can put programs there that others will run. For a cache of a group, "
            "use mode 2770 or 2775",
            "is writable for everybody");
    else if (tour->writers)
        say_what_sharing_means(examination, tour->writers);
    if (root->st_mode & S_IWGRP && !(root->st_mode & (S_ISGID | S_IWOTH)))
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "modes", examination->cache->path,
                      "Use chmod g+s: then new files belong to the group",
                      "is shared by a group, but new files in it do not belong to the group");
    if (faccessat(examination->cache->fd, ".", W_OK, AT_EACCESS) < 0)
        doctor_report(examination, PKGCACHE_SEVERITY_NOTE, "modes", examination->cache->path, NULL,
                      "this user can read it, but not change it (%s)", strerror(errno));
}

static void say_other_projects(const struct tour *tour)
{
    if (tour->other_projects > 0)
        doctor_report(
            tour->examination, PKGCACHE_SEVERITY_WARNING, "project", tour->other_project_path,
            "Nothing can be moved there. Give the whole cache one id with chattr -R -p ID "
            "+P",
            "what is made in this directory, and in %zu more, gets another project id "
            "(lsattr -pd) than in the cache",
            tour->other_projects - 1);
}

int doctor_examine_tree(const struct examination *examination)
{
    const struct pkgcache *cache = examination->cache;
    struct tour tour = {.examination = examination};
    struct stat root;
    if (fstat(cache->fd, &root) < 0)
        return -errno;
    tour.writers = root.st_mode & (S_IWGRP | S_IWOTH);
    tour.has_project = project_find(cache->fd, &tour.project);
    examine_sharing(&tour, &root);
    if (cache->sys_fd >= 0)
        examine_private(&tour);
    int result = examine_level(&tour, cache->fd, "", 0);
    if (tour.closed > 0)
        doctor_report(
            examination, PKGCACHE_SEVERITY_WARNING, "modes", tour.closed_path,
            "Their owners can change that with chmod g+w. A umask of 002 prevents it",
            "other users of this shared cache may not write to this directory and %zu more",
            tour.closed - 1);
    say_other_projects(&tour);
    if (result == 0)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "slots", cache->path, NULL,
                      "%zu %s, of which %zu %s being copied or %s stalled", tour.slots,
                      tour.slots == 1 ? "variant" : "variants", tour.copies,
                      tour.copies == 1 ? "is" : "are", tour.copies == 1 ? "has" : "have");
    return result;
}
