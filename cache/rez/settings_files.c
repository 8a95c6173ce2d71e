/* Finds and reads the files of settings. */
#include "cache/rez/settings_files.h"

#include "cache/rez/settings_file.h"
#include "cache/util/file.h"
#include "cache/util/suggest.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SYSTEM_PATH     "/etc/pkgcache.conf"
#define SYSTEM_VARIABLE "PKGCACHE_SYSTEM_CONFIG" /* another path; empty: none */
#define PREFIX          "PKGCACHE_"

/* Variables that are ours, and are no settings. */
static const char *const other_variables[] = {SYSTEM_VARIABLE, "PKGCACHE_REZ_PYTHON"};

/* --- problems --- */

int settings_problems_add(struct settings_problems *problems, bool fatal, const char *where,
                          const char *what)
{
    struct settings_problem *items =
        reallocarray(problems->items, problems->count + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    problems->items = items;
    struct settings_problem problem = {strdup(where), strdup(what), fatal};
    if (!problem.where || !problem.what) {
        free(problem.where);
        free(problem.what);
        return -ENOMEM;
    }
    items[problems->count++] = problem;
    return 0;
}

void settings_problems_free(struct settings_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].where);
        free(problems->items[i].what);
    }
    free(problems->items);
    *problems = (struct settings_problems){0};
}

/* --- one file --- */

struct reading {
    struct settings_source *source;
    struct settings_problems *problems;
    const char *path;
};

bool settings_is_path(enum setting_id id)
{
    return id == SETTING_CACHE || id == SETTING_SOCKET || id == SETTING_LOCAL_PATH ||
           id == SETTING_REPOSITORIES;
}

/*
 * A path, or, of repositories, a list of them with colons between. In a file it is absolute, since
 * nobody knows from where the program will be started; ~/ stands for the home directory. *ret is
 * allocated; NULL: it is no such path. Returns 0 or -ENOMEM.
 */
static int expand_paths(enum setting_id id, const char *value, char **ret)
{
    const char *separators = id == SETTING_REPOSITORIES ? ":" : "";
    CLEANUP_TEXT struct text paths = {0};
    CLEANUP_FREE char *list = strdup(value);
    const char *home = getenv("HOME");
    char *rest = list;
    *ret = NULL;
    if (!list)
        return -ENOMEM;
    for (char *path; (path = strsep(&rest, separators));) {
        bool at_home = strncmp(path, "~/", 2) == 0;
        if (*path != '/' && !(at_home && home && *home == '/'))
            return 0;
        text_append_string(&paths, paths.length ? ":" : "");
        text_append_string(&paths, at_home ? home : "");
        text_append_string(&paths, at_home ? path + 1 : path);
    }
    return text_steal(&paths, ret, NULL);
}

static int refuse_name(const struct reading *reading, const char *where, const char *name)
{
    struct suggestion suggestion = {.typed = name};
    CLEANUP_FREE char *what = NULL;
    for (int i = 0; i < SETTING_COUNT; i++)
        suggestion_try(&suggestion, settings_table[i].name);
    if (asprintf(&what, "unknown setting \"%.100s\"%s%s%s", name,
                 suggestion.best ? "; did you mean \"" : "; pkgcache config lists all",
                 suggestion.best ? suggestion.best : "", suggestion.best ? "\"?" : "") < 0)
        return -ENOMEM;
    return settings_problems_add(reading->problems, false, where, what);
}

