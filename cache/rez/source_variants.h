/*
 * The variants that were named: the list that the stages hand on (sources.h), from source_handles.h
 * to source_additions.h. Each stage finds out more about its variants; what is wrong with one does
 * not stop the others.
 */
#pragma once

#include "cache/store/handle.h"
#include "cache/warm/supply.h"

#include <sys/types.h>

/** A variant that was named, and what the stages find out about it. */
struct source_variant {
    struct pkgcache_handle *handle; /* NULL: it could not be read */
    char *handle_json;              /* what was named as a handle, and is none; NULL: nothing was */
    char *text;                     /* what it is called, for people */
    char *root;                     /* absolute; NULL: not known */
    dev_t root_device;              /* the directory that it must be; an inode number of 0: any */
    ino_t root_inode;
    char *requires_json;        /* its requirements, for the sidecar; NULL: not known, or none */
    struct warm_supply *supply; /* brings its payload; NULL: its root is copied */
    char *context;              /* the file of a context that names it; NULL: none */
    char *uri;                  /* as rez prints it; NULL: its definition was not asked */
    char *reason;               /* why it cannot be cached; NULL: it can */
    int code;                   /* the errno value that goes with the reason; 0: there is none */
    bool is_refused;            /* that is because its package is not to be cached */
    bool is_policy;      /* a context or a directory names it: that it is refused is no failure */
    const char *said_by; /* what says that it is refused; static; NULL: it has no payload */
    bool is_local;       /* its repository is rez's local_packages_path, as far as was asked */
    bool has_definition; /* it must have one: rez named it, or a URI */
};

/** Starts as `struct source_variants variants = {0};`. */
struct source_variants {
    struct source_variant *items;
    size_t count;
    size_t capacity;    /* private */
    bool keeps_refused; /* variants in directories that are not cachable are in the list, too */
    size_t passed_over; /* those that are not, because of that */
};

/** Some variants of a list. Starts as `struct source_places places = {0};`. */
struct source_places {
    size_t *places; /* in the list, from the first to the last */
    size_t count;
};

/** Adds a variant of which nothing is known. @return the variant; NULL: out of memory */
struct source_variant *source_variants_add(struct source_variants *variants);

/**
 * Adds a variant that has a handle.
 *
 * @param handle copied
 * @param text   what it is called, for people; copied
 * @return       0 or -ENOMEM
 */
int source_variants_add_handle(struct source_variants *variants,
                               const struct pkgcache_handle *handle, const char *text);

/**
 * Drops what is named twice. With two different roots neither can be right: the one that stays has
 * a reason.
 *
 * @return 0 or -ENOMEM
 */
int source_variants_unite(struct source_variants *variants);

/** Why a variant cannot be cached: the first reason that is given stays. @param code as errno */
void source_variant_give_reason(struct source_variant *variant, int code, const char *reason);

/**
 * A variant whose package is not to be cached.
 *
 * @param said_by what forbids it; static
 * @return        0 or -ENOMEM
 */
int source_variant_refuse(struct source_variant *variant, const char *said_by);

/** Frees the variants; the list is empty then. */
void source_variants_clear(struct source_variants *variants);

/**
 * Takes all variants of a list.
 *
 * @param ret freed with source_places_free
 * @return    0 or -ENOMEM
 */
int source_places_fill(const struct source_variants *variants, struct source_places *ret);

void source_places_free(struct source_places *places);

#define CLEANUP_PLACES __attribute__((cleanup(source_places_free)))
