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

/** Hands a pointer on: returns it, and leaves NULL behind for the cleanup attribute. */
#define STEAL(pointer)                           \
    ({                                           \
        __typeof__(pointer) stolen_ = (pointer); \
        (pointer) = NULL;                        \
        stolen_;                                 \
    })
