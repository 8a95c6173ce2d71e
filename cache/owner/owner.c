/*
 * Who a process is, and whether it is gone.
 *
 * A pid alone proves nothing: it is used again, after a reboot at once. With its start time it is
 * used once per boot; the boot id says which boot, the inode of the pid namespace says in whose
 * numbering. Only when both are ours may we say that a process is gone because we do not see it.
 *
 * What can still go wrong: a process that entered another time namespace sees other start times
 * than its neighbours do. Nobody runs a package manager so; it would lose its slot, and notice.
 */
#include "cache/owner/owner.h"

#include "cache/util/record.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum {
    TEXT_ACCEPTED_MAX = 4096,
    SECOND_LOOK_NS = 20 * 1000000,
    BOOT_MARGIN_NS = 1000000000 /* file times are up to a clock tick late, boot time is a guess */
};

static bool is_boot_id(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isxdigit((unsigned char)text[i]) && text[i] != '-')
            return false;
    }
    return length == OWNER_BOOT_LENGTH;
}

static void read_boot_id(char ret_boot[static OWNER_BOOT_LENGTH + 1])
{
    CLEANUP_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char text[OWNER_BOOT_LENGTH];
    if (fd >= 0 && read(fd, text, sizeof(text)) == sizeof(text) && is_boot_id(text, sizeof(text)))
        memcpy(ret_boot, text, sizeof(text));
}

static void copy_printable(char *destination, const char *source, size_t size)
{
    size_t i = 0;
    for (; i < size - 1 && source[i]; i++) {
        bool printable = source[i] >= ' ' && source[i] <= '~';
        destination[i] = '?';
        if (printable)
            destination[i] = source[i];
    }
    destination[i] = '\0';
}

void owner_of_this_process(struct owner *ret_owner)
{
    struct process process;
    struct stat namespace_status;
    struct utsname names;
    *ret_owner = (struct owner){.pid = getpid()};
    if (process_read(ret_owner->pid, &process) == 0) {
        ret_owner->start_ticks = process.start_ticks;
        copy_printable(ret_owner->command, process.command, sizeof(ret_owner->command));
    }
    if (stat("/proc/self/ns/pid", &namespace_status) == 0)
        ret_owner->pid_namespace = namespace_status.st_ino;
    if (uname(&names) == 0)
        copy_printable(ret_owner->host, names.nodename, sizeof(ret_owner->host));
    read_boot_id(ret_owner->boot);
    ret_owner->boot_time_ns = (uint64_t)owner_boot_time_ns();
}

int owner_of_process(pid_t pid, const struct owner *self, struct owner *ret_owner)
{
    struct process process;
    int result = process_read(pid, &process);
    if (result < 0)
        return result;
    if (process_has_ended(&process))
        return -ESRCH;
    *ret_owner = *self;
    ret_owner->pid = pid;
    ret_owner->start_ticks = process.start_ticks;
    copy_printable(ret_owner->command, process.command, sizeof(ret_owner->command));
    return 0;
}

bool owner_staging_is_valid(const char *staging)
{
    size_t length = strnlen(staging, OWNER_STAGING_MAX + 1);
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)staging[i]) && !strchr("_-.", staging[i]))
            return false;
    }
    return length > 0 && length <= OWNER_STAGING_MAX && staging[0] != '.';
}

/* Text being written into a buffer that is known to be large enough. */
struct writer {
    char *text;
    size_t length;
};

static void PRINTF_LIKE(2, 3) write_line(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    size_t room = OWNER_TEXT_MAX - writer->length;
    va_start(arguments, format);
    int written = vsnprintf(writer->text + writer->length, room, format, arguments);
    va_end(arguments);
    writer->length += MIN((size_t)MAX(written, 0), room - 1);
}

static void write_string(struct writer *writer, const char *key, const char *value)
{
    char printable[OWNER_HOST_MAX + 1];
    static_assert((int)PROCESS_COMMAND_MAX <= (int)OWNER_HOST_MAX, "a command fits too");
    if (value[0] == '\0')
        return;
    copy_printable(printable, value, sizeof(printable));
    write_line(writer, "%s %s\n", key, printable);
}

