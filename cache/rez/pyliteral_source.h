/* The text of a Python module as its tokenizer wants it: UTF-8 without a mark, lines end in `\n`.
 */
#pragma once

#include "cache/util/error.h"

struct pysource {
    const char *text; /* the caller's, or `copy` */
    size_t length;
    char *copy;
    unsigned encoding_line; /* where another encoding is declared; 0: nowhere */
};

/**
 * @param text must outlive the source
 * @param ret  the caller ends it with pysource_free
 * @return     0; -EBADMSG: not UTF-8 (unless another encoding is declared), or with a NUL; -ENOMEM
 */
int pysource_read(const char *text, size_t length, struct pysource *ret,
                  struct pkgcache_error *ret_error);

void pysource_free(struct pysource *source);

#define CLEANUP_PYSOURCE __attribute__((cleanup(pysource_free)))
