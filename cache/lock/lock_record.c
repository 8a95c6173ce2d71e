/*
 * The record in the lock file.
 *
 * How busy is the lock? Time is cut into windows of 2 s. The record has how long the lock was held
 * in the present one and in the one before it, and the last 2 s are estimated as all of the present
 * window and that part of the one before that the present has not reached yet. It is right to a few
 * percent, needs two numbers, and no list of who held it when.
 *
 * A record of an earlier boot has times of another clock; the worst it can do is one wrong
 * estimate.
 */
#include "cache/lock/lock_record.h"

#include "cache/util/record.h"
#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <string.h>

#define WINDOW_NS         (LOCK_RECORD_WINDOW_MS * NS_PER_MS)
#define CLOCK_WAS_SET_NS  ((int64_t)NS_PER_S)
#define KEY_HELD_SINCE    "held-since"
#define KEY_WINDOW_START  "window-start"
#define KEY_WINDOW_HELD   "window-held"
#define KEY_PREVIOUS_HELD "previous-held"
#define KEY_WALL_AT_BOOT  "wall-at-boot"

static_assert(OWNER_TEXT_MAX + 5 * 40 <= LOCK_RECORD_BYTES, "a record fits");

void lock_record_format(const struct lock_record *record, char ret_text[static LOCK_RECORD_BYTES])
{
    char numbers[LOCK_RECORD_BYTES - OWNER_TEXT_MAX];
    int numbers_length = snprintf(
        numbers, sizeof(numbers),
        KEY_HELD_SINCE " %llu\n" KEY_WINDOW_START " %llu\n" KEY_WINDOW_HELD
                       " %llu\n" KEY_PREVIOUS_HELD " %llu\n" KEY_WALL_AT_BOOT " %llu\n",
        (unsigned long long)record->held_since_ns, (unsigned long long)record->window_start_ns,
        (unsigned long long)record->window_held_ns, (unsigned long long)record->previous_held_ns,
        (unsigned long long)record->wall_at_boot_ns);
    assert(numbers_length > 0 && (size_t)numbers_length < sizeof(numbers));
    size_t length = owner_format(&record->holder, ret_text);
    memcpy(ret_text + length, numbers, (size_t)numbers_length);
    length += (size_t)numbers_length;
    memset(ret_text + length, '\n', LOCK_RECORD_BYTES - length);
}

int lock_record_parse(const char *text, size_t length, struct lock_record *ret_record)
{
    struct lock_record record = {0};
    const struct {
        const char *key;
        uint64_t *value;
    } numbers[] = {
        {KEY_HELD_SINCE, &record.held_since_ns},     {KEY_WINDOW_START, &record.window_start_ns},
        {KEY_WINDOW_HELD, &record.window_held_ns},   {KEY_PREVIOUS_HELD, &record.previous_held_ns},
        {KEY_WALL_AT_BOOT, &record.wall_at_boot_ns},
    };
    struct record_reader reader;
    struct record_line line;
    if (owner_parse(text, length, &record.holder) < 0 || record_open(&reader, text, length) < 0)
        return -EBADMSG;
    while (record_next(&reader, &line) > 0) {
        for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
            if (record_is(&line, numbers[i].key) &&
                record_number(&line, INT64_MAX, numbers[i].value) < 0)
                return -EBADMSG;
        }
    }
    *ret_record = record;
    return 0;
}

void lock_record_read(int fd, struct lock_record *ret_record)
{
    char text[LOCK_RECORD_BYTES];
    ssize_t length = pread(fd, text, sizeof(text), 0);
    if (length < 0 || lock_record_parse(text, (size_t)length, ret_record) < 0)
        *ret_record = (struct lock_record){0};
}

void lock_record_write(int fd, const struct lock_record *record)
{
    char text[LOCK_RECORD_BYTES];
    lock_record_format(record, text);
    ssize_t written = pwrite(fd, text, sizeof(text), 0);
    (void)written; /* one write, into a block that is there already: all of it, or a full disk */
}

/* Brings the windows up to date: the present one is the one that `now_ns` is in. */
static void roll(struct lock_record *record, uint64_t now_ns)
{
    uint64_t start_ns = record->window_start_ns;
    if (start_ns > now_ns || now_ns - start_ns >= 2 * WINDOW_NS) {
        record->window_start_ns = now_ns;
        record->window_held_ns = record->previous_held_ns = 0;
    } else if (now_ns - start_ns >= WINDOW_NS) {
        record->window_start_ns = start_ns + WINDOW_NS;
        record->previous_held_ns = MIN(record->window_held_ns, WINDOW_NS);
        record->window_held_ns = 0;
    }
    assert(record->window_start_ns <= now_ns && now_ns - record->window_start_ns < WINDOW_NS);
}

void lock_record_count(struct lock_record *record, uint64_t start_ns, uint64_t end_ns)
{
    if (start_ns >= end_ns)
        return;
    roll(record, end_ns);
    uint64_t held_ns = MIN(end_ns - start_ns, WINDOW_NS);
    record->window_held_ns = MIN(record->window_held_ns, WINDOW_NS) + held_ns;
}

bool lock_record_is_busy(const struct lock_record *record, uint64_t now_ns)
{
    struct lock_record rolled = *record;
    roll(&rolled, now_ns);
    uint64_t left_ns = WINDOW_NS - (now_ns - rolled.window_start_ns);
    uint64_t held_ns = MIN(rolled.window_held_ns, WINDOW_NS) +
                       MIN(rolled.previous_held_ns, WINDOW_NS) / 1000 * left_ns / WINDOW_NS * 1000;
    return held_ns > WINDOW_NS / 2;
}

bool lock_record_clock_was_set(const struct lock_record *record, const struct owner *self)
{
    if (record->wall_at_boot_ns == 0 || !self->boot[0] ||
        strcmp(record->holder.boot, self->boot) != 0)
        return false; /* nothing to compare with */
    return llabs((long long)record->wall_at_boot_ns - (long long)owner_boot_time_ns()) >
           CLOCK_WAS_SET_NS;
}
