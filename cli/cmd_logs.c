/*
 * pkgcache logs: prints the last lines of the log, over the files of all days, and what is added to
 * it from then on.
 */
#include "cache/json/json_stream.h"
#include "cache/json/visible.h"
#include "cache/store/log.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/named_variants.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>

enum {
    NAME_SIZE = 16, /* YYYY-MM-DD.log */
    BLOCK = 1 << 16,
    LOOK_MS = 1000, /* where nothing tells that there is something new */
    WATCHED_LOOK_MS = 10000,
    FOLLOWED_LINES = 10, /* before what is new, as tail(1) */
};

struct day {
    char name[NAME_SIZE];
    off_t start; /* of what is to be printed */
};

struct logs {
    const struct options *options;
    const struct pkgcache *cache;
    int fd; /* .sys/log; -1: nothing was ever logged */
    struct day *days;
    size_t count;
    struct json_stream document; /* --json */
};

static int compare_days(const void *a, const void *b)
{
    return strcmp(((const struct day *)a)->name, ((const struct day *)b)->name);
}

static void open_directory(struct logs *logs)
{
    if (logs->fd < 0)
        logs->fd = cache_open_private(logs->cache, "log", false);
}

/* The days that come after one, in order. */
static int list_days(struct logs *logs, const char *after)
{
    struct names names;
    logs->count = 0;
    open_directory(logs);
    if (logs->fd < 0)
        return 0;
    int result = names_open(&names, logs->fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if (!log_is_file_name(name) || strcmp(name, after) <= 0)
            continue;
        struct day *days = realloc(logs->days, (logs->count + 1) * sizeof(*days));
        if (!days) {
            result = -ENOMEM;
            break;
        }
        logs->days = days;
        struct day *day = &days[logs->count++];
        *day = (struct day){0};
        memcpy(day->name, name, strlen(name));
    }
    names_close(&names);
    if (logs->count > 0)
        qsort(logs->days, logs->count, sizeof(*logs->days), compare_days);
    return result;
}

/*
 * Where the last lines of a file start.
 *
 * @param lines how many are wanted; less those that the file has
 */
static off_t find_last_lines(int fd, size_t *lines)
{
    char block[BLOCK];
    off_t end = lseek(fd, 0, SEEK_END);
    if (*lines == 0)
        return end;
    for (off_t at = end; at > 0;) {
        size_t size = (size_t)MIN(at, (off_t)sizeof(block));
        at -= (off_t)size;
        ssize_t got = pread(fd, block, size, at);
        for (ssize_t i = got - 1; i >= 0; i--)
            if (block[i] == '\n' && at + i + 1 < end) { /* a line begins behind it */
                if (--*lines == 0)
                    return at + i + 1;
            }
        if (got <= 0)
            break;
    }
    if (end > 0)
        --*lines;
    return 0;
}

static int open_day(const struct logs *logs, const char *name)
{
    int fd = -1;
    return file_open_regular(logs->fd, name, &fd, NULL) < 0 ? -1 : fd;
}

static void print_line(struct logs *logs, const char *line, size_t length)
{
    if (logs->options->json) {
        CLEANUP_FREE char *copy = strndup(line, length);
        json_stream_add(&logs->document, copy ? json_create_string(copy) : NULL);
        return;
    }
    CLEANUP_TEXT struct text visible = {0};
    visible_append(&visible, line, length); /* others wrote this: it is not to move our cursor */
    text_append_byte(&visible, '\n');
    if (visible.error == 0)
        fwrite(visible.bytes, 1, visible.length, stdout);
}

/* Prints the whole lines of a file from an offset on. Returns where it ended. */
static off_t print_lines(struct logs *logs, int fd, off_t start)
{
    CLEANUP_FREE struct log_line *line = malloc(sizeof(*line));
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CLEANUP_FCLOSE FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!line || !file || fseeko(file, start, SEEK_SET) < 0)
        return start;
    while (log_read_line(file, line) && line->whole) { /* else it is being written */
        print_line(logs, line->text, line->length);
        start += (off_t)line->bytes;
    }
    return start;
}

