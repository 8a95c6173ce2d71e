/* Watching other processes: inotify and pidfds. The caller knows who waits for which event. */
#include "cache/owner/watch.h"

#include "engine/compiler.h"

#include <stdint.h>
#include <sys/inotify.h>

enum { EVENTS_BYTES = 4096 };

int watch_open(const struct owner *self, struct watch *ret)
{
    *ret = (struct watch){.inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .self = self};
    return ret->inotify_fd < 0 ? -errno : 0;
}

void watch_close(struct watch *watch)
{
    cleanup_close_fd(&watch->inotify_fd);
    for (size_t i = 0; i < watch->copier_count; i++)
        cleanup_close_fd(&watch->copiers[i].pidfd);
    free(watch->copiers);
    *watch = (struct watch){.inotify_fd = -1};
}

static int add_watch(struct watch *watch, int dirfd, uint32_t events)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
    int directory = inotify_add_watch(watch->inotify_fd, path, events | IN_ONLYDIR);
    return directory < 0 ? -errno : directory;
}

int watch_directory(struct watch *watch, int dirfd)
{
    return add_watch(watch, dirfd,
                     IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF);
}

int watch_moves(struct watch *watch, int dirfd)
{
    return add_watch(watch, dirfd, IN_MOVED_FROM);
}

void watch_no_more(struct watch *watch, int directory)
{
    inotify_rm_watch(watch->inotify_fd, directory);
}

void watch_process(struct watch *watch, const struct owner *owner)
{
    for (size_t i = 0; i < watch->copier_count; i++)
        if (watch->copiers[i].pid == owner->pid && watch->copiers[i].start == owner->start_ticks)
            return;
    struct watch_copier *copiers =
        realloc(watch->copiers, (watch->copier_count + 1) * sizeof(*copiers));
    if (!copiers)
        return;
    watch->copiers = copiers;
    int fd;
    if (owner_pidfd(owner, watch->self, &fd) == 0)
        copiers[watch->copier_count++] =
            (struct watch_copier){.pid = owner->pid, .start = owner->start_ticks, .pidfd = fd};
}

size_t watch_poll_fds(const struct watch *watch, struct pollfd *fds)
{
    fds[0] = (struct pollfd){.fd = watch->inotify_fd, .events = POLLIN};
    for (size_t i = 0; i < watch->copier_count; i++)
        fds[1 + i] = (struct pollfd){.fd = watch->copiers[i].pidfd, .events = POLLIN};
    return 1 + watch->copier_count;
}

void watch_take_changes(const struct watch *watch, void (*seen)(void *context, int directory),
                        void *context)
{
    _Alignas(struct inotify_event) char buffer[EVENTS_BYTES];
    for (ssize_t bytes; (bytes = read(watch->inotify_fd, buffer, sizeof(buffer))) > 0;)
        for (ssize_t at = 0; at < bytes;) {
            const struct inotify_event *event =
                (const struct inotify_event *)(const void *)(buffer + at);
            at += (ssize_t)(sizeof(*event) + event->len);
            seen(context, event->mask & IN_Q_OVERFLOW ? WATCH_EVERYTHING : event->wd);
        }
}

void watch_take_events(struct watch *watch, const struct pollfd *fds, size_t count,
                       void (*seen)(void *context, int directory), void *context)
{
    bool process_ended = false;
    size_t kept = 0;
    for (size_t i = 1; i < count; i++) {
        struct watch_copier *copier = &watch->copiers[i - 1];
        if (fds[i].revents) {
            process_ended = true;
            close(copier->pidfd);
        } else {
            watch->copiers[kept++] = *copier;
        }
    }
    watch->copier_count = kept;
    if (process_ended)
        seen(context, WATCH_EVERYTHING);
    if (fds[0].revents)
        watch_take_changes(watch, seen, context);
}
