/* What the commands of rez-pkg-cache share: the settings, the cache, its paths. */
#include "cli/rez_program.h"

#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/signals.h"

#include <string.h>

int rez_read_settings(struct rez_program *program)
{
    struct settings *settings = &program->settings;
    struct pkgcache_error error;
    const char *directory = program->arguments.directory;
    int result = 0;
    settings->rez_defaults = true;
    settings->lenient = true;
    if (directory)
        result = settings_set(settings, SETTING_CACHE, directory, SETTINGS_COMMAND_LINE, &error);
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

/* rez knows nothing of our settings, so what is wrong with them is no reason to fail, or to print
 * something that rez would not. Where there is no cache yet, there is no log. */
static void log_problems(struct rez_program *program)
{
    const struct settings_problems *problems = &program->settings.problems;
    if (problems->count == 0 || program->told_problems || !program->cache ||
        cache_open_directories(program->cache, NULL) < 0)
        return;
    program->told_problems = true;
    for (size_t i = 0; i < problems->count; i++)
        log_write(program->cache, LOGGED_WARNING, "%s: %s; it counts as not set",
                  problems->items[i].where, problems->items[i].what);
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
    log_problems(program);
    return -1;
}

void rez_close(struct rez_program *program)
{
    log_problems(program); /* there may be a cache now */
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
