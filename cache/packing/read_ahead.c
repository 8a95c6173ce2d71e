/*
 * A queue of units in the order of the trees. Threads claim the next ones, read them, and mark them
 * done; the one that packs takes them from the other end. What is claimed and not released is
 * bounded in number and bytes. Behind the beginning of a large file nothing is claimed before that
 * is read: only then is known of which parts it consists.
 */
#include "cache/packing/read_ahead.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/processors.h"
#include "engine/thread.h"

#include <fcntl.h>
#include <pthread.h>

enum {
    UNITS = 512,
    BYTES_MAX = 32 << 20,
    CLAIM_MAX = 16, /* small files of a local source that a thread takes at once */
    CLAIM_BYTES = 256 << 10,
    REMOTE_THREADS = 64,
    LOCAL_THREADS_MIN = 4,
    LOCAL_THREADS_MAX = 16,
};

struct read_ahead {
    const struct pack_tree *trees;
    size_t tree_count;
    pthread_t threads[REMOTE_THREADS];
    size_t thread_count;
    uint64_t bytes_per_s;
    pthread_mutex_t lock; /* of all that follows */
    uint64_t due_ns;      /* CLOCK_MONOTONIC; when the limit lets more be read */
    pthread_cond_t room;  /* for those that claim */
    pthread_cond_t ready; /* for the one that packs */
    size_t waiting;       /* for room */
    bool packer_waits;
    bool stopped;
    struct unit units[UNITS];
    uint64_t claimed; /* in all; a unit lies at its number modulo UNITS */
    uint64_t released;
    uint64_t bytes; /* of units that are not released */
    size_t tree;    /* what comes next */
    size_t node;
    bool begins;          /* a large file: nothing can be claimed */
    struct unit large;    /* whose parts are being claimed */
    size_t extent;        /* of it, that is next */
    size_t extents;       /* that it has; 0: no parts are left */
    uint64_t extent_done; /* bytes of that extent that are claimed */
};

/* --- Files ----------------------------------------------------------------------------------- */

static int add_extent(struct content *content, size_t *capacity, uint64_t offset, uint64_t end)
{
    if (content->extent_count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 4;
        struct pack_extent *larger = realloc(content->extents, *capacity * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        content->extents = larger;
    }
    content->extents[content->extent_count++] = (struct pack_extent){offset, end - offset};
    content->stored += end - offset;
    return 0;
}

/* Finds the parts that are no holes, as far as the file system tells. Returns 0 or -errno. */
static int find_extents(struct content *content)
{
    uint64_t size = (uint64_t)content->status.st_size;
    bool sparse = (uint64_t)content->status.st_blocks * S_BLKSIZE < size;
    size_t capacity = 0;
    content->extent_count = 0;
    content->stored = 0;
    for (uint64_t at = 0; at < size;) {
        off_t data = sparse ? lseek(content->fd, (off_t)at, SEEK_DATA) : (off_t)at;
        if (data < 0 && errno == ENXIO) /* no more data */
            return 0;
        if (data < 0 || (uint64_t)data < at)
            data = (off_t)at;
        off_t hole = sparse ? lseek(content->fd, data, SEEK_HOLE) : (off_t)size;
        bool last =
            hole <= data || (uint64_t)hole > size || content->extent_count == PACK_EXTENTS_MAX - 1;
        uint64_t end = last ? size : (uint64_t)hole;
        if ((uint64_t)data >= size)
            return 0;
        int result = add_extent(content, &capacity, (uint64_t)data, end);
        if (result < 0)
            return result;
        at = end;
    }
    return 0;
}

/* Finds the end of a file whose size may be less than it has (proc, FUSE with direct_io), by
 * reading on. Returns 0 or -errno. */
static int find_end(struct content *content)
{
    char buffer[16 << 10];
    for (;;) {
        ssize_t bytes = pread(content->fd, buffer, sizeof(buffer), content->status.st_size);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes < 0 ? -errno : 0;
        content->status.st_size += bytes;
        content->status.st_blocks = content->status.st_size / S_BLKSIZE + 1; /* no holes */
    }
}

int content_learn(struct content *content)
{
    free(content->extents);
    free(content->xattrs);
    content->extents = NULL;
    content->xattrs = NULL;
    if (fstat(content->fd, &content->status) < 0)
        return -errno;
    if (!S_ISREG(content->status.st_mode))
        return -ESTALE;
    content->stated = content->status.st_size;
    int result = content->size_may_lie ? find_end(content) : 0;
    if (result < 0)
        return result;
    result = xattrs_read(content->fd, &content->xattrs);
    content->xattrs_unread = result < 0 && result != -ENOMEM && result != -E2BIG;
    if (result < 0 && !content->xattrs_unread)
        return result;
    return find_extents(content);
}

int content_read(const struct content *content, char *ret, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t bytes = pread(content->fd, ret, length, (off_t)offset);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return bytes < 0 ? -errno : -ESTALE;
        ret += bytes;
        length -= (size_t)bytes;
        offset += (uint64_t)bytes;
    }
    return 0;
}

