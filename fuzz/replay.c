/*
 * Feeds every file of a directory to a fuzz target, in place of libFuzzer, so that what fuzzing
 * once found stays mended with every compiler. It does not look for anything new.
 */
#include "cache/util/file.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <string.h>

enum { MAX_INPUT_BYTES = 16 << 20 };

static int replay(int dirfd, const char *name)
{
    struct pkgcache_error error = {0};
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_TEXT struct text text = {0};
    int result = file_open_regular(dirfd, name, &fd, &error);
    if (result == 0)
        result = file_read(fd, MAX_INPUT_BYTES, &text, &error);
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", name, error.message);
        return result;
    }
    /* A copy of its own, of the exact size: then a sanitizer sees a read that goes too far. */
    CLEANUP_FREE uint8_t *data = malloc(text.length + (text.length == 0));
    if (!data)
        return -ENOMEM;
    if (text.bytes)
        memcpy(data, text.bytes, text.length);
    fprintf(stderr, "%s\n", name);
    LLVMFuzzerTestOneInput(data, text.length);
    return 0;
}

int main(int argc, char **argv)
{
    CLEANUP_DIR DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
        return EXIT_FAILURE;
    }
    size_t count = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        if (replay(dirfd(dir), entry->d_name) < 0)
            return EXIT_FAILURE;
        count++;
    }
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
