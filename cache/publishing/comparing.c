/* Comparing manifests: both have the order of a walk, so one pass over the two is enough. */
#include "cache/publishing/publishing.h"
#include "engine/compiler.h"

#include <string.h>

struct comparing {
    void (*on_difference)(void *context, const char *path, const char *what);
    void *context;
    uint64_t differences;
};

/* One of the two. */
struct side {
    struct pack_entries *entries;
    const struct pack_entry *entry; /* NULL: there are no more */
};

static int advance(struct side *side, struct pkgcache_error *error)
{
    int result = pack_entries_next(side->entries, &side->entry, error);
    if (result == 0)
        side->entry = NULL;
    return MIN(result, 0);
}

static void report(struct comparing *comparing, const char *path, const char *what)
{
    comparing->differences++;
    comparing->on_difference(comparing->context, path, what);
}

static bool has_same_xattrs(const struct pack_entry *a, const struct pack_entry *b)
{
    if (a->xattr_count != b->xattr_count)
        return false;
    for (size_t i = 0; i < a->xattr_count; i++)
        if (strcmp(a->xattrs[i].name, b->xattrs[i].name) != 0 ||
            a->xattrs[i].length != b->xattrs[i].length ||
            memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].length) != 0)
            return false;
    return true;
}

/* What differs between two entries with the same path. NULL: nothing does. */
static const char *judge(const struct pack_entry *shall, const struct pack_entry *is)
{
    const struct manifest_record *a = &shall->record;
    const struct manifest_record *b = &is->record;
    if (a->type != b->type)
        return "is of another type";
    if (a->type == 'l' && strcmp(shall->target, is->target) != 0)
        return "is a link to something else";
    if (a->size != b->size)
        return "has another size";
    if (memcmp(a->digest, b->digest, sizeof(a->digest)) != 0)
        return "has other contents";
    if (a->mode != b->mode)
        return "has another mode";
    if (a->mtime.tv_sec != b->mtime.tv_sec || a->mtime.tv_nsec != b->mtime.tv_nsec)
        return "has another modification time";
    if (!has_same_xattrs(shall, is))
        return "has other extended attributes or another ACL";
    return shall->linked != is->linked ? "has other hard links" : NULL;
}

static int order(const struct side *shall, const struct side *is)
{
    if (!shall->entry || !is->entry)
        return shall->entry ? -1 : 1;
    const char *a = shall->entry->record.path;
    const char *b = is->entry->record.path;
    return strcmp(a, b) == 0 ? 0 : pack_compare_paths(a, b);
}

static int compare(struct comparing *comparing, struct side *shall, struct side *is,
                   struct pkgcache_error *error)
{
    int result = advance(shall, error);
    if (result == 0)
        result = advance(is, error);
    while (result == 0 && (shall->entry || is->entry)) {
        int before = order(shall, is);
        const char *what = before < 0   ? "is missing"
                           : before > 0 ? "was added"
                                        : judge(shall->entry, is->entry);
        if (what)
            report(comparing, (before > 0 ? is : shall)->entry->record.path, what);
        if (before <= 0)
            result = advance(shall, error);
        if (result == 0 && before >= 0)
            result = advance(is, error);
    }
    return result;
}

int publishing_compare(const struct pack *published, const struct publishing_manifest *made,
                       void (*on_difference)(void *context, const char *path, const char *what),
                       void *context, uint64_t *ret, struct pkgcache_error *error)
{
    struct comparing comparing = {on_difference, context, 0};
    struct side shall = {0};
    struct side is = {0};
    struct pack *now = NULL;
    const struct published_head *head = &made->head;
    int result = pack_open_entries(made->fd, head->variant.root, &head->variant, 0, head->stored,
                                   head->size, &now, error);
    if (result == 0)
        result = pack_entries_open(published, 0, &shall.entries, error);
    if (result == 0)
        result = pack_entries_open(now, 0, &is.entries, error);
    if (result == 0)
        result = compare(&comparing, &shall, &is, error);
    pack_entries_close(shall.entries);
    pack_entries_close(is.entries);
    pack_close(now);
    *ret = comparing.differences;
    return result;
}
