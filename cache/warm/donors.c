/*
 * The entries that need a donor are in a hash table, by digest and size; the records of manifests
 * are looked up in it as they are read. So memory depends on the new version alone, which is in
 * memory anyway, and not on what is cached, nor on what a manifest says.
 *
 * Nothing here follows a link, waits for a FIFO, or goes where somebody has mounted something:
 * slots may be other users'.
 */
#include "cache/warm/donors.h"

#include "cache/store/lookup.h"
#include "cache/store/manifest_reader.h"
#include "cache/store/sidecar.h"
#include "cache/store/slot_manifest.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <xxhash.h>

enum {
    NONE = UINT32_MAX,
    ENTRIES_MAX = 1 << 19,     /* that are looked for: the table and what belongs to it are 8 MiB */
    PATHS_BYTES_MAX = 7 << 20, /* of all donors' paths */
    SLOTS_MAX = 32,            /* of the newest, that are looked through */
    RECORDS_MIN = 4096,        /* so many are read in any case, ... */
    RECORDS_PER_ENTRY = 4,     /* ... and as many as this says */
    RECORDS_PER_MOVE = 1024,   /* read between two calls of `moves` */
};

/* A slot that may have donors. */
struct candidate {
    uint64_t born_ns; /* 0: not known */
    char *path;       /* VERSION/HASH4/INC */
    bool looked_through;
};

/* What is known of an entry. */
struct wanted {
    uint32_t next; /* another entry with the same contents */
    uint32_t path; /* where its donor's is, in the paths, the payload's number before it; NONE */
};

struct donors {
    char *path;     /* of the package in the cache, for people */
    int32_t index;  /* of the variant */
    char *location; /* of its repository, as handles have it in text */
    int package_fd; /* NAME, in the cache */
    int manifests_fd;
    struct candidate candidates[SLOTS_MAX]; /* the newest first */
    size_t candidate_count;
    struct copyengine_root payloads[SLOTS_MAX]; /* that have donors; their names are allocated */
    size_t payload_count;
    const struct copyengine_entry *entries;
    struct wanted *wanted; /* one for each entry */
    size_t count;
    uint32_t *table; /* the first entry of those with the same contents; NONE */
    size_t table_mask;
    uint64_t seed;
    size_t left; /* different contents without a donor */
    size_t found;
    struct text paths;
    uint64_t records_left;
};

/* --- Slots ------------------------------------------------------------------------------------ */

int donors_open(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                struct donors **ret)
{
    *ret = NULL;
    CLEANUP_CLOSE int package_fd = names_open_directory(cache->fd, handle->name);
    if (package_fd < 0)
        return 0;
    CLEANUP_CLOSE int manifests_fd = slot_manifest_open_directory(cache);
    if (manifests_fd < 0)
        return 0;
    struct donors *donors = calloc(1, sizeof(*donors));
    char *path = NULL;
    char *location = strdup(handle->location_text);
    if (!donors || !location || asprintf(&path, "%s/%s", cache->path, handle->name) < 0) {
        free(donors);
        free(location);
        return -ENOMEM;
    }
    donors->path = path;
    donors->location = location;
    donors->index = handle->index;
    donors->package_fd = steal_fd(&package_fd);
    donors->manifests_fd = steal_fd(&manifests_fd);
    *ret = donors;
    return 0;
}

/* Keeps a slot if it is one of the newest. */
static int add_candidate(struct donors *donors, const char *version, const char *hash4,
                         const char *slot_name, uint64_t born_ns)
{
    struct candidate *candidates = donors->candidates;
    size_t at = donors->candidate_count;
    if (at == SLOTS_MAX && born_ns <= candidates[at - 1].born_ns)
        return 0;
    char *path;
    if (asprintf(&path, "%s/%s/%s", version, hash4, slot_name) < 0)
        return -ENOMEM;
    if (at == SLOTS_MAX)
        free(candidates[--at].path);
    for (; at > 0 && candidates[at - 1].born_ns < born_ns; at--)
        candidates[at] = candidates[at - 1];
    candidates[at] = (struct candidate){born_ns, path, false};
    donors->candidate_count = MIN(donors->candidate_count + 1, (size_t)SLOTS_MAX);
    return 0;
}

static bool is_ours(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (status.st_uid == 0 || status.st_uid == geteuid());
}

/* Which directory a payload is; false: it is none, or another user's, or something else is mounted
 * there. */
static bool find_payload(int hash_fd, const char *slot_name, struct slot_manifest_payload *ret,
                         int *ret_fd)
{
    CLEANUP_CLOSE int fd = names_open_directory(hash_fd, slot_name);
    if (fd < 0 || !is_ours(fd) || slot_manifest_stat_payload(fd, ".", ret) < 0)
        return false;
    if (ret_fd)
        *ret_fd = steal_fd(&fd);
    return true;
}

