/*
 * An addition whose publisher wrote down what is in it: it is made by that manifest, as long as
 * that is right. If it is not, the source is walked, as without it, and a warning says why.
 */
#include "cache/warm/published_supply.h"
#include "cache/warm/run.h"

enum { OPEN_MAX = 128 }; /* manifests and roots of additions that are not begun yet */

static void warn(struct addition *addition, const char *path, const char *why)
{
    const struct pkgcache_warm *warm = &addition->run->warm;
    char text[sizeof(((struct pkgcache_error *)0)->message) + 64];
    snprintf(text, sizeof(text), "its published manifest is not used, its source is walked: %s",
             why);
    warnings_add(&addition->warnings, path, text);
    if (warm->on_warning)
        warm->on_warning(warm->context, path, text);
}

int addition_take_published(struct addition *addition, struct root_check *check)
{
    if (!check->published) {
        if (check->unpublished.code != 0 && check->unpublished.code != ENOENT)
            warn(addition, check->root, check->unpublished.message);
        return 0;
    }
    struct run *run = addition->run;
    struct published_payload payload = {
        .handle = addition->variant->handle,
        .root = check->root,
        .waits = copyengine_is_remote(check->fd),
        .device = check->device,
        .inode = check->inode,
        .root_fd = -1,
        .keeps_links = run->cache->options.symlinks == COPYENGINE_SYMLINKS_KEEP,
    };
    if (run->published_open < OPEN_MAX) { /* the others are opened again */
        run->published_open++;
        addition->published_is_open = true;
        payload.root_fd = steal_fd(&check->fd);
        payload.published = STEAL(check->published);
    }
    int result = published_supply_new(&payload, &addition->published);
    addition->supply = addition->published;
    return result;
}

void addition_begin_published(struct addition *addition)
{
    if (addition->published_is_open)
        addition->run->published_open--;
    addition->published_is_open = false;
}

void addition_forget_published(struct addition *addition)
{
    if (!addition->published)
        return;
    addition_begin_published(addition);
    addition->published->kind->release(addition->published);
    addition->published = addition->supply = NULL;
}

bool addition_walks_instead(struct addition *addition, int code, const char *why)
{
    if (!addition->published || addition->cancelled || !published_supply_is_wrong(code))
        return false;
    warn(addition, addition->variant->root, why);
    addition_forget_published(addition);
    addition->result->files = addition->result->fetched_files = addition->result->reused_files = 0;
    addition->result->bytes = addition->result->fetched_bytes = addition->result->reused_bytes = 0;
    return true;
}
