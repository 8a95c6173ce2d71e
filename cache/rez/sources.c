/* The driver: which stage comes when, and how often. What a stage does is in its file. */
#include "cache/rez/sources.h"

#include "cache/rez/source_handles.h"
#include "cache/rez/source_missing.h"
#include "cache/rez/source_roots.h"
#include "cache/util/error.h"

#include <string.h>

int sources_open(struct sources *sources, struct rezconfig *config,
                 struct pkgcache_error *ret_error)
{
    return repositories_new(config, &sources->repositories) < 0
               ? error_set(ret_error, ENOMEM, "out of memory")
               : 0;
}

int sources_find_handles(struct sources *sources, struct pkgcache_error *ret_error)
{
    int result = source_handles_find(&sources->names, sources->repositories, sources->force,
                                     &sources->variants, ret_error);
    source_names_clear(&sources->names);
    return result;
}

/* Stage 2 of what is guarded. What is named twice counts once. */
static int find_guarded_handles(struct sources *sources, struct pkgcache_error *error)
{
    int result = sources_find_handles(sources, error);
    if (result == 0 && source_variants_unite(&sources->variants) < 0)
        result = error_set(error, ENOMEM, "out of memory");
    if (result == 0 && sources->variants.count > SOURCES_GUARDED_MAX)
        result =
            error_set(error, E2BIG, "the sources name more than %d variants", SOURCES_GUARDED_MAX);
    return result;
}

int sources_read(struct sources *sources, const char *const *texts, size_t count,
                 struct pkgcache_error *ret_error)
{
    struct source_names *names = &sources->names;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        result = source_names_read(names, texts[i], ret_error);
        if (result == 0 && names->guarded && names->count > SOURCES_GUARDED_MAX)
            result = find_guarded_handles(sources, ret_error);
    }
    if (result < 0)
        return result;
    return names->guarded ? find_guarded_handles(sources, ret_error)
                          : sources_find_handles(sources, ret_error);
}

int sources_read_variants(struct sources *sources, const char *const *texts, size_t count,
                          const char *root, struct pkgcache_error *ret_error)
{
    size_t before = sources->variants.count;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = source_names_add_variant(&sources->names, texts[i], root, ret_error);
    if (result == 0)
        result = sources_find_handles(sources, ret_error);
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct source_variant *variant = &sources->variants.items[before + i];
        if (*texts[i] != '{' && !variant->handle && variant->code == EINVAL)
            result =
                error_set(ret_error, EINVAL, "%.900s; nor is it a handle as JSON", variant->reason);
    }
    return result;
}

int sources_find_roots(struct sources *sources, const struct pkgcache *cache,
                       struct pkgcache_error *ret_error)
{
    CLEANUP_PLACES struct source_places missing = {0};
    if (source_variants_unite(&sources->variants) < 0 ||
        source_missing_find(&sources->variants, cache, &missing) < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    return source_roots_find(&sources->variants, &missing, sources->repositories, sources->force,
                             ret_error);
}

/* What was not even begun failed for the same reason as all. */
static void fail_rest(const struct sources *sources, struct pkgcache_result *results,
                      const struct pkgcache_error *error)
{
    for (size_t i = 0; i < sources->variants.count; i++)
        if (results[i].status == PKGCACHE_NOT_FOUND)
            results[i] = (struct pkgcache_result){.status = PKGCACHE_FAILED,
                                                  .reason = strdup(error->message)};
}

/* Warms some. ret_rootless: those among them that need a root, other than was thought. */
static int warm_places(struct sources *sources, const struct source_places *places,
                       sources_warm_function *warm, void *context, struct pkgcache_result *results,
                       struct source_places *ret_rootless, struct pkgcache_error *error)
{
    CLEANUP_ADDITIONS struct source_additions additions = {0};
    if (source_additions_make(&sources->variants, places, sources->force, &additions) < 0)
        return error_set(error, ENOMEM, "out of memory");
    int result = warm(context, &additions, error);
    if (source_additions_find_rootless(&additions, ret_rootless) < 0)
        result = error_set(error, ENOMEM, "out of memory");
    source_additions_join(&additions, &sources->variants, places, results);
    return result;
}

int sources_warm(struct sources *sources, sources_warm_function *warm, void *context,
                 struct pkgcache_result *results, struct pkgcache_error *ret_error)
{
    CLEANUP_PLACES struct source_places all = {0};
    CLEANUP_PLACES struct source_places rootless = {0};
    CLEANUP_PLACES struct source_places none = {0};
    struct pkgcache_error error = {0};
    int result = source_places_fill(&sources->variants, &all) < 0
                     ? error_set(&error, ENOMEM, "out of memory")
                     : warm_places(sources, &all, warm, context, results, &rootless, &error);
    if (result == 0 && rootless.count > 0) {
        result = source_roots_find(&sources->variants, &rootless, sources->repositories,
                                   sources->force, &error);
        if (result == 0)
            result = warm_places(sources, &rootless, warm, context, results, &none, &error);
    }
    if (result < 0)
        fail_rest(sources, results, &error);
    if (result < 0 && ret_error)
        *ret_error = error;
    return result;
}

int sources_finish(const struct sources *sources, int cancel_fd, struct pkgcache_error *ret_error)
{
    const struct source_archives *archives = sources->names.archives;
    return archives && archives->finish ? archives->finish(archives->context, cancel_fd, ret_error)
                                        : 0;
}

void sources_clear(struct sources *sources)
{
    source_names_clear(&sources->names);
    source_variants_clear(&sources->variants);
}

void sources_close(struct sources *sources)
{
    repositories_free(STEAL(sources->repositories));
}

void sources_free(struct sources *sources)
{
    sources_clear(sources);
    sources_close(sources);
}
