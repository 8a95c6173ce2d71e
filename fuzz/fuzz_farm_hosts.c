/* Of whatever is in a file of hosts, only names reach a launcher; else a line is named. */
#include "cache/preload/farm_hosts.h"
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_NAMES struct farm_names names = {0};
    struct pkgcache_error error = {0};
    int result = farm_hosts_parse("hosts", (const char *)data, size, &names, &error);
    FUZZ_CHECK(result == 0 || (result == -error.code && error.message[0]));
    FUZZ_CHECK(result != 0 || names.count > 0);
    for (size_t i = 0; i < names.count; i++) {
        FUZZ_CHECK(farm_name_is_sound(names.items[i]) && names.items[i][0] != '-');
        FUZZ_CHECK(i == 0 || strcmp(names.items[i - 1], names.items[i]) != 0);
    }
    return 0;
}
