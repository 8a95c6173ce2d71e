/* Files that say who owns what lies beside them. What follows from it is their users' business. */
#include "cache/owner/owner_file.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <string.h>

/*
 * When the owner last got on. A time in the future (somebody set the clock, or the file's times) is
 * no reason to wait until then: the kernel's own, ctime, says when the file was last touched.
 */
static struct timespec last_beat(const struct stat *status, time_t now_s)
{
    return status->st_mtim.tv_sec > now_s + 1 ? status->st_ctim : status->st_mtim;
}

/*
 * Whether a beat was within the grace time. If the clock was set since the owner wrote its record
 * (the time of the boot that both see is another one), the beat may be of the clock before that.
 */
static bool is_recent(const struct owner *owner, const struct owner *self, struct timespec beat,
                      time_t now_s, unsigned grace_s)
{
    int64_t age_s = (int64_t)now_s - clock_file_s(beat);
    if (age_s <= (int64_t)grace_s)
        return true;
    if (!owner->boot_time_ns || !self->boot[0] || strcmp(owner->boot, self->boot) != 0)
        return false;
    int64_t set_by_s = (owner_boot_time_ns() - (int64_t)owner->boot_time_ns) / (int64_t)NS_PER_S;
    int64_t age_before_s = age_s - set_by_s;
    return set_by_s != 0 && age_before_s >= -1 && age_before_s <= (int64_t)grace_s;
}

/* Judges by what is known: a record, or times alone. */
static void judge(const struct owner *self, unsigned grace_s, struct owner_file *file)
{
    time_t now_s = (time_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S);
    struct timespec beat = last_beat(&file->status, now_s);
    file->state = owner_judge(file->owner.pid ? &file->owner : NULL, self, &beat);
    file->overdue = !is_recent(&file->owner, self, beat, now_s, grace_s);
}

void owner_file_read(int fd, const struct owner *self, unsigned grace_s, struct owner_file *ret)
{
    char text[OWNER_TEXT_MAX];
    *ret = (struct owner_file){.state = OWNER_UNKNOWN};
    if (fstat(fd, &ret->status) < 0)
        return;
    ssize_t length = pread(fd, text, sizeof(text), 0);
    if (length <= 0 || owner_parse(text, (size_t)length, &ret->owner) < 0)
        ret->owner = (struct owner){0};
    judge(self, grace_s, ret);
}

int owner_file_find(int dirfd, const char *name, const struct owner *self, unsigned grace_s,
                    struct owner_file *ret)
{
    CLEANUP_CLOSE int fd = file_open(dirfd, name, O_RDONLY | O_NOFOLLOW);
    *ret = (struct owner_file){.state = OWNER_UNKNOWN};
    if (fd >= 0)
        owner_file_read(fd, self, grace_s, ret);
    else if (errno == ENOENT || names_stat(dirfd, name, &ret->status) < 0)
        return -errno;
    else
        judge(self, grace_s, ret);
    return 0;
}
