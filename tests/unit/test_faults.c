/*
 * Operations that fail: whatever goes wrong, and whenever, there is an error that names a file and
 * nothing is left behind, or there is a correct copy. Runs with each backend, by PKGCACHE_BACKEND.
 */
#include "tests/unit/io_fault.h"
#include "tests/unit/place.h"

#include "engine/compiler.h"
#include "engine/engine.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/xattr.h>

enum { OPERATIONS_MAX = 2000 }; /* of one copy: more, and a sweep would not end */

static char place[PLACE_BYTES];
static struct copyengine *engine;

static void write_file(const char *path, size_t bytes, off_t offset)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    CLEANUP_FREE char *data = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(i * 7 + i / 251);
    cr_assert_eq(pwrite(fd, data, bytes, offset), (ssize_t)bytes, "%s", path);
}

/* One of everything. */
static void set_up(void)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 981173106, .tv_nsec = 7}};
    cr_assert_not_null(place_make_for_copies(place));
    cr_assert_eq(chdir(place), 0);
    cr_assert_eq(mkdir("source", 0755), 0);
    cr_assert_eq(mkdir("source/locked", 0755), 0);
    cr_assert_eq(mkdir("source/empty", 0700), 0);
    write_file("source/small", 1000, 0);
    write_file("source/nothing", 0, 0);
    write_file("source/large", 300000, 0);
    write_file("source/sparse", 5000, 1 << 20);
    write_file("source/shared", 5000, 17 << 20); /* a hole that is copied in ranges */
    write_file("source/locked/inside", 10, 0);
    setxattr("source/small", "user.colour", "red", 3, 0);
    setxattr("source/locked", "user.colour", "blue", 4, 0);
    cr_assert_eq(link("source/small", "source/locked/again"), 0);
    cr_assert_eq(symlink("../small", "source/locked/link"), 0);
    cr_assert_eq(utimensat(AT_FDCWD, "source/large", times, 0), 0);
    cr_assert_eq(chmod("source/locked", 0555), 0);
}

static void tear_down(void)
{
    chmod("source/locked", 0755);
    cr_assert_eq(copyengine_new(NULL, &engine, NULL), 0);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, place, NULL), 0);
    copyengine_free(engine);
}

TestSuite(faults, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static const struct io_backend *inner(void)
{
    const char *name = getenv("PKGCACHE_BACKEND");
    return name && strcmp(name, "threads") == 0 ? &io_threads_backend : &io_ring_backend;
}

/* What nftw(3) looks at, which has no context. */
static size_t entries;
static char difference[512];
static bool xattrs_may_be_lost;
static atomic_uint warnings; /* of a copy: then an xattr or a time may be lost */

static int count_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)path, (void)status, (void)type, (void)ftw;
    entries++;
    return 0;
}

static size_t count_entries(const char *root)
{
    entries = 0;
    nftw(root, count_entry, 16, FTW_PHYS);
    return entries;
}