/* Prints the last lines. Returns where the last file ends. */
static off_t print_tail(struct logs *logs, size_t lines)
{
    off_t end = 0;
    size_t first = logs->count;
    do { /* of the last one also where it ends, if no line is wanted */
        if (first == 0)
            break;
        struct day *day = &logs->days[--first];
        CLEANUP_CLOSE int fd = open_day(logs, day->name);
        if (fd >= 0)
            day->start = find_last_lines(fd, &lines);
    } while (lines > 0);
    for (size_t i = first; i < logs->count; i++) {
        CLEANUP_CLOSE int fd = open_day(logs, logs->days[i].name);
        end = fd < 0 ? 0 : print_lines(logs, fd, logs->days[i].start);
    }
    return end;
}

/* What was added to a day's file, and all of the days since then. */
static int print_news(struct logs *logs, struct day *last)
{
    struct stat status;
    CLEANUP_CLOSE int fd = logs->fd < 0 || !*last->name ? -1 : open_day(logs, last->name);
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size < last->start)
        last->start = 0; /* cut off */
    if (fd >= 0)
        last->start = print_lines(logs, fd, last->start);
    int result = list_days(logs, last->name);
    for (size_t i = 0; i < logs->count; i++) {
        CLEANUP_CLOSE int next = open_day(logs, logs->days[i].name);
        logs->days[i].start = next < 0 ? 0 : print_lines(logs, next, 0);
        *last = logs->days[i];
    }
    return result;
}

static bool watch(const struct logs *logs, int inotify_fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", logs->fd);
    return logs->fd >= 0 && inotify_fd >= 0 &&
           inotify_add_watch(inotify_fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0;
}

/* Until a signal comes, or nobody reads any more. */
static int follow(struct logs *logs, struct day *last)
{
    char events[4096];
    CLEANUP_CLOSE int inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool watched = watch(logs, inotify_fd);
    for (;;) {
        int result = print_news(logs, last);
        int code = result < 0 ? output_error(logs->options, EXIT_FAILED, -result, "log: %s",
                                             strerror(-result))
                              : output_end(logs->options, EXIT_DONE);
        if (code != EXIT_DONE)
            return code;
        if (!watched) /* its directory may have been made meanwhile */
            watched = watch(logs, inotify_fd);
        struct pollfd fds[] = {{.fd = signals_fd(), .events = POLLIN},
                               {.fd = inotify_fd, .events = POLLIN}};
        poll(fds, ARRAY_LENGTH(fds), watched ? WATCHED_LOOK_MS : LOOK_MS);
        if (fds[0].revents)
            return EXIT_SIGNALED + signals_received();
        while (inotify_fd >= 0 && read(inotify_fd, events, sizeof(events)) > 0)
            continue;
    }
}

static int run(struct logs *logs)
{
    const struct options *options = logs->options;
    size_t lines = options->lines_given ? options->lines
                   : options->follow    ? (size_t)FOLLOWED_LINES
                                        : SIZE_MAX;
    int result = list_days(logs, "");
    if (result < 0)
        return output_error(options, EXIT_FAILED, -result, "log: %s", strerror(-result));
    struct day last = {0};
    if (logs->count > 0)
        last = logs->days[logs->count - 1];
    if (options->json)
        json_stream_open(&logs->document, NULL, '[');
    last.start = print_tail(logs, lines);
    if (options->follow)
        return follow(logs, &last);
    if (!options->json)
        return output_end(options, EXIT_DONE);
    json_stream_close(&logs->document, ']');
    return output_end_document(options, json_stream_end(&logs->document));
}

int cmd_logs(struct options *options)
{
    struct pkgcache *cache = NULL;
    struct logs logs = {.options = options, .fd = -1, .document = {.file = stdout}};
    if (options->follow && options->json)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "logs: --follow and --json cannot be combined: --json prints one "
                            "document, --follow never ends");
    int code = open_cache(options, &cache);
    if (code >= 0)
        return code;
    logs.cache = cache;
    if (options->follow)
        signals_open();
    code = run(&logs);
    cleanup_close_fd(&logs.fd);
    free(logs.days);
    pkgcache_close(cache);
    return code;
}
