/*
 * Comparing manifests, whose records are in no order. Those of the first are put into a table by
 * the hash of their path, and those of the second looked up in it. If there are more than the table
 * shall hold, this is done in rounds, each for those whose hash leaves another remainder.
 */
#include "cache/verify/comparison.h"

#include "cache/store/manifest_reader.h"

#include "engine/compiler.h"

#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

enum {
    ROUND_MAX = 1 << 17, /* records of one round, or a few more */
    SLOTS_PER_RECORD = 2,
    SLOTS_MIN = 64,
    COARSE_TIME_NS = 100, /* coarser than nanoseconds, but finer than seconds: NTFS, CIFS */
};

/* A record without its path. */
struct expectation {
    XXH128_hash_t path; /* both 0: the slot is free */
    uint64_t size;
    struct timespec mtime;
    uint8_t digest[16];
    mode_t mode;
    char type;
    bool has_digest;
    bool met;
};

struct side {
    int fd;
    uint64_t offset;
};

struct matching {
    struct comparison *comparison;
    struct side shall;
    struct side is;
    unsigned version; /* of both */
    uint64_t rounds;
    uint64_t round;
    struct expectation *slots;
    size_t slot_count; /* a power of 2 */
    size_t loaded;
    size_t met;
    struct manifest_reader reader;
};

/* Calls `visit` for each record of a manifest that belongs to the round. */
static int visit_round(struct matching *matching, const struct side *side,
                       int (*visit)(struct matching *matching, XXH128_hash_t path,
                                    const struct manifest_record *record))
{
    struct manifest_record record;
    int result = manifest_reader_open(&matching->reader, side->fd, side->offset);
    if (result < 0)
        return result;
    if (matching->version == 0)
        matching->version = matching->reader.version;
    if (matching->version != matching->reader.version)
        return -EBADMSG; /* digests of different versions cannot be compared */
    while ((result = manifest_reader_next(&matching->reader, &record)) == 1) {
        XXH128_hash_t path = XXH3_128bits(record.path, strlen(record.path));
        if (path.low64 % matching->rounds != matching->round)
            continue;
        result = visit(matching, path, &record);
        if (result < 0)
            break;
    }
    return result;
}

static int count_record(struct matching *matching, XXH128_hash_t path,
                        const struct manifest_record *record)
{
    (void)path;
    (void)record;
    matching->loaded++;
    return 0;
}

/* The slot of a path, or the free one where it would be. There is always a free one. */
static struct expectation *find_expectation(const struct matching *matching, XXH128_hash_t path)
{
    size_t mask = matching->slot_count - 1;
    size_t at = (size_t)path.high64 & mask;
    while ((matching->slots[at].path.low64 || matching->slots[at].path.high64) &&
           !XXH128_isEqual(matching->slots[at].path, path))
        at = (at + 1) & mask;
    return &matching->slots[at];
}

static bool is_free(const struct expectation *slot)
{
    return slot->path.low64 == 0 && slot->path.high64 == 0;
}

static int load_record(struct matching *matching, XXH128_hash_t path,
                       const struct manifest_record *record)
{
    if ((matching->loaded + 1) * 3 / 2 > matching->slot_count)
        return -EBADMSG; /* only who chose the names can have made a round so much larger */
    struct expectation *slot = find_expectation(matching, path);
    if (!is_free(slot))
        return -EBADMSG; /* the same path twice */
    *slot = (struct expectation){
        .path = path,
        .size = record->size,
        .mtime = record->mtime,
        .mode = record->mode,
        .type = record->type,
        .has_digest = record->has_digest,
    };
    memcpy(slot->digest, record->digest, sizeof(slot->digest));
    matching->loaded++;
    return 0;
}

static void report_difference(struct matching *matching, enum pkgcache_difference kind,
                              const struct manifest_record *record)
{
    struct comparison *comparison = matching->comparison;
    comparison->differences++;
    comparison->missing += kind == PKGCACHE_DIFFERENCE_MISSING;
    if (comparison->on_difference)
        comparison->on_difference(comparison->context, kind, record->path);
}

/* Whether a time is what became of another on a file system that keeps coarser ones. */
static bool is_same_time(struct timespec shall, struct timespec is)
{
    return shall.tv_sec == is.tv_sec &&
           (shall.tv_nsec == is.tv_nsec || is.tv_nsec == 0 ||
            (is.tv_nsec % COARSE_TIME_NS == 0 &&
             shall.tv_nsec / COARSE_TIME_NS == is.tv_nsec / COARSE_TIME_NS));
}

/*
 * Whether a mode is what it shall be. Directories inherit set-group-ID from where they are made;
 * that is no mode of the source.
 */
