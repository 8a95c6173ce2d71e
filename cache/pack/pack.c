/* What reader and writer say of packs. */
#include "cache/pack/pack.h"

#include <stdio.h>
#include <string.h>

const char *pack_name_variant(const char *handle_text, size_t number, char *buffer, size_t size)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    if (handle_text && handle_parse(handle_text, strlen(handle_text), &handle, NULL) == 0)
        snprintf(buffer, size, "%s", handle->qualified_name);
    else
        snprintf(buffer, size, "variant %zu", number + 1);
    return buffer;
}

int pack_compare_paths(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (!*a || !*b)
        return (*a != '\0') - (*b != '\0');
    return (*a == '/' ? 0 : (unsigned char)*a) - (*b == '/' ? 0 : (unsigned char)*b);
}

char *pack_member_prefix(const struct pkgcache_handle *handle)
{
    char sha1[SHA1_HEX_SIZE];
    char *prefix;
    size_t package = strlen(handle->relative_path) - strlen(handle->hash4);
    sha1_print(handle->sha1, sha1);
    return asprintf(&prefix, "%.*s%s", (int)package, handle->relative_path, sha1) < 0 ? NULL
                                                                                      : prefix;
}
