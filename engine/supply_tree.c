/*
 * The tree of a supply while it is made. A directory is made when the first thing in it is, whoever
 * makes that, and completed with the last. Parts come in any order, so many directories may be
 * begun at once: of those that nobody uses just now, only some keep their descriptors.
 */
#include "engine/supply_tree.h"

#include "engine/compiler.h"
#include "engine/destination.h"
#include "engine/release.h"
#include "engine/schedule.h"
#include "engine/source.h"

#include <assert.h>
#include <fcntl.h>

enum { IDLE_MAX = 64 }; /* directories that are open though nobody uses them */

/* --- Directories ------------------------------------------------------------------------------ */

/* With the lock held, as all that follows. */
static void link_idle(struct supply *supply, struct supply_directory *directory)
{
    directory->newer = NULL;
    directory->older = supply->newest;
    *(supply->newest ? &supply->newest->newer : &supply->oldest) = directory;
    supply->newest = directory;
    supply->idle_count++;
}

static void unlink_idle(struct supply *supply, struct supply_directory *directory)
{
    *(directory->older ? &directory->older->newer : &supply->oldest) = directory->newer;
    *(directory->newer ? &directory->newer->older : &supply->newest) = directory->older;
    assert(supply->idle_count > 0);
    supply->idle_count--;
}

static bool is_idle(const struct supply_directory *directory)
{
    return directory->pins == 0 && directory->directory->destination_fd >= 0;
}

static void pin(struct supply *supply, struct supply_directory *directory)
{
    if (is_idle(directory))
        unlink_idle(supply, directory);
    directory->pins++;
}

static void unpin(struct supply *supply, struct supply_directory *directory)
{
    assert(directory->pins > 0);
    directory->pins--;
    if (!directory->directory || !is_idle(directory))
        return;
    link_idle(supply, directory);
    if (supply->idle_count <= IDLE_MAX)
        return;
    struct supply_directory *oldest = supply->oldest;
    unlink_idle(supply, oldest);
    close(steal_fd(&oldest->directory->destination_fd));
}

/* Opens one directory, in one that is open; makes it if that was not done yet. */
static bool open_in(const struct io_port *port, struct supply_directory *directory,
                    const struct directory *parent)
{
    struct directory *opened = directory->directory;
    if (!directory->made) {
        directory->made = destination_make(port, opened, parent->destination_fd, opened->name);
        return directory->made;
    }
    int64_t fd =
        source_open_directory(port, parent->destination_fd, opened->name, O_NOFOLLOW, true);
    opened->destination_fd = (int)MAX(fd, (int64_t)-1);
    if (fd < 0)
        job_fail(opened->job, "open", JOB_DESTINATION, opened, NULL, (int)-fd);
    return fd >= 0;
}

/* Opens a directory, and those above it that are not open. */
static bool open_pinned(const struct io_port *port, struct supply *supply,
                        struct supply_directory *wanted)
{
    while (wanted->directory->destination_fd < 0) {
        struct supply_directory *next = wanted;
        struct directory *parent;
        while ((parent = next->directory->parent)->destination_fd < 0)
            next = &supply->directories[parent->number];
        if (!open_in(port, next, parent))
            return false;
        if (next != wanted) { /* it is not pinned; its turn to be closed comes last */
            next->pins++;
            unpin(supply, next);
        }
    }
    return true;
}

struct directory *supply_pin(const struct io_port *port, struct copyengine_job *job,
                             uint32_t number)
{
    struct supply *supply = job->supply;
    struct supply_directory *directory = &supply->directories[number];
    pthread_mutex_lock(&supply->lock);
    pin(supply, directory);
    bool opened = open_pinned(port, supply, directory);
    if (!opened)
        directory->pins--; /* it is not open */
    pthread_mutex_unlock(&supply->lock);
    return opened ? directory->directory : NULL;
}

void supply_unpin(struct supply *supply, uint32_t number)
{
    pthread_mutex_lock(&supply->lock);
    unpin(supply, &supply->directories[number]);
    pthread_mutex_unlock(&supply->lock);
}

void supply_forget(struct directory *directory)
{
    struct supply *supply = directory->job->supply;
    if (!directory->parent) /* it is closed with the job, which perhaps never began */
        return;
    struct supply_directory *forgotten = &supply->directories[directory->number];
    pthread_mutex_lock(&supply->lock);
    if (is_idle(forgotten))
        unlink_idle(supply, forgotten);
    forgotten->directory = NULL; /* whoever was last to use it may have it pinned still */
    pthread_mutex_unlock(&supply->lock);
}

void supply_release_entry(const struct io_port *port, const struct supply *supply, uint32_t entry)
{
    const struct supply_item *item = &supply->items[entry];
    uint32_t link = item->first_link;
    while (link != SUPPLY_NONE) {
        const struct supply_item *linked = &supply->items[link];
        link = linked->next_link;
        directory_release(port, supply->directories[linked->directory].directory);
    }
    bool itself = supply->entries[entry].type == COPYENGINE_DIRECTORY;
    directory_release(port, supply->directories[itself ? item->number : item->directory].directory);
}

/* --- What may be made -------------------------------------------------------------------- */

void supply_ready_parts(struct copyengine_job *job)
{
    struct supply *supply = job->supply;
    pthread_mutex_lock(&supply->lock);
    while (supply->decided_parts < job->part_count &&
           atomic_load(&supply->undecided[supply->decided_parts]) == 0)
        supply->decided_parts++;
    size_t ready =
        supply->decided_parts == job->part_count ? supply->unit_count : supply->decided_parts;
    pthread_mutex_unlock(&supply->lock);
    schedule_ready_units(job->common->schedule, job, ready);
}

void supply_decide(struct copyengine_job *job, uint32_t entry)
{
    struct supply *supply = job->supply;
    const struct copyengine_entry *decided = &supply->entries[entry];
    bool any = false;
    for (size_t k = 0; k < decided->extent_count; k++)
        if (k == 0 || decided->extents[k].part != decided->extents[k - 1].part)
            any |= atomic_fetch_sub(&supply->undecided[decided->extents[k].part], 1) == 1;
    if (any)
        supply_ready_parts(job);
}
