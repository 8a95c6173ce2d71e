/*
 * What a copy keeps beside contents, where a file system cannot have it, or says so in its own way:
 * contents arrive, and what is lost is said. Each test puts itself between the engine and its
 * backend.
 */
#include "tests/unit/engine_hook.h"
#include "tests/unit/engine_warnings.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdatomic.h>
#include <sys/xattr.h>

enum {
    FILES = 40,
    ODD_S = 981173107,  /* 2001 */
    LATE_S = INT32_MAX, /* what a file system of these tests keeps at most: 2038 */
};

TestSuite(engine_attributes, .init = set_up, .fini = tear_down, .timeout = PATIENCE_S);

static void set_xattr(const char *path, const char *name)
{
    if (setxattr(path, name, "x", 1, 0) < 0)
        cr_skip_test("no xattrs here: %s", strerror(errno));
}

static bool has_xattr(const char *path, const char *name)
{
    char value;
    return getxattr(path, name, &value, 1) == 1;
}

static void set_time(const char *path, int64_t seconds)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = seconds, .tv_nsec = 7}};
    cr_assert_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* As copy_tree, of "source" to "copy"; what the manifest says of times and modes is compared with
 * the copy.
 */
static struct told copy_with_manifest(void)
{
    struct told told = {0};
    CLEANUP_CLOSE int fd = open("manifest", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CLEANUP_FREE char *text = calloc(1, 1 << 16);
    char path[256];
    struct copyengine_copy copy = copy_of("source", "copy");
    copy.manifest = true;
    copy.manifest_fd = fd;
    copy.on_warning = note_warning;
    copy.context = &told;
    cr_assert_eq(run(copy).error.code, 0);
    ssize_t length = pread(fd, text, (1 << 16) - 1, 0);
    unsigned records = 0;
    for (const char *at = text; at < text + length; at += strlen(at) + 1) {
        long long seconds;
        mode_t mode;
        char name[128];
        if (sscanf(at, "%*c %o %*u %lld.%*d %*s %127s", &mode, &seconds, name) != 3)
            continue;
        snprintf(path, sizeof(path), "copy/%s", name);
        cr_expect_eq(seconds, status_of(path).st_mtim.tv_sec, "%s", at);
        cr_expect_eq(mode, status_of(path).st_mode & 07777, "%s", at);
        records++;
    }
    cr_expect_gt(records, 1);
    return told;
}

/* --- Extended attributes --------------------------------------------------------------------- */

static int refusal;

static bool refuses_one_xattr(struct io_op *op)
{
    bool answers = op->kind == IO_SET_XATTR && strcmp(op->name, "user.lost") == 0;
    if (answers)
        op->result = -refusal;
    return answers;
}

Test(engine_attributes, an_xattr_that_is_refused_is_named)
{
    static const int codes[] = {ENOSPC, E2BIG, ERANGE, EINVAL, EACCES, EPERM};
    make_files(1);
    set_xattr("source/0", "user.lost");
    set_xattr("source/0", "user.kept");
    set_xattr("source", "user.lost");
    hook_engine(refuses_one_xattr, (struct copyengine_options){0});
    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++) {
        char copy[32];
        char file[64];
        refusal = codes[i];
        snprintf(copy, sizeof(copy), "copy%zu", i);
        snprintf(file, sizeof(file), "%s/0", copy);
        struct told told = copy_tree("source", copy);
        cr_expect_eq(told.count, 2, "%s", strerror(refusal));
        cr_expect(strstr(told.first, "source/0: ") && strstr(told.first, "user.lost"), "%s",
                  told.first);
        cr_expect(has_xattr(file, "user.kept"));
        expect_same("source", copy);
    }
}

/* What is not about the attribute is an error: here, a server that does not answer any more. */
Test(engine_attributes, an_xattr_is_no_reason_to_overlook_errors)
{
    make_files(1);
    set_xattr("source/0", "user.lost");
    refusal = ESTALE;
    hook_engine(refuses_one_xattr, (struct copyengine_options){0});
    cr_expect_eq(run(copy_of("source", "copy")).error.code, ESTALE);
    cr_expect_eq(access("copy", F_OK), -1);
}

