/*
 * Finding the holder of an open-file-description lock. F_OFD_GETLK knows no process, and neither
 * does /proc/locks; but /proc/PID/fdinfo/FD has a line for each lock of that description:
 *
 *     lock:   1: OFDLCK  ADVISORY  WRITE -1 fe:00:131 0 EOF
 *
 * Reading it touches no file system, so no server that hangs.
 */
#include "cache/lock/lock_holder.h"

#include "cache/lock/lock_record.h"
#include "cache/lock/rezlock.h"
#include "cache/util/names.h"

#include "engine/compiler.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { FDINFO_MAX = 4096 };

/* Whether what /proc says of a descriptor has a line for our lock. */
static bool has_lock(char *text, ino_t inode)
{
    char of_inode[32];
    char *rest = text;
    snprintf(of_inode, sizeof(of_inode), ":%llu ", (unsigned long long)inode);
    for (char *line; (line = strsep(&rest, "\n"));)
        if (strncmp(line, "lock:", 5) == 0 && strstr(line, " OFDLCK ") && strstr(line, " WRITE ") &&
            strstr(line, of_inode))
            return true;
    return false;
}

/* Whether a descriptor's path ends in the name of the lock's file: inode numbers are a device's. */
static bool is_named_so(int process_fd, const char *descriptor)
{
    static const char end[] = "/" LOCK_PRIVATE_NAME;
    char link[16 + NAME_MAX];
    char path[PATH_MAX];
    snprintf(link, sizeof(link), "fd/%s", descriptor);
    ssize_t length = readlinkat(process_fd, link, path, sizeof(path));
    return length >= (ssize_t)sizeof(end) - 1 &&
           memcmp(path + length - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
}

static bool process_holds(int process_fd, ino_t inode)
{
    struct names names;
    char text[FDINFO_MAX];
    bool holds = false;
    CLEANUP_CLOSE int fd = openat(process_fd, "fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false; /* it has ended, or is not ours to see */
    names_borrow(&names, fd);
    for (const char *name; !holds && (name = names_next(&names));) {
        CLEANUP_CLOSE int info_fd = openat(fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t length = info_fd < 0 ? -1 : read(info_fd, text, sizeof(text) - 1);
        if (length <= 0)
            continue;
        text[length] = '\0';
        holds = has_lock(text, inode) && is_named_so(process_fd, name);
    }
    names_close(&names);
    return holds;
}

/* The process that holds the lock; 0: it cannot be seen. */
static pid_t find_holder(int lock_fd)
{
    struct names names;
    struct stat status;
    pid_t pid = 0;
    CLEANUP_CLOSE int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(lock_fd, &status) < 0)
        return 0;
    names_borrow(&names, fd);
    for (const char *name; pid == 0 && (name = names_next(&names));) {
        if (!isdigit((unsigned char)*name))
            continue;
        CLEANUP_CLOSE int process_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (process_fd >= 0 && process_holds(process_fd, status.st_ino))
            pid = (pid_t)strtol(name, NULL, 10);
    }
    names_close(&names);
    return pid;
}

void lock_holder_describe(int fd, const struct owner *self, char ret[static LOCK_HOLDER_TEXT_MAX])
{
    struct process process;
    struct lock_record record;
    pid_t pid = find_holder(fd);
    if (pid > 0 && process_read(pid, &process) == 0) {
        snprintf(ret, LOCK_HOLDER_TEXT_MAX, "pkgcache on host %s (pid %d, command %s)", self->host,
                 pid, process.command);
        return;
    }
    lock_record_read(fd, &record);
    bool known = record.holder.pid > 0 && record.held_since_ns > 0 &&
                 owner_judge_once(&record.holder, self, NULL) != OWNER_GONE;
    if (known)
        snprintf(ret, LOCK_HOLDER_TEXT_MAX,
                 "pkgcache on host %s (pid %d, command %s), as that file says, which all who use "
                 "the cache can write",
                 record.holder.host, record.holder.pid, record.holder.command);
    else
        snprintf(ret, LOCK_HOLDER_TEXT_MAX, "a process that cannot be seen from here");
}
