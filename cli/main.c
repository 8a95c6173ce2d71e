/*
 * pkgcache, the program.
 *
 *     cli/      this: one file a command (cmd_*.c), options, progress, exit codes
 *     cache/    libpkgcache: the cache that rez shares
 *     engine/   libcopyengine: copying and removing trees
 *
 * Each uses only what stands below it.
 */
#include "cli/options.h"
#include "cli/standard.h"

int main(int argc, char **argv)
{
    struct options options;
    standard_keep_descriptors();
    int code = options_read(argc, argv, &options);
    if (code < 0)
        code = options.command->run(&options);
    options_free(&options);
    return standard_end(code);
}
