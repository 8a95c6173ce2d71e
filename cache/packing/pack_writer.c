/* Making packs: one thread takes what others read, in order, and hands it to those that compress.
 */
#include "cache/packing/pack_writer.h"

#include "cache/packing/index_writer.h"
#include "cache/packing/pack_output.h"
#include "cache/packing/read_ahead.h"
#include "cache/packing/same.h"
#include "cache/packing/tar_writer.h"
#include "engine/compiler.h"

struct packing {
    const struct pack_source *sources;
    size_t count;
    const struct pack_options *options;
    struct pkgcache_error *error;
    struct archive_library libarchive;
    struct pack_tree *trees;
    struct pack_output output;
    struct frames *frames;
    struct tar_writer *tar;
    struct index_writer *index;
    struct read_ahead *ahead;
    struct same *same;
    struct digest digest; /* of a large file under way */
    struct pkgcache_progress progress;
    struct pack_summary *summary;
    uint32_t variant; /* under way */
};

/* --- Messages -------------------------------------------------------------------------------- */

/* The path of a node at its source, allocated. */
static char *source_path(const struct packing *packing, const struct pack_node *node)
{
    CLEANUP_FREE char *path = pack_tree_path(node);
    char *whole;
    if (!path || asprintf(&whole, "%s/%s", packing->sources[packing->variant].root, path) < 0)
        return NULL;
    return whole;
}

/* Says why a file cannot be packed. */
static int fail(const struct packing *packing, const struct pack_node *node, int code)
{
    CLEANUP_FREE char *path = source_path(packing, node);
    const char *why = strerror(code);
    if (code == ESTALE)
        why = "it was changed while it was read, twice; pack it when nobody writes to it";
    else if (code == ELOOP || code == EXDEV)
        why = "a link has taken its place since its directory was read";
    else if (code == E2BIG)
        why = "it has more than 4 MB of extended attributes";
    return error_set(packing->error, code, "%s: %s", path ? path : "?", why);
}

/* Says why the pack cannot be written. */
static int fail_output(const struct packing *packing, int code)
{
    const char *path = packing->options->path;
    return error_set(packing->error, code, "%s cannot be written: %s", path ? path : "the pack",
                     strerror(code));
}

static void warn(const struct packing *packing, const struct pack_node *node, const char *text)
{
    CLEANUP_FREE char *path = source_path(packing, node);
    if (packing->options->on_warning)
        packing->options->on_warning(packing->options->context, path ? path : "?", text);
}

static void report(struct packing *packing)
{
    if (packing->options->on_progress)
        packing->options->on_progress(packing->options->context, &packing->progress);
}

/* --- Entries --------------------------------------------------------------------------------- */

/* The path of a node in the archive, allocated. */
static char *archive_path(const struct packing *packing, uint32_t variant,
                          const struct pack_node *node)
{
    CLEANUP_FREE char *prefix = pack_member_prefix(packing->sources[variant].handle);
    CLEANUP_FREE char *path = pack_tree_path(node);
    char *whole;
    if (!prefix || !path ||
        asprintf(&whole, "%s%s%s%s", prefix, node->parent ? "/" : "", node->parent ? path : "",
                 S_ISDIR(node->mode) ? "/" : "") < 0)
        return NULL;
    return whole;
}

static void set_digest(struct pack_entry *entry, XXH128_hash_t digest)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, digest);
    memcpy(entry->record.digest, canonical.digest, sizeof(canonical.digest));
    entry->record.has_digest = true;
}

/* Adds an entry to index and archive, but for the bytes of a file. */
static int begin_entry(struct packing *packing, const struct pack_node *node,
                       struct tar_member *member)
{
    CLEANUP_FREE char *path = archive_path(packing, packing->variant, node);
    if (!path)
        return fail(packing, node, ENOMEM);
    member->path = path;
    int result = tar_writer_begin(packing->tar, member);
    return result < 0 ? fail_output(packing, -result) : 0;
}

static int add_to_index(struct packing *packing, const struct pack_node *node,
                        struct pack_entry *entry)
{
    CLEANUP_FREE char *path = pack_tree_path(node);
    if (!path)
        return fail(packing, node, ENOMEM);
    entry->record.path = path;
    int result = index_add_entry(packing->index, entry);
    packing->summary->entries++;
    packing->summary->files += entry->record.type == 'f';
    packing->summary->bytes += entry->record.type == 'f' ? entry->record.size : 0;
    if (result == -ENAMETOOLONG)
        return fail(packing, node, ENAMETOOLONG);
    return result < 0 ? fail_output(packing, -result) : 0;
}

