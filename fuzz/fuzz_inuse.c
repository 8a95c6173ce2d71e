/* Texts of /proc, which any process may put anything into: what is found is a path that is there.
 */
#include "cache/clean/inuse.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inuse inuse = {0};
    inuse_add_text(&inuse, (const char *)data, size);
    FUZZ_CHECK(inuse.everything || inuse.count <= 3 * size); /* read in three ways, at most */
    size_t count = inuse.count;
    inuse_add_text(&inuse, (const char *)data, size);
    FUZZ_CHECK(inuse.count == count);
    FUZZ_CHECK(inuse.capacity == 0 || inuse.count <= inuse.capacity / 2 + 1);
    inuse_free(&inuse);
    return 0;
}
