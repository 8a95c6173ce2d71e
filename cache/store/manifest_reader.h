/*
 * Reading manifests (format: engine/manifest.h), one record after the other in a buffer of fixed
 * size, whatever is in the file: others may have written it, or half of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { MANIFEST_RECORD_MAX = 64 << 10 }; /* bytes, with the NUL: deeper paths are refused */

struct manifest_record {
    char type;   /* f, d, l, or o: none of these */
    mode_t mode; /* permission bits */
    uint64_t size;
    struct timespec mtime;
    bool has_digest;
    uint8_t digest[16]; /* as in engine/digest.h, the greatest byte first */
    int error;          /* why it could not be read, an errno value; 0: it could */
    const char *path;   /* relative to the root; "." for the root itself */
};

/**
 * Reads one record.
 *
 * @param text ends in NUL; must live as long as the record
 * @param ret  filled in when 0 is returned
 * @return     0 or -EBADMSG
 */
int manifest_record_parse(const char *text, struct manifest_record *ret);

/**
 * Takes a time, SECONDS.NANOSECONDS as records have it, and the character behind it off a text.
 *
 * @param after a space, or NUL: then nothing may follow
 * @return      false: there is none
 */
bool manifest_take_time(const char **text, char after, struct timespec *ret);

struct manifest_reader {
    int fd;
    uint64_t offset; /* in the file, of what is read next */
    uint64_t count;  /* of the records that were read */
    unsigned version;
    size_t at;  /* in the buffer, of the next record */
    size_t end; /* of what is in the buffer */
    char buffer[MANIFEST_RECORD_MAX];
};

/**
 * Begins.
 *
 * @param fd     stays the caller's; its position is not used
 * @param offset where the manifest begins in the file
 * @return       0; -EBADMSG: it is none; or what read says
 */
int manifest_reader_open(struct manifest_reader *reader, int fd, uint64_t offset);

/** Where the next record is in the file. */
static inline uint64_t manifest_reader_at(const struct manifest_reader *reader)
{
    return reader->offset - (reader->end - reader->at);
}

/** Reads on at a record of a manifest that was read before. @param offset see manifest_reader_at */
void manifest_reader_seek(struct manifest_reader *reader, int fd, uint64_t offset);

/** The version of a manifest, which is all that is looked at. @return 0: it is none that is known
 */
unsigned manifest_version(int fd, uint64_t offset);

/**
 * Reads the next record.
 *
 * @param ret valid until the next call
 * @return    1; 0: that were all; -EBADMSG: what follows is no record, or the file was cut off; or
 *            what read says
 */
int manifest_reader_next(struct manifest_reader *reader, struct manifest_record *ret);