/* An entry without bytes of its own: complete at once. */
static int add_plain(struct packing *packing, const struct pack_node *node,
                     struct tar_member *member, struct pack_entry *entry)
{
    int result = begin_entry(packing, node, member);
    if (result == 0 && (result = tar_writer_end_member(packing->tar)) < 0)
        result = fail_output(packing, -result);
    return result < 0 ? result : add_to_index(packing, node, entry);
}

static int add_directory(struct packing *packing, const struct pack_node *node)
{
    struct tar_member member = {.mode = node->mode, .mtime = node->mtime, .xattrs = node->xattrs};
    struct pack_entry entry = {
        .record = {.type = 'd', .mode = node->mode & ~(mode_t)S_IFMT, .mtime = node->mtime}};
    if (node->xattrs) {
        entry.xattrs = node->xattrs->items;
        entry.xattr_count = node->xattrs->count;
    }
    return add_plain(packing, node, &member, &entry);
}

static int add_symlink(struct packing *packing, const struct pack_node *node)
{
    size_t length = strlen(node->target);
    struct tar_member member = {
        .mode = S_IFLNK | 0777, .mtime = node->mtime, .target = node->target};
    struct pack_entry entry = {
        .record = {.type = 'l', .mode = 0777, .size = length, .mtime = node->mtime},
        .target = node->target};
    set_digest(&entry, digest_of(node->target, length));
    return add_plain(packing, node, &member, &entry);
}

/* Another name of a file or link that was there before. */
static int add_name(struct packing *packing, const struct pack_node *node)
{
    const struct pack_tree *tree = &packing->trees[packing->variant];
    const struct pack_node *original = tree->nodes[node->original];
    CLEANUP_FREE char *link = archive_path(packing, packing->variant, original);
    if (!link)
        return fail(packing, node, ENOMEM);
    const struct pack_tree_packed now = {.size = original->target ? strlen(original->target) : 0,
                                         .mtime = original->mtime,
                                         .mode = 0777};
    const struct pack_tree_packed *packed = original->packed ? original->packed : &now;
    struct tar_member member = {
        .mode = (node->mode & S_IFMT) | packed->mode, .mtime = packed->mtime, .link = link};
    struct pack_entry entry = {.record = {.type = original->target ? 'l' : 'f',
                                          .mode = packed->mode,
                                          .size = packed->size,
                                          .mtime = packed->mtime},
                               .target = original->target,
                               .linked = true,
                               .original = node->original};
    set_digest(&entry,
               original->target ? digest_of(original->target, packed->size) : packed->digest);
    return add_plain(packing, node, &member, &entry);
}

/* --- Files ----------------------------------------------------------------------------------- */

static struct tar_member member_of(const struct content *content)
{
    return (struct tar_member){
        .mode = S_IFREG | (content->status.st_mode & 01777),
        .mtime = content->status.st_mtim,
        .size = (uint64_t)content->status.st_size,
        .xattrs = content->xattrs,
        .extents = content->extents,
        .extent_count = content->extent_count,
    };
}

/* Adds a file to the index, whose bytes are in the pack. */
static int add_file_to_index(struct packing *packing, const struct pack_node *node,
                             const struct content *content, XXH128_hash_t digest, uint64_t position)
{
    struct pack_entry entry = {
        .record = {.type = 'f',
                   .mode = content->status.st_mode & 01777,
                   .size = (uint64_t)content->status.st_size,
                   .mtime = content->status.st_mtim},
        .extents = content->extents,
        .extent_count = content->extent_count,
        .position = position,
        .stored = content->stored,
    };
    set_digest(&entry, digest);
    if (content->xattrs) {
        entry.xattrs = content->xattrs->items;
        entry.xattr_count = content->xattrs->count;
    }
    if (content->xattrs_unread)
        warn(packing, node, "its extended attributes or ACLs cannot be read: they are lost");
    if (node->names > 1) {
        struct pack_tree_packed *packed = malloc(sizeof(*packed));
        if (!packed)
            return fail(packing, node, ENOMEM);
        *packed = (struct pack_tree_packed){entry.record.size, entry.record.mtime,
                                            entry.record.mode, digest};
        ((struct pack_node *)node)->packed = packed; /* ours: the tree is not read any more */
    }
    packing->progress.files++;
    packing->progress.bytes += entry.record.size;
    return add_to_index(packing, node, &entry);
}

