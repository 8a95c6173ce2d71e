/* Building values: blocks of memory that are filled from one end. */
#include "cache/rez/values.h"

#include <stdalign.h>
#include <string.h>

enum { BLOCK_BYTES = 16384 };

struct values_block {
    struct values_block *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char bytes[];
};

static void *allocate(struct values *values, size_t bytes)
{
    struct values_block *block = values->blocks;
    size_t rounded =
        (bytes + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (rounded < bytes)
        return NULL;
    if (!block || block->capacity - block->used < rounded) {
        size_t capacity = MAX(rounded, (size_t)BLOCK_BYTES);
        block = malloc(sizeof(*block) + capacity);
        if (!block)
            return NULL;
        *block = (struct values_block){.next = values->blocks, .capacity = capacity};
        values->blocks = block;
    }
    void *room = block->bytes + block->used;
    block->used += rounded;
    return room;
}

struct json *values_new(struct values *values, enum json_type type)
{
    struct json *value = allocate(values, sizeof(*value));
    if (value)
        *value = (struct json){.type = type};
    return value;
}

char *values_copy(struct values *values, const char *bytes, size_t length)
{
    char *copy = allocate(values, length + 1);
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

struct json *values_new_text(struct values *values, enum json_type type, const char *bytes,
                             size_t length)
{
    struct json *value = values_new(values, type);
    if (!value)
        return NULL;
    value->text = values_copy(values, bytes, length);
    value->text_length = length;
    return value->text ? value : NULL;
}

struct json *values_copy_value(struct values *values, const struct json *value)
{
    struct json *copy = values_new(values, value->type);
    if (!copy)
        return NULL;
    copy->boolean = value->boolean;
    if (value->text) {
        copy->text = values_copy(values, value->text, value->text_length);
        copy->text_length = value->text_length;
        if (!copy->text)
            return NULL;
    }
    struct json **link = &copy->first;
    for (const struct json *child = value->first; child; child = child->next) {
        *link = values_copy_value(values, child);
        if (!*link)
            return NULL;
        if (child->key) {
            (*link)->key = values_copy(values, child->key, child->key_length);
            (*link)->key_length = child->key_length;
            if (!(*link)->key)
                return NULL;
        }
        link = &(*link)->next;
    }
    return copy;
}

void values_free(struct values *values)
{
    while (values->blocks) {
        struct values_block *next = values->blocks->next;
        free(values->blocks);
        values->blocks = next;
    }
}
