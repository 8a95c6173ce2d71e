/*
 * The engine's jobs: many at once, cancelled, limited, one before the other; who reads and who
 * copies; what is reported. Runs with each backend, by PKGCACHE_BACKEND.
 */
#include "engine/engine.h"
#include "engine/job.h"
#include "tests/unit/engine_support.h"

#include <stdatomic.h>
#include <sys/resource.h>

TestSuite(engine_jobs, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static atomic_int done_count;

static void count_done(void *context)
{
    (void)context;
    atomic_fetch_add(&done_count, 1);
}

Test(engine_jobs, runs_many_jobs_at_once)
{
    enum { JOBS = 20 };
    struct copyengine_job *jobs[JOBS];
    char names[JOBS][16];
    mkdir("source", 0755);
    cr_assert_eq(system("for i in $(seq 200); do echo $i > source/$i; done"), 0);
    for (int i = 0; i < JOBS; i++) {
        snprintf(names[i], sizeof(names[i]), "copy%d", i);
        struct copyengine_copy copy = copy_of("source", names[i]);
        copy.on_done = count_done;
        cr_assert_eq(copyengine_submit_copy(engine, &copy, &jobs[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        const struct copyengine_result *result = copyengine_wait(jobs[i]);
        cr_assert_eq(result->error.code, 0);
        cr_assert_eq(result->progress->files, 200);
        copyengine_job_free(jobs[i]);
        expect_same("source", names[i]);
    }
    cr_assert_eq(atomic_load(&done_count), JOBS);
}

/* Files, and directories with files in them. */
static void make_bushy(const char *root)
{
    char command[200];
    snprintf(command, sizeof(command),
             "mkdir %s && cd %s && for i in $(seq 100); do "
             "mkdir $i && echo $i > $i/a && echo $i > $i-b; done",
             root, root);
    cr_assert_eq(system(command), 0);
}

/* Who copies a tree that is in memory also reads it: a reader is for the root, and one or two more
 * for when this machine is so slow that the tree seems to be on a disk. */
Test(engine_jobs, does_not_start_a_reader_for_each_directory)
{
    make_bushy("source");
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_expect_leq(engine->schedule.reader_count, 4);
    expect_same("source", "copy");
}

static atomic_int held_up;

static void be_held_up(void *go_on)
{
    atomic_fetch_add(&held_up, 1);
    while (!atomic_load((atomic_bool *)go_on))
        usleep(1000);
}

/* Readers that end a job, and are held up by its callback, are not waited for by others. */
Test(engine_jobs, goes_on_while_callbacks_wait)
{
    atomic_bool go_on = false;
    struct copyengine_job *jobs[4];
    struct copyengine_removal removal = {
        .size = sizeof(removal), .dirfd = AT_FDCWD, .on_done = be_held_up, .context = &go_on};
    for (int i = 0; i < 4; i++) {
        removal.path = (const char *const[]){"a", "b", "c", "d"}[i];
        mkdir(removal.path, 0755);
        cr_assert_eq(copyengine_submit_removal(engine, &removal, &jobs[i]), 0);
        while (atomic_load(&held_up) <= i)
            usleep(1000);
    }
    atomic_store(&go_on, true);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(copyengine_wait(jobs[i])->error.code, 0);
        copyengine_job_free(jobs[i]);
    }
}

static void set_cold(unsigned cold)
{
    pthread_mutex_lock(&engine->common.devices.lock);
    for (struct device_pair *pair = engine->common.devices.pairs; pair; pair = pair->next)
        atomic_store(&pair->cold, cold);
    pthread_mutex_unlock(&engine->common.devices.lock);
}

static void *turn_cold_and_warm(void *ended)
{
    while (!atomic_load((atomic_bool *)ended)) {
        set_cold(2 * DEVICE_COLD);
        usleep(50);
        set_cold(0);
        usleep(50);
    }
    return NULL;
}

/* Other threads copy what is read cold, and read its directories: when that changes, those go on
 * whose turn it is then. */
Test(engine_jobs, turns_cold_and_warm_while_it_copies)
{
    pthread_t thread;
    atomic_bool ended = false;
    make_bushy("source");
    copyengine_free(engine);
    start_engine((struct copyengine_options){.in_flight = 2});
    cr_assert_eq(pthread_create(&thread, NULL, turn_cold_and_warm, &ended), 0);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
        cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
    }
    atomic_store(&ended, true);
    pthread_join(thread, NULL);
}

Test(engine_jobs, ends_early_when_cancelled)
{
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 50000000 /dev/zero | tr '\\0' x > source/large"), 0);
    copyengine_free(engine);
    start_engine((struct copyengine_options){.bytes_per_s = 1 << 20}); /* would take 50 s */
    struct copyengine_copy copy = copy_of("source", "copy");
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit_copy(engine, &copy, &job), 0);
    while (progress_of(job).bytes == 0)
        usleep(1000);
    copyengine_cancel(job);
    cr_assert_eq(copyengine_wait(job)->error.code, ECANCELED);
    copyengine_job_free(job);
    cr_assert_eq(access("copy", F_OK), -1, "what was made is gone");
}

/* A job with a limit of its own holds nobody up. */
Test(engine_jobs, limits_one_job_and_not_the_others)
{
    struct copyengine_job *slow;
    mkdir("source", 0755);
    mkdir("large", 0755);
    cr_assert_eq(system("for i in $(seq 300); do echo $i > source/$i; done"), 0);
    cr_assert_eq(system("for i in $(seq 60); do head -c 1000000 /dev/zero > large/$i; done"), 0);
    struct copyengine_copy limited = copy_of("large", "slow");
    limited.bytes_per_s = 1000000; /* takes a minute */
    cr_assert_eq(copyengine_submit_copy(engine, &limited, &slow), 0);
    while (progress_of(slow).bytes == 0)
        usleep(1000);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
        cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
    }
    cr_assert_lt(progress_of(slow).files, 60);
    copyengine_cancel(slow);
    cr_assert_eq(copyengine_wait(slow)->error.code, ECANCELED);
    copyengine_job_free(slow);
    cr_assert_eq(access("slow", F_OK), -1);
}

