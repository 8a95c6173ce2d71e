/*
 * Links of a copy, hard and symbolic, where a file system has them in its own way. Some tests put
 * themselves between the engine and its backend.
 */
#include "tests/unit/engine_hook.h"
#include "tests/unit/engine_warnings.h"

TestSuite(engine_links, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

Test(engine_links, symbolic_links_have_several_names)
{
    make_files(1);
    cr_assert_eq(mkdir("source/d", 0755), 0);
    cr_assert_eq(symlink("../source/0", "source/link"), 0); /* leaves the tree, and comes back */
    cr_assert_eq(linkat(AT_FDCWD, "source/link", AT_FDCWD, "source/same", 0), 0);
    cr_assert_eq(linkat(AT_FDCWD, "source/link", AT_FDCWD, "source/d/below", 0), 0);
    struct copyengine_copy copy = copy_of("source", "kept");
    copy.symlinks = COPYENGINE_SYMLINKS_PRESERVE;
    cr_assert_eq(run(copy).error.code, 0);
    cr_expect_eq(status_of("kept/link").st_nlink, 3);
    cr_expect_eq(status_of("kept/link").st_ino, status_of("kept/d/below").st_ino);

    copy_tree("source", "copy"); /* what they say depends on where they are */
    char target[64] = "";
    cr_expect_eq(status_of("copy/link").st_ino, status_of("copy/same").st_ino);
    cr_expect_neq(status_of("copy/link").st_ino, status_of("copy/d/below").st_ino);
    cr_expect_gt(readlink("copy/link", target, sizeof(target) - 1), 0);
    cr_expect_str_eq(target, "0");
}

/* Two file systems that are shown as one: all files have the same inode. */
static bool has_one_inode(struct io_op *op)
{
    if (op->kind != IO_STAT)
        return false;
    struct statx *found = op->data;
    io_call(op);
    if (op->result == 0 && !S_ISDIR(found->stx_mode)) {
        found->stx_ino = 4711;
        found->stx_nlink = 2;
    }
    return true;
}

Test(engine_links, the_same_inode_is_not_the_same_file)
{
    make_files(2);
    cr_assert_eq(mkdir("source/d", 0755), 0);
    cr_assert_eq(link("source/0", "source/d/0"), 0);
    cr_assert_eq(link("source/1", "source/d/1"), 0);
    cr_assert_eq(symlink("0", "source/link"), 0);
    cr_assert_eq(symlink("nowhere", "source/other"), 0);
    hook_engine(has_one_inode, (struct copyengine_options){0});
    copy_tree("source", "copy");
    expect_same("source", "copy");
    cr_expect_eq(status_of("copy/0").st_ino, status_of("copy/d/0").st_ino);
    cr_expect_neq(status_of("copy/0").st_ino, status_of("copy/1").st_ino);
}

static int refusal;

static bool makes_no_more_links(struct io_op *op)
{
    if (op->kind == IO_HARD_LINK)
        op->result = -refusal;
    return op->kind == IO_HARD_LINK;
}

Test(engine_links, names_that_cannot_be_linked_are_files)
{
    static const int codes[] = {EMLINK, ENOSYS, EOPNOTSUPP, EPERM};
    make_files(1);
    cr_assert_eq(symlink("0", "source/link"), 0);
    cr_assert_eq(link("source/0", "source/again"), 0);
    cr_assert_eq(linkat(AT_FDCWD, "source/link", AT_FDCWD, "source/link2", 0), 0);
    hook_engine(makes_no_more_links, (struct copyengine_options){0});
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        char copy[32];
        refusal = codes[i];
        snprintf(copy, sizeof(copy), "copy%zu", i);
        copy_tree("source", copy);
        expect_same("source", copy);
    }
}

#define LEVEL "a-directory-with-quite-a-long-name" /* of make_deep */

/* Opens what is so many levels down. By descriptors: threads of the engine take the working
 * directory over when they begin, and jobs have relative paths. */
