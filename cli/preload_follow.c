/* The coordinator's process, and whoever watches it. */
#include "cache/preload/farm_coordinator.h"
#include "cli/exit.h"
#include "cli/leave.h"
#include "cli/output.h"
#include "cli/preload.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_FILE "log"

enum {
    LOOK_AT_MS = 200, /* how often the run is looked at, at most */
    LOOK_SHARE = 10,  /* a look may take a tenth of the time */
    LOG_SHOWN = 2000, /* bytes */
};

/* --- the coordinator --- */

/* Standard output and error go to the run's log: who started us may be gone. */
static int take_streams(const struct farm_directory *directory)
{
    CLEANUP_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    CLEANUP_CLOSE int log = openat(directory->fd, LOG_FILE,
                                   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (null < 0 || log < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        return -errno;
    return 0;
}

/* The child: ends with the run. */
static int coordinate(const struct options *options, struct farm_directory *directory,
                      struct farm_history *history)
{
    struct pkgcache_error error;
    setsid();
    int result = take_streams(directory);
    if (result < 0)
        return EXIT_FAILED;
    leave_descriptors(directory->lock_fd);
    result = farm_directory_reopen(directory, &error);
    if (result == 0 && chdir("/") < 0)
        result = error_set(&error, errno, "/: %s", strerror(errno));
    if (result == 0)
        result = farm_coordinate(directory, history, &error);
    if (result < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    return EXIT_DONE;
}

int preload_start(const struct options *options, struct farm_directory *directory,
                  struct farm_history *history)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return output_error(options, EXIT_FAILED, errno, "fork: %s", strerror(errno));
    if (pid == 0)
        _exit(coordinate(options, directory, history));
    farm_directory_unlock(directory);
    return -1;
}

/* --- following it --- */

static void show(const struct options *options, const struct farm_run *run)
{
    size_t counts[FARM_FAILED + 1] = {0};
    struct pkgcache_progress progress = {.variants = run->node_count * run->variants};
    for (size_t i = 0; i < run->node_count; i++) {
        counts[run->nodes[i].state]++;
        progress.variants_done += run->nodes[i].done + run->nodes[i].failed;
        progress.files += run->nodes[i].files;
        progress.bytes += run->nodes[i].bytes;
    }
    progress_show(&progress, NULL);
    (void)options;
}

/* The last line of what the coordinator said; "": nothing. */
static void read_last_words(const struct farm_directory *directory, char ret[static LOG_SHOWN + 1])
{
    static const char prefix[] = "pkgcache: ";
    CLEANUP_CLOSE int log = openat(directory->fd, LOG_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    char bytes[LOG_SHOWN + 1] = "";
    const char *last = bytes;
    if (log >= 0 && fstat(log, &status) == 0)
        bytes[MAX(pread(log, bytes, LOG_SHOWN, MAX(status.st_size - LOG_SHOWN, 0)), 0)] = '\0';
    for (char *line = bytes, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        last = line;
    }
    last += strncmp(last, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    snprintf(ret, LOG_SHOWN + 1, "%s", last);
}

/* Why the coordinator ended before the run, or what it could not do in the end. */
static int explain_end(const struct options *options, const struct farm_directory *directory,
                       const struct farm_run *run)
{
    char last[LOG_SHOWN + 1];
    read_last_words(directory, last);
    if (run->end_s > 0)
        return *last ? output_error(options, run->exit_code, 0, "%s", last) : run->exit_code;
    return output_error(options, EXIT_FAILED, 0,
                        "run %s: its coordinator has ended before the run%s%s; go on with "
                        "pkgcache preload --resume %s",
                        run->id, *last ? ": " : "", last, run->id);
}

/* Ctrl-C, or SIGTERM: we stop watching. */
static int leave_run(const struct options *options, const struct farm_run *run,
                     const struct farm_directory *directory)
{
    /* what finds it again */
    const char *name = options->run_dir || options->follow ? directory->path : run->id;
    output_error(options, 0, 0,
                 "run %s goes on; follow it with: pkgcache preload --follow %s; end it with: "
                 "pkgcache preload --cancel %s",
                 run->id, name, name);
    return EXIT_SIGNALED + signals_received();
}

int preload_follow(const struct options *options, const struct farm_directory *directory,
                   struct farm_history *history)
{
    struct pkgcache_error error;
    struct farm_run *run = &history->run;
    int signals = signals_open();
    progress_start(options);
    for (;;) {
        uint64_t begin_ns = clock_monotonic_ns();
        int running = farm_directory_is_locked(directory);
        int result = farm_history_read(directory, history, &error);
        if (result < 0)
            return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
        if (running != 1)
            break;
        show(options, run);
        uint64_t took_ms = (clock_monotonic_ns() - begin_ns) / NS_PER_MS;
        struct pollfd fd = {.fd = signals, .events = POLLIN};
        if (poll(&fd, 1, (int)MAX((uint64_t)LOOK_AT_MS, LOOK_SHARE * took_ms)) > 0)
            return leave_run(options, run, directory);
    }
    progress_clear();
    int code = preload_print(options, run, history->plan.is_dry);
    int end = explain_end(options, directory, run);
    return code == EXIT_DONE ? end : code;
}
