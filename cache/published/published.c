/* Opening published manifests. What is cheap and most often so is asked first: there is none. */
#include "cache/published/published.h"

#include "cache/published/published_head.h"
#include "cache/published/published_way.h"
#include "engine/compiler.h"

struct published {
    char *path;
    int fd;
    struct stat root;
    struct pack *pack;
};

/* Whether a definition is as the manifest was made with. */
static bool is_definition_unchanged(int package_fd, const struct published_definition *definition)
{
    struct published_definition now;
    return published_definition_find(package_fd, definition->name, &now) == 0 &&
           published_definition_equal(&now, definition);
}

/* Whether root and definition are what the manifest was made of. */
static int check_age(const struct published *published, const struct published_head *head,
                     const struct pkgcache_handle *handle, struct pkgcache_error *error)
{
    struct published_times now = published_times_of(&published->root);
    if (!published_times_equal(&head->root, &now))
        return error_set(error, ESTALE,
                         "%s: the payload's root was changed since this manifest was made: run "
                         "pkgcache manifest again",
                         published->path);
    CLEANUP_CLOSE int package_fd = published_open_package(handle);
    if (package_fd == -ENOMEM)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < head->definition_count; i++)
        if (!is_definition_unchanged(package_fd, &head->definitions[i]))
            return error_set(error, ESTALE,
                             "%s: the package's %s was changed since this manifest was made: run "
                             "pkgcache manifest again",
                             published->path, head->definitions[i].name);
    return 0;
}

static int check_head(const struct published *published, const struct published_head *head,
                      const struct pkgcache_handle *handle, uint64_t file_bytes,
                      struct pkgcache_error *error)
{
    CLEANUP_HANDLE struct pkgcache_handle *its = NULL;
    const char *text = head->variant.handle;
    if (handle_parse(text, strlen(text), &its, NULL) < 0 || !handle_equal(its, handle))
        return error_set(error, EBADMSG, "%s: it is the manifest of another variant",
                         published->path);
    if (head->length + head->stored != file_bytes)
        return error_set(error, EBADMSG,
                         "%s: it has %ju bytes, and its head says %ju: it is cut off, or something "
                         "was added; run pkgcache manifest again",
                         published->path, (uintmax_t)file_bytes,
                         (uintmax_t)(head->length + head->stored));
    return 0;
}

/* Opens the payload's root, of which it must be. */
static int find_root(struct published *published, const char *root, struct pkgcache_error *error)
{
    if (stat(root, &published->root) < 0 && errno == ENOENT)
        return error_set(error, ESTALE, "%s: its payload is not there any more: %s",
                         published->path, root);
    if (stat(root, &published->root) < 0)
        return error_set(error, errno, "%s: %s", root, strerror(errno));
    return S_ISDIR(published->root.st_mode)
               ? 0
               : error_set(error, ENOTDIR, "%s: %s", root, strerror(ENOTDIR));
}

static int find(struct published *published, const struct pkgcache_handle *handle, const char *root,
                struct pkgcache_error *error)
{
    struct published_way way;
    CLEANUP_PUBLISHED_HEAD struct published_head head = {0};
    published->path = published_way_path(handle);
    if (!published->path)
        return error_set(error, ENOMEM, "out of memory");
    int result = published_way_go(handle, published->path, &way, error);
    published->fd = way.fd;
    if (result == 0)
        result = find_root(published, root, error);
    if (result == 0)
        result = published_way_judge(&way, handle, published->root.st_uid, error);
    if (result == 0)
        result = published_head_read(published->fd, published->path, &head, error);
    if (result == 0)
        result = check_head(published, &head, handle, (uint64_t)way.status.st_size, error);
    if (result == 0)
        result = check_age(published, &head, handle, error);
    return result == 0
               ? pack_open_entries(published->fd, published->path, &head.variant, head.length,
                                   head.stored, head.size, &published->pack, error)
               : result;
}

int published_open(const struct pkgcache_handle *handle, const char *root, struct published **ret,
                   struct pkgcache_error *ret_reason)
{
    struct published *published = calloc(1, sizeof(*published));
    if (!published)
        return error_set(ret_reason, ENOMEM, "out of memory");
    published->fd = -1;
    int result = find(published, handle, root, ret_reason);
    if (result < 0) {
        published_close(published);
        return result == -ENOMEM ? result : 0;
    }
    *ret = published;
    return 1;
}

const struct pack *published_pack(const struct published *published)
{
    return published->pack;
}

const struct stat *published_root(const struct published *published)
{
    return &published->root;
}

const char *published_path(const struct published *published)
{
    return published->path;
}

void published_close(struct published *published)
{
    if (!published)
        return;
    pack_close(published->pack);
    cleanup_close_fd(&published->fd);
    free(published->path);
    free(published);
}