/* The owner and somebody may read and write, the group nothing; the mode of such a file is 0660. */
static const struct {
    struct posix_acl_xattr_header head;
    struct posix_acl_xattr_entry entries[5];
} stranger = {{POSIX_ACL_XATTR_VERSION},
              {{ACL_USER_OBJ, 6, UINT32_MAX},
               {ACL_USER, 6, 12345},
               {ACL_GROUP_OBJ, 0, UINT32_MAX},
               {ACL_MASK, 6, UINT32_MAX},
               {ACL_OTHER, 0, UINT32_MAX}}};

/* A file has an ACL that names a user whom this user namespace does not know. */
static bool has_acl_of_a_stranger(struct io_op *op)
{
    static const char name[] = "system.posix_acl_access";
    struct stat status;
    if (op->kind == IO_LIST_XATTR && fstat(op->fd, &status) == 0 && S_ISREG(status.st_mode)) {
        if (op->length >= sizeof(name))
            memcpy(op->data, name, sizeof(name));
        op->result = sizeof(name);
    } else if (op->kind == IO_GET_XATTR) {
        memcpy(op->data, &stranger, sizeof(stranger));
        op->result = sizeof(stranger);
    } else if (op->kind == IO_SET_XATTR) {
        op->result = -EINVAL;
    } else {
        return false;
    }
    return true;
}

Test(engine_attributes, an_acl_that_cannot_be_mapped_is_named)
{
    make_files(1);
    cr_assert_eq(chmod("source/0", 0660), 0);
    cr_assert_eq(link("source/0", "source/again"), 0);
    hook_engine(has_acl_of_a_stranger, (struct copyengine_options){0});
    struct told told = copy_with_manifest();
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "ACL system.posix_acl_access is lost"), "%s", told.first);
    cr_expect(strstr(told.first, "user namespace"), "%s", told.first);
    cr_expect_eq(status_of("copy/0").st_mode & 07777, 0600, "nobody may read what was closed");
    expect_same("source", "copy");
}

/* As rclone: files say EIO, directories that there are none. */
static bool cannot_list_xattrs(struct io_op *op)
{
    struct stat status;
    if (op->kind != IO_LIST_XATTR || fstat(op->fd, &status) < 0)
        return false;
    op->result = S_ISREG(status.st_mode) ? -EIO : -EOPNOTSUPP;
    return true;
}

Test(engine_attributes, xattrs_that_cannot_be_read_are_said_once)
{
    make_files(FILES);
    hook_engine(cannot_list_xattrs, (struct copyengine_options){0});
    struct told told = copy_tree("source", "copy");
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "cannot be read"), "%s", told.first);
    expect_same("source", "copy");
}

/* A mount inside the tree that has no xattrs: it says nothing of the rest. */
static bool some_have_no_xattrs(struct io_op *op)
{
    struct stat status;
    bool answers = op->kind == IO_LIST_XATTR && fstat(op->fd, &status) == 0 &&
                   status.st_size == (off_t)strlen("odd");
    if (answers)
        op->result = -EOPNOTSUPP;
    return answers;
}

Test(engine_attributes, one_file_without_xattrs_costs_no_other_its_own)
{
    char name[32];
    make_files(FILES);
    for (int i = 0; i < FILES; i += 2) {
        snprintf(name, sizeof(name), "source/%d", i);
        set_xattr(name, "user.kept");
    }
    hook_engine(some_have_no_xattrs, (struct copyengine_options){0});
    copy_tree("source", "copy");
    for (int i = 0; i < FILES; i += 2) {
        snprintf(name, sizeof(name), "copy/%d", i);
        cr_expect(has_xattr(name, "user.kept"), "%s", name);
    }
}

/* --- What is known of file systems ----------------------------------------------------------- */

static atomic_uint clones;
static bool clones_nothing;

static bool counts_clones(struct io_op *op)
{
    if (op->kind != IO_CLONE)
        return false;
    atomic_fetch_add(&clones, 1);
    op->result = clones_nothing ? -EOPNOTSUPP : -ENOSPC; /* -ENOSPC: says nothing of the next */
    return true;
}

/* A number that was unmounted means another file system the next time. */
Test(engine_attributes, what_was_learned_ends_with_the_job)
{
    make_files(FILES);
    hook_engine(counts_clones, (struct copyengine_options){0});
    clones_nothing = true;
    copy_tree("source", "copy");
    cr_expect_lt(clones, FILES);
    clones = 0;
    clones_nothing = false;
    copy_tree("source", "again");
    cr_expect_eq(clones, FILES);
}

