/*
 * One verify under way: what its payloads share. verify.c drives it, payload.c does what is done
 * for one payload.
 */
#pragma once

#include "cache/owner/heartbeat.h"
#include "cache/store/slot_manifest.h"
#include "cache/store/slot_name.h"
#include "cache/store/staging.h"

struct verification;

/* A payload that is to be verified. */
struct payload {
    struct verification *verification;
    struct payload *next; /* of those that are scanned */
    struct pkgcache_handle *handle;
    char slot_name[SLOT_NAME_MAX];
    char *root;             /* NULL: the handle was asked for, and is not in the cache */
    char *source_root;      /* NULL: not known */
    uid_t uid;              /* of the sidecar, which says so */
    bool is_unvouched;      /* others than that user can have made it say so */
    char manifest_name[32]; /* in staging */
    int fd;                 /* of the scan's manifest */
    uint64_t offset;        /* where it begins */
    int shall_fd;           /* of the manifest that says what shall be; or -errno */
    uint64_t shall_offset;
    struct slot_manifest_payload identity;
    bool foreign; /* it is another user's */
    struct copyengine_job *job;
    enum pkgcache_verdict verdict;
    uint64_t differences;
    char *reason;
};

struct verification {
    struct pkgcache *cache;
    const struct pkgcache_verify *verify;
    struct pkgcache_verify_summary *summary;
    struct pkgcache_error *error;
    struct payload **payloads;
    size_t count;
    size_t capacity;
    size_t begun;
    size_t under_way;
    size_t done;
    struct staging staging; /* its fd is -1 where the cache cannot be written */
    struct heartbeat heartbeat;
    int event_fd;
    uint64_t seed;
    uint64_t reported_ns;

    pthread_mutex_t lock; /* for what the engine's threads hand over */
    struct payload *scanned;
};

/** Frees a payload and what it owns. NULL is allowed. */
void payload_free(struct payload *payload);

/** Has a payload scanned. @return 0; -ENOENT: it is gone; or -errno */
int payload_scan(struct payload *payload);

/** Gives its verdict to a payload whose scan has ended. */
void payload_judge(struct payload *payload);

/** Says why a payload cannot be verified. @return PKGCACHE_VERDICT_UNKNOWN */
enum pkgcache_verdict payload_unknown(struct payload *payload, const char *what, const char *why);
