/*
 * What the YAML reader reads, for a test that asks PyYAML the same. Standard input: documents, each
 * behind a line with its length in bytes. Standard output, a line for each: `! MESSAGE`, or
 * Python's repr of the value. Not for users.
 */
#include "cache/json/repr.h"
#include "cache/rez/yaml.h"

#include <stdio.h>

static void print_document(const char *text, size_t length)
{
    CLEANUP_VALUES struct values values = {0};
    CLEANUP_TEXT struct text repr = {0};
    struct pkgcache_error error = {0};
    struct json *root;
    if (yaml_parse(text, length, &values, &root, &error) < 0) {
        printf("! %s\n", error.message);
        return;
    }
    repr_append(&repr, root);
    printf("%s\n", repr.bytes);
}

int main(void)
{
    size_t length;
    while (scanf("%zu", &length) == 1 && getchar() == '\n') {
        /* Of the exact size: then a sanitizer sees a read that goes too far. */
        CLEANUP_FREE char *text = malloc(length + (length == 0));
        if (!text || fread(text, 1, length, stdin) != length)
            return EXIT_FAILURE;
        print_document(text, length);
    }
    return EXIT_SUCCESS;
}
