/*
 * What is supplied may be foreign: an archive, say. Nothing of it is made before all of it was
 * looked at: paths that stay in the tree, each once, and each in a directory that comes before it;
 * so there is none below a link. Extents that are in order, in the file, and in their parts.
 */
#include "engine/supply_check.h"

#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/symlink.h"

#include <limits.h>
#include <string.h>
#include <xxhash.h>

enum { ENTRIES_OF_UNIT = 64 }; /* of those that have no bytes */

/* Which entry has a path. Open addressing; the seed is not to be foreseen. */
struct path_table {
    uint32_t *slots; /* SUPPLY_NONE: free */
    size_t mask;
    uint64_t seed;
};

static int table_new(struct path_table *table, size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    *table =
        (struct path_table){malloc(slots * sizeof(*table->slots)), slots - 1, clock_monotonic_ns()};
    if (!table->slots)
        return -ENOMEM;
    memset(table->slots, 0xff, slots * sizeof(*table->slots));
    return 0;
}

/* The slot of a path: of the entry that has it, or a free one. */
static uint32_t *find_slot(const struct path_table *table, const struct supply *supply,
                           const char *path, size_t length)
{
    size_t at = XXH3_64bits_withSeed(path, length, table->seed) & table->mask;
    for (;; at = (at + 1) & table->mask) {
        uint32_t entry = table->slots[at];
        if (entry == SUPPLY_NONE)
            break;
        const char *known = supply->entries[entry].path;
        if (strncmp(known, path, length) == 0 && known[length] == '\0')
            break;
    }
    return &table->slots[at];
}

