/*
 * The user's groups are what the user database says. A user who is not in it gets none, and as the
 * group ID that of "nobody's": which groups the user's files have proves nothing, since a file
 * takes its group from a directory with the set-group-ID bit.
 *
 * Only root may do this: others could not become somebody else.
 */
#include "cache/util/as_user.h"

#include "engine/compiler.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
    NO_GROUP = 65534, /* the kernel's overflow group ID */
    PASSWD_BYTES = 65536,
    GROUPS_MAX = 65536, /* the kernel's NGROUPS_MAX */
    REAP_MS = 5,
    REAP_MAX_MS = 2000, /* a process may hang in a system call that no signal ends */
};

/* The groups of a user whom the database knows. Returns how many, or -errno. */
static int list_groups(const struct passwd *entry, gid_t *groups)
{
    int count = GROUPS_MAX;
    return getgrouplist(entry->pw_name, entry->pw_gid, groups, &count) < 0 ? -E2BIG : count;
}

int as_user_find_groups(uid_t uid, gid_t **ret_groups, size_t *ret_count)
{
    struct passwd entry;
    struct passwd *found = NULL;
    CLEANUP_FREE char *strings = malloc(PASSWD_BYTES);
    CLEANUP_FREE gid_t *groups = calloc(1 + GROUPS_MAX, sizeof(gid_t));
    if (!strings || !groups)
        return -ENOMEM;
    int code = getpwuid_r(uid, &entry, strings, PASSWD_BYTES, &found);
    if (!found && (code == ENOMEM || code == EMFILE || code == ENFILE))
        return -code; /* the other codes mean that there is none, see getpwuid(3) */
    groups[0] = found ? entry.pw_gid : NO_GROUP;
    int count = found ? list_groups(&entry, groups + 1) : 0;
    if (count < 0)
        return count;
    *ret_count = 1 + (size_t)count;
    *ret_groups = STEAL(groups);
    return 0;
}

/* In the child. Returns 0 or an errno value. */
static int become(uid_t uid, const gid_t *groups, size_t count)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (setgroups(count - 1, groups + 1) < 0 || setresgid(groups[0], groups[0], groups[0]) < 0 ||
        setresuid(uid, uid, uid) < 0 || syscall(SYS_capset, &header, none) < 0 ||
        prctl(PR_SET_DUMPABLE, 0) < 0)
        return errno;
    return 0;
}

/* Kernels before 5.9 leave what we inherited open; it is closed by the end of the child. */
static void close_all_but(int fd)
{
    if (fd > STDERR_FILENO + 1)
        (void)syscall(SYS_close_range, STDERR_FILENO + 1U, (unsigned)fd - 1, 0);
    (void)syscall(SYS_close_range, (unsigned)fd + 1, ~0U, 0);
}

int as_user_start(uid_t uid, void (*run)(void *context, int error, int socket), void *context,
                  struct as_user *ret)
{
    int sockets[2];
    sigset_t all;
    sigset_t before;
    CLEANUP_FREE gid_t *groups = NULL;
    size_t count = 0;
    int result = as_user_find_groups(uid, &groups, &count);
    if (result == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        result = -errno;
    if (result < 0)
        return result;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        close_all_but(sockets[1]);
        run(context, become(uid, groups, count), sockets[1]);
        _exit(0);
    }
    result = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(sockets[1]);
    if (result < 0)
        close(sockets[0]);
    else
        *ret = (struct as_user){.pid = pid, .socket = sockets[0]};
    return result;
}

void as_user_cancel(const struct as_user *child)
{
    shutdown(child->socket, SHUT_WR);
}

void as_user_end(struct as_user *child)
{
    cleanup_close_fd(&child->socket);
    kill(child->pid, SIGKILL);
    for (int waited_ms = 0; waited_ms < REAP_MAX_MS; waited_ms += REAP_MS) {
        pid_t pid = waitpid(child->pid, NULL, WNOHANG);
        if (pid == child->pid || (pid < 0 && errno != EINTR))
            return; /* or somebody else takes the statuses of our children */
        poll(NULL, 0, REAP_MS);
    }
}
