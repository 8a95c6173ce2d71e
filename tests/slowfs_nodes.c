/* The paths that slowfs was asked for: a table of chains, by hash. */
#include "slowfs_nodes.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The chain that holds a path, if any does: by FNV-1a. */
static struct node **chain_of(struct nodes *nodes, const char *path)
{
    uint32_t hash = 2166136261U;
    for (const char *next = path; *next; next++)
        hash = (hash ^ (unsigned char)*next) * 16777619U;
    return &nodes->chains[(hash ^ hash >> 16) % NODE_CHAINS];
}

static struct node *get_by_path(struct nodes *nodes, const char *path)
{
    struct node **chain = chain_of(nodes, path);
    for (struct node *node = *chain; node; node = node->next)
        if (!strcmp(node->path, path))
            return node;
    struct node *node = calloc(1, sizeof(*node) + strlen(path) + 1);
    if (!node)
        return NULL;
    strcpy(node->path, path);
    node->next = *chain;
    *chain = node;
    return node;
}

int nodes_init(struct nodes *nodes)
{
    nodes->root = get_by_path(nodes, "/");
    return nodes->root ? 0 : -1;
}

void nodes_free(struct nodes *nodes)
{
    for (size_t i = 0; i < NODE_CHAINS; i++) {
        while (nodes->chains[i]) {
            struct node *node = nodes->chains[i];
            nodes->chains[i] = node->next;
            free(node);
        }
    }
}

struct node *nodes_get(struct nodes *nodes, const struct node *directory, const char *name)
{
    char path[PATH_MAX];
    const char *parent = directory == nodes->root ? "" : directory->path;
    if (snprintf(path, sizeof(path), "%s/%s", parent, name) < (int)sizeof(path))
        return get_by_path(nodes, path);
    errno = ENAMETOOLONG;
    return NULL;
}

void node_note_read(struct node *node, long long offset, long long size)
{
    node->reads++;
    if (node->read_to - offset > node->back)
        node->back = node->read_to - offset;
    if (offset + size > node->read_to)
        node->read_to = offset + size;
}

void nodes_write_counts(const struct nodes *nodes, FILE *stream)
{
    for (size_t i = 0; i < NODE_CHAINS; i++)
        for (const struct node *node = nodes->chains[i]; node; node = node->next)
            if (node->opens)
                fprintf(stream, "%lu %lu %lld %s%c", node->opens, node->reads, node->back,
                        node_relative(node), '\0');
}

const char *node_relative(const struct node *node)
{
    return node->path[1] ? node->path + 1 : ".";
}

bool node_ends_with(const struct node *node, const char *suffix)
{
    size_t length = strlen(node->path), suffix_length = strlen(suffix);
    return length >= suffix_length && !strcmp(node->path + length - suffix_length, suffix);
}