/* Adds a file that is equal to one that is in the pack. */
static int add_equal(struct packing *packing, const struct pack_node *node,
                     const struct content *content, struct same_file *file)
{
    CLEANUP_FREE char *link = archive_path(packing, file->variant, file->node);
    if (!link)
        return fail(packing, node, ENOMEM);
    struct tar_member member = member_of(content);
    member.link = link;
    member.is_equal = true;
    file->last_variant = packing->variant;
    packing->summary->equal++;
    int result = begin_entry(packing, node, &member);
    if (result == 0 && (result = tar_writer_end_member(packing->tar)) < 0)
        result = fail_output(packing, -result);
    return result < 0 ? result
                      : add_file_to_index(packing, node, content, file->digest, file->position);
}

static struct same_file *find_equal(const struct packing *packing, const struct content *content,
                                    XXH128_hash_t digest)
{
    if (content->stored == 0) /* there is nothing to be saved */
        return NULL;
    return same_find(packing->same, digest, (uint64_t)content->status.st_size, content->extents,
                     content->extent_count);
}

/* Notes a file whose bytes were added, so that others may be equal to it. */
static int note_bytes(struct packing *packing, const struct pack_node *node,
                      const struct content *content, XXH128_hash_t digest, uint64_t position)
{
    const struct same_file file = {.digest = digest,
                                   .size = (uint64_t)content->status.st_size,
                                   .position = position,
                                   .stored = content->stored,
                                   .extents = content->extents,
                                   .extent_count = content->extent_count,
                                   .node = node,
                                   .variant = packing->variant,
                                   .last_variant = packing->variant};
    if (content->stored > 0 && same_add(packing->same, &file) < 0)
        return fail(packing, node, ENOMEM);
    return add_file_to_index(packing, node, content, digest, position);
}

/* A file of which all bytes are there. */
static int add_whole(struct packing *packing, const struct unit *unit)
{
    const struct content *content = unit->content;
    struct same_file *equal = find_equal(packing, content, unit->digest);
    if (equal)
        return add_equal(packing, unit->node, content, equal);
    struct tar_member member = member_of(content);
    int result = begin_entry(packing, unit->node, &member);
    uint64_t position = frames_position(packing->frames);
    if (result < 0)
        return result;
    if (unit->length > 0)
        result = tar_writer_add(packing->tar, unit->bytes, unit->length);
    if (result == 0)
        result = tar_writer_end_member(packing->tar);
    return result < 0 ? fail_output(packing, -result)
                      : note_bytes(packing, unit->node, content, unit->digest, position);
}

/* A large file: where its parts come from is the difference between the first time and the second.
 */
struct large {
    struct packing *packing;
    const struct pack_node *node;
    struct content *content;
    size_t extent;
    uint64_t extent_done;
    uint64_t done;
    uint64_t at; /* in the file, up to where it is digested */
};

/* Adds the next bytes. Returns 0 or -errno, of which the error knows. */
static int add_part(struct large *large, const void *bytes, size_t length)
{
    struct packing *packing = large->packing;
    const struct pack_extent *extent = &large->content->extents[large->extent];
    uint64_t offset = extent->offset + large->extent_done;
    if (digest_add_hole(&packing->digest, offset - large->at) < 0 ||
        digest_add(&packing->digest, bytes, length) < 0)
        return fail(packing, large->node, ENOMEM);
    large->at = offset + length;
    large->done += length;
    large->extent_done += length;
    if (large->extent_done == extent->length) {
        large->extent++;
        large->extent_done = 0;
    }
    packing->progress.bytes += length; /* moves while a file of many GB is read */
    report(packing);
    packing->progress.bytes -= length;
    int result = tar_writer_add(packing->tar, bytes, length);
    return result < 0 ? fail_output(packing, -result) : 0;
}

/* Takes all parts that were read ahead. Returns 0, 1: it changed meanwhile; or -errno. */
static int add_parts_ahead(struct large *large)
{
    struct packing *packing = large->packing;
    bool shorter = false;
    int result = 0;
    for (uint64_t taken = 0; taken < large->content->stored && result == 0;) {
        const struct unit *unit = read_ahead_next(packing->ahead);
        taken += unit->length;
        shorter = shorter || unit->error == -ESTALE;
        if (unit->error < 0 && !shorter)
            result = fail(packing, large->node, -unit->error);
        else if (!shorter)
            result = add_part(large, unit->bytes, unit->length);
        read_ahead_release(packing->ahead);
    }
    return result < 0 ? result : shorter || !content_is_unchanged(large->content);
}

