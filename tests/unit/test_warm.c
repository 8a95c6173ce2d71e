/* What only callers of the library can ask of a warm: priorities, temporary repositories; and runs
 * that are fed and cancelled while they are driven, as the daemon does. */
#include "tests/unit/place.h"

#include "cache/warm/donors.h"
#include "cache/warm/run.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <sys/stat.h>

enum { COUNT_MAX = 64, PIECE_BYTES = 64 << 10 };

/* A cache, and variants with their payloads, in a directory of their own. */
struct world {
    char directory[PLACE_BYTES];
    struct pkgcache *cache;
    struct pkgcache_variant variants[COUNT_MAX];
    struct pkgcache_result results[COUNT_MAX];
    size_t count;
    size_t order[COUNT_MAX]; /* in which they were done */
    size_t done;
};

static char *path_in(const struct world *world, const char *name)
{
    char *path;
    cr_assert(asprintf(&path, "%s/%s", world->directory, name) > 0);
    return path;
}

static void open_world(struct world *world, struct pkgcache_options *options)
{
    struct pkgcache_error error;
    cr_assert_not_null(place_make(world->directory));
    CLEANUP_FREE char *cache = path_in(world, "cache");
    options->size = sizeof(*options);
    options->durability = PKGCACHE_DURABILITY_NONE;
    if (options->temporary_path)
        options->temporary_path = world->directory;
    cr_assert(pkgcache_open(cache, options, true, &world->cache, &error) == 0, "%s", error.message);
}

static void close_world(struct world *world)
{
    pkgcache_results_free(world->results, sizeof(world->results[0]), world->count);
    pkgcache_close(world->cache);
    for (size_t i = 0; i < world->count; i++) {
        pkgcache_handle_free((struct pkgcache_handle *)world->variants[i].handle);
        free((char *)world->variants[i].root);
    }
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, world->directory, NULL), 0);
}

static void write_file(const char *root, unsigned number)
{
    static char piece[PIECE_BYTES];
    CLEANUP_FREE char *path = NULL;
    memset(piece, 'x', sizeof(piece));
    cr_assert(asprintf(&path, "%s/%u", root, number) > 0);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    cr_assert_eq(write(fd, piece, sizeof(piece)), (ssize_t)sizeof(piece));
}

/* Adds a variant of so many files. */
static struct pkgcache_variant *add_variant(struct world *world, unsigned files)
{
    char text[1024];
    char name[32];
    struct pkgcache_handle *handle;
    snprintf(name, sizeof(name), "package%zu", world->count);
    snprintf(text, sizeof(text),
             "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": \"%s/repository\", "
             "\"name\": \"%s\", \"version\": \"1.0\", \"index\": null, \"repository_type\": "
             "\"filesystem\"}}",
             world->directory, name);
    cr_assert_eq(pkgcache_handle_parse(text, strlen(text), &handle, NULL), 0);
    struct pkgcache_variant *variant = &world->variants[world->count++];
    *variant = (struct pkgcache_variant){.handle = handle, .root = path_in(world, name)};
    cr_assert_eq(mkdir(variant->root, 0777), 0);
    for (unsigned i = 0; i < files; i++)
        write_file(variant->root, i);
    return variant;
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    struct world *world = context;
    (void)result;
    world->order[world->done++] = index;
}

static void warm_all(struct world *world)
{
    struct pkgcache_error error = {0};
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = world->variants,
        .variant_size = sizeof(world->variants[0]),
        .count = world->count,
        .result_size = sizeof(world->results[0]),
        .cancel_fd = -1,
        .on_result = on_result,
        .context = world,
    };
    cr_assert(pkgcache_warm(world->cache, &warm, world->results, &error) == 0, "%s", error.message);
    cr_assert_eq(world->done, world->count);
}

/* When a variant was done, from 0. */
static size_t place_of(const struct world *world, size_t index)
{
    size_t place = 0;
    while (world->order[place] != index)
        place++;
    return place;
}