static int open_down(const char *directory, int levels)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < levels; i++) {
        int below = openat(fd, LEVEL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(fd >= 0 && below >= 0);
        close(fd);
        fd = below;
    }
    return fd;
}

static void expect_target(int dirfd, const char *link, const char *expected)
{
    char found[PATH_MAX] = "";
    cr_expect_gt(readlinkat(dirfd, link, found, sizeof(found) - 1), 0);
    cr_expect_str_eq(found, expected);
}

/* Links in a directory whose path is longer than paths may be. Where they lead is not. */
Test(engine_links, a_deep_link_leads_to_the_same_place)
{
    enum { LEVELS = 150 };
    char target[3 * LEVELS + 64] = "";
    char expected[PATH_MAX];
    make_deep("source", LEVELS, 0755);
    make_file("outside", "outside", 0644);
    cr_assert_not_null(realpath("outside", expected));
    for (int i = 0; i < LEVELS; i++) /* one of them leaves the tree */
        strcat(target, "../");
    CLEANUP_CLOSE int source_fd = open_down("source", LEVELS - 1);
    cr_assert_eq(symlinkat(strcat(target, "outside"), source_fd, "link"), 0);
    cr_assert_eq(symlinkat(strcat(target, "-and-nowhere"), source_fd, "dangling"), 0);
    cr_expect_eq(copy_tree("source", "copy").count, 0);
    CLEANUP_CLOSE int copy_fd = open_down("copy", LEVELS - 1);
    expect_target(copy_fd, "link", expected);
    expect_target(copy_fd, "dangling", target);
}

/* A way from one place far down to another is too long for a link. */
Test(engine_links, a_link_that_cannot_say_where_it_leads_is_named)
{
    enum { LEVELS = 150, TARGET_LEVELS = 110 };
    char target[PATH_MAX];
    cr_assert_eq(mkdir("source", 0755), 0);
    make_deep("source/a", LEVELS, 0755);
    make_deep("source/b", LEVELS, 0755);
    char *end = stpcpy(stpcpy(target, place), "/source/b");
    for (int i = 0; i < TARGET_LEVELS; i++)
        end = stpcpy(end, "/" LEVEL);
    CLEANUP_CLOSE int source_fd = open_down("source/a", LEVELS);
    cr_assert_eq(symlinkat(target, source_fd, "link"), 0);
    struct told told = copy_tree("source", "copy");
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "/link: the link leads elsewhere"), "%s", told.first);
    CLEANUP_CLOSE int copy_fd = open_down("copy/a", LEVELS);
    expect_target(copy_fd, "link", target);
}

static bool lets_no_link_be_read(struct io_op *op)
{
    bool reads = op->kind == IO_READ_LINK ||
                 (op->kind == IO_STAT && op->name && !(op->flags & AT_SYMLINK_NOFOLLOW));
    bool answers = reads && strcmp(op->name, "closed") == 0;
    if (answers)
        op->result = -EPERM;
    return answers;
}

/* As sshfs answers, for links that are absolute or have "..". */
Test(engine_links, a_link_that_cannot_be_read_is_named_and_left_out)
{
    make_files(1);
    cr_assert_eq(symlink("/nowhere", "source/closed"), 0);
    cr_assert_eq(symlink("0", "source/open"), 0);
    hook_engine(lets_no_link_be_read, (struct copyengine_options){0});
    struct told told = copy_tree("source", "copy");
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "source/closed: not copied"), "%s", told.first);
    cr_expect(strstr(told.first, "no_contain_symlinks"), "%s", told.first);
    cr_expect_eq(status_of("copy/open").st_mode & S_IFMT, S_IFLNK);
    cr_expect_eq(faccessat(AT_FDCWD, "copy/closed", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    struct copyengine_copy copy = copy_of("source", "followed");
    copy.symlinks = COPYENGINE_SYMLINKS_FOLLOW;
    cr_expect_eq(run(copy).error.code, 0);
    cr_expect_eq(status_of("followed/open").st_mode & S_IFMT, S_IFREG);
    cr_expect_eq(access("followed/closed", F_OK), -1);
}
