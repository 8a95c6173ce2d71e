/*
 * rez's own Python, where rez is installed: for what only running a definition or a settings file
 * can tell. Looked for as PKGCACHE_REZ_PYTHON (a Python that can import rez, or rez-python; set but
 * empty: there is none), then rez-python beside the running program, then rez-python on PATH.
 * Neither it nor its modules are looked for in the current directory (rezpython_environment.h).
 */
#pragma once

#include "cache/json/json.h"

enum { REZPYTHON_LIMIT_MS = 60000 };

/**
 * Runs a script: `import rez` works in it.
 *
 * @param script       Python; reads JSON from standard input, prints one JSON document. What it
 *                     imports may print, too: it does well to keep the real standard output to
 * itself
 * @param input        JSON, for its standard input
 * @param ret_document what it printed; the caller frees it with json_document_free
 * @return             0; -ENOENT: there is no rez here; -EBADMSG: it failed, or printed no JSON
 *                     (the message has the end of what it wrote to standard error); -ETIMEDOUT: it
 *                     took more than REZPYTHON_LIMIT_MS, and was killed; -ENOMEM; or -errno
 */
int rezpython_run(const char *script, const struct text *input, struct json_document **ret_document,
                  struct pkgcache_error *ret_error);

/** The same with another limit in milliseconds. */
int rezpython_run_within(const char *script, const struct text *input, int limit_ms,
                         struct json_document **ret_document, struct pkgcache_error *ret_error);
