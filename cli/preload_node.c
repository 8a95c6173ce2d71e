/* The part of preload that runs on a node: an order on standard input, a report on standard output.
 * Each line is short and has the node's name (cache/preload/farm_line.h). */
#include "cache/preload/farm_doctor.h"
#include "cache/store/lookup.h"
#include "cache/util/file.h"
#include "cache/util/utf8.h"
#include "cli/exit.h"
#include "cli/fill.h"
#include "cli/output.h"
#include "cli/preload.h"
#include "cli/preload_receive.h"
#include "cli/preload_unpack.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

enum {
    SOURCE_SHARE = 10
}; /* a pack's node takes a tenth of the variants from the source, at most */

/* --- looking --- */

static int look(struct preload_node *node, struct pkgcache_error *error)
{
    struct pkgcache_options options = settings_cache_options(&node->settings);
    const char *path = node->settings.values[SETTING_CACHE].text;
    int result = pkgcache_open(path, &options, false, &node->cache, error);
    if (result == 0 || result == -ENOENT)
        result = farm_doctor_check_writable(path, error); /* better known now than later */
    for (size_t i = 0; i < node->sources.variants.count && result == 0; i++) {
        const struct pkgcache_handle *handle = node->sources.variants.items[i].handle;
        bool found = handle && node->cache && slot_is_cached(node->cache, handle);
        preload_tell_variant(node, i, found ? FARM_LINE_FOUND : FARM_LINE_MISSING, false, NULL);
    }
    return result;
}

/* --- warming --- */

static void tell_result(struct preload_node *node, size_t variant,
                        const struct pkgcache_result *result)
{
    switch (result->status) {
    case PKGCACHE_FOUND:
        preload_tell_variant(node, variant, FARM_LINE_FOUND, false, result);
        return;
    case PKGCACHE_CREATED:
        preload_tell_variant(node, variant, FARM_LINE_CREATED, false, result);
        return;
    default:
        preload_tell_variant(node, variant, FARM_LINE_FAILED, false, result);
        return;
    }
}

static void on_result(void *context, size_t index, const struct pkgcache_result *result)
{
    struct preload_node *node = context;
    if (result->status == PKGCACHE_FOUND || result->status == PKGCACHE_CREATED)
        tell_result(node, node->additions->places[index], result);
}

static int warm_additions(void *context, struct source_additions *additions,
                          struct pkgcache_error *error)
{
    struct preload_node *node = context;
    const struct pkgcache_warm warm = {
        .size = sizeof(struct pkgcache_warm),
        .variant_size = sizeof(struct pkgcache_variant),
        .result_size = sizeof(struct pkgcache_result),
        .variants = additions->variants,
        .count = additions->count,
        .cancel_fd = signals_fd(),
        .on_result = on_result,
        .context = node,
    };
    node->additions = additions;
    return pkgcache_warm(node->cache, &warm, additions->results, error);
}

static int open_cache_to_fill(struct preload_node *node, struct pkgcache_error *error)
{
    struct pkgcache_options options = settings_cache_options(&node->settings);
    fill_make_default_parent(&node->settings);
    return pkgcache_open(node->settings.values[SETTING_CACHE].text, &options, true, &node->cache,
                         error);
}

/* Brings in what is not told yet. */
static int warm(struct preload_node *node, struct pkgcache_error *error)
{
    size_t count = node->sources.variants.count;
    CLEANUP_FREE struct pkgcache_result *results = calloc(count + 1, sizeof(*results));
    if (!results)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (node->told[i])
            source_variant_give_reason(&node->sources.variants.items[i], 0, "it is told");
    int result = sources_warm(&node->sources, warm_additions, node, results, error);
    for (size_t i = 0; i < count && result == 0; i++)
        tell_result(node, i, &results[i]);
    pkgcache_results_free(results, sizeof(*results), count);
    if (result == -ECANCELED)
        return error_set(error, ECANCELED, PRELOAD_STOPPED);
    return result;
}

/* What was in the cache when the pack was made, and is not any more, comes from the source; but a
 * cache that is emptied on a thousand nodes does not make a thousand nodes read the source. */
static int warm_rest(struct preload_node *node, struct pkgcache_error *error)
{
    size_t most = MAX(node->sources.variants.count / SOURCE_SHARE, (size_t)1);
    for (size_t i = 0; i < node->sources.variants.count; i++) {
        const struct source_variant *variant = &node->sources.variants.items[i];
        const struct pkgcache_result evicted = {
            .reason = (char *)"it is not in the pack: it was evicted after the look; --resume "
                              "brings it in"};
        if (node->told[i] || !variant->handle)
            continue;
        if (slot_is_cached(node->cache, variant->handle))
            preload_tell_variant(node, i, FARM_LINE_FOUND, false, NULL);
        else if (most > 0)
            most--;
        else
            preload_tell_variant(node, i, FARM_LINE_FAILED, false, &evicted);
    }
    return warm(node, error);
}

