/*
 * The tree of one variant at its source, before it is packed: what is in it, in the order of a pack
 * (pack_reader.h), with all that a copy keeps but the contents and xattrs of files. Directories are
 * read in parallel, since a source may be a server. Nothing outside is reached: names are opened
 * below the root, and no link is followed.
 */
#pragma once

#include "cache/packing/xattrs.h"
#include "cache/util/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

struct pack_tree_directory;

#define TREE_NO_ORIGINAL SIZE_MAX

/** What went into the pack of a file or link that has several names. */
struct pack_tree_packed {
    uint64_t size;
    struct timespec mtime;
    mode_t mode;
    XXH128_hash_t digest;
};

/** A file, directory or link. Belongs to its tree. */
struct pack_node {
    const struct pack_node *parent;     /* NULL: the root */
    char *name;                         /* "" of the root */
    char *target;                       /* of a link: what its copy says; else NULL */
    struct pack_tree_directory *inside; /* private: while the tree is read */
    struct xattrs *xattrs;              /* of a directory; NULL: none */
    uint64_t size;                      /* bytes, of a file, when the tree was read */
    uint64_t data_bytes;                /* of that, without holes */
    struct timespec mtime;
    dev_t device;
    ino_t inode;
    nlink_t names;                   /* of a file or link: more than 1 may be in the tree */
    mode_t mode;                     /* with the type */
    struct pack_tree_packed *packed; /* of a file with several names, when it is in the pack */
    size_t original; /* the first name of the same file or link in the tree; TREE_NO_ORIGINAL */
};

struct pack_tree {
    int fd;                   /* of the root */
    bool sizes_may_lie;       /* a file may have more bytes than its size */
    bool remote;              /* on a server: calls wait */
    struct pack_node **nodes; /* all, in order; the first is the root */
    size_t count;
    uint64_t bytes; /* of all files, without holes; one with several names counts once for each */
    struct pack_node *root;                  /* private */
    struct pack_tree_directory *directories; /* private: all */
};

struct pack_tree_options {
    bool preserve_symlinks; /* copies of links have the same text; else they lead to the same place
                             */
    void (*on_warning)(void *context, const char *path, const char *text); /* from any thread, one
                                                                               at a time */
    void *context;
};

/**
 * Reads trees, side by side.
 *
 * @param roots their paths
 * @param ret   each freed with pack_tree_free
 * @return      0, or -errno of one that cannot be read, which the message names; then there is
 *              nothing to be freed
 */
int pack_trees_read(const char *const *roots, size_t count, const struct pack_tree_options *options,
                    struct pack_tree *ret, struct pkgcache_error *error);

/** The path of a node relative to the root, allocated; "." of the root. NULL: no memory. */
char *pack_tree_path(const struct pack_node *node);

/**
 * Opens a file of a tree, below its root, whatever became of the names meanwhile.
 *
 * @param path relative to the root
 * @return     a descriptor, for reading; or -errno: -ELOOP where a link is now
 */
int pack_tree_open(const struct pack_tree *tree, const char *path, int flags);

void pack_tree_free(struct pack_tree *tree);

/* --- For reading trees (tree_reading.c) --------------------------------------------------- */

/* A directory that is to be read, or was. */
struct pack_tree_directory {
    struct pack_tree_directory *next_of_all;
    struct pack_node *node;
    struct pack_node *nodes; /* in it, sorted by name */
    size_t count;
    size_t left;  /* while it is read: how many threads are to look at nodes, or do */
    void *stream; /* a DIR; NULL: it is not being read */
};

/** Puts the nodes of a tree that was read in order. @return 0 or -ENOMEM */
int pack_tree_settle(struct pack_tree *tree);

/** Frees what a node has. */
void pack_tree_free_node(struct pack_node *node);
