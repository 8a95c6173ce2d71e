/*
 * Stage 1 of what is named (sources.h): from texts to named things. A context or a manifest names
 * many; standard input is one of these, or one source a line. Not for what handles and directories
 * mean: nothing is looked up.
 */
#pragma once

#include "cache/pkgcache.h"
#include "cache/rez/values.h"
#include "cache/warm/supply.h"

#include <sys/stat.h>

enum {
    SOURCES_GUARDED_BYTES = 8 << 20,
    SOURCES_GUARDED_MAX = 16384, /* variants */
    SOURCES_BEGINNING_BYTES = 512,
};

struct source_names;

/** Who reads files that bring variants with them, and so are no contexts or manifests: archives. */
struct source_archives {
    /** Whether a file is one. @param length of its beginning, up to SOURCES_BEGINNING_BYTES */
    bool (*is_meant)(const void *beginning, size_t length);
    /**
     * Adds the variants that are in a file.
     *
     * @param path      NULL: standard input
     * @param fd        open for reading, stays the caller's
     * @param beginning of what cannot be read again from `fd`; NULL: nothing is missing there
     * @return          0 or -errno with ret_error filled in
     */
    int (*read)(void *context, struct source_names *names, const char *path, int fd,
                const struct text *beginning, struct pkgcache_error *ret_error);
    /**
     * Ends what could only be read in order, and to its end: when all that was to be warmed is.
     * NULL: there is no such thing.
     *
     * @param cancel_fd readable: it is left as it is; -1: none
     * @return          0; -ECANCELED; or -errno: what is wrong with the rest. With ret_error filled
     *                  in
     */
    int (*finish)(void *context, int cancel_fd, struct pkgcache_error *ret_error);
    void *context;
};

enum source_kind {
    SOURCE_HANDLE,
    SOURCE_URI,
    SOURCE_DIRECTORY, /* all variants in it */
};

/** Something that was named. */
struct source_name {
    enum source_kind kind;
    const struct json *handle;  /* as JSON, not checked; NULL: there is none. Of SOURCE_HANDLE */
    char *path;                 /* the URI or the directory; NULL: of SOURCE_HANDLE */
    char *text;                 /* what it is called, for people */
    char *root;                 /* absolute; NULL: none is named */
    char *requires_json;        /* its requirements; NULL: none are named */
    struct warm_supply *supply; /* brings its payload; NULL: its root is copied */
    char *reason;               /* what is wrong with what was named beside it; NULL: nothing */
    char *context;              /* the file of the context that names it; NULL: none, or a stream */
    bool of_context;            /* a context names it */
    bool has_definition;        /* it must have one: rez named it, or a URI */
};

/** Starts as `struct source_names names = {.all = ...};`. */
struct source_names {
    bool all;           /* directories name all variants in them */
    bool input_is_read; /* standard input was named */
    bool guarded; /* for others: files are regular, of at most SOURCES_GUARDED_BYTES, and name at
                     most SOURCES_GUARDED_MAX variants each */
    const struct source_archives *archives; /* NULL: files are no archives */
    struct source_name *items;
    size_t count;
    size_t capacity;      /* private */
    struct values values; /* private: the handles */
};

/**
 * Reads a SOURCE: a context, a manifest, an archive, a URI, a directory of packages, or "-" for
 * standard input (one source a line, or one manifest, context or archive).
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
