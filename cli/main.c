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

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/*
 * Descriptors 0 to 2 that whoever started us has closed must not become those of files: what is
 * printed would go there. Opened the wrong way round, so that their use still fails.
 */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    struct options options;
    keep_standard_descriptors();
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
