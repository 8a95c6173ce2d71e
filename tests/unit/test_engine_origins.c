/*
 * Supplies whose contents are in other files: donors, which are reused, and the source. With each
 * backend.
 */
#include "tests/unit/engine_hook.h"
#include "tests/unit/engine_warnings.h"
#include "tests/unit/origin_support.h"
#include "tests/unit/refuse.h"

#include <sys/xattr.h>

enum { PART_BYTES = 1000 };

static struct told told;
static struct copyengine_error made_error; /* of the last supply that was made */

static void begin(void)
{
    set_up();
    origins_begin(PART_BYTES);
}

static void end(void)
{
    copyengine_error_clear(&made_error);
    origins_end();
    tear_down();
}

TestSuite(origins, .init = begin, .fini = end, .timeout = PATIENCE_S);

/* Makes a supply; its error stays until the next one. */
static struct copyengine_progress make(struct copyengine_supply supply)
{
    struct copyengine_job *job;
    told = (struct told){0};
    supply.on_warning = note_warning;
    supply.context = &told;
    atomic_store(&tree.reads, 0);
    atomic_store(&tree.released, 0);
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    const struct copyengine_result *result = copyengine_wait(job);
    struct copyengine_progress progress = *result->progress;
    copyengine_error_clear(&made_error);
    copyengine_error_copy(&result->error, &made_error);
    copyengine_job_free(job);
    while (atomic_load(&tree.released) == 0)
        usleep(100);
    return progress;
}

/* Makes the tree "made", anew. Expects that so many of its files were taken in each way. */
static void expect_made(unsigned fetched, unsigned cloned, unsigned copied)
{
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "made", NULL), 0);
    struct copyengine_progress progress = make(supplied_with_origins("made"));
    cr_assert_eq(made_error.code, 0, "%s %s: %s", made_error.operation, made_error.path,
                 made_error.explanation ? made_error.explanation : strerror(made_error.code));
    supplied_expect("made");
    cr_expect_eq(progress.fetched_files, fetched, "%u fetched", (unsigned)progress.fetched_files);
    cr_expect_eq(progress.cloned_files, cloned, "%u cloned", (unsigned)progress.cloned_files);
    cr_expect_eq(progress.copied_files, copied, "%u copied", (unsigned)progress.copied_files);
    cr_expect_eq(atomic_load(&origins.taken[COPYENGINE_TAKEN_FETCHED]), fetched);
    cr_expect_eq(atomic_load(&origins.taken[COPYENGINE_TAKEN_CLONED]), cloned);
    cr_expect_eq(atomic_load(&origins.taken[COPYENGINE_TAKEN_COPIED]), copied);
    for (size_t i = 0; i < tree.count; i++)
        cr_expect_eq(atomic_load(&origins.calls[i]), tree.entries[i].type == COPYENGINE_FILE);
}

/* The job fails, names this path, and says this; nothing is left. */
static void expect_failure(int code, const char *path, const char *text)
{
    make(supplied_with_origins("made"));
    cr_assert_eq(made_error.code, code, "%s, not %s", strerror(made_error.code), strerror(code));
    cr_expect_str_eq(made_error.path, path);
    cr_expect(made_error.explanation && strstr(made_error.explanation, text), "%s",
              made_error.explanation);
    cr_expect_eq(access("made", F_OK), -1, "something is left");
}

/* One of everything: 5 files. */
static void add_everything(void)
{
    static const struct copyengine_xattr colour = {"user.colour", "red", 3};
    supplied_add("locked", COPYENGINE_DIRECTORY, 0555);
    struct copyengine_entry *small = supplied_add_file("locked/small", 300, 0440);
    small->xattrs = &colour;
    small->xattr_count = 1;
    supplied_add_file("nothing", 0, 0640);
    supplied_add_file("large", 300000, 0750);
    struct copyengine_entry *sparse = supplied_add("sparse", COPYENGINE_FILE, 0644);
    supplied_add_data(sparse, 1 << 20, 50);
    sparse->size = 2 << 20;
    supplied_digest(sparse);
    supplied_add("again", COPYENGINE_HARD_LINK, 0)->linked = 2;
    supplied_add("a", COPYENGINE_DIRECTORY, 0755);
    supplied_add("a/b", COPYENGINE_DIRECTORY, 0700);
    supplied_add_file("a/b/deep", 5000, 0600);
    supplied_add("a/link", COPYENGINE_SYMLINK, 0777)->target = "../large";
}

static void expect_attributes(void)
{
    char value[8];
    cr_expect_eq(getxattr("made/locked/small", "user.colour", value, sizeof(value)), 3);
    cr_expect_eq(status_of("made/again").st_ino, status_of("made/locked/small").st_ino);
    cr_expect_lt(status_of("made/sparse").st_blocks, 2048, "the hole was filled");
}

