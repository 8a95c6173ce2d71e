/* Symbolic links of the copy. Works on names; asks the source only whether a name is a link. */
#include "engine/symlink.h"

#include "engine/attr.h"
#include "engine/clock.h"
#include "engine/compiler.h"
#include "engine/manifest.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* A path while it is put together: absolute, no "." and no empty names. It may be longer than
 * PATH_MAX: what is left of it in the end is what counts. */
struct path {
    char *text;
    size_t length;
    size_t size; /* of the text, with a NUL */
};

/* @param longest what is going to be appended, in one text or several; slashes between count */
static int path_init(struct path *path, size_t longest)
{
    *path = (struct path){.text = calloc(1, longest + 2), .size = longest + 2};
    return path->text ? 0 : -ENOMEM;
}

static void cleanup_path(struct path *path)
{
    free(path->text);
}

static void path_append(struct path *path, const char *name, size_t length)
{
    assert(path->length + 1 + length < path->size);
    path->text[path->length++] = '/';
    memcpy(path->text + path->length, name, length);
    path->length += length;
    path->text[path->length] = '\0';
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
static void path_append_all(struct path *path, const char *text, size_t physical)
{
    const char *rest = text;
    size_t length;
    bool literal = false;
    for (const char *name; (name = next_name(&rest, &length));) {
        if (name_is(name, length, "."))
            continue;
        if (literal || !name_is(name, length, "..")) {
            path_append(path, name, length);
            continue;
        }
        struct stat status;
        bool known = path->length <= physical ||
                     (lstat(path->text, &status) == 0 && !S_ISLNK(status.st_mode));
        if (known)
            path_pop(path);
        else
            path_append(path, name, length);
        literal = !known;
    }
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
 * Inside the tree means: the target, made absolute from the link's resolved parent, begins name by
 * name with the root as given or as resolved. A relative target that never leaves the tree stays;
 * one that leaves and comes back, or an absolute one into the tree, becomes relative; a relative
 * one that leaves becomes absolute. A link that reaches nothing, or itself, stays as it is; so does
 * one that would have to say more than a link can.
 */
int symlink_keep_meaning(const struct symlink_root *root, int parent_fd, const char *parent,
                         const char *name, const char *target, char ret[static SYMLINK_TARGET_MAX])
{
    bool absolute = *target == '/';
    snprintf(ret, SYMLINK_TARGET_MAX, "%s", target);
    if (!absolute && !leaves_tree(parent, target))
        return 0;
    struct stat status;
    if (!root->resolved)
        return absolute || fstatat(parent_fd, name, &status, 0) < 0 ? 0 : -ENAMETOOLONG;
    __attribute__((cleanup(cleanup_path))) struct path path;
    int result = path_init(&path, strlen(root->resolved) + strlen(parent) + strlen(target) + 2);
    if (result < 0)
        return result;
    if (!absolute) {
        path_append_all(&path, root->resolved, 0);
        path_append_all(&path, parent, 0);
    }
    path_append_all(&path, target, path.length);
    const char *inside = strip_root(path.text, root->absolute);
    if (!inside)
        inside = strip_root(path.text, root->resolved);
    if (absolute && !inside)
        return 0;
    if (fstatat(parent_fd, name, &status, 0) < 0) /* reaches nothing */
        return 0;
    if (inside)
        return relative_path(parent, inside, ret);
    if (path.length >= SYMLINK_TARGET_MAX)
        return -ENAMETOOLONG;
    strcpy(ret, path.length ? path.text : "/");
    return 0;
}

int copyengine_keep_link(const char *root, int root_fd, const char *path, const char *target,
                         char ret[COPYENGINE_LINK_SIZE])
{
    struct symlink_root known = {0};
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *parent = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    if (strlen(target) >= SYMLINK_TARGET_MAX)
        return -ENAMETOOLONG;
    if (!parent)
        return -ENOMEM;
    bool stays = *target != '/' && !leaves_tree(parent, target);
    int result = stays ? 0 : symlink_find_root(root, &known);
    if (result == 0)
        result = symlink_keep_meaning(&known, root_fd, parent, path, target, ret);
    symlink_forget_root(&known);
    return result;
}

/* The source as it was given, made absolute; NULL: as realpath(3). */
static char *find_absolute(const char *source)
{
    CLEANUP_FREE char *here = *source == '/' ? NULL : getcwd(NULL, 0);
    if (*source == '/')
        return strdup(source);
    struct path path;
    if (!here || path_init(&path, strlen(here) + strlen(source) + 1) < 0)
        return NULL;
    path_append_all(&path, here, SIZE_MAX);
    path_append_all(&path, source, 0);
    return path.text;
}

int symlink_find_root(const char *source, struct symlink_root *ret)
{
    *ret = (struct symlink_root){.resolved = realpath(source, NULL)};
    if (!ret->resolved && errno == ENAMETOOLONG)
        return 0; /* seen from a directory that has no path: then links stay as they are */
    if (!ret->resolved)
        return -errno;
    ret->absolute = find_absolute(source);
    return ret->absolute ? 0 : -errno;
}

void symlink_forget_root(struct symlink_root *root)
{
    free(root->absolute);
    free(root->resolved);
    *root = (struct symlink_root){0};
}

int symlink_learn_root(struct copyengine_job *job)
{
    struct symlink_root root;
    if (job->copy.symlinks != COPYENGINE_SYMLINKS_KEEP)
        return 0;
    int result = symlink_find_root(job->copy.source, &root);
    job->root_absolute = root.absolute;
    job->root_resolved = root.resolved;
    return result;
}

/* What the copy of a link says. Returns 0 or -ENOMEM. */
static int find_target(const struct directory *directory, const char *name, const char *target,
                       char *ret)
{
    struct copyengine_job *job = directory->job;
    int result = 0;
    if (job->copy.symlinks == COPYENGINE_SYMLINKS_KEEP) {
        CLEANUP_FREE char *parent = directory_relative_path(directory, NULL);
        if (!parent)
            return -ENOMEM;
        const struct symlink_root root = {job->root_absolute, job->root_resolved};
        result = symlink_keep_meaning(&root, directory->source_fd, parent, name, target, ret);
        if (result == 0)
            return 0;
    }
    if (result == -ENAMETOOLONG)
        job_warn(job, directory, name,
                 "the link leads elsewhere in the copy: a path to where it leads is too long for a "
                 "link");
    strcpy(ret, target);
    return result == -ENAMETOOLONG ? 0 : result;
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
                                      .one_mount = directory->job->one_mount,
                                      .flags = AT_SYMLINK_NOFOLLOW,
                                      .data = ret_status});
}

