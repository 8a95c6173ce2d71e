/*
 * What is copied, where operations answer in other ways than usual: each test puts itself between
 * the engine and its backend.
 */
#include "tests/unit/engine_hook.h"

#include "engine/clock.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/xattr.h>

enum { FILE_BYTES = 300000 };

static void make_source(mode_t mode)
{
    CLEANUP_FREE char *text = malloc(FILE_BYTES + 1);
    for (size_t i = 0; i < FILE_BYTES; i++)
        text[i] = (char)('a' + i * 7 % 23);
    text[FILE_BYTES] = '\0';
    cr_assert_eq(mkdir("source", 0755), 0);
    make_file("source/file", text, mode);
}

TestSuite(engine_data, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static atomic_uint pieces;

/* Half of the first piece, and then no more. */
static bool copies_half_in_kernel(struct io_op *op)
{
    if (op->kind != IO_COPY_RANGE)
        return false;
    op->result = -EXDEV;
    if (atomic_fetch_add(&pieces, 1) == 0) {
        op->length /= 2;
        io_call(op);
    }
    return true;
}

/* What the kernel copied was not seen: there is no digest, rather than a wrong one. */
Test(engine_data, digests_nothing_of_which_the_kernel_copied_a_part)
{
    CLEANUP_CLOSE int fd = open("manifest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct copyengine_copy copy = copy_of("source", "copy");
    char manifest[4096];
    bool found = false;
    make_source(0644);
    hook_engine(copies_half_in_kernel, (struct copyengine_options){0});
    copy.digest = copy.manifest = true;
    copy.manifest_fd = fd;
    cr_assert_eq(run(copy).error.code, 0);
    expect_same("source", "copy");
    cr_assert_geq(pieces, 2);
    ssize_t length = pread(fd, manifest, sizeof(manifest), 0);
    for (const char *at = manifest; at < manifest + length; at += strlen(at) + 1)
        if (strncmp(at, "f ", 2) == 0) {
            found = true;
            cr_expect(strstr(at, " - file"), "%s", at);
        }
    cr_expect(found);
}

static int refusal;
static atomic_uint others;

/* Answers for one file, which is known by its size, as the kernel does for a swap file in use. */
static bool refuses_one_file_in_kernel(struct io_op *op)
{
    struct stat status;
    if ((op->kind != IO_COPY_RANGE && op->kind != IO_SEND) || fstat(op->fd, &status) < 0)
        return false;
    if (status.st_size != FILE_BYTES) {
        atomic_fetch_add(&others, 1);
        return false;
    }
    op->result = -refusal;
    return true;
}

/* Another way is found for that file, and the others are copied as before. */
Test(engine_data, copies_what_the_kernel_refuses_to)
{
    static const int codes[] = {ETXTBSY, EBADF, EACCES, EIO, EFBIG, ENOMEM};
    char name[16];
    make_source(0644);
    make_file("source/other", "text", 0644);
    hook_engine(refuses_one_file_in_kernel, (struct copyengine_options){0});
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        unsigned before = others;
        refusal = codes[i];
        snprintf(name, sizeof(name), "copy%zu", i);
        struct copyengine_result result = run(copy_of("source", name));
        cr_assert_eq(result.error.code, 0, "%s: %s", strerror(codes[i]), result.error.operation);
        expect_same("source", name);
        cr_expect(others > before || before == 0);
    }
}

enum { LEASED_OPENS = 3 }; /* until the lease is given back */

static int lease_fd;
static atomic_uint opens;

/* Whoever has the lease takes its time to give it back. */
static bool gives_the_lease_back(struct io_op *op)
{
    if (op->kind == IO_OPEN && strcmp(op->name, "file") == 0 && !(op->flags & O_CREAT) &&
        atomic_fetch_add(&opens, 1) + 1 == LEASED_OPENS)
        cr_assert_eq(fcntl(lease_fd, F_SETLEASE, F_UNLCK), 0);
    return false;
}

static void take_lease(const char *path)
{
    opens = 0;
    signal(SIGIO, SIG_IGN); /* how the kernel asks for it back */
    lease_fd = open(path, O_RDWR | O_CLOEXEC);
    if (fcntl(lease_fd, F_SETLEASE, F_WRLCK) < 0)
        cr_skip_test("no leases here: %s", strerror(errno));
}

/* As a file server has leases on what its clients have open. */
Test(engine_data, waits_for_a_lease)
{
    make_source(0644);
    make_file("source/other", "text", 0644);
    take_lease("source/file");
    hook_engine(gives_the_lease_back, (struct copyengine_options){0});
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_expect_geq(opens, LEASED_OPENS);
    close(lease_fd);
    expect_same("source", "copy");
}

/* Nobody gives it back: who does not want to wait need not. */
Test(engine_data, a_copy_that_waits_for_a_lease_is_cancelled)
{
    struct copyengine_job *job;
    struct copyengine_copy copy = copy_of("source", "copy");
    make_source(0644);
    take_lease("source/file");
    cr_assert_eq(copyengine_submit_copy(engine, &copy, &job), 0);
    usleep(20000);
    copyengine_cancel(job);
    cr_expect_eq(copyengine_wait(job)->error.code, ECANCELED);
    copyengine_job_free(job);
    close(lease_fd);
    cr_expect_eq(access("copy", F_OK), -1);
}

Test(engine_data, a_scan_waits_for_a_lease)
{
    CLEANUP_CLOSE int fd = open("manifest", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct copyengine_scan scan = {.size = sizeof(scan), .path = "source", .manifest_fd = fd};
    struct copyengine_job *job;
    make_source(0644);
    take_lease("source/file");
    hook_engine(gives_the_lease_back, (struct copyengine_options){0});
    cr_assert_eq(copyengine_submit_scan(engine, &scan, &job), 0);
    cr_expect_eq(copyengine_wait(job)->error.code, 0);
    cr_expect_eq(progress_of(job).files, 1);
    copyengine_job_free(job);
    close(lease_fd);
}

static bool copies_nothing_in_kernel(struct io_op *op)
{
    bool answers = op->kind == IO_COPY_RANGE || op->kind == IO_SEND;
    if (answers)
        op->result = -EXDEV;
    return answers;
}

/* A piece that is paid for is read a buffer at a time, and not paid for again with each: 40 MiB
 * would take 16 seconds, and not 0.4. */
Test(engine_data, a_cap_counts_what_is_moved)
{
    enum { MIB = 1 << 20, RATE = 100 * MIB, SECONDS_MAX = 8 };
    static char data[MIB];
    cr_assert_eq(mkdir("source", 0755), 0);
    CLEANUP_CLOSE int fd = open("source/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(write(fd, data, sizeof(data)), MIB);
    hook_engine(copies_nothing_in_kernel, (struct copyengine_options){.bytes_per_s = RATE});
    uint64_t began_ns = clock_monotonic_ns();
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_expect_lt(clock_monotonic_ns() - began_ns, SECONDS_MAX * NS_PER_S);
    expect_same("source", "copy");
}

static atomic_bool changed;

/* The source changes as soon as it is read. */
static bool changes_the_source(struct io_op *op)
{
    bool reads = op->kind == IO_COPY_RANGE || op->kind == IO_SEND || op->kind == IO_READ;
    if (reads && !atomic_exchange(&changed, true)) {
        cr_assert_eq(setxattr("source/file", "user.added", "x", 1, 0), 0);
        cr_assert_eq(chmod("source/file", 0440), 0);
    }
    return false;
}

Test(engine_data, keeps_xattrs_that_come_while_it_copies)
{
    char value;
    make_source(0644);
    if (setxattr("source/file", "user.probe", "x", 1, 0) < 0)
        cr_skip_test("no xattrs here: %s", strerror(errno));
    cr_assert_eq(removexattr("source/file", "user.probe"), 0);
    hook_engine(changes_the_source, (struct copyengine_options){0});
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_assert(changed);
    cr_expect_eq(getxattr("copy/file", "user.added", &value, 1), 1);
    cr_expect_eq(status_of("copy/file").st_mode & 07777, 0440);
    expect_same("source", "copy");
}

static bool has_no_xattr_lost(struct io_op *op)
{
    bool answers = op->kind == IO_SET_XATTR && strcmp(op->name, "user.lost") == 0;
    if (answers)
        op->result = -EOPNOTSUPP;
    return answers;
}

static void count_warning(void *context, const char *path, const char *text)
{
    (void)path;
    if (strstr(text, "are lost"))
        ++*(int *)context;
}

/* One kind that the destination does not have costs none of the others, and each job says so. */
Test(engine_data, keeps_the_xattrs_that_the_destination_can_have)
{
    make_source(0644);
    make_file("source/other", "text", 0644);
    for (int i = 0; i < 2; i++)
        if (setxattr(i ? "source/other" : "source/file", "user.kept", "x", 1, 0) < 0)
            cr_skip_test("no xattrs here: %s", strerror(errno));
    cr_assert_eq(setxattr("source/file", "user.lost", "x", 1, 0), 0);
    cr_assert_eq(setxattr("source/other", "user.lost", "x", 1, 0), 0);
    hook_engine(has_no_xattr_lost, (struct copyengine_options){0});
    for (int i = 0; i < 2; i++) {
        char value;
        int warnings = 0;
        struct copyengine_copy copy = copy_of("source", i ? "again" : "copy");
        copy.on_warning = count_warning;
        copy.context = &warnings;
        cr_assert_eq(run(copy).error.code, 0);
        cr_expect_eq(warnings, 1);
        cr_expect_eq(getxattr(i ? "again/file" : "copy/file", "user.kept", &value, 1), 1);
        cr_expect_eq(getxattr(i ? "again/other" : "copy/other", "user.kept", &value, 1), 1);
    }
}

/* Long enough for progress to be due when the only directory is complete. */
static bool takes_its_time_with_attributes(struct io_op *op)
{
    if (op->kind == IO_SET_TIMES)
        usleep(50000);
    return false;
}

static int cancel_always(void *context, const struct copyengine_progress *progress)
{
    cr_expect_eq(progress->directories, 1);
    ++*(int *)context;
    return -1;
}

/* Nothing is left to be done, and all the same the job is cancelled. */
Test(engine_data, the_last_progress_cancels)
{
    int calls = 0;
    cr_assert_eq(mkdir("source", 0755), 0);
    hook_engine(takes_its_time_with_attributes, (struct copyengine_options){0});
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.on_progress = cancel_always;
    copy.progress_interval_ms = 1;
    copy.context = &calls;
    cr_expect_eq(run(copy).error.code, ECANCELED);
    cr_expect_eq(calls, 1, "nothing is reported after that");
    cr_expect_eq(access("copy", F_OK), -1);
}
