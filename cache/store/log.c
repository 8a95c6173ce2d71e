/*
 * Writing the log. The file is opened for each line: there are few, the day may change in between,
 * and so may the file. O_APPEND makes one write(2) one piece.
 */
#include "cache/store/log.h"

#include "cache/json/visible.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/share.h"
#include "cache/util/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#define LOGGER "rez-pkg-cache" /* the first word of each line, in rez's log and so in ours */

static const int file_flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY;

const char *log_file_name(time_t time, char ret[static 32])
{
    struct tm local = {0};
    localtime_r(&time, &local);
    if (strftime(ret, 32, "%Y-%m-%d.log", &local) == 0)
        *ret = '\0';
    return ret;
}

bool log_is_file_name(const char *name)
{
    static const char pattern[] = "dddd-dd-dd.log";
    for (size_t i = 0; i < sizeof(pattern); i++)
        if (pattern[i] == 'd' ? name[i] < '0' || name[i] > '9' : name[i] != pattern[i])
            return false;
    return true;
}

bool log_read_line(FILE *file, struct log_line *ret)
{
    int byte;
    ret->bytes = ret->length = 0;
    ret->whole = false;
    while (!ret->whole && (byte = getc_unlocked(file)) != EOF) {
        ret->bytes++;
        ret->whole = byte == '\n';
        if (!ret->whole && ret->length < LOG_SHOWN_MAX)
            ret->text[ret->length++] = (char)byte;
    }
    ret->text[ret->length] = '\0';
    return ret->bytes > 0;
}

size_t log_format(struct timespec time, pid_t pid, enum log_level level, const char *message,
                  char ret[static LOG_LINE_MAX + 1])
{
    static const char *const levels[] = {"INFO", "WARNING", "ERROR"};
    char date[32] = "";
    struct tm local = {0};
    localtime_r(&time.tv_sec, &local);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &local);
    struct text line = text_over(ret, LOG_LINE_MAX);
    text_printf(&line, LOGGER " %s,%03ld PID-%d %s ", date, time.tv_nsec / 1000000, pid,
                levels[level]);
    visible_append(&line, message, strlen(message));
    ret[line.length] = '\n'; /* the text kept room for a NUL */
    ret[line.length + 1] = '\0';
    return line.length + 1;
}

static int open_directory(struct pkgcache *cache)
{
    if (cache->log_fd < 0 && cache->sys_fd >= 0)
        cache->log_fd = cache_open_private(cache, "log", true);
    return cache->log_fd;
}

/*
 * Today's file, for appending. Without O_CREAT first: fs.protected_regular(5) may refuse that for a
 * file of another user's.
 */
static int open_file(struct pkgcache *cache, time_t now)
{
    char name[32];
    struct stat status;
    log_file_name(now, name);
    CLEANUP_CLOSE int fd = names_open_file(cache->log_fd, name, file_flags, 0);
    if (fd < 0 && errno == ENOENT) {
        fd = names_open_file(cache->log_fd, name, file_flags | O_CREAT | O_EXCL, 0666);
        if (fd >= 0 && fstat(cache->log_fd, &status) == 0)
            share_follow(fd, &status, share_file_bits(status.st_mode));
        else if (errno == EEXIST)
            fd = names_open_file(cache->log_fd, name, file_flags, 0);
    }
    /* with a second name it may be a file of ours that somebody wants to see written to */
    return fd >= 0 && file_has_only_name(cache->log_fd, name, fd) ? steal_fd(&fd) : -1;
}

void log_write(struct pkgcache *cache, enum log_level level, const char *format, ...)
{
    char message[LOG_LINE_MAX];
    char line[LOG_LINE_MAX + 1];
    struct timespec now;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    clock_gettime(CLOCK_REALTIME, &now);
    size_t length = log_format(now, cache->self.pid, level, message, line);
    CLEANUP_CLOSE int fd = open_directory(cache) < 0 ? -1 : open_file(cache, now.tv_sec);
    if (fd >= 0)
        (void)!write(fd, line, length);
    line[length - 1] = '\0';
    if (cache->log_echo)
        cache->log_echo(level, line);
}

const char *log_uri(const struct pkgcache_handle *handle, char ret[static LOG_URI_MAX])
{
    char index[16] = "";
    if (handle->index != HANDLE_NO_INDEX)
        snprintf(index, sizeof(index), "%d", handle->index);
    snprintf(ret, LOG_URI_MAX, "%s/%s%s%s/package.py[%s]", handle->location, handle->name,
             handle->version ? "/" : "", handle->version ? handle->version : "", index);
    return ret;
}
