/* One errand for each: it happens once in a while, when somebody removes what another names. */
#include "cache/service/rooting.h"

#include "cache/util/error.h"

/** A variant whose root is being found. */
struct rooting {
    struct errand errand;
    struct sources sources; /* of one variant */
    void (*done)(void *context, struct source_variant *variant);
    void *context;
};

static struct source_variant *variant_of(const struct rooting *rooting)
{
    return &rooting->sources.variants.items[0];
}

static void free_rooting(struct rooting *rooting)
{
    sources_free(&rooting->sources);
    free(rooting);
}

/* The errand. rez's settings are read anew each time. */
static void run_rooting(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct rooting *rooting = CONTAINER_OF(errand, struct rooting, errand);
    struct rezconfig *config = NULL;
    int result = cache ? 0 : -error->code;
    if (cache && rezconfig_new(&config) < 0)
        result = error_set(error, ENOMEM, "out of memory");
    if (result == 0)
        result = sources_open(&rooting->sources, config, error);
    if (result == 0)
        result = sources_find_roots(&rooting->sources, NULL, error);
    if (result < 0)
        source_variant_give_reason(variant_of(rooting), -result, error->message);
    sources_close(&rooting->sources);
    rezconfig_free(config);
}

static void end_rooting(struct errand *errand)
{
    struct rooting *rooting = CONTAINER_OF(errand, struct rooting, errand);
    rooting->done(rooting->context, variant_of(rooting));
    free_rooting(rooting);
}

int rooting_begin(struct errands *errands, const struct pkgcache_handle *handle,
                  bool has_definition, bool force,
                  void (*on_done)(void *context, struct source_variant *variant), void *context)
{
    struct rooting *rooting = calloc(1, sizeof(*rooting));
    if (!rooting)
        return -ENOMEM;
    *rooting = (struct rooting){
        .errand = {.run = run_rooting, .done = end_rooting},
        .sources = {.force = force},
        .done = on_done,
        .context = context,
    };
    struct source_variants *variants = &rooting->sources.variants;
    int result = source_variants_add_handle(variants, handle, handle->qualified_name);
    if (result == 0) {
        variant_of(rooting)->has_definition = has_definition;
        result = errands_add(errands, &rooting->errand);
    }
    if (result < 0)
        free_rooting(rooting);
    return result;
}
