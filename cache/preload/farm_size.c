/* A child walks, and writes its sums into a pipe after each variant. */
#include "cache/preload/farm_size.h"

#include "cache/json/json_build.h"
#include "cache/util/file.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/** What has been seen so far. */
struct sums {
    uint64_t variants;
    uint64_t bytes;
    uint64_t files;
};

/* --- the child --- */

static void add_tree(char *root, struct sums *sums)
{
    char *paths[] = {root, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (const FTSENT *entry; walk && (entry = fts_read(walk));) {
        if (entry->fts_info != FTS_F)
            continue;
        sums->files++;
        sums->bytes += (uint64_t)entry->fts_statp->st_size;
    }
    if (walk)
        fts_close(walk);
}

static void walk_all(const struct json *list, const bool *wanted, int to)
{
    struct sums sums = {0};
    for (const struct json *one = list ? list->first : NULL; one; one = one->next) {
        CLEANUP_FREE char *root = NULL;
        if (!*wanted++)
            continue;
        if (json_take_path(json_member(one, "root"), &root) == 0 && root)
            add_tree(root, &sums);
        sums.variants++;
        if (write(to, &sums, sizeof(sums)) != sizeof(sums))
            return;
    }
}

/* --- we --- */

/* The last sums that arrive in time. */
static struct sums listen_to(int from, unsigned limit_ms)
{
    struct sums last = {0};
    struct sums sums;
    uint64_t until_ns = clock_monotonic_ns() + limit_ms * NS_PER_MS;
    struct pollfd fd = {.fd = from, .events = POLLIN};
    while (poll(&fd, 1, clock_poll_ms(until_ns, clock_monotonic_ns())) > 0) {
        if (read(from, &sums, sizeof(sums)) != sizeof(sums)) /* a pipe divides nothing so small */
            break;
        last = sums;
    }
    return last;
}

static void extrapolate(const struct sums *sums, uint64_t wanted, struct farm_size *ret)
{
    ret->is_known = sums->variants > 0;
    ret->is_guess = sums->variants < wanted;
    if (!ret->is_known)
        return;
    double times = (double)wanted / (double)sums->variants;
    ret->bytes = ret->is_guess ? (uint64_t)((double)sums->bytes * times) : sums->bytes;
    ret->files = ret->is_guess ? (uint64_t)((double)sums->files * times) : sums->files;
}

void farm_size_measure(const struct json *list, const bool *wanted, unsigned limit_ms, int close_fd,
                       struct farm_size *ret)
{
    int pipes[2];
    uint64_t count = 0;
    size_t place = 0;
    *ret = (struct farm_size){0};
    for (const struct json *one = list ? list->first : NULL; one; one = one->next)
        count += wanted[place++];
    if (count == 0 || pipe2(pipes, O_CLOEXEC) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        close(pipes[0]);
        if (close_fd >= 0)
            close(close_fd); /* a lock is not to outlive us in a child that hangs */
        walk_all(list, wanted, pipes[1]);
        _exit(0);
    }
    CLEANUP_CLOSE int from = pipes[0];
    close(pipes[1]);
    if (pid < 0)
        return;
    const struct sums sums = listen_to(from, limit_ms);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, WNOHANG); /* who waits for a file server cannot be killed */
    extrapolate(&sums, count, ret);
}
