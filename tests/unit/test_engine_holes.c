/*
 * Holes, and sizes: what file systems tell of them, and what becomes of files of which that is not
 * true.
 */
#include "tests/unit/engine_hook.h"

#include <linux/magic.h>
#include <stdatomic.h>
#include <sys/vfs.h>
#include <xxhash.h>

enum {
    MIB = 1 << 20,
    DATA_AT = 3 * MIB, /* in front of it and behind it are holes */
    SPARSE_BYTES = 40 * MIB,
    FILLED_BYTES = SPARSE_BYTES / 2, /* a copy that has so much lost its holes */
};

/* A file with a little data between two holes. */
static void make_sparse(const char *path, off_t size)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(pwrite(fd, "data", 4, DATA_AT), 4);
    if (ftruncate(fd, size) < 0)
        cr_skip_test("no such files here: %s", strerror(errno));
}

static void make_source(void)
{
    cr_assert_eq(mkdir("source", 0755), 0);
    make_sparse("source/file", SPARSE_BYTES);
    make_sparse("source/small", DATA_AT + 50000);
    make_file("source/other", "text", 0644);
    if (status_of("source/file").st_blocks * 512 >= FILLED_BYTES)
        cr_skip_test("no holes on this file system");
}

static void expect_sparse(const char *path)
{
    cr_expect_lt(status_of(path).st_blocks * 512, FILLED_BYTES, "%s has no holes", path);
}

static void expect_copied(bool (*with)(struct io_op *op))
{
    make_source();
    hook_engine(with, (struct copyengine_options){0});
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    expect_same("source", "copy");
    expect_sparse("copy/file");
}

