/* What the files of the reader share: a pack that is open. */
#pragma once

#include "cache/pack/pack_reader.h"
#include "cache/pack/seek_table.h"

#include <pthread.h>
#include <xxhash.h>
#include <zstd.h>

/** Where the entries of a variant are, compressed. */
struct pack_section {
    uint64_t offset; /* behind the head */
    uint64_t stored;
    uint64_t size;
};

struct pack {
    char *name;
    int fd;
    int index_fd;
    uint64_t index_base; /* in index_fd, of the first section */
    bool stream;
    int cancel_fd;  /* of a stream: readable, nothing more is waited for; -1: none */
    uint64_t limit; /* bytes that the file has; of a stream, UINT64_MAX */
    XXH128_canonical_t digest;

    struct pack_variant *variants;
    struct pack_section *sections; /* of each variant */
    size_t variant_count;
    struct pack_frame *frames;
    uint32_t frame_count;
    struct pack_shared *shared;
    size_t shared_count;

    uint64_t head_stored; /* bytes */
    uint32_t head_frames;
    uint64_t sections_stored;
    uint64_t frames_offset; /* in the file */
    uint64_t tail_offset;
    size_t tail_length;
    uint64_t size;

    char *input; /* what was read of the beginning, and of a stream is not used yet */
    size_t input_size;
    size_t input_at;
    size_t input_used;
    uint64_t input_offset;
    ZSTD_DCtx *context;  /* while it is opened */
    uint32_t next_frame; /* of a stream */
};

/** Why the numbers of a variant cannot be true, whatever its part of the index says. @return
 * static; NULL: they can */
const char *pack_judge_numbers(const struct pack_variant *variant,
                               const struct pack_section *section);

/** Says what is wrong with a pack. @return -EBADMSG */
int pack_refuse(const struct pack *pack, struct pkgcache_error *error, const char *why);

/** Says why it cannot be read. @param code positive; EBADMSG: it ends @return -code */
int pack_fail_read(const struct pack *pack, struct pkgcache_error *error, int code);

/** Reads bytes that must be there. @return 0; -EBADMSG: they are not; or -errno */
int pack_read_at(int fd, void *ret, size_t length, uint64_t offset);

/** Takes the next bytes of a stream. @return as pack_read_at; -ECANCELED: see cancel_fd */
int pack_take_bytes(struct pack *pack, void *ret, size_t length);
