/* Showing packs: what is in them, and whether it is sound. */
#include "cli/pack_show.h"

#include "cache/json/json_stream.h"
#include "cache/packing/pack_check.h"
#include "cache/store/handle.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum { NAME_BYTES = 600, DIGEST_TEXT_BYTES = 2 * PACK_DIGEST_BYTES + 1 };

/* A pack that is shown. */
struct showing {
    const struct options *options;
    struct pack *pack;
    int fd;
    struct json_stream *stream;
    size_t damaged; /* variants */
};

static void print_digest(const uint8_t *digest, char ret[static DIGEST_TEXT_BYTES])
{
    for (size_t i = 0; i < PACK_DIGEST_BYTES; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

void pack_show_digest(cJSON *object, const char *name, const uint8_t *digest)
{
    char text[DIGEST_TEXT_BYTES];
    print_digest(digest, text);
    json_add_string(object, name, text);
}

/* Opens a pack that is named. Returns an exit code, or -1: it is open. */
static int open_pack(struct showing *showing, const char *path)
{
    struct pkgcache_error error;
    showing->pack = NULL;
    showing->damaged = 0;
    if (strcmp(path, "-") == 0)
        return output_error(showing->options, EXIT_FAILED, EINVAL,
                            "-: a pack is listed and checked as a file: name it, or ./- if that is "
                            "its name");
    showing->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (showing->fd < 0)
        return output_error(showing->options, EXIT_FAILED, errno, "%s: %s", path, strerror(errno));
    if (pack_open(showing->fd, path, &showing->pack, &error) == 0)
        return -1;
    close(showing->fd);
    return output_error(showing->options, EXIT_FAILED, error.code, "%s", error.message);
}

static void close_pack(struct showing *showing)
{
    pack_close(showing->pack);
    close(showing->fd);
}

/* What a variant is called: NAME-VERSION, and the index where it has one. */
static const char *name_variant(const struct showing *showing, size_t number,
                                char name[static NAME_BYTES])
{
    size_t count;
    const struct pack_variant *variant = &pack_variants(showing->pack, &count)[number];
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    pack_name_variant(variant->handle, number, name, NAME_BYTES);
    if (handle_parse(variant->handle, strlen(variant->handle), &handle, NULL) == 0 &&
        handle->index != HANDLE_NO_INDEX) {
        size_t length = strlen(name);
        snprintf(name + length, NAME_BYTES - length, "[%d]", handle->index);
    }
    return name;
}

/* --- Lists ----------------------------------------------------------------------------------- */

static cJSON *build_variant(const struct pack_variant *variant)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    cJSON *object = cJSON_CreateObject();
    if (handle_parse(variant->handle, strlen(variant->handle), &handle, NULL) == 0)
        handle_add_json(object, "handle", handle);
    else
        json_add_string(object, "handle", variant->handle);
    json_add_string(object, "root", variant->root);
    json_add_unsigned(object, "entries", variant->entry_count);
    json_add_unsigned(object, "files", variant->file_count);
    json_add_unsigned(object, "bytes", variant->bytes);
    json_add_unsigned(object, "stored_bytes", variant->stored_bytes);
    json_add_unsigned(object, "frames", variant->frame_count);
    pack_show_digest(object, "digest", variant->digest);
    return object;
}

static cJSON *build_pack(const struct pack *pack, const char *path)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "pack", path);
    pack_show_digest(object, "digest", pack_digest(pack));
    json_add_unsigned(object, "pack_bytes", pack_size(pack));
    return object;
}

static void list_json(const struct showing *showing, const char *path)
{
    size_t count;
    const struct pack_variant *variants = pack_variants(showing->pack, &count);
    json_stream_open(showing->stream, NULL, '{');
    json_stream_add_members(showing->stream, build_pack(showing->pack, path));
    json_stream_open(showing->stream, "variants", '[');
    for (size_t i = 0; i < count; i++)
        json_stream_add(showing->stream, build_variant(&variants[i]));
    json_stream_close(showing->stream, ']');
    json_stream_close(showing->stream, '}');
}