TestSuite(engine_holes, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

/* The kernel never copies, so that all bytes pass through memory. */
static bool is_in_kernel(struct io_op *op)
{
    bool answers = op->kind == IO_COPY_RANGE || op->kind == IO_SEND || op->kind == IO_CLONE;
    if (answers)
        op->result = -EXDEV;
    return answers;
}

/* As gluster answers, whose files are in pieces. */
static bool refuses_to_tell(struct io_op *op)
{
    bool answers = op->kind == IO_SEEK;
    if (answers)
        op->result = -EOPNOTSUPP;
    return answers || is_in_kernel(op);
}

Test(engine_holes, stay_where_nobody_tells_of_them)
{
    expect_copied(refuses_to_tell);
}

/* As most file systems of FUSE do, for which the kernel answers. */
static bool says_that_all_is_data(struct io_op *op)
{
    if (op->kind != IO_SEEK)
        return false;
    op->result = op->flags == SEEK_DATA ? (int64_t)op->offset : status_of("source/file").st_size;
    return true;
}

Test(engine_holes, stay_where_all_is_said_to_be_data)
{
    expect_copied(says_that_all_is_data);
}

/* Answers that lead nowhere, or back. */
static bool answers_what_it_is_asked(struct io_op *op)
{
    bool answers = op->kind == IO_SEEK;
    if (answers)
        op->result = op->flags == SEEK_DATA ? (int64_t)op->offset : (int64_t)op->offset - 1;
    return answers;
}

static bool answers_zero(struct io_op *op)
{
    bool answers = op->kind == IO_SEEK;
    if (answers)
        op->result = 0;
    return answers;
}

Test(engine_holes, end_whatever_is_answered)
{
    expect_copied(answers_what_it_is_asked);
    hook_engine(answers_zero, (struct copyengine_options){0});
    cr_assert_eq(run(copy_of("source", "again")).error.code, 0);
    expect_same("source", "again");
}

static atomic_bool flushed;
static int page_state_code;

/* As ext4 does in files without extents, of what is not on the disk yet: it is said to be a hole.
 */
static bool sees_what_is_on_the_disk(struct io_op *op)
{
    if (op->kind == IO_FLUSH)
        atomic_store(&flushed, true);
    if (op->kind == IO_PAGE_STATE) {
        *(struct io_page_state *)op->data = (struct io_page_state){.dirty = 1};
        op->result = -page_state_code;
        return true;
    }
    if (op->kind != IO_SEEK || flushed)
        return false;
    op->result = -ENXIO;
    return true;
}

Test(engine_holes, are_none_where_data_is_not_written_yet)
{
    expect_copied(sees_what_is_on_the_disk);
    cr_expect(flushed);
}

/* Before Linux 6.5, nobody tells whether a file is clean. */
Test(engine_holes, are_asked_for_after_a_flush_on_old_kernels)
{
    page_state_code = ENOSYS;
    expect_copied(sees_what_is_on_the_disk);
    cr_expect(flushed);
}

static bool cannot_flush(struct io_op *op)
{
    if (op->kind != IO_FLUSH)
        return sees_what_is_on_the_disk(op);
    op->result = -EIO;
    return true;
}

Test(engine_holes, are_not_believed_in_without_a_flush)
{
    expect_copied(cannot_flush);
    cr_expect(!flushed);
}

static atomic_uint questions;

static bool counts_questions(struct io_op *op)
{
    if (op->kind == IO_SEEK || op->kind == IO_PAGE_STATE || op->kind == IO_FLUSH)
        atomic_fetch_add(&questions, 1);
    return false;
}

Test(engine_holes, are_not_asked_for_in_other_files)
{
    char text[5000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(mkdir("source", 0755), 0);
    make_file("source/file", text, 0644);
    make_file("source/empty", "", 0644);
    hook_engine(counts_questions, (struct copyengine_options){0});
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_expect_eq(questions, 0);
}

static char *read_all(int fd)
{
    char *text = calloc(1, 1 << 16);
    cr_assert_geq(pread(fd, text, (1 << 16) - 1, 0), 0);
    return text;
}

/* The digest of a file, as the record of a manifest has it. The caller frees it. */
static char *digest_in(int fd, const char *name)
{
    CLEANUP_FREE char *text = read_all(fd);
    char digest[64] = "none", path[64] = "";
    for (const char *at = text; *at; at += strlen(at) + 1)
        if (sscanf(at, "f %*s %*s %*s %63s %63s", digest, path) == 2 && strcmp(path, name) == 0)
            return strdup(digest);
    cr_assert_fail("no record of %s", name);
    return NULL;
}

static int make_manifest(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    return fd;
}

/* Scans a tree. Returns how many bytes were read. */
static uint64_t scan(const char *path, int fd, unsigned version)
{
    struct copyengine_job *job;
    struct copyengine_scan scan = {
        .size = sizeof(scan), .path = path, .manifest_fd = fd, .manifest_version = version};
    cr_assert_eq(copyengine_submit_scan(engine, &scan, &job), 0);
    cr_assert_eq(copyengine_wait(job)->error.code, 0);
    uint64_t bytes = copyengine_wait(job)->progress->bytes;
    copyengine_job_free(job);
    return bytes;
}

static void expect_digest(int fd, const char *name, const char *digest)
{
    CLEANUP_FREE char *found = digest_in(fd, name);
    cr_expect_str_eq(found, digest);
}

/* Writes zeros where a file has holes. */
static void fill(const char *path)
{
    static char data[MIB];
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = status_of(path).st_size;
    for (off_t at = 0; at < size; at += MIB) {
        size_t piece = (size_t)MIN(size - at, (off_t)MIB);
        cr_assert_eq(pread(fd, data, piece, at), (ssize_t)piece);
        cr_assert_eq(pwrite(fd, data, piece, at), (ssize_t)piece);
    }
}

/* Copied in order, in ranges, and read again: the digest of a file is the same, hole or zeros. */
Test(engine_holes, have_the_digest_of_zeros)
{
    CLEANUP_CLOSE int copied = make_manifest("copied"), scanned = make_manifest("scanned"),
                      filled = make_manifest("filled"), told = make_manifest("told");
    struct copyengine_copy copy = copy_of("source", "copy");
    make_source();
    hook_engine(is_in_kernel, (struct copyengine_options){0});
    copy.digest = copy.manifest = true;
    copy.manifest_fd = copied;
    cr_assert_eq(run(copy).error.code, 0);
    scan("copy", scanned, 0);
    hook_engine(refuses_to_tell, (struct copyengine_options){0});
    copy.destination = "untold";
    copy.manifest_fd = told;
    cr_assert_eq(run(copy).error.code, 0);
    fill("copy/file");
    fill("copy/small");
    scan("copy", filled, 0);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "small" : "file";
        CLEANUP_FREE char *digest = digest_in(copied, name);
        cr_expect_eq(strlen(digest), 32, "%s", digest);
        expect_digest(scanned, name, digest);
        expect_digest(filled, name, digest);
        expect_digest(told, name, digest);
    }
}

/* What an old manifest is compared with. */
Test(engine_holes, are_read_for_plain_digests)
{
    CLEANUP_CLOSE int plain = make_manifest("plain");
    make_source();
    scan("source", plain, 1);
    CLEANUP_FREE char *text = read_all(plain);
    CLEANUP_FREE char *data = calloc(1, SPARSE_BYTES);
    memcpy(data + DATA_AT, "data", 4);
    XXH128_canonical_t canonical;
    char digest[33];
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data, SPARSE_BYTES));
    for (size_t i = 0; i < sizeof(canonical.digest); i++)
        snprintf(digest + 2 * i, 3, "%02x", canonical.digest[i]);
    expect_digest(plain, "file", digest);
    cr_expect_str_eq(text, "pkgcache-manifest 1");
}

