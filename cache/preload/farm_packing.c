/* The pack: what nodes lack, read from the source once. */
#include "cache/preload/farm_packing.h"

#include "cache/preload/farm_child.h"
#include "cache/preload/farm_digest.h"
#include "cache/util/file.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum {
    PACKS_MAX = 1000,            /* that are made for one run */
    RESULT_MAX_BYTES = 64 << 10, /* what `pkgcache pack --json` prints */
    WHY_MAX = 512,
};

#define PART_BYTES (UINT64_C(64) << 20) /* what is lost when a cast fails */
#define ORDER_FILE "order-warm.json"

/** One try to make the pack. */
struct
try {
    char manifest[32];
    char pack[32];
    char output[32];
    char errors[32];
};

static struct try name_try(unsigned number)
{
    struct try try;
    snprintf(try.manifest, sizeof(try.manifest), "pack-%u.json", number);
    snprintf(try.pack, sizeof(try.pack), "pack-%u.pack", number);
    snprintf(try.output, sizeof(try.output), "pack-%u.out", number);
    snprintf(try.errors, sizeof(try.errors), "pack-%u.err", number);
    return try;
}

int farm_packing_read_order(const struct coordinator *coordinator, struct json_document **ret)
{
    return json_read_file(coordinator->directory->fd, ORDER_FILE, FARM_ORDER_MAX_BYTES, ret,
                          coordinator->error);
}

/* Settings that concern reading the source. */
static void add_settings(struct farm_arguments *arguments, const struct json *settings)
{
    static const char *const names[] = {"symlinks",  "bwlimit", "io-priority",
                                        "in-flight", "local",   "local-path"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        const struct json *value = json_member(settings, names[i]);
        if (value && value->type == JSON_STRING)
            farm_arguments_printf(arguments, "--%s=%s", names[i], value->text);
    }
}

static int start(struct coordinator *coordinator, const struct try *try,
                 const struct json *settings, pid_t *ret_pid)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[MAX(length, 0)] = '\0';
    farm_arguments_add(&arguments, own);
    farm_arguments_add(&arguments, "pack");
    farm_arguments_add(&arguments, "--json");
    add_settings(&arguments, settings);
    if (coordinator->history->plan.level > 0)
        farm_arguments_printf(&arguments, "--level=%u", coordinator->history->plan.level);
    farm_arguments_printf(&arguments, "--output=%s/%s", coordinator->directory->path, try->pack);
    farm_arguments_add(&arguments, "--");
    farm_arguments_printf(&arguments, "%s/%s", coordinator->directory->path, try->manifest);
    return farm_child_start(&arguments, coordinator->directory->fd, try->manifest, try->output,
                            try->errors, ret_pid, coordinator->error);
}

/* Until the program has ended, or the run is to. */
static void await(struct coordinator *coordinator, const struct try *try, pid_t pid)
{
    for (;;) {
        if (pid > 0 && waitpid(pid, NULL, WNOHANG) == pid)
            pid = 0;
        if (pid <= 0 && farm_child_runs(coordinator->directory->fd, try->output) != 1)
            return;
        farm_attempts_look_for_ends(coordinator);
        if (coordinator->ending && pid > 0)
            kill(-pid, SIGTERM);
        else if (coordinator->ending)
            return;
        farm_attempts_wait(coordinator);
    }
}

static int64_t read_count(const struct json *object, const char *name)
{
    int64_t number = -1;
    json_integer(json_member(object, name), 0, INT64_MAX, &number);
    return number;
}

/* What the program said that it made. Returns whether it has made a pack. */
static bool read_result(struct coordinator *coordinator, const struct try *try)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct farm_pack *pack = &coordinator->pack;
    if (json_read_file(coordinator->directory->fd, try->output, RESULT_MAX_BYTES, &document, NULL) <
        0)
        return false;
    const struct json *digest = json_member(document->root, "digest");
    int64_t bytes = read_count(document->root, "pack_bytes");
    int64_t payload_bytes = read_count(document->root, "bytes");
    if (!digest || digest->type != JSON_STRING || digest->text_length != FARM_DIGEST_SIZE - 1 ||
        bytes < 0 || payload_bytes < 0 || !file_exists(coordinator->directory->fd, try->pack))
        return false;
    farm_pack_free(pack);
    memcpy(pack->digest, digest->text, FARM_DIGEST_SIZE);
    pack->bytes = (uint64_t)bytes;
    pack->payload_bytes = (uint64_t)payload_bytes;
    if (asprintf(&pack->path, "%s/%s", coordinator->directory->path, try->pack) < 0)
        pack->path = NULL;
    return pack->path != NULL;
}

