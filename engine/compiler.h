/*
 * Small things that every file of both libraries uses: cleanup attributes, array length, bounds.
 * Nothing here knows of files, rings or packages.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)           ((a) < (b) ? (a) : (b))
#define MAX(a, b)           ((a) > (b) ? (a) : (b))

/** The structure of which `pointer` is the member named `member`. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define PRINTF_LIKE(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_fd(const int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void cleanup_close_stream(FILE **stream)
{
    if (*stream)
        fclose(*stream);
}

static inline void cleanup_close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/** Frees, or closes, the variable when it goes out of scope. */
#define CLEANUP_FREE   __attribute__((cleanup(cleanup_free_pointer)))
#define CLEANUP_CLOSE  __attribute__((cleanup(cleanup_close_fd)))
#define CLEANUP_FCLOSE __attribute__((cleanup(cleanup_close_stream)))
#define CLEANUP_DIR    __attribute__((cleanup(cleanup_close_dir)))

/** Hands a descriptor on: returns it, and leaves -1 behind for the cleanup attribute. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/**
 * Takes a structure of a caller's that may be of an older or a newer header: what the caller does
 * not know becomes zero, and what this library does not know must be.
 *
 * @param ret        receives the structure
 * @param size       of `ret` in bytes
 * @param given_size of `given` in bytes
 * @return           0; -EINVAL: something is asked for that only a newer library can do
 */
static inline int take_element(void *ret, size_t size, const void *given, size_t given_size)
{
    for (size_t i = size; i < given_size; i++)
        /* The caller's is as long as it says. NOLINTNEXTLINE(clang-analyzer-core*) */
        if (((const char *)given)[i] != 0)
            return -EINVAL;
    memset(ret, 0, size);
    memcpy(ret, given, MIN(size, given_size));
    return 0;
}

/**
 * As take_element, for a structure that begins with its own size.
 *
 * @param given the caller's; its first member is a size_t
 * @return      as take_element; -EINVAL: it has no size
 */
static inline int take_struct(void *ret, size_t size, const void *given)
{
    size_t given_size;
    memcpy(&given_size, given, sizeof(given_size));
    return given_size < sizeof(given_size) ? -EINVAL : take_element(ret, size, given, given_size);
}

/**
 * Gives a caller a structure that begins with its own size, and may be of an older or a newer
 * header: as much as both know. The size stays the caller's.
 *
 * @param given the caller's; its first member is a size_t
 * @param size  of `ours` in bytes
 * @return      0; -EINVAL: no size, and nothing was written
 */
static inline int give_struct(void *given, size_t size, const void *ours)
{
    size_t given_size;
    memcpy(&given_size, given, sizeof(given_size));
    if (given_size < sizeof(given_size))
        return -EINVAL;
    memcpy(given, ours, MIN(size, given_size));
    memcpy(given, &given_size, sizeof(given_size));
    return 0;
}

/** Hands a pointer on: returns it, and leaves NULL behind for the cleanup attribute. */
#define STEAL(pointer)                           \
    ({                                           \
        __typeof__(pointer) stolen_ = (pointer); \
        (pointer) = NULL;                        \
        stolen_;                                 \
    })
