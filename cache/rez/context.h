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

/** What is to be known of where a context lies, to read its handles. */
struct context_place {
    char *bundle; /* the directory of a bundle, absolute; NULL: it is in none */
};

/**
 * Finds the bundle that a context's file belongs to: `bundle.yaml` lies beside it.
 *
 * @param path absolute
 * @param ret  its bundle is allocated
 * @return     0 or -ENOMEM
 */
int context_find_place(const char *path, struct context_place *ret);

/**
 * Makes of an entry the handle that rez makes of it when it loads the context: of serialize version
 * 3 and before, handles have another form; in a bundle, locations are relative to it.
 *
 * @param values owns what is new
 * @param place  NULL: the context is no file
 * @param handle an entry; what is no handle stays as it is
 * @param ret    the handle; `handle` itself where nothing changes
 * @return       0 or -ENOMEM
 */
int context_adapt_handle(const struct context *context, const struct context_place *place,
                         struct values *values, const struct json *handle, const struct json **ret);

void context_free(struct context *context);

#define CLEANUP_CONTEXT __attribute__((cleanup(context_free)))
