/*
 * What other processes left behind: owners' records, the lock file's record, names of rez's unique
 * files, and /proc/PID/stat. What is accepted is in range, and survives being written.
 */
#include "cache/lock/lock_record.h"
#include "cache/lock/rezlock.h"
#include "cache/owner/owner.h"
#include "engine/compiler.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_printable(const char *text, size_t maximum)
{
    FUZZ_CHECK(strlen(text) <= maximum);
    for (; *text; text++)
        FUZZ_CHECK(*text >= ' ' && *text <= '~');
}

static void check_same(const struct owner *one, const struct owner *other)
{
    FUZZ_CHECK(one->pid == other->pid && one->start_ticks == other->start_ticks);
    FUZZ_CHECK(one->pid_namespace == other->pid_namespace);
    FUZZ_CHECK(strcmp(one->boot, other->boot) == 0 && strcmp(one->host, other->host) == 0);
    FUZZ_CHECK(strcmp(one->command, other->command) == 0);
    FUZZ_CHECK(strcmp(one->staging, other->staging) == 0);
}

static void check_owner(const char *text, size_t length)
{
    char written[OWNER_TEXT_MAX];
    struct owner owner, again;
    if (owner_parse(text, length, &owner) < 0)
        return;
    FUZZ_CHECK(owner.pid > 0 && owner.start_ticks <= INT64_MAX);
    FUZZ_CHECK(owner.boot[0] == '\0' || strlen(owner.boot) == OWNER_BOOT_LENGTH);
    check_printable(owner.host, OWNER_HOST_MAX);
    check_printable(owner.command, PROCESS_COMMAND_MAX);
    FUZZ_CHECK(owner.staging[0] == '\0' || owner_staging_is_valid(owner.staging));
    FUZZ_CHECK(!strchr(owner.staging, '/') && owner.staging[0] != '.');
    FUZZ_CHECK(owner_parse(written, owner_format(&owner, written), &again) == 0);
    check_same(&owner, &again);
}

static void check_lock_record(const char *text, size_t length)
{
    char written[LOCK_RECORD_BYTES];
    struct lock_record record, again;
    if (lock_record_parse(text, length, &record) < 0)
        return;
    lock_record_format(&record, written);
    FUZZ_CHECK(lock_record_parse(written, sizeof(written), &again) == 0);
    check_same(&record.holder, &again.holder);
    FUZZ_CHECK(record.held_since_ns == again.held_since_ns);
    FUZZ_CHECK(record.wall_at_boot_ns == again.wall_at_boot_ns);
    (void)lock_record_is_busy(&record, record.held_since_ns);
    lock_record_count(&record, record.held_since_ns, INT64_MAX);
    (void)lock_record_is_busy(&record, INT64_MAX);
}

/* Each pid that was split off, and what is left, make up the name again. */
static void check_name(const char *name)
{
    struct rezlock_name parsed;
    char prefix[REZLOCK_HOST_MAX + 64];
    if (!rezlock_parse_name(name, &parsed))
        return;
    FUZZ_CHECK(parsed.pid_count >= 1 && parsed.pid_count <= REZLOCK_PIDS_MAX);
    size_t host_length = strlen(parsed.host);
    FUZZ_CHECK(memcmp(name, parsed.host, host_length) == 0 && name[host_length] == '-');
    const char *pid_hash = strrchr(name, '.') + 1;
    FUZZ_CHECK(strspn(pid_hash, "0123456789-") == strlen(pid_hash));
    for (size_t i = 0; i < parsed.pid_count; i++) {
        int length = snprintf(prefix, sizeof(prefix), "%d", parsed.pids[i]);
        FUZZ_CHECK(parsed.pids[i] > 0 && strncmp(pid_hash, prefix, (size_t)length) == 0);
        FUZZ_CHECK(i == 0 || parsed.pids[i] > parsed.pids[i - 1]);
    }
}

static void check_stat(const char *text, size_t length)
{
    struct process process;
    if (process_parse_stat(text, length, &process) < 0)
        return;
    FUZZ_CHECK(process.pid > 0 && memchr(process.command, '\0', sizeof(process.command)));
    (void)process_has_ended(&process);
    FUZZ_CHECK(process_start_ns(&process, 5) >= 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_owner((const char *)data, size);
    check_lock_record((const char *)data, size);
    check_stat((const char *)data, size);
    char *name = calloc(1, size + 1);
    FUZZ_CHECK(name);
    memcpy(name, data, size);
    check_name(name);
    free(name);
    return 0;
}
