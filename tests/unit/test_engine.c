/*
 * The engine: what a copy keeps, what it refuses, what it leaves behind. Runs with each backend,
 * by PKGCACHE_BACKEND.
 */
#include "tests/unit/engine_support.h"

TestSuite(engine, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

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
    cr_assert_eq(result.progress->files, 3);
    cr_assert_eq(result.progress->directories, 2);
    cr_assert_eq(result.progress->symlinks, 1);
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

Test(engine, copies_trees_deeper_than_a_path)
{
    enum { LEVELS = 400 };
    make_deep("source", LEVELS, 0755);
    struct copyengine_result result = run(copy_of("source", "copy"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress->files, LEVELS);
    result = run(copy_of("copy", "again"));
    cr_assert_eq(result.error.code, 0);
    cr_assert_eq(result.progress->files, LEVELS, "the copy had them all");
    cr_assert_eq(result.progress->directories, LEVELS + 1);
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
    cr_assert_eq(result.progress->skipped, 1);
    cr_assert_eq(result.progress->files, 1);
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

/* The copy would copy itself, and what it copied, until there are no descriptors left. */
Test(engine, follows_no_link_to_the_copy)
{
    cr_assert(mkdir("source", 0755) == 0 && mkdir("place", 0755) == 0);
    cr_assert_eq(symlink("../place", "source/link"), 0);
    struct copyengine_copy copy = copy_of("source", "place/copy");
    copy.symlinks = COPYENGINE_SYMLINKS_FOLLOW;
    struct copyengine_result result = run(copy);
    cr_expect_eq(result.error.code, EINVAL);
    cr_expect(strstr(result.error.explanation, "leads to the destination"), "%s",
              result.error.explanation);
    cr_expect_eq(access("place/copy", F_OK), -1);
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
