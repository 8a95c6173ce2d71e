/*
 * Where a unit test makes its files: a directory that tests/cleanup takes away when the test could
 * not; and how patient a test is.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    PLACE_BYTES = 64,
    /* Until a test that hangs is ended, in seconds. No test depends on speed: a machine may be busy
     * with other things, and a sanitizer is slow. */
    PATIENCE_S = 900,
};

static inline char *place_make_in(const char *parent, char place[static PLACE_BYTES])
{
    const char *run = getenv("PKGCACHE_TEST_RUN");
    char own[16];
    snprintf(own, sizeof(own), "%d", (int)getpid());
    int length =
        snprintf(place, PLACE_BYTES, "%s/pkgcache-test-%s-unit-XXXXXX", parent, run ? run : own);
    return length < PLACE_BYTES ? mkdtemp(place) : NULL;
}

/**
 * Makes a directory in $TMPDIR, or /tmp, under a name that says to which run of the tests it
 * belongs.
 * @param place  receives its path
 * @return       place, or NULL: it cannot be made, or its path is too long
 */
static inline char *place_make(char place[static PLACE_BYTES])
{
    const char *parent = getenv("TMPDIR");
    return place_make_in(parent ? parent : "/tmp", place);
}

/**
 * The same, where files can have what they have on a disk: memory has extended attributes and
 * O_DIRECT since Linux 6.6. Where it has none, /tmp is taken.
 */
static inline char *place_make_for_copies(char place[static PLACE_BYTES])
{
    if (!place_make(place))
        return NULL;
    if (setxattr(place, "user.probe", "", 0, 0) == 0)
        return removexattr(place, "user.probe") == 0 ? place : NULL;
    rmdir(place);
    return place_make_in("/tmp", place);
}
