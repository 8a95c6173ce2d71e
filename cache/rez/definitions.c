/* Definitions by directory. */
#include "cache/rez/definitions.h"

#include <string.h>

struct definitions_entry {
    char *directory;
    struct definition *definition; /* NULL: result is not 0 */
    int result;
    struct pkgcache_error error;
};

/* What is read in one call. */
struct reading {
    struct definition_place *places;
    struct definition **read;
    int *results;
    struct pkgcache_error *errors;
    size_t count;
};

static int compare_places(const void *left, const void *right)
{
    const struct definition_place *a = left;
    const struct definition_place *b = right;
    int order = strcmp(a->directory, b->directory);
    return order ? order : !b->context - !a->context; /* those of contexts first */
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct definitions_entry *)a)->directory,
                  ((const struct definitions_entry *)b)->directory);
}

static struct definitions_entry *find(const struct definitions *definitions, const char *directory)
{
    struct definitions_entry key = {.directory = (char *)directory};
    return definitions->count == 0 ? NULL
                                   : bsearch(&key, definitions->entries, definitions->count,
                                             sizeof(*definitions->entries), compare_entries);
}

/* Keeps each directory that is to be read once. */
static void select_new(const struct definitions *definitions, const struct definition_place *places,
                       size_t count, struct reading *reading)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!find(definitions, places[i].directory))
            reading->places[kept++] = places[i];
    qsort(reading->places, kept, sizeof(*reading->places), compare_places);
    for (size_t i = 0; i < kept; i++)
        if (i == 0 || strcmp(reading->places[i].directory,
                             reading->places[reading->count - 1].directory) != 0)
            reading->places[reading->count++] = reading->places[i];
}

static int keep(struct definitions *definitions, const struct reading *reading)
{
    struct definitions_entry *entries =
        realloc(definitions->entries, (definitions->count + reading->count + 1) * sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    definitions->entries = entries;
    for (size_t i = 0; i < reading->count; i++) {
        char *directory = strdup(reading->places[i].directory);
        if (!directory)
            return -ENOMEM;
        entries[definitions->count++] = (struct definitions_entry){
            directory, STEAL(reading->read[i]), reading->results[i], reading->errors[i]};
    }
    return 0;
}

int definitions_read(struct definitions *definitions, const struct definition_place *places,
                     size_t count)
{
    CLEANUP_FREE struct definition_place *selected = calloc(count + 1, sizeof(*selected));
    CLEANUP_FREE struct definition **read = calloc(count + 1, sizeof(struct definition *));
    CLEANUP_FREE int *results = calloc(count + 1, sizeof(*results));
    CLEANUP_FREE struct pkgcache_error *errors = calloc(count + 1, sizeof(*errors));
    if (!selected || !read || !results || !errors)
        return -ENOMEM;
    struct reading reading = {
        .places = selected, .read = read, .results = results, .errors = errors};
    select_new(definitions, places, count, &reading);
    definition_read_many(definitions->rules, selected, reading.count, read, results, errors);
    int result = keep(definitions, &reading);
    for (size_t i = 0; i < reading.count; i++)
        definition_free(read[i]);
    if (definitions->count > 0)
        qsort(definitions->entries, definitions->count, sizeof(*definitions->entries),
              compare_entries);
    return result;
}

int definitions_find(const struct definitions *definitions, const char *directory,
                     const struct definition **ret, struct pkgcache_error *ret_error)
{
    const struct definitions_entry *entry = find(definitions, directory);
    if (!entry)
        return error_set(ret_error, ENOENT, "%s was not read", directory);
    *ret = entry->definition;
    if (entry->result < 0 && ret_error)
        *ret_error = entry->error;
    return entry->result;
}

void definitions_free(struct definitions *definitions)
{
    for (size_t i = 0; i < definitions->count; i++) {
        free(definitions->entries[i].directory);
        definition_free(definitions->entries[i].definition);
    }
    free(definitions->entries);
    *definitions = (struct definitions){.rules = definitions->rules};
}