/* Reads all parts here. Returns as add_parts_ahead. */
static int add_parts_again(struct large *large)
{
    struct packing *packing = large->packing;
    const struct content *content = large->content;
    CLEANUP_FREE char *buffer = malloc(READ_AHEAD_PART_MAX);
    int result = buffer ? 0 : fail(packing, large->node, ENOMEM);
    while (result == 0 && large->extent < content->extent_count) {
        const struct pack_extent *extent = &content->extents[large->extent];
        size_t length =
            (size_t)MIN(extent->length - large->extent_done, (uint64_t)READ_AHEAD_PART_MAX);
        result = content_read(content, buffer, length, extent->offset + large->extent_done);
        if (result == -ESTALE)
            return 1;
        result = result < 0 ? fail(packing, large->node, -result) : add_part(large, buffer, length);
    }
    return result < 0 ? result : !content_is_unchanged(content);
}

/* Adds the bytes of a large file. Returns as add_parts_ahead. */
static int add_parts(struct large *large, bool again, XXH128_hash_t *ret_digest,
                     uint64_t *ret_position)
{
    struct packing *packing = large->packing;
    struct tar_member member = member_of(large->content);
    large->extent = 0;
    large->extent_done = large->at = 0;
    digest_begin(&packing->digest, DIGEST_WITHOUT_EMPTY);
    int result = begin_entry(packing, large->node, &member);
    *ret_position = frames_position(packing->frames);
    if (result == 0)
        result = again ? add_parts_again(large) : add_parts_ahead(large);
    if (result != 0)
        return result;
    if (digest_add_hole(&packing->digest, member.size - large->at) < 0 ||
        digest_end(&packing->digest, ret_digest) < 0)
        return fail(packing, large->node, ENOMEM);
    result = tar_writer_end_member(packing->tar);
    return result < 0 ? fail_output(packing, -result) : 0;
}

/*
 * Whether it is equal to another file is known when all of it was read, and has been packed: then
 * it is taken back. So is what was read of a file that changed meanwhile.
 */
static int add_large(struct packing *packing, const struct pack_node *node, struct content *content)
{
    struct large large = {.packing = packing, .node = node, .content = content};
    struct frames_mark mark;
    XXH128_hash_t digest;
    uint64_t position;
    int result = frames_mark(packing->frames, &mark);
    if (result < 0)
        return fail(packing, node, -result);
    result = add_parts(&large, false, &digest, &position);
    if (result == 1) {
        result = tar_writer_abandon(packing->tar);
        if (result == 0)
            result = frames_return(packing->frames, &mark);
        if (result == 0)
            result = content_learn(content);
        result =
            result < 0 ? fail(packing, node, -result) : add_parts(&large, true, &digest, &position);
        if (result == 1)
            result = fail(packing, node, ESTALE);
    }
    struct same_file *equal = result == 0 ? find_equal(packing, content, digest) : NULL;
    if (equal && (result = frames_return(packing->frames, &mark)) < 0)
        result = fail_output(packing, -result);
    frames_forget_mark(&mark);
    if (result < 0)
        return result;
    return equal ? add_equal(packing, node, content, equal)
                 : note_bytes(packing, node, content, digest, position);
}

static int add_file(struct packing *packing, const struct pack_node *node)
{
    const struct unit *unit = read_ahead_next(packing->ahead);
    struct content *content = unit->content;
    bool whole = unit->kind == UNIT_WHOLE;
    int result = unit->error < 0 ? fail(packing, node, -unit->error)
                 : whole         ? add_whole(packing, unit)
                                 : 0;
    read_ahead_release(packing->ahead);
    if (result == 0 && !whole)
        result = add_large(packing, node, content);
    if (result == 0) /* else others may be reading it, until read_ahead_free */
        content_free(content);
    return result;
}

/* --- All of it ------------------------------------------------------------------------------- */

static int add_node(struct packing *packing, const struct pack_node *node)
{
    if (node->original != TREE_NO_ORIGINAL)
        return add_name(packing, node);
    if (S_ISDIR(node->mode))
        return add_directory(packing, node);
    return node->target ? add_symlink(packing, node) : add_file(packing, node);
}

static int add_variant(struct packing *packing)
{
    const struct pack_source *source = &packing->sources[packing->variant];
    const struct pack_tree *tree = &packing->trees[packing->variant];
    uint32_t first_frame = frames_count(packing->frames);
    index_begin_variant(packing->index, first_frame);
    int result = 0;
    for (size_t i = 0; i < tree->count && result == 0; i++) {
        result = add_node(packing, tree->nodes[i]);
        if (i % 64 == 0)
            report(packing);
    }
    if (result < 0)
        return result;
    result = frames_cut(packing->frames);
    if (result == 0)
        result =
            index_end_variant(packing->index, source->handle, source->root, source->requires_json,
                              frames_count(packing->frames) - first_frame);
    packing->progress.variants_done++;
    report(packing);
    return result < 0 ? fail_output(packing, -result) : 0;
}