static bool is_same_mode(const struct expectation *shall, const struct manifest_record *is)
{
    mode_t counts = shall->type == 'd' ? 07777 & ~(mode_t)S_ISGID : 07777;
    return ((shall->mode ^ is->mode) & counts) == 0;
}

static void compare_contents(struct matching *matching, const struct expectation *shall,
                             const struct manifest_record *is)
{
    bool link = is->type == 'l';
    bool both = shall->has_digest && is->has_digest;
    bool same = !both || memcmp(shall->digest, is->digest, sizeof(is->digest)) == 0;
    if (shall->size != is->size)
        report_difference(matching, link ? PKGCACHE_DIFFERENCE_TARGET : PKGCACHE_DIFFERENCE_SIZE,
                          is);
    else if (!same)
        report_difference(matching,
                          link ? PKGCACHE_DIFFERENCE_TARGET : PKGCACHE_DIFFERENCE_CONTENTS, is);
    matching->comparison->undigested += is->has_digest && !shall->has_digest;
}

static void compare_record(struct matching *matching, const struct expectation *shall,
                           const struct manifest_record *is)
{
    if (shall->type != is->type) {
        report_difference(matching, PKGCACHE_DIFFERENCE_TYPE, is);
        return;
    }
    if (is->error) {
        matching->comparison->denied += is->error == EACCES || is->error == EPERM;
        report_difference(matching, PKGCACHE_DIFFERENCE_UNREADABLE, is);
        return;
    }
    if (is->type != 'd')
        compare_contents(matching, shall, is);
    if (!is_same_mode(shall, is))
        report_difference(matching, PKGCACHE_DIFFERENCE_MODE, is);
    /* a directory's time says when names came or went in it, and those are compared */
    if (is->type != 'd' && !is_same_time(shall->mtime, is->mtime))
        report_difference(matching, PKGCACHE_DIFFERENCE_TIME, is);
}

/* Whether Python put it there when the package was used. */
static bool is_bytecode(const char *path)
{
    static const char cache[] = "__pycache__";
    for (;;) {
        size_t length = strcspn(path, "/");
        if (length == sizeof(cache) - 1 && memcmp(path, cache, length) == 0)
            return true;
        if (!path[length])
            return false;
        path += length + 1;
    }
}

static int match_record(struct matching *matching, XXH128_hash_t path,
                        const struct manifest_record *record)
{
    struct expectation *slot = find_expectation(matching, path);
    if (is_free(slot)) {
        if (!is_bytecode(record->path))
            report_difference(matching, PKGCACHE_DIFFERENCE_ADDED, record);
        return 0;
    }
    matching->met += !slot->met;
    slot->met = true;
    compare_record(matching, slot, record);
    return 0;
}

static int report_missing(struct matching *matching, XXH128_hash_t path,
                          const struct manifest_record *record)
{
    if (!find_expectation(matching, path)->met)
        report_difference(matching, PKGCACHE_DIFFERENCE_MISSING, record);
    return 0;
}

static int scan_error(int result)
{
    return result == -EBADMSG ? -EIO : result;
}

static int run_round(struct matching *matching)
{
    memset(matching->slots, 0, matching->slot_count * sizeof(*matching->slots));
    matching->loaded = matching->met = 0;
    int result = visit_round(matching, &matching->shall, load_record);
    if (result == 0)
        result = scan_error(visit_round(matching, &matching->is, match_record));
    if (result == 0 && matching->met < matching->loaded)
        result = visit_round(matching, &matching->shall, report_missing);
    return result;
}

static int run_rounds(struct matching *matching)
{
    /* first all of both, so that nothing is reported if one of them is not whole */
    int result = scan_error(visit_round(matching, &matching->is, count_record));
    matching->loaded = 0;
    if (result == 0)
        result = visit_round(matching, &matching->shall, count_record);
    if (result < 0)
        return result;
    matching->rounds = matching->loaded / ROUND_MAX + 1;
    matching->slot_count = SLOTS_MIN;
    while (matching->slot_count < SLOTS_PER_RECORD * matching->loaded / matching->rounds)
        matching->slot_count *= 2;
    matching->slots = calloc(matching->slot_count, sizeof(*matching->slots));
    if (!matching->slots)
        return -ENOMEM;
    for (matching->round = 0; result == 0 && matching->round < matching->rounds; matching->round++)
        result = run_round(matching);
    free(matching->slots);
    return result;
}

int comparison_run(struct comparison *comparison, int shall_fd, uint64_t shall_offset, int is_fd,
                   uint64_t is_offset)
{
    struct matching *matching = calloc(1, sizeof(*matching));
    if (!matching)
        return -ENOMEM;
    matching->comparison = comparison;
    matching->shall = (struct side){shall_fd, shall_offset};
    matching->is = (struct side){is_fd, is_offset};
    matching->rounds = 1;
    int result = run_rounds(matching);
    free(matching);
    return result;
}
