/* pkgcache daemon: serves look-ups and warming to other programs until it is told to stop. */
#include "cache/service/listener.h"
#include "cache/service/peer.h"
#include "cache/service/service.h"
#include "cache/util/file.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/leave.h"
#include "cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/** Settings that were read together. */
struct reading {
    struct settings settings; /* none before the first reload: the options have them */
    struct settings queue;    /* as rez-pkg-cache reads them: it is rez's queue */
    char *temporary_path;
};

struct serving {
    struct options *options;
    struct reading reading; /* the last one that succeeded */
    char *directory;        /* where we were started; NULL: it is gone */
    char *metrics_path;
    bool is_misconfigured;
    int ready_fd; /* who started us waits for a byte; -1: nobody */
};

static void free_reading(struct reading *reading)
{
    settings_free(&reading->settings);
    settings_free(&reading->queue);
    free(reading->temporary_path);
    *reading = (struct reading){0};
}

static struct upkeep_limits upkeep_limits(const struct settings *settings)
{
    const struct setting_value *values = settings->values;
    const struct setting_value *size = &values[SETTING_MAX_SIZE];
    return (struct upkeep_limits){
        .clean = {.max_unused_days = (unsigned)values[SETTING_MAX_VARIANT_DAYS].number,
                  .max_log_days = (unsigned)values[SETTING_LOG_DAYS].number,
                  .max_bytes = size->percent ? 0 : size->number,
                  .max_disk_percent = size->percent ? (unsigned)size->number : 0},
        .share_idle_s = values[SETTING_SHARE_IDLE].number,
    };
}

static void on_ready(void *context, const char *socket_path)
{
    struct serving *serving = context;
    if (serving->ready_fd < 0) {
        output_verbose(serving->options, "serving %s at %s",
                       serving->options->settings.values[SETTING_CACHE].text, socket_path);
        return;
    }
    (void)!write(serving->ready_fd, "", 1);
    close(serving->ready_fd);
    serving->ready_fd = -1;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null_fd >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(null_fd, fd);
    if (null_fd > STDERR_FILENO)
        close(null_fd);
}

/* Makes a path absolute, which is relative to where we were started; NULL stays. */
static int resolve(const struct serving *serving, char **path, struct pkgcache_error *error)
{
    int result = *path ? leave_resolve(serving->directory, path) : 0;
    return result < 0 ? error_set(error, -result, "%s: its directory: %s", *path, strerror(-result))
                      : 0;
}

static int resolve_settings(const struct serving *serving, struct settings *settings,
                            struct pkgcache_error *error)
{
    int result = resolve(serving, &settings->values[SETTING_CACHE].text, error);
    if (result == 0)
        result = resolve(serving, &settings->values[SETTING_SOCKET].text, error);
    if (result == 0 &&
        leave_resolve_list(serving->directory, &settings->values[SETTING_REPOSITORIES].text) < 0)
        result = error_set(error, ENOENT, "--repositories: the current directory is gone");
    return result < 0 ? result
                      : resolve(serving, &settings->values[SETTING_LOCAL_PATH].text, error);
}

/* What the command line says stays; the rest is read. */
static int read_settings(const struct serving *serving, bool rez_defaults, struct settings *ret,
                         struct pkgcache_error *error)
{
    const struct options *options = serving->options;
    int result = 0;
    *ret = (struct settings){.rez_defaults = rez_defaults};
    for (int i = 0; i < SETTING_COUNT && result == 0; i++) {
        const struct setting_value *value = &options->settings.values[i];
        if (strcmp(value->origin, SETTINGS_COMMAND_LINE) == 0)
            result = settings_set(ret, (enum setting_id)i, value->text, value->origin, error);
    }
    if (result == 0)
        result = settings_complete(ret, options->command->settings, error);
    return result < 0 ? result : resolve_settings(serving, ret, error);
}

/* How rez's queue is served: what rez has built in counts, too. */
static int read_queue_settings(const struct serving *serving, struct reading *ret,
                               struct pkgcache_error *error)
{
    struct rezconfig *rez;
    const struct json *temporary;
    int result = read_settings(serving, true, &ret->queue, error);
    if (result < 0)
        return result;
    if (settings_rez(&ret->queue, &rez) < 0)
        return error_set(error, ENOMEM, "out of memory");
    result = rezconfig_get(rez, REZCONFIG_TMPDIR, &temporary, NULL, error);
    if (result < 0)
        return result;
    ret->temporary_path = rezconfig_path(temporary);
    return 0;
}

/* All others come before the queue. */
static struct pkgcache_options queue_options(const struct reading *reading)
{
    struct pkgcache_options options = settings_cache_options(&reading->queue);
    options.temporary_path = reading->temporary_path;
    options.idle_priority = true;
    return options;
}

/* The service copies what it is given. */
static int on_reload(void *context, struct pkgcache_options *ret_cache,
                     struct pkgcache_options *ret_queue, struct upkeep_limits *ret_upkeep,
                     struct pkgcache_error *ret_error)
{
    struct serving *serving = context;
    bool rez_defaults = serving->options->settings.rez_defaults;
    struct reading reading = {0};
    int result = read_queue_settings(serving, &reading, ret_error);
    if (result == 0)
        result = read_settings(serving, rez_defaults, &reading.settings, ret_error);
    if (result < 0) {
        free_reading(&reading);
        return result;
    }
    free_reading(&serving->reading);
    serving->reading = reading;
    *ret_cache = settings_cache_options(&reading.settings);
    *ret_queue = queue_options(&reading);
    *ret_upkeep = upkeep_limits(&reading.settings);
    return 0;
}

