/*
 * A ring: what goes to it together, and that it is sent off. One that is refused, from the start,
 * later, or half-way: slower, and right.
 */
#include "tests/unit/io_fault.h"
#include "tests/unit/place.h"
#include "tests/unit/refuse.h"

#include "engine/copyengine.h"
#include "engine/engine.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/utsname.h>

enum { FILES = 2000, LINES_MAX = 50, LINE_BYTES = 40 };

static char place[PLACE_BYTES];
static struct copyengine *engine;

static void set_up(void)
{
    cr_assert_not_null(place_make(place));
    cr_assert_eq(chdir(place), 0);
    cr_assert_eq(mkdir("source", 0755), 0);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        char text[LINES_MAX * LINE_BYTES];
        int length = 0;
        snprintf(name, sizeof(name), "source/%d", i);
        for (int line = 0; line < i % LINES_MAX; line++)
            length += snprintf(text + length, LINE_BYTES, "line %d of file %d\n", line, i);
        CLEANUP_CLOSE int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        cr_assert(write(fd, text, (size_t)length) == length);
    }
}

static void tear_down(void)
{
    copyengine_free(engine);
    cr_assert_eq(copyengine_new(NULL, &engine, NULL), 0);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, place, NULL), 0);
    copyengine_free(engine);
}