Test(engine_jobs, priorities_weigh_what_a_job_has_had)
{
    struct copyengine_job job = {.copy = {.priority = COPYENGINE_NORMAL}};
    atomic_store(&job.service, 1600);
    cr_assert_eq(job_weigh_service(&job), 1600);
    job.copy.priority = COPYENGINE_INTERACTIVE;
    cr_assert_lt(job_weigh_service(&job), 1600);
    job.copy.priority = COPYENGINE_BULK;
    cr_assert_gt(job_weigh_service(&job), 1600);
}

Test(engine_jobs, removes_while_others_copy)
{
    struct copyengine_job *removal;
    mkdir("source", 0755);
    cr_assert_eq(system("for i in $(seq 500); do mkdir source/d$i; echo $i > source/d$i/f; done"),
                 0);
    cr_assert_eq(run(copy_of("source", "first")).error.code, 0);
    struct copyengine_removal what = {
        .size = sizeof(what), .dirfd = AT_FDCWD, .path = "first", .on_done = count_done};
    cr_assert_eq(copyengine_submit_removal(engine, &what, &removal), 0);
    cr_assert_eq(run(copy_of("source", "second")).error.code, 0);
    const struct copyengine_result *result = copyengine_wait(removal);
    cr_assert_eq(result->error.code, 0);
    cr_assert_eq(result->progress->files, 500);
    cr_assert_eq(result->progress->directories, 501);
    copyengine_job_free(removal);
    cr_assert_eq(atomic_load(&done_count), 1);
    cr_assert_eq(access("first", F_OK), -1);
    expect_same("source", "second");
}

/* Two cleans find the same trash. */
Test(engine_jobs, removes_what_others_remove)
{
    for (int round = 0; round < 20; round++) {
        struct copyengine_job *removals[2];
        struct copyengine_removal what = {.size = sizeof(what), .dirfd = AT_FDCWD, .path = "tree"};
        cr_assert_eq(system("mkdir tree; cd tree; mkdir $(seq 200); touch $(seq -f %g/f 200)"), 0);
        for (size_t i = 0; i < ARRAY_LENGTH(removals); i++)
            cr_assert_eq(copyengine_submit_removal(engine, &what, &removals[i]), 0);
        for (size_t i = 0; i < ARRAY_LENGTH(removals); i++) {
            const struct copyengine_error *error = &copyengine_wait(removals[i])->error;
            cr_assert_eq(error->code, 0, "%s %s", error->operation, error->path);
            copyengine_job_free(removals[i]);
        }
        cr_assert_eq(access("tree", F_OK), -1);
    }
}

static atomic_int progress_count;

static int count_progress(void *context, const struct copyengine_progress *progress)
{
    (void)context;
    cr_assert(progress->files + progress->bytes > 0);
    atomic_fetch_add(&progress_count, 1);
    return 0;
}

Test(engine_jobs, completions_drive_progress)
{
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 3000000 /dev/urandom > source/large"), 0);
    copyengine_free(engine);
    start_engine((struct copyengine_options){.bytes_per_s = 3 << 20}); /* takes a second */
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.on_progress = count_progress;
    copy.progress_interval_ms = 50;
    cr_assert_eq(run(copy).error.code, 0);
    cr_assert(atomic_load(&progress_count) >= 3, "%d calls", atomic_load(&progress_count));
}

/* Whatever was in it before. */
Test(engine_jobs, an_error_that_was_none_can_be_cleared)
{
    struct copyengine_error error = {.code = -1, .path = (const char *)1};
    struct copyengine_options options = {.size = sizeof(options), .backend = backend()};
    struct copyengine *another;
    cr_assert_eq(copyengine_new(&options, &another, &error), 0);
    cr_expect_eq(error.code, 0);
    cr_assert_null(error.path);
    copyengine_error_clear(&error);
    copyengine_free(another);
}

