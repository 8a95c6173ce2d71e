/*
 * The engine: what a copy keeps, what it refuses, what it leaves behind. Runs with each backend,
 * by PKGCACHE_BACKEND.
 */
#include "engine/compiler.h"
#include "engine/copyengine.h"
#include "engine/engine.h"
#include "engine/symlink.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

static char place[] = "/tmp/pkgcache-engine-XXXXXX";
static struct copyengine *engine;

static enum copyengine_backend backend(void)
{
    const char *name = getenv("PKGCACHE_BACKEND");
    return !name                          ? COPYENGINE_AUTO
           : strcmp(name, "ring") == 0    ? COPYENGINE_RING
           : strcmp(name, "threads") == 0 ? COPYENGINE_THREADS
                                          : COPYENGINE_AUTO;
}

static void start_engine(struct copyengine_options options)
{
    struct copyengine_error error;
    options.size = sizeof(options);
    options.backend = backend();
    int result = copyengine_new(&options, &engine, &error);
    cr_assert_eq(result, 0, "no engine: %s", error.explanation);
}

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(place));
    cr_assert_eq(chdir(place), 0);
    start_engine((struct copyengine_options){0});
}

static void tear_down(void)
{
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, place, NULL), 0);
    copyengine_free(engine);
}

TestSuite(engine, .init = set_up, .fini = tear_down, .timeout = 60);

static void make_file(const char *path, const char *text, mode_t mode)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
}

static struct copyengine_copy copy_of(const char *source, const char *destination)
{
    return (struct copyengine_copy){
        .size = sizeof(struct copyengine_copy),
        .source = source,
        .destination_dirfd = AT_FDCWD,
        .destination = destination,
    };
}

static struct copyengine_result run(struct copyengine_copy copy)
{
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit(engine, &copy, &job), 0);
    struct copyengine_result result = *copyengine_wait(job);
    copyengine_job_free(job);
    return result;
}

static void expect_same(const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof(command), "diff -r --no-dereference '%s' '%s'", a, b);
    cr_assert_eq(system(command), 0, "%s and %s differ", a, b);
}

static struct stat status_of(const char *path)
{
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    return status;
}

Test(engine, keeps_modes_and_times)
{
    mkdir("source", 0755);
    mkdir("source/locked", 0755);
    make_file("source/locked/file", "text", 0444);
    make_file("source/setuid", "x", 04755);
    make_file("source/empty", "", 0);
    symlink("locked/file", "source/link");
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 981173106, .tv_nsec = 7}};
    utimensat(AT_FDCWD, "source/link", times, AT_SYMLINK_NOFOLLOW);
    utimensat(AT_FDCWD, "source/locked/file", times, 0);
    utimensat(AT_FDCWD, "source/locked", times, 0);
    chmod("source/locked", 0555);

    struct copyengine_result result = run(copy_of("source", "copy"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress.files, 3);
    cr_assert_eq(result.progress.directories, 2);
    cr_assert_eq(result.progress.symlinks, 1);
    expect_same("source", "copy");
    static const char *const names[] = {"", "locked", "locked/file", "empty", "setuid", "link"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        char a[64];
        char b[64];
        snprintf(a, sizeof(a), "source/%s", names[i]);
        snprintf(b, sizeof(b), "copy/%s", names[i]);
        struct stat of_source = status_of(a);
        struct stat of_copy = status_of(b);
        cr_assert_eq(of_source.st_mode & ~(mode_t)S_ISUID, of_copy.st_mode, "mode of %s", b);
        cr_assert_eq(of_source.st_mtim.tv_sec, of_copy.st_mtim.tv_sec, "mtime of %s", b);
        cr_assert_eq(of_source.st_mtim.tv_nsec, of_copy.st_mtim.tv_nsec, "mtime of %s", b);
    }
    chmod("source/locked", 0755);
}

