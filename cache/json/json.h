/*
 * JSON as rez reads and writes it, that is, as Python's json module does; strict, bounded, and safe
 * for input that nobody has vouched for. Its own reader because others lose what a handle's hash
 * depends on: cJSON turns integers into doubles (1 and 1.0 hash differently, and beyond 2^53 digits
 * go), ends strings at a NUL, and refuses the lone surrogates that Python writes for undecodable
 * bytes in paths. Not a general JSON library: no NaN, no building of trees, no streaming. What
 * pkgcache itself says is built with cJSON (json_build.h).
 */
#pragma once

#include "cache/json/json_string.h"
#include "cache/json/json_value.h"
#include "cache/util/error.h"

/** A parsed text: the values and all that they point to. */
struct json_document {
    struct json *root;
    bool borrowed;            /* private: it lies in room of the caller's */
    struct json_nodes *nodes; /* private */
    char *strings;            /* private: room for what is not decoded yet */
};

/**
 * Reads one JSON text. Of members with the same name the last one's value counts, in the place of
 * the first, as in a Python dict.
 *
 * @param text         need not end in NUL, and is not needed afterwards
 * @param length       bytes; limiting it is the caller's business; memory is at most about 60 times
 *                     that
 * @param ret_document receives the document; the caller frees it with json_document_free()
 * @return             0; -EBADMSG: not JSON, or not UTF-8, or with a byte-order mark, or deeper
 * than JSON_MAX_DEPTH, or a number that Python or a double cannot hold (the message says which,
 * with line and column in characters); -ENOMEM
 */
int json_parse(const char *text, size_t length, struct json_document **ret_document,
               struct pkgcache_error *error);

/**
 * The same, without an allocation if the document fits into some room.
 *
 * @param room       aligned for any type; must outlive the document
 * @param room_bytes a text of a few hundred bytes needs about eight times its length
 */
int json_parse_in(void *room, size_t room_bytes, const char *text, size_t length,
                  struct json_document **ret_document, struct pkgcache_error *error);

/**
 * Reads a JSON file: a regular one, no larger than max_bytes.
 *
 * @param dirfd        a directory, or AT_FDCWD
 * @param name         relative to dirfd; links are not followed, fifos not waited for
 * @param ret_document as for json_parse()
 * @return             0; -EBADMSG: not a regular file, too large, or as for json_parse(); -ENOMEM;
 * else what open and read say. The message names the file
 */
int json_read_file(int dirfd, const char *name, size_t max_bytes,
                   struct json_document **ret_document, struct pkgcache_error *error);

/** Frees a document and every value in it; NULL is fine. */
void json_document_free(struct json_document *document);

static inline void json_document_cleanup(struct json_document **document)
{
    json_document_free(*document);
}

#define CLEANUP_JSON __attribute__((cleanup(json_document_cleanup)))

/** The value of an object's member, owned by the document; NULL when there is none, or no object.
 */
const struct json *json_member(const struct json *object, const char *key);

/** Whether a value is this string, byte for byte; NULL is not. */
bool json_is_string(const struct json *value, const char *string);

/** Whether a value's member name is this string, byte for byte. */
bool json_has_key(const struct json *member, const char *key);

/**
 * The number that an integer value stands for.
 *
 * @param minimum,maximum the range to accept
 * @param ret_number      receives it
 * @return                0; -EINVAL: not an integer (booleans and 1.0 are none); -ERANGE: out of
 * range
 */
int json_integer(const struct json *value, int64_t minimum, int64_t maximum, int64_t *ret_number);

/** The number from 0 on that an object's member is; 0: there is none, or it is something else. */
uint64_t json_count(const struct json *object, const char *key);

/**
 * Appends a value exactly as Python's json.dumps does: `, ` and `: `, ASCII only, numbers in
 * Python's form. Tuples are written as arrays. Recursion is as deep as the value, so at most
 * JSON_MAX_DEPTH for what was parsed.
 */
void json_write(struct text *text, const struct json *value);

/**
 * A value for a message: as json_write() writes it, shortened with `...`, safe for a terminal.
 *
 * @param value NULL: `nothing`
 * @return      the buffer
 */
const char *json_quote(const struct json *value, char ret_buffer[JSON_QUOTE_SIZE]);

/**
 * Takes a text, or a path: its bytes that are no UTF-8 are what Python makes of them.
 *
 * @param value NULL or null: there is none
 * @param ret   allocated, for the caller to free, also on failure; left as it is if there is none
 * @return      0; -EBADMSG: it is another value, or has a NUL in it; -ENOMEM
 */
int json_take_path(const struct json *value, char **ret);
