/* pkgcache daemon: serves look-ups and warming to other programs until it is told to stop. */
#include "cache/service/service.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

struct serving {
    struct options *options;
    struct settings reloaded;       /* by the last SIGHUP */
    struct settings queue_settings; /* as rez-pkg-cache reads them: it is rez's queue */
    char *temporary_path;
    int ready_fd; /* who started us waits for a byte; -1: nobody */
};

static struct pkgcache_clean clean_limits(const struct settings *settings)
{
    const struct setting_value *values = settings->values;
    const struct setting_value *size = &values[SETTING_MAX_SIZE];
    return (struct pkgcache_clean){
        .max_unused_days = (unsigned)values[SETTING_MAX_VARIANT_DAYS].number,
        .max_log_days = (unsigned)values[SETTING_LOG_DAYS].number,
        .max_bytes = size->percent ? 0 : size->number,
        .max_disk_percent = size->percent ? (unsigned)size->number : 0,
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

/* What the command line says stays; the rest is read. They are replaced if that succeeds. */
static int read_settings(const struct options *options, bool rez_defaults, struct settings *ret,
                         struct pkgcache_error *error)
{
    struct settings settings = {.rez_defaults = rez_defaults};
    int result = 0;
    for (int i = 0; i < SETTING_COUNT && result == 0; i++) {
        const struct setting_value *value = &options->settings.values[i];
        if (strcmp(value->origin, "the command line") == 0)
            result = settings_set(&settings, (enum setting_id)i, value->text, value->origin, error);
    }
    if (result == 0)
        result = settings_complete(&settings, options->command->settings, error);
    if (result < 0) {
        settings_free(&settings);
        return result;
    }
    settings_free(ret);
    *ret = settings;
    return 0;
}

/* How rez's queue is served: what rez has built in counts, too, and all others come first. */
static int read_queue_options(struct serving *serving, struct pkgcache_options *ret,
                              struct pkgcache_error *error)
{
    struct rezconfig *rez;
    const struct json *temporary;
    int result = read_settings(serving->options, true, &serving->queue_settings, error);
    if (result < 0)
        return result;
    if (settings_rez(&serving->queue_settings, &rez) < 0)
        return error_set(error, ENOMEM, "out of memory");
    result = rezconfig_get(rez, REZCONFIG_TMPDIR, &temporary, NULL, error);
    if (result < 0)
        return result;
    free(serving->temporary_path);
    serving->temporary_path = rezconfig_path(temporary);
    *ret = settings_cache_options(&serving->queue_settings);
    ret->temporary_path = serving->temporary_path;
    ret->idle_priority = true;
    return 0;
}

static int on_reload(void *context, struct pkgcache_options *ret_cache,
                     struct pkgcache_options *ret_queue, struct pkgcache_clean *ret_clean,
                     struct pkgcache_error *ret_error)
{
    struct serving *serving = context;
    const struct options *options = serving->options;
    int result = read_queue_options(serving, ret_queue, ret_error);
    if (result == 0)
        result =
            read_settings(options, options->settings.rez_defaults, &serving->reloaded, ret_error);
    if (result < 0)
        return result;
    *ret_cache = settings_cache_options(&serving->reloaded);
    *ret_clean = clean_limits(&serving->reloaded);
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

static int serve(struct serving *serving)
{
    struct options *options = serving->options;
    struct pkgcache_error error;
    struct service_options service = {
        .cache_path = options->settings.values[SETTING_CACHE].text,
        .cache = settings_cache_options(&options->settings),
        .clean = clean_limits(&options->settings),
        .socket_path = options->settings.values[SETTING_SOCKET].text,
        .clients = options->settings.values[SETTING_CLIENTS].text,
        .metrics_path = options->metrics,
        .idle_exit_s = options->idle_exit_s,
        .version = PKGCACHE_VERSION_STRING,
        .signal_fd = open_signals(),
        .on_ready = on_ready,
        .on_reload = on_reload,
        .context = serving,
    };
    if (service.signal_fd < 0)
        return output_error(options, EXIT_FAILED, errno, "signalfd: %s", strerror(errno));
    int result = read_queue_options(serving, &service.queue, &error);
    if (result == 0)
        result = service_run(&service, &error);
    settings_free(&serving->reloaded);
    settings_free(&serving->queue_settings);
    free(serving->temporary_path);
    if (result < 0)
        return output_error(options, result == -EBUSY ? EXIT_LOCKED : EXIT_FAILED, error.code, "%s",
                            error.message);
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
