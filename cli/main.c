/*
 * pkgcache, the program.
 *
 *     cli/      this: one file a command (cmd_*.c), options, progress, exit codes
 *     cache/    libpkgcache: the cache that rez shares
 *     engine/   libcopyengine: copying and removing trees
 *
 * Each uses only what stands below it.
 */
#include "cli/exit.h"
#include "cli/options.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct options options;
    int code = options_read(argc, argv, &options);
    if (code < 0)
        code = options.command->run(&options);
    options_free(&options);
    if (code > EXIT_SIGNALED) { /* threads may be waiting for a source that hangs: not for them */
        fflush(NULL);
        _exit(code);
    }
    return code;
}