/* Puts aside what an earlier line said: config --check judges it, too. Returns 0 or -ENOMEM. */
static int keep_earlier(struct settings_source *source, enum setting_id id)
{
    struct settings_earlier *grown =
        reallocarray(source->earlier, source->earlier_count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    grown[source->earlier_count++] =
        (struct settings_earlier){id, source->values[id].text, source->origins[id]};
    source->earlier = grown;
    source->values[id].text = NULL;
    source->origins[id] = NULL;
    return 0;
}

static int on_line(void *context, const struct settings_line *line)
{
    struct reading *reading = context;
    CLEANUP_FREE char *where = NULL;
    if (asprintf(&where, "%s, line %u", reading->path, line->number) < 0)
        return -ENOMEM;
    if (line->fault)
        return settings_problems_add(reading->problems, true, where, line->fault);
    enum setting_id id = settings_find(line->name);
    if (id == SETTING_COUNT)
        return refuse_name(reading, where, line->name);
    struct setting_value *value = &reading->source->values[id];
    char *text = NULL;
    int result = 0;
    if (*line->value && settings_is_path(id))
        result = expand_paths(id, line->value, &text);
    else if (*line->value)
        text = strdup(line->value);
    if (result < 0 || (*line->value && !text && !settings_is_path(id)))
        return -ENOMEM;
    if (*line->value && !text)
        return settings_problems_add(reading->problems, true, where,
                                     "a path has to begin with / or ~/");
    if (reading->source->origins[id] && keep_earlier(reading->source, id) < 0) {
        free(text);
        return -ENOMEM;
    }
    value->text = text;
    reading->source->origins[id] = STEAL(where);
    value->origin = reading->source->origins[id];
    return 0;
}

/* Why what is written in a file may not decide for this process; NULL: it may. */
static const char *find_mistrust(const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return "it is no regular file";
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return "it belongs to another user, and is not read: root or this user must own it";
    if (status->st_mode & S_IWOTH)
        return "everybody may write to it, so it is not read: chmod o-w";
    if (status->st_mode & S_IWGRP && geteuid() == 0)
        return "its group may write to it, so root does not read it: chmod g-w";
    return NULL;
}

static int read_file(struct reading *reading, int fd)
{
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error error;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return settings_problems_add(reading->problems, true, reading->path, strerror(errno));
    const char *mistrust = find_mistrust(&status);
    if (mistrust)
        return settings_problems_add(reading->problems, true, reading->path, mistrust);
    if (file_read(fd, SETTINGS_FILE_BYTES_MAX, &text, &error) < 0)
        return settings_problems_add(reading->problems, true, reading->path, error.message);
    return text.length > 0 ? settings_file_parse(text.bytes, text.length, on_line, reading) : 0;
}

static int read_source(struct settings_source *source, struct settings_problems *problems)
{
    struct reading reading = {source, problems, source->path};
    if (!source->path)
        return 0;
    CLEANUP_CLOSE int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : settings_problems_add(problems, true, source->path, strerror(errno));
    source->found = true;
    return read_file(&reading, fd);
}

/* --- all --- */

/* The XDG Base Directory Specification. @return allocated; NULL: there is none, or no memory */
static char *find_user_path(void)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    char *path;
    bool xdg = base && *base == '/'; /* relative ones are to be ignored */
    if (!xdg && (!home || *home != '/'))
        return NULL;
    return asprintf(&path, "%s/%spkgcache/pkgcache.conf", xdg ? base : home,
                    xdg ? "" : ".config/") < 0
               ? NULL
               : path;
}

static char *find_system_path(void)
{
    const char *path = getenv(SYSTEM_VARIABLE);
    if (!path)
        path = SYSTEM_PATH;
    return *path ? strdup(path) : NULL;
}

int settings_files_read(struct settings_files **ret, struct settings_problems *problems)
{
    struct settings_files *files = calloc(1, sizeof(*files));
    *ret = files;
    if (!files)
        return -ENOMEM;
    files->sources[SETTINGS_USER_FILE].path = find_user_path();
    files->sources[SETTINGS_SYSTEM_FILE].path = find_system_path();
    int result = 0;
    for (int i = 0; i < SETTINGS_FILE_COUNT && result == 0; i++)
        result = read_source(&files->sources[i], problems);
    return result;
}

void settings_files_free(struct settings_files *files)
{
    for (int i = 0; files && i < SETTINGS_FILE_COUNT; i++) {
        struct settings_source *source = &files->sources[i];
        for (int id = 0; id < SETTING_COUNT; id++) {
            free(source->values[id].text);
            free(source->origins[id]);
        }
        for (size_t k = 0; k < source->earlier_count; k++) {
            free(source->earlier[k].text);
            free(source->earlier[k].origin);
        }
        free(source->earlier);
        free(source->path);
    }
    free(files);
}

static bool is_known_variable(const char *name)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(settings_table[i].variable, name) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LENGTH(other_variables); i++)
        if (strcmp(other_variables[i], name) == 0)
            return true;
    return false;
}

static int refuse_variable(const char *name, struct settings_problems *problems)
{
    struct suggestion suggestion = {.typed = name + strlen(PREFIX)};
    char what[128] = "unknown variable, without effect; pkgcache --help-settings lists all";
    const char *meant = NULL;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *best = suggestion.best;
        suggestion_try(&suggestion, settings_table[i].variable + strlen(PREFIX));
        suggestion_try(&suggestion, settings_table[i].name);
        if (suggestion.best != best)
            meant = settings_table[i].variable;
    }
    if (meant)
        snprintf(what, sizeof(what), "unknown variable, without effect; did you mean %s?", meant);
    return settings_problems_add(problems, false, name, what);
}

int settings_files_find_unknown_variables(struct settings_problems *problems)
{
    int result = 0;
    for (char **variable = environ; variable && *variable && result == 0; variable++) {
        size_t length = strcspn(*variable, "=");
        if (strncmp(*variable, PREFIX, strlen(PREFIX)) != 0)
            continue;
        CLEANUP_FREE char *name = strndup(*variable, length);
        if (!name)
            return -ENOMEM;
        if (!is_known_variable(name))
            result = refuse_variable(name, problems);
    }
    return result;
}
