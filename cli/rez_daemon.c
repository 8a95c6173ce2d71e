/*
 * rez-pkg-cache --daemon: serves rez's queue in the background.
 *
 * rez starts this on every resolve and does not wait, but the resolve's first command does: it
 * competes for the same cores. So what is most often so, that nothing is queued and the cache was
 * cleaned lately, is found out with a few system calls, before settings are read or anything else
 * is begun. The same for a cache that another process serves at the moment (see serve.c).
 */
#include "cache/service/serve.h"
#include "cache/store/pending.h"
#include "cli/exit.h"
#include "cli/leave.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"
#include "cli/signals.h"

#include <fcntl.h>
#include <string.h>

/* Lets go of whoever started us: session, terminal, descriptors. The directory comes later. */
static void detach(int serving_fd)
{
    setsid();
    int null_fd = open("/dev/null", O_RDWR);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null_fd >= 0; fd++)
        dup2(null_fd, fd);
    leave_descriptors(serving_fd);
}

/* Cleans for as long as the settings allow. Once for some minutes, also when they do not. */
static void clean(struct rez_program *program)
{
    struct pkgcache_error error;
    const struct json *limit;
    int result =
        rezconfig_get(program->config, REZCONFIG_PACKAGE_CACHE_CLEAN_LIMIT, &limit, NULL, &error);
    serve_note_clean(program->cache);
    double limit_s = result == 0 ? rezconfig_real(limit) : 0;
    if (limit_s > 0)
        result = rez_clean(program, limit_s, &error);
    if (result < 0)
        log_write(program->cache, LOGGED_ERROR, "An error occurred while cleaning the cache: %s",
                  error.message);
}

static void serve(struct rez_program *program, int serving_fd)
{
    struct pkgcache_error error;
    const char *logging = getenv("REZ_LOGGING_CONF");
    if (logging && *logging && cache_make_directories(program->cache, NULL) == 0)
        log_write(program->cache, LOGGED_WARNING,
                  "REZ_LOGGING_CONF (%s) is not read: what is logged is logged here", logging);
    if (serve_pending(program->cache, serving_fd, program->config, &program->sources, signals_fd(),
                      &error) == 0)
        clean(program);
}

/* Without its settings, nothing can be served: that is said in the log, and the queue stays. */
static int fail(struct rez_program *program)
{
    if ((program->cache ||
         pkgcache_open(program->directory, NULL, false, &program->cache, NULL) == 0) &&
        cache_make_directories(program->cache, NULL) == 0)
        log_write(program->cache, LOGGED_ERROR,
                  "An error occurred while adding variants to the cache: the settings are wrong; "
                  "rez-pkg-cache %s says how",
                  program->cache->path);
    return EXIT_FAILED;
}

static int serve_in_background(struct rez_program *program, int serving_fd)
{
    detach(serving_fd);
    signals_open();
    if (!program->config && rez_read_settings(program) >= 0)
        return fail(program);
    if (rez_open_cache(program) >= 0)
        return fail(program);
    (void)!chdir("/"); /* from here on, no path is relative */
    serve(program, serving_fd);
    return EXIT_DONE;
}

/* Whether there is something to do, and it is for us. Returns a descriptor, or -1 with the code. */
static int begin(const struct rez_program *program, int *ret_code)
{
    CLEANUP_CLOSE int cache_fd = open(program->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache_fd < 0) {
        *ret_code = rez_fail("Not a directory: %s", program->directory);
        return -1;
    }
    CLEANUP_CLOSE int sys_fd =
        openat(cache_fd, ".sys", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *ret_code = EXIT_DONE;
    if (sys_fd < 0 || (!pending_is_waiting(sys_fd) && !serve_clean_is_due(sys_fd)))
        return -1;
    int serving_fd = serve_begin(sys_fd);
    if (serving_fd < 0 && serving_fd != -EWOULDBLOCK)
        *ret_code = rez_fail("Cannot serve %s: %s", program->directory, strerror(-serving_fd));
    return MAX(serving_fd, -1);
}

int rez_daemon(struct rez_program *program)
{
    int code = -1;
    program->directory = program->arguments.directory;
    if (!program->directory)
        code = rez_read_settings(program);
    if (code >= 0)
        return code;
    CLEANUP_CLOSE int serving_fd = begin(program, &code);
    if (serving_fd < 0)
        return code;
    pid_t child = fork();
    if (child < 0)
        return rez_fail("Cannot serve %s: %s", program->directory, strerror(errno));
    if (child > 0)
        return EXIT_DONE;
    return serve_in_background(program, steal_fd(&serving_fd));
}
