/* Leaving whoever started a daemon: what they have open, and where they stand. */
#include "tests/unit/place.h"

#include "cli/leave.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FIRST = 100, COUNT = 20, KEPT = FIRST + 7, UNTESTED = 77 };

/* As if the kernel were older than 5.9. */
static bool forbid_close_range(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = ARRAY_LENGTH(code), .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* How many descriptors are not as they should be. */
static int count_wrong(int kept)
{
    int wrong = 0;
    for (int fd = FIRST; fd < FIRST + COUNT; fd++)
        if (dup2(STDERR_FILENO, fd) != fd)
            return COUNT;
    leave_descriptors(kept);
    for (int fd = 0; fd < FIRST + COUNT; fd++)
        wrong += (fcntl(fd, F_GETFD) >= 0) != (fd <= STDERR_FILENO || fd == kept);
    return wrong;
}

/* In a process of its own: Criterion's descriptors are to stay. */
static void expect_closed(bool forbidden, int kept)
{
    int status;
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0)
        _exit(forbidden && !forbid_close_range() ? UNTESTED : count_wrong(kept));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == UNTESTED)
        cr_skip_test("no seccomp filters here");
    cr_expect_eq(WEXITSTATUS(status), 0, "%d wrong", WEXITSTATUS(status));
}

Test(leave, closes_descriptors)
{
    expect_closed(false, -1);
    expect_closed(false, KEPT);
    expect_closed(false, FIRST);
}

Test(leave, closes_descriptors_one_by_one)
{
    expect_closed(true, -1);
    expect_closed(true, KEPT);
}

/* Paths in variables stay what they were; each case runs in a process of its own. */
Test(leave, paths_keep_their_meaning)
{
    char place[PLACE_BYTES];
    char here[4096];
    char expected[3 * sizeof(here)];
    CLEANUP_FREE char *directory = NULL;
    cr_assert_not_null(place_make(place));
    cr_assert_eq(chdir(place), 0);
    cr_assert_not_null(getcwd(here, sizeof(here)));
    setenv("REZ_CONFIG_FILE", "a.yaml::/etc/b.yaml:../c.yaml:", 1);
    setenv("PKGCACHE_DIR", "/cache", 1);
    setenv("PKGCACHE_SOCKET", "", 1);
    setenv("PKGCACHE_REZ_PYTHON", "python3", 1);
    unsetenv("PKGCACHE_LOCAL_PATH");
    cr_assert_eq(leave_directory(&directory), 0);
    cr_assert_eq(rmdir(place), 0);
    cr_expect_str_eq(directory, here);
    snprintf(expected, sizeof(expected), "%s/a.yaml::/etc/b.yaml:%s/../c.yaml:", here, here);
    cr_expect_str_eq(getenv("REZ_CONFIG_FILE"), expected);
    cr_expect_str_eq(getenv("PKGCACHE_DIR"), "/cache");
    cr_expect_str_eq(getenv("PKGCACHE_SOCKET"), "");
    cr_expect_str_eq(getenv("PKGCACHE_REZ_PYTHON"), "python3");
    cr_expect_null(getenv("PKGCACHE_LOCAL_PATH"));
    cr_expect_str_eq(getcwd(here, sizeof(here)), "/");
}

Test(leave, a_directory_that_is_gone)
{
    char place[PLACE_BYTES];
    char *directory = NULL;
    CLEANUP_FREE char *relative = strdup("cache");
    CLEANUP_FREE char *home = strdup("~/cache");
    CLEANUP_FREE char *absolute = strdup("/cache");
    unsetenv("REZ_CONFIG_FILE");
    cr_assert_not_null(place_make(place));
    cr_assert_eq(chdir(place), 0);
    cr_assert_eq(rmdir(place), 0);
    setenv("PKGCACHE_DIR", "cache", 1);
    cr_expect_eq(leave_directory(&directory), -ENOENT);
    setenv("PKGCACHE_DIR", "/cache", 1);
    cr_expect_eq(leave_directory(&directory), 0);
    cr_expect_null(directory);
    cr_expect_eq(leave_resolve(NULL, &absolute), 0);
    cr_expect_eq(leave_resolve(NULL, &relative), -ENOENT);
    cr_expect_str_eq(relative, "cache");
    cr_expect_eq(leave_resolve("/here", &relative), 0);
    cr_expect_str_eq(relative, "/here/cache");
    cr_expect_eq(leave_resolve("/here", &home), 0);
    cr_expect_str_eq(home, "/here/~/cache");
}
