/* What a requirement is normalised to is one, too, and a safe name for a directory. It need not be
 * what it is normalised to in turn: rez does not unite all that touches. */
#include "cache/rez/requirement.h"
#include "cache/rez/version.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_TEXT struct text again = {0};
    struct pkgcache_error error = {0};
    const char *bytes = (const char *)data;
    FUZZ_CHECK(version_compare(bytes, size, bytes, size) == 0);
    FUZZ_CHECK(version_length(bytes, size) <= size);
    int result = requirement_normalise(&text, bytes, size, &error);
    if (result < 0) {
        FUZZ_CHECK(result == -EINVAL && error.code == EINVAL && error.message[0]);
        FUZZ_CHECK(text.length == 0);
        return 0;
    }
    FUZZ_CHECK(text.length > 0 && strlen(text.bytes) == text.length);
    FUZZ_CHECK(!strchr(text.bytes, '/') && strcmp(text.bytes, "..") != 0);
    if (text.length > REQUIREMENT_BYTES_MAX)
        return 0;
    FUZZ_CHECK(requirement_normalise(&again, text.bytes, text.length, &error) == 0);
    return 0;
}