Test(engine, keeps_holes)
{
    mkdir("source", 0755);
    CLEANUP_CLOSE int fd = open("source/sparse", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_eq(pwrite(fd, "begin", 5, 0), 5);
    cr_assert_eq(pwrite(fd, "middle", 6, 8 << 20), 6);
    cr_assert_eq(ftruncate(fd, 64 << 20), 0);
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    expect_same("source", "copy");
    cr_assert_eq(status_of("copy/sparse").st_size, 64 << 20);
    cr_assert(status_of("copy/sparse").st_blocks <= status_of("source/sparse").st_blocks + 64);
}

Test(engine, copies_large_files)
{
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 40000000 /dev/urandom > source/large"), 0);
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    expect_same("source", "copy");
}

/* Makes directories inside each other, a file in each. */
static void make_deep(const char *root, int levels, mode_t mode)
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

Test(engine, copies_trees_deeper_than_a_path)
{
    enum { LEVELS = 400 };
    make_deep("source", LEVELS, 0755);
    struct copyengine_result result = run(copy_of("source", "copy"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress.files, LEVELS);
    result = run(copy_of("copy", "again"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress.files, LEVELS, "the copy had them all");
    cr_assert_eq(result.progress.directories, LEVELS + 1);
}

Test(engine, refuses_and_leaves_nothing)
{
    struct copyengine_result result = run(copy_of("missing", "copy"));
    cr_assert_eq(result.error.code, ENOENT);
    cr_assert_str_eq(result.error.path, "missing");
    make_file("file", "x", 0644);
    cr_assert_eq(run(copy_of("file", "copy")).error.code, ENOTDIR);
    mkdir("source", 0755);
    make_file("source/file", "x", 0644);
    cr_assert_eq(run(copy_of("source", "source/inside")).error.code, EINVAL);
    cr_assert_eq(access("copy", F_OK), -1);
    cr_assert_eq(access("source/inside", F_OK), -1);

    mkdir("copy", 0755);
    make_file("copy/mine", "x", 0644);
    cr_assert_eq(run(copy_of("source", "copy")).error.code, EEXIST);
    cr_assert_eq(access("copy/mine", F_OK), 0, "what was there before stays");
    symlink("elsewhere", "dangling");
    cr_assert_eq(run(copy_of("source", "dangling")).error.code, EEXIST);
    cr_assert_eq(access("elsewhere", F_OK), -1, "a link is not followed");
}

Test(engine, skips_special_files)
{
    mkdir("source", 0755);
    mkfifo("source/fifo", 0644);
    make_file("source/file", "x", 0644);
    struct copyengine_result result = run(copy_of("source", "copy"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress.skipped, 1);
    cr_assert_eq(result.progress.files, 1);
    cr_assert_eq(access("copy/fifo", F_OK), -1);
}

Test(engine, follows_links_and_finds_loops)
{
    mkdir("source", 0755);
    mkdir("outside", 0755);
    make_file("outside/file", "x", 0644);
    symlink("../outside", "source/directory");
    symlink("../outside/file", "source/file");
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.symlinks = COPYENGINE_SYMLINKS_FOLLOW;
    cr_assert_eq(run(copy).error.code, 0);
    cr_assert(S_ISREG(status_of("copy/file").st_mode));
    cr_assert(S_ISREG(status_of("copy/directory/file").st_mode));

    symlink(".", "source/loop");
    copy.destination = "second";
    cr_assert_eq(run(copy).error.code, ELOOP);
    cr_assert_eq(access("second", F_OK), -1);
    unlink("source/loop");
    symlink("nothing", "source/dangling");
    cr_assert_eq(run(copy).error.code, ENOENT);
    cr_assert_eq(access("second", F_OK), -1);
}

/* What a link in source/bin says, and what its copy must say; % stands for the test's directory. */
static const struct {
    const char *target;
    const char *copied;
} links[] = {
    {"tool", "tool"},
    {"../lib/file", "../lib/file"},
    {"./../lib/./file", "./../lib/./file"},
    {"../../source/lib/file", "../lib/file"},
    {"../../source", ".."},
    {"../../outside/file", "%/outside/file"},
    {"../../outside/../outside/file", "%/outside/file"},
    {"%/source/lib/file", "../lib/file"},
    {"%/alias/lib/file", "../lib/file"},
    {"%/source/bin/tool", "tool"},
    {"%//source/./lib//file", "../lib/file"},
    {"%/outside/file", "%/outside/file"},
    {"%/sourcelike/file", "%/sourcelike/file"},
    {"/usr", "/usr"},
    {"../../missing", "../../missing"},
    {"%/source/missing", "%/source/missing"},
    {"../../source/bin/self", "../../source/bin/self"},
};

static void expand(const char *text, char *ret)
{
    const char *percent = strchr(text, '%');
    if (percent)
        sprintf(ret, "%.*s%s%s", (int)(percent - text), text, place, percent + 1);
    else
        strcpy(ret, text);
}

static void expect_links(const char *source, const char *destination)
{
    char name[64];
    char target[512];
    char expected[512];
    cr_assert_eq(run(copy_of(source, destination)).error.code, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        snprintf(name, sizeof(name), "%s/bin/link%zu", destination, i);
        ssize_t length = readlink(name, target, sizeof(target) - 1);
        cr_assert(length > 0, "%s: %s", name, strerror(errno));
        target[length] = '\0';
        expand(links[i].copied, expected);
        cr_assert_str_eq(target, expected, "the copy of %s", links[i].target);
    }
}

Test(engine, links_keep_their_meaning)
{
    char name[64];
    char target[512];
    mkdir("source", 0755);
    mkdir("source/bin", 0755);
    mkdir("source/lib", 0755);
    mkdir("outside", 0755);
    mkdir("sourcelike", 0755);
    make_file("source/lib/file", "x", 0644);
    make_file("source/bin/tool", "x", 0644);
    make_file("outside/file", "x", 0644);
    make_file("sourcelike/file", "x", 0644);
    symlink("source", "alias");
    symlink("self", "source/bin/self");
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        snprintf(name, sizeof(name), "source/bin/link%zu", i);
        expand(links[i].target, target);
        cr_assert_eq(symlink(target, name), 0);
    }
    expect_links("alias", "copy"); /* the root is named through a link: both names count */
    cr_assert_eq(unlink("alias"), 0);
    char absolute[256];
    snprintf(absolute, sizeof(absolute), "%s/alias", place);
    cr_assert_eq(symlink("source", "alias"), 0);
    expect_links(absolute, "second");
}

/* A ".." behind a link means the parent of what the link reaches, not of the link. */
Test(engine, links_through_links_keep_their_meaning)
{
    char target[512];
    mkdir("source", 0755);
    mkdir("outside", 0755);
    mkdir("outside/deep", 0755);
    make_file("outside/file", "x", 0644);
    symlink("../outside/deep", "source/door");
    symlink("door/../file", "source/link");
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_assert(readlink("copy/link", target, sizeof(target)) > 0);
    cr_assert_eq(access("copy/link", F_OK), 0, "it reaches outside/file, as at the source");
}

static atomic_int done_count;

static void count_done(void *context)
{
    (void)context;
    atomic_fetch_add(&done_count, 1);
}

Test(engine, runs_many_jobs_at_once)
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
        cr_assert_eq(copyengine_submit(engine, &copy, &jobs[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        const struct copyengine_result *result = copyengine_wait(jobs[i]);
        cr_assert_eq(result->error.code, 0);
        cr_assert_eq(result->progress.files, 200);
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
Test(engine, does_not_start_a_reader_for_each_directory)
{
    make_bushy("source");
    cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
    cr_expect_leq(engine->reader_count, 4);
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
Test(engine, goes_on_while_callbacks_wait)
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
    pthread_mutex_lock(&engine->devices.lock);
    for (struct device_pair *pair = engine->devices.pairs; pair; pair = pair->next)
        atomic_store(&pair->cold, cold);
    pthread_mutex_unlock(&engine->devices.lock);
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
Test(engine, turns_cold_and_warm_while_it_copies)
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

Test(engine, ends_early_when_cancelled)
{
    mkdir("source", 0755);
    cr_assert_eq(system("head -c 50000000 /dev/zero | tr '\\0' x > source/large"), 0);
    copyengine_free(engine);
    start_engine((struct copyengine_options){.bytes_per_s = 1 << 20}); /* would take 50 s */
    struct copyengine_copy copy = copy_of("source", "copy");
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit(engine, &copy, &job), 0);
    while (copyengine_job_progress(job).bytes == 0)
        usleep(1000);
    copyengine_cancel(job);
    cr_assert_eq(copyengine_wait(job)->error.code, ECANCELED);
    copyengine_job_free(job);
    cr_assert_eq(access("copy", F_OK), -1, "what was made is gone");
}

/* A job with a limit of its own holds nobody up. */
Test(engine, limits_one_job_and_not_the_others)
{
    struct copyengine_job *slow;
    mkdir("source", 0755);
    mkdir("large", 0755);
    cr_assert_eq(system("for i in $(seq 300); do echo $i > source/$i; done"), 0);
    cr_assert_eq(system("for i in $(seq 60); do head -c 1000000 /dev/zero > large/$i; done"), 0);
    struct copyengine_copy limited = copy_of("large", "slow");
    limited.bytes_per_s = 1000000; /* takes a minute */
    cr_assert_eq(copyengine_submit(engine, &limited, &slow), 0);
    while (copyengine_job_progress(slow).bytes == 0)
        usleep(1000);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(run(copy_of("source", "copy")).error.code, 0);
        cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "copy", NULL), 0);
    }
    cr_assert_lt(copyengine_job_progress(slow).files, 60);
    copyengine_cancel(slow);
    cr_assert_eq(copyengine_wait(slow)->error.code, ECANCELED);
    copyengine_job_free(slow);
    cr_assert_eq(access("slow", F_OK), -1);
}

Test(engine, priorities_weigh_what_a_job_has_had)
{
    struct copyengine_job job = {.copy = {.priority = COPYENGINE_NORMAL}};
    atomic_store(&job.service, 1600);
    cr_assert_eq(schedule_service(&job), 1600);
    job.copy.priority = COPYENGINE_INTERACTIVE;
    cr_assert_lt(schedule_service(&job), 1600);
    job.copy.priority = COPYENGINE_BULK;
    cr_assert_gt(schedule_service(&job), 1600);
}

Test(engine, removes_while_others_copy)
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
    cr_assert_eq(result->progress.files, 500);
    cr_assert_eq(result->progress.directories, 501);
    copyengine_job_free(removal);
    cr_assert_eq(atomic_load(&done_count), 1);
    cr_assert_eq(access("first", F_OK), -1);
    expect_same("source", "second");
}

/* Two cleans find the same trash. */
Test(engine, removes_what_others_remove)
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

static void count_progress(void *context, const struct copyengine_progress *progress)
{
    (void)context;
    cr_assert(progress->files + progress->bytes > 0);
    atomic_fetch_add(&progress_count, 1);
}

Test(engine, completions_drive_progress)
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

Test(engine, leaves_the_root_writable_when_asked)
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

Test(engine, removes_read_only_and_deep_trees)
{
    make_deep("tree", 300, 0555);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "tree", NULL), 0);
    cr_assert_eq(access("tree", F_OK), -1);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "tree", NULL), 0, "nothing there");
    cr_assert_eq(access("/usr", F_OK), 0, "links are not followed");
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

Test(engine, reports_a_file_that_keeps_changing)
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