/* What the program said of why it made none: its last line. */
static int say_why(struct coordinator *coordinator, const struct try *try)
{
    CLEANUP_TEXT struct text errors = {0};
    CLEANUP_JSON struct json_document *document = NULL;
    const char *last = "";
    farm_attempts_read_errors(coordinator, try->errors, &errors);
    char *rest = errors.bytes;
    for (char *line; rest && (line = strsep(&rest, "\n"));)
        last = *line ? line : last;
    const struct json *said = json_parse(last, strlen(last), &document, NULL) == 0
                                  ? json_member(document->root, "error")
                                  : NULL;
    free(STEAL(coordinator->lost));
    if (asprintf(&coordinator->lost, "%.*s", WHY_MAX,
                 said && said->type == JSON_STRING ? said->text
                 : *last                           ? last
                                                   : "pkgcache pack did not say why") < 0)
        coordinator->lost = NULL;
    return coordinator->lost ? 0 : error_set(coordinator->error, ENOMEM, "out of memory");
}

/* Whether a manifest that was written before has this text. */
static bool has_text(const struct coordinator *coordinator, const char *name,
                     const struct text *text)
{
    CLEANUP_TEXT struct text found = {0};
    CLEANUP_CLOSE int fd = -1;
    return file_open_regular(coordinator->directory->fd, name, &fd, NULL) == 0 &&
           file_read(fd, FARM_ORDER_MAX_BYTES, &found, NULL) == 0 && found.length == text->length &&
           memcmp(found.bytes, text->bytes, text->length) == 0;
}

/* A pack of the same variants that was made, or is being made, by an earlier coordinator; or a new
 * one. Returns 1: there is one; 0: this try made none; or -errno. */
static int try_once(struct coordinator *coordinator, unsigned number, const struct text *manifest,
                    const struct json *settings)
{
    const struct try try = name_try(number);
    pid_t pid = 0;
    bool is_old = file_exists(coordinator->directory->fd, try.manifest);
    if (is_old && !has_text(coordinator, try.manifest, manifest))
        return 0;
    if (!is_old) {
        int result = farm_directory_write(coordinator->directory, try.manifest, manifest,
                                          coordinator->error);
        if (result == 0)
            result = start(coordinator, &try, settings, &pid);
        if (result < 0)
            return result;
    }
    await(coordinator, &try, pid);
    if (read_result(coordinator, &try))
        return 1;
    return is_old ? 0 : say_why(coordinator, &try);
}

int farm_packing_make(struct coordinator *coordinator)
{
    CLEANUP_JSON struct json_document *order = NULL;
    CLEANUP_TEXT struct text manifest = {0};
    int result = farm_packing_read_order(coordinator, &order);
    if (result < 0)
        return result;
    farm_order_print_manifest(&manifest, order->root, coordinator->history->lacks);
    if (manifest.error < 0)
        return error_set(coordinator->error, ENOMEM, "out of memory");
    for (unsigned number = 1; number <= PACKS_MAX && result == 0; number++) {
        if (coordinator->ending || coordinator->lost)
            return 0;
        result = try_once(coordinator, number, &manifest, json_member(order->root, "settings"));
    }
    return MIN(result, 0);
}

int farm_packing_write_order(struct coordinator *coordinator, enum farm_step step, const char *name)
{
    CLEANUP_JSON struct json_document *order = NULL;
    CLEANUP_TEXT struct text text = {0};
    int result = farm_packing_read_order(coordinator, &order);
    if (result < 0)
        return result;
    farm_order_print_pack(&text, order->root, step, &coordinator->pack);
    if (unlinkat(coordinator->directory->fd, name, 0) < 0 && errno != ENOENT)
        return error_set(coordinator->error, errno, "%s: %s", name, strerror(errno));
    return farm_directory_write(coordinator->directory, name, &text, coordinator->error);
}

int farm_packing_divide(struct coordinator *coordinator)
{
    struct farm_pack *pack = &coordinator->pack;
    CLEANUP_CLOSE int fd = open(pack->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(coordinator->error, errno, "%s: %s", pack->path, strerror(errno));
    size_t count = (size_t)((pack->bytes + PART_BYTES - 1) / PART_BYTES);
    if (count > FARM_PARTS_MAX)
        return error_set(coordinator->error, EFBIG, "%s: it is too large to be cast", pack->path);
    pack->parts = calloc(count + 1, sizeof(*pack->parts));
    int result = pack->parts ? 0 : -ENOMEM;
    for (size_t i = 0; i < count && result == 0; i++) {
        struct farm_part *part = &pack->parts[pack->part_count++];
        part->bytes = MIN(PART_BYTES, pack->bytes - i * PART_BYTES);
        result = farm_digest_copy(fd, (off_t)(i * PART_BYTES), part->bytes, -1, part->digest);
    }
    return result < 0
               ? error_set(coordinator->error, -result, "%s: %s", pack->path, strerror(-result))
               : 0;
}