static bool refuses_to_clone(struct io_op *op)
{
    op->result = op->kind == IO_CLONE ? -EOPNOTSUPP : 0;
    return op->kind == IO_CLONE;
}

/* --- What goes well --------------------------------------------------------------------------- */

/* Of no part is there a read, since nothing of it is wanted. */
Test(origins, copied_from_donors)
{
    add_everything();
    add_origins(DONOR);
    hook_engine(refuses_to_clone, (struct copyengine_options){0});
    expect_made(1, 0, 4); /* what is empty has no contents to be taken */
    expect_attributes();
    cr_expect_eq(atomic_load(&tree.reads), 0);
    cr_expect_eq(told.count, 0, "%s", told.first);
}

Test(origins, cloned_from_donors)
{
    add_everything();
    add_origins(DONOR);
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_made(1, 4, 0);
    expect_attributes();
    cr_expect_eq(atomic_load(&tree.reads), 0);
    cr_expect_eq(told.count, 0, "%s", told.first);
}

/* With what the file system of the tests can. */
Test(origins, from_donors_and_the_source)
{
    add_everything();
    add_origins(SOURCE);
    expect_made(5, 0, 0);
    expect_attributes();
    add_origins(DONOR | SOURCE);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "made", NULL), 0);
    struct copyengine_progress progress = make(supplied_with_origins("made"));
    cr_expect_eq(made_error.code, 0);
    cr_expect_eq(progress.cloned_files + progress.copied_files, 4);
    supplied_expect("made");
}

/* Files that others take ranges of; and donors beside entries without any, in the same parts. */
Test(origins, large_ones_and_parts)
{
    origins_end();
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "cached", NULL), 0);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "source", NULL), 0);
    origins_begin(1 << 20);
    struct copyengine_entry *donated = supplied_add_file("donated", 20 << 20, 0644);
    struct copyengine_entry *fetched = supplied_add_file("fetched", 20 << 20, 0644);
    supplied_add_file("in-parts", 3 << 20, 0644);
    add_origin(donated, DONOR);
    add_origin(fetched, SOURCE);
    hook_engine(refuses_to_clone, (struct copyengine_options){0});
    expect_made(2, 0, 1);
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_made(2, 1, 0);
    cr_expect_leq(atomic_load(&tree.reads), 5, "parts are read that nobody needs");
    cr_assert_eq(unlink("cached/donated"), 0); /* then its parts are */
    expect_made(3, 0, 0);
}

/* Hundreds, in directories that are not always open. */
Test(origins, many)
{
    char name[32];
    for (int d = 0; d < 100; d++) {
        snprintf(name, sizeof(name), "d%d", d);
        supplied_add(name, COPYENGINE_DIRECTORY, 0755);
        for (int f = 0; f < 8; f++) {
            snprintf(name, sizeof(name), "d%d/f%d", d, f);
            static const int wheres[] = {DONOR, SOURCE, DONOR | SOURCE, PARTS};
            add_origin(supplied_add_file(name, 1 + (size_t)(d * 8 + f) % 3000, 0644),
                       wheres[(d + f) % 4]);
        }
    }
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_made(400, 400, 0);
    hook_engine(refuses_to_clone, (struct copyengine_options){0});
    expect_made(400, 0, 400);
}

/* --- Donors that are not what they should be -------------------------------------------------- */

static void overwrite(const char *path, off_t offset, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, text, strlen(text), offset), (ssize_t)strlen(text));
}

static void replace_by_link(const char *path)
{
    char other[PATH_MAX];
    snprintf(other, sizeof(other), "%s.other", path);
    cr_assert_eq(rename(path, other), 0);
    cr_assert_eq(symlink(strrchr(other, '/') + 1, path), 0);
}

/* Spoils the five files of a root, each in another way; "nothing" is empty, and is not looked at.
 */
static void spoil(const char *root)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/locked/small", root);
    cr_assert_eq(truncate(path, 301), 0);
    snprintf(path, sizeof(path), "%s/large", root);
    overwrite(path, 200000, "x");
    snprintf(path, sizeof(path), "%s/sparse", root);
    replace_by_link(path);
    snprintf(path, sizeof(path), "%s/a", root);
    replace_by_link(path);
}

static unsigned expected_warnings;

