/*
 * Repositories of packages, as rez's `filesystem` type has them on disk: finds the root of a
 * handle's variant, and all variants below a directory. One `struct repositories` keeps the
 * definitions that it read, and starts rez at most once for all the queries of a call.
 */
#pragma once

#include "cache/rez/layout.h"
#include "cache/rez/rezconfig.h"

/** A variant that was found. */
struct repository_variant {
    const struct pkgcache_handle *handle; /* the query's */
    char *root;          /* absolute; where its payload is, if it is there; as rez has it, so it may
                            go through a short link (_v/a) */
    char *uri;           /* as rez prints it */
    char *requires_json; /* its raw list of requirements, for the sidecar; NULL: it has no index */
    bool cachable;       /* what definition and settings say */
    const char *said_by; /* which of them: "its attribute cachable", ...; static */
    bool local;          /* its repository is rez's local_packages_path */
};

struct repositories;

/**
 * @param config rez's settings; must outlive the repositories. NULL: only handles are found
 * @param ret    the caller ends it with repositories_free
 * @return       0 or -ENOMEM
 */
int repositories_new(struct rezconfig *config, struct repositories **ret);

/** NULL is fine. */
void repositories_free(struct repositories *repositories);

/**
 * Finds the handles that URIs mean, as layout_find_handles. Where there is a config, what rez does
 * not see is refused.
 *
 * @return 0: each has its result; -EINVAL: a setting is wrong; -ENOMEM
 */
int repositories_find_handles(struct repositories *repositories, struct layout_query *queries,
                              size_t count, struct pkgcache_error *ret_error);

/** A query, and its answer. */
struct repository_query {
    const struct pkgcache_handle *handle;
    const char *context; /* the file of a context that has it; NULL: none */
    int result; /* 0; -ENOENT: there is no definition; -ESRCH: it has no such variant; -EINVAL: a
                   variant that rez refuses; -ENOTSUP: a combined package, which has no root; or as
                   of definition_read */
    struct pkgcache_error error;
    struct repository_variant variant; /* freed with repository_variant_free */
};

/**
 * Finds where variants are, and whether they may be cached. Files are read side by side, and once
 * for all variants of a package.
 *
 * @return 0: each has its result; -EINVAL: a setting is wrong; or -ENOMEM
 */
int repositories_find_roots(struct repositories *repositories, struct repository_query *queries,
                            size_t count, struct pkgcache_error *ret_error);

/**
 * Visits all variants of a repository, a package or one of its versions, in order. Leaves out what
 * rez ignores (names that begin with a dot, versions with a .ignore file beside them), and combined
 * packages, which have no payloads.
 *
 * @param directory one of these three; a repository when it is none of the others
 * @param visit     called for each; `error` is not NULL for a definition that cannot be read, then
 *                  `variant` is NULL and `path` the directory; non-zero ends the visit
 * @return          0, what `visit` returned, or -errno
 */
int repositories_visit(struct repositories *repositories, const char *directory,
                       int (*visit)(void *context, const char *path,
                                    const struct repository_variant *variant,
                                    const struct pkgcache_error *error),
                       void *context, struct pkgcache_error *ret_error);

/** Frees what a variant owns, not itself. */
void repository_variant_free(struct repository_variant *variant);