TestSuite(ring, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static const struct copyengine_copy the_copy = {
    .size = sizeof(struct copyengine_copy),
    .source = "source",
    .destination_dirfd = AT_FDCWD,
    .destination = "copy",
};

static struct copyengine_progress progress_of(const struct copyengine_job *job)
{
    struct copyengine_progress progress = {.size = sizeof(progress)};
    copyengine_job_progress(job, &progress);
    return progress;
}

static void expect_copy(void)
{
    cr_assert_eq(system("diff -r source copy"), 0);
}

Test(ring, refused_by_a_container)
{
    struct copyengine_error error;
    struct copyengine_options demanded = {.size = sizeof(demanded), .backend = COPYENGINE_RING};
    if (!refuse_call(SYS_io_uring_setup, EPERM))
        cr_skip_test("no seccomp");
    cr_assert_eq(copyengine_new(&demanded, &engine, &error), -EPERM);
    cr_assert(strstr(error.explanation, "switched off"), "%s", error.explanation);
    engine = NULL;
    cr_assert_eq(copyengine_new(NULL, &engine, NULL), 0);
    cr_assert(strstr(copyengine_backend_description(engine), "threads (io_uring is switched off"),
              "%s", copyengine_backend_description(engine));
    cr_assert_eq(copyengine_copy_tree(engine, &the_copy, NULL), 0);
    expect_copy();
}

/* An engine whose operations at the source are all queued. */
static void start_queueing(uint64_t bytes_per_s)
{
    struct copyengine_options options = {.size = sizeof(options), .bytes_per_s = bytes_per_s};
    if (copyengine_new(&(struct copyengine_options){.size = sizeof(struct copyengine_options),
                                                    .backend = COPYENGINE_RING},
                       &engine, NULL) < 0)
        cr_skip_test("no io_uring");
    copyengine_free(engine);
    io_fault_plan(&(struct fault_plan){.inner = &io_ring_backend, .queues = true});
    cr_assert_eq(engine_new(&options, &io_fault_backend, &engine, NULL), 0);
}

/* Rings are made when they are needed: by then they may be refused. */
Test(ring, refused_later)
{
    start_queueing(0);
    if (!refuse_call(SYS_io_uring_setup, ENOMEM))
        cr_skip_test("no seccomp");
    cr_assert_eq(copyengine_copy_tree(engine, &the_copy, NULL), 0);
    expect_copy();
}

/* What is under way in the kernel then still completes; the rest is plain calls. */
static void expect_copy_when_entering_fails(unsigned code)
{
    struct copyengine_job *job;
    start_queueing(1 << 20);
    cr_assert_eq(copyengine_submit_copy(engine, &the_copy, &job), 0);
    while (progress_of(job).files < FILES / 10)
        usleep(1000);
    if (!refuse_call(SYS_io_uring_enter, code))
        cr_skip_test("no seccomp");
    cr_assert_eq(copyengine_wait(job)->error.code, 0);
    cr_assert_eq(progress_of(job).files, FILES);
    copyengine_job_free(job);
    expect_copy();
}

Test(ring, fails_half_way)
{
    expect_copy_when_entering_fails(EPERM);
}

Test(ring, is_gone_half_way)
{
    expect_copy_when_entering_fails(EBADF);
}

static unsigned together[IO_KIND_COUNT], alone[IO_KIND_COUNT];

/* Counts opens of files that are read, and closes; by one worker alone. */
static enum io_answer counting_submit(struct io *io, struct io_op *op)
{
    bool counted = op->kind == IO_CLOSE ||
                   (op->kind == IO_OPEN && !(op->flags & (O_CREAT | O_DIRECTORY | O_PATH)));
    unsigned *count = &(op->one_of_many ? together : alone)[op->kind];
    enum io_answer answer = io_ring_backend.submit(io, op);
    if (counted && answer != IO_BUSY)
        ++*count;
    return answer;
}

static void copy_and_count(const char *source)
{
    struct copyengine_copy copy = the_copy;
    const char *why;
    cpu_set_t one;
    struct io_backend counting = io_ring_backend;
    if (io_ring_probe(&why) < 0)
        cr_skip_test("%s", why);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    counting.submit = counting_submit;
    copy.source = source;
    cr_assert_eq(engine_new(NULL, &counting, &engine, NULL), 0);
    cr_assert_eq(copyengine_copy_tree(engine, &copy, NULL), 0);
    copyengine_free(engine);
    cr_assert_eq(copyengine_new(NULL, &engine, NULL), 0);
    expect_copy();
}

/* As soon as opens have not blocked; and some are tried all the same, so that it would be seen. */
Test(ring, opens_and_closes_go_together)
{
    copy_and_count("source");
    cr_expect_eq(together[IO_OPEN] + alone[IO_OPEN], FILES);
    cr_expect_geq(alone[IO_OPEN], 64 + FILES / 64 - 2);
    cr_expect_leq(alone[IO_OPEN], 64 + FILES / 32);
    cr_expect_geq(together[IO_CLOSE], 2 * together[IO_OPEN]);
}

/* Where closing flushes, a ring would hand each close to a thread of the kernel. */
Test(ring, closes_on_overlayfs_go_alone)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        cr_skip_test("no mount namespace of our own: %s", strerror(errno));
    cr_assert(mkdir("upper", 0755) == 0 && mkdir("work", 0755) == 0 && mkdir("merged", 0755) == 0);
    if (mount("overlay", "merged", "overlay", 0, "lowerdir=source,upperdir=upper,workdir=work") < 0)
        cr_skip_test("no overlayfs: %s", strerror(errno));
    copy_and_count("merged");
    cr_expect_gt(together[IO_OPEN], 0);
    cr_expect_eq(together[IO_CLOSE], 0);
    cr_expect_eq(umount("merged"), 0);
}

/* Nobody waits for it, and no others come along: it is carried out all the same. */
Test(ring, sends_off_what_is_queued)
{
    const char *why;
    struct io *io;
    struct io_op *done = NULL;
    if (io_ring_probe(&why) < 0)
        cr_skip_test("%s", why);
    cr_assert_eq(io_ring_backend.create(2, &(struct io_buffers){0}, &io), 0);
    struct io_op op = {.kind = IO_CLOSE, .one_of_many = true, .fd = open("/", O_PATH | O_CLOEXEC)};
    cr_assert_eq(io_ring_backend.submit(io, &op), IO_QUEUED);
    for (int looks = 0; looks < 100 && !done; looks++)
        done = io_ring_backend.reap(io, 0);
    cr_assert_eq(done, &op);
    cr_expect_eq(op.result, 0);
    io_ring_backend.destroy(io);
}

