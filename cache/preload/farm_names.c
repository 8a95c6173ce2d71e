/* Checks each word before a launcher sees it. */
#include "cache/preload/farm_names.h"

#include "cache/json/json.h"

#include <string.h>

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool farm_name_is_sound_bytes(const char *bytes, size_t length)
{
    if (length == 0 || length > FARM_NAME_MAX || *bytes == '-' || *bytes == '.')
        return false;
    for (size_t i = 0; i < length; i++)
        if (bytes[i] == '\0' || !strchr(ALPHANUMERIC "._-", bytes[i]))
            return false;
    return true;
}

bool farm_name_is_sound(const char *name)
{
    return farm_name_is_sound_bytes(name, strlen(name));
}

static int refuse(const char *what, const char *text, const char *allowed,
                  struct pkgcache_error *error)
{
    char quoted[JSON_QUOTE_SIZE];
    return error_set(error, EINVAL, "%s is no name of a %s: %s",
                     json_quote_string(text, strlen(text), quoted), what, allowed);
}

int farm_name_check(const char *what, const char *name, struct pkgcache_error *ret_error)
{
    if (farm_name_is_sound(name))
        return 0;
    return refuse(what, name,
                  "letters, digits, \".\", \"_\" and \"-\", the first no \".\" or \"-\"",
                  ret_error);
}

int farm_expression_check(const char *expression, struct pkgcache_error *ret_error)
{
    size_t length = strlen(expression);
    if (length > 0 && strspn(expression, ALPHANUMERIC "._-[],") == length && *expression != '-' &&
        !strstr(expression, ",-"))
        return 0;
    return refuse("node", expression, "names as sinfo prints them, such as n1,n[3-8]", ret_error);
}

int farm_program_check(const char *path, struct pkgcache_error *ret_error)
{
    char quoted[JSON_QUOTE_SIZE];
    if (*path == '/' && strspn(path, ALPHANUMERIC "/._-+") == strlen(path))
        return 0;
    return error_set(ret_error, EINVAL,
                     "%s: this path of pkgcache is not handed to a launcher, because a shell could "
                     "read more than a path in it; install it at a path of letters, digits and "
                     "\"/._-+\", and name that with --program",
                     json_quote_string(path, strlen(path), quoted));
}

int farm_names_add(struct farm_names *names, const char *name, struct pkgcache_error *ret_error)
{
    int result = farm_name_check("node", name, ret_error);
    if (result < 0)
        return result;
    if (names->count == FARM_NODES_MAX)
        return error_set(ret_error, E2BIG, "there are more than %d nodes", FARM_NODES_MAX);
    if (names->count == names->capacity) {
        size_t capacity = MAX(2 * names->capacity, (size_t)64);
        char **items = reallocarray(names->items, capacity, sizeof(*items));
        if (!items)
            return error_set(ret_error, ENOMEM, "out of memory");
        names->items = items;
        names->capacity = capacity;
    }
    names->items[names->count] = strdup(name);
    return names->items[names->count++] ? 0 : error_set(ret_error, ENOMEM, "out of memory");
}

static int compare(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

void farm_names_sort(struct farm_names *names)
{
    size_t kept = 0;
    if (names->count == 0)
        return;
    qsort(names->items, names->count, sizeof(*names->items), compare);
    for (size_t i = 1; i < names->count; i++)
        if (strcmp(names->items[i], names->items[kept]) == 0)
            free(names->items[i]);
        else
            names->items[++kept] = names->items[i];
    names->count = kept + 1;
}

void farm_names_free(struct farm_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct farm_names){0};
}
