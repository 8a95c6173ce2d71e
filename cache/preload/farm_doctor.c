/* Program, name, cache, run directory, clock. */
#include "cache/preload/farm_doctor.h"

#include "cache/preload/farm_child.h"
#include "cache/preload/farm_doctor_slurm.h"
#include "cache/preload/farm_names.h"
#include "cache/store/staging.h"
#include "cache/util/names.h"

#include "engine/clock.h"
#include "engine/copyengine.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/wait.h>

enum {
    VERSION_LIMIT_S = 30,
    VERSION_MAX_BYTES = 4096,
    CLOCK_APART_S = 10, /* of hosts, from which on times of a run are told apart no more */
    HOUR_S = 3600,
};

#define PARTS_PREFIX "preload-" /* of the directories in staging that receive parts */
#define WELL         PKGCACHE_SEVERITY_OK
#define NOTE         PKGCACHE_SEVERITY_NOTE
#define WARNING      PKGCACHE_SEVERITY_WARNING
#define PROBLEM      PKGCACHE_SEVERITY_PROBLEM

/* --- the program and its name --- */

/* What a program says of its version: its first line. "": nothing. */
static void ask_version(const char *program, char ret[static VERSION_MAX_BYTES],
                        struct pkgcache_error *error)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    CLEANUP_TEXT struct text errors = {0};
    int status = 0;
    farm_arguments_add(&arguments, program);
    farm_arguments_add(&arguments, "version");
    *ret = '\0';
    if (farm_child_ask(&arguments, VERSION_LIMIT_S, VERSION_MAX_BYTES / 2, &output, &errors,
                       &status, error) < 0)
        return;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        error_set(error, EIO, "%s version: it failed", program);
    else
        snprintf(ret, VERSION_MAX_BYTES, "%.*s",
                 (int)strcspn(output.bytes ? output.bytes : "", "\n"),
                 output.bytes ? output.bytes : "");
}

static void examine_program(const struct examination *examination, const char *program)
{
    static const char own[] = "pkgcache " PKGCACHE_VERSION_STRING;
    static const char advice[] = "Install the same version at the same path on all hosts, or name "
                                 "the path on the nodes with preload --program";
    struct pkgcache_error error = {0};
    char version[VERSION_MAX_BYTES];
    if (farm_program_check(program, &error) < 0) {
        doctor_report(examination, PROBLEM, "farm-program", NULL, advice, "%s", error.message);
        return;
    }
    ask_version(program, version, &error);
    if (error.code)
        doctor_report(examination, PROBLEM, "farm-program", program, advice,
                      "cannot be started by preload: %s", error.message);
    else if (strcmp(version, own) != 0)
        doctor_report(examination, PROBLEM, "farm-program", program, advice,
                      "is %.100s, and this is %s", *version ? version : "no pkgcache", own);
    else
        doctor_report(examination, WELL, "farm-program", program, NULL,
                      "is %s: preload starts it under this path on all nodes", version);
}

int farm_doctor_find_name(char *ret)
{
    const char *name = getenv("SLURMD_NODENAME");
    if (name && farm_name_is_sound(name))
        strcpy(ret, name); /* it is no longer than that */
    else if (gethostname(ret, FARM_NAME_MAX + 1) < 0 || !farm_name_is_sound(ret))
        return -EINVAL;
    return 0;
}

/* --- the cache --- */

int farm_doctor_check_writable(const char *path, struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *parent = strdup(path);
    if (!parent)
        return error_set(ret_error, ENOMEM, "out of memory");
    bool exists = access(path, F_OK) == 0;
    char *slash = strrchr(parent, '/');
    if (!exists && slash)
        slash[slash == parent] = '\0';
    const char *asked = exists ? path : parent;
    return access(asked, W_OK | X_OK) == 0
               ? 0
               : error_set(ret_error, errno, "cache %s: %s: %s", path, asked, strerror(errno));
}

/* Parts of a pack arrive in a directory that nobody else may enter: whether there can be one. It is
 * made, and gone when that is known; the directory that it was in gets its time back. */
