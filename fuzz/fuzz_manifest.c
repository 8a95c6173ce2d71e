/*
 * A manifest, of which anything may be in the file: every record that is accepted is in range and
 * stays inside its tree, and one that is accepted as a whole equals itself.
 */
#include "cache/store/manifest_reader.h"
#include "cache/verify/comparison.h"
#include "engine/compiler.h"
#include "fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>

static void check_record(const struct manifest_record *record)
{
    const char *path = record->path;
    FUZZ_CHECK(record->mode <= 07777 && record->size <= INT64_MAX);
    FUZZ_CHECK(record->mtime.tv_nsec >= 0 && record->mtime.tv_nsec < 1000000000);
    FUZZ_CHECK(record->error >= 0 && !(record->error && record->has_digest));
    FUZZ_CHECK(*path && *path != '/' && !strstr(path, "//") && !strstr(path, "/../"));
    FUZZ_CHECK(strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0);
    FUZZ_CHECK(strlen(path) < MANIFEST_RECORD_MAX);
}

/* Reads all records. Returns what ended it. */
static int read_all(int fd)
{
    struct manifest_reader *reader = malloc(sizeof(*reader));
    struct manifest_record record;
    uint64_t count = 0;
    FUZZ_CHECK(reader);
    int result = manifest_reader_open(reader, fd, 0);
    if (result == 0)
        while ((result = manifest_reader_next(reader, &record)) == 1) {
            check_record(&record);
            count++;
        }
    FUZZ_CHECK(reader->count == count);
    free(reader);
    return result;
}

static void on_difference(void *context, enum pkgcache_difference kind, const char *path)
{
    (void)context;
    (void)path;
    FUZZ_CHECK(kind == PKGCACHE_DIFFERENCE_UNREADABLE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct comparison comparison = {.on_difference = on_difference};
    int fd = memfd_create("manifest", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    int result = read_all(fd);
    FUZZ_CHECK(result == 0 || result == -EBADMSG);
    int compared = comparison_run(&comparison, fd, 0, fd, 0);
    if (result == 0) /* or a path is in it twice */
        FUZZ_CHECK(compared == 0 || (compared == -EBADMSG && comparison.differences == 0));
    else
        FUZZ_CHECK(compared == -EIO);
    close(fd);
    return 0;
}