bool content_is_unchanged(const struct content *content)
{
    struct stat status;
    const struct stat *before = &content->status;
    return fstat(content->fd, &status) == 0 && status.st_size == content->stated &&
           status.st_mtim.tv_sec == before->st_mtim.tv_sec &&
           status.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
           status.st_ctim.tv_sec == before->st_ctim.tv_sec &&
           status.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

void content_free(struct content *content)
{
    if (!content)
        return;
    cleanup_close_fd(&content->fd);
    free(content->xattrs);
    free(content->extents);
    free(content);
}

static int open_content(const struct unit *unit, struct content **ret)
{
    CLEANUP_FREE char *path = pack_tree_path(unit->node);
    struct content *content = calloc(1, sizeof(*content));
    if (!path || !content) {
        free(content);
        return -ENOMEM;
    }
    /* O_NONBLOCK: the name may have become a fifo since it was read */
    content->size_may_lie = unit->tree->sizes_may_lie;
    content->fd = pack_tree_open(unit->tree, path, O_RDONLY | O_NONBLOCK);
    int result = content->fd < 0 ? content->fd : content_learn(content);
    if (result < 0)
        content_free(content);
    else
        *ret = content;
    return result;
}

/* Reads a file of which everything fits into a unit, and digests it. Returns 0, 1: it is larger
 * now, or changed meanwhile; or -errno. */
static int read_once(struct unit *unit, struct digest *digest)
{
    const struct content *content = unit->content;
    if (content->stored > READ_AHEAD_PART_MAX)
        return 1;
    free(unit->bytes);
    unit->bytes = malloc(content->stored + 1);
    if (!unit->bytes)
        return -ENOMEM;
    uint64_t at = 0;
    unit->length = 0;
    digest_begin(digest, DIGEST_WITHOUT_EMPTY);
    for (size_t i = 0; i < content->extent_count; i++) {
        const struct pack_extent *extent = &content->extents[i];
        char *bytes = unit->bytes + unit->length;
        int result = content_read(content, bytes, extent->length, extent->offset);
        if (result == -ESTALE)
            return 1;
        if (result < 0)
            return result;
        if (digest_add_hole(digest, extent->offset - at) < 0 ||
            digest_add(digest, bytes, extent->length) < 0)
            return -ENOMEM;
        unit->length += extent->length;
        at = extent->offset + extent->length;
    }
    if (digest_add_hole(digest, (uint64_t)content->status.st_size - at) < 0 ||
        digest_end(digest, &unit->digest) < 0)
        return -ENOMEM;
    return content_is_unchanged(content) ? 0 : 1;
}

static void read_unit(struct unit *unit, struct digest *digest)
{
    if (unit->kind == UNIT_PART) {
        unit->bytes = malloc(unit->length);
        unit->error = unit->bytes
                          ? content_read(unit->content, unit->bytes, unit->length, unit->offset)
                          : -ENOMEM;
        return;
    }
    int result = open_content(unit, &unit->content);
    if (result == 0 && unit->kind == UNIT_WHOLE) {
        result = read_once(unit, digest);
        if (result == 1) { /* once more, as a copy does */
            result = content_learn(unit->content);
            result = result == 0 ? read_once(unit, digest) : result;
        }
    }
    unit->error = result == 1 ? -ESTALE : result;
}

/* --- The queue ------------------------------------------------------------------------------- */

/* The next file that is to be read; NULL: there is none. */
static const struct pack_node *find_file(struct read_ahead *ahead)
{
    for (; ahead->tree < ahead->tree_count; ahead->tree++, ahead->node = 0)
        for (const struct pack_tree *tree = &ahead->trees[ahead->tree]; ahead->node < tree->count;
             ahead->node++) {
            const struct pack_node *node = tree->nodes[ahead->node];
            if (S_ISREG(node->mode) && node->original == TREE_NO_ORIGINAL)
                return node;
        }
    return NULL;
}

/* Fills in the next unit. Returns false: nothing can be claimed, now or for good. */
static bool next_unit(struct read_ahead *ahead, struct unit *ret)
{
    if (ahead->begins)
        return false;
    if (ahead->extent < ahead->extents) {
        const struct pack_extent *extent = &ahead->large.content->extents[ahead->extent];
        *ret = ahead->large;
        ret->kind = UNIT_PART;
        ret->offset = extent->offset + ahead->extent_done;
        ret->length = MIN(extent->length - ahead->extent_done, READ_AHEAD_PART_MAX);
        ret->claimed = ret->length;
        return true;
    }
    const struct pack_node *node = find_file(ahead);
    if (!node)
        return false;
    *ret = (struct unit){.tree = &ahead->trees[ahead->tree], .node = node};
    ret->kind = node->size <= READ_AHEAD_PART_MAX ? UNIT_WHOLE : UNIT_BEGIN;
    ret->claimed = ret->kind == UNIT_WHOLE ? node->size : 0;
    return true;
}

/* Claims a unit, if there is room. Returns NULL: there is not, or nothing to claim. */
static struct unit *claim(struct read_ahead *ahead)
{
    struct unit next;
    if (ahead->stopped || ahead->claimed - ahead->released == UNITS || !next_unit(ahead, &next))
        return NULL;
    if (ahead->bytes > 0 && ahead->bytes + next.claimed > BYTES_MAX)
        return NULL;
    struct unit *unit = &ahead->units[ahead->claimed++ % UNITS];
    *unit = next;
    ahead->bytes += next.claimed;
    if (next.kind == UNIT_PART) {
        ahead->extent_done += next.length;
        if (ahead->extent_done == ahead->large.content->extents[ahead->extent].length) {
            ahead->extent++;
            ahead->extent_done = 0;
        }
        return unit;
    }
    ahead->node++;
    ahead->extents = 0;
    ahead->begins = next.kind == UNIT_BEGIN;
    return unit;
}

/* Notes that a unit was read. With the lock held. */
static void note_done(struct read_ahead *ahead, struct unit *unit)
{
    unit->done = true;
    if (unit->kind == UNIT_BEGIN) {
        ahead->large = *unit;
        ahead->large.done = false;
        ahead->extent = 0;
        ahead->extent_done = 0;
        ahead->extents = unit->error ? 0 : unit->content->extent_count;
        ahead->begins = false;
        if (ahead->waiting > 0)
            pthread_cond_broadcast(&ahead->room);
    }
    if (ahead->packer_waits && unit == &ahead->units[ahead->released % UNITS])
        pthread_cond_signal(&ahead->ready);
}

/* Whether there will never be anything to claim. */
static bool is_over(struct read_ahead *ahead)
{
    return ahead->stopped ||
           (!ahead->begins && ahead->extent >= ahead->extents && !find_file(ahead));
}

/* When the limit lets so many bytes be read: nanoseconds from now. With the lock held. */
static uint64_t reserve(struct read_ahead *ahead, size_t bytes)
{
    if (ahead->bytes_per_s == 0)
        return 0;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t begin_ns = MAX(ahead->due_ns, now_ns);
    ahead->due_ns = begin_ns + (uint64_t)((double)bytes * NS_PER_S / (double)ahead->bytes_per_s);
    return begin_ns - now_ns;
}

/* Waits so long, unless nothing more is to be read. */
static void pause_for(struct read_ahead *ahead, uint64_t wait_ns)
{
    bool stopped = false;
    while (wait_ns > 0 && !stopped) {
        const struct timespec pause = {.tv_nsec = (long)MIN(wait_ns, 100 * NS_PER_MS)};
        nanosleep(&pause, NULL);
        wait_ns -= (uint64_t)pause.tv_nsec;
        pthread_mutex_lock(&ahead->lock);
        stopped = ahead->stopped;
        pthread_mutex_unlock(&ahead->lock);
    }
}

static void *read_main(void *argument)
{
    struct read_ahead *ahead = argument;
    struct digest digest = {0};
    pthread_mutex_lock(&ahead->lock);
    while (!is_over(ahead)) {
        struct unit *claimed[CLAIM_MAX];
        size_t count = 0;
        size_t bytes = 0;
        bool remote = ahead->tree < ahead->tree_count && ahead->trees[ahead->tree].remote;
        while (count < (remote ? 1 : CLAIM_MAX) && bytes < CLAIM_BYTES &&
               (claimed[count] = claim(ahead)))
            bytes += claimed[count++]->claimed;
        if (count == 0) {
            ahead->waiting++;
            pthread_cond_wait(&ahead->room, &ahead->lock);
            ahead->waiting--;
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            uint64_t wait_ns = reserve(ahead, claimed[i]->claimed);
            pthread_mutex_unlock(&ahead->lock);
            pause_for(ahead, wait_ns);
            read_unit(claimed[i], &digest);
            pthread_mutex_lock(&ahead->lock);
            note_done(ahead, claimed[i]);
        }
    }
    pthread_cond_broadcast(&ahead->room);
    pthread_cond_signal(&ahead->ready);
    pthread_mutex_unlock(&ahead->lock);
    digest_free(&digest);
    return NULL;
}

int read_ahead_new(const struct pack_tree *trees, size_t count, unsigned in_flight,
                   uint64_t bytes_per_s, struct read_ahead **ret)
{
    struct read_ahead *ahead = calloc(1, sizeof(*ahead));
    cpu_set_t set;
    bool remote = false;
    if (!ahead)
        return -ENOMEM;
    ahead->trees = trees;
    ahead->tree_count = count;
    ahead->bytes_per_s = bytes_per_s;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->room, NULL);
    pthread_cond_init(&ahead->ready, NULL);
    for (size_t i = 0; i < count; i++)
        remote = remote || trees[i].remote;
    size_t local = MIN(MAX(2 * processors_find(&set), LOCAL_THREADS_MIN), LOCAL_THREADS_MAX);
    size_t wanted = remote ? REMOTE_THREADS : local;
    if (in_flight > 0)
        wanted = MIN((size_t)in_flight, (size_t)REMOTE_THREADS);
    int code = 0;
    while (code == 0 && ahead->thread_count < wanted) {
        code = thread_start_with_stack(&ahead->threads[ahead->thread_count],
                                       THREAD_SMALL_STACK_BYTES, read_main, ahead);
        ahead->thread_count += code == 0;
    }
    if (ahead->thread_count == 0) {
        read_ahead_free(ahead);
        return -code;
    }
    *ret = ahead;
    return 0;
}