static void examine_private(const struct examination *examination)
{
    const struct pkgcache *cache = examination->cache;
    char name[STAGING_ID_MAX];
    struct stat before;
    struct stat made;
    if (cache->staging_fd < 0 || fstat(cache->staging_fd, &before) < 0)
        return;
    cache_unique_name("doctor", name, sizeof(name));
    if (mkdirat(cache->staging_fd, name, S_IRWXU) < 0) {
        doctor_report(examination, PROBLEM, "farm-cache", ".sys/staging",
                      "Run preload as the user to whom the cache belongs",
                      "cannot receive packs: %s", strerror(errno));
        return;
    }
    bool is_private = fstatat(cache->staging_fd, name, &made, AT_SYMLINK_NOFOLLOW) == 0 &&
                      (made.st_mode & ACCESSPERMS) == S_IRWXU && made.st_uid == geteuid();
    unlinkat(cache->staging_fd, name, AT_REMOVEDIR);
    (void)futimens(cache->staging_fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, before.st_mtim});
    if (is_private)
        doctor_report(examination, WELL, "farm-cache", ".sys/staging", NULL,
                      "can receive packs where only this user may enter");
    else
        doctor_report(examination, PROBLEM, "farm-cache", ".sys/staging",
                      "Put the cache on a file system that keeps owners and modes, such as ext4",
                      "cannot receive packs: a directory of mode 0700 has mode %03o there, and "
                      "belongs to user %u",
                      made.st_mode & ACCESSPERMS, made.st_uid);
}

static void examine_place(const struct examination *examination, const char *path)
{
    static const char *const of_a_job[] = {"/tmp/", "/var/tmp/", "/dev/shm/"};
    struct pkgcache_error error;
    if (*path != '/')
        doctor_report(examination, PROBLEM, "farm-cache", NULL, "Name an absolute path",
                      "preload needs the path of the cache on all nodes, and %s is not absolute",
                      path);
    else if (farm_doctor_check_writable(path, &error) < 0)
        doctor_report(examination, PROBLEM, "farm-cache", path,
                      "Make it, or the directory that it is to be in, for the user who preloads",
                      "cannot be filled by this user: %s", error.message);
    else
        doctor_report(examination, WELL, "farm-cache", path, NULL, "%s",
                      examination->cache ? "can be filled by this user"
                                         : "is not there yet, and can be made by this user");
    for (size_t i = 0; i < ARRAY_LENGTH(of_a_job); i++)
        if (strncmp(path, of_a_job[i], strlen(of_a_job[i])) == 0)
            doctor_report(examination, WARNING, "farm-cache", path,
                          "Name a cache elsewhere on the node's own disk",
                          "is in %s, which Slurm may give each job anew (job_container/tmpfs): "
                          "what is cached there would be gone with the job",
                          of_a_job[i]);
}

/* --- what casts left --- */

struct leftovers {
    const struct pkgcache *cache;
    size_t count;
    size_t of_others;
    uint64_t bytes;
    double oldest_s;
};