bool symlink_leave_out(struct directory *directory, const char *name)
{
    struct copyengine_job *job = directory->job;
    job_warn(job, directory, name,
             "not copied: the file system does not let the link be read (sshfs, for instance, "
             "refuses links that are absolute or have \"..\" in them: mount it with -o "
             "no_contain_symlinks)");
    job_completed(job, &job->skipped);
    return true;
}

/*
 * Whether what is set for a link would land on what it leads to: SFTP has no other way. Nobody's
 * file is to get another time, or owner, since it was linked to in a tree that was copied. Tried on
 * a link that leads nowhere.
 */
static bool follows_links(const struct io_port *port, const struct directory *directory)
{
    struct device_pair *pair = directory->job->pair;
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    char name[64], target[sizeof(name) + 8];
    if (atomic_load(&pair->knows_links))
        return atomic_load(&pair->follows_links);
    if (device_kind(directory->destination_fd) == DEVICE_REMOTE) {
        snprintf(name, sizeof(name), ".pkgcache-link-%d-%llx", getpid(),
                 (unsigned long long)clock_monotonic_ns());
        snprintf(target, sizeof(target), "%s-none", name);
        struct io_op op = {.kind = IO_MAKE_LINK,
                           .fd = directory->destination_fd,
                           .name = name,
                           .other_name = target};
        if (io_do(port, op) < 0)
            return false; /* a full disk, say: the next one tries again */
        op.kind = IO_SET_TIMES;
        op.data = (void *)now;
        atomic_store(&pair->follows_links, io_do(port, op) == -ENOENT);
        op.kind = IO_REMOVE;
        io_do(port, op);
    }
    atomic_store(&pair->knows_links, true);
    return atomic_load(&pair->follows_links);
}

int64_t symlink_make(const struct io_port *port, const struct directory *directory,
                     const char *name, const char *target, const struct statx *source,
                     struct timespec *mtime)
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
    bool follows = result == 0 && follows_links(port, directory);
    if (result == 0 && source && directory->job->copy.owner && !follows) {
        op.kind = IO_SET_OWNER;
        op.user = source->stx_uid;
        op.group = source->stx_gid;
        result = io_do(port, op);
    }
    return result == 0 ? attr_set_link_time(port, directory, name, !follows, mtime) : result;
}

/* As symlink_make, of a link that has several names: the first of them is made, and the others are
 * linked to it, if they say the same. */
static int64_t make_or_link(const struct io_port *port, const struct directory *directory,
                            const char *name, const char *target, const struct statx *source,
                            struct timespec *mtime)
{
    struct copyengine_job *job = directory->job;
    struct hard_links *links = &job->hard_links;
    hard_link_begin_symlink(links);
    int64_t result = 0;
    if (job_is_stopped(job)) /* while another name was made: nothing is made any more */
        result = -ECANCELED;
    else if (!hard_link_symlink(links, port, job->root_fd, directory, name, target, source,
                                mtime)) {
        result = symlink_make(port, directory, name, target, source, mtime);
        if (result == 0)
            result = hard_link_add_symlink(links, directory, name, target, source, *mtime);
    }
    hard_link_end_symlink(links);
    return result;
}

bool symlink_copy(const struct io_port *port, struct directory *directory, const char *name)
{
    struct copyengine_job *job = directory->job;
    char target[SYMLINK_TARGET_MAX];
    char copied[SYMLINK_TARGET_MAX];
    struct statx source;
    int64_t result = symlink_read(port, directory, name, target, &source);
    if (result == -EPERM || result == -EACCES)
        return symlink_leave_out(directory, name);
    if (result == 0)
        result = find_target(directory, name, target, copied);
    if (result < 0) {
        job_fail(job, "readlink", JOB_SOURCE, directory, name, (int)-result);
        return false;
    }
    if (job_is_stopped(job)) /* while a server took its time: nothing is made any more */
        return false;
    struct timespec mtime = {.tv_sec = source.stx_mtime.tv_sec,
                             .tv_nsec = source.stx_mtime.tv_nsec};
    result = source.stx_nlink > 1 ? make_or_link(port, directory, name, copied, &source, &mtime)
                                  : symlink_make(port, directory, name, copied, &source, &mtime);
    if (result < 0) {
        job_fail(job, "symlink", JOB_DESTINATION, directory, name, (int)-result);
        return false;
    }
    if (job->manifest)
        manifest_add_symlink(job->manifest, directory, name, copied, mtime);
    job_completed(job, &job->symlinks_done);
    return true;
}