/* What Linux 5.9 and 5.10 may answer where others say EAGAIN. It must not end a file early. */
Test(ring, a_read_at_once_that_finds_nothing_is_no_end)
{
    char text[64];
    const char *why;
    struct io *io;
    struct io_buffers buffers = {.memory = text, .buffer_bytes = sizeof(text), .count = 1};
    if (io_ring_probe(&why) < 0)
        cr_skip_test("%s", why);
    CLEANUP_CLOSE int fd = open("source/1", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(io_ring_backend.create(2, &buffers, &io), 0);
    if (!refuse_call(SYS_preadv2, 0))
        cr_skip_test("no seccomp");
    struct io_op op = {
        .kind = IO_READ, .latency = IO_CACHED, .fd = fd, .data = text, .length = sizeof(text)};
    if (io_ring_backend.submit(io, &op) == IO_QUEUED)
        cr_assert_eq(io_ring_backend.reap(io, UINT64_MAX), &op);
    cr_expect_eq(op.result, (int64_t)strlen("line 0 of file 1\n"));
    io_ring_backend.destroy(io);
}

/* Memory of ours that the kernel keeps in place, in KiB. */
static unsigned long pinned_kb(void)
{
    unsigned long kb = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof(line), file))
        sscanf(line, "VmPin: %lu", &kb);
    cr_assert_not_null(file);
    fclose(file);
    return kb;
}

static bool kernel_is_before(int major, int minor)
{
    struct utsname name;
    int its_major = 0, its_minor = 0;
    cr_assert_eq(uname(&name), 0);
    cr_assert_eq(sscanf(name.release, "%d.%d", &its_major, &its_minor), 2);
    return its_major < major || (its_major == major && its_minor < minor);
}

static void read_through_ring(struct io *io, struct io_op *op)
{
    memset(op->data, 0, op->length);
    cr_assert_eq(io_ring_backend.submit(io, op), IO_QUEUED);
    cr_assert_eq(io_ring_backend.reap(io, UINT64_MAX), op);
    cr_assert_eq(op->result, (int64_t)strlen("line 0 of file 1\n"));
    cr_assert_eq(memcmp(op->data, "line 0 of file 1\n", (size_t)op->result), 0);
}

/* To register them takes longer than a few reads and writes do. */
Test(ring, registers_its_buffers_when_much_goes_through_them)
{
    enum { SEVERAL = 16, MANY = 2000, BUFFER = 1 << 20 };
    const char *why;
    struct io *io;
    CLEANUP_FREE char *memory = calloc(2, BUFFER);
    struct io_buffers buffers = {.memory = memory, .buffer_bytes = BUFFER, .count = 2};
    if (io_ring_probe(&why) < 0)
        cr_skip_test("%s", why);
    CLEANUP_CLOSE int fd = open("source/1", O_RDONLY | O_CLOEXEC);
    struct io_op op = {.kind = IO_READ,
                       .latency = IO_REMOTE,
                       .fd = fd,
                       .data = memory + BUFFER,
                       .length = 64,
                       .buffer_index = 1};
    cr_assert_eq(io_ring_backend.create(2, &buffers, &io), 0);
    unsigned long before = pinned_kb();
    for (int i = 0; i < SEVERAL; i++)
        read_through_ring(io, &op);
    unsigned long after_several = pinned_kb();
    for (int i = 0; i < MANY; i++)
        read_through_ring(io, &op);
    cr_expect(pinned_kb() >= before + 2 * BUFFER / 1024);
    io_ring_backend.destroy(io);
    if (kernel_is_before(5, 18))
        cr_skip_test("this kernel can register buffers only while nothing is under way");
    cr_expect_lt(after_several, before + 2 * BUFFER / 1024);
}
