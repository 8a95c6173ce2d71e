/* Merging members of an object that have the same name. */
#include "cache/json/json_members.h"

#include "engine/compiler.h"

#include <assert.h>
#include <string.h>

enum { SMALL_OBJECT_MEMBERS = 16 }; /* up to here, looking at every pair is the fastest way */

static int compare_keys(const struct json *a, const struct json *b)
{
    int order = memcmp(a->key, b->key, MIN(a->key_length, b->key_length));
    if (order != 0)
        return order;
    return (a->key_length > b->key_length) - (a->key_length < b->key_length);
}

/* The later of two members with one name gives its value to the earlier, and loses its name, by
   which unlink_nameless() knows it. */
static void merge_members(struct json *earlier, struct json *later)
{
    struct json merged = *later;
    merged.key = earlier->key;
    merged.key_length = earlier->key_length;
    merged.next = earlier->next;
    *earlier = merged;
    later->key = NULL;
}

static void unlink_nameless(struct json *object)
{
    for (struct json **link = &object->first; *link;) {
        if ((*link)->key)
            link = &(*link)->next;
        else
            *link = (*link)->next;
    }
}

static void merge_few(struct json *object)
{
    for (struct json *member = object->first; member; member = member->next) {
        for (struct json *later = member->next; later; later = later->next) {
            if (later->key && member->key && compare_keys(member, later) == 0)
                merge_members(member, later);
        }
    }
}

struct ranked_member {
    struct json *member;
    size_t rank;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked_member *left = a;
    const struct ranked_member *right = b;
    int order = compare_keys(left->member, right->member);
    return order != 0 ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

static int merge_many(struct json *object, size_t count)
{
    CLEANUP_FREE struct ranked_member *ranked = malloc(count * sizeof(*ranked));
    if (!ranked)
        return -ENOMEM;
    size_t rank = 0;
    for (struct json *member = object->first; member; member = member->next, rank++)
        ranked[rank] = (struct ranked_member){member, rank};
    assert(rank == count);
    qsort(ranked, count, sizeof(*ranked), compare_ranked);

    struct json *first = ranked[0].member;
    for (size_t i = 1; i < count; i++) {
        if (compare_keys(first, ranked[i].member) == 0)
            merge_members(first, ranked[i].member);
        else
            first = ranked[i].member;
    }
    return 0;
}

int json_merge_members(struct json *object, size_t count)
{
    if (count < 2)
        return 0;
    if (count <= SMALL_OBJECT_MEMBERS)
        merge_few(object);
    else if (merge_many(object, count) < 0)
        return -ENOMEM;
    unlink_nameless(object);
    return 0;
}
