/* A ring: what is queued is sent off. One that is refused, from the start, later, or half-way:
 * slower, and right. */
#include "tests/unit/io_fault.h"
#include "tests/unit/refuse.h"

#include "engine/copyengine.h"
#include "engine/engine.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

enum { FILES = 2000 };

static char place[] = "/tmp/pkgcache-ring-XXXXXX";
static struct copyengine *engine;

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(place));
    cr_assert_eq(chdir(place), 0);
    cr_assert_eq(mkdir("source", 0755), 0);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "source/%d", i);
        CLEANUP_CLOSE int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        for (int line = 0; line < i % 50; line++)
            cr_assert(dprintf(fd, "line %d of file %d\n", line, i) > 0);
    }
}

static void tear_down(void)
{
    copyengine_free(engine);
    cr_assert_eq(copyengine_new(NULL, &engine, NULL), 0);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, place, NULL), 0);
    copyengine_free(engine);
}

TestSuite(ring, .init = set_up, .fini = tear_down, .timeout = 120);

static const struct copyengine_copy the_copy = {
    .size = sizeof(struct copyengine_copy),
    .source = "source",
    .destination_dirfd = AT_FDCWD,
    .destination = "copy",
};

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
    cr_assert_eq(copyengine_submit(engine, &the_copy, &job), 0);
    while (copyengine_job_progress(job).files < FILES / 10)
        usleep(1000);
    if (!refuse_call(SYS_io_uring_enter, code))
        cr_skip_test("no seccomp");
    cr_assert_eq(copyengine_wait(job)->error.code, 0);
    cr_assert_eq(copyengine_job_progress(job).files, FILES);
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
