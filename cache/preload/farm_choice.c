/* Seconds of each way where they are known; else by rules of thumb. */
#include "cache/preload/farm_choice.h"

#include <string.h>

enum {
    FEW_NODES = 3,       /* from that on, a pack is worth while */
    LITTLE_FILES = 1000, /* read by all nodes together: not worth a pack */
};

#define LITTLE_BYTES (UINT64_C(16) << 20) /* likewise */
#define MEGABYTE     1e6

/** What each way would take; 0: unknown, or not to be had. */
struct estimate {
    double source_s;
    double pack_s;
    double tree_s;
};

/* What the file server gave to some nodes is taken to be all that it has: more nodes share it. */
static struct estimate estimate(const struct farm_situation *situation)
{
    const struct farm_rates *rates = &situation->rates;
    double bytes = (double)situation->size.bytes;
    double all = bytes * (double)situation->nodes;
    double packing_s = rates->packing_bytes_s > 0 ? bytes / rates->packing_bytes_s : 0;
    struct estimate seconds = {0};
    if (bytes <= 0)
        return seconds;
    if (rates->source_bytes_s > 0)
        seconds.source_s = all / rates->source_bytes_s;
    if (situation->can_cast && packing_s > 0 && rates->cast_bytes_s > 0)
        seconds.tree_s = packing_s + bytes / rates->cast_bytes_s;
    if (situation->can_share && packing_s > 0 && rates->share_bytes_s > 0)
        seconds.pack_s = packing_s + all / rates->share_bytes_s;
    return seconds;
}

static bool is_little(const struct farm_situation *situation)
{
    const struct farm_size *size = &situation->size;
    return size->is_known && situation->nodes * size->bytes <= LITTLE_BYTES &&
           situation->nodes * size->files <= LITTLE_FILES;
}

/* "240 MB in 16029 files": what each node lacks at most. */
static void describe_size(const struct farm_situation *situation, char ret[static 96])
{
    const struct farm_size *size = &situation->size;
    if (size->is_known)
        snprintf(ret, 96, "%zu variants (%s%.1f MB in %llu files)", situation->variants,
                 size->is_guess ? "about " : "", (double)size->bytes / MEGABYTE,
                 (unsigned long long)size->files);
    else
        snprintf(ret, 96, "%zu variants", situation->variants);
}

static const char *choose_by_rule(const struct farm_situation *situation,
                                  char why[static FARM_WHY_MAX])
{
    char lacking[96];
    describe_size(situation, lacking);
    if (situation->nodes < FEW_NODES)
        snprintf(why, FARM_WHY_MAX, "%zu nodes lack something: a pack pays from %d on",
                 situation->nodes, FEW_NODES);
    else if (is_little(situation))
        snprintf(why, FARM_WHY_MAX, "%zu nodes lack %s: too little for a pack to pay",
                 situation->nodes, lacking);
    else if (situation->can_cast) {
        snprintf(why, FARM_WHY_MAX,
                 "%zu nodes lack %s: the file server is read once, and Slurm "
                 "casts",
                 situation->nodes, lacking);
        return "tree";
    } else if (situation->can_share) {
        snprintf(why, FARM_WHY_MAX,
                 "%zu nodes lack %s and see the run's directory: each file of the source is read "
                 "once",
                 situation->nodes, lacking);
        return "pack";
    } else
        snprintf(why, FARM_WHY_MAX,
                 "%zu nodes lack %s: a pack would need --cache and Slurm, or a --run-dir that all "
                 "nodes see",
                 situation->nodes, lacking);
    return "source";
}

/* Appends ", tree 12 s". */
static void add_seconds(char why[static FARM_WHY_MAX], const char *name, double seconds)
{
    size_t length = strlen(why);
    if (seconds > 0)
        snprintf(why + length, FARM_WHY_MAX - length, "%s%s %.1f s",
                 why[length - 1] == ':' ? " " : ", ", name, seconds);
}

const char *farm_choice_make(const struct farm_situation *situation,
                             char ret_why[static FARM_WHY_MAX])
{
    char lacking[96];
    const struct estimate seconds = estimate(situation);
    const char *best = "source";
    double best_s = seconds.source_s;
    /* Of little, rates say nothing; and without both sides there is nothing to compare. */
    if (is_little(situation) || seconds.source_s <= 0 ||
        (seconds.tree_s <= 0 && seconds.pack_s <= 0))
        return choose_by_rule(situation, ret_why);
    if (seconds.tree_s > 0 && seconds.tree_s < best_s) {
        best = "tree";
        best_s = seconds.tree_s;
    }
    if (seconds.pack_s > 0 && seconds.pack_s < best_s)
        best = "pack";
    describe_size(situation, lacking);
    snprintf(ret_why, FARM_WHY_MAX,
             "%zu nodes lack %s; by what earlier runs took:", situation->nodes, lacking);
    add_seconds(ret_why, "source", seconds.source_s);
    add_seconds(ret_why, "tree", seconds.tree_s);
    add_seconds(ret_why, "pack", seconds.pack_s);
    return best;
}
