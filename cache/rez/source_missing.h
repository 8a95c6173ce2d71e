/*
 * Stage 3 of what is named (sources.h): which variants a root has to be found for. What the cache
 * has needs none, so that a warm of what is there asks no server.
 */
#pragma once

#include "cache/rez/source_variants.h"

/**
 * Finds those whose root nobody named, and which the cache does not have.
 *
 * @param cache NULL: whether it has them does not matter
 * @param ret   freed with source_places_free
 * @return      0 or -ENOMEM
 */
int source_missing_find(const struct source_variants *variants, const struct pkgcache *cache,
                        struct source_places *ret);
