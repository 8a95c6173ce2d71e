/*
 * Operations of a supply that fail: whatever goes wrong, and whenever, there is an error that names
 * a file and nothing is left behind, or there is a correct tree. As test_faults.c does for copies.
 */
#include "tests/unit/io_fault.h"
#include "tests/unit/origin_support.h"
#include "tests/unit/place.h"

#include "engine/engine.h"

#include <ftw.h>

enum { OPERATIONS_MAX = 2000 };

static char place[PLACE_BYTES];
static struct copyengine *engine;
static atomic_uint warnings;
static size_t entries;
static bool from_files; /* the contents are in donors, and in a source that has to help out */
static struct io_backend inner_backend;
static enum io_answer (*inner_submit)(struct io *io, struct io_op *op);

/* One of everything. */
static void set_up(void)
{
    static const struct copyengine_xattr colour = {"user.colour", "red", 3};
    cr_assert_not_null(place_make_for_copies(place));
    cr_assert_eq(chdir(place), 0);
    origins_begin(1000);
    struct copyengine_entry *locked = supplied_add("locked", COPYENGINE_DIRECTORY, 0555);
    locked->xattrs = &colour;
    locked->xattr_count = 1;
    supplied_add("empty", COPYENGINE_DIRECTORY, 0700);
    struct copyengine_entry *small = supplied_add_file("locked/small", 300, 0440);
    small->xattrs = &colour;
    small->xattr_count = 1;
    supplied_add_file("nothing", 0, 0640);
    supplied_add_file("large", 3500, 0640);
    struct copyengine_entry *sparse = supplied_add("sparse", COPYENGINE_FILE, 0644);
    supplied_add_data(sparse, 1 << 20, 50);
    sparse->size = 2 << 20;
    supplied_digest(sparse);
    supplied_add("locked/link", COPYENGINE_SYMLINK, 0777)->target = "../small";
    supplied_add("again", COPYENGINE_HARD_LINK, 0)->linked = 3;
}

/* A donor to be reused, one that is altered, one beside parts; and one file that has none. */
static void take_from_files(void)
{
    from_files = true;
    add_origin(&tree.entries[3], DONOR | SOURCE);
    add_origin(&tree.entries[5], DONOR | SOURCE);
    add_origin(&tree.entries[6], DONOR);
    supplied_add_file("fetched", 700, 0644);
    add_origin(&tree.entries[tree.count - 1], SOURCE);
    cr_assert_eq(truncate("cached/large", 3499), 0);
}

static void tear_down(void)
{
    origins_end();
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, place, NULL), 0);
}

TestSuite(supply_faults, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static enum io_answer submit_or_clone(struct io *io, struct io_op *op)
{
    return origins_clone(op) ? IO_DONE : inner_submit(io, op);
}

static const struct io_backend *inner(void)
{
    const char *name = getenv("PKGCACHE_BACKEND");
    inner_backend = name && strcmp(name, "threads") == 0 ? io_threads_backend : io_ring_backend;
    inner_submit = inner_backend.submit;
    inner_backend.submit = submit_or_clone;
    return &inner_backend;
}

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

static void count_warning(void *context, const char *path, const char *text)
{
    (void)context, (void)path, (void)text;
    atomic_fetch_add(&warnings, 1);
}

static struct copyengine_supply the_supply(void)
{
    struct copyengine_supply supply = from_files ? supplied_with_origins("made") : supplied("made");
    supply.on_warning = count_warning;
    warnings = 0;
    return supply;
}

static void start(const struct fault_plan *plan)
{
    struct copyengine_options options = {.size = sizeof(options), .in_flight = 1};
    io_fault_plan(plan);
    cr_assert_eq(engine_new(&options, &io_fault_backend, &engine, NULL), 0);
}

/* Where something was lost, and said, what is lost may be a time. */
static void expect_correct_tree(const char *when)
{
    for (size_t i = 0; i < tree.count; i++) {
        const char *difference = supplied_difference(&tree.entries[i], "made");
        bool lost = warnings > 0 && strcmp(difference, "time") == 0;
        cr_assert(lost || !*difference, "%s: %s of %s is wrong", when, difference,
                  tree.entries[i].path);
    }
    cr_assert_eq(count_entries("made"), tree.count, "%s", when);
}

/* Makes the tree once. Returns whether the fault happened. */
static bool make_once(const struct fault_plan *plan)
{
    struct copyengine_supply supply = the_supply();
    struct copyengine_job *job;
    char when[128];
    size_t before = count_entries("/proc/self/fd");
    size_t here = count_entries(".");
    snprintf(when, sizeof(when), "operation %u, how %d, %s, %s", plan->nth, plan->how,
             plan->how == FAULT_ERROR ? strerrorname_np(plan->code) : "",
             plan->queues ? "queued" : "at once");
    start(plan);
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    const struct copyengine_error *error = &copyengine_wait(job)->error;
    bool happened = io_fault_happened();
    if (error->code) {
        cr_assert(happened, "%s: %s %s: %s", when, error->operation, error->path,
                  strerror(error->code));
        cr_assert(strncmp(error->path, "SUPPLY", 6) == 0 || strncmp(error->path, "made", 4) == 0,
                  "%s: the error names \"%s\"", when, error->path);
        cr_assert_eq(access("made", F_OK), -1, "%s: something is left: %s %s", when,
                     error->operation, error->path);
    } else {
        expect_correct_tree(when);
    }
    size_t made = error->code ? 0 : tree.count;
    copyengine_job_free(job);
    copyengine_free(engine);
    cr_assert_eq(count_entries("/proc/self/fd"), before, "%s: a descriptor leaks", when);
    cr_assert_eq(count_entries("."), here + made, "%s: a file outside the tree", when);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, "made", NULL), 0);
    return happened;
}

