/*
 * Counters in a shared file.
 *
 * The obvious way, a mapped file and atomic additions, has a flaw that nothing mends: whoever
 * truncates the file, and a full disk on a file system that writes elsewhere (Btrfs), kills every
 * process that touches the mapping, with a SIGBUS that a library has no right to handle. So the
 * file is written with pwrite(2), and additions are exact for another reason: nobody adds to what
 * somebody else adds to. After its header the file is made of stripes, each a full set of counters.
 * A process takes the first stripe that is free and has it to itself as long as it has the cache
 * open; the totals are the sums over all stripes. A stripe is taken with an open-file-description
 * lock that is only ever tried, so nobody waits, and which the kernel gives back when its owner
 * dies. The next owner adds to what stands there.
 *
 * Look-ups are added up in memory and written down now and then, together. Whoever is killed takes
 * what it has not written with it: look-ups of the last second, at most.
 *
 * Zeroing writes down in the header what the sums were; stripes belong to their owners. What is no
 * counters file, or was cut off, is set aside and made anew. Two who do that at the same moment may
 * lose what was counted in that moment, not more.
 */
#include "cache/store/stats.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

#include "engine/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_NAME       "counters"
#define SET_ASIDE       "counters.damaged"
#define MAGIC           "pkgcount"
#define BYTE_ORDER_MARK 0x01020304U

enum {
    VERSION = 1,
    STRIPES_MAX = 1023,    /* more processes than that at once: the rest is not counted */
    LOOK_UPS_AT_ONCE = 64, /* are written down together */
    READ_STRIPES = 16,
};

/* As long as a stripe. */
struct header {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t since_s;
    uint64_t zero[STATS_MAX - 2]; /* the sums when counting began */
};

struct stripe {
    uint64_t counters[STATS_MAX];
    uint64_t unused;
};

static_assert(sizeof(struct header) == sizeof(struct stripe), "the header takes a stripe's place");
static_assert((int)STATS_COUNT <= STATS_MAX - 2, "the format has no room for more counters");

struct stats {
    int sys_fd; /* -1: there is no .sys */
    int fd;     /* -1: not open, or not to be had */
    off_t stripe;
    uint64_t pending[STATS_COUNT];
    unsigned look_ups; /* since the last flush */
    uint64_t flushed_ns;
};

static void header_make(struct header *header)
{
    *header = (struct header){.version = VERSION, .byte_order = BYTE_ORDER_MARK};
    memcpy(header->magic, MAGIC, sizeof(header->magic));
    header->since_s = (uint64_t)time(NULL);
}

static bool header_read(int fd, struct header *ret)
{
    return pread(fd, ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) &&
           memcmp(ret->magic, MAGIC, sizeof(ret->magic)) == 0 && ret->version == VERSION &&
           ret->byte_order == BYTE_ORDER_MARK;
}