size_t owner_format(const struct owner *owner, char ret_text[static OWNER_TEXT_MAX])
{
    struct writer writer = {.text = ret_text};
    write_line(&writer, RECORD_FIRST_LINE "pid %d\n", owner->pid);
    if (owner->start_ticks)
        write_line(&writer, "start %llu\n", (unsigned long long)owner->start_ticks);
    if (owner->pid_namespace)
        write_line(&writer, "pid-namespace %llu\n", (unsigned long long)owner->pid_namespace);
    if (is_boot_id(owner->boot, strlen(owner->boot)))
        write_line(&writer, "boot %s\n", owner->boot);
    if (owner->boot_time_ns)
        write_line(&writer, "boot-time %llu\n", (unsigned long long)owner->boot_time_ns);
    write_string(&writer, "host", owner->host);
    write_string(&writer, "command", owner->command);
    if (owner_staging_is_valid(owner->staging))
        write_line(&writer, "staging %s\n", owner->staging);
    return writer.length;
}

/* The fields of a record, for noticing the second of a kind. */
enum field {
    FIELD_OTHER = 0,
    FIELD_PID = 1,
    FIELD_START = 2,
    FIELD_NAMESPACE = 4,
    FIELD_BOOT = 8,
    FIELD_HOST = 16,
    FIELD_COMMAND = 32,
    FIELD_STAGING = 64,
    FIELD_BOOT_TIME = 128
};

static enum field field_of(const struct record_line *line)
{
    static const struct {
        const char *key;
        enum field field;
    } known[] = {
        {"pid", FIELD_PID},         {"start", FIELD_START},
        {"boot", FIELD_BOOT},       {"pid-namespace", FIELD_NAMESPACE},
        {"host", FIELD_HOST},       {"command", FIELD_COMMAND},
        {"staging", FIELD_STAGING}, {"boot-time", FIELD_BOOT_TIME},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++) {
        if (record_is(line, known[i].key))
            return known[i].field;
    }
    return FIELD_OTHER;
}

static int parse_field(const struct record_line *line, enum field field, struct owner *owner)
{
    uint64_t number;
    int result = 0;
    switch (field) {
    case FIELD_PID:
        result = record_number(line, INT32_MAX, &number);
        if (result == 0 && number == 0)
            result = -EBADMSG;
        if (result == 0)
            owner->pid = (pid_t)number;
        return result;
    case FIELD_START:
        return record_number(line, INT64_MAX, &owner->start_ticks);
    case FIELD_NAMESPACE:
        return record_number(line, UINT64_MAX, &owner->pid_namespace);
    case FIELD_BOOT:
        if (!is_boot_id(line->value, line->value_length))
            return -EBADMSG;
        return record_string(line, owner->boot, sizeof(owner->boot));
    case FIELD_BOOT_TIME:
        return record_number(line, INT64_MAX, &owner->boot_time_ns);
    case FIELD_HOST:
        return record_string(line, owner->host, sizeof(owner->host));
    case FIELD_COMMAND:
        return record_string(line, owner->command, sizeof(owner->command));
    case FIELD_STAGING:
        /* It becomes a file name, so it must not lead anywhere. */
        result = record_string(line, owner->staging, sizeof(owner->staging));
        return result == 0 && !owner_staging_is_valid(owner->staging) ? -EBADMSG : result;
    case FIELD_OTHER:
        break;
    }
    return result;
}

int owner_parse(const char *text, size_t length, struct owner *ret_owner)
{
    struct owner owner = {0};
    struct record_reader reader;
    struct record_line line;
    unsigned seen = 0;
    if (length > TEXT_ACCEPTED_MAX || record_open(&reader, text, length) < 0)
        return -EBADMSG;
    int result;
    while ((result = record_next(&reader, &line)) > 0) {
        enum field field = field_of(&line);
        if ((seen & field) || parse_field(&line, field, &owner) < 0)
            return -EBADMSG;
        seen |= field;
    }
    if (result < 0 || !(seen & FIELD_PID))
        return -EBADMSG;
    *ret_owner = owner;
    return 0;
}

