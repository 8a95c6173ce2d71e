#ifndef SLOWFS_NODES_H
#define SLOWFS_NODES_H

/* The paths that slowfs knows. They are kept until the end, so none is too many to be remembered
   but for memory: a node holds no descriptor. */

#include <stdbool.h>
#include <stdio.h>

#define NODE_CHAINS 65536

/* A path that was looked up, and how often it was opened and read. */
struct node {
    struct node *next; /* of its chain */
    unsigned long opens;
    unsigned long reads;
    long long read_to; /* how far reads have come */
    long long back;    /* how far behind that a read began, at most */
    char path[];       /* begins with a slash, which is the root by itself */
};

struct nodes {
    struct node *root;
    struct node *chains[NODE_CHAINS]; /* by hash */
};

/* Makes the root of nodes that are zero; 0, or -1 without memory. */
int nodes_init(struct nodes *nodes);

void nodes_free(struct nodes *nodes);

/* The node of a name in a directory, made if it is new; NULL and errno: ENAMETOOLONG, ENOMEM. */
struct node *nodes_get(struct nodes *nodes, const struct node *directory, const char *name);

/* Counts a read. */
void node_note_read(struct node *node, long long offset, long long size);

/* Writes "OPENS READS BACK PATH" and a NUL for each node that was opened. */
void nodes_write_counts(const struct nodes *nodes, FILE *stream);

/* The node's path relative to the root. */
const char *node_relative(const struct node *node);

/* Whether the node's path, with its slash, ends so. */
bool node_ends_with(const struct node *node, const char *suffix);

#endif
