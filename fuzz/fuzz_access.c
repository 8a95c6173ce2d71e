/*
 * ACLs of directories, which file systems and their servers make up. Whatever they hold, who may do
 * two things may do each of them, and what is not understood permits nothing.
 */
#include "cache/util/access.h"
#include "engine/compiler.h"
#include "fuzz/fuzz.h"

#include <string.h>

enum { HEADER_BYTES = 4, ENTRY_BYTES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const gid_t groups[] = {100, 101};
    static const uid_t uids[] = {10, 11, 12};
    const struct stat status = {.st_uid = 10, .st_gid = 100, .st_mode = S_IFDIR | 0777};
    for (size_t i = 0; i < ARRAY_LENGTH(uids); i++) {
        const struct access_user user = {uids[i], groups, i};
        bool read = access_is_permitted(&user, &status, data, size, ACCESS_READ);
        bool search = access_is_permitted(&user, &status, data, size, ACCESS_SEARCH);
        bool both = access_is_permitted(&user, &status, data, size, ACCESS_READ | ACCESS_SEARCH);
        FUZZ_CHECK(!both || (read && search));
        if (size > 0 && (size < HEADER_BYTES || (size - HEADER_BYTES) % ENTRY_BYTES != 0))
            FUZZ_CHECK(!read && !search);
    }
    return 0;
}