/* The signals that the daemon is told by. Before any thread starts. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Leaves what whoever started us has open, and where that is. */
static int leave(struct serving *serving, struct pkgcache_error *error)
{
    struct options *options = serving->options;
    int passed = listener_is_passed() ? LISTENER_PASSED_FD : -1;
    leave_descriptors(serving->ready_fd >= 0 ? serving->ready_fd : passed);
    int result = leave_directory(&serving->directory);
    if (result < 0)
        return error_set(error, -result, "cannot leave the current directory: %s",
                         strerror(-result));
    serving->metrics_path = options->metrics ? strdup(options->metrics) : NULL;
    if (options->metrics && !serving->metrics_path)
        return error_set(error, ENOMEM, "out of memory");
    result = resolve(serving, &serving->metrics_path, error);
    if (result >= 0 && serving->metrics_path)
        result = file_check_place(serving->metrics_path, error);
    return result < 0 ? result : resolve_settings(serving, &options->settings, error);
}

static int run_service(struct serving *serving, struct pkgcache_error *error)
{
    struct options *options = serving->options;
    struct service_options service = {
        .cache_path = options->settings.values[SETTING_CACHE].text,
        .cache = settings_cache_options(&options->settings),
        .upkeep = upkeep_limits(&options->settings),
        .socket_path = options->settings.values[SETTING_SOCKET].text,
        .clients = options->settings.values[SETTING_CLIENTS].text,
        .repositories = options->settings.values[SETTING_REPOSITORIES].text,
        .metrics_path = serving->metrics_path,
        .idle_exit_s = (unsigned)options->idle_exit_s,
        .version = PKGCACHE_VERSION_STRING,
        .signal_fd = open_signals(),
        .on_ready = on_ready,
        .on_reload = on_reload,
        .context = serving,
    };
    if (service.signal_fd < 0)
        return error_set(error, errno, "signalfd: %s", strerror(errno));
    int result = read_queue_settings(serving, &serving->reading, error);
    serving->is_misconfigured = result < 0;
    if (result < 0)
        return result;
    service.queue = queue_options(&serving->reading);
    return service_run(&service, error);
}

/* Clients ask nobody but their own user, root, and the owner of the cache. */
static void warn_of_other_owner(const struct options *options)
{
    const struct setting_value *settings = options->settings.values;
    struct stat status;
    if (geteuid() != 0 && strcmp(settings[SETTING_CLIENTS].text, "owner") != 0 &&
        stat(settings[SETTING_CACHE].text, &status) == 0 && status.st_uid != geteuid())
        output_warning(options, settings[SETTING_CACHE].text,
                       "it belongs to another user, so programs of other users do not ask this "
                       "daemon: have its owner, or root, run one");
}

static int serve(struct serving *serving)
{
    const struct options *options = serving->options;
    struct pkgcache_error error;
    struct peer_rule rule;
    const char *clients = options->settings.values[SETTING_CLIENTS].text;
    if (peer_rule_read(clients, &rule) < 0)
        return output_error(
            options, EXIT_USAGE, EINVAL,
            "--clients: \"%.100s\" is not owner, everybody, or a group of this machine", clients);
    warn_of_other_owner(options);
    int result = leave(serving, &error);
    if (result == 0)
        result = run_service(serving, &error);
    free_reading(&serving->reading);
    free(serving->directory);
    free(serving->metrics_path);
    if (result < 0)
        return output_error(options,
                            result == -EBUSY            ? EXIT_LOCKED
                            : serving->is_misconfigured ? EXIT_USAGE
                                                        : EXIT_FAILED,
                            error.code, "%s", error.message);
    return EXIT_DONE;
}

/* Waits until the daemon serves, or has ended. Returns an exit code. */
static int await(const struct options *options, pid_t pid, int ready_fd)
{
    char byte;
    ssize_t got;
    while ((got = read(ready_fd, &byte, 1)) < 0 && errno == EINTR)
        continue;
    close(ready_fd);
    if (got == 1) {
        output_verbose(options, "process %d serves %s", (int)pid,
                       options->settings.values[SETTING_CACHE].text);
        return EXIT_DONE;
    }
    int status; /* it has said why */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

int cmd_daemon(struct options *options)
{
    struct serving serving = {.options = options, .ready_fd = -1};
    int fds[2];
    if (options->argument_count > 0 && strcmp(options->arguments[0], "stop") != 0)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "daemon: expected nothing or \"stop\", not \"%s\"",
                            options->arguments[0]);
    if (options->argument_count > 0)
        return daemon_stop(options);
    if (options->foreground)
        return serve(&serving);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return output_error(options, EXIT_FAILED, errno, "pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return output_error(options, EXIT_FAILED, errno, "fork: %s", strerror(errno));
    if (pid > 0) {
        close(fds[1]);
        return await(options, pid, fds[0]);
    }
    close(fds[0]);
    serving.ready_fd = fds[1];
    setsid();
    return serve(&serving);
}
