/* Supplies: trees that are made of what a caller supplies. With each backend. */
#include "tests/unit/engine_support.h"
#include "tests/unit/supply_support.h"

#include <ftw.h>
#include <sys/xattr.h>

static void begin(void)
{
    set_up();
    supplied_begin(1000);
}

static void end(void)
{
    supplied_end();
    tear_down();
}

TestSuite(supply, .init = begin, .fini = end, .timeout = PATIENCE_S);

/* As run() of a copy: what the result points to is valid until the next call. */
static struct copyengine_result make(struct copyengine_supply supply)
{
    static char path[PATH_MAX];
    static struct copyengine_progress progress;
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    struct copyengine_result result = *copyengine_wait(job);
    if (result.error.path)
        result.error.path = strcpy(path, result.error.path);
    progress = *result.progress;
    result.progress = &progress;
    cr_expect_eq(atomic_load(&tree.released), 0);
    copyengine_job_free(job);
    while (atomic_load(&tree.released) == 0) /* the thread that ended it may have it yet */
        usleep(100);
    cr_expect_eq(atomic_load(&tree.released), 1);
    return result;
}

static void expect_made(void)
{
    struct copyengine_result result = make(supplied("made"));
    cr_assert_eq(result.error.code, 0, "%s %s: %s %s", result.error.operation, result.error.path,
                 strerror(result.error.code),
                 result.error.explanation ? result.error.explanation : "");
    supplied_expect("made");
}

static void expect_failure(int code, const char *path, const char *text)
{
    struct copyengine_result result = make(supplied("made"));
    cr_assert_eq(result.error.code, code, "%s", strerror(result.error.code));
    cr_expect_str_eq(result.error.path, path);
    if (text)
        cr_expect(result.error.explanation && strstr(result.error.explanation, text), "%s",
                  result.error.explanation);
    cr_expect_eq(access("made", F_OK), -1, "something is left");
}

/* One of everything. */
static void add_everything(void)
{
    static const struct copyengine_xattr colour = {"user.colour", "red", 3};
    static const struct copyengine_xattr odd[] = {{"user.a=b", "\0x", 2}, {"trusted.no", "1", 1}};
    supplied_add("empty", COPYENGINE_DIRECTORY, 0700);
    supplied_add("locked", COPYENGINE_DIRECTORY, 0555)->xattrs = &colour;
    tree.entries[2].xattr_count = 1;
    supplied_add_file("locked/small", 100, 0640);
    supplied_add_file("nothing", 0, 0600);
    supplied_add_file("large", 12345, 0755);
    struct copyengine_entry *kept = supplied_add_file("read-only", 10, 0400);
    kept->xattrs = odd;
    kept->xattr_count = 2;
    supplied_add_file("mode-0", 2500, 0);
    supplied_add_file("old", 5, 0644)->mtime = (struct timespec){-12345678, 123456789};
    struct copyengine_entry *sparse = supplied_add("sparse", COPYENGINE_FILE, 0644);
    supplied_add_data(sparse, 1 << 20, 1500);
    supplied_add_data(sparse, 3 << 20, 10);
    sparse->size = 5 << 20;
    supplied_digest(sparse);
    struct copyengine_entry *hole = supplied_add("hole", COPYENGINE_FILE, 0644);
    hole->size = (uint64_t)1 << 40;
    supplied_digest(hole);
    supplied_add("link", COPYENGINE_SYMLINK, 0777)->target = "../somewhere";
    supplied_add("again", COPYENGINE_HARD_LINK, 0)->linked = 5; /* large */
    supplied_add("locked/too", COPYENGINE_HARD_LINK, 0)->linked = 5;
    supplied_add("link-again", COPYENGINE_HARD_LINK, 0)->linked = 11;
    supplied_add("a", COPYENGINE_DIRECTORY, 0755);
    supplied_add("a/b", COPYENGINE_DIRECTORY, 0755);
    supplied_add("a/b/\xff\n", COPYENGINE_DIRECTORY, 0755);
    supplied_add_file("a/b/\xff\n/-rf", 3333, 0644);
}

