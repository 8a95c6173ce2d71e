/*
 * Stage 4 of what is named (sources.h): where payloads are, and whether they may be cached, from
 * the repositories and rez's settings.
 */
#pragma once

#include "cache/rez/repository.h"
#include "cache/rez/source_variants.h"

/**
 * Finds the roots of some variants, side by side.
 *
 * @param places those that need one: each has a handle
 * @param force  also of what is not cachable
 * @return       0: each has a root, or a reason; or -ENOMEM
 */
int source_roots_find(struct source_variants *variants, const struct source_places *places,
                      struct repositories *repositories, bool force,
                      struct pkgcache_error *ret_error);
