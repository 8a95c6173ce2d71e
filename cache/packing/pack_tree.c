/* Trees that were read (tree_reading.c): their order, and their files. */
#include "cache/packing/pack_tree.h"

#include "cache/util/beneath.h"
#include "cache/util/text.h"
#include "engine/compiler.h"

#include <fcntl.h>

char *pack_tree_path(const struct pack_node *node)
{
    size_t length = 0;
    if (!node->parent)
        return strdup(".");
    for (const struct pack_node *at = node; at->parent; at = at->parent)
        length += strlen(at->name) + 1;
    char *path = malloc(length);
    if (!path)
        return NULL;
    path[--length] = '\0';
    for (const struct pack_node *at = node; at->parent; at = at->parent) {
        size_t part = strlen(at->name);
        length -= part;
        memcpy(path + length, at->name, part);
        if (at->parent->parent)
            path[--length] = '/';
    }
    return path;
}

int pack_tree_open(const struct pack_tree *tree, const char *path, int flags)
{
    return beneath_open(tree->fd, path, flags);
}

/* --- Order ------------------------------------------------------------------------------------ */

/* A directory whose nodes are being put in order. */
struct place {
    const struct pack_tree_directory *directory;
    size_t next;
};

/* Makes room for one more element. Returns 0 or -ENOMEM. */
static int grow(void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return 0;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *larger = realloc(*array, wanted * size);
    if (!larger)
        return -ENOMEM;
    *array = larger;
    *capacity = wanted;
    return 0;
}

/* Puts all nodes behind each other. A tree may be deep, so this does not recurse. */
static int put_in_order(struct pack_tree *tree)
{
    CLEANUP_FREE struct place *stack = NULL;
    size_t depth = 0;
    size_t depth_max = 0;
    size_t capacity = 0;
    for (struct pack_node *node = tree->root; node;) {
        if (grow((void **)&tree->nodes, tree->count, &capacity, sizeof(*tree->nodes)) < 0 ||
            grow((void **)&stack, depth, &depth_max, sizeof(*stack)) < 0)
            return -ENOMEM;
        tree->nodes[tree->count++] = node;
        tree->bytes += node->data_bytes;
        if (node->inside)
            stack[depth++] = (struct place){node->inside, 0};
        while (depth > 0 && stack[depth - 1].next == stack[depth - 1].directory->count)
            depth--;
        node = depth > 0 ? &stack[depth - 1].directory->nodes[stack[depth - 1].next++] : NULL;
    }
    return 0;
}

static uint64_t key_of(const struct pack_node *node)
{
    const uint64_t identity[] = {node->device, node->inode};
    return text_key((const char *)identity, sizeof(identity));
}

static bool is_same(const struct pack_node *a, const struct pack_node *b)
{
    return a->device == b->device && a->inode == b->inode && a->mode == b->mode &&
           (!a->target || (b->target && strcmp(a->target, b->target) == 0));
}

/* Finds the first name of each file that has several. Returns 0 or -ENOMEM. */
static int find_originals(struct pack_tree *tree)
{
    size_t several = 0;
    for (size_t i = 0; i < tree->count; i++) {
        tree->nodes[i]->original = TREE_NO_ORIGINAL;
        several += tree->nodes[i]->names > 1;
    }
    size_t size = 64;
    while (size < 2 * several)
        size *= 2;
    CLEANUP_FREE size_t *table = calloc(size, sizeof(*table)); /* a node's number plus 1 */
    if (!table)
        return -ENOMEM;
    for (size_t i = 0; several > 0 && i < tree->count; i++) {
        struct pack_node *node = tree->nodes[i];
        size_t at = key_of(node) & (size - 1);
        if (node->names < 2)
            continue;
        while (table[at] && !is_same(node, tree->nodes[table[at] - 1]))
            at = (at + 1) & (size - 1);
        if (table[at])
            node->original = table[at] - 1;
        else
            table[at] = i + 1;
    }
    return 0;
}

int pack_tree_settle(struct pack_tree *tree)
{
    int result = put_in_order(tree);
    return result < 0 ? result : find_originals(tree);
}

void pack_tree_free_node(struct pack_node *node)
{
    free(node->name);
    free(node->target);
    free(node->xattrs);
    free(node->packed);
}

void pack_tree_free(struct pack_tree *tree)
{
    for (struct pack_tree_directory *directory = tree->directories; directory;) {
        struct pack_tree_directory *next = directory->next_of_all;
        for (size_t i = 0; i < directory->count; i++)
            pack_tree_free_node(&directory->nodes[i]);
        free(directory->nodes);
        free(directory);
        directory = next;
    }
    if (tree->root)
        pack_tree_free_node(tree->root);
    free(tree->root);
    free(tree->nodes);
    cleanup_close_fd(&tree->fd);
    *tree = (struct pack_tree){.fd = -1};
}
