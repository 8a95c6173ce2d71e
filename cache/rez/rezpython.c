/*
 * Running rez's Python. All three of its streams are served at once, so neither side waits for the
 * other; standard input is a socket because a write to a pipe that nobody reads would end us with
 * SIGPIPE. It runs in a process group of its own: rez-python starts a Python in turn, and a limit
 * has to end both.
 */
#include "cache/rez/rezpython.h"

#include "cache/rez/rezpython_environment.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum {
    MAX_OUTPUT_BYTES = 16 << 20,
    COMPLAINT_BYTES = 4096, /* the end of standard error is kept */
    CHUNK_BYTES = 65536,
    REAP_MS = 5,
};

struct child {
    pid_t pid;
    int input;  /* ours; -1: all is written */
    int output; /* -1: at its end */
    int errors;
    const struct text *text;
    size_t written;
    struct text answer;
    char complaint[COMPLAINT_BYTES];
    size_t complaint_length;
    int64_t deadline_ms;
    struct pkgcache_error *error;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- finding and starting it --------------------------------------------------------------------
 */

/* Beside the running program, if it is there. */
static bool find_beside(char *path, size_t size)
{
    static const char name[] = "/rez-python";
    ssize_t length = readlink("/proc/self/exe", path, size - sizeof(name));
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    memcpy(slash, name, sizeof(name));
    return access(path, X_OK) == 0;
}

static int set_actions(posix_spawn_file_actions_t *actions, int input, int output, int errors)
{
    int result = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);
    if (result == 0)
        result = posix_spawn_file_actions_adddup2(actions, errors, STDERR_FILENO);
    return result;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setpgroup(attributes, 0);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

/* Returns 0 or an errno value. */
static int spawn(const char *program, char *script, char **variables, int input, int output,
                 int errors, pid_t *ret_pid)
{
    char *arguments[] = {(char *)program, (char *)"-c", script, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0)
        return result;
    result = posix_spawnattr_init(&attributes);
    if (result == 0) {
        result = set_actions(&actions, input, output, errors);
        if (result == 0)
            result = set_attributes(&attributes);
        if (result == 0)
            result = posix_spawn(ret_pid, program, &actions, &attributes, arguments, variables);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

/* Finds a program, and starts it. Returns 0 or an errno value. */
static int find_and_spawn(const char *program, const char *script, int input, int output,
                          int errors, pid_t *ret_pid)
{
    struct rezpython_environment environment = {0};
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *whole = NULL;
    int code = -rezpython_environment_make(&environment);
    if (code == 0)
        code = -rezpython_find_program(&environment, program, &path);
    if (code == 0 && asprintf(&whole, REZPYTHON_PRELUDE "%s", script) < 0) {
        whole = NULL;
        code = ENOMEM;
    }
    if (code == 0)
        code = spawn(path, whole, environment.variables, input, output, errors, ret_pid);
    rezpython_environment_free(&environment);
    return code;
}

static int start_program(struct child *child, const char *script, int input, int output, int errors)
{
    char beside[4096];
    const char *program = getenv("PKGCACHE_REZ_PYTHON");
    bool named = program != NULL;
    if (!named)
        program = find_beside(beside, sizeof(beside)) ? beside : "rez-python";
    int result =
        *program ? find_and_spawn(program, script, input, output, errors, &child->pid) : ENOENT;
    if (result == ENOENT && (!named || !*program))
        return error_set(
            child->error, ENOENT,
            "rez-python was not found; set PKGCACHE_REZ_PYTHON to a Python that has rez");
    if (result != 0)
        return error_set(child->error, result, "cannot start %s: %s", program, strerror(result));
    return 0;
}

/* A pair whose second end becomes one of the child's streams: moved above those, so that one does
   not close another. */
static int open_pair(bool socket, int *ret_ours, int *ret_theirs)
{
    int pair[2];
    int result =
        socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) : pipe2(pair, O_CLOEXEC);
    if (result < 0)
        return -errno;
    *ret_ours = pair[0];
    *ret_theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    result = *ret_theirs < 0 ? -errno : 0;
    close(pair[1]);
    if (result == 0 && fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
        result = -errno;
    return result;
}

static int start(struct child *child, const char *script)
{
    CLEANUP_CLOSE int input = -1;
    CLEANUP_CLOSE int output = -1;
    CLEANUP_CLOSE int errors = -1;
    int result = open_pair(true, &child->input, &input);
    if (result == 0)
        result = open_pair(false, &child->output, &output);
    if (result == 0)
        result = open_pair(false, &child->errors, &errors);
    if (result < 0)
        return error_set(child->error, -result, "cannot start rez's Python: %s", strerror(-result));
    return start_program(child, script, input, output, errors);
}

/* --- serving its streams ------------------------------------------------------------------------
 */

static void close_stream(int *fd)
{
    close(*fd);
    *fd = -1;
}

static bool is_for_later(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

/* That it does not read to the end is its own affair. */
static void feed(struct child *child)
{
    size_t left = child->text->length - child->written;
    ssize_t result =
        left ? send(child->input, child->text->bytes + child->written, left, MSG_NOSIGNAL) : 0;
    if (result > 0)
        child->written += (size_t)result;
    if (child->written == child->text->length || (result <= 0 && !is_for_later(result)))
        close_stream(&child->input);
}

static int take_output(struct child *child)
{
    if (text_reserve(&child->answer, CHUNK_BYTES) < 0)
        return error_set(child->error, ENOMEM, "out of memory");
    ssize_t result = read(child->output, child->answer.bytes + child->answer.length, CHUNK_BYTES);
    if (is_for_later(result))
        return 0;
    if (result <= 0) {
        close_stream(&child->output);
        return 0;
    }
    child->answer.length += (size_t)result;
    child->answer.bytes[child->answer.length] = '\0';
    if (child->answer.length > MAX_OUTPUT_BYTES)
        return error_set(child->error, EBADMSG, "rez's Python printed more than %d MiB",
                         MAX_OUTPUT_BYTES >> 20);
    return 0;
}

static void take_errors(struct child *child)
{
    char bytes[COMPLAINT_BYTES];
    ssize_t result = read(child->errors, bytes, sizeof(bytes));
    if (is_for_later(result))
        return;
    if (result <= 0) {
        close_stream(&child->errors);
        return;
    }
    size_t length = (size_t)result;
    size_t kept = MIN(child->complaint_length, sizeof(bytes) - length);
    memmove(child->complaint, child->complaint + child->complaint_length - kept, kept);
    memcpy(child->complaint + kept, bytes, length);
    child->complaint_length = kept + length;
}

static int too_slow(const struct child *child)
{
    return error_set(child->error, ETIMEDOUT, "rez's Python took too long, and was stopped");
}

/* Until both outputs are at their end. */
static int serve(struct child *child)
{
    while (child->output >= 0 || child->errors >= 0) {
        struct pollfd streams[] = {
            {.fd = child->input, .events = POLLOUT},
            {.fd = child->output, .events = POLLIN},
            {.fd = child->errors, .events = POLLIN},
        };
        int64_t left_ms = child->deadline_ms - now_ms();
        if (left_ms <= 0)
            return too_slow(child);
        int ready = poll(streams, ARRAY_LENGTH(streams), (int)MIN(left_ms, INT_MAX));
        if (ready < 0 && errno != EINTR)
            return error_set(child->error, errno, "cannot wait for rez's Python: %s",
                             strerror(errno));
        if (ready <= 0)
            continue;
        if (streams[0].revents)
            feed(child);
        int result = streams[1].revents ? take_output(child) : 0;
        if (result < 0)
            return result;
        if (streams[2].revents)
            take_errors(child);
    }
    return 0;
}

/* Its status; 0, too, where somebody else takes the statuses of our children. */
static int reap(struct child *child, int *ret_status)
{
    *ret_status = 0;
    for (;;) {
        pid_t pid = waitpid(child->pid, ret_status, WNOHANG);
        if (pid != 0 && !(pid < 0 && errno == EINTR)) {
            child->pid = 0;
            return 0;
        }
        if (now_ms() > child->deadline_ms)
            return too_slow(child);
        poll(NULL, 0, REAP_MS);
    }
}

/* Ends what still runs, and lets go of everything. */
static void end(struct child *child)
{
    if (child->pid > 0) {
        kill(-child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    int *const fds[] = {&child->input, &child->output, &child->errors};
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
        if (*fds[i] >= 0)
            close_stream(fds[i]);
    }
    text_free(&child->answer);
}

/* The last line that it wrote to standard error, for a message. */
static const char *last_complaint(struct child *child, char buffer[JSON_QUOTE_SIZE])
{
    size_t end_at = child->complaint_length;
    while (end_at > 0 && strchr(" \r\n", child->complaint[end_at - 1]))
        end_at--;
    size_t start_at = end_at;
    while (start_at > 0 && child->complaint[start_at - 1] != '\n')
        start_at--;
    return json_quote_string(child->complaint + start_at, end_at - start_at, buffer);
}

static int parse_answer(struct child *child, int status, struct json_document **ret_document)
{
    char quoted[JSON_QUOTE_SIZE];
    struct pkgcache_error why = {0};
    if (status != 0)
        return error_set(child->error, EBADMSG, "rez's Python failed: %s",
                         last_complaint(child, quoted));
    int result = json_parse(child->answer.length ? child->answer.bytes : "", child->answer.length,
                            ret_document, &why);
    if (result == -EBADMSG)
        return error_set(child->error, EBADMSG,
                         "rez's Python did not print JSON: %s; its messages: %s", why.message,
                         last_complaint(child, quoted));
    return result < 0 ? error_set(child->error, -result, "%s", why.message) : 0;
}

int rezpython_run_within(const char *script, const struct text *input, int limit_ms,
                         struct json_document **ret_document, struct pkgcache_error *ret_error)
{
    struct child child = {.input = -1,
                          .output = -1,
                          .errors = -1,
                          .text = input,
                          .deadline_ms = now_ms() + limit_ms,
                          .error = ret_error};
    int status = 0;
    *ret_document = NULL;
    int result = start(&child, script);
    if (result == 0)
        result = serve(&child);
    if (result == 0)
        result = reap(&child, &status);
    if (result == 0)
        result = parse_answer(&child, status, ret_document);
    end(&child);
    return result;
}

int rezpython_run(const char *script, const struct text *input, struct json_document **ret_document,
                  struct pkgcache_error *ret_error)
{
    return rezpython_run_within(script, input, REZPYTHON_LIMIT_MS, ret_document, ret_error);
}
