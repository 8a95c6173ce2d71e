/*
 * A definition's attributes: from its text, or from rez's answer. Not for files: definition.h.
 */
#pragma once

#include "cache/rez/values.h"

enum definition_flag { DEFINITION_NO, DEFINITION_YES, DEFINITION_UNSET };

/** A definition that was read. */
struct definition {
    char *path; /* of the file */
    struct values values;
    const struct json *variants; /* a list of lists of strings, raw; NULL: none */
    bool hashed_variants;
    enum definition_flag cachable;
    enum definition_flag relocatable;
    const struct json *config; /* an object: settings of this package only; NULL: none */
    const char *version;       /* as the definition has it; NULL: none. rez goes by the directory */
    const char *name;
};

/**
 * Reads package.py.
 *
 * @param definition its path is set; receives the attributes
 * @return           0; -EAGAIN: an attribute that matters is not literal (the message says which,
 * and where); name and version are received all the same; -EBADMSG: an attribute of the wrong type,
 * or as of pyliteral_parse; -ENOMEM
 */
int definition_parse_python(const char *text, size_t length, struct definition *definition,
                            struct pkgcache_error *ret_error);

/** Reads package.yaml: the same, but nothing in it is computed. */
int definition_parse_yaml(const char *text, size_t length, struct definition *definition,
                          struct pkgcache_error *ret_error);

/** Takes what rez says: an object with attributes. */
int definition_take(const struct json *attributes, struct definition *definition,
                    struct pkgcache_error *ret_error);
