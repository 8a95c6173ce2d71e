/* Reading extended attributes. */
#include "cache/packing/xattrs.h"

#include "engine/compiler.h"

#include <assert.h>
#include <sys/xattr.h>

static bool is_kept(const char *name)
{
    return strncmp(name, "user.", 5) == 0 || strcmp(name, "system.posix_acl_access") == 0 ||
           strcmp(name, "system.posix_acl_default") == 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct pack_xattr *)a)->name, ((const struct pack_xattr *)b)->name);
}

/* Whose attributes are read. */
struct source {
    int fd;        /* -1: it is not open */
    char link[32]; /* then, what leads to it */
};

static ssize_t list(const struct source *source, char *names, size_t size)
{
    return source->fd >= 0 ? flistxattr(source->fd, names, size)
                           : listxattr(source->link, names, size);
}

static ssize_t get(const struct source *source, const char *name, void *value, size_t size)
{
    return source->fd >= 0 ? fgetxattr(source->fd, name, value, size)
                           : getxattr(source->link, name, value, size);
}

/* The names that are kept, one after the other. Returns their length, or -errno. */
static ssize_t list_names(const struct source *source, char **ret, size_t *ret_count)
{
    ssize_t length = list(source, NULL, 0);
    if (length <= 0)
        return length < 0 ? -errno : 0;
    char *names = malloc(XATTR_LIST_MAX);
    if (!names)
        return -ENOMEM;
    length = list(source, names, XATTR_LIST_MAX);
    if (length < 0) {
        length = -errno;
        free(names);
        return length;
    }
    size_t kept = 0;
    for (const char *name = names; name < names + length;) {
        size_t size = strlen(name) + 1;
        if (is_kept(name)) {
            memmove(names + kept, name, size);
            kept += size;
            ++*ret_count;
        }
        name += size;
    }
    *ret = names;
    return (ssize_t)kept;
}

/* Reads the values behind the names, which are in `result` already. Returns 0 or -errno. */
static int read_values(const struct source *source, struct xattrs **result, size_t used,
                       size_t capacity, const char *names, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++, names += strlen(names) + 1) {
        if (capacity - used < XATTR_SIZE_MAX) {
            struct xattrs *larger = realloc(*result, capacity += (size_t)2 * XATTR_SIZE_MAX);
            if (!larger)
                return -ENOMEM;
            *result = larger;
        }
        ssize_t length = get(source, names, (char *)*result + used, XATTR_SIZE_MAX);
        if (length < 0 && errno == ENODATA) /* removed in between */
            continue;
        if (length < 0)
            return -errno;
        total += strlen(names) + (size_t)length;
        if (total > PACK_XATTRS_BYTES_MAX)
            return -E2BIG;
        /* Offsets for now: the block may move. */
        struct pack_xattr *item = &(*result)->items[(*result)->count++];
        *item = (struct pack_xattr){.name = (const char *)(uintptr_t)i,
                                    .value = (const uint8_t *)(uintptr_t)used,
                                    .length = (size_t)length};
        used += (size_t)length;
    }
    return 0;
}

/* Makes pointers of offsets. */
static void settle(struct xattrs *result, const char *names)
{
    size_t number = 0;
    for (size_t i = 0; i < result->count; i++) {
        struct pack_xattr *item = &result->items[i];
        for (; number < (uintptr_t)item->name; number++)
            names += strlen(names) + 1;
        item->name = names;
        item->value = (const uint8_t *)result + (uintptr_t)item->value;
    }
    qsort(result->items, result->count, sizeof(result->items[0]), compare);
}

static int read_source(const struct source *source, struct xattrs **ret)
{
    CLEANUP_FREE char *names = NULL;
    size_t count = 0;
    *ret = NULL;
    ssize_t length = list_names(source, &names, &count);
    if (length == -EOPNOTSUPP || length == -ENOSYS)
        return 0;
    if (length <= 0)
        return (int)length;
    size_t head = sizeof(struct xattrs) + count * sizeof(struct pack_xattr);
    size_t capacity = head + (size_t)length + 4096;
    CLEANUP_FREE struct xattrs *result = malloc(capacity);
    if (!result)
        return -ENOMEM;
    result->count = 0;
    assert(names);
    memcpy((char *)result + head, names, (size_t)length);
    int code = read_values(source, &result, head + (size_t)length, capacity, names, count);
    if (code < 0)
        return code;
    settle(result, (const char *)result + head);
    *ret = result->count > 0 ? STEAL(result) : NULL;
    return 0;
}

int xattrs_read(int fd, struct xattrs **ret)
{
    return read_source(&(struct source){.fd = fd}, ret);
}

int xattrs_read_unopened(int path_fd, struct xattrs **ret)
{
    struct source source = {.fd = -1};
    snprintf(source.link, sizeof(source.link), "/proc/self/fd/%d", path_fd);
    return read_source(&source, ret);
}
