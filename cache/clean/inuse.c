/*
 * One pass over /proc.
 *
 * Whatever /proc has to tell is text with paths in it: maps, environ, mountinfo, and the targets of
 * the links cwd, root, exe and fd/N. So nothing is parsed: any text is searched for what looks like
 * NAME/VERSION/HASH4/INC, and a slot counts as in use whose path is found. What stands before that
 * does not matter, on purpose: behind bind mounts, in containers, below a chroot, and through
 * symbolic links a cache has other names. The price is that another cache's slot of the same name
 * keeps ours for a while; that does no harm. A slot that is itself mounted somewhere, or a layer of
 * an overlay, shows in mountinfo of whoever sees the mount.
 *
 * What /proc does not show, and what is done then:
 *
 *  - Processes of other users, unless we are root (ptrace(2), access mode checks). When there are
 *    any of people, what was looked up within the last day counts as in use (inuse_may_be_unseen).
 *    Services are taken to use no packages: there are some everywhere, and clean would never clean.
 *  - Processes outside our pid namespace, on other machines, or hidden by hidepid=2. Nobody counts
 *    those. What starts after this pass has to look its payload up, which is seen in the sidecar's
 *    mtime; what has run for longer needs a lease.
 *  - What a process has put into its own environment after it was started, or only remembers. Its
 *    children show it; else, a lease.
 *  - A mount of a part of a cache that is neither all of it nor in a slot.
 *
 * Memory: 8 bytes for each path that was found, and one buffer.
 */
#include "cache/clean/inuse.h"

#include "cache/store/slot_name.h"
#include "cache/util/names.h"
#include "cache/util/text.h"

#include "engine/clock.h"
#include "engine/compiler.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum {
    BUFFER_BYTES = 64 * 1024,
    COUNT_MAX = 1 << 20, /* paths; more can only be somebody's attempt to use up memory */
    HASH_DIGITS = 4,
    INC_MAX = 63,
    UNSEEN_S = 24 * 3600,
    FIRST_PERSON = 1000, /* login.defs(5), UID_MIN: below are root and the services */
    PASSES_MAX = 3,
};

#define TRASH "/.sys/to_delete/"

/* The place of a key in the table, or the free one where it belongs. There is always a free one. */
static uint64_t *find_key_place(const struct inuse *inuse, uint64_t key)
{
    assert(inuse->capacity > 0 && (inuse->capacity & (inuse->capacity - 1)) == 0);
    assert(inuse->count < inuse->capacity);
    size_t i = (size_t)(key ^ key >> 32) & (inuse->capacity - 1);
    while (inuse->keys[i] && inuse->keys[i] != key)
        i = (i + 1) & (inuse->capacity - 1);
    return &inuse->keys[i];
}

static bool grow(struct inuse *inuse)
{
    struct inuse larger = {.capacity = inuse->capacity ? inuse->capacity * 2 : 256};
    if (larger.capacity > 2 * (size_t)COUNT_MAX)
        return false;
    larger.keys = calloc(larger.capacity, sizeof(*larger.keys));
    if (!larger.keys)
        return false;
    for (size_t i = 0; i < inuse->capacity; i++)
        if (inuse->keys[i])
            *find_key_place(&larger, inuse->keys[i]) = inuse->keys[i];
    free(inuse->keys);
    inuse->keys = larger.keys;
    inuse->capacity = larger.capacity;
    return true;
}

static void add_path(struct inuse *inuse, const char *path, size_t length)
{
    if (inuse->everything)
        return;
    if (inuse->count >= inuse->capacity / 2 && !grow(inuse)) {
        inuse->everything = true;
        return;
    }
    uint64_t key = text_key(path, length);
    uint64_t *place = find_key_place(inuse, key);
    inuse->count += *place == 0;
    *place = key;
    assert(inuse->count <= inuse->capacity / 2);
}

bool inuse_has(const struct inuse *inuse, uint64_t key)
{
    return inuse->everything || (inuse->capacity > 0 && *find_key_place(inuse, key) == key);
}

bool inuse_may_be_unseen(const struct inuse *inuse, int64_t last_used_s)
{
    return inuse->unseen > 0 && last_used_s > inuse->seen_at_ns / (int64_t)NS_PER_S - UNSEEN_S;
}

static bool is_hash_digit(char c)
{
    return isdigit((unsigned char)c) || (c >= 'a' && c <= 'f');
}

