/*
 * One engine that copies trees of a server that stops to answer, and then a local one; in the end
 * all are cancelled. Says how far it came, a line each; waits for a line before it goes on.
 *
 *     hanging LOCAL REMOTE...   copies LOCAL to LOCAL.copy, each REMOTE to LOCAL.copy.NUMBER
 */
#include "engine/compiler.h"
#include "engine/copyengine.h"

#include <fcntl.h>

enum { REMOTES_MAX = 16 };

static struct copyengine *engine;

static struct copyengine_job *begin(const char *source, const char *destination)
{
    struct copyengine_job *job;
    struct copyengine_copy copy = {
        .size = sizeof(copy),
        .source = source,
        .destination_dirfd = AT_FDCWD,
        .destination = destination,
    };
    if (copyengine_submit_copy(engine, &copy, &job) < 0)
        exit(2);
    return job;
}

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct copyengine_job *remote[REMOTES_MAX];
    char path[4096];
    int count = argc - 2;
    if (count < 1 || count > REMOTES_MAX || copyengine_new(NULL, &engine, NULL) < 0)
        return 2;
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s.copy.%d", argv[1], i);
        remote[i] = begin(argv[2 + i], path);
    }
    say("begun");
    getchar();
    snprintf(path, sizeof(path), "%s.copy", argv[1]);
    struct copyengine_job *local = begin(argv[1], path);
    say(copyengine_wait(local)->error.code == 0 ? "copied" : "failed");
    for (int i = 0; i < count; i++)
        copyengine_cancel(remote[i]);
    for (int i = 0; i < count; i++)
        copyengine_wait(remote[i]);
    say("cancelled");
    getchar(); /* threads that hang would keep this process from its end */
    copyengine_job_free(local);
    for (int i = 0; i < count; i++)
        copyengine_job_free(remote[i]);
    copyengine_free(engine);
    return 0;
}
