/*
 * Directories under way. The chain from a directory to the root is what keeps descriptors open:
 * everything is reached by one name relative to one of them.
 */
#include "engine/directory.h"

#include "engine/compiler.h"
#include "engine/manifest.h"
#include "engine/remove.h"
#include "engine/scan.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

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
    if (parent)
        directory_reference(parent);
    return directory;
}

/* Sets what only now stays as it is: files made in a directory change its times. */
static void set_attributes(const struct io_port *port, struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    const mode_t wanted = directory->attributes.mode;
    struct attributes attributes = directory->attributes;
    const char *failed = "";
    attributes.mode |= job->inherited_bits;
    if (!directory->parent) {
        job->result.root_mode = attributes.mode;
        job->result.root_mtime = attributes.mtime;
        if (job->copy.root_stays_writable)
            attributes.mode |= S_IRWXU;
    }
    int has_xattrs = attr_has_xattrs(port, job, directory->source_fd);
    if (has_xattrs < 0) {
        job_fail(job, "listxattr", JOB_SOURCE, directory, NULL, -has_xattrs);
        return;
    }
    bool made_otherwise = (wanted & S_IRWXU) != S_IRWXU;
    int result = attr_set(port, job, directory->source_fd, directory->destination_fd, &attributes,
                          has_xattrs > 0,
                          made_otherwise || has_xattrs > 0 || job->modes_need_setting, &failed);
    if (result < 0) {
        job_fail(job, failed, JOB_DESTINATION, directory, NULL, -result);
        return;
    }
    if (job->manifest)
        manifest_add_directory(job, directory);
    job_completed(job, &job->directories_done);
}

/* Everything in a directory is copied, or removed. */
static void complete(const struct io_port *port, struct directory *directory)
{
    if (job_is_stopped(directory->job))
        return;
    if (directory->job->kind == JOB_REMOVAL)
        remove_directory(port, directory);
    else if (directory->job->kind == JOB_SCAN)
        scan_complete(directory);
    else if (directory->destination_fd >= 0)
        set_attributes(port, directory);
}

void directory_release(const struct io_port *port, struct directory *directory)
{
    while (directory) {
        unsigned before =
            atomic_fetch_sub_explicit(&directory->references, 1, memory_order_acq_rel);
        assert(before > 0);
        if (before > 1)
            return;
        struct directory *parent = directory->parent;
        struct copyengine_job *job = directory->job;
        complete(port, directory);
        cleanup_close_fd(&directory->source_fd);
        cleanup_close_fd(&directory->destination_fd);
        free(directory);
        if (!parent)
            job_finish(job);
        directory = parent;
    }
}

struct batch *batch_new(struct directory *directory, const char *const *names, unsigned count)
{
    size_t names_bytes = 0;
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

void batch_release(const struct io_port *port, struct batch *batch)
{
    if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) > 1)
        return;
    struct directory *directory = batch->directory;
    free(batch);
    directory_release(port, directory);
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

void directory_path(const struct copyengine_job *job, enum job_side side,
                    const struct directory *directory, const char *name, char *buffer, size_t size)
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
    end = prepend(buffer, end, side == JOB_SOURCE ? job->copy.source : job->copy.destination);
    if (end == buffer)
        memcpy(buffer, cut, sizeof(cut) - 1);
    else
        memmove(buffer, end, strlen(end) + 1);
}
