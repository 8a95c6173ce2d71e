/*
 * YAML as PyYAML's SafeLoader reads it, that is YAML 1.1 (https://yaml.org/spec/1.1/, the types of
 * https://yaml.org/type/): `yes` is true, `010` is 8, `1:30` is 90, `<<` merges. Bounded: aliases
 * are counted as often as they are used. Not a general YAML library: one document, no tags but
 * those of JSON's types, no dates (they stay text), and of mappings only what has a string for a
 * key: the rest is left out, as nobody asks for it by name.
 */
#pragma once

#include "cache/rez/values.h"

/**
 * Reads one YAML document.
 *
 * @param text     need not end in NUL, and is not needed afterwards
 * @param ret_root the value, owned by `values`: JSON's types; a real's text is Python's repr, also
 *                 "inf", "-inf" and "nan"; JSON_NULL for an empty document
 * @return         0; -EBADMSG: not YAML, several documents, not UTF-8, a NUL, or beyond the
 *                 bounds: JSON_MAX_DEPTH, a million values (the message says which, with line and
 * column); -ENOMEM
 */
int yaml_parse(const char *text, size_t length, struct values *values, struct json **ret_root,
               struct pkgcache_error *ret_error);