/* The nth operation goes wrong, for each n until none does. */
static void sweep(enum fault_how how, int code)
{
    for (int queues = 0; queues <= 1; queues++) {
        unsigned nth = 1;
        while (make_once(&(struct fault_plan){inner(), nth, how, code, queues}) &&
               nth < OPERATIONS_MAX)
            nth++;
        cr_assert(nth > 40 && nth < OPERATIONS_MAX, "%u operations", nth);
    }
}

Test(supply_faults, no_space)
{
    sweep(FAULT_ERROR, ENOSPC);
}

Test(supply_faults, the_disk_is_full_from_then_on)
{
    sweep(FAULT_FULL, 0);
}

Test(supply_faults, input_output_error)
{
    sweep(FAULT_ERROR, EIO);
}

Test(supply_faults, too_many_open_files)
{
    sweep(FAULT_ERROR, EMFILE);
}

Test(supply_faults, no_memory)
{
    sweep(FAULT_ERROR, ENOMEM);
}

Test(supply_faults, interrupted)
{
    sweep(FAULT_ERROR, EINTR);
}

Test(supply_faults, short_reads_and_writes)
{
    sweep(FAULT_SHORT, 0);
}

Test(supply_faults, files_no_space)
{
    take_from_files();
    sweep(FAULT_ERROR, ENOSPC);
}

Test(supply_faults, files_and_the_disk_is_full_from_then_on)
{
    take_from_files();
    sweep(FAULT_FULL, 0);
}

Test(supply_faults, files_input_output_error)
{
    take_from_files();
    sweep(FAULT_ERROR, EIO);
}

Test(supply_faults, files_too_many_open_files)
{
    take_from_files();
    sweep(FAULT_ERROR, EMFILE);
}

Test(supply_faults, files_short_reads_and_writes)
{
    take_from_files();
    sweep(FAULT_SHORT, 0);
}

/* Makes the tree, cancels what hangs, and lets it wake up. Returns whether anything hung. */
static bool hang_once(const struct fault_plan *plan)
{
    struct copyengine_supply supply = the_supply();
    struct copyengine_job *job;
    start(plan);
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    bool happened = io_fault_wait(engine);
    if (happened)
        copyengine_cancel(job);
    int code = copyengine_wait(job)->error.code;
    copyengine_job_free(job);
    if (happened && code != 0) {
        cr_assert_eq(code, ECANCELED, "operation %u: %s", plan->nth, strerror(code));
        cr_assert_eq(access("made", F_OK), -1, "operation %u: something is left", plan->nth);
    }
    io_fault_release();
    io_fault_wait_idle(engine);
    cr_assert_eq(access("made", F_OK), code ? -1 : 0, "operation %u woke up and did something",
                 plan->nth);
    copyengine_free(engine);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, "made", NULL), 0);
    return happened;
}

/* A hang takes a third of a second: not each operation, but one of each kind. */
static void sweep_hangs(void)
{
    for (int queues = 0; queues <= 1; queues++) {
        unsigned nth = 1;
        while (hang_once(&(struct fault_plan){inner(), nth, FAULT_HANG, 0, queues}))
            nth += 3;
        cr_assert(nth > 40);
    }
}

Test(supply_faults, hang)
{
    sweep_hangs();
}

Test(supply_faults, files_hang)
{
    take_from_files();
    sweep_hangs();
}
