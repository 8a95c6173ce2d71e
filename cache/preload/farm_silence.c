/* Picks one line of what a launcher said. */
#include "cache/preload/farm_silence.h"

#include "cache/json/visible.h"

#include <string.h>

/* How much a line may tell: what srun says beside its reasons, nothing; that something ended,
 * little.
 */
static int judge(const char *line, size_t length)
{
    static const struct {
        const char *text;
        int worth;
    } known[] = {
        {"queued and waiting for resources", 0},
        {"has been allocated resources", 0},
        {"Waiting up to", 0},
        {"Terminating Job", 0},
        {"Terminating StepId", 0},
        {"Exited with exit code", 1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (memmem(line, length, known[i].text, strlen(known[i].text)))
            return known[i].worth;
    return length > 0 ? 2 : 0;
}

/* Whether a name stands in a line, and not as a part of another. */
static bool is_named(const char *line, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    const char *from = line;
    for (const char *found;
         (found = memmem(from, (size_t)(line + length - from), name, name_length));
         from = found + 1) {
        const char *behind = found + name_length;
        bool begins = found == line || !farm_name_is_sound_bytes(found - 1, 1);
        bool ends =
            behind == line + length || *behind == '.' || !farm_name_is_sound_bytes(behind, 1);
        if (begins && ends)
            return true;
    }
    return false;
}

bool farm_silence_names(const char *errors, const char *node)
{
    return is_named(errors, strlen(errors), node);
}

void farm_silence_explain(const char *errors, const char *node, bool alone,
                          char ret[static FARM_WHY_MAX])
{
    const char *chosen = NULL;
    size_t chosen_length = 0;
    int most = 0;
    while (*errors) {
        size_t length = strcspn(errors, "\n");
        int worth = judge(errors, length);
        if (worth > 0 && !alone && is_named(errors, length, node))
            worth += 2;
        if (worth > most) {
            chosen = errors;
            chosen_length = length;
            most = worth;
        }
        errors += length + (errors[length] == '\n');
    }
    CLEANUP_TEXT struct text line = {0};
    if (chosen)
        visible_append(&line, chosen, MIN(chosen_length, (size_t)400));
    snprintf(ret, FARM_WHY_MAX, "no report: %.450s",
             line.error == 0 && line.length > 0 ? line.bytes : "nothing was said of why");
}
