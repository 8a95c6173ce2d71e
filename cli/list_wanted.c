/* What the arguments of list mean. They find what is there: a name that nothing has is no error. */
#include "cli/list_wanted.h"

#include "cache/rez/sources.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <fnmatch.h>
#include <string.h>

/* A handle as JSON, or a URI. Returns an exit code, or -1: go on. */
static int read_variant(const struct options *options, struct list_wanted_one *one)
{
    struct sources sources = {0};
    struct pkgcache_error error;
    int code = -1;
    if (sources_open(&sources, NULL, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    int result = sources_read_variants(&sources, &one->text, 1, NULL, &error);
    struct source_variant *variant = sources.variants.items;
    if (result < 0)
        code = output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    else if (variant->handle)
        one->handle = STEAL(variant->handle);
    else
        code = output_error(options, EXIT_USAGE, EINVAL, "%s: %s", variant->text, variant->reason);
    if (one->handle && *one->text != '{' &&
        layout_read_otherwise(one->text, one->handle, &one->other) == -ENOMEM)
        code = output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    sources_free(&sources);
    return code;
}

int list_wanted_read(const struct options *options, struct list_wanted *ret)
{
    *ret = (struct list_wanted){0};
    int code = variant_names_read(options, &ret->names);
    if (code >= 0)
        return code;
    ret->items = calloc(ret->names.count + 1, sizeof(*ret->items));
    if (!ret->items)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    for (; ret->count < ret->names.count && code < 0; ret->count++) {
        struct list_wanted_one *one = &ret->items[ret->count];
        one->text = ret->names.texts[ret->count];
        if (!variant_name_is_meant(one->text))
            code = read_variant(options, one);
    }
    return code;
}

void list_wanted_free(struct list_wanted *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        handle_free(wanted->items[i].handle);
        handle_free(wanted->items[i].other);
    }
    free(wanted->items);
    variant_names_free(&wanted->names);
    *wanted = (struct list_wanted){0};
}

/* "foo-1.0[2]", and "foo-1.0[]" for a package without variants; as a pattern these brackets would
 * mean something else. */
static bool has_name_and_index(const char *text, const struct pkgcache_handle *handle)
{
    char index[16] = "[]";
    size_t length = strlen(handle->qualified_name);
    if (handle->index != HANDLE_NO_INDEX)
        snprintf(index, sizeof(index), "[%d]", (int)handle->index);
    return strncmp(text, handle->qualified_name, length) == 0 && strcmp(text + length, index) == 0;
}

static bool is_wanted(const struct list_wanted_one *one, const struct pkgcache_entry *entry)
{
    if (one->handle)
        return handle_equal(one->handle, entry->handle) ||
               (one->other && handle_equal(one->other, entry->handle));
    if (*one->text == '/')
        return entry->cached_root && strcmp(one->text, entry->cached_root) == 0;
    return fnmatch(one->text, entry->handle->qualified_name, 0) == 0 ||
           has_name_and_index(one->text, entry->handle);
}

bool list_wanted_has(const struct list_wanted *wanted, const struct pkgcache_entry *entry)
{
    for (size_t i = 0; i < wanted->count; i++)
        if (is_wanted(&wanted->items[i], entry))
            return true;
    return wanted->count == 0;
}
