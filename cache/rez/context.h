/*
 * Contexts that rez saved (`.rxt`): which variants a resolve chose. JSON when the text begins with
 * `{`, else YAML, as rez reads them. Nothing else in them matters here.
 */
#pragma once

#include "cache/rez/values.h"

/** A document that may be a context. Starts as `struct context context = {0};`. */
struct context {
    const struct json *root;        /* the whole document */
    struct json_document *document; /* private: JSON */
    struct values values;           /* private: YAML */
};

/**
 * Reads the document.
 *
 * @param ret freed with context_free
 * @return    0; -EBADMSG: neither JSON nor YAML (the message says why, and where); -ENOMEM
 */
int context_parse(const char *text, size_t length, struct context *ret,
                  struct pkgcache_error *ret_error);

/**
 * The variants that a context resolved to.
 *
 * @param ret_packages a list, in rez's order, owned by the context; its entries are handles as
 * JSON, and were not looked at: see handle_from_json
 * @return             0; -EINVAL: no context; or that of a resolve that failed (the message has the
 *                     reason that it gives)
 */
int context_packages(const struct context *context, const struct json **ret_packages,
                     struct pkgcache_error *ret_error);

void context_free(struct context *context);

#define CLEANUP_CONTEXT __attribute__((cleanup(context_free)))
