/*
 * Which processors the threads of an engine use. Runs with each backend, by PKGCACHE_BACKEND.
 */
#include "tests/unit/place.h"

#include "engine/copyengine.h"
#include "engine/processors.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char place[PLACE_BYTES];
static struct copyengine *engine;

static void set_up(void)
{
    const char *name = getenv("PKGCACHE_BACKEND");
    struct copyengine_options options = {
        .size = sizeof(options),
        .backend = name && strcmp(name, "threads") == 0 ? COPYENGINE_THREADS : COPYENGINE_RING,
    };
    cr_assert(place_make(place) && chdir(place) == 0);
    cr_assert(mkdir("source", 0777) == 0 && mkdir("source/directory", 0777) == 0);
    int fd = open("source/directory/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    cr_assert(fd >= 0 && write(fd, "contents", 8) == 8 && close(fd) == 0);
    cr_assert_eq(copyengine_new(&options, &engine, NULL), 0);
}

static void tear_down(void)
{
    copyengine_free(engine);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, place, NULL), 0);
}

TestSuite(processors, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static void note_processors(void *context)
{
    processors_find(context);
}

/* The processors of the thread that did the last of a copy. */
static cpu_set_t processors_of_a_copy(const char *destination)
{
    cpu_set_t set;
    struct copyengine_job *job;
    const struct copyengine_copy copy = {
        .size = sizeof(copy),
        .source = "source",
        .destination_dirfd = AT_FDCWD,
        .destination = destination,
        .on_done = note_processors,
        .context = &set,
    };
    cr_assert_eq(copyengine_submit_copy(engine, &copy, &job), 0);
    cr_assert_eq(copyengine_wait(job)->error.code, 0);
    copyengine_job_free(job);
    return set;
}

Test(processors, one_is_left_while_that_is_asked_for)
{
    cpu_set_t all;
    unsigned count = processors_find(&all);
    cpu_set_t used = processors_of_a_copy("before");
    cr_expect(CPU_EQUAL(&used, &all));
    for (int i = 0; i < 2; i++) {
        char name[16];
        copyengine_leave_processor(true);
        snprintf(name, sizeof(name), "meanwhile%d", i);
        used = processors_of_a_copy(name);
        cr_expect_eq((unsigned)CPU_COUNT(&used), count > 1 ? count - 1 : 1);
        copyengine_leave_processor(false);
        snprintf(name, sizeof(name), "after%d", i);
        used = processors_of_a_copy(name);
        cr_expect(CPU_EQUAL(&used, &all));
    }
    cpu_set_t ours;
    processors_find(&ours);
    cr_expect(CPU_EQUAL(&ours, &all), "the caller's own thread is left alone");
}

/* Threads have their processors from whoever starts them. */
Test(processors, threads_that_begin_meanwhile_follow_too)
{
    cpu_set_t all;
    processors_find(&all);
    cpu_set_t but_one = processors_but_one(&all);
    cr_assert_eq(sched_setaffinity(0, sizeof(but_one), &but_one), 0);
    bool one_is_left = processors_one_is_left(&all);
    cr_expect_eq(one_is_left, CPU_COUNT(&all) > 1);
    processors_use(&all, false, &one_is_left);
    cr_expect(!one_is_left);
    cr_expect(!processors_one_is_left(&all));
    cpu_set_t ours;
    processors_find(&ours);
    cr_expect(CPU_EQUAL(&ours, &all));
}

Test(processors, one_of_one_or_of_none_is_not_left)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    cpu_set_t but_one = processors_but_one(&set);
    cr_expect(CPU_EQUAL(&but_one, &set));
    CPU_SET(5, &set);
    but_one = processors_but_one(&set);
    cr_expect(CPU_EQUAL(&but_one, &set));
    CPU_SET(7, &set);
    but_one = processors_but_one(&set);
    cr_expect_eq(CPU_COUNT(&but_one), 1);
    cr_expect(CPU_ISSET(7, &but_one));
}