static int list_hash_directory(struct donors *donors, int version_fd, const char *version,
                               const char *hash4)
{
    struct names names;
    char slot_name[SLOT_NAME_MAX];
    int result = 0;
    CLEANUP_CLOSE int hash_fd = names_open_directory(version_fd, hash4);
    if (hash_fd < 0)
        return 0;
    names_borrow(&names, hash_fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        struct slot_manifest_payload payload;
        if (slot_name_of_sidecar(name, slot_name) &&
            find_payload(hash_fd, slot_name, &payload, NULL))
            result = add_candidate(donors, version, hash4, slot_name, payload.born_ns);
    }
    names_close(&names);
    return result;
}

static int list_version(struct donors *donors, const char *version)
{
    struct names names;
    int result = 0;
    CLEANUP_CLOSE int version_fd = names_open_directory(donors->package_fd, version);
    if (version_fd < 0)
        return 0;
    names_borrow(&names, version_fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        result = list_hash_directory(donors, version_fd, version, name);
    names_close(&names);
    return result;
}

static int list_slots(struct donors *donors)
{
    struct names names;
    int result = 0;
    names_borrow(&names, donors->package_fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        result = list_version(donors, name);
    names_close(&names);
    return result;
}

/* A slot as it was found: its directories are opened again, name by name. */
struct opened_slot {
    int payload_fd;
    int manifest_fd;
    uint64_t manifest_offset;
};

static void close_slot(struct opened_slot *slot)
{
    cleanup_close_fd(&slot->payload_fd);
    cleanup_close_fd(&slot->manifest_fd);
}

/* Opens a slot that look-ups find, and its manifest. Returns false: it is none, has none, or is of
 * a variant with another index, which was not asked for. */
static bool open_slot(const struct donors *donors, const char *path, bool same_index,
                      struct opened_slot *ret)
{
    char file_name[SLOT_FILE_MAX];
    struct slot_view view;
    struct slot_manifest_payload payload;
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    CLEANUP_FREE char *names = strdup(path);
    *ret = (struct opened_slot){-1, -1, 0};
    if (!names)
        return false;
    char *rest = names;
    const char *version = strsep(&rest, "/");
    const char *hash4 = strsep(&rest, "/");
    CLEANUP_CLOSE int version_fd = names_open_directory(donors->package_fd, version);
    CLEANUP_CLOSE int hash_fd = version_fd < 0 ? -1 : names_open_directory(version_fd, hash4);
    if (hash_fd < 0)
        return false;
    CLEANUP_CLOSE int payload_fd = -1;
    slot_sidecar_name(rest, file_name);
    if (!find_payload(hash_fd, rest, &payload, &payload_fd) ||
        sidecar_read(hash_fd, file_name, &sidecar, NULL) < 0)
        return false;
    slot_view_read(hash_fd, rest, sidecar.fd, &view);
    if (view.status != PKGCACHE_FOUND ||
        strcmp(sidecar.handle->location_text, donors->location) != 0 ||
        (same_index && sidecar.handle->index != donors->index))
        return false;
    int manifest_fd = slot_manifest_open_in(donors->manifests_fd, sidecar.handle, rest, &payload,
                                            &ret->manifest_offset);
    if (manifest_fd < 0)
        return false;
    ret->manifest_fd = manifest_fd;
    ret->payload_fd = steal_fd(&payload_fd);
    return true;
}

/* --- Entries ---------------------------------------------------------------------------------- */

static size_t place_of(const struct donors *donors, const uint8_t digest[static 16], uint64_t size)
{
    uint64_t key[3];
    memcpy(key, digest, 16);
    key[2] = size;
    return XXH3_64bits_withSeed(key, sizeof(key), donors->seed) & donors->table_mask;
}

static bool is_wanted(const struct copyengine_entry *entry)
{
    return entry->type == COPYENGINE_FILE && entry->size > 0;
}

/* The place in the table of what has these contents, or of nothing. */
static uint32_t *find_place(const struct donors *donors, const uint8_t digest[static 16],
                            uint64_t size)
{
    for (size_t at = place_of(donors, digest, size);; at = (at + 1) & donors->table_mask) {
        uint32_t *place = &donors->table[at];
        if (*place == NONE)
            return place;
        const struct copyengine_entry *entry = &donors->entries[*place];
        if (entry->size == size && memcmp(entry->digest, digest, sizeof(entry->digest)) == 0)
            return place;
    }
}

static int make_table(struct donors *donors, const struct copyengine_entry *entries, size_t count)
{
    size_t places = 16;
    donors->entries = entries;
    donors->count = MIN(count, (size_t)ENTRIES_MAX);
    while (places < 2 * donors->count)
        places *= 2;
    if (getrandom(&donors->seed, sizeof(donors->seed), GRND_NONBLOCK) < 0)
        donors->seed = (uintptr_t)donors; /* a guess at what others cannot know */
    donors->table_mask = places - 1;
    donors->table = malloc(places * sizeof(*donors->table));
    donors->wanted = malloc((donors->count + 1) * sizeof(*donors->wanted));
    if (!donors->table || !donors->wanted)
        return -ENOMEM;
    memset(donors->table, 0xff, places * sizeof(*donors->table)); /* NONE */
    for (uint32_t i = 0; i < donors->count; i++) {
        donors->wanted[i] = (struct wanted){NONE, NONE};
        if (!is_wanted(&entries[i]))
            continue;
        uint32_t *place = find_place(donors, entries[i].digest, entries[i].size);
        donors->left += *place == NONE;
        donors->wanted[i].next = *place;
        *place = i;
    }
    return 0;
}

/* Gives all entries that have these contents a donor. */
static void give(struct donors *donors, uint32_t first, const char *path)
{
    size_t length = strlen(path) + 1;
    if (donors->paths.length + 1 + length > PATHS_BYTES_MAX) {
        donors->records_left = 0; /* the others have none */
        return;
    }
    uint32_t at = (uint32_t)donors->paths.length;
    text_append_byte(&donors->paths, (char)donors->payload_count);
    text_append(&donors->paths, path, length);
    if (donors->paths.error)
        return;
    for (uint32_t entry = first; entry != NONE; entry = donors->wanted[entry].next) {
        donors->wanted[entry].path = at;
        donors->found++;
    }
    donors->left--;
}

static void look_up(struct donors *donors, const struct manifest_record *record)
{
    if (record->type != 'f' || !record->has_digest || record->size == 0)
        return;
    uint32_t first = *find_place(donors, record->digest, record->size);
    if (first != NONE && donors->wanted[first].path == NONE)
        give(donors, first, record->path);
}

/* Looks a manifest through. Returns 0, also where it is damaged: what it said before may be right;
 * or -errno. */
static int read_manifest(struct donors *donors, const struct opened_slot *slot,
                         struct manifest_reader *reader, bool (*moves)(void *context),
                         void *context)
{
    struct manifest_record record = {0};
    if (manifest_reader_open(reader, slot->manifest_fd, slot->manifest_offset) < 0)
        return 0;
    for (unsigned read = 0; donors->left > 0 && donors->records_left > 0; read++) {
        if (read % RECORDS_PER_MOVE == 0 && moves && !moves(context))
            return -ECANCELED;
        if (manifest_reader_next(reader, &record) <= 0)
            break;
        donors->records_left--;
        look_up(donors, &record);
    }
    return donors->paths.error;
}

/* Looks a slot through. Returns 0, also if it has nothing; or -errno. */
static int look_through(struct donors *donors, struct candidate *candidate, bool same_index,
                        struct manifest_reader *reader, bool (*moves)(void *context), void *context)
{
    struct opened_slot slot;
    size_t found = donors->found;
    char *shown;
    if (candidate->looked_through || !open_slot(donors, candidate->path, same_index, &slot))
        return 0;
    candidate->looked_through = true;
    int result = read_manifest(donors, &slot, reader, moves, context);
    if (result == 0 && donors->found > found) {
        if (asprintf(&shown, "%s/%s", donors->path, candidate->path) < 0)
            result = -ENOMEM;
        else
            donors->payloads[donors->payload_count++] =
                (struct copyengine_root){steal_fd(&slot.payload_fd), shown};
    }
    close_slot(&slot);
    return result;
}

/* Looks through those of the variant's own index first: other variants are for other platforms,
 * say. */
static int look_through_all(struct donors *donors, struct manifest_reader *reader,
                            bool (*moves)(void *context), void *context)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < donors->candidate_count; i++) {
            if (donors->left == 0 || donors->records_left == 0)
                return 0;
            int result =
                look_through(donors, &donors->candidates[i], pass == 0, reader, moves, context);
            if (result < 0)
                return result;
        }
    return 0;
}

