/*
 * Stage 1 of what is named (sources.h): from texts to named things. A context or a manifest names
 * many; standard input is one of these, or one source a line. Not for what handles and directories
 * mean: nothing is looked up.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/values.h"

enum {
    SOURCES_GUARDED_BYTES = 8 << 20,
    SOURCES_GUARDED_MAX = 16384, /* variants */
};

enum source_kind {
    SOURCE_HANDLE,
    SOURCE_URI,
    SOURCE_DIRECTORY, /* all variants in it */
};

/** Something that was named. */
struct source_name {
    enum source_kind kind;
    const struct json *handle; /* as JSON, not checked; NULL: there is none. Of SOURCE_HANDLE */
    char *path;                /* the URI or the directory; NULL: of SOURCE_HANDLE */
    char *text;                /* what it is called, for people */
    char *root;                /* absolute; NULL: none is named */
    char *requires_json;       /* its requirements; NULL: none are named */
    char *reason;              /* what is wrong with what was named beside it; NULL: nothing */
    bool has_definition;       /* it must have one: rez named it, or a URI */
};

/** Starts as `struct source_names names = {.all = ...};`. */
struct source_names {
    bool all;     /* directories name all variants in them */
    bool guarded; /* for others: files are regular, of at most SOURCES_GUARDED_BYTES, and name at
                     most SOURCES_GUARDED_MAX variants each */
    struct source_name *items;
    size_t count;
    size_t capacity;      /* private */
    struct values values; /* private: the handles */
};

/**
 * Reads a SOURCE: a context, a manifest, a URI, a directory of packages, or "-" for standard input
 * (one source a line, or one manifest or context).
 *
 * @return 0; -EISDIR: a directory, and `all` is not set; or -errno with ret_error filled in
 */
int source_names_read(struct source_names *names, const char *source,
                      struct pkgcache_error *ret_error);

/**
 * Adds a VARIANT: a handle as JSON, or what must be a URI.
 *
 * @param root where its payload is; NULL: where its repository has it
 * @return     0; -EINVAL: it begins as JSON, and is none; -ENOMEM
 */
int source_names_add_variant(struct source_names *names, const char *text, const char *root,
                             struct pkgcache_error *ret_error);

/**
 * Adds a handle.
 *
 * @param handle NULL: there is none
 * @param root   NULL: none is named. What is no path becomes the name's reason
 * @param text   where it stands, for people, if it cannot be called by its own name; taken over
 * @return       0 or -ENOMEM
 */
int source_names_add_handle(struct source_names *names, const struct json *handle,
                            const struct json *root, char *text);

/** Adds a URI, or what is taken for one, as it is: a relative path is none. @return 0 or -ENOMEM */
int source_names_add_uri(struct source_names *names, const char *uri);

/** The name that was added last. */
static inline struct source_name *source_names_last(const struct source_names *names)
{
    return &names->items[names->count - 1];
}

/** What is wrong with a name: the first reason that is given stays. */
void source_name_give_reason(struct source_name *name, const char *reason);

/** Frees the names; those that are added afterwards are the first again. */
void source_names_clear(struct source_names *names);