/* Odd files are on another file system, between which and the destination nothing is shared. */
static bool has_a_mount_inside(struct io_op *op)
{
    struct stat status;
    if (op->kind == IO_STAT) {
        struct statx *found = op->data;
        io_call(op);
        if (op->result == 0 && S_ISREG(found->stx_mode) && found->stx_size == strlen("odd"))
            found->stx_mnt_id++;
        return true;
    }
    if (op->kind != IO_CLONE || fstat(op->fd, &status) < 0)
        return false;
    atomic_fetch_add(&clones, 1);
    op->result = status.st_size == (off_t)strlen("odd") ? -EXDEV : -ENOSPC;
    return true;
}

Test(engine_attributes, a_mount_inside_speaks_for_itself)
{
    make_files(FILES);
    hook_engine(has_a_mount_inside, (struct copyengine_options){0});
    copy_tree("source", "copy");
    cr_expect_eq(clones, FILES);
    expect_same("source", "copy");
}

/* --- Times ----------------------------------------------------------------------------------- */

/* As bindfs: what it does not understand, it does not do. */
static bool omits_what_it_should_not(struct io_op *op)
{
    const struct timespec *times = op->data;
    bool omits = op->kind == IO_SET_TIMES &&
                 (times[0].tv_nsec == UTIME_OMIT || times[1].tv_nsec == UTIME_OMIT);
    if (omits)
        op->result = 0;
    return omits;
}

Test(engine_attributes, both_times_are_set)
{
    make_files(1);
    cr_assert_eq(symlink("0", "source/link"), 0);
    set_time("source/0", ODD_S);
    set_time("source/link", ODD_S + 1);
    set_time("source", ODD_S + 2);
    hook_engine(omits_what_it_should_not, (struct copyengine_options){0});
    cr_expect_eq(copy_tree("source", "copy").count, 0);
    cr_expect_eq(status_of("copy/0").st_mtim.tv_sec, ODD_S);
    cr_expect_eq(status_of("copy/0").st_mtim.tv_nsec, 7);
    cr_expect_eq(status_of("copy/link").st_mtim.tv_sec, ODD_S + 1);
    cr_expect_eq(status_of("copy").st_mtim.tv_sec, ODD_S + 2);
    cr_expect_gt(status_of("copy/0").st_atim.tv_sec, ODD_S, "it was made just now");
}

static int64_t (*keeps)(int64_t seconds);

static bool keeps_other_times(struct io_op *op)
{
    if (op->kind != IO_SET_TIMES)
        return false;
    struct timespec *times = op->data;
    times[1].tv_sec = keeps(times[1].tv_sec);
    io_call(op);
    return true;
}

static int64_t at_most(int64_t seconds)
{
    return MIN(seconds, (int64_t)LATE_S);
}

static int64_t even(int64_t seconds)
{
    return seconds / 2 * 2;
}

/* Files, links, and second names of both, at times before and after what can be kept. */
static void make_times(void)
{
    make_files(FILES);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "source/%d", i);
        set_time(name, i % 2 ? 4102444801 : ODD_S + i); /* 2100 */
    }
    cr_assert_eq(mkdir("source/d", 0755), 0);
    cr_assert_eq(symlink("0", "source/link"), 0);
    set_time("source/link", 4102444801);
    cr_assert_eq(link("source/1", "source/d/1"), 0);
    cr_assert_eq(link("source/0", "source/d/0"), 0);
    cr_assert_eq(linkat(AT_FDCWD, "source/link", AT_FDCWD, "source/link2", 0), 0);
}

Test(engine_attributes, the_manifest_has_the_times_that_were_kept)
{
    make_times();
    keeps = at_most;
    hook_engine(keeps_other_times, (struct copyengine_options){0});
    struct told told = copy_with_manifest();
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "modification time"), "%s", told.first);
    cr_expect_eq(status_of("copy/1").st_mtim.tv_sec, LATE_S);
}

Test(engine_attributes, the_manifest_has_even_seconds)
{
    make_times();
    keeps = even;
    hook_engine(keeps_other_times, (struct copyengine_options){0});
    cr_expect_eq(copy_with_manifest().count, 1);
}