int donors_find(struct donors *donors, const struct copyengine_entry *entries, size_t count,
                bool (*moves)(void *context), void *context)
{
    int result = list_slots(donors);
    if (result < 0 || donors->candidate_count == 0)
        return result;
    CLEANUP_FREE struct manifest_reader *reader = malloc(sizeof(*reader));
    result = reader ? make_table(donors, entries, count) : -ENOMEM;
    donors->records_left = RECORDS_MIN + RECORDS_PER_ENTRY * (uint64_t)donors->count;
    if (result == 0)
        result = look_through_all(donors, reader, moves, context);
    free(STEAL(donors->table));
    donors->entries = NULL;
    if (result < 0)
        donors->count = donors->found = 0;
    return result;
}

struct donor donors_get(const struct donors *donors, size_t entry)
{
    if (entry >= donors->count || donors->wanted[entry].path == NONE)
        return (struct donor){0};
    const char *kept = donors->paths.bytes + donors->wanted[entry].path;
    return (struct donor){&donors->payloads[(unsigned char)*kept], kept + 1};
}

size_t donors_count(const struct donors *donors)
{
    return donors->found;
}

void donors_free(struct donors *donors)
{
    if (!donors)
        return;
    for (size_t i = 0; i < donors->candidate_count; i++)
        free(donors->candidates[i].path);
    for (size_t i = 0; i < donors->payload_count; i++) {
        cleanup_close_fd(&donors->payloads[i].fd);
        free((char *)donors->payloads[i].shown);
    }
    cleanup_close_fd(&donors->package_fd);
    cleanup_close_fd(&donors->manifests_fd);
    text_free(&donors->paths);
    free(donors->table);
    free(donors->wanted);
    free(donors->path);
    free(donors->location);
    free(donors);
}
