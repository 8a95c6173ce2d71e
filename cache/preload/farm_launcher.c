/* Words of command lines. */
#include "cache/preload/farm_launcher.h"

#include "cache/util/text.h"

#include <stdarg.h>
#include <string.h>

/* Takes the word over. */
static void add(struct farm_arguments *arguments, char *word)
{
    if (word && arguments->count + 1 >= arguments->capacity) {
        size_t capacity = MAX(2 * arguments->capacity, (size_t)32);
        char **items = reallocarray(arguments->items, capacity, sizeof(*items));
        if (items) {
            arguments->items = items;
            arguments->capacity = capacity;
        } else {
            free(STEAL(word));
        }
    }
    if (!word) {
        arguments->error = -ENOMEM;
        return;
    }
    arguments->items[arguments->count++] = word;
    arguments->items[arguments->count] = NULL;
}

void farm_arguments_add(struct farm_arguments *arguments, const char *word)
{
    add(arguments, strdup(word));
}

void farm_arguments_printf(struct farm_arguments *arguments, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add(arguments, text_vformat(format, list));
    va_end(list);
}

void farm_arguments_add_command(struct farm_arguments *arguments, const char *program)
{
    farm_arguments_add(arguments, program);
    farm_arguments_add(arguments, "preload");
    farm_arguments_add(arguments, "--on-node");
}

void farm_arguments_add_nodes(struct farm_arguments *arguments, const char *prefix,
                              const struct farm_launch *launch)
{
    CLEANUP_TEXT struct text list = {0};
    text_append_string(&list, prefix);
    for (size_t i = 0; i < launch->count; i++)
        text_printf(&list, "%s%s", i ? "," : "", launch->nodes[i]);
    if (list.error < 0)
        arguments->error = list.error;
    else
        farm_arguments_add(arguments, list.bytes);
}

void farm_arguments_free(struct farm_arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->items[i]);
    free(arguments->items);
    *arguments = (struct farm_arguments){0};
}
