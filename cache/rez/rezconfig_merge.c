/* Merging. Members are found by their sorted names, so that large dicts take no time. */
#include "cache/rez/rezconfig_merge.h"

#include <string.h>

/* A list that grows at its end. */
struct tail {
    struct values *values;
    struct json **end;
};

/* Appends a value that stays where it is in its own list. Returns what was appended; NULL: no
 * memory. */
static struct json *append(struct tail *tail, const struct json *value)
{
    struct json *copy = values_new(tail->values, value->type);
    if (!copy)
        return NULL;
    *copy = *value;
    copy->next = NULL;
    *tail->end = copy;
    tail->end = &copy->next;
    return copy;
}

static struct json *new_container(struct values *values, enum json_type type, struct tail *ret)
{
    struct json *container = values_new(values, type);
    if (container)
        *ret = (struct tail){values, &container->first};
    return container;
}

static int compare_keys(const void *left, const void *right)
{
    const struct json *a = *(const struct json *const *)left;
    const struct json *b = *(const struct json *const *)right;
    int order = memcmp(a->key, b->key, MIN(a->key_length, b->key_length));
    return order ? order : (a->key_length > b->key_length) - (a->key_length < b->key_length);
}

/* The members of an object, sorted by name: an allocated array. NULL: no memory. */
static const struct json **sort_members(const struct json *object, size_t *ret_count)
{
    size_t count = 0;
    for (const struct json *member = object->first; member; member = member->next)
        count++;
    const struct json **members = calloc(count + 1, sizeof(const struct json *));
    if (!members)
        return NULL;
    *ret_count = count;
    count = 0;
    for (const struct json *member = object->first; member; member = member->next)
        members[count++] = member;
    qsort(members, count, sizeof(*members), compare_keys);
    return members;
}

static const struct json *find(const struct json *const *members, size_t count,
                               const struct json *like)
{
    const struct json *const *found =
        bsearch(&like, members, count, sizeof(*members), compare_keys);
    return found ? *found : NULL;
}

/* Those of `below` in their order, then those that only `above` has. */
static int merge_members(const struct json *below, const struct json *const *below_sorted,
                         size_t below_count, const struct json *above,
                         const struct json *const *above_sorted, size_t above_count,
                         struct tail *tail)
{
    for (const struct json *member = below->first; member; member = member->next) {
        const struct json *over = find(above_sorted, above_count, member);
        const struct json *merged = member;
        int result = over ? rezconfig_merge(member, over, tail->values, &merged) : 0;
        struct json *copy = result == 0 ? append(tail, merged) : NULL;
        if (!copy)
            return -ENOMEM;
        copy->key = member->key;
        copy->key_length = member->key_length;
    }
    for (const struct json *member = above->first; member; member = member->next)
        if (!find(below_sorted, below_count, member) && !append(tail, member))
            return -ENOMEM;
    return 0;
}

int rezconfig_merge(const struct json *below, const struct json *above, struct values *values,
                    const struct json **ret_value)
{
    if (below->type != JSON_OBJECT || above->type != JSON_OBJECT) {
        *ret_value = above;
        return 0;
    }
    size_t below_count, above_count;
    struct tail tail;
    CLEANUP_FREE const struct json **below_sorted = sort_members(below, &below_count);
    CLEANUP_FREE const struct json **above_sorted = sort_members(above, &above_count);
    struct json *object = new_container(values, JSON_OBJECT, &tail);
    if (!below_sorted || !above_sorted || !object)
        return -ENOMEM;
    *ret_value = object;
    return merge_members(below, below_sorted, below_count, above, above_sorted, above_count, &tail);
}

int rezconfig_modify(const struct json *below, const struct json *prepend,
                     const struct json *append_, struct values *values,
                     const struct json **ret_value)
{
    const struct json *const parts[] = {prepend, below, append_};
    struct tail tail;
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        if (parts[i] && parts[i]->type != JSON_NULL && parts[i]->type != JSON_ARRAY)
            return -EINVAL;
    struct json *list = new_container(values, JSON_ARRAY, &tail);
    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        for (const struct json *item = parts[i] ? parts[i]->first : NULL; item; item = item->next)
            if (!append(&tail, item))
                return -ENOMEM;
    *ret_value = list;
    return 0;
}
