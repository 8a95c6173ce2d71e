/* From donors to what the engine is told of them. */
#include "cache/warm/supply_origins.h"

void supply_origins_begin(struct supply_origins *origins, struct donors *donors)
{
    *origins = (struct supply_origins){
        .origins = {.size = sizeof(origins->origins), .source_fd = -1},
        .donors = donors,
    };
}

static bool moves(void *context)
{
    return copyengine_supply_moves(context);
}

int supply_origins_find(struct supply_origins *origins, const struct copyengine_contents *contents,
                        int source_fd, struct copyengine_job *job)
{
    struct donors *donors = origins->donors;
    int result =
        donors ? donors_find(donors, contents->entries, contents->entry_count, moves, job) : 0;
    bool has_donors = result == 0 && donors && donors_count(donors) > 0;
    if (result < 0 || (!has_donors && source_fd < 0))
        return result;
    origins->items = calloc(contents->entry_count, sizeof(*origins->items));
    if (!origins->items)
        return -ENOMEM;
    for (size_t i = 0; i < contents->entry_count; i++) {
        const struct copyengine_entry *entry = &contents->entries[i];
        struct donor donor = has_donors ? donors_get(donors, i) : (struct donor){0};
        bool has_bytes = entry->type == COPYENGINE_FILE && entry->size > 0;
        origins->items[i] = (struct copyengine_origin){
            .donor_root = donor.root,
            .donor = donor.path,
            .source = source_fd >= 0 && has_bytes ? entry->path : NULL,
        };
    }
    origins->origins.origins = origins->items;
    origins->origins.source_fd = source_fd;
    origins->origins.count = contents->entry_count;
    return 0;
}

void supply_origins_free(struct supply_origins *origins)
{
    donors_free(origins->donors);
    free(origins->items);
}