static void expect_all_created(const struct world *world)
{
    for (size_t i = 0; i < world->count; i++)
        cr_expect(world->results[i].status == PKGCACHE_CREATED, "%zu: %s", i,
                  world->results[i].reason);
}

/* Named last, done among the first; and the others are done all the same. */
Test(warm, urgent_ones_come_first)
{
    static struct world world;
    struct pkgcache_options options = {.bytes_per_s = 16 << 20};
    open_world(&world, &options);
    for (size_t i = 0; i < 40; i++)
        add_variant(&world, 4)->priority = COPYENGINE_BULK;
    size_t normal = world.count;
    add_variant(&world, 4);
    size_t urgent = world.count;
    add_variant(&world, 4)->priority = COPYENGINE_INTERACTIVE;
    warm_all(&world);
    expect_all_created(&world);
    cr_expect_lt(place_of(&world, urgent), 20);
    cr_expect_lt(place_of(&world, normal), 20);
    close_world(&world);
}

/* Named first, the large one is done last: the small ones do not wait for it. */
Test(warm, small_ones_before_large_ones)
{
    static struct world world;
    struct pkgcache_options options = {.bytes_per_s = 16 << 20};
    open_world(&world, &options);
    add_variant(&world, 1024);
    for (size_t i = 0; i < 20; i++)
        add_variant(&world, 1);
    warm_all(&world);
    expect_all_created(&world);
    cr_expect_eq(place_of(&world, 0), 20);
    close_world(&world);
}

Test(warm, temporary_repositories_are_refused)
{
    static struct world world;
    struct pkgcache_options options = {.temporary_path = ""};
    open_world(&world, &options);
    add_variant(&world, 1);
    add_variant(&world, 1)->force = true;
    warm_all(&world);
    cr_expect_eq(world.results[0].status, PKGCACHE_SKIPPED);
    cr_expect_not_null(strstr(world.results[0].reason, "temporary repository"));
    cr_expect_eq(world.results[1].status, PKGCACHE_CREATED);
    close_world(&world);
}

Test(warm, a_relative_root_is_refused)
{
    static struct world world;
    struct pkgcache_options options = {0};
    open_world(&world, &options);
    struct pkgcache_variant *variant = add_variant(&world, 1);
    free((char *)variant->root);
    variant->root = strdup("package0");
    warm_all(&world);
    cr_expect_eq(world.results[0].status, PKGCACHE_FAILED);
    cr_expect_not_null(strstr(world.results[0].reason, "absolute"));
    close_world(&world);
}

/* --- Runs ------------------------------------------------------------------------------------ */

enum { LARGE_FILES = 64, SLOW_BYTES_PER_S = 256 << 10 }; /* 16 seconds: there is time to act */

static int cancel_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    return progress->bytes > 0;
}

/* What was done stays; what was not leaves nothing. */
Test(warm, progress_cancels)
{
    static struct world world;
    struct pkgcache_error error = {0};
    struct pkgcache_options options = {.bytes_per_s = SLOW_BYTES_PER_S};
    open_world(&world, &options);
    add_variant(&world, LARGE_FILES);
    struct pkgcache_warm warm = {
        .size = sizeof(warm),
        .variants = world.variants,
        .variant_size = sizeof(world.variants[0]),
        .count = world.count,
        .result_size = sizeof(world.results[0]),
        .on_progress = cancel_progress,
    };
    cr_expect_eq(pkgcache_warm(world.cache, &warm, world.results, &error), -ECANCELED);
    cr_expect_eq(error.code, ECANCELED);
    cr_expect_eq(world.results[0].status, PKGCACHE_FAILED);
    char *root;
    cr_expect_eq(pkgcache_get(world.cache, world.variants[0].handle, false, &root, NULL, NULL), 0);
    close_world(&world);
}

static struct run *start_run(struct world *world)
{
    struct pkgcache_error error = {0};
    struct run *run;
    const struct pkgcache_warm warm = {
        .size = sizeof(warm), .cancel_fd = -1, .on_result = on_result, .context = world};
    cr_assert(run_start(world->cache, &warm, &run, &error) == 0, "%s", error.message);
    return run;
}