static int read_trees(struct packing *packing)
{
    const struct pack_tree_options options = {.preserve_symlinks =
                                                  packing->options->preserve_symlinks,
                                              .on_warning = packing->options->on_warning,
                                              .context = packing->options->context};
    uint64_t bytes = 0;
    CLEANUP_FREE const char **roots = calloc(packing->count + 1, sizeof(*roots));
    packing->trees = calloc(packing->count + 1, sizeof(*packing->trees));
    if (!packing->trees || !roots)
        return error_set(packing->error, ENOMEM, "out of memory");
    for (size_t i = 0; i < packing->count; i++) {
        packing->trees[i].fd = -1;
        roots[i] = packing->sources[i].root;
    }
    int result = pack_trees_read(roots, packing->count, &options, packing->trees, packing->error);
    if (result < 0)
        return result;
    for (size_t i = 0; i < packing->count; i++)
        bytes += packing->trees[i].bytes;
    return packing->options->any_room
               ? 0
               : pack_output_check_room(&packing->output, bytes, packing->error);
}

static int begin(struct packing *packing)
{
    const struct pack_options *options = packing->options;
    int result = archive_load(&packing->libarchive, packing->error);
    if (result == 0)
        result = pack_output_open(options->path, options->fd, &packing->output, packing->error);
    packing->output.on_complete = options->on_complete;
    packing->output.context = options->context;
    if (result == 0)
        result = read_trees(packing);
    if (result < 0)
        return result;
    packing->same = same_new();
    result = packing->same ? 0 : -ENOMEM;
    if (result == 0)
        result = frames_new(packing->output.spool, options->level, &packing->frames);
    if (result == 0)
        result = tar_writer_new(&packing->libarchive, packing->frames, &packing->tar);
    if (result == 0)
        result = index_writer_new(packing->output.index, options->level, &packing->index);
    if (result == 0)
        result = read_ahead_new(packing->trees, packing->count, options->in_flight,
                                options->bytes_per_s, &packing->ahead);
    return result < 0 ? fail_output(packing, -result) : 0;
}

/* Joins what was made. */
static int finish(struct packing *packing)
{
    const struct frames_size *sizes[2];
    CLEANUP_FREE struct frames_size *index_sizes = NULL;
    CLEANUP_FREE struct pack_shared *shared = NULL;
    CLEANUP_TEXT struct text head = {0};
    size_t counts[2];
    size_t shared_count;
    uint32_t frame_count = 0;
    int result = tar_writer_end(packing->tar);
    if (result == 0)
        result = frames_end(packing->frames, &sizes[1], &frame_count);
    if (result == 0)
        result = same_list_shared(packing->same, &shared, &shared_count);
    if (result == 0)
        result = index_make_head(packing->index, &packing->libarchive, sizes[1], frame_count,
                                 shared, shared_count, &head, &index_sizes, &counts[0],
                                 packing->summary->digest);
    if (result < 0)
        return fail_output(packing, -result);
    sizes[0] = index_sizes;
    counts[1] = frame_count;
    return pack_output_finish(&packing->output, head.bytes, head.length, sizes, counts,
                              &packing->summary->pack_bytes, packing->error);
}

static void end(struct packing *packing)
{
    read_ahead_free(packing->ahead);
    tar_writer_free(packing->tar);
    index_writer_free(packing->index);
    frames_free(packing->frames);
    same_free(packing->same);
    digest_free(&packing->digest);
    for (size_t i = 0; packing->trees && i < packing->count; i++)
        pack_tree_free(&packing->trees[i]);
    free(packing->trees);
    pack_output_close(&packing->output);
}

int pack_write(const struct pack_source *sources, size_t count, const struct pack_options *options,
               struct pack_summary *ret, struct pkgcache_error *error)
{
    struct packing packing = {.sources = sources,
                              .count = count,
                              .options = options,
                              .error = error,
                              .output = PACK_OUTPUT_INIT,
                              .progress = {.variants = count},
                              .summary = ret};
    *ret = (struct pack_summary){0};
    if (count > PACK_VARIANTS_MAX)
        return error_set(error, E2BIG, "a pack has %d variants at most: make several",
                         PACK_VARIANTS_MAX);
    int result = begin(&packing);
    while (result == 0 && packing.variant < count) {
        result = add_variant(&packing);
        packing.variant++;
    }
    if (result == 0)
        result = finish(&packing);
    end(&packing);
    return result;
}