static int fill(struct preload_node *node, struct pkgcache_error *error)
{
    int result = open_cache_to_fill(node, error);
    if (result < 0 || node->order.step == FARM_STEP_WARM)
        return result < 0 ? result : warm(node, error);
    result = node->order.step == FARM_STEP_PACK ? preload_unpack(node, node->order.pack.path, error)
                                                : preload_receive(node, error);
    return result < 0 ? result : warm_rest(node, error);
}

/* --- the order --- */

/* This host's settings, and above them the order's. */
static int read_settings(struct preload_node *node, struct pkgcache_error *error)
{
    enum {
        TO_FILL = SETTING_BIT(SETTING_CACHE) | SETTING_BIT(SETTING_SPACE_BUFFER) |
                  SETTING_BIT(SETTING_USED_THRESHOLD) | SETTING_BIT(SETTING_SAME_DEVICE) |
                  SETTING_BIT(SETTING_LOCAL)
    };
    for (const struct json *one = node->order.settings->first; one; one = one->next) {
        int id = 0;
        while (id < SETTING_COUNT && !json_has_key(one, settings_table[id].name))
            id++;
        if (id == SETTING_COUNT || one->type != JSON_STRING)
            return error_set(error, ENOTSUP,
                             "the order has a setting that this pkgcache (%s) does not know: "
                             "install the same version on all nodes",
                             PKGCACHE_VERSION_STRING);
        CLEANUP_FREE char *value = malloc(one->text_length + 1);
        if (!value || utf8_to_path(one->text, one->text_length, value) < 0)
            return error_set(error, EINVAL, "the order has a setting that is no text");
        int result =
            settings_set(&node->settings, (enum setting_id)id, value, FARM_ORDER_ORIGIN, error);
        if (result < 0)
            return result;
    }
    return settings_complete(&node->settings, TO_FILL, error);
}

static int read_order(struct preload_node *node, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error why;
    int result = file_read(STDIN_FILENO, FARM_ORDER_MAX_BYTES, &text, &why);
    if (result < 0)
        return error_set(error, -result, "standard input: %.900s", why.message);
    result = sources_open(&node->sources, NULL, error);
    if (result == 0)
        result = farm_order_read(text.bytes ? text.bytes : "", text.length, &node->sources,
                                 &node->order, error);
    if (result == 0)
        result = sources_find_handles(&node->sources, error);
    if (result == 0)
        result = read_settings(node, error);
    if (result < 0)
        return result;
    node->told = calloc(node->sources.variants.count + 1, sizeof(*node->told));
    return node->told ? 0 : error_set(error, ENOMEM, "out of memory");
}

/* So that a thousand nodes do not begin in the same moment. */
static int wait_by_chance(unsigned jitter_s, struct pkgcache_error *error)
{
    uint32_t random = 0;
    if (jitter_s == 0 || getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        return 0;
    struct pollfd fd = {.fd = signals_fd(), .events = POLLIN};
    uint64_t pause_ms = (uint64_t)jitter_s * 1000 * random / UINT32_MAX;
    return poll(&fd, 1, (int)pause_ms) > 0 ? error_set(error, ECANCELED, "stopped by a signal") : 0;
}

/* Whether the run's directory is the submitter's here, too: a file there has its own name in it. */
static bool sees_share(const struct farm_order *order)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_CLOSE int fd = -1;
    return order->share && file_open_regular(AT_FDCWD, order->share, &fd, NULL) == 0 &&
           file_read(fd, PATH_MAX, &text, NULL) == 0 && text.length == strlen(order->share) &&
           memcmp(text.bytes, order->share, text.length) == 0;
}

static int obey(struct preload_node *node, struct pkgcache_error *error)
{
    struct farm_line begin = {.kind = FARM_LINE_BEGIN};
    int result = read_order(node, error);
    if (result < 0)
        return result;
    begin.sees_share = sees_share(&node->order);
    preload_tell(node, &begin);
    signals_open();
    if (node->order.step == FARM_STEP_LOOK)
        return look(node, error);
    result = wait_by_chance(node->order.jitter_s, error);
    return result < 0 ? result : fill(node, error);
}

int preload_on_node(struct options *options)
{
    struct preload_node node = {.begin_ns = clock_monotonic_ns()};
    struct pkgcache_error error;
    if (farm_doctor_find_name(node.name) < 0)
        return output_error(options, EXIT_FAILED, EINVAL,
                            "this host has no name that can stand in a report");
    int result = obey(&node, &error);
    int code = preload_tell_end(&node, result < 0 ? error.message : NULL);
    pkgcache_close(node.cache);
    sources_free(&node.sources);
    settings_free(&node.settings);
    farm_order_free(&node.order);
    free(node.told);
    return code;
}