/* A petabyte is copied, digested and scanned: what is not there costs nothing, or this would not
 * end. */
Test(engine_holes, cost_nothing)
{
    CLEANUP_CLOSE int copied = make_manifest("copied"), scanned = make_manifest("scanned");
    struct copyengine_copy copy = copy_of("source", "copy");
    cr_assert_eq(mkdir("source", 0755), 0);
    make_sparse("source/file", (off_t)1 << 50);
    make_sparse("source/odd", ((off_t)1 << 50) + 12345);
    hook_engine(is_in_kernel, (struct copyengine_options){0});
    copy.digest = copy.manifest = true;
    copy.manifest_fd = copied;
    struct copyengine_result result = run(copy);
    cr_assert_eq(result.error.code, 0);
    cr_expect_lt(result.progress->bytes, MIB);
    cr_expect_lt(scan("copy", scanned, 0), MIB);
    CLEANUP_FREE char *digest = digest_in(copied, "odd");
    expect_digest(scanned, "odd", digest);
}

enum { STATED_BYTES = 10 };

/* Of a file system whose sizes may lie, which /proc is: now they are too small, not 0. */
static bool states_less(struct io_op *op)
{
    struct statx *status = op->data;
    struct statfs file_system;
    if (op->kind != IO_STAT || fstatfs(op->fd, &file_system) < 0 ||
        file_system.f_type != PROC_SUPER_MAGIC)
        return false;
    io_call(op);
    if (op->result == 0 && S_ISREG(status->stx_mode))
        status->stx_size = STATED_BYTES;
    return true;
}

/* Copies files that the kernel makes up as they are read. */
static void copy_made_up(void)
{
    CLEANUP_CLOSE int copied = make_manifest("copied"), scanned = make_manifest("scanned");
    struct copyengine_copy copy = copy_of("/proc/tty", "copy");
    if (access("/proc/tty/drivers", R_OK) < 0)
        cr_skip_test("/proc/tty/drivers: %s", strerror(errno));
    copy.digest = copy.manifest = true;
    copy.manifest_fd = copied;
    struct copyengine_result result = run(copy);
    cr_assert_eq(result.error.code, 0, "%s %s", result.error.operation, result.error.path);
    cr_expect_eq(system("cat /proc/tty/drivers | cmp - copy/drivers"), 0);
    cr_expect_eq(system("cat /proc/tty/ldiscs | cmp - copy/ldiscs"), 0);
    scan("copy", scanned, 0);
    CLEANUP_FREE char *digest = digest_in(copied, "drivers");
    expect_digest(scanned, "drivers", digest);
}

Test(engine_holes, sizes_of_0_are_not_believed)
{
    copy_made_up();
}

Test(engine_holes, sizes_that_are_too_small_are_not_believed)
{
    hook_engine(states_less, (struct copyengine_options){0});
    copy_made_up();
}

/* A scan reads to the end, too: of files in a cache on such a file system. */
Test(engine_holes, a_scan_does_not_believe_them_either)
{
    CLEANUP_CLOSE int copied = make_manifest("copied"), scanned = make_manifest("scanned");
    struct copyengine_copy copy = copy_of("/proc/tty", "copy");
    if (access("/proc/tty/drivers", R_OK) < 0)
        cr_skip_test("/proc/tty/drivers: %s", strerror(errno));
    copy.digest = copy.manifest = true;
    copy.manifest_fd = copied;
    cr_assert_eq(run(copy).error.code, 0);
    cr_expect_gt(scan("/proc/tty", scanned, 0), 0, "it has read nothing");
    CLEANUP_FREE char *digest = digest_in(copied, "drivers");
    expect_digest(scanned, "drivers", digest);
}
