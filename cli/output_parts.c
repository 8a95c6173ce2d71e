/* Parts of what is printed. */
#include "cli/output_parts.h"

#include <stdio.h>

void output_json_line(cJSON *item)
{
    CLEANUP_TEXT struct text line = {0};
    json_print(&line, item);
    text_append_byte(&line, '\n');
    if (line.error == 0)
        fputs(line.bytes, stderr);
}

const char *output_bytes(double bytes, char buffer[static 16])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        bytes /= 1024;
    snprintf(buffer, 16, "%.*f %s", unit > 0 && bytes < 100 ? 1 : 0, bytes, units[unit]);
    return buffer;
}

const char *output_plural(uint64_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}
