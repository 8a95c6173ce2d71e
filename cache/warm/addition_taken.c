/* An addition whose copy has ended: what became of it, and why. */
#include "cache/store/warnings.h"
#include "cache/util/error.h"
#include "cache/warm/run.h"
#include "cache/warm/supply.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

/* Why a copy failed, for people. */
static void describe_failure(const struct addition *addition, const struct copyengine_error *error,
                             char *text, size_t size)
{
    const char *why = addition->supply && error->code != ECANCELED
                          ? first_error_message(&addition->supply->error)
                          : "";
    if (*why)
        snprintf(text, size, "%s", why);
    else
        copyengine_error_text(error, text, size);
}

/* Where the contents came from. */
static void take_origins(struct addition *addition, const struct copyengine_progress *progress)
{
    struct pkgcache_result *result = addition->result;
    result->reused_files = progress->cloned_files + progress->copied_files;
    result->reused_bytes = progress->cloned_bytes + progress->copied_bytes;
    result->fetched_files = addition->supply ? progress->fetched_files : progress->files;
    result->fetched_bytes = addition->supply ? progress->fetched_bytes : progress->bytes;
}

bool addition_take_copy(struct addition *addition, const struct lock *lock)
{
    struct run *run = addition->run;
    assert(addition->stage == STAGE_COPYING && addition->job && addition->announced);
    const struct copyengine_result *copied = copyengine_wait(addition->job);
    int code = copied->error.code;
    char text[PATH_MAX + 256];
    if (code)
        describe_failure(addition, &copied->error, text, sizeof(text));
    addition->root_mode = copied->root_mode;
    addition->root_mtime = copied->root_mtime;
    addition->result->files = copied->progress->files;
    addition->result->bytes = copied->progress->bytes;
    take_origins(addition, copied->progress);
    warnings_give(&addition->warnings, addition->variant->root, addition->result);
    addition_close_manifest(addition);
    run->copied_files += addition->result->files;
    run->copied_bytes += addition->result->bytes;
    run_free_job(run, addition);
    CLEANUP_FREE char *stopped = STEAL(addition->stopped);
    bool outgrown = code == 0 && run_outgrows(addition, addition->result->bytes);
    if (code == 0 && !outgrown)
        return true;
    addition_abandon(addition, lock);
    if (addition_walks_instead(addition, code, text))
        run_enqueue(run, addition);
    else if (outgrown)
        addition_finish(addition, PKGCACHE_SKIPPED, "%s", run_outgrown);
    else if (addition->cancelled && code == ECANCELED)
        addition_finish(addition, PKGCACHE_FAILED, "cancelled");
    else if (stopped && code == ECANCELED)
        addition_finish(addition, PKGCACHE_SKIPPED, "%s", stopped);
    else
        addition_finish(addition, PKGCACHE_FAILED, "%s%s", text, error_advice(code));
    return false;
}
