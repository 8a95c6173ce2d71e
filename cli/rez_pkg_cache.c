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
 */
#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"
#include "cli/signals.h"
#include "cli/standard.h"

#include <sys/stat.h>

int rez_read_settings(struct rez_program *program)
{
    struct settings *settings = &program->settings;
    struct pkgcache_error error;
    const char *directory = program->arguments.directory;
    int result = 0;
    settings->rez_defaults = true;
    if (directory)
        result = settings_set(settings, SETTING_CACHE, directory, "the command line", &error);
    if (result == 0)
        result = settings_complete(settings, SETTINGS_ALL, &error);
    program->sources.force = program->arguments.force;
    if (result == 0 && settings_rez(settings, &program->config) < 0)
        result = error_set(&error, ENOMEM, "out of memory");
    if (result == 0)
        result = sources_open(&program->sources, program->config, &error);
    if (result < 0)
        return rez_fail_settings(&error);
    program->directory = settings->values[SETTING_CACHE].text;
    if (!program->directory)
        return rez_arguments_refuse("DIR must be specified, as there is no configured "
                                    "'cache_packages_path'");
    return -1;
}

int rez_open_cache(struct rez_program *program)
{
    struct pkgcache_options options = settings_cache_options(&program->settings);
    struct pkgcache_error error;
    const struct json *temporary;
    if (rezconfig_get(program->config, REZCONFIG_TMPDIR, &temporary, NULL, &error) < 0)
        return rez_fail_settings(&error);
    CLEANUP_FREE char *path = rezconfig_path(temporary);
    options.temporary_path = path;
    if (pkgcache_open(program->directory, &options, false, &program->cache, &error) < 0)
        return rez_fail("%s", error.message);
    return -1;
}

void rez_close(struct rez_program *program)
{
    pkgcache_close(program->cache);
    sources_free(&program->sources);
    settings_free(&program->settings);
    rez_arguments_free(&program->arguments);
}

char *rez_path(const struct rez_program *program, const char *path)
{
    char *shown;
    size_t length = strlen(program->cache->path);
    if (strncmp(path, program->cache->path, length) != 0 || path[length] != '/')
        return strdup(path);
    size_t given = strlen(program->directory);
    bool slash = given > 0 && program->directory[given - 1] == '/';
    return asprintf(&shown, "%s%s", program->directory, path + length + slash) < 0 ? NULL : shown;
}

int rez_clean(struct rez_program *program, double time_limit_s, struct pkgcache_error *ret_error)
{
    const struct setting_value *settings = program->settings.values;
    const struct setting_value *size = &settings[SETTING_MAX_SIZE];
    struct pkgcache_clean clean = {
        .size = sizeof(clean),
        .time_limit_s = time_limit_s,
        .cancel_fd = signals_fd(),
        .max_unused_days = (unsigned)settings[SETTING_MAX_VARIANT_DAYS].number,
        .max_log_days = (unsigned)settings[SETTING_LOG_DAYS].number,
        .max_bytes = size->percent ? 0 : size->number,
        .max_disk_percent = size->percent ? (unsigned)size->number : 0,
    };
    int result = pkgcache_clean(program->cache, &clean, ret_error);
    return result == -ENOENT ? 0 : result; /* a directory that is no cache yet */
}

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
    int code = rez_arguments_read(argc, argv, &program.arguments);
    if (code < 0)
        code = program.arguments.action == REZ_DAEMON ? rez_daemon(&program) : run(&program);
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = EXIT_FAILED;
    rez_close(&program);
    return standard_end(code);
}
