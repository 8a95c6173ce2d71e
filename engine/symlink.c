/* Symbolic links of the copy. Works on names; asks the source only whether a name is a link. */
#include "engine/symlink.h"

#include "engine/compiler.h"
#include "engine/manifest.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A path while it is put together: absolute, no "." and no empty names. */
struct path {
    char text[SYMLINK_TARGET_MAX];
    size_t length;
};

static int path_append(struct path *path, const char *name, size_t length)
{
    if (path->length + 1 + length >= sizeof(path->text))
        return -ENAMETOOLONG;
    path->text[path->length++] = '/';
    memcpy(path->text + path->length, name, length);
    path->length += length;
    path->text[path->length] = '\0';
    assert(path->length < sizeof(path->text));
    return 0;
}

static void path_pop(struct path *path)
{
    while (path->length > 0 && path->text[path->length - 1] != '/')
        path->length--;
    if (path->length > 0)
        path->length--;
    path->text[path->length] = '\0';
}

/* The next name of a path; NULL at its end. Moves `rest` behind it. */
static const char *next_name(const char **rest, size_t *ret_length)
{
    const char *start = *rest + strspn(*rest, "/");
    *ret_length = strcspn(start, "/");
    *rest = start + *ret_length;
    return *ret_length ? start : NULL;
}

static bool name_is(const char *name, size_t length, const char *expected)
{
    return length == strlen(expected) && memcmp(name, expected, length) == 0;
}

/*
 * Appends the names of `text`. "x/.." goes away only where x is known not to be a link: in the
 * first `physical` bytes of the path, or after an lstat(2) said so. From a link on, the rest stays
 * as it is.
 */
static int path_append_all(struct path *path, const char *text, size_t physical)
{
    const char *rest = text;
    size_t length;
    int result = 0;
    bool literal = false;
    for (const char *name; result == 0 && (name = next_name(&rest, &length));) {
        if (name_is(name, length, "."))
            continue;
        if (literal || !name_is(name, length, "..")) {
            result = path_append(path, name, length);
            continue;
        }
        struct stat status;
        bool known = path->length <= physical ||
                     (lstat(path->text, &status) == 0 && !S_ISLNK(status.st_mode));
        if (known)
            path_pop(path);
        else
            result = path_append(path, name, length);
        literal = !known;
    }
    return result;
}

/* What follows `root` in `path`, both absolute, compared name by name; NULL: not inside. */
static const char *strip_root(const char *path, const char *root)
{
    size_t root_length;
    for (const char *name; (name = next_name(&root, &root_length));) {
        size_t length;
        const char *other = next_name(&path, &length);
        if (!other || length != root_length || memcmp(name, other, length) != 0)
            return NULL;
    }
    return path + strspn(path, "/");
}

/* Whether a relative target goes above the root of the tree, by its names alone. */
static bool leaves_tree(const char *parent, const char *target)
{
    long depth = 0;
    size_t length;
    while (next_name(&parent, &length))
        depth++;
    for (const char *name; depth >= 0 && (name = next_name(&target, &length));)
        if (name_is(name, length, ".."))
            depth--;
        else if (!name_is(name, length, "."))
            depth++;
    return depth < 0;
}

/* The way from one directory of the tree to a file of it, both relative to the root. */
static int relative_path(const char *from, const char *to, char *ret)
{
    for (;;) { /* what both have in common */
        const char *from_rest = from;
        const char *to_rest = to;
        size_t from_length;
        size_t to_length;
        const char *name = next_name(&from_rest, &from_length);
        const char *other = next_name(&to_rest, &to_length);
        if (!name || !other || from_length != to_length || memcmp(name, other, to_length) != 0)
            break;
        from = from_rest;
        to = to_rest;
    }
    size_t at = 0;
    size_t length;
    while (next_name(&from, &length)) {
        if (at + 3 >= SYMLINK_TARGET_MAX)
            return -ENAMETOOLONG;
        memcpy(ret + at, "../", 3);
        at += 3;
    }
    to += strspn(to, "/");
    if (at + strlen(to) + 2 > SYMLINK_TARGET_MAX)
        return -ENAMETOOLONG;
    if (*to)
        strcpy(ret + at, to);
    else if (at > 0)
        ret[at - 1] = '\0';
    else
        strcpy(ret, ".");
    return 0;
}

/*
 * What a link of the copy must say to reach what the link reaches at the source.
 *
 * Inside means: the target, made absolute from the link's resolved parent, begins name by name with
 * the root as given or as resolved. A relative target that never leaves the tree stays; one that
 * leaves and comes back, or an absolute one into the tree, becomes relative; a relative one that
 * leaves becomes absolute. A link that reaches nothing, or itself, stays as it is.
 *
 * parent_fd: the directory of the link, at the source
 * parent:    its path relative to the root: "" or "a/b"; no name of it is a link
 * name:      of the link
 * target:    what the link says
 * ret:       what its copy shall say, SYMLINK_TARGET_MAX bytes
 *
 * Returns 0, or -ENAMETOOLONG.
 */
