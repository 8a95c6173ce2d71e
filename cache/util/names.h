/*
 * The names in a directory, one after the other, without an allocation. Opening what has a name
 * there, and looking at it: no symbolic link, and nothing that is mounted there. Whoever mounted it
 * (FUSE) may never answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct names {
    int fd;
    bool borrowed; /* names_close leaves fd open */
    int error;     /* -errno when reading failed; then names_next says NULL, too */
    size_t at;
    size_t end;
    unsigned char type; /* of the last name: DT_REG, DT_DIR, … or DT_UNKNOWN */
    _Alignas(8) char buffer[4096];
};

/**
 * Opens a directory, close-on-exec. Kernels before 5.6 and sandboxes cannot tell what is mounted.
 *
 * @return a descriptor; -1: errno says why (EXDEV: something is mounted there)
 */
int names_open_directory(int dirfd, const char *name);

/**
 * The same for any file, as openat(2) does.
 *
 * @param mode only with O_CREAT
 */
int names_open_file(int dirfd, const char *name, int flags, mode_t mode);

/**
 * Looks at a name as lstat(2) does. Kernels before 5.8 do not tell what is mounted.
 *
 * @return 0; -1: errno says why (EXDEV: something is mounted there)
 */
int names_stat(int dirfd, const char *name, struct stat *ret);

/**
 * @param dirfd the directory; its own position is not touched
 * @return      0 or -errno; names_close is needed in any case
 */
int names_open(struct names *names, int dirfd);

/**
 * Reads on from where the descriptor is: saves opening the directory again, where it was just
 * opened and nobody else reads its names. Cannot fail; names_close leaves it open.
 */
void names_borrow(struct names *names, int dirfd);

/** @return the next name but "." and "..", valid until the next call; NULL at the end */
const char *names_next(struct names *names);

void names_close(struct names *names);
