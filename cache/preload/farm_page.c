/*
 * Puts the facts of a run into the page that the build has embedded. They stand in a script element
 * whose type is JSON: HTML's parser looks for "</script" and "<!--" there and for nothing else
 * (HTML standard, "Restrictions for contents of script elements"), so no '<' is written. In JSON,
 * one stands in strings only, and there an escape says the same.
 */
#include "cache/preload/farm_page.h"

#include "cache/util/text.h"
#include "preload_report_page.h"

#include <errno.h>
#include <string.h>

static void write_facts(FILE *file, const char *facts, size_t length)
{
    const char *end = facts + length;
    while (facts < end) {
        const char *found = memchr(facts, '<', (size_t)(end - facts));
        const char *stop = found ? found : end;
        fwrite(facts, 1, (size_t)(stop - facts), file);
        if (found)
            fputs("\\u003c", file);
        facts = found ? found + 1 : end;
    }
}

int farm_page_put(FILE *file, const char *facts, size_t length)
{
    errno = 0;
    fwrite(page_head, 1, sizeof page_head - 1, file);
    write_facts(file, facts, length);
    fwrite(page_tail, 1, sizeof page_tail - 1, file);
    if (!ferror(file) && fflush(file) == 0)
        return 0;
    return errno ? -errno : -EIO;
}

int farm_page_write(FILE *file, const struct farm_run *run)
{
    CLEANUP_FREE char *facts = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&facts, &length);
    if (!memory)
        return -ENOMEM;
    int result = farm_run_write(memory, run);
    if (fclose(memory) < 0 && result == 0)
        result = -ENOMEM;
    return result < 0 ? result : farm_page_put(file, facts, length);
}