static void list_text(const struct showing *showing, const char *path)
{
    size_t count;
    const struct pack_variant *variants = pack_variants(showing->pack, &count);
    char name[NAME_BYTES];
    char bytes[16];
    char digest[DIGEST_TEXT_BYTES];
    print_digest(pack_digest(showing->pack), digest);
    output_line("%s: %zu %s, %s, digest %s", path, count,
                output_plural(count, "variant", "variants"),
                output_bytes((double)pack_size(showing->pack), bytes), digest);
    for (size_t i = 0; i < count; i++)
        output_line("%-40s %10" PRIu64 " files %10s  %s", name_variant(showing, i, name),
                    variants[i].file_count, output_bytes((double)variants[i].bytes, bytes),
                    variants[i].root);
}

int pack_show_list(struct options *options)
{
    struct json_stream stream = {.file = stdout};
    struct showing showing = {.options = options, .stream = &stream};
    int failed = 0;
    if (options->json)
        json_stream_open(&stream, NULL, '[');
    for (int i = 0; i < options->argument_count; i++) {
        if (open_pack(&showing, options->arguments[i]) >= 0) {
            failed++;
            continue;
        }
        if (options->json)
            list_json(&showing, options->arguments[i]);
        else
            list_text(&showing, options->arguments[i]);
        close_pack(&showing);
    }
    int code = failed == 0                         ? EXIT_DONE
               : failed == options->argument_count ? EXIT_FAILED
                                                   : EXIT_PARTLY;
    if (!options->json)
        return output_end(options, code);
    json_stream_close(&stream, ']');
    int written = output_end_document(options, json_stream_end(&stream));
    return written == EXIT_DONE ? code : written;
}

/* --- Checks ---------------------------------------------------------------------------------- */

static void on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    progress_show(progress, NULL);
}

static void on_variant(void *context, size_t number, const struct pkgcache_error *error)
{
    struct showing *showing = context;
    size_t count;
    const struct pack_variant *variant = &pack_variants(showing->pack, &count)[number];
    char name[NAME_BYTES];
    showing->damaged += error != NULL;
    if (showing->options->json) {
        cJSON *object = build_variant(variant);
        json_add_string(object, "status", error ? "damaged" : "sound");
        json_add_string(object, "reason", error ? error->message : NULL);
        json_stream_add(showing->stream, object);
    } else if (!error)
        output_verbose(showing->options, "%s: sound", name_variant(showing, number, name));
}

/* Checks one pack that is open. Returns an exit code. */
static int check(struct showing *showing, const char *path)
{
    const struct options *options = showing->options;
    const struct pack_check checks = {
        .on_variant = on_variant, .on_progress = on_progress, .context = showing};
    struct pkgcache_error error;
    size_t count;
    pack_variants(showing->pack, &count);
    if (options->json) {
        json_stream_open(showing->stream, NULL, '{');
        json_stream_add_members(showing->stream, build_pack(showing->pack, path));
        json_stream_open(showing->stream, "variants", '[');
    }
    int result = pack_check_run(showing->pack, showing->fd, &checks, &error);
    progress_clear();
    if (options->json) {
        json_stream_close(showing->stream, ']');
        json_stream_close(showing->stream, '}');
    }
    if (result < 0)
        return output_error(options, EXIT_PARTLY, error.code, "%s%s%s", path,
                            strncmp(error.message, path, strlen(path)) == 0 ? "" : ": ",
                            strncmp(error.message, path, strlen(path)) == 0
                                ? error.message + strlen(path)
                                : error.message);
    if (!options->json && options->verbosity >= 0)
        output_line("%s: %zu %s, all sound", path, count,
                    output_plural(count, "variant", "variants"));
    return EXIT_DONE;
}

int pack_show_check(struct options *options)
{
    struct json_stream stream = {.file = stdout};
    struct showing showing = {.options = options, .stream = &stream};
    int code = EXIT_DONE;
    int unopened = 0;
    progress_start(options);
    if (options->json)
        json_stream_open(&stream, NULL, '[');
    for (int i = 0; i < options->argument_count; i++) {
        if (open_pack(&showing, options->arguments[i]) >= 0) {
            unopened++;
            continue;
        }
        int checked = check(&showing, options->arguments[i]);
        code = checked == EXIT_DONE ? code : checked;
        close_pack(&showing);
    }
    if (unopened > 0)
        code = unopened == options->argument_count ? EXIT_FAILED : EXIT_PARTLY;
    if (!options->json)
        return output_end(options, code);
    json_stream_close(&stream, ']');
    int written = output_end_document(options, json_stream_end(&stream));
    return written == EXIT_DONE ? code : written;
}