/* Makes a variant and adds it to the run. */
static struct addition *feed(struct run *run, struct world *world, unsigned files)
{
    const struct pkgcache_variant *variant = add_variant(world, files);
    struct addition *addition = run_add(run, variant, NULL, &world->results[world->count - 1]);
    cr_assert_not_null(addition);
    return addition;
}

static void drive_until(struct run *run, const struct addition *addition, enum stage stage)
{
    while (addition->stage != stage) {
        cr_assert_gt(run->unfinished, 0);
        cr_assert_eq(run_drive(run), 0);
    }
}

static void drive_to_the_end(struct run *run)
{
    while (run->unfinished > 0)
        cr_assert_eq(run_drive(run), 0);
}

static void expect_cancelled(const struct world *world, size_t index)
{
    cr_expect_eq(world->results[index].status, PKGCACHE_FAILED);
    cr_expect_str_eq(world->results[index].reason, "cancelled");
}

/* Nothing is left of what was not committed. */
static void expect_nothing_cached(const struct world *world, size_t index)
{
    char *root = NULL;
    enum pkgcache_status status;
    cr_expect_eq(
        pkgcache_get(world->cache, world->variants[index].handle, false, &root, &status, NULL), 0);
    cr_expect(!root && status == PKGCACHE_NOT_FOUND);
}

Test(run, is_fed_while_it_is_driven)
{
    static struct world world;
    struct pkgcache_options options = {.bytes_per_s = 8 << 20};
    open_world(&world, &options);
    struct run *run = start_run(&world);
    drive_until(run, feed(run, &world, LARGE_FILES), STAGE_COPYING);
    for (size_t i = 0; i < 10; i++) {
        feed(run, &world, 1);
        cr_assert_eq(run_drive(run), 0);
    }
    drive_to_the_end(run);
    cr_expect_eq(world.done, 11);
    feed(run, &world, 1); /* and after it had nothing to do */
    drive_to_the_end(run);
    cr_expect_eq(world.done, 12);
    expect_all_created(&world);
    run_end(run);
    close_world(&world);
}

Test(run, what_was_not_looked_at_is_cancelled)
{
    static struct world world;
    struct pkgcache_options options = {0};
    open_world(&world, &options);
    struct run *run = start_run(&world);
    feed(run, &world, 1);
    struct addition *unwanted = feed(run, &world, 1);
    feed(run, &world, 1);
    run_cancel(run, unwanted);
    cr_expect_eq(world.done, 1);
    expect_cancelled(&world, 1);
    drive_to_the_end(run);
    cr_expect_eq(world.results[0].status, PKGCACHE_CREATED);
    cr_expect_eq(world.results[2].status, PKGCACHE_CREATED);
    expect_nothing_cached(&world, 1);
    pkgcache_results_free(&world.results[1], sizeof(world.results[1]), 1);
    cr_assert_not_null(run_add(run, &world.variants[1], NULL, &world.results[1])); /* after all */
    drive_to_the_end(run);
    expect_all_created(&world);
    run_end(run);
    close_world(&world);
}

Test(run, what_is_being_copied_is_cancelled)
{
    static struct world world;
    struct pkgcache_options options = {.bytes_per_s = SLOW_BYTES_PER_S};
    open_world(&world, &options);
    struct run *run = start_run(&world);
    struct addition *unwanted = feed(run, &world, LARGE_FILES);
    drive_until(run, unwanted, STAGE_COPYING);
    feed(run, &world, 1);
    run_cancel(run, unwanted);
    drive_to_the_end(run);
    expect_cancelled(&world, 0);
    cr_expect_eq(world.results[1].status, PKGCACHE_CREATED);
    expect_nothing_cached(&world, 0);
    run_end(run);
    close_world(&world);
}

