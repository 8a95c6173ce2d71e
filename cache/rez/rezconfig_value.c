/* Settings as numbers and paths. */
#include "cache/rez/rezconfig_value.h"

#include "cache/util/real.h"

#include <string.h>

int64_t rezconfig_integer(const struct json *value)
{
    return strtoll(value->text, NULL, 10); /* which stops at the ends of its range */
}

double rezconfig_real(const struct json *value)
{
    double real;
    return real_parse(value->text, &real) == 0 ? real : strtod(value->text, NULL);
}

char *rezconfig_path(const struct json *value)
{
    if (value->type != JSON_STRING)
        return NULL;
    CLEANUP_FREE char *path = malloc(value->text_length + 1);
    if (!path || utf8_to_path(value->text, value->text_length, path) < 0)
        return NULL;
    return STEAL(path);
}
