/* What is not to be cached: that a context or a directory names such packages is no failure. */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/settings.h"
#include "cache/rez/source_variants.h"

/** Whether a result is that a variant is not cachable, and nobody asked for just that variant. */
bool policy_is(const struct source_variant *variant, const struct pkgcache_result *result);

/**
 * Says on standard output why nothing may be cached: which settings and attributes forbid it, and
 * what to set.
 *
 * @param variants all of them are not cachable
 */
void policy_explain(const struct source_variants *variants);

/**
 * Reports whether anything may be cached of what rez finds: one finding, or none where there are no
 * packages. Stops at the first variant that may be, and after a thousand that may not.
 *
 * @param directories where to look: repositories, packages or versions; what is none of these is
 *                    passed over
 * @param count       0: rez's packages_path
 * @param on_finding  as of struct pkgcache_doctor; also told what is wrong in rez's settings
 * @return            0 or -ENOMEM
 */
int policy_examine(struct settings *settings, const char *const *directories, size_t count,
                   void (*on_finding)(void *context, const struct pkgcache_finding *finding),
                   void *context);
