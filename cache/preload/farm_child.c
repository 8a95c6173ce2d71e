/* posix_spawn(3): with files for a launcher that is to outlive us, with pipes for a helper. */
#include "cache/preload/farm_child.h"

#include "cache/owner/owner.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

enum {
    ERRORS_MAX_BYTES = 64 << 10,
    NAME_MAX_BYTES = 128,
};

#define OWNER_SUFFIX ".owner" /* behind an output's name: which process holds its lock */

/*
 * The launcher's environment: this one's, without what would change a job that is not about us.
 * Slurm's variables tell srun to be a step of the job that we may run in; ours are this host's
 * settings, and a node has its own.
 */
static char **make_environment(void)
{
    size_t count = 0;
    for (char **variable = environ; *variable; variable++)
        count++;
    char **kept = calloc(count + 1, sizeof(*kept));
    size_t length = 0;
    for (char **variable = environ; kept && *variable; variable++) {
        bool is_slurm = strncmp(*variable, "SLURM", strlen("SLURM")) == 0 &&
                        strncmp(*variable, "SLURM_CONF=", strlen("SLURM_CONF=")) != 0;
        if (!is_slurm && strncmp(*variable, "PKGCACHE_", strlen("PKGCACHE_")) != 0)
            kept[length++] = *variable;
    }
    return kept;
}

static int set_streams(posix_spawn_file_actions_t *actions, const int streams[3])
{
    int result = 0;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && result == 0; fd++)
        result = posix_spawn_file_actions_adddup2(actions, streams[fd], fd);
    return result;
}

