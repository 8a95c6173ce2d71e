/* Orders: whatever a node is sent, what is accepted names a directory of its own below the cache's
 * staging, and sizes whose sums are sizes. */
#include "cache/preload/farm_names.h"
#include "cache/preload/farm_order.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_pack(const struct farm_order *order)
{
    const struct farm_pack *pack = &order->pack;
    uint64_t largest = pack->payload_bytes;
    for (size_t i = 0; i < pack->part_count; i++) {
        FUZZ_CHECK(pack->parts[i].bytes <= FARM_PACK_BYTES_MAX);
        FUZZ_CHECK(strlen(pack->parts[i].digest) == FARM_DIGEST_SIZE - 1);
        largest = pack->parts[i].bytes > largest ? pack->parts[i].bytes : largest;
    }
    FUZZ_CHECK(pack->bytes + pack->payload_bytes + largest >= largest);
    FUZZ_CHECK(pack->part_count <= FARM_PARTS_MAX);
    if (order->step == FARM_STEP_RECEIVE)
        FUZZ_CHECK(farm_name_is_sound(pack->staging) && pack->part_count > 0);
    else
        FUZZ_CHECK(*pack->path == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sources sources = {0};
    struct farm_order order = {0};
    struct pkgcache_error error = {0};
    FUZZ_CHECK(sources_open(&sources, NULL, NULL) == 0);
    int result = farm_order_read((const char *)data, size, &sources, &order, &error);
    FUZZ_CHECK(result == 0 || (result == -error.code && error.message[0]));
    FUZZ_CHECK(result != 0 || order.jitter_s <= FARM_JITTER_MAX_S);
    if (result == 0 && order.step >= FARM_STEP_PACK)
        check_pack(&order);
    farm_order_free(&order);
    sources_free(&sources);
    return 0;
}
