/* What the kernel, its limits and our settings allow. */
#include "cache/doctor/examination.h"

#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>

enum {
    DESCRIPTORS_PLENTY = 4096,
    STALL_GRACE_SHORT_S = 20,
    LOCK_TIMEOUT_SHORT_S = 3, /* letting a rez in first takes 1.1 s */
};

/* A number in a file of /proc; -1: there is none. */
static long proc_number(const char *path)
{
    char text[32];
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    return strtol(text, NULL, 10);
}

/* Why a ring that the kernel refuses is refused, as far as settings tell. */
static const char *ring_advice(int result)
{
    struct rlimit memory = {0};
    long disabled = proc_number("/proc/sys/kernel/io_uring_disabled");
    if (disabled == 1)
        return "Only the group in sysctl kernel.io_uring_group may use it: join that group, or set "
               "kernel.io_uring_disabled=0";
    if (disabled > 1)
        return "Set sysctl kernel.io_uring_disabled=0";
    if (result == -ENOMEM && getrlimit(RLIMIT_MEMLOCK, &memory) == 0 &&
        memory.rlim_cur != RLIM_INFINITY)
        return "Before Linux 5.12 its memory counts as locked memory: raise that limit (ulimit -l)";
    if (result == -EPERM || result == -EACCES)
        return "A seccomp filter forbids it, as Docker's and Podman's default ones do: allow "
               "io_uring_setup, io_uring_enter and io_uring_register";
    return NULL;
}

static void examine_ring(const struct examination *examination, enum copyengine_backend wanted)
{
    struct copyengine_options options = {.size = sizeof(options), .backend = COPYENGINE_RING};
    struct copyengine_error error = {0};
    struct copyengine *engine;
    int result = copyengine_new(&options, &engine, &error);
    if (result == 0) {
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "io_uring", NULL, NULL, "available");
        copyengine_free(engine);
        return;
    }
    bool demanded = wanted == COPYENGINE_RING;
    doctor_report(examination, demanded ? PKGCACHE_SEVERITY_PROBLEM : PKGCACHE_SEVERITY_NOTE,
                  "io_uring", NULL, ring_advice(result), "not available: %s (%s); %s",
                  error.explanation ? error.explanation : "it cannot be started", strerror(-result),
                  demanded ? "--backend is ring, so nothing can be copied"
                           : "threads copy instead: as fast for files in the page cache, slower "
                             "for files that are read from a disk");
}

static void examine_limits(const struct examination *examination)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    bool few = files.rlim_max < DESCRIPTORS_PLENTY;
    doctor_report(examination, few ? PKGCACHE_SEVERITY_WARNING : PKGCACHE_SEVERITY_OK,
                  "descriptors", NULL,
                  few ? "This limits how many variants and files are copied at once: raise the "
                        "hard limit (ulimit -Hn, LimitNOFILE=)"
                      : NULL,
                  "this process may open %llu files", (unsigned long long)files.rlim_max);
    CLEANUP_CLOSE int fd = inotify_init1(IN_CLOEXEC);
    if (fd >= 0)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "inotify", NULL, NULL, "available");
    else
        doctor_report(examination, PKGCACHE_SEVERITY_NOTE, "inotify", NULL,
                      errno == EMFILE ? "Raise sysctl fs.inotify.max_user_instances" : NULL,
                      "not available (%s; fs.inotify.max_user_instances is %ld): pkgcache polls "
                      "for copies by other processes instead",
                      strerror(errno), proc_number("/proc/sys/fs/inotify/max_user_instances"));
}

static void examine_settings(const struct examination *examination,
                             const struct pkgcache_options *options)
{
    if (options->durability == PKGCACHE_DURABILITY_NONE)
        doctor_report(
            examination, PKGCACHE_SEVERITY_WARNING, "settings", NULL,
            "The default, batch, needs only one flush for all variants that are copied together",
            "--durability is none: after a power cut, cached payloads may be incomplete");
    if (options->stall_grace_s && options->stall_grace_s < STALL_GRACE_SHORT_S)
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "settings", NULL,
                      "The default, 60 s, is long enough for the restart of a server, or for a "
                      "laptop that is closed for a moment",
                      "--stall-grace is %u s: a process that is paused for that long while it "
                      "copies loses its slot to another process",
                      options->stall_grace_s);
    if (options->lock_timeout_s && options->lock_timeout_s < LOCK_TIMEOUT_SHORT_S)
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "settings", NULL,
                      "The default, 10 s, is how long rez waits, too",
                      "--lock-timeout is %u s, but it takes more than one second to let a waiting "
                      "rez process go first",
                      options->lock_timeout_s);
    if (options->report_stalled)
        doctor_report(examination, PKGCACHE_SEVERITY_NOTE, "settings", NULL, NULL,
                      "--stalled is report: a variant whose copier was killed is not cached until "
                      "somebody runs clean");
}

void doctor_examine_machine(const struct examination *examination,
                            const struct pkgcache_options *options)
{
    examine_ring(examination, options->backend);
    examine_limits(examination);
    examine_settings(examination, options);
}
