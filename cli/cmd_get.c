/* pkgcache get: prints the cached root of each variant, an empty line for one that is missing. */
#include "cli/commands.h"
#include "cli/each.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <string.h>

static void print_one(const struct options *options, struct text *document, const char *variant,
                      int status, const char *root)
{
    if (!options->json) {
        printf("%s\n", root ? root : "");
        return;
    }
    text_append_string(document, document->length > 1 ? ", {\"variant\": " : "{\"variant\": ");
    output_string(document, variant);
    text_printf(document, ", \"status\": \"%s\", \"root\": ", output_status(status));
    output_string(document, root);
    text_append_byte(document, '}');
}

static int get_one(const struct options *options, struct each *each, size_t i, char **ret_root,
                   struct pkgcache_error *error)
{
    const struct pkgcache_handle *handle = each->sources.items[i].handle;
    if (options->lease_pid)
        return pkgcache_lease(each->cache, handle, options->lease_pid, ret_root, error);
    return pkgcache_get(each->cache, handle, options->touch, ret_root, error);
}

int cmd_get(struct options *options)
{
    struct each each;
    struct pkgcache_error error;
    CLEANUP_TEXT struct text document = {0};
    bool missing = false;
    int code = each_open(options, &each);
    text_append_byte(&document, '[');
    for (size_t i = 0; i < each.sources.count && code < 0; i++) {
        CLEANUP_FREE char *root = NULL;
        int status = get_one(options, &each, i, &root, &error);
        if (status < 0)
            code = output_error(options, output_exit_code(status), error.code, "%s", error.message);
        else
            print_one(options, &document, options->arguments[i], status, root);
        missing = missing || !root;
    }
    each_close(&each);
    if (code >= 0)
        return code;
    text_append_byte(&document, ']');
    code = options->json ? output_document(options, &document) : output_end(options, EXIT_DONE);
    return code == EXIT_DONE && missing ? EXIT_MISSING : code;
}