struct unit *read_ahead_next(struct read_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    struct unit *unit = &ahead->units[ahead->released % UNITS];
    while (ahead->released == ahead->claimed ? !is_over(ahead) : !unit->done) {
        ahead->packer_waits = true;
        pthread_cond_wait(&ahead->ready, &ahead->lock);
    }
    ahead->packer_waits = false;
    if (ahead->released == ahead->claimed)
        unit = NULL;
    pthread_mutex_unlock(&ahead->lock);
    return unit;
}

void read_ahead_release(struct read_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    struct unit *unit = &ahead->units[ahead->released++ % UNITS];
    free(unit->bytes);
    ahead->bytes -= unit->claimed;
    uint64_t left = ahead->claimed - ahead->released;
    /* not for each: those that wait are woken when there is something worth it */
    if (ahead->waiting > 0 && (left < UNITS / 2 || ahead->bytes < BYTES_MAX / 2))
        pthread_cond_signal(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
}

void read_ahead_free(struct read_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    ahead->stopped = true;
    pthread_cond_broadcast(&ahead->room);
    pthread_mutex_unlock(&ahead->lock);
    for (size_t i = 0; i < ahead->thread_count; i++)
        pthread_join(ahead->threads[i], NULL);
    for (; ahead->released < ahead->claimed; ahead->released++) {
        struct unit *unit = &ahead->units[ahead->released % UNITS];
        free(unit->bytes);
        if (unit->kind != UNIT_PART)
            content_free(unit->content);
    }
    pthread_cond_destroy(&ahead->room);
    pthread_cond_destroy(&ahead->ready);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}
