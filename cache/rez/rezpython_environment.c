/*
 * The environment of rez's Python. In PATH and PYTHONPATH an empty element is the current
 * directory, and a relative one is below it: both are left out. Python's own ways to do that (-I,
 * -E, PYTHONSAFEPATH) would do more: studios find rez by PYTHONPATH, and rez-python may find it
 * beside itself.
 */
#include "cache/rez/rezpython_environment.h"

#include <paths.h>
#include <string.h>
#include <sys/stat.h>

/* Appends the absolute elements of a list. */
static void append_absolute(struct text *text, const char *list)
{
    const char *separator = "";
    for (const char *element = list; element;) {
        const char *colon = strchr(element, ':');
        size_t length = colon ? (size_t)(colon - element) : strlen(element);
        if (*element == '/') {
            text_append_string(text, separator);
            text_append(text, element, length);
            separator = ":";
        }
        element = colon ? colon + 1 : NULL;
    }
}

/* What follows the name of a variable and "="; NULL: it is another variable. */
static const char *value_of(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=' ? variable + length + 1
                                                                           : NULL;
}

int rezpython_environment_make(struct rezpython_environment *ret)
{
    size_t count = 0;
    size_t kept = 0;
    const char *path = getenv("PATH");
    const char *python_path = getenv("PYTHONPATH");
    while (environ && environ[count])
        count++;
    text_append_string(&ret->path, "PATH=");
    append_absolute(&ret->path, path);
    if (ret->path.length == strlen("PATH=")) /* that would be the current directory, too */
        text_append_string(&ret->path, _PATH_DEFPATH);
    text_append_string(&ret->python_path, "PYTHONPATH=");
    append_absolute(&ret->python_path, python_path);
    ret->variables = calloc(count + 3, sizeof(char *));
    if (!ret->variables || ret->path.error || ret->python_path.error)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (!value_of(environ[i], "PATH") && !value_of(environ[i], "PYTHONPATH"))
            ret->variables[kept++] = environ[i];
    ret->variables[kept++] = ret->path.bytes;
    ret->variables[kept] = python_path ? ret->python_path.bytes : NULL;
    return 0;
}

void rezpython_environment_free(struct rezpython_environment *environment)
{
    free(environment->variables);
    text_free(&environment->path);
    text_free(&environment->python_path);
}

static bool is_program(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

int rezpython_find_program(const struct rezpython_environment *environment, const char *name,
                           char **ret)
{
    if (strchr(name, '/')) {
        *ret = strdup(name);
        return *ret ? 0 : -ENOMEM;
    }
    for (const char *element = value_of(environment->path.bytes, "PATH"); element && *element;) {
        size_t length = strcspn(element, ":");
        CLEANUP_FREE char *path = NULL;
        if (asprintf(&path, "%.*s/%s", (int)length, element, name) < 0) {
            path = NULL;
            return -ENOMEM;
        }
        if (is_program(path)) {
            *ret = STEAL(path);
            return 0;
        }
        element += length + (element[length] == ':');
    }
    return -ENOENT;
}
