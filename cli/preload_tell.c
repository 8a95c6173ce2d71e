/* Report lines of a node, on standard output. */
#include "cli/preload_tell.h"

#include "cli/exit.h"
#include "engine/clock.h"

#include <string.h>

void preload_tell(struct preload_node *node, struct farm_line *line)
{
    CLEANUP_TEXT struct text text = {0};
    strcpy(line->node, node->name); /* of the same size */
    farm_line_print(&text, line);
    if (text.error == 0)
        fputs(text.bytes, stdout);
    fflush(stdout); /* a failure is found at the end, and ends without a report */
    node->lines++;
}

void preload_tell_variant(struct preload_node *node, size_t variant, enum farm_line_status status,
                          bool is_packed, const struct pkgcache_result *result)
{
    struct farm_line line = {
        .kind = FARM_LINE_VARIANT, .variant = variant, .status = status, .is_packed = is_packed};
    if (node->told[variant])
        return;
    node->told[variant] = true;
    if (result && status == FARM_LINE_CREATED) {
        line.files = result->files;
        line.bytes = result->bytes;
    }
    if (status == FARM_LINE_FAILED)
        farm_line_set_reason(&line, result ? result->reason : NULL);
    preload_tell(node, &line);
}

int preload_tell_end(struct preload_node *node, const char *error)
{
    struct farm_line line = {
        .kind = FARM_LINE_END,
        .lines = node->lines,
        .seconds = (double)(clock_monotonic_ns() - node->begin_ns) / NS_PER_S,
    };
    farm_line_set_reason(&line, error);
    preload_tell(node, &line);
    return fflush(stdout) == 0 && !ferror(stdout) && !error ? EXIT_DONE : EXIT_FAILED;
}
