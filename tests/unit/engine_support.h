/*
 * For the tests of the engine: an engine of the backend that PKGCACHE_BACKEND names, in a directory
 * of its own; trees, and copies of them.
 */
#pragma once

#include "tests/unit/place.h"

#include "engine/compiler.h"
#include "engine/copyengine.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static char place[PLACE_BYTES];
static struct copyengine *engine;

static inline enum copyengine_backend backend(void)
{
    const char *name = getenv("PKGCACHE_BACKEND");
    return !name                          ? COPYENGINE_AUTO
           : strcmp(name, "ring") == 0    ? COPYENGINE_RING
           : strcmp(name, "threads") == 0 ? COPYENGINE_THREADS
                                          : COPYENGINE_AUTO;
}

static inline void start_engine(struct copyengine_options options)
{
    struct copyengine_error error;
    options.size = sizeof(options);
    options.backend = backend();
    int result = copyengine_new(&options, &engine, &error);
    cr_assert_eq(result, 0, "no engine: %s", error.explanation ? error.explanation : "?");
}

static inline void set_up(void)
{
    cr_assert_not_null(place_make_for_copies(place));
    cr_assert_eq(chdir(place), 0);
    start_engine((struct copyengine_options){0});
}

static inline void tear_down(void)
{
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, place, NULL), 0);
    copyengine_free(engine);
}

static inline void make_file(const char *path, const char *text, mode_t mode)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
}

static inline struct copyengine_copy copy_of(const char *source, const char *destination)
{
    return (struct copyengine_copy){
        .size = sizeof(struct copyengine_copy),
        .source = source,
        .destination_dirfd = AT_FDCWD,
        .destination = destination,
    };
}

static inline struct copyengine_progress progress_of(const struct copyengine_job *job)
{
    struct copyengine_progress progress = {.size = sizeof(progress)};
    copyengine_job_progress(job, &progress);
    return progress;
}

/* What the result points to is valid until the next call. */
static inline struct copyengine_result run(struct copyengine_copy copy)
{
    static char path[PATH_MAX];
    static struct copyengine_progress progress;
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit_copy(engine, &copy, &job), 0);
    struct copyengine_result result = *copyengine_wait(job);
    if (result.error.path)
        result.error.path = strcpy(path, result.error.path);
    progress = *result.progress;
    result.progress = &progress;
    copyengine_job_free(job);
    return result;
}

static inline void expect_same(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof(command), "diff -r --no-dereference '%s' '%s'", a, b);
    cr_assert_eq(system(command), 0, "%s and %s differ", a, b);
}

static inline struct stat status_of(const char *path)
{
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status;
}

/* Makes directories inside each other, a file in each. */
static inline void make_deep(const char *root, int levels, mode_t mode)
{
    static const char name[] = "a-directory-with-quite-a-long-name";
    mkdir(root, 0755);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < levels; i++) {
        cr_assert_eq(mkdirat(fd, name, 0755), 0);
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_CLOSE int file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        cr_assert(below >= 0 && file >= 0);
        cr_assert_eq(fchmod(fd, mode), 0);
        close(fd);
        fd = below;
    }
    close(fd);
}
