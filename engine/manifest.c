/* Writing manifests. Records are collected in a buffer of fixed size, whoever completes something.
 */
#include "engine/manifest.h"

#include "engine/compiler.h"
#include "engine/digest.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum {
    BUFFER_BYTES = 64 << 10,
    DIGEST_TEXT_BYTES = 2 * sizeof(XXH128_hash_t) + 1,
};

struct manifest {
    pthread_mutex_t lock;
    int fd;    /* its own: the last thread of a job that was abandoned may still write there */
    int error; /* the first, negative */
    uint64_t count;
    size_t used;
    char buffer[BUFFER_BYTES];
};

/* With the lock held, or alone. */
static void write_buffer(struct manifest *manifest)
{
    for (size_t at = 0; at < manifest->used && manifest->error == 0;) {
        ssize_t written = write(manifest->fd, manifest->buffer + at, manifest->used - at);
        if (written < 0 && errno != EINTR)
            manifest->error = -errno;
        at += written > 0 ? (size_t)written : 0;
    }
    manifest->used = 0;
}

static void append_bytes(struct manifest *manifest, const char *bytes, size_t length)
{
    while (length > 0) {
        if (manifest->used == BUFFER_BYTES)
            write_buffer(manifest);
        assert(manifest->used < BUFFER_BYTES);
        size_t fits = MIN(length, BUFFER_BYTES - manifest->used);
        memcpy(manifest->buffer + manifest->used, bytes, fits);
        manifest->used += fits;
        bytes += fits;
        length -= fits;
    }
}

int manifest_new(int fd, struct manifest **ret)
{
    struct manifest *manifest = malloc(sizeof(*manifest));
    if (!manifest)
        return -ENOMEM;
    manifest->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (manifest->fd < 0) {
        int code = errno;
        free(manifest);
        return -code;
    }
    manifest->error = 0;
    manifest->count = 0;
    pthread_mutex_init(&manifest->lock, NULL);
    manifest_begin(manifest, MANIFEST_VERSION);
    *ret = manifest;
    return 0;
}

void manifest_begin(struct manifest *manifest, unsigned version)
{
    char head[32];
    int length = snprintf(head, sizeof(head), "pkgcache-manifest %u", version);
    assert(manifest->count == 0);
    manifest->used = 0;
    append_bytes(manifest, head, (size_t)length + 1);
}

void manifest_format_digest(XXH128_hash_t digest, char ret[static DIGEST_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, digest);
    for (size_t i = 0; i < sizeof(canonical.digest); i++) {
        *ret++ = digits[canonical.digest[i] >> 4];
        *ret++ = digits[canonical.digest[i] & 0xf];
    }
    *ret = '\0';
}

size_t manifest_format_fields(const struct manifest_fields *fields,
                              char ret[static MANIFEST_FIELDS_BYTES])
{
    char digest[DIGEST_TEXT_BYTES] = "-";
    if (fields->digest)
        manifest_format_digest(*fields->digest, digest);
    else if (fields->error)
        snprintf(digest, sizeof(digest), "!%d", fields->error);
    int length = snprintf(ret, MANIFEST_FIELDS_BYTES, "%c %o %" PRIu64 " %jd.%09ld %s ",
                          fields->type, fields->mode, fields->size, (intmax_t)fields->mtime.tv_sec,
                          fields->mtime.tv_nsec, digest);
    assert(length > 0 && length < MANIFEST_FIELDS_BYTES);
    return (size_t)length;
}

static void add_record(struct manifest *manifest, const struct directory *directory,
                       const char *name, const struct manifest_fields *record)
{
    CLEANUP_FREE char *path = directory_relative_path(directory, name);
    char fields[MANIFEST_FIELDS_BYTES];
    size_t length = manifest_format_fields(record, fields);
    pthread_mutex_lock(&manifest->lock);
    if (!path && manifest->error == 0)
        manifest->error = -ENOMEM;
    append_bytes(manifest, fields, length);
    if (path && *path)
        append_bytes(manifest, path, strlen(path) + 1);
    else
        append_bytes(manifest, ".", 2);
    manifest->count++;
    pthread_mutex_unlock(&manifest->lock);
}

void manifest_add_file(struct manifest *manifest, const struct file *file)
{
    add_record(manifest, file->batch->directory, file->name,
               &(struct manifest_fields){'f', file->attributes.mode, file->size,
                                         file->attributes.mtime,
                                         file->has_digest ? &file->digest : NULL, 0});
}

void manifest_add_directory(struct manifest *manifest, const struct directory *directory)
{
    add_record(manifest, directory, NULL,
               &(struct manifest_fields){'d', directory->attributes.mode, 0,
                                         directory->attributes.mtime, NULL, 0});
}

void manifest_add_symlink(struct manifest *manifest, const struct directory *directory,
                          const char *name, const char *target, struct timespec mtime)
{
    size_t length = strlen(target);
    XXH128_hash_t digest = digest_of(target, length);
    add_record(
        manifest, directory, name,
        &(struct manifest_fields){'l', S_IRWXU | S_IRWXG | S_IRWXO, length, mtime, &digest, 0});
}

void manifest_add_other(struct manifest *manifest, const struct directory *directory,
                        const char *name, char type, int code)
{
    add_record(manifest, directory, name, &(struct manifest_fields){.type = type, .error = code});
}

int manifest_end(struct manifest *manifest)
{
    char last[32];
    int length = snprintf(last, sizeof(last), "end %" PRIu64, manifest->count);
    append_bytes(manifest, last, (size_t)length + 1);
    write_buffer(manifest);
    return manifest->error;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    pthread_mutex_destroy(&manifest->lock);
    close(manifest->fd);
    free(manifest);
}
