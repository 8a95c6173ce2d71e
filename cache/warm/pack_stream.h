/*
 * A pack that comes through a pipe (cache/pack/pack_reader.h): each frame comes once, in order. Who
 * asks for one that is not there yet reads up to it, for all. On the way, what others still need is
 * kept in a file: frames of variants that have not come to them, compressed; and of all others only
 * the bytes that later variants have, too, as the index says. What nobody needs any more is freed.
 *
 * Which variants are wanted must be said before the first frame is read.
 */
#pragma once

#include "cache/pack/pack_reader.h"
#include "engine/copyengine.h"

struct pack_stream;

/**
 * @param pack        of pack_open_stream; read by nobody else, and open as long as this is
 * @param fd          the file that its index was kept in, which takes the rest as well; the
 * caller's
 * @param bytes_per_s of what is read; 0: no limit
 * @param ret         freed with pack_stream_free
 * @return            0 or -ENOMEM
 */
int pack_stream_new(struct pack *pack, int fd, uint64_t bytes_per_s, struct pack_stream **ret);

/** NULL is allowed. */
void pack_stream_free(struct pack_stream *stream);

/** A variant is wanted: what it needs is kept until pack_stream_settle. Not after the first read.
 */
void pack_stream_expect(struct pack_stream *stream, size_t variant);

/** A variant is done, or never will be. */
void pack_stream_settle(struct pack_stream *stream, size_t variant);

/** Whether what comes next is soon the variant's: who begins with it earlier has much kept. */
bool pack_stream_is_near(struct pack_stream *stream, size_t variant);

/**
 * Waits for a frame, and decompresses it. From any thread.
 *
 * @param variant that it is for. Of an earlier variant's frame, only what the index names as shared
 *                is filled in for sure
 * @param decoder the caller's
 * @param job     hears that bytes arrive
 * @param buffer  of as many bytes as pack_frames() says
 * @return        0; -EBADMSG: the pack ends, or is damaged; -ESTALE: the variant has read it
 * before; -ECANCELED: the job was stopped; -ENOMEM; or what read or write say. The message names
 * the first variant that lacks bytes
 */
int pack_stream_read(struct pack_stream *stream, size_t variant, uint32_t frame,
                     struct pack_decoder *decoder, struct copyengine_job *job, void *buffer,
                     struct pkgcache_error *error);

/**
 * Reads what is left, so that whoever writes it is not interrupted, and checks that the pack ends
 * as it should. When nobody else reads.
 *
 * @param cancel_fd see pack_cancel_by
 * @return          0, also if pack_stream_read has said before what is wrong; or as
 *                  pack_finish_stream
 */
int pack_stream_finish(struct pack_stream *stream, int cancel_fd, struct pkgcache_error *error);
