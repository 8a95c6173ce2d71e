/*
 * rez-pkg-cache: stands in for the program of that name in rez's bin directory, and takes its
 * options, prints what it prints, exits as it exits. What it does is the library's.
 *
 *     rez_arguments.c  the command line, as Python's argparse reads it
 *     rez_daemon.c     --daemon: serves rez's queue
 *     rez_variants.c   -a, -r
 *     rez_list.c       the listing
 *     rez_logs.c       --logs
 *     rez_print.c      messages and colours
 *     rez_program.c    what these share: settings, the cache
 */
#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"
#include "cli/signals.h"
#include "cli/standard.h"

#include <sys/stat.h>

/* rez says what clean does while it does it. */
static void echo_log(enum log_level level, const char *line)
{
    static const enum rez_level levels[] = {REZ_INFO, REZ_WARNING, REZ_ERROR};
    rez_print_line(stderr, rez_level_style(levels[level]), line);
}

static int clean(struct rez_program *program)
{
    struct pkgcache_error error;
    signals_open();
    program->cache->log_echo = echo_log;
    return rez_clean(program, 0, &error) < 0 ? rez_fail("%s", error.message) : EXIT_DONE;
}

static int run(struct rez_program *program)
{
    struct stat status;
    int code = rez_read_settings(program);
    if (code >= 0)
        return code;
    if (stat(program->directory, &status) < 0 || !S_ISDIR(status.st_mode))
        return rez_fail("Not a directory: %s", program->directory);
    code = rez_open_cache(program);
    if (code >= 0)
        return code;
    switch (program->arguments.action) {
    case REZ_ADD:
        return rez_add(program);
    case REZ_REMOVE:
        return rez_remove(program);
    case REZ_CLEAN:
        return clean(program);
    case REZ_LOGS:
        return rez_logs(program);
    default:
        return rez_list(program);
    }
}

int main(int argc, char **argv)
{
    struct rez_program program = {0};
    standard_keep_descriptors();
    standard_ignore_signals();
    int code = rez_arguments_read(argc, argv, &program.arguments);
    if (code < 0)
        code = program.arguments.action == REZ_DAEMON ? rez_daemon(&program) : run(&program);
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = EXIT_FAILED;
    rez_close(&program);
    return standard_end(code);
}
