/*
 * Reports of nodes: what is accepted is in range, names only what may stand on a command line, and
 * is read back as it was when it is printed again.
 */
#include "cache/preload/farm_line.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_printed(const struct farm_line *line)
{
    CLEANUP_TEXT struct text text = {0};
    struct farm_line again;
    farm_line_print(&text, line);
    FUZZ_CHECK(text.error == 0 && text.length <= FARM_LINE_MAX);
    FUZZ_CHECK(text.bytes[text.length - 1] == '\n');
    FUZZ_CHECK(!memchr(text.bytes, '\n', text.length - 1));
    FUZZ_CHECK(farm_line_parse(text.bytes, text.length - 1, &again) == 0);
    FUZZ_CHECK(again.kind == line->kind && strcmp(again.node, line->node) == 0);
    if (line->kind == FARM_LINE_VARIANT)
        FUZZ_CHECK(again.variant == line->variant && again.status == line->status &&
                   again.files == line->files && again.bytes == line->bytes);
    if (line->kind == FARM_LINE_END)
        FUZZ_CHECK(again.lines == line->lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct farm_line line;
    if (farm_line_parse((const char *)data, size, &line) < 0)
        return 0;
    FUZZ_CHECK(farm_name_is_sound(line.node));
    FUZZ_CHECK(strlen(line.reason) <= FARM_LINE_REASON_MAX);
    FUZZ_CHECK(line.seconds >= 0);
    check_printed(&line);
    return 0;
}
