/*
 * What people type who know other programs, or mistype: the message says what ours is called.
 * Looked for in this order: a habit of the table below; an option that is a command here, and the
 * other way round; a name that is close.
 */
#include "cli/mistakes.h"

#include "cache/util/suggest.h"
#include "cli/command_table.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <string.h>

/* Options and commands of rsync, cp and rez. */
static const struct {
    const char *word;
    const char *advice;
} habits[] = {
    {"-a", "copies keep modes, times, links, extended attributes and ACLs anyway; rez's -a is "
           "pkgcache add"},
    {"--archive", "copies keep modes, times, links, extended attributes and ACLs anyway"},
    {"-r", "copies are recursive anyway; rez's -r is pkgcache remove"},
    {"--recursive", "copies are recursive anyway"},
    {"-l", "write --symlinks=keep, which is the default"},
    {"--links", "write --symlinks=keep, which is the default"},
    {"-L", "write --symlinks=follow"},
    {"--copy-links", "write --symlinks=follow"},
    {"-H", "hard links are kept anyway"},
    {"--hard-links", "hard links are kept anyway"},
    {"-A", "ACLs are kept anyway"},
    {"--acls", "ACLs are kept anyway"},
    {"-X", "extended attributes are kept anyway"},
    {"--xattrs", "extended attributes are kept anyway"},
    {"-S", "holes stay holes anyway"},
    {"--sparse", "holes stay holes anyway"},
    {"-p", "modes and times are kept anyway"},
    {"--perms", "modes are kept anyway"},
    {"-t", "modification times are kept anyway"},
    {"--times", "modification times are kept anyway"},
    {"-o", "copy --owner keeps owners and groups (root only)"},
    {"-g", "copy --owner keeps owners and groups (root only)"},
    {"-P", "write --progress=always"},
    {"--info", "write --progress=always, or -v"},
    {"--fsync", "write --durability=each"},
    {"--reflink", "blocks are shared wherever the file system can"},
    {"--delete", "pkgcache remove removes variants, pkgcache clean deletes files"},
    {"--stats", "pkgcache stats prints what the cache has done"},
    {"-c", "rez's -c is pkgcache list --columns; contents are compared by pkgcache verify"},
    {"--checksum", "contents are compared by pkgcache verify"},
    {"--add-variants", "write pkgcache add VARIANT"},
    {"--remove-variants", "write pkgcache remove VARIANT"},
    {"--pkg-cache-mode", "pkgcache always waits; the daemon copies in the background"},
    {"cp", "write pkgcache copy SRC DST"},
    {"rsync", "write pkgcache copy SRC DST"},
    {"sync", "write pkgcache warm SOURCE, or pkgcache copy SRC DST"},
    {"fetch", "write pkgcache warm SOURCE"},
    {"prefetch", "write pkgcache warm SOURCE"},
    {"ls", "write pkgcache list"},
    {"show", "write pkgcache list"},
    {"rm", "write pkgcache remove VARIANT"},
    {"delete", "write pkgcache remove VARIANT"},
    {"del", "write pkgcache remove VARIANT"},
    {"gc", "write pkgcache clean"},
    {"prune", "write pkgcache clean"},
    {"purge", "write pkgcache clean"},
    {"evict", "write pkgcache clean --max-size=SIZE"},
    {"check", "write pkgcache verify, or pkgcache doctor"},
    {"fsck", "write pkgcache verify, or pkgcache doctor"},
    {"log", "write pkgcache logs"},
    {"path", "write pkgcache get VARIANT"},
    {"where", "write pkgcache get VARIANT"},
    {"serve", "write pkgcache daemon"},
    {"pkg-cache", "write the command itself, such as pkgcache list; rez-pkg-cache takes rez's "
                  "options"},
};

static const char *find_habit(const char *word)
{
    for (size_t i = 0; i < ARRAY_LENGTH(habits); i++)
        if (strcmp(habits[i].word, word) == 0)
            return habits[i].advice;
    return NULL;
}

static bool is_option(const char *name)
{
    for (size_t i = 0; i < option_count; i++)
        if (strcmp(option_table[i].name, name) == 0)
            return true;
    return settings_find(name) != SETTING_COUNT;
}

int mistake_command(const struct options *options, const char *word)
{
    struct suggestion suggestion = {.typed = word};
    const char *advice = find_habit(word);
    for (size_t i = 0; i < command_count; i++)
        suggestion_try(&suggestion, command_table[i].name);
    if (advice)
        return output_error(options, EXIT_USAGE, EINVAL, "%s: unknown command; %s", word, advice);
    if (suggestion.best)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: unknown command; did you mean \"%s\"? See pkgcache --help", word,
                            suggestion.best);
    if (is_option(word))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: unknown command; there is an option --%s: see pkgcache --help",
                            word, word);
    return output_error(options, EXIT_USAGE, EINVAL, "%s: unknown command; see pkgcache --help",
                        word);
}

int mistake_option(const struct options *options, const char *word)
{
    char name[64]; /* what is longer is like nothing that we know */
    const char *bare = word + strspn(word, "-");
    struct suggestion suggestion = {.typed = name};
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    const char *advice = find_habit(name);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(bare, "="), bare);
    for (size_t i = 0; i < option_count; i++)
        suggestion_try(&suggestion, option_table[i].name);
    for (int i = 0; i < SETTING_COUNT; i++)
        suggestion_try(&suggestion, settings_table[i].name);
    if (advice)
        return output_error(options, EXIT_USAGE, EINVAL, "%s: unknown option; %s", word, advice);
    if (command_find(name))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: unknown option; it is a command: pkgcache %s", word, name);
    if (strncmp(word, "--", 2) == 0 && suggestion.best)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: unknown option; did you mean \"--%s\"? See pkgcache --help", word,
                            suggestion.best);
    return output_error(options, EXIT_USAGE, EINVAL, "%s: unknown option; see pkgcache --help",
                        word);
}
