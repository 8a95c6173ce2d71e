/*
 * Roots of variants that the cache had when they were named, and that were removed before they were
 * warmed: the daemon finds them out then, as it does for all others before (warming.h).
 */
#pragma once

#include "cache/rez/sources.h"
#include "cache/service/errands.h"

/**
 * Begins to look for the root of a variant.
 *
 * @param errands that do it
 * @param handle  its handle, copied
 * @param has_definition it must have one
 * @param force   also where it is not cachable
 * @param on_done called later, by the thread of the protocol: `variant` has a root or a reason, and
 *                what it points to may be taken over
 * @return        0; -ENOMEM; or as of errands_add: `on_done` is not called
 */
int rooting_begin(struct errands *errands, const struct pkgcache_handle *handle,
                  bool has_definition, bool force,
                  void (*on_done)(void *context, struct source_variant *variant), void *context);