/* How many of the bytes from `at` are an increment's name; 0: none, or its sidecar's, which is open
 * in everybody who looks. */
static size_t increment_length(const char *at, const char *end)
{
    static const char sidecar[] = ".json";
    size_t length = 0;
    while (at + length < end && length <= INC_MAX && at[length] >= 'a' && at[length] <= 'z')
        length++;
    size_t left = (size_t)(end - at) - length;
    bool looked_up = left >= sizeof(sidecar) - 1 && memcmp(at + length, sidecar, 5) == 0;
    return length <= INC_MAX && !looked_up ? length : 0;
}

/* Where the name that ends before `end` begins, after a slash; NULL: there is none. */
static const char *name_before(const char *begin, const char *end)
{
    const char *slash = end > begin ? memrchr(begin, '/', (size_t)(end - begin)) : NULL;
    size_t length = slash ? (size_t)(end - slash - 1) : 0;
    bool valid = length > 0 && length <= NAME_MAX && !memchr(slash, '\0', (size_t)(end - slash));
    return valid ? slash + 1 : NULL;
}

/* Adds the slot whose HASH4 may begin after this slash. */
static void add_slot(struct inuse *inuse, const char *text, const char *slash, const char *end)
{
    if (end - slash < HASH_DIGITS + 3 || slash[1 + HASH_DIGITS] != '/')
        return;
    for (int i = 1; i <= HASH_DIGITS; i++)
        if (!is_hash_digit(slash[i]))
            return;
    const char *increment = slash + HASH_DIGITS + 2;
    size_t length = increment_length(increment, end);
    const char *version = length > 0 ? name_before(text, slash) : NULL;
    const char *name = version ? name_before(text, version - 1) : NULL;
    if (name)
        add_path(inuse, name, (size_t)(increment + length - name));
}

/* Adds what waits for deletion, if its name begins after this slash. */
static void add_trash(struct inuse *inuse, const char *slash, const char *end)
{
    size_t prefix = sizeof(TRASH) - 1;
    if ((size_t)(end - slash) <= prefix || memcmp(slash, TRASH, prefix) != 0)
        return;
    const char *at = slash + prefix;
    for (; at < end && *at != '/' && *at != '\n' && *at != '\0'; at++)
        if (*at == ' ') /* mountinfo goes on behind a path */
            add_path(inuse, slash + 1, (size_t)(at - slash - 1));
    add_path(inuse, slash + 1, (size_t)(at - slash - 1));
}

static void add_raw_text(struct inuse *inuse, const char *text, size_t length)
{
    const char *end = text + length;
    for (const char *slash = text; (slash = memchr(slash, '/', (size_t)(end - slash))); slash++) {
        add_slot(inuse, text, slash, end);
        add_trash(inuse, slash, end);
    }
}

/* Undoes the kernel's \NNN for blanks, line feeds and backslashes (proc(5)), where they stand. */
static size_t decode(char *text, size_t length)
{
    size_t out = 0;
    for (size_t i = 0; i < length; i++, out++) {
        const unsigned char *at = (const unsigned char *)text + i;
        bool escape = length - i >= 4 && at[0] == '\\' && at[1] >= '0' && at[1] <= '3' &&
                      at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7';
        text[out] = text[i];
        if (escape) {
            text[out] = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            i += 3;
        }
    }
    return out;
}

void inuse_add_text(struct inuse *inuse, const char *text, size_t length)
{
    add_raw_text(inuse, text, length);
    if (!memchr(text, '\\', length))
        return;
    /* Not every backslash is the kernel's: the text counts both ways. */
    CLEANUP_FREE char *copy = malloc(length);
    if (!copy) {
        inuse->everything = true;
        return;
    }
    memcpy(copy, text, length);
    add_raw_text(inuse, copy, decode(copy, length));
}

/* Adds a file's text, piece by piece; pieces overlap, so that no path is cut. */
static int add_file(struct inuse *inuse, int fd, char buffer[static BUFFER_BYTES])
{
    size_t kept = 0;
    for (;;) {
        ssize_t got = read(fd, buffer + kept, BUFFER_BYTES - kept);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        size_t length = kept + (size_t)got;
        inuse_add_text(inuse, buffer, length);
        kept = MIN(length, (size_t)4 * SLOT_PATH_MAX); /* four times: as the kernel escapes it */
        memmove(buffer, buffer + length - kept, kept);
    }
}

static int add_named_file(struct inuse *inuse, int dirfd, const char *name, char *buffer)
{
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : add_file(inuse, fd, buffer);
}

