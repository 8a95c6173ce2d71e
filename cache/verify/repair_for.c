/*
 * A child that has become the user opens the cache, and repairs there as that user would by running
 * verify: whatever the sidecar names, it cannot read more, and what it copies is that user's. Its
 * messages are the results, and before them that there is progress.
 *
 * The user may stop the child, or have it read from a file system that never answers. So root waits
 * only as long as there is progress.
 */
#include "cache/verify/repair_for.h"

#include "cache/util/as_user.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CANCEL_MS = 5000, /* to roll back */
    NO_RESULT = -1,
};

/** What the child says. */
struct message {
    ssize_t index; /* of the repair; NO_RESULT: there is progress */
    bool repaired;
    char reason[1024];
};

/** What the child does. */
struct task {
    const struct pkgcache *cache; /* root's: only its path and options are of use */
    struct repair *const *repairs;
    size_t count;
    int socket;
};

static void send_message(int socket, const struct message *message)
{
    (void)!send(socket, message, sizeof(*message), MSG_NOSIGNAL);
}

static int on_progress(void *context, const struct pkgcache_progress *progress)
{
    const struct task *task = context;
    const struct message message = {.index = NO_RESULT};
    (void)progress;
    send_message(task->socket, &message);
    return 0;
}

/* In the child. */
static int repair_as_user(struct task *task, struct pkgcache_error *error)
{
    struct pkgcache *cache;
    const struct repair_how how = {
        .cancel_fd = task->socket, .on_progress = on_progress, .context = task};
    int result = pkgcache_open(task->cache->path, &task->cache->options, false, &cache, error);
    if (result == 0)
        result = repair_run(cache, task->repairs, task->count, &how, error);
    return result; /* the cache is closed by the end of the child */
}

static void run_child(void *context, int error, int socket)
{
    struct task *task = context;
    struct pkgcache_error why = {0};
    task->socket = socket;
    if (error)
        error_set(&why, error, "cannot become that user: %s", strerror(error));
    else
        repair_as_user(task, &why);
    for (size_t i = 0; i < task->count; i++) {
        const struct repair *repair = task->repairs[i];
        struct message message = {.index = (ssize_t)i, .repaired = repair->repaired};
        snprintf(message.reason, sizeof(message.reason), "%s",
                 repair->reason ? repair->reason : why.message);
        send_message(socket, &message);
    }
}

/* Takes a result over. */
static void take_result(const struct task *task, uid_t uid, const struct message *message)
{
    if (message->index < 0 || (size_t)message->index >= task->count)
        return;
    struct repair *repair = task->repairs[message->index];
    repair->repaired = message->repaired;
    if (!repair->repaired)
        repair_give_reason(repair, "with the rights of user %u, whose sidecar names its source: %s",
                           uid, message->reason);
}

/*
 * Takes what the child says, until it has ended.
 *
 * @return NULL; or why it did not end by itself
 */
static const char *follow_child(const struct task *task, uid_t uid, const struct as_user *child,
                                int cancel_fd)
{
    const struct pkgcache_options *options = &task->cache->options;
    /* another process's copy is waited for, and the lock */
    int limit_ms = (int)MIN(2 * options->stall_grace_s + options->lock_timeout_s, 1000000U) * 1000;
    bool cancelled = false;
    for (;;) {
        struct message message;
        struct pollfd fds[] = {{.fd = child->socket, .events = POLLIN},
                               {.fd = cancelled ? -1 : cancel_fd, .events = POLLIN}};
        int ready = poll(fds, ARRAY_LENGTH(fds), cancelled ? CANCEL_MS : limit_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return cancelled ? "it was interrupted" : "it made no progress, and was stopped";
        if (fds[1].revents) {
            as_user_cancel(child);
            cancelled = true;
        }
        if (!fds[0].revents)
            continue;
        ssize_t length = recv(child->socket, &message, sizeof(message), MSG_DONTWAIT);
        if (length < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (length != (ssize_t)sizeof(message))
            return NULL;
        take_result(task, uid, &message);
    }
}

void repair_for(const struct pkgcache *cache, uid_t uid, struct repair *const *repairs,
                size_t count, int cancel_fd)
{
    struct task task = {.cache = cache, .repairs = repairs, .count = count};
    struct as_user child;
    struct message none = {.repaired = false};
    int result = as_user_start(uid, run_child, &task, &child);
    const char *why = result < 0 ? strerror(-result) : NULL;
    if (result == 0) {
        why = follow_child(&task, uid, &child, cancel_fd);
        as_user_end(&child);
    }
    snprintf(none.reason, sizeof(none.reason), "%s", why ? why : "it ended early");
    for (size_t i = 0; i < count; i++) {
        none.index = (ssize_t)i;
        if (!repairs[i]->repaired && !repairs[i]->reason)
            take_result(&task, uid, &none);
    }
}
