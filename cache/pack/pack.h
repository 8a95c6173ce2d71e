/*
 * Packs: variants in one file, of which a cache is filled elsewhere. docs/packs.md has the format;
 * here are its numbers, and what reader and writer both say of a pack.
 *
 * A pack is a tar archive (pax) in independent frames of zstd. Its first member is the index, which
 * says all that the headers of the other members say, so only other programs read those. Bytes have
 * a position in the pack: the first uncompressed byte behind the index has position 0.
 */
#pragma once

#include "cache/store/handle.h"
#include "cache/store/manifest_reader.h"

#define PACK_INDEX_NAME "pkgcache-pack" /* of the first member */

enum {
    PACK_VERSION = 1,
    PACK_DIGEST_BYTES = 16,             /* XXH3-128, the greatest byte first */
    PACK_FRAME_MAX = 4 << 20,           /* uncompressed bytes of a frame with files */
    PACK_INDEX_FRAME_MAX = 1 << 20,     /* of a frame of the index */
    PACK_WINDOW_LOG_MAX = 22,           /* of what zstd looks back on: 4 MiB */
    PACK_VARIANTS_MAX = 1 << 20,        /* in one pack */
    PACK_FRAMES_MAX = 1 << 22,          /* with files, in one pack: 16 TiB */
    PACK_SHARED_MAX = 1 << 21,          /* ranges of bytes that several variants have */
    PACK_HANDLES_BYTES_MAX = 256 << 20, /* of all handles together */
    PACK_RECORD_MAX = 192 << 10,        /* bytes of a record of the index, with its NUL */
    PACK_EXTENTS_MAX = 1 << 16,         /* parts of a file between holes */
    PACK_XATTRS_BYTES_MAX = 4 << 20,    /* names and values of one entry */
};

/** One variant, as the index has it. */
struct pack_variant {
    const char *handle;    /* JSON, as rez writes it; not checked, see handle_parse */
    const char *root;      /* where its payload was when the pack was made, an absolute path */
    const char *requires;  /* JSON: rez's list of its requirements; NULL: none */
    uint64_t entry_count;  /* files, directories, links: at least 1, the root */
    uint64_t file_count;   /* regular ones; each name of one with several counts */
    uint64_t bytes;        /* sizes of the regular files, together */
    uint64_t stored_bytes; /* of its frames, uncompressed: less, where earlier variants have them */
    uint32_t first_frame;  /* its own frames; one that has no frame has the next one's number */
    uint32_t frame_count;
    uint8_t digest[PACK_DIGEST_BYTES]; /* of its entries in the index, their digests included */
};

/** One frame with files. */
struct pack_frame {
    uint64_t position; /* of its first byte in the pack */
    uint32_t size;     /* uncompressed, 1 to PACK_FRAME_MAX */
    uint32_t stored;   /* compressed */
    uint64_t offset;   /* behind the frames of the index, of its first compressed byte */
};

/** Bytes that a later variant has, too: who reads in order has to keep them. */
struct pack_shared {
    uint64_t position;
    uint64_t length;
    uint32_t last_variant; /* that refers to them */
};

struct pack_xattr {
    const char *name;
    const uint8_t *value; /* NULL when there is none */
    size_t length;
};

/** A part of a file that is no hole. */
struct pack_extent {
    uint64_t offset; /* in the file */
    uint64_t length; /* at least 1 */
};

/** A file, directory or link of a variant. */
struct pack_entry {
    struct manifest_record record; /* f, d or l; the path is inside the variant's root. Each f
                                      and l has a digest, as manifests have it */
    const char *target;            /* of a symbolic link, what it says; else NULL */
    bool linked;                   /* another name of the entry that is number `original`,
                                      counted from 0 in this variant, earlier, and a file or a
                                      symbolic link as this one; says nothing of data, xattrs */
    uint64_t original;
    const struct pack_xattr *xattrs; /* POSIX ACLs are among them, as the kernel gives them */
    size_t xattr_count;
    const struct pack_extent *extents; /* of a file, in order; what is not in them are holes */
    size_t extent_count;
    uint64_t position; /* in the pack, of the bytes of all extents, one after the other: in frames
                          of this variant or of earlier ones */
    uint64_t stored;   /* bytes of all extents together */
};

/**
 * Names a variant in messages: NAME-VERSION, or its number where the handle cannot be read.
 *
 * @param handle_text JSON; NULL: not known
 * @param number      from 0
 * @return            `buffer`
 */
const char *pack_name_variant(const char *handle_text, size_t number, char *buffer, size_t size);

/** Which of two paths comes first in a walk with sorted names, where a slash is less than all else.
 * @return as strcmp(3) */
int pack_compare_paths(const char *a, const char *b);

/** Where the files of a variant are in the archive: NAME/VERSION/ and the hash of its handle, all
 * of it. @return allocated; NULL: no memory */
char *pack_member_prefix(const struct pkgcache_handle *handle);
