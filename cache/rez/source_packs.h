/*
 * Packs (cache/pack/pack.h) as SOURCEs: the variants in them, each with what brings its payload. A
 * pack is its maker's word about every handle in it, so one is taken only if nobody but root and
 * this user can have made it, unless the caller says otherwise.
 */
#pragma once

#include "cache/rez/source_names.h"

struct pack_file;

struct source_packs {
    struct source_archives archives; /* for struct source_names */
    bool trusted;                    /* also those that others own, or may write to */
    const char *spool_directory;
    uint64_t bytes_per_s;
    struct pack_file *piped; /* private: the one that comes through a pipe; NULL: none does */
};

/**
 * Starts. It must outlive the names.
 *
 * @param packs           freed with source_packs_free
 * @param trusted         also packs that others own, or may write to
 * @param spool_directory where it is kept what a pack from a pipe brings before it is needed, in a
 *                        file without a name; if it is not there yet, the directory that it would
 * be in
 * @param bytes_per_s     that are read of a pack from a pipe; 0: no limit
 */
void source_packs_init(struct source_packs *packs, bool trusted, const char *spool_directory,
                       uint64_t bytes_per_s);

void source_packs_free(struct source_packs *packs);

/** For who wants sources and can take no pack: it is called one, and refused. */
extern const struct source_archives source_packs_refused;