static void note_spoiled(void *context, const char *path, const char *text)
{
    (void)context;
    static const char *const expected[][2] = {
        {"CACHED/locked/small", "301 bytes; 300 were expected"},
        {"CACHED/large", "digest"},
        {"CACHED/sparse", "symbolic link"},
        {"CACHED/a/b/deep", "symbolic link"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++)
        expected_warnings +=
            strcmp(path, expected[i][0]) == 0 && strstr(text, expected[i][1]) != NULL;
}

/* Then the source takes their place, or the parts do; and each is named. */
static void expect_spoiled(int where)
{
    add_everything();
    add_origins(DONOR | where);
    spoil("cached");
    struct copyengine_supply supply = supplied_with_origins("made");
    struct copyengine_job *job;
    expected_warnings = 0;
    supply.on_warning = note_spoiled;
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    cr_expect_eq(copyengine_wait(job)->error.code, 0, "%s", copyengine_wait(job)->error.path);
    cr_expect_eq(copyengine_wait(job)->progress->fetched_files, 5);
    copyengine_job_free(job);
    supplied_expect("made");
    expect_attributes();
    cr_expect_eq(expected_warnings, 4, "%u warnings as expected", expected_warnings);
}

Test(origins, spoiled_donors_that_cannot_be_cloned)
{
    hook_engine(refuses_to_clone, (struct copyengine_options){0});
    expect_spoiled(SOURCE);
}

Test(origins, spoiled_donors_that_can_be_cloned)
{
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_spoiled(SOURCE);
}

Test(origins, spoiled_donors_of_what_is_in_parts)
{
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_spoiled(PARTS);
}

/* What is not there is not worth a word: a clean may have taken it away. */
Test(origins, donors_that_vanished)
{
    add_everything();
    add_origins(DONOR | SOURCE);
    cr_assert_eq(unlink("cached/large"), 0);
    cr_assert_eq(unlink("cached/a/b/deep"), 0);
    cr_assert_eq(rename("cached/locked", "cached/elsewhere"), 0);
    hook_engine(origins_clone, (struct copyengine_options){0});
    expect_made(4, 1, 0);
    cr_expect_eq(told.count, 0, "%s", told.first);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "cached", NULL), 0);
    expect_made(5, 0, 0);
    cr_expect_eq(told.count, 0, "%s", told.first);
}

/* What never ends, or is none: it is not waited for, nor does it say that nothing can be cloned. */
Test(origins, donors_that_are_no_files)
{
    struct copyengine_entry *fifo = supplied_add_file("fifo", 10, 0644);
    struct copyengine_entry *directory = supplied_add_file("directory", 10, 0644);
    add_origin(fifo, DONOR | SOURCE);
    add_origin(directory, DONOR | SOURCE);
    cr_assert_eq(unlink("cached/fifo"), 0);
    cr_assert_eq(mkfifo("cached/fifo", 0644), 0);
    cr_assert_eq(unlink("cached/directory"), 0);
    cr_assert_eq(mkdir("cached/directory", 0755), 0);
    hook_engine(origins_clone, (struct copyengine_options){.in_flight = 1});
    expect_made(2, 0, 0);
    cr_expect_eq(told.count, 2, "%s", told.first);
    cr_expect(strstr(told.last, "it is no regular file"), "%s", told.last);
    add_origin(supplied_add_file("next", 10, 0644), DONOR);
    expect_made(2, 1, 0);
}

/* Another file system, of which nothing can be cloned, and which says nothing of this one. */
Test(origins, donors_elsewhere)
{
    char elsewhere[PLACE_BYTES];
    if (access("/dev/shm", W_OK) < 0 || !place_make_in("/dev/shm", elsewhere))
        return;
    close(origins.cached.fd);
    add_everything();
    cr_assert_eq(rmdir("cached"), 0);
    cr_assert_eq(symlink(elsewhere, "cached"), 0);
    add_origins(DONOR);
    origins.cached.fd = open(elsewhere, O_PATH | O_CLOEXEC);
    expect_made(1, 0, 4);
    cr_assert_eq(unlink("cached"), 0);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, elsewhere, NULL), 0);
}

/* Reads of the first donor fail, as those of a disk do that is worn out. */
static bool cannot_read_donor(struct io_op *op)
{
    struct stat status, donor;
    if (op->kind == IO_CLONE)
        return refuses_to_clone(op);
    if (op->kind != IO_READ || fstat(op->fd, &status) < 0 || stat("cached/large", &donor) < 0)
        return false;
    op->result = -EIO;
    return status.st_ino == donor.st_ino;
}

Test(origins, donors_that_cannot_be_read)
{
    add_everything();
    add_origins(DONOR | SOURCE);
    hook_engine(cannot_read_donor, (struct copyengine_options){0});
    expect_made(2, 0, 3);
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "CACHED/large: not reused: it cannot be read"), "%s", told.first);
}