/* A session of its own: the terminal's Ctrl-C is not for it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

/* The streams are above 2. Returns 0 or an errno value. */
static int spawn(const struct farm_arguments *arguments, const int streams[3], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    CLEANUP_FREE char **environment = make_environment();
    if (!environment || arguments->error < 0)
        return ENOMEM;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (result == 0) {
        result = set_streams(&actions, streams);
        if (result == 0)
            result = set_attributes(&attributes);
        if (result == 0)
            result = posix_spawnp(ret_pid, arguments->items[0], &actions, &attributes,
                                  arguments->items, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

static int fail_to_start(const struct farm_arguments *arguments, int code,
                         struct pkgcache_error *error)
{
    const char *program = arguments->count > 0 ? arguments->items[0] : "a program";
    if (code == ENOENT)
        return error_set(error, ENOENT, "%s is not there: install it, or add its directory to PATH",
                         program);
    return error_set(error, code, "cannot start %s: %s", program, strerror(code));
}

/* Without it the program still runs, and ends by itself: what goes wrong is not told. */
static void write_owner(int directory, const char *output, pid_t pid)
{
    struct owner self;
    struct owner owner;
    char name[NAME_MAX_BYTES];
    char text[OWNER_TEXT_MAX];
    CLEANUP_CLOSE int fd = -1;
    owner_of_this_process(&self);
    if (owner_of_process(pid, &self, &owner) < 0)
        return;
    owner_format(&owner, text);
    snprintf(name, sizeof(name), "%s" OWNER_SUFFIX, output);
    file_make(directory, name, text, &fd);
}

int farm_child_start(const struct farm_arguments *arguments, int directory, const char *input,
                     const char *output, const char *errors, pid_t *ret_pid,
                     struct pkgcache_error *ret_error)
{
    int make = O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC;
    CLEANUP_CLOSE int in = openat(directory, input, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return error_set(ret_error, errno, "%s: %s", input, strerror(errno));
    CLEANUP_CLOSE int out = openat(directory, output, make, 0600);
    if (out < 0 || flock(out, LOCK_EX | LOCK_NB) < 0)
        return error_set(ret_error, errno, "%s: %s", output, strerror(errno));
    CLEANUP_CLOSE int err = openat(directory, errors, make, 0600);
    if (err < 0)
        return error_set(ret_error, errno, "%s: %s", errors, strerror(errno));
    const int streams[3] = {in, out, err};
    int code = spawn(arguments, streams, ret_pid);
    if (code != 0)
        return fail_to_start(arguments, code, ret_error);
    write_owner(directory, output, *ret_pid);
    return 0;
}

int farm_child_runs(int directory, const char *output)
{
    CLEANUP_CLOSE int fd = file_open(directory, output, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? 1 : -errno;
}

/* The process that was written down, if it is still that one. 0: it is not. */
static pid_t find_owner(int directory, const char *name, const struct owner *self)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_CLOSE int fd = -1;
    struct owner written;
    struct owner now;
    if (file_open_regular(directory, name, &fd, NULL) < 0 ||
        file_read(fd, OWNER_TEXT_MAX, &text, NULL) < 0 ||
        owner_parse(text.bytes ? text.bytes : "", text.length, &written) < 0 ||
        owner_of_process(written.pid, self, &now) < 0)
        return 0;
    return owner_is_same(&written, &now) ? now.pid : 0;
}

/* All processes of a session: GNU parallel gives each of its jobs a group of its own. */
static void signal_session(pid_t session, int signal)
{
    struct names names;
    struct process process;
    kill(-session, signal);
    CLEANUP_CLOSE int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool opened = fd >= 0 && names_open(&names, fd) == 0;
    for (const char *name; opened && (name = names_next(&names));) {
        pid_t pid = (pid_t)strtol(name, NULL, 10);
        if (pid > 0 && process_read(pid, &process) == 0 && process.session == session)
            kill(pid, signal);
    }
    if (fd >= 0)
        names_close(&names);
}

size_t farm_child_end_all(int directory, const char *prefix, int signal)
{
    struct names names;
    struct owner self;
    size_t count = 0;
    owner_of_this_process(&self);
    bool opened = names_open(&names, directory) == 0;
    for (const char *name; opened && (name = names_next(&names));) {
        char output[NAME_MAX_BYTES];
        size_t length = strlen(name);
        size_t suffix = strlen(OWNER_SUFFIX);
        if (length <= suffix || length - suffix >= sizeof(output) ||
            strcmp(name + length - suffix, OWNER_SUFFIX) != 0 ||
            strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(output, sizeof(output), "%.*s", (int)(length - suffix), name);
        pid_t pid =
            farm_child_runs(directory, output) == 1 ? find_owner(directory, name, &self) : 0;
        if (pid > 0)
            signal_session(pid, signal);
        count += pid > 0;
    }
    names_close(&names);
    return count;
}

/* One end of each pipe; the other is the helper's. */
struct helper {
    pid_t pid;
    int output;
    int errors;
};

/* Descriptors 0 to 2 are open (standard.h), so that these are above them. */
static int start_helper(const struct farm_arguments *arguments, struct helper *helper,
                        struct pkgcache_error *error)
{
    int output[2];
    int errors[2];
    CLEANUP_CLOSE int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || pipe2(output, O_CLOEXEC) < 0)
        return fail_to_start(arguments, errno, error);
    helper->output = output[0];
    CLEANUP_CLOSE int out = output[1];
    if (pipe2(errors, O_CLOEXEC) < 0)
        return fail_to_start(arguments, errno, error);
    helper->errors = errors[0];
    CLEANUP_CLOSE int err = errors[1];
    const int streams[3] = {in, out, err};
    int code = spawn(arguments, streams, &helper->pid);
    return code == 0 ? 0 : fail_to_start(arguments, code, error);
}

/* Takes what is there. Returns whether there may be more. */
static bool take(int fd, struct text *text)
{
    char bytes[4096];
    ssize_t got = read(fd, bytes, sizeof(bytes));
    if (got > 0)
        text_append(text, bytes, (size_t)got);
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Reads both pipes to their ends. */
static int listen_to(const struct helper *helper, unsigned limit_s, size_t max_bytes,
                     struct text *output, struct text *errors)
{
    struct pollfd fds[2] = {{.fd = helper->output, .events = POLLIN},
                            {.fd = helper->errors, .events = POLLIN}};
    uint64_t until_ns = limit_s ? clock_monotonic_ns() + limit_s * NS_PER_S : UINT64_MAX;
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        int ready = poll(fds, 2, clock_poll_ms(until_ns, clock_monotonic_ns()));
        if (ready == 0)
            return -ETIMEDOUT;
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents && !take(fds[0].fd, output))
            fds[0].fd = -1;
        if (fds[1].revents && !take(fds[1].fd, errors))
            fds[1].fd = -1;
        if (output->length > max_bytes || errors->length > ERRORS_MAX_BYTES)
            return -EBADMSG;
        if (output->error < 0 || errors->error < 0)
            return -ENOMEM;
    }
    return 0;
}

int farm_child_ask(const struct farm_arguments *arguments, unsigned limit_s,
                   size_t output_max_bytes, struct text *output, struct text *errors,
                   int *ret_status, struct pkgcache_error *ret_error)
{
    struct helper helper = {.output = -1, .errors = -1};
    int result = start_helper(arguments, &helper, ret_error);
    CLEANUP_CLOSE int out = helper.output;
    CLEANUP_CLOSE int err = helper.errors;
    if (result < 0)
        return result;
    result = listen_to(&helper, limit_s, output_max_bytes, output, errors);
    if (result < 0) {
        kill(helper.pid, SIGKILL);
        error_set(ret_error, -result, "%s: %s", arguments->items[0],
                  result == -EBADMSG ? "it printed more than can be an answer" : strerror(-result));
    }
    while (waitpid(helper.pid, ret_status, 0) < 0 && errno == EINTR)
        continue;
    return result;
}