static bool refuses_times(struct io_op *op)
{
    if (op->kind == IO_SET_TIMES)
        op->result = -refusal;
    return op->kind == IO_SET_TIMES;
}

Test(engine_attributes, times_that_are_refused_are_said_once)
{
    make_times();
    refusal = EPERM;
    hook_engine(refuses_times, (struct copyengine_options){0});
    cr_expect_eq(copy_with_manifest().count, 1);
    expect_same("source", "copy");
}

/* Nobody asks for the time of each file where it is kept. */
static atomic_uint stats_of_copies;

static bool counts_stats_of_copies(struct io_op *op)
{
    struct stat status;
    if (op->kind == IO_STAT && !op->name && fstat(op->fd, &status) == 0 &&
        (fcntl(op->fd, F_GETFL) & O_ACCMODE) == O_RDWR)
        atomic_fetch_add(&stats_of_copies, 1);
    return false;
}

Test(engine_attributes, times_that_are_kept_cost_nothing)
{
    make_files(FILES);
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof(name), "source/%d", i);
        set_time(name, ODD_S);
    }
    hook_engine(counts_stats_of_copies, (struct copyengine_options){.in_flight = 1});
    cr_expect_eq(copy_tree("source", "copy").count, 0);
    cr_expect_leq(stats_of_copies, 2);
}

/* As ntfs-3g: whatever is asked for, all may do all. */
static bool keeps_no_modes(struct io_op *op)
{
    static const mode_t kinds[] = {[IO_OPEN] = 0666, [IO_MAKE_DIR] = 0777, [IO_SET_MODE] = 0};
    struct stat status;
    if (op->kind == IO_SET_MODE && fstat(op->fd, &status) == 0)
        op->mode = S_ISDIR(status.st_mode) ? 0777 : 0666;
    else if (op->kind == IO_MAKE_DIR || (op->kind == IO_OPEN && op->flags & O_CREAT))
        op->mode = kinds[op->kind];
    return false;
}

Test(engine_attributes, the_manifest_has_the_modes_that_were_kept)
{
    make_files(FILES);
    cr_assert_eq(mkdir("source/d", 0700), 0);
    cr_assert_eq(link("source/0", "source/d/0"), 0);
    hook_engine(keeps_no_modes, (struct copyengine_options){0});
    struct told told = copy_with_manifest();
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "does not keep modes"), "%s", told.first);
    cr_expect_eq(status_of("copy/1").st_mode & 07777, 0666);
    expect_same("source", "copy");
}

static bool refuses_modes(struct io_op *op)
{
    if (op->kind == IO_SET_MODE)
        op->result = -EPERM;
    return op->kind == IO_SET_MODE;
}

Test(engine_attributes, modes_that_are_refused_end_no_copy)
{
    make_files(1);
    cr_assert_eq(mkdir("source/d", 0500), 0);
    cr_assert_eq(mkdir("source/d/e", 0555), 0);
    hook_engine(refuses_modes, (struct copyengine_options){0});
    cr_expect_eq(copy_with_manifest().count, 1);
    cr_expect_eq(status_of("copy/d").st_mode & 07777, 0700);
}

/* --- Warnings -------------------------------------------------------------------------------- */

/* As a gluster volume of which a brick is down. */
Test(engine_attributes, a_directory_that_nobody_may_read_is_named)
{
    if (geteuid() != 0)
        cr_skip_test("only root can read it");
    make_files(1);
    cr_assert_eq(mkdir("source/d", 0755), 0);
    cr_assert_eq(chmod("source/d", 0), 0);
    struct told told = copy_tree("source", "copy");
    cr_expect_eq(told.count, 1);
    cr_expect(strstr(told.first, "source/d: ") && strstr(told.first, "mode 0"), "%s", told.first);
}

Test(engine_attributes, the_last_of_many_warnings_are_counted)
{
    char name[32];
    make_files(1);
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof(name), "source/fifo%d", i);
        cr_assert_eq(mkfifo(name, 0600), 0);
    }
    struct told told = copy_tree("source", "copy");
    cr_expect_eq(told.count, 101);
    cr_expect_str_eq(told.last, "source: 50 more warnings are not shown");
}