/* Ends its job with the second call. */
static int cancel_progress(void *context, const struct copyengine_progress *progress)
{
    (void)progress;
    return atomic_fetch_add((atomic_int *)context, 1) == 1;
}

Test(engine_jobs, progress_cancels)
{
    atomic_int calls = 0;
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 3000000 /dev/urandom > source/large"), 0);
    copyengine_free(engine);
    start_engine((struct copyengine_options){.bytes_per_s = 1 << 20}); /* takes three seconds */
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.on_progress = cancel_progress;
    copy.progress_interval_ms = 50;
    copy.context = &calls;
    struct copyengine_result result = run(copy);
    cr_assert_eq(result.error.code, ECANCELED);
    cr_assert_eq(atomic_load(&calls), 2, "nothing is reported after that");
    cr_assert_eq(access("copy", F_OK), -1);
}

Test(engine_jobs, leaves_the_root_writable_when_asked)
{
    mkdir("source", 0755);
    make_file("source/file", "x", 0644);
    chmod("source", 0555);
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.root_stays_writable = true;
    struct copyengine_result result = run(copy);
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.root_mode & 0777, 0555);
    cr_assert_eq(status_of("copy").st_mode & 0777, 0755);
    cr_assert_eq(result.root_mtime.tv_nsec, status_of("source").st_mtim.tv_nsec);
}

Test(engine_jobs, removes_read_only_and_deep_trees)
{
    make_deep("tree", 300, 0555);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "tree", NULL), 0);
    cr_assert_eq(access("tree", F_OK), -1);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "tree", NULL), 0, "nothing there");
    cr_assert_eq(access("/usr", F_OK), 0, "links are not followed");
}

/* Of a process that may have far fewer descriptors than the tree has levels. */
Test(engine_jobs, removes_trees_deeper_than_there_are_descriptors)
{
    const struct rlimit few = {.rlim_cur = 100, .rlim_max = 100};
    make_deep("tree", 400, 0555);
    copyengine_free(engine);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, "tree", NULL), 0);
    make_deep("tree", 400, 0555);
    start_engine((struct copyengine_options){0});
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "tree", NULL), 0);
    cr_assert_eq(access("tree", F_OK), -1);
}

static int scan_of(int dirfd, const char *path)
{
    CLEANUP_CLOSE int fd = open("manifest", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct copyengine_job *job;
    const struct copyengine_scan scan = {
        .size = sizeof(scan), .path = path, .manifest_fd = fd, .relative = true, .dirfd = dirfd};
    cr_assert_eq(copyengine_submit_scan(engine, &scan, &job), 0);
    int code = copyengine_wait(job)->error.code;
    copyengine_job_free(job);
    return code;
}

/* What has the directory's name by now is of no interest; and no link is followed in it. */
Test(engine_jobs, scans_by_a_descriptor)
{
    mkdir("outside", 0755);
    mkdir("outside/tree", 0755);
    make_file("outside/tree/secret", "secret", 0644);
    mkdir("directory", 0755);
    mkdir("directory/tree", 0755);
    int dirfd = open("directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(rename("directory", "away"), 0);
    cr_assert_eq(symlink("outside", "directory"), 0);
    cr_expect_eq(scan_of(dirfd, "tree"), 0);
    char text[512] = "";
    CLEANUP_CLOSE int fd = open("manifest", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof(text));
    cr_expect(length > 0 && !memmem(text, (size_t)length, "secret", 6));
    cr_assert_eq(rename("away/tree", "away/other"), 0);
    cr_assert_eq(symlinkat("../outside/tree", dirfd, "tree"), 0);
    cr_expect_neq(scan_of(dirfd, "tree"), 0);
    close(dirfd);
}

/* Writes into a file while it is copied slowly, until told to stop. */
static void *keep_changing(void *argument)
{
    const atomic_bool *stop = argument;
    for (int i = 0; !atomic_load(stop); i++) {
        CLEANUP_CLOSE int fd = open("source/file", O_WRONLY | O_CLOEXEC);
        cr_assert_eq(pwrite(fd, i % 2 ? "a" : "b", 1, 0), 1);
        usleep(20000);
    }
    return NULL;
}

Test(engine_jobs, reports_a_file_that_keeps_changing)
{
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 1000000 /dev/urandom > source/file"), 0);
    copyengine_free(engine);
    start_engine((struct copyengine_options){.bytes_per_s = 4 << 20});
    atomic_bool stop = false;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, keep_changing, &stop), 0);
    struct copyengine_result result = run(copy_of("source", "copy"));
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_assert_eq(result.error.code, ESTALE);
    cr_assert_str_eq(result.error.path, "source/file");
    cr_assert_eq(access("copy", F_OK), -1);
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0, "and is copied when it does not");
    expect_same("source", "copy");
}
