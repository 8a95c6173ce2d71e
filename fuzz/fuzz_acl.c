/* ACLs of a source: whatever they are, a mode without them gives nobody more. */
#include "engine/acl.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *acl = malloc(size ? size : 1); /* no byte more: what reads on is found */
    FUZZ_CHECK(acl);
    memcpy(acl, data, size);
    mode_t mode = acl_narrow_mode(acl, size, 0777);
    FUZZ_CHECK((mode & ~(mode_t)0070) == 0707);
    FUZZ_CHECK(acl_narrow_mode(acl, size, 0) == 0);
    free(acl);
    return 0;
}