static bool same_contents(const char *a, const char *b)
{
    char text[2][1 << 16];
    CLEANUP_CLOSE int one = open(a, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int other = open(b, O_RDONLY | O_CLOEXEC);
    for (;;) {
        ssize_t length = read(one, text[0], sizeof(text[0]));
        if (read(other, text[1], sizeof(text[1])) != length || length < 0)
            return false;
        if (length == 0)
            return true;
        if (memcmp(text[0], text[1], (size_t)length) != 0)
            return false;
    }
}

static int compare_entry(const char *path, const struct stat *source, int type, struct FTW *ftw)
{
    char copy_path[512];
    struct stat copy;
    char targets[2][64] = {""};
    char colours[2][16] = {""};
    (void)type, (void)ftw;
    snprintf(copy_path, sizeof(copy_path), "copy%s", path + strlen("source"));
    snprintf(difference, sizeof(difference), "%s", copy_path);
    if (lstat(copy_path, &copy) < 0 || copy.st_mode != source->st_mode)
        return 1;
    if (S_ISLNK(copy.st_mode))
        return readlink(path, targets[0], sizeof(targets[0])) < 0 ||
               readlink(copy_path, targets[1], sizeof(targets[1])) < 0 ||
               strcmp(targets[0], targets[1]) != 0;
    if (!xattrs_may_be_lost && warnings == 0 &&
        getxattr(path, "user.colour", colours[0], sizeof(colours[0])) > 0 &&
        (getxattr(copy_path, "user.colour", colours[1], sizeof(colours[1])) < 0 ||
         strcmp(colours[0], colours[1]) != 0))
        return 1;
    bool same_time = copy.st_mtim.tv_sec == source->st_mtim.tv_sec &&
                     copy.st_mtim.tv_nsec == source->st_mtim.tv_nsec;
    return (!same_time && warnings == 0) ||
           (S_ISREG(copy.st_mode) &&
            (copy.st_size != source->st_size || !same_contents(path, copy_path)));
}

static void expect_correct_copy(const char *when)
{
    cr_assert_eq(nftw("source", compare_entry, 16, FTW_PHYS), 0, "%s: %s is wrong", when,
                 difference);
    cr_assert_eq(count_entries("copy"), count_entries("source"), "%s", when);
}

static size_t open_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

static void start(const struct fault_plan *plan)
{
    struct copyengine_options options = {.size = sizeof(options), .in_flight = 1};
    io_fault_plan(plan);
    cr_assert_eq(engine_new(&options, &io_fault_backend, &engine, NULL), 0);
}

static void count_warning(void *context, const char *path, const char *text)
{
    (void)context, (void)path, (void)text;
    atomic_fetch_add(&warnings, 1);
}

static struct copyengine_copy the_copy(void)
{
    warnings = 0;
    return (struct copyengine_copy){
        .size = sizeof(struct copyengine_copy),
        .source = "source",
        .destination_dirfd = AT_FDCWD,
        .destination = "copy",
        .on_warning = count_warning,
        .digest = true,
    };
}

/* Copies once. Returns whether the fault happened. */
static bool copy_once(const struct fault_plan *plan)
{
    struct copyengine_copy copy = the_copy();
    struct copyengine_error error;
    char when[128];
    size_t before = open_descriptors();
    snprintf(when, sizeof(when), "operation %u, how %d, %s, %s", plan->nth, plan->how,
             plan->how == FAULT_ERROR ? strerrorname_np(plan->code) : "",
             plan->queues ? "queued" : "at once");
    start(plan);
    int code = copyengine_copy_tree(engine, &copy, &error);
    bool happened = io_fault_happened();
    if (code < 0) {
        cr_assert(happened, "%s: %s %s: %s", when, error.operation, error.path, strerror(-code));
        cr_assert(strncmp(error.path, "source", 6) == 0 || strncmp(error.path, "copy", 4) == 0,
                  "%s: the error names \"%s\"", when, error.path);
        cr_assert_eq(access("copy", F_OK), -1, "%s: something is left: %s %s", when,
                     error.operation, error.path);
    } else {
        expect_correct_copy(when);
    }
    copyengine_error_clear(&error);
    copyengine_free(engine);
    cr_assert_eq(open_descriptors(), before, "%s: a descriptor leaks", when);
    cr_assert_eq(count_entries("."),
                 count_entries("source") + 1 + (code ? 0 : count_entries("copy")),
                 "%s: a file outside the copy", when);
    io_fault_plan(&(struct fault_plan){.inner = inner()});
    cr_assert_eq(engine_new(NULL, &io_fault_backend, &engine, NULL), 0);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
    copyengine_free(engine);
    return happened;
}

/* The nth operation goes wrong, for each n until none does. */
static void sweep(enum fault_how how, int code)
{
    for (int queues = 0; queues <= 1; queues++) {
        unsigned nth = 1;
        while (copy_once(&(struct fault_plan){inner(), nth, how, code, queues}) &&
               nth < OPERATIONS_MAX)
            nth++;
        cr_assert(nth > 60 && nth < OPERATIONS_MAX, "%u operations", nth);
        cr_log_info("%u operations, %s", nth - 1, code ? strerrorname_np(code) : "");
    }
}

Test(faults, no_space)
{
    sweep(FAULT_ERROR, ENOSPC);
}

Test(faults, the_disk_is_full_from_then_on)
{
    sweep(FAULT_FULL, 0);
}

Test(faults, input_output_error)
{
    sweep(FAULT_ERROR, EIO);
}

Test(faults, interrupted)
{
    sweep(FAULT_ERROR, EINTR);
}

Test(faults, try_again)
{
    sweep(FAULT_ERROR, EAGAIN);
}

Test(faults, too_many_open_files)
{
    sweep(FAULT_ERROR, EMFILE);
}

Test(faults, no_memory)
{
    sweep(FAULT_ERROR, ENOMEM);
}

/* What says of xattrs that there are none is believed. */
Test(faults, not_supported)
{
    xattrs_may_be_lost = true;
    sweep(FAULT_ERROR, EOPNOTSUPP);
}

Test(faults, short_reads_and_writes)
{
    sweep(FAULT_SHORT, 0);
}

static atomic_bool synced;

/* XFS that has set its room aside for what is not written yet: see symlink_make in
 * engine/symlink.c.
 */
static enum io_answer submit_to_stingy_xfs(struct io *io, struct io_op *op)
{
    if (op->kind == IO_SYNC)
        synced = true;
    if (op->kind != IO_MAKE_LINK || synced)
        return inner()->submit(io, op);
    op->result = -ENOSPC;
    return IO_DONE;
}

Test(faults, room_for_a_link_that_is_set_aside)
{
    struct copyengine_copy copy = the_copy();
    struct io_backend stingy = *inner();
    stingy.submit = submit_to_stingy_xfs;
    cr_assert_eq(engine_new(NULL, &stingy, &engine, NULL), 0);
    cr_expect_eq(copyengine_copy_tree(engine, &copy, NULL), 0);
    cr_expect(synced);
    expect_correct_copy("a sync makes room");
    copyengine_free(engine);
}

/* As rclone: what was written a moment ago cannot be removed, and there are no links. */
static enum io_answer submit_to_what_keeps_all(struct io *io, struct io_op *op)
{
    if (op->kind != IO_MAKE_LINK && op->kind != IO_REMOVE)
        return inner()->submit(io, op);
    op->result = -EIO;
    return IO_DONE;
}

static char remains[1024];

static void take_remains(void *context, const char *path, const char *text)
{
    (void)context, (void)path;
    if (strstr(text, "is left")) {
        cr_expect(!*remains, "said twice");
        snprintf(remains, sizeof(remains), "%s", text);
    }
}

Test(faults, what_is_left_of_a_failed_copy_is_said)
{
    struct copyengine_copy copy = the_copy();
    struct copyengine_error error;
    struct io_backend keeper = *inner();
    keeper.submit = submit_to_what_keeps_all;
    copy.on_warning = take_remains;
    cr_assert_eq(engine_new(NULL, &keeper, &engine, NULL), 0);
    cr_expect_eq(copyengine_copy_tree(engine, &copy, &error), -EIO);
    cr_expect_str_eq(error.operation, "symlink");
    cr_expect(strstr(remains, "copy") && strstr(remains, "Input/output error"), "%s", remains);
    cr_expect_eq(access("copy", F_OK), 0);
    copyengine_error_clear(&error);
    copyengine_free(engine);
}

/* Copies, cancels what hangs, and lets it wake up. Returns whether anything hung. */
static bool hang_once(const struct fault_plan *plan)
{
    struct copyengine_copy copy = the_copy();
    struct copyengine_job *job;
    start(plan);
    cr_assert_eq(copyengine_submit_copy(engine, &copy, &job), 0);
    bool happened = io_fault_wait(engine);
    if (happened)
        copyengine_cancel(job);
    struct copyengine_result result = *copyengine_wait(job);
    copyengine_job_free(job);
    if (happened && result.error.code != 0) {
        cr_assert_eq(result.error.code, ECANCELED, "operation %u: %s", plan->nth,
                     strerror(result.error.code));
        cr_assert_eq(access("copy", F_OK), -1, "operation %u: something is left", plan->nth);
    }
    io_fault_release();
    io_fault_wait_idle(engine);
    cr_assert_eq(access("copy", F_OK), result.error.code ? -1 : 0,
                 "operation %u woke up and did something", plan->nth);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
    copyengine_free(engine);
    return happened;
}

/* A hang takes a third of a second: not each operation, but one of each kind. */
Test(faults, hang)
{
    for (int queues = 0; queues <= 1; queues++) {
        unsigned nth = 1;
        while (hang_once(&(struct fault_plan){inner(), nth, FAULT_HANG, 0, queues}))
            nth += 3;
        cr_assert(nth > 60);
    }
}

/* A removal that meets an error says so; what it could not remove can be removed later. */
Test(faults, removal)
{
    bool happened = true;
    for (unsigned nth = 1; happened; nth++) {
        struct copyengine_copy copy = the_copy();
        struct copyengine_error error;
        start(&(struct fault_plan){.inner = inner()});
        cr_assert_eq(copyengine_copy_tree(engine, &copy, NULL), 0);
        copyengine_free(engine);
        start(&(struct fault_plan){inner(), nth, FAULT_ERROR, EIO, false});
        int result = copyengine_remove_tree(engine, AT_FDCWD, "copy", &error);
        happened = io_fault_happened();
        if (result < 0) {
            cr_assert(happened && strncmp(error.path, "copy", 4) == 0, "%s", error.path);
            copyengine_error_clear(&error);
            cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
        }
        cr_assert_eq(access("copy", F_OK), -1, "operation %u", nth);
        copyengine_free(engine);
    }
}

/* Scans the source into "manifest", once. Returns whether the fault happened. */
static bool scan_once(const struct fault_plan *plan, int *ret_code)
{
    CLEANUP_CLOSE int fd = open("manifest", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct copyengine_job *job;
    struct copyengine_scan scan = {.size = sizeof(scan), .path = "source", .manifest_fd = fd};
    start(plan);
    cr_assert_eq(copyengine_submit_scan(engine, &scan, &job), 0);
    *ret_code = copyengine_wait(job)->error.code;
    bool happened = io_fault_happened();
    copyengine_job_free(job);
    copyengine_free(engine);
    return happened;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The records of the manifest, sorted, a newline after each. The caller frees them. */
static char *manifest_records(void)
{
    char *records[64];
    size_t count = 0;
    char *text = calloc(1, 1 << 16);
    char *sorted = calloc(1, 1 << 16);
    CLEANUP_CLOSE int fd = open("manifest", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, (1 << 16) - 1);
    for (ssize_t at = 0; at < length && count < ARRAY_LENGTH(records);
         at += (ssize_t)strlen(text + at) + 1)
        records[count++] = text + at;
    qsort(records, count, sizeof(*records), compare_texts);
    for (size_t i = 0; i < count; i++)
        strcat(strcat(sorted, records[i]), "\n");
    free(text);
    return sorted;
}

static char *sound_records(void)
{
    int failed_code;
    scan_once(&(struct fault_plan){.inner = inner()}, &failed_code);
    cr_assert_eq(failed_code, 0);
    return manifest_records();
}

/*
 * Whatever goes wrong with a scan, it never tells of contents that are not there: it fails, or its
 * manifest is right, or that says what could not be read. Errors of our own are never blamed on a
 * file.
 */
static void sweep_scan(enum fault_how how, int code, bool may_be_noted)
{
    CLEANUP_FREE char *sound = sound_records();
    char noted[16];
    snprintf(noted, sizeof(noted), " !%d ", code);
    for (int queues = 0; queues <= 1; queues++) {
        bool happened = true;
        unsigned nth = 1;
        for (; happened && nth < OPERATIONS_MAX; nth++) {
            int failed_code;
            happened =
                scan_once(&(struct fault_plan){inner(), nth, how, code, queues}, &failed_code);
            if (failed_code != 0) {
                cr_assert(happened && failed_code == code, "operation %u: %s", nth,
                          strerror(failed_code));
                continue;
            }
            CLEANUP_FREE char *records = manifest_records();
            bool same = strcmp(records, sound) == 0;
            cr_assert(same || (may_be_noted && strstr(records, noted)), "operation %u: %s", nth,
                      records);
        }
        cr_assert(nth > 20 && nth < OPERATIONS_MAX, "%u operations", nth);
    }
}

Test(faults, scan_input_output_error)
{
    sweep_scan(FAULT_ERROR, EIO, true);
}

Test(faults, scan_out_of_something)
{
    sweep_scan(FAULT_ERROR, EMFILE, false);
    sweep_scan(FAULT_ERROR, ENOMEM, false);
    sweep_scan(FAULT_ERROR, EINTR, false);
}

Test(faults, scan_short_reads)
{
    sweep_scan(FAULT_SHORT, 0, false);
}

/* O_DIRECT refused at any time: the file is read again, through the page cache. */
Test(faults, scan_without_direct_reads)
{
    sweep_scan(FAULT_ERROR, EINVAL, true);
}