static bool is_dots(const char *name, size_t length)
{
    return (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

/* Whether a path is relative, of names that are names. */
static bool is_path(const char *path)
{
    size_t total = strnlen(path, PATH_MAX);
    if (total == 0 || total == PATH_MAX)
        return false;
    for (const char *name = path;;) {
        size_t length = strcspn(name, "/");
        if (length == 0 || length > NAME_MAX || is_dots(name, length))
            return false;
        if (name[length] == '\0')
            return true;
        name += length + 1;
    }
}

/* Finds the directory that an entry is in. `last`: of the entry before, often the same. */
static const char *find_directory(const struct path_table *table, const struct supply *supply,
                                  const char *path, uint32_t last, uint32_t *ret)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    const char *known = supply->entries[last].path;
    uint32_t parent = last;
    if (strncmp(known, path, length) != 0 || known[length] != '\0')
        parent = *find_slot(table, supply, path, length);
    if (parent == SUPPLY_NONE)
        return "its directory does not come before it";
    if (supply->entries[parent].type != COPYENGINE_DIRECTORY)
        return "it is below something that is no directory";
    *ret = parent;
    return NULL;
}

static const char *check_file(const struct copyengine_entry *entry, const size_t *part_bytes,
                              size_t part_count)
{
    uint64_t end = 0;
    if (entry->size > INT64_MAX || entry->extent_count >= UINT32_MAX)
        return "its size is too large";
    for (size_t i = 0; i < entry->extent_count; i++) {
        const struct copyengine_extent *extent = &entry->extents[i];
        if (extent->length == 0 || extent->offset < end || extent->offset > entry->size ||
            extent->length > entry->size - extent->offset)
            return "its extents are not in order, or not in it";
        if (extent->part >= part_count || extent->part_offset > part_bytes[extent->part] ||
            extent->length > part_bytes[extent->part] - extent->part_offset)
            return "an extent is not in its part";
        end = extent->offset + extent->length;
    }
    return NULL;
}

static const char *check_origin(const struct copyengine_entry *entry,
                                const struct copyengine_origin *origin)
{
    if (!origin->donor && !origin->source)
        return NULL;
    if (entry->type != COPYENGINE_FILE)
        return "it has a donor, or a source, and is no file";
    if (origin->source && entry->extent_count > 0)
        return "its contents are in a file of the source, and in parts";
    if (origin->source && !is_path(origin->source))
        return "where its source is leads out of the source, or has an empty name, . or .. in it";
    if (origin->donor && (!origin->donor_root || !is_path(origin->donor)))
        return "where its donor is leads elsewhere, or has an empty name, . or .. in it";
    return NULL;
}

static const char *check_link(const struct supply *supply, size_t i)
{
    const struct copyengine_entry *entry = &supply->entries[i];
    if (entry->linked >= i)
        return "what it is a hard link to does not come before it";
    enum copyengine_type type = supply->entries[entry->linked].type;
    return type == COPYENGINE_FILE || type == COPYENGINE_SYMLINK
               ? NULL
               : "it is a hard link to what is neither a file nor a symbolic link";
}

/* What is wrong with an entry by itself; NULL: nothing. */
static const char *check_entry(const struct supply *supply, size_t i, const size_t *part_bytes,
                               size_t part_count)
{
    const struct copyengine_entry *entry = &supply->entries[i];
    if (i > 0 && !is_path(entry->path))
        return "its path leads out of the tree, or has an empty name, . or .. in it, or one that "
               "is too long";
    if (entry->mtime.tv_nsec < 0 || entry->mtime.tv_nsec > 999999999)
        return "its time has more than 999999999 nanoseconds";
    if (entry->type != COPYENGINE_FILE && entry->extent_count > 0)
        return "it has contents, and is no file";
    const char *why = supply->origins ? check_origin(entry, &supply->origins[i]) : NULL;
    if (why)
        return why;
    switch (entry->type) {
    case COPYENGINE_DIRECTORY:
        return NULL;
    case COPYENGINE_FILE:
        return check_file(entry, part_bytes, part_count);
    case COPYENGINE_SYMLINK:
        return entry->target && *entry->target &&
                       strnlen(entry->target, SYMLINK_TARGET_MAX) < SYMLINK_TARGET_MAX
                   ? NULL
                   : "what the link says is empty, or too long";
    case COPYENGINE_HARD_LINK:
        return check_link(supply, i);
    default:
        return "its type is unknown";
    }
}

/* How many pieces a file's extents are. */
static uint32_t count_pieces(const struct copyengine_entry *entry)
{
    uint32_t count = 0;
    for (size_t i = 0; i < entry->extent_count; i++)
        count += i == 0 || entry->extents[i].part != entry->extents[i - 1].part;
    return count;
}

/* Checks all entries, and finds what directory each is in. */
static int check_entries(struct supply *supply, const size_t *part_bytes, size_t part_count,
                         const struct copyengine_entry **ret_entry, const char **ret_why)
{
    struct path_table table;
    uint32_t last = 0;
    if (table_new(&table, supply->entry_count) < 0)
        return -ENOMEM;
    CLEANUP_FREE uint32_t *slots = table.slots;
    *ret_why = NULL;
    for (size_t i = 0; i < supply->entry_count && !*ret_why; i++) {
        const struct copyengine_entry *entry = *ret_entry = &supply->entries[i];
        uint32_t parent = 0;
        *ret_why = check_entry(supply, i, part_bytes, part_count);
        if (!*ret_why && i > 0)
            *ret_why = find_directory(&table, supply, entry->path, last, &parent);
        if (*ret_why)
            break;
        uint32_t *slot = find_slot(&table, supply, entry->path, strlen(entry->path));
        if (*slot != SUPPLY_NONE)
            *ret_why = "it is there twice";
        *slot = (uint32_t)i;
        last = parent;
        supply->items[i] = (struct supply_item){.directory = supply->items[parent].number,
                                                .number = SUPPLY_NONE,
                                                .first_link = SUPPLY_NONE,
                                                .next_link = SUPPLY_NONE};
        if (entry->type == COPYENGINE_DIRECTORY)
            supply->items[i].number = (uint32_t)supply->directory_count++;
    }
    return *ret_why ? -EBADMSG : 0;
}

/* Whether an entry is a piece without bytes. Directories are, for who has to make them, if nothing
 * is in them. */
static bool is_empty_piece(const struct supply *supply, const uint32_t *children, size_t i)
{
    const struct copyengine_entry *entry = &supply->entries[i];
    switch (entry->type) {
    case COPYENGINE_FILE:
        return entry->extent_count == 0 && !supply_has_origin(supply, i);
    case COPYENGINE_SYMLINK:
        return true;
    case COPYENGINE_DIRECTORY:
        return i > 0 && children[supply->items[i].number] == 0;
    default:
        return false;
    }
}

/* Counts a file that is taken from another one, where its bytes are in parts as well. */
static void count_origin(struct supply *supply, size_t i)
{
    const struct copyengine_entry *entry = &supply->entries[i];
    supply->has_sources |= supply->origins[i].source != NULL;
    supply->has_donors |= supply->origins[i].donor != NULL;
    for (size_t k = 0; k < entry->extent_count; k++)
        if (k == 0 || entry->extents[k].part != entry->extents[k - 1].part)
            atomic_fetch_add(&supply->undecided[entry->extents[k].part], 1);
}

/* Counts what is in each directory, and the pieces of each part. */
static size_t count_all(struct supply *supply, uint32_t *children, size_t *part_pieces)
{
    size_t empty = 0;
    for (size_t i = 1; i < supply->entry_count; i++)
        children[supply->items[i].directory]++;
    for (size_t i = 1; i < supply->entry_count; i++) {
        const struct copyengine_entry *entry = &supply->entries[i];
        struct supply_item *item = &supply->items[i];
        empty += is_empty_piece(supply, children, i);
        for (size_t k = 0; k < entry->extent_count; k++)
            if (k == 0 || entry->extents[k].part != entry->extents[k - 1].part)
                part_pieces[entry->extents[k].part]++;
        if (supply_has_origin(supply, i))
            count_origin(supply, i);
        if (entry->type == COPYENGINE_FILE && count_pieces(entry) > 1)
            item->number = (uint32_t)supply->span_count++;
        if (entry->type == COPYENGINE_HARD_LINK) {
            struct supply_item *linked = &supply->items[entry->linked];
            item->next_link = linked->first_link;
            linked->first_link = (uint32_t)i;
        }
    }
    return empty;
}

static void add_pieces(const struct supply *supply, size_t i, size_t *next)
{
    const struct copyengine_entry *entry = &supply->entries[i];
    struct supply_piece *piece = NULL;
    for (size_t k = 0; k < entry->extent_count; k++) {
        if (k == 0 || entry->extents[k].part != entry->extents[k - 1].part) {
            piece = &supply->pieces[next[entry->extents[k].part]++];
            *piece = (struct supply_piece){.entry = (uint32_t)i, .extent = (uint32_t)k};
        }
        piece->extent_count++;
    }
}

/* Lays the pieces out, unit by unit: `next` is where each part's begin, and then where they end. */
static void lay_out(struct supply *supply, const uint32_t *children, size_t part_count,
                    size_t *next)
{
    size_t empty = next[part_count];
    size_t unit = part_count;
    size_t in_unit = 0;
    for (size_t i = 1; i < supply->entry_count; i++) {
        add_pieces(supply, i, next);
        if (!is_empty_piece(supply, children, i))
            continue;
        supply->pieces[empty++] = (struct supply_piece){.entry = (uint32_t)i};
        supply->unit_ends[unit] = empty;
        if (++in_unit == ENTRIES_OF_UNIT) {
            unit++;
            in_unit = 0;
        }
    }
    memcpy(supply->unit_ends, next, part_count * sizeof(*next));
}

static int make_spans(struct supply *supply)
{
    supply->spans = calloc(supply->span_count + 1, sizeof(*supply->spans));
    if (!supply->spans)
        return -ENOMEM;
    for (size_t i = 0; i < supply->entry_count; i++) {
        if (supply->entries[i].type != COPYENGINE_FILE || supply->items[i].number == SUPPLY_NONE)
            continue;
        struct supply_span *span = &supply->spans[supply->items[i].number];
        span->fd = -1;
        span->left = count_pieces(&supply->entries[i]);
    }
    return 0;
}

/* Makes the directories, not yet on the disk, with a reference for each that is in them; one
 * without any has one for itself. */
static int make_directories(struct supply *supply, const uint32_t *children)
{
    supply->directories = calloc(supply->directory_count, sizeof(*supply->directories));
    if (!supply->directories)
        return -ENOMEM;
    for (size_t i = 1; i < supply->entry_count; i++) {
        if (supply->entries[i].type != COPYENGINE_DIRECTORY)
            continue;
        uint32_t number = supply->items[i].number;
        struct directory *directory = directory_new(NULL, NULL, supply_name(&supply->entries[i]));
        if (!directory)
            return -ENOMEM;
        directory->number = number;
        directory->references = MAX(children[number], 1U);
        supply->directories[number] =
            (struct supply_directory){.directory = directory, .entry = (uint32_t)i};
    }
    return 0;
}

int supply_check(struct supply *supply, const size_t *part_bytes, size_t part_count,
                 const struct copyengine_entry **ret_entry, const char **ret_why)
{
    *ret_entry = NULL;
    *ret_why = "it has no root, or too many entries";
    if (supply->entry_count == 0 || supply->entry_count >= SUPPLY_NONE ||
        *supply->entries[0].path || supply->entries[0].type != COPYENGINE_DIRECTORY)
        return -EBADMSG;
    supply->items = calloc(supply->entry_count, sizeof(*supply->items));
    if (!supply->items)
        return -ENOMEM;
    int result = check_entries(supply, part_bytes, part_count, ret_entry, ret_why);
    if (result < 0)
        return result;
    CLEANUP_FREE uint32_t *children = calloc(supply->directory_count, sizeof(*children));
    CLEANUP_FREE size_t *next = calloc(part_count + 1, sizeof(*next));
    supply->undecided = calloc(part_count + 1, sizeof(*supply->undecided));
    if (!children || !next || !supply->undecided)
        return -ENOMEM;
    size_t empty = count_all(supply, children, next);
    size_t pieces = 0;
    for (size_t i = 0; i <= part_count; i++) {
        size_t count = next[i];
        next[i] = pieces;
        pieces += count;
    }
    supply->unit_count = part_count + (empty + ENTRIES_OF_UNIT - 1) / ENTRIES_OF_UNIT;
    supply->pieces = calloc(pieces + empty + 1, sizeof(*supply->pieces));
    supply->unit_ends = calloc(supply->unit_count + 1, sizeof(*supply->unit_ends));
    if (!supply->pieces || !supply->unit_ends)
        return -ENOMEM;
    lay_out(supply, children, part_count, next);
    supply->root_children = children[0];
    result = make_spans(supply);
    return result < 0 ? result : make_directories(supply, children);
}
