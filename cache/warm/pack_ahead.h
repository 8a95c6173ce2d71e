/*
 * Reads a pack that lies with a file server from its beginning to its end, as far as it is needed:
 * variants begin in the order of their frames, and what comes next is asked for in that order,
 * while what was asked for before arrives. So the server reads one file in order, and several
 * frames are on their way, whichever of them the engine's threads take first. The system keeps what
 * arrives early (posix_fadvise(2)): a hint, and nothing is lost if it is not taken.
 */
#pragma once

#include "cache/pack/pack_reader.h"

struct pack_ahead;

/**
 * @param pack that is no stream; open as long as this is
 * @param fd   of its file; the caller's
 * @param ret  freed with pack_ahead_free
 * @return     0 or -ENOMEM
 */
int pack_ahead_new(const struct pack *pack, int fd, struct pack_ahead **ret);

/** NULL is allowed. */
void pack_ahead_free(struct pack_ahead *ahead);

/* These may be called from any thread. */

/** A variant is wanted. */
void pack_ahead_expect(struct pack_ahead *ahead, size_t variant);

/** A variant is done, or never will be. */
void pack_ahead_settle(struct pack_ahead *ahead, size_t variant);

/** Whether the variant's frames are soon to be read: who begins with it earlier breaks the order.
 */
bool pack_ahead_is_near(struct pack_ahead *ahead, size_t variant);

/** So many frames will be read, also of earlier variants. */
void pack_ahead_want(struct pack_ahead *ahead, const uint32_t *frames, size_t count);

/** They were read, or will not be. */
void pack_ahead_forget(struct pack_ahead *ahead, const uint32_t *frames, size_t count);

/** Asks for a piece that is wanted and was not asked for: the first one, up to and with a frame.
 * @return whether there was one */
bool pack_ahead_ask_up_to(struct pack_ahead *ahead, uint32_t frame);

/** Asks for what comes next, unless much was asked for that has not arrived. To be called when a
 * piece has. */
void pack_ahead_ask_next(struct pack_ahead *ahead);
