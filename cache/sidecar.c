/*
 * Sidecars. rez writes them in place, so an empty or half one is a state that occurs, not only
 * damage; a reader cannot tell, and says -EBADMSG for both.
 */
#include "cache/sidecar.h"

#include "cache/file.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>

enum { /* bytes on the stack */
       USUAL_TEXT = 2048,
       USUAL_DOCUMENT = 8192,
};

void sidecar_write(struct text *text, const struct pkgcache_handle *handle, const char *root,
                   const struct json *data)
{
    text_append_string(text, "{\"handle\": ");
    handle_to_json(text, handle);
    if (data) {
        text_append_string(text, ", \"data\": ");
        json_write(text, data);
    }
    if (root) {
        text_append_string(text, ", \"pkgcache\": {\"root\": ");
        json_write_string(text, root, strlen(root));
        text_append_byte(text, '}');
    }
    text_append_byte(text, '}');
}

static int root_from_json(const struct json *value, char **ret_root)
{
    *ret_root = NULL;
    if (!value || value->type != JSON_STRING || value->text[0] != '/' ||
        memchr(value->text, '\0', value->text_length))
        return 0;
    CLEANUP_FREE char *root = malloc(value->text_length + 1);
    if (!root)
        return -ENOMEM;
    if (utf8_to_path(value->text, value->text_length, root) == 0)
        *ret_root = STEAL(root);
    return 0;
}

int sidecar_parse(const char *text, size_t length, struct sidecar *ret_sidecar,
                  struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    int result = json_parse(text, length, &document, error);
    if (result < 0)
        return result;
    const struct json *value = json_member(document->root, "handle");
    if (!value || value->type != JSON_OBJECT)
        return error_set(error, EBADMSG, "not a sidecar: there is no handle in it");

    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    result = handle_from_json(value, &sidecar.handle, error);
    if (result < 0)
        return result;
    const struct json *ours = json_member(document->root, "pkgcache");
    if (root_from_json(json_member(ours, "root"), &sidecar.root) < 0)
        return error_set(error, ENOMEM, "not enough memory for a sidecar");
    *ret_sidecar = sidecar;
    sidecar = SIDECAR_INIT;
    return 0;
}

static int read_sidecar(int dirfd, const char *name, struct sidecar *ret_sidecar,
                        struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_TEXT struct text text = {0};
    int result = file_open_regular(dirfd, name, &fd, error);
    if (result == 0)
        result = file_read(fd, SIDECAR_MAX_BYTES, &text, error);
    if (result == 0)
        result = sidecar_parse(text.bytes, text.length, ret_sidecar, error);
    if (result == 0)
        ret_sidecar->fd = steal_fd(&fd);
    return result;
}

int sidecar_read(int dirfd, const char *name, struct sidecar *ret_sidecar,
                 struct pkgcache_error *error)
{
    struct pkgcache_error inner;
    int result = read_sidecar(dirfd, name, ret_sidecar, &inner);
    if (result == 0)
        return 0;
    char quoted[JSON_QUOTE_SIZE];
    json_quote_string(name, strlen(name), quoted);
    return error_set(error, -result, "sidecar %s: %s", quoted, inner.message);
}

/* Reads until the end, or until the buffer is full. */
static ssize_t read_some(int fd, char *buffer, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t got = read(fd, buffer + length, size - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

static bool large_sidecar_holds(int dirfd, const char *name, const struct pkgcache_handle *handle,
                                int *ret_fd)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    if (sidecar_read(dirfd, name, &sidecar, NULL) < 0 || !handle_equal(sidecar.handle, handle))
        return false;
    *ret_fd = steal_fd(&sidecar.fd);
    return true;
}

bool sidecar_holds(int dirfd, const char *name, const struct pkgcache_handle *handle, int *ret_fd)
{
    char text[USUAL_TEXT];
    _Alignas(max_align_t) char room[USUAL_DOCUMENT];
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_CLOSE int fd =
        openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read_some(fd, text, sizeof(text));
    if (length < 0)
        return false;
    if (length == sizeof(text))
        return large_sidecar_holds(dirfd, name, handle, ret_fd);
    if (json_parse_in(room, sizeof(room), text, (size_t)length, &document, NULL) < 0 ||
        !handle_equals_json(handle, json_member(document->root, "handle")))
        return false;
    *ret_fd = steal_fd(&fd);
    return true;
}

void sidecar_clear(struct sidecar *sidecar)
{
    handle_free(sidecar->handle);
    free(sidecar->root);
    cleanup_close_fd(&sidecar->fd);
    *sidecar = SIDECAR_INIT;
}