bool owner_is_same(const struct owner *one, const struct owner *other)
{
    return one->pid == other->pid && one->start_ticks && one->start_ticks == other->start_ticks &&
           one->pid_namespace && one->pid_namespace == other->pid_namespace && one->boot[0] &&
           strcmp(one->boot, other->boot) == 0;
}

int64_t owner_boot_time_ns(void)
{
    /* btime in /proc/stat is the same difference, in whole seconds; and containers fake it. */
    return (int64_t)clock_ns(CLOCK_REALTIME) - (int64_t)clock_ns(CLOCK_BOOTTIME);
}

/* Whether the last sign of life is older than this machine's boot. */
static bool is_before_boot(const struct timespec *beat)
{
    int64_t before_boot_s = (owner_boot_time_ns() - BOOT_MARGIN_NS) / (int64_t)NS_PER_S;
    return beat && beat->tv_sec < before_boot_s;
}

/*
 * The boot of a machine ends all its processes, wherever they were. But the record of another
 * machine (a cache on a shared file system) has another boot id too, and its process may be well;
 * and machines, or containers with a boot id of their own, may have the same host name. So the last
 * sign of life has to be from before our boot, too. All else is a case for the grace time.
 */
static bool is_of_another_boot(const struct owner *record, const struct owner *self,
                               const struct timespec *beat)
{
    return strcmp(record->boot, self->boot) != 0 && record->host[0] &&
           strcmp(record->host, self->host) == 0 && is_before_boot(beat);
}

/* Whether our pids and start times mean the same processes as the record's. */
static bool is_comparable(const struct owner *record, const struct owner *self)
{
    return strcmp(record->boot, self->boot) == 0 && record->pid_namespace &&
           record->pid_namespace == self->pid_namespace;
}

/* Judges, once, a process whose pid is in our numbering. */
static enum owner_state judge_pid(const struct owner *record)
{
    struct process process;
    int result = process_read(record->pid, &process);
    if (result == -ESRCH)
        return OWNER_GONE;
    if (result < 0 || record->start_ticks == 0)
        return OWNER_UNKNOWN;
    return process.start_ticks != record->start_ticks || process_has_ended(&process) ? OWNER_GONE
                                                                                     : OWNER_ALIVE;
}

enum owner_state owner_judge_once(const struct owner *record, const struct owner *self,
                                  const struct timespec *beat)
{
    if (!record || !record->boot[0])
        return is_before_boot(beat) ? OWNER_GONE : OWNER_UNKNOWN;
    if (!self->boot[0])
        return OWNER_UNKNOWN;
    if (is_of_another_boot(record, self, beat))
        return OWNER_GONE;
    return is_comparable(record, self) ? judge_pid(record) : OWNER_UNKNOWN;
}

void owner_wait_for_proof(void)
{
    nanosleep(&(struct timespec){.tv_nsec = SECOND_LOOK_NS}, NULL);
}

enum owner_state owner_judge(const struct owner *record, const struct owner *self,
                             const struct timespec *beat)
{
    enum owner_state state = owner_judge_once(record, self, beat);
    if (state != OWNER_GONE || !record || !is_comparable(record, self))
        return state; /* a boot that is over needs no second look */
    /* A process that runs another program from a thread changes its pid: not there for a moment. */
    owner_wait_for_proof();
    return owner_judge_once(record, self, beat);
}

int owner_pidfd(const struct owner *record, const struct owner *self, int *ret_fd)
{
    if (!record->boot[0] || !self->boot[0] || !record->start_ticks)
        return -EREMOTE;
    if (!is_comparable(record, self))
        return -EREMOTE;

    CLEANUP_CLOSE int fd = (int)syscall(SYS_pidfd_open, record->pid, 0U);
    if (fd < 0)
        return errno == EINVAL ? -ESRCH : -errno;
    /* Look only now: a descriptor that was opened before cannot be of a later process. */
    struct process process;
    int result = process_read(record->pid, &process);
    if (result < 0)
        return result;
    if (process.start_ticks != record->start_ticks || process_has_ended(&process))
        return -ESRCH;
    *ret_fd = steal_fd(&fd);
    return 0;
}
