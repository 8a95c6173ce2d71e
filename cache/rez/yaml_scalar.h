/*
 * What a YAML scalar is, as PyYAML resolves and constructs it (yaml/resolver.py,
 * yaml/constructor.py of PyYAML 6.0). Not for documents.
 */
#pragma once

#include "cache/json/json.h"

enum yaml_scalar_kind {
    YAML_SCALAR_VALUE,   /* of JSON's types */
    YAML_SCALAR_DATE,    /* a timestamp: its text */
    YAML_SCALAR_MERGE,   /* `<<` */
    YAML_SCALAR_DEFAULT, /* `=` */
    YAML_SCALAR_INVALID, /* PyYAML refuses it, or it does not fit into 64 bits in a base other than
                            ten */
};

struct yaml_scalar {
    enum yaml_scalar_kind kind;
    enum json_type type; /* of a value */
    bool boolean;
    struct text text; /* of a number, as Python's repr has it; of a string it is the scalar's own */
};

/**
 * Resolves a plain scalar without a tag.
 *
 * @param bytes      with a NUL behind them, and none among them
 * @param ret_scalar its text is freed with text_free
 */
void yaml_scalar_resolve(const char *bytes, size_t length, struct yaml_scalar *ret_scalar);