/* Whether the name is still that of the file that is open. */
static bool is_named(int sys_fd, int fd)
{
    struct stat named;
    struct stat opened;
    return names_stat(sys_fd, FILE_NAME, &named) == 0 && fstat(fd, &opened) == 0 &&
           named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

static int open_file(int sys_fd, int flags)
{
    int fd = names_open_file(sys_fd, FILE_NAME, flags | O_NONBLOCK | O_NOCTTY, 0);
    return fd < 0 ? -errno : fd;
}

static int make_file(int sys_fd)
{
    struct header header;
    int fd;
    header_make(&header);
    int result = file_make_bytes(sys_fd, FILE_NAME, &header, sizeof(header), &fd);
    return result < 0 ? result : fd;
}

/* Renames a damaged counters file, so that it can be examined; one is enough. */
static bool set_aside(int sys_fd)
{
    if (unlinkat(sys_fd, SET_ASIDE, 0) < 0 && errno == EISDIR)
        unlinkat(sys_fd, SET_ASIDE, AT_REMOVEDIR);
    return renameat(sys_fd, FILE_NAME, sys_fd, SET_ASIDE) == 0 || errno == ENOENT;
}

/* The file, open for writing; made if there is none that can be used; or -errno. */
static int open_or_make(int sys_fd)
{
    for (int attempt = 0; attempt < 3; attempt++) {
        struct header header;
        CLEANUP_CLOSE int fd = open_file(sys_fd, O_RDWR);
        if (fd >= 0 && header_read(fd, &header))
            return steal_fd(&fd);
        bool wrong = fd >= 0 || fd == -ELOOP || fd == -EISDIR || fd == -ENXIO;
        if (!wrong && fd != -ENOENT)
            return fd; /* not ours to write */
        if (wrong && (fd < 0 || is_named(sys_fd, fd)) && !set_aside(sys_fd))
            return -EBUSY;
        int made = make_file(sys_fd);
        if (made != -EEXIST)
            return made;
    }
    return -EAGAIN;
}

static bool claim_stripe(struct stats *stats)
{
    for (int i = 1; i <= STRIPES_MAX; i++) {
        struct flock lock = {.l_type = F_WRLCK,
                             .l_whence = SEEK_SET,
                             .l_start = i * (off_t)sizeof(struct stripe),
                             .l_len = sizeof(struct stripe)};
        if (fcntl(stats->fd, F_OFD_SETLK, &lock) == 0) {
            stats->stripe = lock.l_start;
            return true;
        }
        if (errno != EAGAIN && errno != EACCES)
            return false;
    }
    return false;
}

static void drop_file(struct stats *stats)
{
    cleanup_close_fd(&stats->fd); /* the stripe with it */
    stats->fd = -1;
}

/* Makes sure that there is a stripe of ours, in the file that everybody else has, too. */
static bool have_stripe(struct stats *stats)
{
    struct header header;
    if (stats->fd >= 0 && (!is_named(stats->sys_fd, stats->fd) || !header_read(stats->fd, &header)))
        drop_file(stats);
    if (stats->fd >= 0)
        return true;
    stats->fd = open_or_make(stats->sys_fd);
    if (stats->fd >= 0 && !claim_stripe(stats))
        drop_file(stats);
    return stats->fd >= 0;
}

static void write_down(struct stats *stats)
{
    struct stripe stripe = {0};
    if (!have_stripe(stats))
        return;
    if (pread(stats->fd, &stripe, sizeof(stripe), stats->stripe) < 0) /* less than it: zeros */
        return;
    for (int i = 0; i < STATS_COUNT; i++)
        stripe.counters[i] += stats->pending[i];
    if (pwrite(stats->fd, &stripe, sizeof(stripe), stats->stripe) == (ssize_t)sizeof(stripe))
        memset(stats->pending, 0, sizeof(stats->pending));
}

/* With the cache's look_up_lock held, as all that has a `struct stats`. */
static void flush(struct pkgcache *cache)
{
    struct stats *stats = cache->stats;
    if (!stats || stats->sys_fd < 0 ||
        cache->self.pid != getpid()) /* forked: the stripe is not ours */
        return;
    for (int i = 0; i < STATS_COUNT; i++)
        if (stats->pending[i]) {
            write_down(stats);
            break;
        }
    stats->look_ups = 0;
    stats->flushed_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
}

void stats_flush(struct pkgcache *cache)
{
    pthread_mutex_lock(&cache->look_up_lock);
    flush(cache);
    pthread_mutex_unlock(&cache->look_up_lock);
}

static struct stats *stats_of(struct pkgcache *cache)
{
    bool begins = !cache->stats;
    if (begins) {
        cache->stats = calloc(1, sizeof(*cache->stats));
        if (!cache->stats)
            return NULL;
        cache->stats->fd = cache->stats->sys_fd = -1;
        cache->stats->flushed_ns = clock_ns(CLOCK_MONOTONIC_COARSE);
    }
    struct stats *stats = cache->stats;
    if (stats->sys_fd < 0 && (begins || cache->sys_fd >= 0)) /* .sys may have been made by now */
        stats->sys_fd = names_open_file(cache->fd, ".sys", O_PATH | O_DIRECTORY, 0);
    return stats;
}

void stats_add(struct pkgcache *cache, enum stats_counter counter, uint64_t amount)
{
    bool is_look_up = counter == STATS_HITS || counter == STATS_MISSES;
    pthread_mutex_lock(&cache->look_up_lock);
    struct stats *stats = stats_of(cache);
    if (stats)
        stats->pending[counter] += amount;
    /* Every call but look-ups flushes at its end. */
    if (stats && is_look_up &&
        (++stats->look_ups >= LOOK_UPS_AT_ONCE ||
         clock_ns(CLOCK_MONOTONIC_COARSE) - stats->flushed_ns > NS_PER_S))
        flush(cache);
    pthread_mutex_unlock(&cache->look_up_lock);
}

void stats_close(struct pkgcache *cache)
{
    if (!cache->stats)
        return;
    stats_flush(cache);
    cleanup_close_fd(&cache->stats->fd);
    cleanup_close_fd(&cache->stats->sys_fd);
    free(cache->stats);
    cache->stats = NULL;
}

static int sum_stripes(int fd, struct stats_totals *totals)
{
    struct stripe stripes[READ_STRIPES];
    off_t end = (STRIPES_MAX + 1) * (off_t)sizeof(stripes[0]);
    for (off_t at = sizeof(struct header); at < end;) {
        ssize_t got = pread(fd, stripes, sizeof(stripes), at);
        if (got < 0)
            return -errno;
        for (ssize_t i = 0; i < got / (ssize_t)sizeof(stripes[0]); i++)
            for (int j = 0; j < STATS_COUNT; j++)
                totals->counters[j] += stripes[i].counters[j];
        if (got < (ssize_t)sizeof(stripes))
            break;
        at += got;
    }
    return 0;
}

/* The sums over all stripes, and the header that says what to take off. 1: there is no file. */
static int read_file(struct pkgcache *cache, int flags, int *ret_fd, struct header *ret_header,
                     struct stats_totals *ret)
{
    *ret = (struct stats_totals){0};
    pthread_mutex_lock(&cache->look_up_lock);
    flush(cache);
    const struct stats *stats = stats_of(cache);
    int sys_fd = stats ? stats->sys_fd : -1;
    pthread_mutex_unlock(&cache->look_up_lock);
    if (!stats)
        return -ENOMEM;
    CLEANUP_CLOSE int fd = sys_fd < 0        ? -ENOENT
                           : flags == O_RDWR ? open_or_make(sys_fd)
                                             : open_file(sys_fd, flags);
    if (fd == -ENOENT || fd == -ELOOP || fd == -ENXIO || (fd >= 0 && !header_read(fd, ret_header)))
        return 1; /* nothing was counted; the next who counts sets it aside */
    if (fd < 0)
        return fd;
    *ret_fd = steal_fd(&fd);
    return sum_stripes(*ret_fd, ret);
}

int stats_read(struct pkgcache *cache, struct stats_totals *ret)
{
    struct header header;
    CLEANUP_CLOSE int fd = -1;
    int result = read_file(cache, O_RDONLY, &fd, &header, ret);
    if (result != 0)
        return MIN(result, 0);
    ret->since_s = header.since_s;
    for (int i = 0; i < STATS_COUNT; i++)
        ret->counters[i] -= MIN(header.zero[i], ret->counters[i]);
    return 0;
}

int stats_zero(struct pkgcache *cache)
{
    struct header header;
    struct stats_totals totals;
    CLEANUP_CLOSE int fd = -1;
    int result = read_file(cache, O_RDWR, &fd, &header, &totals);
    if (result != 0)
        return MIN(result, 0);
    header_make(&header);
    memcpy(header.zero, totals.counters, sizeof(totals.counters));
    ssize_t written = pwrite(fd, &header, sizeof(header), 0);
    if (written < 0)
        return -errno;
    return written == (ssize_t)sizeof(header) ? 0 : -ENOSPC;
}