static int add_link(struct inuse *inuse, int dirfd, const char *name, char *buffer)
{
    ssize_t length = readlinkat(dirfd, name, buffer, BUFFER_BYTES);
    if (length < 0)
        return -errno;
    add_raw_text(inuse, buffer, (size_t)length);
    return 0;
}

static int add_descriptors(struct inuse *inuse, int process_fd, char *buffer)
{
    struct names names;
    CLEANUP_CLOSE int fd = openat(process_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        add_link(inuse, fd, name, buffer); /* closed by now, or so */
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}

/* A pass over all processes. */
struct pass {
    struct inuse *inuse;
    char *buffer;
    ino_t mounts_seen; /* the mount namespace whose mounts were added last */
    bool ended;        /* a process ended while it was scanned */
    unsigned unseen;
};

/* What is mounted where a process sees it. Neighbours mostly see the same. */
static int add_mounts(struct pass *pass, int process_fd)
{
    struct stat status;
    if (fstatat(process_fd, "ns/mnt", &status, 0) < 0)
        return -errno;
    if (status.st_ino == pass->mounts_seen)
        return 0;
    pass->mounts_seen = status.st_ino;
    return add_named_file(pass->inuse, process_fd, "mountinfo", pass->buffer);
}

/* A link is absent in a kernel thread, and in a process that is ending: that is no failure. */
static int allow_absence(int result)
{
    return result == -ENOENT ? 0 : result;
}

/* Adds what a process uses. Returns 0, or -errno: we may not read it, or it has ended. */
static int add_process(struct pass *pass, int process_fd)
{
    struct inuse *inuse = pass->inuse;
    int result = allow_absence(add_link(inuse, process_fd, "cwd", pass->buffer));
    if (result == 0)
        result = allow_absence(add_link(inuse, process_fd, "root", pass->buffer));
    if (result == 0)
        result = allow_absence(add_link(inuse, process_fd, "exe", pass->buffer));
    if (result == 0)
        result = add_descriptors(inuse, process_fd, pass->buffer);
    if (result == 0)
        result = add_named_file(inuse, process_fd, "maps", pass->buffer);
    if (result == 0)
        result = add_named_file(inuse, process_fd, "environ", pass->buffer);
    if (result == 0)
        result = add_mounts(pass, process_fd);
    return result;
}

/* Counts a process that could not be read, if it is a person's and has memory. One without memory
 * has ended, and uses nothing. */
static void note_unseen(struct pass *pass, int process_fd)
{
    char text[256];
    struct stat status;
    CLEANUP_CLOSE int fd = openat(process_fd, "statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (length < 2 || fstat(process_fd, &status) < 0)
        pass->ended = true;
    else if (status.st_uid >= FIRST_PERSON && memcmp(text, "0 ", 2) != 0)
        pass->unseen++;
}

static void scan_process(struct pass *pass, int proc_fd, const char *name)
{
    CLEANUP_CLOSE int fd = openat(proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT && errno != ESRCH) /* hidepid=1 */
        pass->unseen++;
    else if (fd < 0)
        pass->ended = true;
    else if (add_process(pass, fd) < 0)
        note_unseen(pass, fd);
}

static int scan_processes(struct pass *pass)
{
    struct names names;
    CLEANUP_CLOSE int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = names_open(&names, fd);
    bool any = false;
    for (const char *name; result == 0 && (name = names_next(&names));) {
        if (!isdigit((unsigned char)*name))
            continue;
        scan_process(pass, fd, name);
        any = true;
    }
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result == 0 && !any ? -ENOENT : result;
}

void inuse_scan_processes(struct inuse *ret)
{
    CLEANUP_FREE char *buffer = malloc(BUFFER_BYTES);
    *ret = (struct inuse){.seen_at_ns = (int64_t)clock_ns(CLOCK_REALTIME)};
    int result = buffer ? 0 : -ENOMEM;
    bool again = true;
    for (int i = 0; i < PASSES_MAX && again && result == 0; i++) {
        struct pass pass = {.inuse = ret, .buffer = buffer};
        result = scan_processes(&pass);
        ret->unseen = pass.unseen;
        /* It may have left what it used to a child that the scan had already passed. */
        again = pass.ended;
    }
    if (result < 0)
        ret->everything = true;
}

void inuse_free(struct inuse *inuse)
{
    free(inuse->keys);
    *inuse = (struct inuse){0};
}