Test(supply, everything)
{
    char value[16];
    add_everything();
    expect_made();
    cr_expect_eq(getxattr("made/locked", "user.colour", value, sizeof(value)), 3);
    cr_expect_eq(getxattr("made/read-only", "user.a=b", value, sizeof(value)), 2);
    cr_expect_eq(getxattr("made/read-only", "trusted.no", value, sizeof(value)), -1);
    cr_expect_eq(status_of("made/large").st_nlink, 3);
    cr_expect_eq(status_of("made/again").st_ino, status_of("made/large").st_ino);
    cr_expect_eq(status_of("made/link").st_ino, status_of("made/link-again").st_ino);
    cr_expect(status_of("made/sparse").st_blocks < 1000);
    cr_expect(status_of("made/hole").st_blocks < 100);
}

Test(supply, counts)
{
    add_everything();
    struct copyengine_result result = make(supplied("made"));
    cr_expect_eq(result.progress->files, 11);
    cr_expect_eq(result.progress->directories, 6);
    cr_expect_eq(result.progress->symlinks, 2);
    cr_expect_eq(result.progress->bytes, tree.length);
    cr_expect_eq(atomic_load(&tree.reads), tree.part_count);
}

/* What verify compares with later: the same records as a scan of what was made. */
Test(supply, manifest)
{
    add_everything();
    CLEANUP_CLOSE int fd = open("records", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int scanned_fd = open("scanned", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct copyengine_supply supply = supplied("made");
    supply.manifest = true;
    supply.manifest_fd = fd;
    cr_assert_eq(make(supply).error.code, 0);
    struct copyengine_scan scan = {.size = sizeof(scan), .path = "made", .manifest_fd = scanned_fd};
    struct copyengine_job *job;
    cr_assert_eq(copyengine_submit_scan(engine, &scan, &job), 0);
    cr_assert_eq(copyengine_wait(job)->error.code, 0);
    copyengine_job_free(job);
    cr_expect_eq(
        system("tr '\\0' '\\n' <records | sort >a; tr '\\0' '\\n' <scanned | sort >b; cmp a b"), 0);
}

Test(supply, nothing_but_a_root)
{
    tree.entries[0].mode = 0500;
    expect_made();
}

Test(supply, root_stays_writable)
{
    tree.entries[0].mode = 0555;
    struct copyengine_supply supply = supplied("made");
    supply.root_stays_writable = true;
    struct copyengine_result result = make(supply);
    cr_expect_eq(result.root_mode, 0555);
    cr_expect_eq(result.root_mtime.tv_sec, 1000000000);
    cr_expect_eq(status_of("made").st_mode & 07777, 0755);
}

/* Others may not add to the directories of one user. */
Test(supply, owned_directories_and_set_id_bits)
{
    supplied_add("open", COPYENGINE_DIRECTORY, 01777);
    supplied_add_file("open/set-id", 1, 06755);
    struct copyengine_supply supply = supplied("made");
    supply.owned_directories = true;
    cr_assert_eq(make(supply).error.code, 0);
    cr_expect_eq(status_of("made/open").st_mode & 07777, 0755);
    cr_expect_eq(status_of("made/open/set-id").st_mode & 07777, 0755);
}

Test(supply, many_small_files)
{
    char path[64];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "d%d", i);
        supplied_add(path, COPYENGINE_DIRECTORY, 0755);
    }
    for (int i = 0; i < 5000; i++) { /* not in the order of directories */
        snprintf(path, sizeof(path), "d%d/f%d", i * 7 % 100, i);
        supplied_add_file(path, (size_t)(i % 300), 0644);
    }
    expect_made();
}

/* More directories are begun than keep their descriptors; each is opened again. */
Test(supply, deep_and_begun_at_once)
{
    char path[PATH_MAX] = "d";
    char file[PATH_MAX + 8];
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 200; i++) {
            snprintf(path + 2 * i, sizeof(path) - 2 * i, "%s", i ? "/d" : "d");
            if (i)
                memmove(path + 2 * i - 1, path + 2 * i, strlen(path + 2 * i) + 1);
            if (round == 0)
                supplied_add(path, COPYENGINE_DIRECTORY, 0755);
            snprintf(file, sizeof(file), "%s/f%d", path, round);
            supplied_add_file(file, 100, 0644);
        }
    expect_made();
}

