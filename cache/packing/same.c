/* A table with open addressing over a list in the order of positions. */
#include "cache/packing/same.h"

#include "engine/compiler.h"

struct same {
    struct same_file *files;
    size_t count;
    size_t capacity;
    size_t *table; /* a file's number plus 1; 0: free */
    size_t size;   /* of the table, a power of 2, at least twice the count */
};

struct same *same_new(void)
{
    return calloc(1, sizeof(struct same));
}

static bool has_same_extents(const struct same_file *file, const struct pack_extent *extents,
                             size_t count)
{
    if (!file->extents)
        return count == 1 && extents[0].length == file->size;
    return count == file->extent_count &&
           memcmp(file->extents, extents, count * sizeof(*extents)) == 0;
}

struct same_file *same_find(const struct same *same, XXH128_hash_t digest, uint64_t size,
                            const struct pack_extent *extents, size_t extent_count)
{
    if (same->count == 0)
        return NULL;
    for (size_t at = digest.low64 & (same->size - 1); same->table[at];
         at = (at + 1) & (same->size - 1)) {
        struct same_file *file = &same->files[same->table[at] - 1];
        if (file->size == size && XXH128_isEqual(file->digest, digest) &&
            has_same_extents(file, extents, extent_count))
            return file;
    }
    return NULL;
}

static void insert(struct same *same, size_t number)
{
    size_t at = same->files[number].digest.low64 & (same->size - 1);
    while (same->table[at])
        at = (at + 1) & (same->size - 1);
    same->table[at] = number + 1;
}

static int grow(struct same *same)
{
    size_t capacity = same->capacity ? 2 * same->capacity : 1024;
    struct same_file *files = realloc(same->files, capacity * sizeof(*files));
    if (!files)
        return -ENOMEM;
    same->files = files;
    size_t *table = calloc(2 * capacity, sizeof(*table));
    if (!table)
        return -ENOMEM;
    free(same->table);
    same->table = table;
    same->size = 2 * capacity;
    same->capacity = capacity;
    for (size_t i = 0; i < same->count; i++)
        insert(same, i);
    return 0;
}

int same_add(struct same *same, const struct same_file *file)
{
    struct same_file copy = *file;
    bool whole = file->extent_count == 1 && file->extents[0].length == file->size;
    copy.extents = NULL;
    if (same->count == same->capacity && grow(same) < 0)
        return -ENOMEM;
    if (!whole) {
        size_t bytes = file->extent_count * sizeof(*file->extents);
        copy.extents = malloc(MAX(bytes, 1));
        if (!copy.extents)
            return -ENOMEM;
        if (bytes > 0)
            memcpy(copy.extents, file->extents, bytes);
    }
    same->files[same->count] = copy;
    insert(same, same->count++);
    return 0;
}

int same_list_shared(const struct same *same, struct pack_shared **ret, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < same->count; i++)
        count += same->files[i].last_variant > same->files[i].variant;
    struct pack_shared *list = malloc(MAX(count, 1) * sizeof(*list));
    if (!list)
        return -ENOMEM;
    count = 0;
    for (size_t i = 0; i < same->count; i++) {
        const struct same_file *file = &same->files[i];
        if (file->last_variant > file->variant)
            list[count++] = (struct pack_shared){file->position, file->stored, file->last_variant};
    }
    *ret = list;
    *ret_count = count;
    return 0;
}

void same_free(struct same *same)
{
    if (!same)
        return;
    for (size_t i = 0; i < same->count; i++)
        free(same->files[i].extents);
    free(same->files);
    free(same->table);
    free(same);
}