/* Bytes of the files in a directory, as far as we may enter it. */
static uint64_t measure(int parent, const char *name)
{
    struct names names;
    struct stat status;
    uint64_t bytes = 0;
    CLEANUP_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool opened = names_open(&names, fd) == 0;
    for (const char *file; opened && (file = names_next(&names));)
        if (fstatat(fd, file, &status, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)status.st_blocks * 512;
    names_close(&names);
    return bytes;
}

static int count_left(void *context, const char *id, const char *why)
{
    struct leftovers *left = context;
    struct stat status;
    (void)why;
    if (strncmp(id, PARTS_PREFIX, strlen(PARTS_PREFIX)) != 0 ||
        fstatat(left->cache->staging_fd, id, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    left->count++;
    left->of_others += status.st_uid != geteuid();
    left->bytes += measure(left->cache->staging_fd, id);
    left->oldest_s = MAX(left->oldest_s, clock_age_s(status.st_mtim));
    return 0;
}

static void examine_leftovers(const struct examination *examination)
{
    struct leftovers left = {.cache = examination->cache};
    if (staging_find_left(examination->cache, count_left, &left) < 0 || left.count == 0)
        return;
    bool ours = geteuid() == 0 || left.of_others == 0;
    doctor_report(examination, WARNING, "farm-parts", ".sys/staging",
                  ours ? "The next preload or warm removes them; pkgcache clean does now"
                       : "Only root, or the users who made them, can remove them: pkgcache clean",
                  "has %zu %s with parts of packs that earlier casts left: %.1f MiB, the oldest "
                  "%.1f hours old",
                  left.count, left.count == 1 ? "directory" : "directories",
                  (double)left.bytes / (1 << 20), left.oldest_s / HOUR_S);
}

static void examine_cache(const struct farm_doctor *asked, struct examination *examination)
{
    struct pkgcache_error error;
    int result =
        pkgcache_open(asked->cache, asked->cache_options, false, &examination->cache, &error);
    examine_place(examination, asked->cache);
    if (result == 0 && cache_open_directories(examination->cache, &error) == 0) {
        examine_private(examination);
        examine_leftovers(examination);
    }
    pkgcache_close(examination->cache); /* what is not right with it, pkgcache_doctor says */
    examination->cache = NULL;
}

/* --- the run directory, and the clock --- */

/* A run directory on a share: its clock is the file server's. */
static void examine_its_clock(const struct examination *examination, const char *path)
{
    struct stat status;
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &status) < 0)
        return;
    double apart_s = clock_age_s(status.st_mtim);
    if (apart_s > CLOCK_APART_S || apart_s < -CLOCK_APART_S)
        doctor_report(examination, WARNING, "farm-clock", path,
                      "Let both take their time from the same servers (chrony, timesyncd)",
                      "has a clock that is %.0f s apart from this host's", apart_s);
}

static void examine_run_dir(const struct examination *examination, const char *path)
{
    struct stat status;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        doctor_report(examination, PROBLEM, "farm-run-dir", path,
                      "Make it on a share that all nodes mount at the same place",
                      "cannot be used for runs: %s", strerror(errno));
        return;
    }
    if (status.st_mode & S_IWOTH && !(status.st_mode & S_ISVTX))
        doctor_report(examination, PROBLEM, "farm-run-dir", path, "Run chmod +t on it",
                      "may be written to by everybody and has no sticky bit: preload refuses it, "
                      "since others could replace runs");
    else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
        doctor_report(examination, WARNING, "farm-run-dir", path,
                      "Nodes need no more; to start a preload, use a user who may write there",
                      "can be read, but not be written to by this user: %s", strerror(errno));
    else
        doctor_report(examination, WELL, "farm-run-dir", path, NULL,
                      "can be written to by this user");
    if (!copyengine_is_remote(fd))
        doctor_report(examination, NOTE, "farm-run-dir", path, NULL,
                      "is on this host's own disk, or on one that is mounted as if it were: "
                      "--fanout pack works only if all nodes see it");
    examine_its_clock(examination, path);
}

static void examine_clock(const struct examination *examination)
{
    struct timex state = {0};
    bool known = adjtimex(&state) >= 0;
    if (known && !(state.status & STA_UNSYNC))
        doctor_report(examination, WELL, "farm-clock", NULL, NULL,
                      "the clock is kept right from outside");
    else
        doctor_report(examination, NOTE, "farm-clock", NULL,
                      "Let all hosts take their time from the same servers (chrony, timesyncd)",
                      "the kernel does not know of anything that keeps the clock right: munge "
                      "refuses hosts whose clocks are 5 minutes apart");
}

/* --- all of it --- */

void farm_doctor_examine(const struct farm_doctor *asked)
{
    struct examination examination = {.request = asked->request};
    char name[FARM_NAME_MAX + 1];
    bool named = farm_doctor_find_name(name) == 0;
    examine_program(&examination, asked->program);
    if (named)
        doctor_report(&examination, WELL, "farm-name", NULL, NULL,
                      "this host reports as %s; programs run here with the user number %u, which "
                      "has to be the same user's on all hosts",
                      name, geteuid());
    else
        doctor_report(&examination, PROBLEM, "farm-name", NULL,
                      "Give it another name (hostnamectl)",
                      "this host's name cannot stand in a report: it may have letters, digits, ., "
                      "_ and -");
    examine_cache(asked, &examination);
    if (asked->run_dir)
        examine_run_dir(&examination, asked->run_dir);
    examine_clock(&examination);
    farm_doctor_examine_launchers(&examination, named ? name : NULL);
}
