/* A sidecar that is accepted says the same after it was written again. */
#include "cache/store/sidecar.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_SIDECAR struct sidecar sidecar = SIDECAR_INIT;
    struct pkgcache_error error = {0};
    int result = sidecar_parse((const char *)data, size, &sidecar, &error);
    FUZZ_CHECK(result == -error.code && (result == 0) == (sidecar.handle != NULL));
    FUZZ_CHECK(sidecar.fd == -1);
    if (result < 0) {
        FUZZ_CHECK((result == -EBADMSG || result == -EINVAL) && error.message[0]);
        FUZZ_CHECK(sidecar.root == NULL);
        return 0;
    }

    CLEANUP_SIDECAR struct sidecar again = SIDECAR_INIT;
    CLEANUP_TEXT struct text text = {0};
    sidecar_write(&text, sidecar.handle, sidecar.root, NULL);
    FUZZ_CHECK(text.error == 0);
    FUZZ_CHECK(sidecar_parse(text.bytes, text.length, &again, &error) == 0);
    FUZZ_CHECK(handle_equal(again.handle, sidecar.handle));
    FUZZ_CHECK((again.root == NULL) == (sidecar.root == NULL));
    FUZZ_CHECK(!again.root || strcmp(again.root, sidecar.root) == 0);
    FUZZ_CHECK(!again.root || again.root[0] == '/');
    return 0;
}