Test(supply, one_file_in_many_parts)
{
    supplied_end();
    supplied_begin(100000);
    supplied_add_file("large", 20000000, 0644);
    supplied_add_file("small", 5, 0644);
    expect_made();
}

/* Files whose bytes are the same have them from the same place, in any part. */
Test(supply, equal_files)
{
    supplied_add_file("first", 700, 0644);
    supplied_add_file("between", 5000, 0644);
    struct copyengine_entry *equal = supplied_add("equal", COPYENGINE_FILE, 0600);
    *equal = (struct copyengine_entry){.path = equal->path,
                                       .type = COPYENGINE_FILE,
                                       .mode = 0600,
                                       .size = 700,
                                       .extents = tree.entries[1].extents,
                                       .extent_count = 1};
    memcpy(equal->digest, tree.entries[1].digest, sizeof(equal->digest));
    expect_made();
    cr_expect_eq(atomic_load(&tree.reads), tree.part_count);
}

/* A part that nobody needs is not asked for. */
Test(supply, parts_that_are_not_needed)
{
    supplied_add_file("first", 1000, 0644);
    supplied_add_data(&tree.entries[0], 0, 1000);
    tree.entries[0].extents = NULL;
    tree.entries[0].extent_count = 0;
    tree.entries[0].size = 0;
    supplied_add_file("third", 1000, 0644);
    expect_made();
    cr_expect_eq(atomic_load(&tree.reads), 2);
}

Test(supply, each_part_fails)
{
    supplied_add("d", COPYENGINE_DIRECTORY, 0755);
    supplied_add_file("d/large", 12345, 0644);
    supplied_add_file("d/small", 10, 0644);
    supplied_add("link", COPYENGINE_SYMLINK, 0777)->target = "d";
    tree.failing_code = EIO;
    for (tree.failing_part = 1; tree.failing_part <= 13; tree.failing_part++) {
        atomic_store(&tree.released, 0);
        expect_failure(EIO, "SUPPLY", "the test says so");
    }
}

Test(supply, wrong_digest)
{
    supplied_add("d", COPYENGINE_DIRECTORY, 0755);
    supplied_add_file("d/small", 10, 0644);
    supplied_add_file("d/large", 12345, 0644);
    supplied_add_file("nothing", 0, 0644);
    for (size_t i = 2; i < 5; i++) {
        char path[64];
        atomic_store(&tree.released, 0);
        tree.entries[i].digest[15] ^= 1;
        snprintf(path, sizeof(path), "SUPPLY/%s", tree.entries[i].path);
        expect_failure(EBADMSG, path, "digest");
        tree.entries[i].digest[15] ^= 1;
    }
}

/* What must not be made, and what the error calls it. */
Test(supply, bad_paths)
{
    static const char *const paths[] = {"/etc",   "..",     "../x",  "d/../../x", "d/..",
                                        ".",      "d/./x",  "d//x",  "",          "d/",
                                        "none/x", "file/x", "link/x"};
    supplied_add("d", COPYENGINE_DIRECTORY, 0755);
    supplied_add_file("file", 1, 0644);
    supplied_add("link", COPYENGINE_SYMLINK, 0777)->target = "d";
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        char shown[64];
        atomic_store(&tree.released, 0);
        supplied_add_file(paths[i], 1, 0644);
        snprintf(shown, sizeof(shown), "SUPPLY%s%s", *paths[i] ? "/" : "", paths[i]);
        expect_failure(EBADMSG, shown, NULL);
        free((char *)tree.entries[--tree.count].path);
    }
    char name[300];
    memset(name, 'n', 299);
    name[256] = '\0';
    atomic_store(&tree.released, 0);
    supplied_add_file(name, 1, 0644);
    cr_expect_eq(make(supplied("made")).error.code, EBADMSG);
}

static void expect_bad(const char *text)
{
    char shown[64];
    atomic_store(&tree.released, 0);
    snprintf(shown, sizeof(shown), "SUPPLY/%s", tree.entries[tree.count - 1].path);
    expect_failure(EBADMSG, shown, text);
    cr_expect_eq(atomic_load(&tree.reads), 0);
}