/* openat2(2) came with Linux 5.6, and seccomp filters may know nothing of it. */
Test(origins, without_openat2)
{
    if (!refuse_call(SYS_openat2, ENOSYS))
        return;
    expect_spoiled(SOURCE);
    cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, "made", NULL), 0);
}

/* --- Sources that are not what they should be ------------------------------------------------- */

Test(origins, sources_that_vanished)
{
    struct copyengine_entry *file = supplied_add_file("file", 100, 0644);
    add_origin(file, SOURCE);
    cr_assert_eq(unlink("source/file"), 0);
    expect_failure(ENOENT, "SUPPLY/file", "No such file");
}

Test(origins, sources_of_another_size)
{
    add_origin(supplied_add_file("file", 100, 0644), SOURCE);
    cr_assert_eq(truncate("source/file", 99), 0);
    expect_failure(EBADMSG, "SUPPLY/file", "it has 99 bytes; 100 were expected");
    cr_assert_eq(truncate("source/file", 0), 0);
    expect_failure(EBADMSG, "SUPPLY/file", "it has 0 bytes; 100 were expected");
}

Test(origins, sources_of_other_contents)
{
    char text[64] = "";
    struct copyengine_entry *file = supplied_add_file("file", 100, 0644);
    add_origin(file, SOURCE);
    overwrite("source/file", 50, "x");
    for (size_t i = 0; i < sizeof(file->digest); i++)
        snprintf(text + 2 * i, 3, "%02x", file->digest[i]);
    expect_failure(EBADMSG, "SUPPLY/file", text);
    expect_failure(EBADMSG, "SUPPLY/file", "its contents have the digest ");
}

Test(origins, sources_that_are_no_files)
{
    add_origin(supplied_add_file("file", 100, 0644), SOURCE);
    replace_by_link("source/file");
    expect_failure(ELOOP, "SUPPLY/file", "symbolic link");
    cr_assert_eq(unlink("source/file"), 0);
    cr_assert_eq(mkfifo("source/file", 0644), 0);
    expect_failure(EBADMSG, "SUPPLY/file", "no regular file");
    cr_assert_eq(unlink("source/file"), 0);
    cr_assert_eq(mkdir("source/file", 0755), 0);
    expect_failure(EBADMSG, "SUPPLY/file", "no regular file");
}

static bool cannot_read(struct io_op *op)
{
    op->result = op->kind == IO_CLONE ? -EOPNOTSUPP : -EIO;
    return op->kind == IO_CLONE || op->kind == IO_READ;
}

Test(origins, sources_that_cannot_be_read)
{
    add_origin(supplied_add_file("file", 100, 0644), DONOR | SOURCE);
    hook_engine(cannot_read, (struct copyengine_options){0});
    make(supplied_with_origins("made"));
    cr_expect_eq(made_error.code, EIO);
    cr_expect_str_eq(made_error.path, "SUPPLY/file");
    cr_expect_eq(access("made", F_OK), -1);
}

/* --- What is asked for wrongly ---------------------------------------------------------------- */

Test(origins, that_lead_elsewhere)
{
    static const char *const paths[] = {"../file", "/etc/passwd", "a/../file", "a//b", ".", ""};
    add_origin(supplied_add_file("file", 100, 0644), SOURCE);
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        origins.origins[1] = (struct copyengine_origin){.source = paths[i]};
        expect_failure(EBADMSG, "SUPPLY/file", "leads out of the source");
        origins.origins[1] =
            (struct copyengine_origin){.donor_root = &origins.cached, .donor = paths[i]};
        expect_failure(EBADMSG, "SUPPLY/file", "leads elsewhere");
    }
}

Test(origins, of_what_has_no_contents)
{
    supplied_add("directory", COPYENGINE_DIRECTORY, 0755);
    origins.origins[1].source = "directory";
    expect_failure(EBADMSG, "SUPPLY/directory", "no file");
}

Test(origins, twice)
{
    add_origin(supplied_add_file("file", 100, 0644), SOURCE);
    struct copyengine_supply supply = supplied_with_origins("made");
    supply.contents.entries = tree.entries; /* which have extents */
    make(supply);
    cr_expect_eq(made_error.code, EBADMSG);
}

Test(origins, of_another_count)
{
    struct copyengine_job *job;
    add_origin(supplied_add_file("file", 100, 0644), SOURCE);
    struct copyengine_supply supply = supplied_with_origins("made");
    origins.given.count--;
    cr_expect_eq(copyengine_submit_supply(engine, &supply, &job), -EINVAL);
    origins.given.count++;
    origins.given.size = 1;
    cr_expect_eq(copyengine_submit_supply(engine, &supply, &job), -EINVAL);
}
