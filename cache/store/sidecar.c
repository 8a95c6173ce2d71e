/*
 * Sidecars. rez writes them in place, so an empty or half one is a state that occurs, not only
 * damage; a reader cannot tell, and says -EBADMSG for both.
 */
#include "cache/store/sidecar.h"

#include "cache/util/file.h"
#include "cache/util/names.h"

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
        return result == -EINVAL && handle_json_breaks_rez(value) ? -EBADMSG : result;
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

/*
 * Reads once: where a read returns less than the file holds, the text is no JSON either. A text
 * that is no JSON, or may be longer than the buffer, makes this fail; then sidecar_read() reads the
 * file again, completely.
 */
static int check_handle(int fd, const struct pkgcache_handle *handle, bool *ret_holds)
{
    char text[USUAL_TEXT];
    _Alignas(max_align_t) char room[USUAL_DOCUMENT];
    CLEANUP_JSON struct json_document *document = NULL;
    ssize_t length = read(fd, text, sizeof(text));
    if (length < 0 || length == (ssize_t)sizeof(text))
        return -EAGAIN;
    int result = json_parse_in(room, sizeof(room), text, (size_t)length, &document, NULL);
    if (result == 0)
        *ret_holds = handle_equals_json(handle, json_member(document->root, "handle"));
    return result;
}

bool sidecar_file_holds(int fd, const struct pkgcache_handle *handle)
{
    bool holds = false;
    return check_handle(fd, handle, &holds) == 0 && holds;
}

bool sidecar_holds(int dirfd, const char *name, const struct pkgcache_handle *handle, int *ret_fd)
{
    bool holds = false;
    CLEANUP_CLOSE int fd = names_open_file(dirfd, name, SIDECAR_OPEN_FLAGS, 0);
    if (fd < 0)
        return false;
    if (check_handle(fd, handle, &holds) < 0) {
        CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
        holds =
            sidecar_read(dirfd, name, &sidecar, NULL) == 0 && handle_equal(sidecar.handle, handle);
        if (holds) { /* that file, whatever the first was */
            cleanup_close_fd(&fd);
            fd = steal_fd(&sidecar.fd);
        }
    }
    if (holds)
        *ret_fd = steal_fd(&fd);
    return holds;
}

void sidecar_clear(struct sidecar *sidecar)
{
    handle_free(sidecar->handle);
    free(sidecar->root);
    cleanup_close_fd(&sidecar->fd);
    *sidecar = SIDECAR_INIT;
}
