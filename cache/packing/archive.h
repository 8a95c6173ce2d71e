/*
 * libarchive, loaded when the first archive is made or read. Linked as usual it would be loaded by
 * each look-up, too, with a dozen libraries for formats that packs do not have: that takes longer
 * than the look-up.
 */
#pragma once

#include "cache/util/error.h"

#include <archive.h>
#include <archive_entry.h>

/* The functions that are used, without "archive_". */
#define ARCHIVE_FUNCTIONS(FUNCTION)         \
    FUNCTION(entry_acl_add_entry)           \
    FUNCTION(entry_acl_to_text)             \
    FUNCTION(entry_clear)                   \
    FUNCTION(entry_copy_hardlink)           \
    FUNCTION(entry_copy_pathname)           \
    FUNCTION(entry_copy_symlink)            \
    FUNCTION(entry_free)                    \
    FUNCTION(entry_hardlink)                \
    FUNCTION(entry_mode)                    \
    FUNCTION(entry_mtime)                   \
    FUNCTION(entry_mtime_nsec)              \
    FUNCTION(entry_new)                     \
    FUNCTION(entry_pathname)                \
    FUNCTION(entry_set_mode)                \
    FUNCTION(entry_set_mtime)               \
    FUNCTION(entry_set_size)                \
    FUNCTION(entry_size)                    \
    FUNCTION(entry_sparse_add_entry)        \
    FUNCTION(entry_symlink)                 \
    FUNCTION(entry_xattr_add_entry)         \
    FUNCTION(entry_xattr_next)              \
    FUNCTION(entry_xattr_reset)             \
    FUNCTION(error_string)                  \
    FUNCTION(read_data_block)               \
    FUNCTION(read_free)                     \
    FUNCTION(read_new)                      \
    FUNCTION(read_next_header)              \
    FUNCTION(read_open)                     \
    FUNCTION(read_support_format_tar)       \
    FUNCTION(set_error)                     \
    FUNCTION(write_data)                    \
    FUNCTION(write_fail)                    \
    FUNCTION(write_finish_entry)            \
    FUNCTION(write_free)                    \
    FUNCTION(write_header)                  \
    FUNCTION(write_new)                     \
    FUNCTION(write_open)                    \
    FUNCTION(write_set_bytes_in_last_block) \
    FUNCTION(write_set_bytes_per_block)     \
    FUNCTION(write_set_format_option)       \
    FUNCTION(write_set_format_pax)

#define ARCHIVE_MEMBER(name) __typeof__(archive_##name) *(name);

/** libarchive(3): `library->write_new()` is archive_write_new(3). */
struct archive_library {
    ARCHIVE_FUNCTIONS(ARCHIVE_MEMBER)
};

#undef ARCHIVE_MEMBER

/** Loads it. @param ret for as long as the process is there @return 0; -ENOSYS: it is not
 * installed */
int archive_load(struct archive_library *ret, struct pkgcache_error *error);
