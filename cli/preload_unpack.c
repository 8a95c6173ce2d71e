/* A node fills its cache from a pack: by `pkgcache warm PACK`, whose document says what became of
 * each variant. */
#include "cli/preload_unpack.h"
#include "cache/pack/pack_reader.h"
#include "cache/preload/farm_child.h"
#include "cache/store/handle.h"
#include "cli/output.h"
#include "cli/signals.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

enum { DOCUMENT_MAX_BYTES = 512 << 20 };

/* The pack that was made, and no other. */
static int check_digest(const struct preload_node *node, const char *path,
                        struct pkgcache_error *error)
{
    struct pack *pack = NULL;
    char digest[FARM_DIGEST_SIZE];
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, errno, "pack %s: %s", path, strerror(errno));
    int result = pack_open(fd, path, &pack, error);
    if (result < 0)
        return result;
    const uint8_t *bytes = pack_digest(pack);
    for (size_t i = 0; i < PACK_DIGEST_BYTES; i++)
        snprintf(digest + 2 * i, 3, "%02x", bytes[i]);
    pack_close(pack);
    return strcmp(digest, node->order.pack.digest) == 0
               ? 0
               : error_set(error, EBADMSG, "pack %s: it is not the one that was made for this run",
                           path);
}

/* What it would not find by itself: a launcher's environment has no settings (farm_child.c). */
static bool is_ours(int id, const char *origin)
{
    return id == SETTING_CACHE || strcmp(origin, FARM_ORDER_ORIGIN) == 0 ||
           strncmp(origin, "PKGCACHE_", strlen("PKGCACHE_")) == 0;
}

static int build_command(const struct preload_node *node, const char *path,
                         struct farm_arguments *arguments)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (length < 0)
        return -errno;
    own[length] = '\0';
    farm_arguments_add(arguments, own);
    farm_arguments_add(arguments, "warm");
    farm_arguments_add(arguments, "--json");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_value *value = &node->settings.values[i];
        if (value->text && is_ours(i, value->origin))
            farm_arguments_printf(arguments, "--%s=%s", settings_table[i].name, value->text);
    }
    farm_arguments_add(arguments, "--");
    farm_arguments_add(arguments, path);
    return arguments->error;
}

/* Its place in the order; the count: it is not there. */
static size_t find_variant(const struct preload_node *node, const struct json *handle)
{
    const struct source_variants *variants = &node->sources.variants;
    size_t i = 0;
    while (i < variants->count &&
           !(variants->items[i].handle && handle_equals_json(variants->items[i].handle, handle)))
        i++;
    return i;
}

static uint64_t read_count(const struct json *object, const char *name)
{
    int64_t number;
    const struct json *value = json_member(object, name);
    return value && json_integer(value, 0, INT64_MAX, &number) == 0 ? (uint64_t)number : 0;
}

static void tell_result(struct preload_node *node, const struct json *one)
{
    const struct json *handle = json_member(one, "handle");
    const struct json *status = json_member(one, "status");
    const struct json *reason = json_member(one, "reason");
    size_t place = handle ? find_variant(node, handle) : node->sources.variants.count;
    if (place == node->sources.variants.count)
        return;
    struct pkgcache_result result = {
        .reason = (char *)(reason && reason->type == JSON_STRING ? reason->text : "it failed"),
        .files = read_count(one, "files"),
        .bytes = read_count(one, "bytes"),
    };
    preload_tell_variant(node, place,
                         json_is_string(status, "created") ? FARM_LINE_CREATED
                         : json_is_string(status, "found") ? FARM_LINE_FOUND
                                                           : FARM_LINE_FAILED,
                         true, &result);
}

/* What it said on standard error: lines of JSON. */
static int say_why(const struct text *errors, int status, struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    const char *bytes = errors->bytes ? errors->bytes : "";
    size_t length = strcspn(bytes, "\n");
    const struct json *said = NULL;
    if (json_parse(bytes, length, &document, NULL) == 0)
        said = json_member(document->root, "error");
    if (WIFSIGNALED(status))
        return error_set(error, EIO, "pkgcache warm was killed by signal %d", WTERMSIG(status));
    return error_set(error, EIO, "pkgcache warm: %.900s",
                     said && said->type == JSON_STRING ? said->text : bytes);
}

int preload_unpack(struct preload_node *node, const char *path, struct pkgcache_error *error)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    CLEANUP_TEXT struct text errors = {0};
    CLEANUP_JSON struct json_document *document = NULL;
    int status = 0;
    int result = check_digest(node, path, error);
    if (result < 0)
        return result;
    if (build_command(node, path, &arguments) < 0)
        return error_set(error, ENOMEM, "out of memory");
    result = farm_child_ask(&arguments, 0, DOCUMENT_MAX_BYTES, &output, &errors, &status, error);
    if (result < 0)
        return result;
    if (output.length == 0 || json_parse(output.bytes, output.length, &document, NULL) < 0)
        return say_why(&errors, status, error);
    const struct json *list = json_member(document->root, "results");
    for (const struct json *one = list ? list->first : NULL; one; one = one->next)
        tell_result(node, one);
    struct pollfd signal = {.fd = signals_fd(), .events = POLLIN};
    return poll(&signal, 1, 0) > 0 ? error_set(error, ECANCELED, PRELOAD_STOPPED) : 0;
}
