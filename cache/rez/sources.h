/*
 * From what people and programs name to variants with their roots.
 *
 *     sources.c       the list of variants
 *     sources_read.c  contexts, manifests, directories, standard input
 *     sources_find.c  roots, from repositories
 */
#pragma once

#include "cache/rez/repository.h"

/** What a source, or an argument, named. */
struct source_variant {
    struct pkgcache_handle *handle; /* NULL: it could not be read */
    char *handle_json;              /* as it was named; NULL: not at all */
    char *text;                     /* what it is called, for people */
    char *root;                     /* absolute; NULL: not known */
    char *requires_json; /* its requirements, for the sidecar; NULL: not known, or none */
    char *reason;        /* why it cannot be cached; NULL: it can */
    bool is_refused;     /* that is because its package is not to be cached */
    bool has_definition; /* it must have one: rez named it, or a URI */
};

enum {
    SOURCES_GUARDED_BYTES = 8 << 20,
    SOURCES_GUARDED_MAX = 16384, /* variants */
};

/** Starts as `struct sources sources = {.config = ...};`. */
struct sources {
    struct rezconfig *config; /* the caller's; asked only where a definition is looked into. NULL:
                                 sources_read and sources_find are not called */
    bool all;                 /* directories name all variants in them */
    bool force;               /* also what is not cachable */
    bool guarded; /* for others: files are regular, of at most SOURCES_GUARDED_BYTES, and name at
                     most SOURCES_GUARDED_MAX variants each */
    struct source_variant *items;
    size_t count;
    size_t passed_over;                /* variants in directories that are not cachable */
    size_t visited;                    /* private: what was in a directory */
    struct repositories *repositories; /* private: NULL: none was asked yet */
};

/**
 * Reads a SOURCE: a context, a manifest, a URI, a directory of packages, or "-" for standard input
 * (one source a line, or one manifest or context).
 *
 * @return 0; -EISDIR: a directory, and `all` is not set; or -errno with ret_error filled in.
 *         Variants that are refused are items with a reason
 */
int sources_read(struct sources *sources, const char *source, struct pkgcache_error *ret_error);

/**
 * Adds a VARIANT: a handle as JSON, or a URI. Its repository is not looked into.
 *
 * @param root where its payload is; NULL: where its repository has it
 * @return     0; -EINVAL: neither JSON nor a URI; -ENOMEM. A variant that is refused is an item
 * with a reason
 */
int sources_add_variant(struct sources *sources, const char *text, const char *root,
                        struct pkgcache_error *ret_error);

/**
 * Adds a handle, or why it is none, as the last item.
 *
 * @param handle NULL: there is none
 * @param root   NULL: none is named
 * @param source where it stands, for people, if it cannot be called by its own name; taken over
 * @return       0 or -ENOMEM
 */
int sources_add_handle(struct sources *sources, const struct json *handle, const struct json *root,
                       char *source);

/** Why a variant cannot be cached: the first reason that is given stays. */
void sources_give_reason(struct source_variant *item, const char *reason);

/**
 * Drops what is named twice. With two different roots neither can be right: both get a reason.
 *
 * @return 0 or -ENOMEM
 */
int sources_unite(struct sources *sources);

/**
 * Finds the roots that nobody named, and what is not cachable. What the cache has needs none, so
 * that a warm of what is there asks no server.
 *
 * @return 0: each has a root, or a reason, or is cached; or -ENOMEM
 */
int sources_find(struct sources *sources, const struct pkgcache *cache,
                 struct pkgcache_error *ret_error);

/**
 * Where a variant without a subpath (its index is null) is, by its handle alone.
 *
 * @return allocated; NULL: only its definition tells, or there is no memory
 */
char *sources_default_root(const struct pkgcache_handle *handle);

void sources_free(struct sources *sources);
