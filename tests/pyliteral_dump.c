/*
 * What pyliteral reads, for a test that asks CPython the same. Standard input: modules, each behind
 * a line with its length in bytes. Standard output, for each: `! MESSAGE`, or a line
 * `NAME LINE REPR` for every name (REPR is Python's, or `?`: not literal), then `.`. Not for users.
 */
#include "cache/json/repr.h"
#include "cache/rez/pyliteral.h"

#include <stdio.h>

static void print_module(const char *text, size_t length)
{
    struct pyliteral_module module;
    struct pkgcache_error error = {0};
    if (pyliteral_parse(text, length, &module, &error) < 0) {
        printf("! %s\n", error.message);
        return;
    }
    for (const struct pyliteral_name *name = module.names; name; name = name->next) {
        CLEANUP_TEXT struct text value = {0};
        if (name->value)
            repr_append(&value, name->value);
        printf("%s %u %s\n", name->name, name->line, name->value ? value.bytes : "?");
    }
    if (module.unknown.line > 0)
        printf("* %u ?\n", module.unknown.line);
    printf(".\n");
    pyliteral_free(&module);
}

int main(void)
{
    size_t length;
    while (scanf("%zu", &length) == 1 && getchar() == '\n') {
        /* Of the exact size: then a sanitizer sees a read that goes too far. */
        CLEANUP_FREE char *text = malloc(length + (length == 0));
        if (!text || fread(text, 1, length, stdin) != length)
            return EXIT_FAILURE;
        print_module(text, length);
    }
    return EXIT_SUCCESS;
}