static int keep_meaning(const struct copyengine_job *job, int parent_fd, const char *parent,
                        const char *name, const char *target, char *ret)
{
    bool absolute = *target == '/';
    snprintf(ret, SYMLINK_TARGET_MAX, "%s", target);
    if (!absolute && !leaves_tree(parent, target))
        return 0;
    struct path path = {0};
    int result = 0;
    if (!absolute) {
        result = path_append_all(&path, job->root_resolved, 0);
        if (result == 0)
            result = path_append_all(&path, parent, 0);
    }
    if (result == 0)
        result = path_append_all(&path, target, path.length);
    if (result < 0)
        return result;
    const char *inside = strip_root(path.text, job->root_absolute);
    if (!inside)
        inside = strip_root(path.text, job->root_resolved);
    if (absolute && !inside)
        return 0;
    struct stat status;
    if (fstatat(parent_fd, name, &status, 0) < 0) /* reaches nothing */
        return 0;
    if (inside)
        return relative_path(parent, inside, ret);
    snprintf(ret, SYMLINK_TARGET_MAX, "%s", path.length ? path.text : "/");
    return 0;
}

int symlink_learn_root(struct copyengine_job *job)
{
    if (job->copy.symlinks != COPYENGINE_SYMLINKS_KEEP)
        return 0;
    job->root_resolved = realpath(job->copy.source, NULL);
    if (!job->root_resolved)
        return -errno;
    if (*job->copy.source == '/') {
        job->root_absolute = strdup(job->copy.source);
        return job->root_absolute ? 0 : -ENOMEM;
    }
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    if (!here)
        return -errno;
    struct path path = {0};
    int result = path_append_all(&path, here, SIZE_MAX);
    if (result == 0)
        result = path_append_all(&path, job->copy.source, 0);
    if (result < 0)
        return result;
    job->root_absolute = strdup(path.text);
    return job->root_absolute ? 0 : -ENOMEM;
}

static int target_of_copy(const struct directory *directory, const char *name, const char *target,
                          char *ret)
{
    const struct copyengine_job *job = directory->job;
    if (job->copy.symlinks != COPYENGINE_SYMLINKS_KEEP) {
        strcpy(ret, target);
        return 0;
    }
    CLEANUP_FREE char *parent = directory_relative_path(directory, NULL);
    if (!parent)
        return -ENOMEM;
    return keep_meaning(job, directory->source_fd, parent, name, target, ret);
}

int64_t symlink_read(const struct io_port *port, const struct directory *directory,
                     const char *name, char target[static SYMLINK_TARGET_MAX],
                     struct statx *ret_status)
{
    int64_t length = io_do(port, (struct io_op){.kind = IO_READ_LINK,
                                                .fd = directory->source_fd,
                                                .name = name,
                                                .data = target,
                                                .length = SYMLINK_TARGET_MAX - 1});
    if (length < 0)
        return length;
    target[length] = '\0';
    return io_do(port, (struct io_op){.kind = IO_STAT,
                                      .fd = directory->source_fd,
                                      .name = name,
                                      .flags = AT_SYMLINK_NOFOLLOW,
                                      .data = ret_status});
}

static int64_t make_symlink(const struct io_port *port, const struct directory *directory,
                            const char *name, const char *target, const struct statx *source)
{
    struct io_op op = {
        .kind = IO_MAKE_LINK, .fd = directory->destination_fd, .name = name, .other_name = target};
    int64_t result = io_do(port, op);
    if (result == -ENOSPC) {
        /* XFS sets much room aside for what is not written yet. For a file it would write and try
         * again (xfs_create in fs/xfs/xfs_inode.c), for a link it does not (xfs_symlink.c). */
        io_do(port, (struct io_op){.kind = IO_SYNC, .fd = op.fd});
        result = io_do(port, op);
    }
    if (result == 0 && directory->job->copy.owner) {
        op.kind = IO_SET_OWNER;
        op.user = source->stx_uid;
        op.group = source->stx_gid;
        result = io_do(port, op);
    }
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = source->stx_mtime.tv_sec, .tv_nsec = source->stx_mtime.tv_nsec}};
    op.kind = IO_SET_TIMES;
    op.data = times;
    return result == 0 ? io_do(port, op) : result;
}

bool symlink_copy(const struct io_port *port, struct directory *directory, const char *name)
{
    struct copyengine_job *job = directory->job;
    char target[SYMLINK_TARGET_MAX];
    char copied[SYMLINK_TARGET_MAX];
    struct statx source;
    int64_t result = symlink_read(port, directory, name, target, &source);
    if (result == 0)
        result = target_of_copy(directory, name, target, copied);
    if (result < 0) {
        job_fail(job, "readlink", JOB_SOURCE, directory, name, (int)-result);
        return false;
    }
    if (job_is_stopped(job)) /* while a server took its time: nothing is made any more */
        return false;
    result = make_symlink(port, directory, name, copied, &source);
    if (result < 0) {
        job_fail(job, "symlink", JOB_DESTINATION, directory, name, (int)-result);
        return false;
    }
    if (job->manifest)
        manifest_add_symlink(job->manifest, directory, name, copied,
                             (struct timespec){.tv_sec = source.stx_mtime.tv_sec,
                                               .tv_nsec = source.stx_mtime.tv_nsec});
    job_completed(job, &job->symlinks_done);
    return true;
}
