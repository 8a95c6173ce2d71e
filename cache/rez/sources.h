/*
 * From what people and programs name to variants in the cache, in five stages. Each has one input
 * and one output, and calls no other; sources.c calls them in turn.
 *
 *     source_names.c      1: texts (contexts, manifests, URIs, directories, lines) -> named things
 *     source_handles.c    2: named things -> variants with handles
 *     source_missing.c    3: variants -> those that have no root, and are not in the cache
 *     source_roots.c      4: these -> their roots, and whether they may be cached
 *     source_additions.c  5: variants -> what pkgcache_warm takes; its results -> to each variant
 *
 * The list of variants that is handed on is that of source_variants.h.
 */
#pragma once

#include "cache/rez/repository.h"
#include "cache/rez/source_additions.h"
#include "cache/rez/source_names.h"
#include "cache/rez/source_variants.h"

/** Starts as `struct sources sources = {.force = ..., .names = {.all = ...}};`. */
struct sources {
    bool force;                /* also what is not cachable */
    struct source_names names; /* of stage 1, until stage 2 takes them; and how they are read */
    struct source_variants variants;
    struct repositories *repositories;
};

/**
 * Opens the repositories; nothing is read yet.
 *
 * @param config rez's settings, which must outlive them; NULL: only sources_read_variants is called
 * @return       0 or -ENOMEM
 */
int sources_open(struct sources *sources, struct rezconfig *config,
                 struct pkgcache_error *ret_error);

/**
 * Stages 1 and 2 for SOURCEs: see source_names_read. Those that are guarded may name
 * SOURCES_GUARDED_MAX variants in all.
 *
 * @return 0; -EISDIR: a directory, and names.all is not set; or -errno with ret_error filled in.
 *         Variants that are refused have a reason
 */
int sources_read(struct sources *sources, const char *const *texts, size_t count,
                 struct pkgcache_error *ret_error);

/**
 * Stages 1 and 2 for VARIANTs: handles as JSON, or URIs. There is one variant for each, in order.
 *
 * @param root where the payload of each is; NULL: where its repository has it
 * @return     0; -EINVAL: one is neither JSON nor a URI; -ENOMEM. A variant that is refused has a
 *             reason
 */
int sources_read_variants(struct sources *sources, const char *const *texts, size_t count,
                          const char *root, struct pkgcache_error *ret_error);

/** Stage 2 for the names that were added. @return as of source_handles_find */
int sources_find_handles(struct sources *sources, struct pkgcache_error *ret_error);

/**
 * Stages 3 and 4: finds the roots that nobody named, and what is not cachable. What is named twice
 * becomes one variant.
 *
 * @param cache what it has needs no root; NULL: the root of each is wanted
 * @return      0: each has a root, or a reason, or is cached; or -ENOMEM
 */
int sources_find_roots(struct sources *sources, const struct pkgcache *cache,
                       struct pkgcache_error *ret_error);

/**
 * Brings additions into a cache, or has it done: pkgcache_warm, say. A variant without a root that
 * the cache does not have may be NOT_FOUND.
 *
 * @return 0: each has a result of its own; or -errno: those that were not done have that reason
 */
typedef int sources_warm_function(void *context, struct source_additions *additions,
                                  struct pkgcache_error *ret_error);

/**
 * Stage 5: warms what can be cached. The roots of those that were in the cache before, and were
 * removed by then, are found now, and they are warmed once more.
 *
 * @param warm    called at least once, also when nothing can be cached
 * @param results one for each variant, all zero; filled in whatever happens, and freed with
 *                pkgcache_results_free
 * @return        0: each has a result of its own; what `warm` returned; or -ENOMEM
 */
int sources_warm(struct sources *sources, sources_warm_function *warm, void *context,
                 struct pkgcache_result *results, struct pkgcache_error *ret_error);

/** Reads what is left of standard input, if it is an archive: see struct source_archives. When all
 * that was to be warmed is. @return 0 or -errno */
int sources_finish(const struct sources *sources, int cancel_fd, struct pkgcache_error *ret_error);

/** Forgets what was named; the repositories stay open. */
void sources_clear(struct sources *sources);

/** Closes the repositories, which may be large. What was found stays. */
void sources_close(struct sources *sources);

/** Ends all of it. */
void sources_free(struct sources *sources);