Test(supply, bad_entries)
{
    supplied_add("d", COPYENGINE_DIRECTORY, 0755);
    supplied_add_file("d/twice", 1, 0644);
    struct copyengine_entry *last = supplied_add_file("d/twice", 1, 0644);
    expect_bad("twice");
    free((char *)tree.entries[--tree.count].path);
    last = supplied_add("d/l", COPYENGINE_HARD_LINK, 0644);
    for (size_t linked = 0; linked < 6; linked++) {
        last->linked = linked;
        if (linked != 2)
            expect_bad("hard link");
    }
    *last = (struct copyengine_entry){.path = last->path, .type = COPYENGINE_SYMLINK};
    expect_bad("link says");
    last->target = "";
    expect_bad("link says");
    last->type = (enum copyengine_type)17;
    expect_bad("type");
    last->type = COPYENGINE_FILE;
    last->size = UINT64_MAX;
    expect_bad("size");
    last->size = 10;
    last->mtime.tv_nsec = 1000000000;
    expect_bad("nanoseconds");
    last->mtime.tv_nsec = 0;
    last->type = COPYENGINE_DIRECTORY;
    last->extents = tree.entries[2].extents;
    last->extent_count = 1;
    expect_bad("no file");
}

Test(supply, bad_extents)
{
    static const struct copyengine_extent bad[][2] = {
        {{0, 0, 0, 0}},
        {{5, 1, 0, 0}, {4, 1, 0, 0}},
        {{0, 2, 0, 0}, {1, 1, 0, 0}},
        {{10, 1, 0, 0}},
        {{UINT64_MAX, 2, 0, 0}},
        {{1, UINT64_MAX, 0, 0}},
        {{0, 1, 99, 0}},
        {{0, 1, SIZE_MAX, 0}},
        {{0, 5, 0, 996}},
        {{0, 5, 0, UINT64_MAX - 1}},
    };
    supplied_add_file("whole", 1000, 0644);
    struct copyengine_entry *last = supplied_add("bad", COPYENGINE_FILE, 0644);
    last->size = 10;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        last->extents = bad[i];
        last->extent_count = bad[i][1].length ? 2 : 1;
        expect_bad("extent");
    }
}

Test(supply, bad_roots)
{
    struct copyengine_supply supply = supplied("made");
    supply.contents.entry_count = 0;
    cr_expect_eq(make(supply).error.code, EBADMSG);
    atomic_store(&tree.released, 0);
    tree.entries[0].type = COPYENGINE_FILE;
    cr_expect_eq(make(supplied("made")).error.code, EBADMSG);
}

Test(supply, bad_requests)
{
    struct copyengine_job *job;
    struct copyengine_supply supply;
    supplied_add_file("file", 10, 0644);
    for (int i = 0; i < 6; i++) {
        size_t bytes = i == 4 ? 0 : (size_t)65 << 20;
        supply = supplied("made");
        if (i == 0)
            supply.size = 0;
        else if (i == 1)
            supply.source = "";
        else if (i == 2)
            supply.destination = NULL;
        else if (i == 3)
            supply.read = NULL;
        else
            supply.contents.part_bytes = &bytes;
        cr_expect_eq(copyengine_submit_supply(engine, &supply, &job), -EINVAL, "%d", i);
    }
    cr_expect_eq(atomic_load(&tree.released), 0);
}

Test(supply, destination_exists)
{
    cr_assert_eq(mkdir("made", 0755), 0);
    struct copyengine_result result = make(supplied("made"));
    cr_expect_eq(result.error.code, EEXIST);
    cr_expect_eq(rmdir("made"), 0, "what was there stays");
}

/* `read` hangs: the job ends all the same, and what was supplied is in use until that returns. */
Test(supply, cancelled_while_a_part_is_read)
{
    for (int waits = 0; waits < 2; waits++) {
        struct copyengine_job *job;
        atomic_store(&tree.released, 0);
        atomic_store(&tree.reads, 0);
        supplied_add_file(waits ? "more" : "file", 10000, 0644);
        struct copyengine_supply supply = supplied("made");
        supply.waits = waits;
        atomic_store(&tree.held, true);
        cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
        while (atomic_load(&tree.reads) == 0)
            usleep(1000);
        copyengine_cancel(job);
        cr_expect_eq(copyengine_wait(job)->error.code, ECANCELED);
        copyengine_job_free(job);
        cr_expect_eq(access("made", F_OK), -1);
        cr_expect_eq(atomic_load(&tree.released), 0);
        atomic_store(&tree.held, false);
        while (atomic_load(&tree.released) == 0)
            usleep(1000);
        cr_expect_eq(access("made", F_OK), -1, "it woke up and made something");
    }
}

