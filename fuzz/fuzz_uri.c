/* A URI that is accepted has a tidy path, and means the same after it was written again. */
#include "cache/rez/uri.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_URI struct uri uri = {0};
    CLEANUP_URI struct uri again = {0};
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error error = {0};
    text_append(&text, (const char *)data, size);
    text_append_byte(&text, '\0');
    int result = uri_parse(text.bytes, &uri, &error);
    FUZZ_CHECK(result == -error.code && (result == 0) == (uri.directory != NULL));
    if (!uri.directory) {
        FUZZ_CHECK((result == -EINVAL || result == -ENOTSUP) && error.message[0]);
        return 0;
    }
    FUZZ_CHECK(*uri.directory == '/' && !strstr(uri.directory, "//"));
    FUZZ_CHECK(uri.index >= HANDLE_NO_INDEX);

    text_free(&text);
    text_printf(&text, "%s/package.py[", uri.directory);
    if (uri.index != HANDLE_NO_INDEX)
        text_printf(&text, "%d", uri.index);
    text_append_byte(&text, ']');
    FUZZ_CHECK(uri_parse(text.bytes, &again, &error) == 0);
    FUZZ_CHECK(strcmp(again.directory, uri.directory) == 0);
    FUZZ_CHECK(again.index == uri.index);
    return 0;
}
