/*
 * The page of a run whose facts stand on standard input, on standard output: for a test that looks
 * at it with a browser, and for the picture in docs/. Not for users.
 */
#include "cache/preload/farm_page.h"
#include "cache/util/file.h"
#include "cache/util/text.h"

#include <stdlib.h>
#include <unistd.h>

enum { FACTS_MAX = 64 << 20 };

int main(void)
{
    CLEANUP_TEXT struct text facts = {0};
    struct pkgcache_error error = {0};
    if (file_read(STDIN_FILENO, FACTS_MAX, &facts, &error) < 0) {
        fprintf(stderr, "page_dump: %s\n", error.message);
        return EXIT_FAILURE;
    }
    int result = farm_page_put(stdout, facts.bytes, facts.length);
    if (result < 0)
        fprintf(stderr, "page_dump: cannot write: %s\n", strerror(-result));
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
