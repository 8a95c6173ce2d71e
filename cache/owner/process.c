/* Reads /proc/PID/stat, where the command stands in parentheses that it may itself contain. */
#include "cache/owner/process.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

enum {
    FIELD_SESSION = 6, /* as proc(5) counts them; the state is field 3 */
    FIELD_FLAGS = 9,
    FIELD_THREADS = 20,
    FIELD_START = 22,
    STAT_TEXT_MAX = 2048,
    KERNEL_THREAD_FLAG = 0x00200000 /* PF_KTHREAD */
};

/* Reads a decimal number that may be negative, and the space or line end after it. */
static bool read_field(const char **cursor, const char *end, uint64_t *ret_value)
{
    const char *at = *cursor;
    if (at < end && *at == '-')
        at++;
    const char *digits = at;
    uint64_t value = 0;
    for (; at < end && isdigit((unsigned char)*at); at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    if (at == digits || at == end || (*at != ' ' && *at != '\n'))
        return false;
    *cursor = at + 1;
    *ret_value = value;
    return true;
}

int process_parse_stat(const char *text, size_t length, struct process *ret_process)
{
    const char *end = text + length;
    const char *open = memchr(text, '(', length);
    const char *close = memrchr(text, ')', length);
    uint64_t pid, value;
    if (!open || !close || close < open || memchr(text, '\0', length))
        return -EBADMSG;
    const char *cursor = text;
    if (!read_field(&cursor, open, &pid) || cursor != open || pid == 0 || pid > INT32_MAX)
        return -EBADMSG;
    if (end - close < 4 || close[1] != ' ' || close[3] != ' ')
        return -EBADMSG;

    struct process process = {.pid = (pid_t)pid, .state = close[2]};
    size_t command_length = MIN((size_t)(close - open - 1), (size_t)PROCESS_COMMAND_MAX);
    memcpy(process.command, open + 1, command_length);
    cursor = close + 4;
    for (int field = 4; field <= FIELD_START; field++) {
        if (!read_field(&cursor, end, &value))
            return -EBADMSG;
        if (field == FIELD_SESSION)
            process.session = value <= INT32_MAX ? (pid_t)value : 0;
        else if (field == FIELD_FLAGS)
            process.kernel_thread = value & KERNEL_THREAD_FLAG;
        else if (field == FIELD_THREADS)
            process.threads = value;
        else if (field == FIELD_START)
            process.start_ticks = value;
    }
    *ret_process = process;
    return 0;
}

/*
 * "Not in /proc" is no proof: hidepid hides the processes of others, and in a bare chroot nothing
 * is mounted there. The kernel itself is asked, with the signal that does nothing.
 */
static int absent_or_hidden(pid_t pid)
{
    return kill(pid, 0) < 0 && errno == ESRCH ? -ESRCH : -EACCES;
}

/*
 * After `unshare --pid` without a mount, /proc still counts the processes of the namespace outside:
 * /proc/5 is another process than our 5.
 */
static bool proc_counts_as_we_do(void)
{
    char target[16];
    ssize_t length = readlink("/proc/self", target, sizeof(target) - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    return strtol(target, NULL, 10) == getpid();
}

int process_read(pid_t pid, struct process *ret_process)
{
    char path[32], text[STAT_TEXT_MAX];
    if (pid <= 0)
        return -EINVAL;
    if (!proc_counts_as_we_do())
        return absent_or_hidden(pid);
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ESRCH || errno == EACCES || errno == EPERM
                   ? absent_or_hidden(pid)
                   : -errno;
    ssize_t length = read(fd, text, sizeof(text));
    if (length < 0)
        return errno == ESRCH || errno == EACCES || errno == EPERM ? absent_or_hidden(pid) : -errno;
    return process_parse_stat(text, (size_t)length, ret_process);
}

/*
 * A process whose first thread has left, while others go on, shows up as a zombie too: so all its
 * threads must be gone. A zombie has closed its files before it became one; X is the moment between
 * the parent's wait and the end of the entry in /proc.
 */
bool process_has_ended(const struct process *process)
{
    return (process->state == 'Z' || process->state == 'X' || process->state == 'x') &&
           process->threads <= 1;
}

int64_t process_start_ns(const struct process *process, int64_t boot_ns)
{
    uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK), start_ns;
    /* Years more than a machine can be up: what is out of range has not started yet. */
    if (__builtin_mul_overflow(process->start_ticks, NS_PER_S / ticks_per_s, &start_ns) ||
        start_ns > (uint64_t)(INT64_MAX - MAX(boot_ns, 0)))
        return INT64_MAX;
    return boot_ns + (int64_t)start_ns;
}
