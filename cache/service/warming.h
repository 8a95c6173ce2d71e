/*
 * What method warm names, on its way to a job: variants are read at once; sources, that is
 * contexts, manifests and URIs, by an errand, since the storage that they are on may be slow, or
 * hang.
 */
#pragma once

#include "cache/service/server.h"

/**
 * Begins a job with an array of variants: {"handle", "root", "requires"}. Of a client that is
 * neither root nor this user (peer_is_owner), as soon as it is known which of them the client may
 * have copied (vetting.h).
 */
void warming_begin(struct server *server, const struct call *call, const struct json *variants,
                   const struct job_options *options);

/**
 * Begins a job with what an array of sources names, as soon as that is known; or fails the call.
 * Each is an absolute path, or a URI. The files are opened with the rights of this process: whom
 * that is for is the caller's business.
 */
void warming_begin_sources(struct server *server, const struct call *call,
                           const struct json *sources, const struct job_options *options);
