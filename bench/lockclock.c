/*
 * Preloaded into a program: notes how long it waited for a cache's lock, and how long it held it.
 *
 * From opening pkgcache.lock until .lock.lock is linked it waits; from then until .lock.lock is
 * unlinked it holds. At exit one line "WAITED HELD", in nanoseconds, for each time goes to the end
 * of the file that LOCKCLOCK_FILE names. One thread at a time takes the lock, as pkgcache does.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMES_MAX = 100000 };

static uint64_t opened_ns, linked_ns;
static uint64_t waited_ns[TIMES_MAX], held_ns[TIMES_MAX];
static size_t count;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* The C library calls its parameters otherwise. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int openat64(int dirfd, const char *name, int flags, ...)
{
    static int (*next)(int, const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "openat64");
    if (strcmp(name, "pkgcache.lock") == 0)
        opened_ns = now_ns();
    return next(dirfd, name, flags, mode);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    static int (*next)(int, const char *, int, const char *, int);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "linkat");
    int result = next(from_fd, from, to_fd, to, flags);
    if (result == 0 && strcmp(to, ".lock.lock") == 0)
        linked_ns = now_ns();
    return result;
}

int unlinkat(int dirfd, const char *name, int flags)
{
    static int (*next)(int, const char *, int);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "unlinkat");
    if (linked_ns && count < TIMES_MAX && strcmp(name, ".lock.lock") == 0) {
        held_ns[count] = now_ns() - linked_ns;
        waited_ns[count++] = linked_ns - opened_ns;
        linked_ns = 0;
    }
    return next(dirfd, name, flags);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("LOCKCLOCK_FILE");
    FILE *file = path && count ? fopen(path, "ae") : NULL;
    for (size_t i = 0; file && i < count; i++)
        fprintf(file, "%llu %llu\n", (unsigned long long)waited_ns[i],
                (unsigned long long)held_ns[i]);
    if (file)
        fclose(file);
}
