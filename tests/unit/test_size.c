/* Sizes of payloads: counted whatever the tree is like, and kept only where they can be believed.
 */
#include "tests/unit/place.h"

#include "cache/store/size.h"
#include "cache/util/descent.h"

#include "engine/compiler.h"
#include "engine/own_directory.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { NOBODY = 65534 };

static char place[PLACE_BYTES];
static int place_fd;

static void set_up(void)
{
    cr_assert_not_null(place_make_for_copies(place));
    place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(place_fd >= 0);
}

static void tear_down(void)
{
    char command[PLACE_BYTES + 16];
    close(place_fd);
    snprintf(command, sizeof(command), "rm -rf '%s'", place);
    cr_expect_eq(system(command), 0);
}

TestSuite(size, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static void make_file(int dirfd, const char *name, const char *text, mode_t mode)
{
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
}

/* A tree of so many levels, a file of one byte in each. */
static void make_deep(const char *root, const char *name, int levels)
{
    cr_assert_eq(mkdirat(place_fd, root, 0755), 0);
    int fd = openat(place_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < levels; i++) {
        make_file(fd, "file", "1", 0644);
        cr_assert_eq(mkdirat(fd, name, 0755), 0);
        int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(below >= 0);
        close(fd);
        fd = below;
    }
    close(fd);
}

static struct size count(const char *name, int expected)
{
    struct size size;
    cr_expect_eq(size_count(place_fd, name, &size), expected);
    return size;
}

Test(size, of_a_tree_deeper_than_a_path)
{
    make_deep("a", "a-directory-with-quite-a-long-name", 200);
    struct size size = count("a", 0);
    cr_expect(size.bytes == 200 && size.files == 200);
}

Test(size, of_a_tree_deeper_than_there_are_descriptors)
{
    const struct rlimit few = {.rlim_cur = 20, .rlim_max = 20};
    make_deep("a", "d", 300);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct size size = count("a", 0);
    cr_expect(size.bytes == 300 && size.files == 300);
}

Test(size, of_many_directories_beside_each_other)
{
    char name[16];
    cr_assert_eq(mkdirat(place_fd, "a", 0755), 0);
    CLEANUP_CLOSE int fd = openat(place_fd, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "a/%d", i);
        make_deep(name, "d", i % 5);
    }
    symlinkat("/", fd, "link");
    struct size size = count("a", 0);
    cr_expect_eq(size.files, (uint64_t)10 * (0 + 1 + 2 + 3 + 4));
}

Test(size, holes_do_not_count)
{
    cr_assert_eq(mkdirat(place_fd, "a", 0755), 0);
    make_file(place_fd, "a/hole", "1", 0644);
    CLEANUP_CLOSE int fd = openat(place_fd, "a/hole", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(ftruncate(fd, 1LL << 40), 0);
    make_file(place_fd, "a/empty", "", 0644);
    CLEANUP_CLOSE int empty_fd = openat(place_fd, "a/empty", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(ftruncate(empty_fd, 1LL << 40), 0);
    cr_expect_lt(count("a", 0).bytes, 1 << 20);
}

Test(size, of_what_cannot_be_read_is_not_kept)
{
    struct size size;
    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert_eq(fchown(place_fd, NOBODY, NOBODY), 0);
    cr_assert_eq(seteuid(NOBODY), 0);
    make_deep("a", "d", 3);
    make_file(place_fd, "a.json", "{}", 0644);
    cr_assert_eq(fchmodat(place_fd, "a/d/d", 0, 0), 0);
    cr_expect_eq(count("a", 1).files, 2);
    cr_expect_eq(size_find(place_fd, "a", &size), 0);
    CLEANUP_CLOSE int fd = openat(place_fd, "a.json", O_RDONLY | O_CLOEXEC);
    cr_expect_eq(size_kept(fd, &size), -ENODATA);
    cr_assert_eq(fchmodat(place_fd, "a/d/d", 0755, 0), 0);
    cr_expect_eq(size_find(place_fd, "a", &size), 0);
    cr_expect_eq(size_kept(fd, &size), 0);
    cr_expect_eq(size.files, 3);
    cr_assert_eq(seteuid(0), 0);
}

static uint64_t trusted_files(int fd)
{
    struct size size;
    const struct size forged = {.bytes = 1000000, .files = 1000};
    cr_assert_eq(size_keep(fd, &forged), 0);
    cr_assert_eq(size_find_trusted(place_fd, "a", fd, &size), 0);
    return size.files;
}

Test(size, of_others_is_not_believed)
{
    struct size size;
    make_deep("a", "d", 3);
    make_file(place_fd, "a.json", "{}", 0644);
    CLEANUP_CLOSE int fd = openat(place_fd, "a.json", O_RDONLY | O_CLOEXEC);
    cr_expect_eq(trusted_files(fd), 1000, "its own");
    cr_assert_eq(fchmod(fd, 0664), 0);
    cr_expect_eq(trusted_files(fd), 3, "a group can write it");
    cr_assert_eq(fchmod(fd, 0644), 0);
    cr_assert_eq(linkat(place_fd, "a.json", place_fd, "other", 0), 0);
    cr_expect_eq(trusted_files(fd), 3, "it may be another slot's");
    cr_assert_eq(unlinkat(place_fd, "other", 0), 0);
    if (geteuid() == 0) {
        cr_assert_eq(fchown(fd, NOBODY, NOBODY), 0);
        cr_expect_eq(trusted_files(fd), 3, "another user's");
    }
    size = (struct size){.bytes = INT64_MAX, .files = 1};
    cr_assert_eq(size_keep(fd, &size), 0);
    cr_expect_eq(size_kept(fd, &size), -EBADMSG, "larger than the file system");
}

/* A directory that is exchanged for a link while the tree is walked is not followed. */
static void exchange(void *context, const struct stat *status)
{
    (void)status;
    if (*(int *)context > 0)
        return;
    ++*(int *)context;
    cr_assert_eq(renameat(place_fd, "a/d", place_fd, "away"), 0);
    cr_assert_eq(symlinkat("/usr", place_fd, "a/d"), 0);
}

Test(size, follows_no_link_that_is_put_in_between)
{
    int visited = 0;
    make_deep("a", "d", 3);
    cr_expect_eq(descent_visit(place_fd, "a", exchange, &visited), 1);
    cr_expect_eq(visited, 1);
}

Test(size, modes_are_added_to_own_directories_only)
{
    struct stat status;
    cr_assert_eq(mkdirat(place_fd, "own", 0), 0);
    cr_expect_eq(own_directory_add_mode(place_fd, "own", S_IRWXU), 0);
    cr_assert_eq(fstatat(place_fd, "own", &status, 0), 0);
    cr_expect_eq(status.st_mode & 07777, 0700);
    cr_assert_eq(fchmodat(place_fd, "own", 0500, 0), 0);
    cr_assert_eq(symlinkat("own", place_fd, "link"), 0);
    cr_expect_eq(own_directory_add_mode(place_fd, "link", S_IRWXU), -ENOTDIR);
    make_file(place_fd, "file", "", 0400);
    cr_expect_eq(own_directory_add_mode(place_fd, "file", S_IRWXU), -ENOTDIR);
    if (geteuid() == 0) {
        cr_assert_eq(fchownat(place_fd, "own", NOBODY, NOBODY, 0), 0);
        cr_expect_eq(own_directory_add_mode(place_fd, "own", S_IRWXU), -EACCES);
    }
    cr_assert_eq(fstatat(place_fd, "own", &status, 0), 0);
    cr_expect_eq(status.st_mode & 07777, 0500);
}
