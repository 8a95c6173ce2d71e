/*
 * Between a published manifest and the engine. The manifest says what there is, and its source is
 * asked for nothing but contents, and for what links lead to. What it says is believed of files
 * that are reused; the engine checks it of those that are fetched.
 */
#include "cache/warm/published_supply.h"

#include "cache/warm/pack_contents.h"
#include "cache/warm/supply_origins.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

struct published_supply {
    struct warm_supply supply;
    atomic_uint references; /* the caller's, and each copy's */
    struct pkgcache_handle *handle;
    char *root;
    ino_t inode; /* of the root */
    bool keeps_links;
    pthread_mutex_t lock; /* for what follows */
    int root_fd;          /* this and the next are the next copy's */
    struct published *published;
};

/* One copy of a payload. */
struct published_copy {
    struct published_supply *supply;
    int root_fd; /* -1: not open yet, as the next */
    struct published *published;
    struct pack_contents contents;
    struct supply_origins origins;
};

static struct published_supply *published_supply_of(struct warm_supply *supply)
{
    return CONTAINER_OF(supply, struct published_supply, supply);
}

static void release_supply(struct published_supply *supply)
{
    if (atomic_fetch_sub(&supply->references, 1) > 1)
        return;
    published_close(supply->published);
    cleanup_close_fd(&supply->root_fd);
    pthread_mutex_destroy(&supply->lock);
    first_error_destroy(&supply->supply.error);
    handle_free(supply->handle);
    free(supply->root);
    free(supply);
}

static void supply_release(struct warm_supply *supply)
{
    release_supply(published_supply_of(supply));
}

static void *supply_begin(struct warm_supply *base, struct donors *donors)
{
    struct published_supply *supply = published_supply_of(base);
    struct published_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return NULL;
    supply_origins_begin(&copy->origins, donors);
    copy->supply = supply;
    atomic_fetch_add(&supply->references, 1);
    pthread_mutex_lock(&supply->lock);
    copy->published = STEAL(supply->published);
    copy->root_fd = steal_fd(&supply->root_fd);
    pthread_mutex_unlock(&supply->lock);
    first_error_clear(&base->error);
    return copy;
}

static void supply_end(void *context)
{
    struct published_copy *copy = context;
    supply_origins_free(&copy->origins);
    pack_contents_free(&copy->contents);
    published_close(copy->published);
    cleanup_close_fd(&copy->root_fd);
    release_supply(copy->supply);
    free(copy);
}

/* Opens manifest and root, unless they still are since they were found. */
static int open_manifest(struct published_copy *copy, struct pkgcache_error *error)
{
    const struct published_supply *supply = copy->supply;
    struct stat status;
    if (copy->published)
        return 0;
    int result = published_open(supply->handle, supply->root, &copy->published, error);
    if (result <= 0)
        return result < 0 ? result : -ESTALE;
    copy->root_fd = open(supply->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy->root_fd < 0 || fstat(copy->root_fd, &status) < 0)
        return error_set(error, errno, "%s: %s", supply->root, strerror(errno));
    const struct stat *root = published_root(copy->published);
    if (status.st_dev != root->st_dev || status.st_ino != root->st_ino ||
        status.st_dev != supply->supply.device || status.st_ino != supply->inode)
        return error_set(error, ESTALE, "%s: another directory has taken its place", supply->root);
    return 0;
}

/* Has links lead to where they lead at the source. */
static int keep_links(struct published_copy *copy, struct pkgcache_error *error)
{
    const struct published_supply *supply = copy->supply;
    char target[COPYENGINE_LINK_SIZE];
    int result = 0;
    for (size_t i = 0; i < copy->contents.contents.entry_count && result == 0; i++) {
        const struct copyengine_entry *entry = &copy->contents.contents.entries[i];
        if (entry->type != COPYENGINE_SYMLINK)
            continue;
        result =
            copyengine_keep_link(supply->root, copy->root_fd, entry->path, entry->target, target);
        if (result == 0 && strcmp(target, entry->target) != 0)
            result = pack_contents_set_target(&copy->contents, i, target);
    }
    return result < 0
               ? error_set(error, -result, "%s: its links: %s", supply->root, strerror(-result))
               : 0;
}

static int supply_describe(void *context, struct copyengine_job *job,
                           struct copyengine_contents *ret, const char **ret_explanation)
{
    struct published_copy *copy = context;
    struct published_supply *supply = copy->supply;
    struct pkgcache_error error = {0};
    (void)ret_explanation;
    int result = open_manifest(copy, &error);
    if (result == 0)
        result =
            pack_contents_read(published_pack(copy->published), 0, job, &copy->contents, &error);
    if (result == 0 && supply->keeps_links)
        result = keep_links(copy, &error);
    if (result == 0) {
        *ret = copy->contents.contents;
        result = supply_origins_find(&copy->origins, ret, copy->root_fd, job);
    }
    return first_error_take(&supply->supply.error, result, &error);
}

/* There are no parts. */
static int supply_read(void *context, struct copyengine_job *job, size_t part, void *buffer,
                       const char **ret_explanation)
{
    (void)context;
    (void)job;
    (void)part;
    (void)buffer;
    (void)ret_explanation;
    return -EBADMSG;
}

static const struct copyengine_origins *supply_find_origins(void *context)
{
    const struct published_copy *copy = context;
    return &copy->origins.origins;
}

/* Files come in any order. */
static void supply_expect(struct warm_supply *supply)
{
    (void)supply;
}

static bool supply_is_near(struct warm_supply *supply)
{
    (void)supply;
    return true;
}

static void supply_settle(struct warm_supply *supply)
{
    (void)supply;
}

static const struct warm_supply_kind published_supply_kind = {
    .begin = supply_begin,
    .origins = supply_find_origins,
    .describe = supply_describe,
    .read = supply_read,
    .end = supply_end,
    .expect = supply_expect,
    .is_near = supply_is_near,
    .settle = supply_settle,
    .release = supply_release,
};

int published_supply_new(const struct published_payload *payload, struct warm_supply **ret)
{
    struct published_supply *supply = calloc(1, sizeof(*supply));
    if (!supply) {
        if (payload->root_fd >= 0)
            close(payload->root_fd);
        published_close(payload->published);
        return -ENOMEM;
    }
    supply->references = 1;
    supply->root_fd = payload->root_fd;
    supply->published = payload->published;
    supply->inode = payload->inode;
    supply->keeps_links = payload->keeps_links;
    int result = handle_copy(payload->handle, &supply->handle);
    supply->root = strdup(payload->root);
    supply->supply = (struct warm_supply){
        .kind = &published_supply_kind,
        .name = supply->root,
        .waits = payload->waits,
        .device = payload->device,
    };
    first_error_init(&supply->supply.error);
    pthread_mutex_init(&supply->lock, NULL);
    if (result < 0 || !supply->root) {
        release_supply(supply);
        return -ENOMEM;
    }
    *ret = &supply->supply;
    return 0;
}

bool published_supply_is_wrong(int code)
{
    static const int codes[] = {EBADMSG, ENOENT, ENOTDIR, EISDIR, ELOOP,
                                ENXIO,   ESTALE, EINVAL,  EXDEV,  ENAMETOOLONG};
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        if (code == codes[i])
            return true;
    return false;
}
