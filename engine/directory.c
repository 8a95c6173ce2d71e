/*
 * Directories under way. The chain from a directory to the root is what keeps descriptors open:
 * everything is reached by one name relative to one of them.
 */
#include "engine/directory.h"

#include "engine/compiler.h"

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
static void set_attributes(struct directory *directory)
{
    struct copyengine_job *job = directory->job;
    mode_t made = directory->mode | S_IRWXU;
    mode_t mode = directory->mode | job->inherited_bits;
    if (!directory->parent) {
        job->result.root_mode = mode;
        job->result.root_mtime = directory->mtime;
        if (job->copy.root_stays_writable)
            mode |= S_IRWXU;
    }
    if ((made != directory->mode || job->modes_need_setting) &&
        fchmod(directory->destination_fd, mode) < 0) {
        job_fail(job, "chmod", JOB_DESTINATION, directory, NULL, errno);
        return;
    }
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, directory->mtime};
    if (futimens(directory->destination_fd, times) < 0)
        job_fail(job, "utimens", JOB_DESTINATION, directory, NULL, errno);
    else
        job_completed(job, &job->directories);
}

void directory_release(struct directory *directory)
{
    while (directory) {
        unsigned before =
            atomic_fetch_sub_explicit(&directory->references, 1, memory_order_acq_rel);
        assert(before > 0);
        if (before > 1)
            return;
        struct directory *parent = directory->parent;
        struct copyengine_job *job = directory->job;
        if (directory->destination_fd >= 0 && !job_is_stopped(job))
            set_attributes(directory);
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

void batch_release(struct batch *batch)
{
    if (atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) > 1)
        return;
    struct directory *directory = batch->directory;
    free(batch);
    directory_release(directory);
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
