/* pkgcache remove: takes variants out of the cache. Their bytes go at the next clean. */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/exit.h"
#include "cli/output.h"

static void write_one(struct text *document, const char *variant, int status)
{
    text_append_string(document, document->length > 1 ? ", {\"variant\": " : "{\"variant\": ");
    output_string(document, variant);
    text_printf(document, ", \"status\": \"%s\"}", output_status(status));
}

int cmd_remove(struct options *options)
{
    struct each each;
    struct pkgcache_error error;
    CLEANUP_TEXT struct text document = {0};
    size_t removed = 0;
    size_t refused = 0;
    bool locked = false;
    int code = each_open(options, &each);
    text_append_byte(&document, '[');
    for (size_t i = 0; i < each.sources.count && code < 0 && !locked; i++) {
        const char *name = each.sources.items[i].text;
        int status = pkgcache_remove(each.cache, each.sources.items[i].handle, &error);
        if (status < 0)
            output_error(options, 0, error.code, "%s", error.message);
        else if (status == PKGCACHE_COPYING)
            output_error(options, 0, EBUSY, "%s: another process copies it", name);
        removed += status == PKGCACHE_REMOVED;
        refused += status < 0 || status == PKGCACHE_COPYING;
        locked = status == -ETIMEDOUT;
        write_one(&document, options->arguments[i], status);
        if (!options->json && options->verbosity >= 0 && status >= 0)
            printf("%s: %s\n", name, output_status(status));
    }
    each_close(&each);
    if (code >= 0)
        return code;
    text_append_byte(&document, ']');
    code = options->json ? output_document(options, &document) : output_end(options, EXIT_DONE);
    if (code != EXIT_DONE)
        return code;
    if (locked)
        return EXIT_LOCKED;
    if (refused > 0)
        return removed > 0 ? EXIT_PARTLY : EXIT_FAILED;
    return removed > 0 ? EXIT_DONE : EXIT_MISSING;
}