/* While one supply waits for its parts, others go on. */
Test(supply, others_go_on)
{
    struct copyengine_job *job;
    supplied_add_file("file", 100000, 0644);
    struct copyengine_supply supply = supplied("made");
    supply.waits = true;
    atomic_store(&tree.held, true);
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    while (atomic_load(&tree.reads) == 0)
        usleep(1000);
    cr_assert_eq(mkdir("source", 0755), 0);
    make_file("source/file", "contents", 0644);
    cr_expect_eq(run(copy_of("source", "copied")).error.code, 0);
    atomic_store(&tree.held, false);
    cr_expect_eq(copyengine_wait(job)->error.code, 0);
    copyengine_job_free(job);
    supplied_expect("made");
}

static int describe(void *context, struct copyengine_job *job, struct copyengine_contents *ret,
                    const char **ret_explanation)
{
    (void)job;
    *ret_explanation = "the test says so";
    *ret = supplied("").contents;
    return -*(int *)context;
}

/* The contents may be found by the engine's threads, or not. */
Test(supply, contents_that_are_asked_for)
{
    int code = 0;
    add_everything();
    struct copyengine_supply supply = supplied("made");
    supply.contents = (struct copyengine_contents){0};
    supply.describe = describe;
    supply.contents_context = &code;
    cr_expect_eq(make(supply).error.code, 0);
    supplied_expect("made");
    atomic_store(&tree.released, 0);
    supply.destination = "not-made";
    code = EIO;
    struct copyengine_result result = make(supply);
    cr_expect_eq(result.error.code, EIO);
    cr_expect_str_eq(result.error.explanation, "the test says so");
    cr_expect_eq(access("not-made", F_OK), -1);
}

static atomic_uint progress_calls;

static int count_progress(void *context, const struct copyengine_progress *progress)
{
    (void)context, (void)progress;
    atomic_fetch_add(&progress_calls, 1);
    return 0;
}

/* Completions report; a cap holds over time, and ends what it would hold up for days. */
Test(supply, progress_and_bandwidth)
{
    supplied_end();
    supplied_begin(100000);
    supplied_add_file("file", 2000000, 0644);
    struct copyengine_supply supply = supplied("made");
    supply.on_progress = count_progress;
    supply.progress_interval_ms = 10;
    supply.bytes_per_s = 4000000;
    cr_expect_eq(make(supply).error.code, 0);
    supplied_expect("made");
    cr_expect(atomic_load(&progress_calls) >= 5, "%u", atomic_load(&progress_calls));
    struct copyengine_job *job;
    supply.bytes_per_s = 1;
    supply.destination = "never";
    cr_assert_eq(copyengine_submit_supply(engine, &supply, &job), 0);
    usleep(20000);
    copyengine_cancel(job);
    cr_expect_eq(copyengine_wait(job)->error.code, ECANCELED);
    copyengine_job_free(job);
    cr_expect_eq(access("never", F_OK), -1);
}

/* Many at once, which share the memory that there is for parts. */
Test(supply, at_once)
{
    enum { JOBS = 20 };
    struct copyengine_job *jobs[JOBS];
    char names[JOBS][16];
    supplied_end();
    supplied_begin(8 << 20);
    supplied_add_file("large", 40 << 20, 0644);
    for (int i = 0; i < JOBS; i++) {
        snprintf(names[i], sizeof(names[i]), "made%d", i);
        struct copyengine_supply supply = supplied(names[i]);
        supply.waits = i % 2;
        cr_assert_eq(copyengine_submit_supply(engine, &supply, &jobs[i]), 0);
    }
    for (int i = 0; i < JOBS; i++) {
        cr_expect_eq(copyengine_wait(jobs[i])->error.code, 0);
        copyengine_job_free(jobs[i]);
        cr_assert_eq(copyengine_remove_tree(engine, AT_FDCWD, names[i], NULL), 0);
    }
    while (atomic_load(&tree.released) < JOBS)
        usleep(100);
}
