/*
 * Directories under way. The chain from a directory to the root is what keeps descriptors open:
 * everything is reached by one name relative to one of them.
 */
#include "engine/directory.h"

#include "engine/compiler.h"

#include <assert.h>
#include <string.h>

struct directory *directory_new(struct copyengine_job *job, struct directory *parent,
                                const char *name)
{
    size_t name_bytes = strlen(name) + 1;
    struct directory *directory = calloc(1, sizeof(*directory) + name_bytes);
    if (!directory)
        return NULL;
    directory->job = job;
    directory->parent = parent;
    directory->references = 1;
    directory->source_fd = -1;
    directory->destination_fd = -1;
    memcpy(directory->name, name, name_bytes);
    if (parent) {
        directory->depth = parent->depth + 1;
        directory_reference(parent);
    }
    return directory;
}

struct batch *batch_new(struct directory *directory, const char *const *names, unsigned count)
{
    size_t names_bytes = 0;
    assert(count > 0);
    for (unsigned i = 0; i < count; i++)
        names_bytes += strlen(names[i]) + 1;
    struct batch *batch = malloc(sizeof(*batch) + count * sizeof(char *) + names_bytes);
    if (!batch)
        return NULL;
    *batch = (struct batch){.directory = directory, .references = count, .count = count};
    char *text = (char *)&batch->names[count];
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = strlen(names[i]) + 1;
        batch->names[i] = memcpy(text, names[i], bytes);
        text += bytes;
    }
    directory_reference(directory);
    return batch;
}

struct batch *batch_new_of_entries(struct directory *directory, const char *const *names,
                                   const uint32_t *entries, unsigned count)
{
    assert(count > 0);
    struct batch *batch = malloc(sizeof(*batch) + count * (sizeof(*names) + sizeof(*entries)));
    if (!batch)
        return NULL;
    *batch = (struct batch){.directory = directory, .references = count, .count = count};
    memcpy(batch->names, names, count * sizeof(*names));
    batch->entries = memcpy(&batch->names[count], entries, count * sizeof(*entries));
    directory_reference(directory);
    return batch;
}

uint64_t batch_count_files(const struct batch *batches)
{
    uint64_t count = 0;
    for (; batches; batches = batches->next)
        count += batches->count;
    return count;
}

void batch_queue_append(struct batch_queue *queue, struct batch *batch)
{
    assert(!queue->first == !queue->last);
    batch->next = NULL;
    if (queue->last)
        queue->last->next = batch;
    else
        queue->first = batch;
    queue->last = batch;
}

struct batch *batch_queue_pop(struct batch_queue *queue)
{
    struct batch *batch = queue->first;
    assert(batch && !queue->last->next);
    queue->first = batch->next;
    if (!queue->first)
        queue->last = NULL;
    return batch;
}

char *directory_relative_path(const struct directory *directory, const char *name)
{
    size_t length = name ? strlen(name) + 1 : 0;
    for (const struct directory *at = directory; at->parent; at = at->parent)
        length += strlen(at->name) + 1;
    char *path = malloc(length + 1);
    if (!path)
        return NULL;
    char *end = path + length;
    *end = '\0';
    if (length == 0)
        return path;
    *--end = '\0'; /* instead of the last slash */
    if (name) {
        end -= strlen(name);
        memcpy(end, name, strlen(name));
    }
    for (const struct directory *at = directory; at->parent; at = at->parent) {
        size_t name_length = strlen(at->name);
        if (end < path + length - 1)
            *--end = '/';
        end -= name_length;
        memcpy(end, at->name, name_length);
    }
    assert(end == path);
    return path;
}

/* Writes `text` so that it ends at `end`, as much as there is room for; returns where it starts. */
static char *prepend(char *start, char *end, const char *text)
{
    size_t length = strlen(text);
    size_t room = (size_t)(end - start);
    size_t fits = MIN(length, room);
    memcpy(end - fits, text + length - fits, fits);
    return end - fits;
}

void directory_path(const char *root, const struct directory *directory, const char *name,
                    char *buffer, size_t size)
{
    static const char cut[] = "...";
    assert(size > sizeof(cut));
    char *end = buffer + size - 1;
    *end = '\0';
    if (name) {
        end = prepend(buffer, end, name);
        end = prepend(buffer, end, "/");
    }
    for (; directory && directory->parent && end > buffer; directory = directory->parent) {
        end = prepend(buffer, end, directory->name);
        end = prepend(buffer, end, "/");
    }
    end = prepend(buffer, end, root);
    if (end == buffer)
        memcpy(buffer, cut, sizeof(cut) - 1);
    else
        memmove(buffer, end, strlen(end) + 1);
}
