/*
 * A node receives a pack in parts: slurmd writes them into a directory that we made. A part counts
 * when its size and digest are those of the order: slurmd may have left half of it there, under
 * this name or another one. What slurmd still has open takes room until it is truncated, so that is
 * done before it is removed.
 */
#include "cli/preload_receive.h"
#include "cache/preload/farm_digest.h"
#include "cache/store/staging.h"
#include "cli/output.h"
#include "cli/preload_kept.h"
#include "cli/preload_unpack.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
    LOOK_AT_MS = 200,
    LOOK_SOON_MS = 20, /* while bytes arrive */
    SOON_S = 2,
    IDLE_S = 300, /* after so long without a byte the coordinator is gone */
};

struct receiving {
    struct preload_node *node;
    struct staging staging;
    int pack;         /* what has arrived, as one file */
    size_t parts;     /* of it */
    uint64_t arrived; /* bytes of it */
    uint64_t seen;    /* bytes of all that lies there */
    ino_t bad;        /* the last file that had other bytes */
};

static int check_room(const struct receiving *receiving, uint64_t needed,
                      struct pkgcache_error *error)
{
    struct statvfs status;
    char has[16];
    char needs[16];
    if (fstatvfs(receiving->staging.fd, &status) < 0)
        return error_set(error, errno, "the cache's file system: %s", strerror(errno));
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    return room >= needed
               ? 0
               : error_set(error, ENOSPC,
                           "there is not enough room for the pack and what is in it: %s are free, "
                           "%s are needed",
                           output_bytes((double)room, has), output_bytes((double)needed, needs));
}

static int make_directory(struct receiving *receiving, struct pkgcache_error *error)
{
    struct preload_node *node = receiving->node;
    const struct farm_pack *pack = &node->order.pack;
    int result = staging_open_private(node->cache, pack->staging, &receiving->staging);
    if (result < 0)
        return error_set(error, -result, "a directory for the pack: %s", strerror(-result));
    uint64_t largest = 0;
    for (size_t i = 0; i < pack->part_count; i++)
        largest = MAX(largest, pack->parts[i].bytes);
    preload_kept_take(node->cache, pack, receiving->staging.fd, &receiving->pack, &receiving->parts,
                      &receiving->arrived);
    result = check_room(receiving, pack->bytes - receiving->arrived + largest + pack->payload_bytes,
                        error);
    if (result < 0 || receiving->pack >= 0)
        return result;
    receiving->pack = openat(receiving->staging.fd, PRELOAD_PACK_NAME,
                             O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    return receiving->pack < 0 ? error_set(error, errno, "the pack: %s", strerror(errno)) : 0;
}

/* Takes a part that may be whole. Returns 1: it was, 0, or -errno. */
static int take(struct receiving *receiving, const char *name, size_t number)
{
    const struct farm_part *part = &receiving->node->order.pack.parts[number];
    char digest[FARM_DIGEST_SIZE];
    struct stat status;
    CLEANUP_CLOSE int fd =
        openat(receiving->staging.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return 0;
    receiving->seen += (uint64_t)status.st_size;
    if ((uint64_t)status.st_size != part->bytes || status.st_ino == receiving->bad)
        return 0;
    int result = farm_digest_copy(fd, 0, part->bytes, receiving->pack, digest);
    if (result == 0 && strcmp(digest, part->digest) == 0)
        return 1;
    if (ftruncate(receiving->pack, (off_t)receiving->arrived) < 0)
        return -errno;
    if (result == 0) {
        struct farm_line bad = {.kind = FARM_LINE_PART, .part = number, .is_bad = true};
        receiving->bad = status.st_ino;
        preload_tell(receiving->node, &bad);
    }
    return result == -ENODATA ? 0 : result;
}

/* Looks for a part under any of its names. Returns 1: it is there, 0, or -errno. */
static int look_for(struct receiving *receiving, const char *prefix, size_t number)
{
    int fd = openat(receiving->staging.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int result = 0;
    receiving->seen = 0;
    if (!dir)
        return -errno;
    for (const struct dirent *entry; result == 0 && (entry = readdir(dir));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            result = take(receiving, entry->d_name, number);
    return result;
}

static void tell_part(const struct receiving *receiving, size_t number)
{
    struct farm_line line = {.kind = FARM_LINE_PART, .part = number};
    preload_tell(receiving->node, &line);
}

static int receive_part(struct receiving *receiving, size_t number, struct pkgcache_error *error)
{
    const struct farm_part *part = &receiving->node->order.pack.parts[number];
    char prefix[32];
    uint64_t before = UINT64_MAX;
    uint64_t changed_ns = 0;
    snprintf(prefix, sizeof(prefix), "part-%zu.", number);
    for (;;) {
        int result = look_for(receiving, prefix, number);
        if (result < 0)
            return error_set(error, -result, "a part of the pack: %s", strerror(-result));
        if (result == 1)
            break;
        uint64_t now_ns = clock_monotonic_ns();
        if (receiving->seen != before)
            changed_ns = now_ns;
        before = receiving->seen;
        if (now_ns > changed_ns + IDLE_S * NS_PER_S)
            return error_set(error, ETIMEDOUT, "no part of the pack arrived for %d s", IDLE_S);
        struct pollfd fd = {.fd = signals_fd(), .events = POLLIN};
        bool soon = now_ns < changed_ns + SOON_S * NS_PER_S;
        if (poll(&fd, 1, soon ? LOOK_SOON_MS : LOOK_AT_MS) > 0)
            return error_set(error, ECANCELED, "stopped by a signal: its job was ended");
    }
    receiving->parts++;
    receiving->arrived += part->bytes;
    preload_kept_remove_parts(receiving->staging.fd, prefix);
    tell_part(receiving, number);
    return 0;
}

static uint64_t slurm_number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static int receive(struct receiving *receiving, struct pkgcache_error *error)
{
    struct preload_node *node = receiving->node;
    CLEANUP_FREE char *path = NULL;
    struct farm_line ready = {
        .kind = FARM_LINE_READY,
        .job = slurm_number("SLURM_JOB_ID"),
        .step = slurm_number("SLURM_STEP_ID"),
    };
    int result = make_directory(receiving, error);
    if (result < 0)
        return result;
    preload_tell(node, &ready);
    for (size_t i = 0; i < receiving->parts; i++)
        tell_part(receiving, i); /* of an earlier attempt */
    for (size_t i = receiving->parts; i < node->order.pack.part_count && result == 0; i++)
        result = receive_part(receiving, i, error);
    if (result < 0)
        return result;
    if (asprintf(&path, "%s/.sys/staging/%s/" PRELOAD_PACK_NAME, pkgcache_path(node->cache),
                 node->order.pack.staging) < 0) {
        path = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    return preload_unpack(node, path, error);
}

/* Whether the coordinator has ended the cast for others' sake, and the next attempt is to come. */
static bool is_to_be_kept(const struct receiving *receiving, int result)
{
    return receiving->parts > 0 && result == -ECANCELED && signals_received() == FARM_KEEP_SIGNAL;
}

int preload_receive(struct preload_node *node, struct pkgcache_error *error)
{
    struct receiving receiving = {.node = node, .staging = {.fd = -1, .owner_fd = -1}, .pack = -1};
    int result = receive(&receiving, error);
    cleanup_close_fd(&receiving.pack);
    if (receiving.staging.fd >= 0)
        preload_kept_remove_parts(receiving.staging.fd, "part-");
    if (receiving.staging.cache && is_to_be_kept(&receiving, result))
        staging_leave(&receiving.staging);
    else if (receiving.staging.cache)
        staging_close(&receiving.staging);
    return result;
}
