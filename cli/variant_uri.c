/* URIs of variants, as rez prints them, as long as the definition can be looked at. */
#include "cli/variant_uri.h"

#include "cache/rez/layout.h"
#include "cache/rez/uri.h"

#include "engine/compiler.h"

#include <string.h>
#include <xxhash.h>

static char *find_file(const struct rules *rules, const char *directory)
{
    CLEANUP_FREE char *definition = NULL;
    bool found = rules_find_definition(rules, directory, &definition);
    return strdup(found ? strrchr(definition, '/') + 1 : "package.py");
}

/* The file of a directory, in the memo's place for it: another directory may have had that. */
static const char *recall_file(const struct rules *rules, struct uri_memo *memo, char **directory)
{
    uint64_t hash = XXH3_64bits(*directory, strlen(*directory));
    struct uri_place *place = &memo->places[hash % URI_MEMO_PLACES];
    if (place->directory && strcmp(place->directory, *directory) == 0)
        return place->file;
    free(place->directory);
    free(place->file);
    place->file = find_file(rules, *directory);
    place->directory = STEAL(*directory);
    return place->file;
}

char *variant_uri(const struct rules *rules, struct uri_memo *memo,
                  const struct pkgcache_handle *handle)
{
    CLEANUP_FREE char *directory = layout_directory(handle);
    CLEANUP_FREE char *own = NULL;
    struct text uri = {0};
    char *result = NULL;
    if (!directory)
        return NULL;
    const char *file = memo ? recall_file(rules, memo, &directory) : NULL;
    if (!memo)
        file = own = find_file(rules, directory);
    if (file)
        uri_append(&uri, handle, file);
    return !file || text_steal(&uri, &result, NULL) < 0 ? NULL : result;
}

void uri_memo_free(struct uri_memo *memo)
{
    for (size_t i = 0; i < URI_MEMO_PLACES; i++) {
        free(memo->places[i].directory);
        free(memo->places[i].file);
    }
}