/* A variant that waits, as another run copies it, is given up; the other run does not notice. */
Test(run, what_waits_for_another_is_cancelled)
{
    static struct world world;
    struct pkgcache_options options = {.bytes_per_s = SLOW_BYTES_PER_S};
    open_world(&world, &options);
    struct run *first = start_run(&world);
    struct pkgcache *cache;
    CLEANUP_FREE char *path = path_in(&world, "cache");
    cr_assert_eq(pkgcache_open(path, &options, false, &cache, NULL), 0);
    struct pkgcache_result result = {0};
    struct run *second;
    const struct pkgcache_warm warm = {.size = sizeof(warm), .cancel_fd = -1};
    cr_assert_eq(run_start(cache, &warm, &second, NULL), 0);
    struct addition *copying = feed(first, &world, LARGE_FILES);
    drive_until(first, copying, STAGE_COPYING);
    struct addition *waiting = run_add(second, &world.variants[0], NULL, &result);
    drive_until(second, waiting, STAGE_WAITING);
    run_cancel(second, waiting);
    cr_expect_eq(second->unfinished, 0);
    cr_expect_eq(result.status, PKGCACHE_FAILED);
    run_end(second);
    cr_expect_eq(copying->stage, STAGE_COPYING);
    run_cancel(first, copying);
    drive_to_the_end(first);
    run_end(first);
    pkgcache_results_free(&result, sizeof(result), 1);
    pkgcache_close(cache);
    close_world(&world);
}

/* A variant whose bytes come when the test lets some arrive. */
static struct arriving {
    struct warm_supply supply;
    sem_t begun;
    sem_t wanted;
    sem_t told;
    atomic_bool ended;
} arriving;

static void *begin_arriving(struct warm_supply *supply, struct donors *donors)
{
    donors_free(donors);
    return supply;
}

static const struct copyengine_origins *have_no_origins(void *copy)
{
    (void)copy;
    return NULL;
}

static int describe_arriving(void *copy, struct copyengine_job *job,
                             struct copyengine_contents *ret, const char **ret_explanation)
{
    (void)copy;
    (void)ret;
    sem_post(&arriving.begun);
    while (sem_wait(&arriving.wanted) == 0 && !arriving.ended) {
        copyengine_supply_moves(job);
        sem_post(&arriving.told);
    }
    *ret_explanation = "it has arrived";
    return -EIO;
}

static void ignore_copy(void *copy)
{
    (void)copy;
}

static void ignore_supply(struct warm_supply *supply)
{
    (void)supply;
}

static bool is_always_near(struct warm_supply *supply)
{
    return supply;
}

static const struct warm_supply_kind arriving_kind = {
    .begin = begin_arriving,
    .origins = have_no_origins,
    .describe = describe_arriving,
    .end = ignore_copy,
    .expect = ignore_supply,
    .is_near = is_always_near,
    .settle = ignore_supply,
    .release = ignore_supply,
};

/* What arrives of a frame is life, though nothing of it is copied yet. */
Test(run, what_arrives_does_not_stand_still)
{
    static struct world world;
    struct pkgcache_options options = {0};
    open_world(&world, &options);
    arriving.supply = (struct warm_supply){.kind = &arriving_kind, .name = "it", .waits = true};
    first_error_init(&arriving.supply.error);
    sem_init(&arriving.begun, 0, 0);
    sem_init(&arriving.wanted, 0, 0);
    sem_init(&arriving.told, 0, 0);
    struct run *run = start_run(&world);
    struct addition *addition = feed(run, &world, 1);
    addition->supply = &arriving.supply;
    drive_until(run, addition, STAGE_COPYING);
    sem_wait(&arriving.begun);
    addition->moved_ns = 1; /* long ago */
    run_look_at_jobs(run);
    cr_expect_eq(run->small_jobs, 0);
    sem_post(&arriving.wanted);
    sem_wait(&arriving.told);
    run_look_at_jobs(run);
    cr_expect_eq(run->small_jobs, 1);
    arriving.ended = true;
    sem_post(&arriving.wanted);
    drive_to_the_end(run);
    cr_expect_eq(world.results[0].status, PKGCACHE_FAILED);
    run_end(run);
    close_world(&world);
}
