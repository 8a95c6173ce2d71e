/* Cleaning, counting and listing, as errands. */
#include "cache/service/upkeep.h"

#include "cache/clean/sharing.h"
#include "cache/service/listing.h"
#include "cache/service/report.h"
#include "cache/store/cache.h"
#include "cache/store/figures.h"
#include "cache/store/log.h"
#include "cache/store/stats.h"
#include "cache/util/error.h"
#include "cache/util/file.h"

#include <fcntl.h>
#include <string.h>

/* Of an answer of method list: half of what a connection may leave unread before it is closed. Some
 * 40,000 variants; who has more lists them without a daemon, as fast. */
enum { LIST_BYTES_MAX = 16 << 20 };

enum { SHARE_AT_ONCE_S = 5 }; /* so that other upkeep has its turn, and copies are not slowed */

/** A clean under way. */
struct cleaning_errand {
    struct errand errand;
    struct call *call;
    struct pkgcache_clean clean;
    int result;
    struct pkgcache_error error;
    uint64_t removed;
    uint64_t bytes;
    uint64_t kept;
    uint64_t failed;
};

/** Sharing under way. */
struct sharing_errand {
    struct errand errand;
    struct server *server;
    struct pkgcache_clean clean;
    uint64_t copied; /* see shared_at */
    int result;
    struct pkgcache_error error;
};

/** Counting under way. */
struct counting_errand {
    struct errand errand;
    struct server *server;
    struct call *call; /* NULL: for the file */
    bool prometheus;
    int result;
    struct pkgcache_error error;
    struct pkgcache_stats stats;
};

/** A listing under way. */
struct listing_errand {
    struct errand errand;
    struct call *call;
    int stop_fd;
    int result;
    struct pkgcache_error error;
    struct json_stream answer;
};

/* Has something done for a call, which `kept` is to be; or fails the call, and frees `memory`. */
static void add_errand(struct errands *errands, const struct call *call, struct call **kept,
                       struct errand *errand, void *memory)
{
    *kept = call_keep(call);
    if (*kept && errands_add(errands, errand) == 0)
        return;
    if (*kept)
        call_fail(call, MESSAGE_BUSY, 0, "too many requests wait already: try again later");
    else
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
    call_free(*kept);
    free(memory);
}

/* Answers that it failed. */
static void fail_call(const struct call *call, const struct pkgcache_error *error)
{
    if (error->code == ECANCELED)
        call_fail(call, MESSAGE_STOPPING, 0, "the daemon is stopping");
    else
        call_fail(call, error->code == ETIMEDOUT ? MESSAGE_BUSY : MESSAGE_FAILED, error->code, "%s",
                  error->message);
}

static void on_removed(void *context, const struct pkgcache_cleaned *cleaned)
{
    struct cleaning_errand *cleaning = context;
    cleaning->removed++;
    cleaning->bytes += cleaned->freed_bytes;
}

static void on_kept(void *context, const struct pkgcache_cleaned *cleaned)
{
    (void)cleaned;
    ((struct cleaning_errand *)context)->kept++;
}

static void on_failed(void *context, const char *path, const char *why)
{
    (void)path;
    (void)why;
    ((struct cleaning_errand *)context)->failed++;
}

static void run_clean(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct cleaning_errand *cleaning = CONTAINER_OF(errand, struct cleaning_errand, errand);
    cleaning->result = cache ? pkgcache_clean(cache, &cleaning->clean, error) : -error->code;
    cleaning->error = *error;
}

static void end_clean(struct errand *errand)
{
    struct cleaning_errand *cleaning = CONTAINER_OF(errand, struct cleaning_errand, errand);
    struct call *call = cleaning->call;
    if (cleaning->result < 0) {
        fail_call(call, &cleaning->error);
    } else {
        cJSON *result = cJSON_CreateObject();
        json_add_boolean(result, "dry_run", cleaning->clean.dry_run);
        json_add_unsigned(result, "deleted", cleaning->removed);
        json_add_unsigned(result, "kept", cleaning->kept);
        json_add_unsigned(result, "failed", cleaning->failed);
        json_add_unsigned(result, "bytes", cleaning->bytes);
        call_answer(call, result);
    }
    call_free(call);
    free(cleaning);
}

void upkeep_clean(struct server *server, const struct call *call, bool dry_run,
                  unsigned time_limit_s)
{
    struct cleaning_errand *cleaning = calloc(1, sizeof(*cleaning));
    if (!cleaning) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        return;
    }
    *cleaning = (struct cleaning_errand){
        .errand = {.run = run_clean, .done = end_clean},
        .clean = server->limits.clean,
    };
    cleaning->clean.size = sizeof(cleaning->clean);
    cleaning->clean.dry_run = dry_run;
    cleaning->clean.time_limit_s = time_limit_s;
    cleaning->clean.cancel_fd = errands_stop_fd(server->upkeep);
    cleaning->clean.on_removed = on_removed;
    cleaning->clean.on_kept = on_kept;
    cleaning->clean.on_failed = on_failed;
    cleaning->clean.context = cleaning;
    add_errand(server->upkeep, call, &cleaning->call, &cleaning->errand, cleaning);
}

static void run_share(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct sharing_errand *sharing = CONTAINER_OF(errand, struct sharing_errand, errand);
    sharing->result = cache ? sharing_run_alone(cache, &sharing->clean, error) : -error->code;
    sharing->error = *error;
}

static void end_share(struct errand *errand)
{
    struct sharing_errand *sharing = CONTAINER_OF(errand, struct sharing_errand, errand);
    struct server *server = sharing->server;
    server->shares = false;
    if (sharing->result != CLEANING_TIME_IS_OVER)
        server->shared_at = sharing->copied;
    if (sharing->result < 0 && sharing->result != -ECANCELED)
        log_write(server->cache, LOGGED_WARNING, "Daemon: could not share blocks: %s",
                  sharing->error.message);
    free(sharing);
}

void upkeep_share(struct server *server)
{
    struct stats_totals totals;
    if (server->limits.share_idle_s == 0 || server->shares ||
        stats_read(server->cache, &totals) < 0)
        return;
    uint64_t copied = totals.counters[STATS_COPIES] + 1;
    if (server->shared_at == copied)
        return;
    struct sharing_errand *sharing = calloc(1, sizeof(*sharing));
    if (!sharing)
        return;
    *sharing = (struct sharing_errand){
        .errand = {.run = run_share, .done = end_share},
        .server = server,
        .copied = copied,
        .clean = {.time_limit_s = SHARE_AT_ONCE_S, .cancel_fd = errands_stop_fd(server->upkeep)},
    };
    server->shares = errands_add(server->upkeep, &sharing->errand) == 0;
    if (!server->shares)
        free(sharing);
}

static void run_count(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct counting_errand *counting = CONTAINER_OF(errand, struct counting_errand, errand);
    counting->stats.size = sizeof(counting->stats);
    counting->result = cache ? pkgcache_stats(cache, &counting->stats, error) : -error->code;
    counting->error = *error;
}

static void append_metrics(const struct server *server, const struct pkgcache_stats *stats,
                           struct text *text)
{
    struct figure figures[FIGURES_MAX];
    size_t count = figures_of_stats(stats, figures);
    figures_append_prometheus(text, pkgcache_path(server->cache), figures, count);
    report_append_metrics(server, text);
}

static void answer_stats(const struct counting_errand *counting)
{
    CLEANUP_TEXT struct text text = {0};
    if (counting->result < 0) {
        fail_call(counting->call, &counting->error);
        return;
    }
    cJSON *result = cJSON_CreateObject();
    if (counting->prometheus) {
        append_metrics(counting->server, &counting->stats, &text);
        json_add_string(result, "text", text.bytes ? text.bytes : "");
    } else {
        json_add_item(result, "cache", figures_build_stats(&counting->stats));
        json_add_item(result, "daemon", report_build_counters(counting->server));
    }
    call_answer(counting->call, result);
}

/* Aside, and renamed: node_exporter reads it at any moment. */
static void replace_file(const char *path, const struct text *text)
{
    CLEANUP_FREE char *aside = NULL;
    if (text->error < 0 || file_check_place(path, NULL) < 0 ||
        asprintf(&aside, "%s.%d", path, (int)getpid()) < 0)
        return;
    CLEANUP_CLOSE int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0 &&
        (write(fd, text->bytes, text->length) != (ssize_t)text->length || rename(aside, path) < 0))
        unlink(aside);
}

static void end_count(struct errand *errand)
{
    struct counting_errand *counting = CONTAINER_OF(errand, struct counting_errand, errand);
    struct server *server = counting->server;
    if (counting->call) {
        answer_stats(counting);
    } else {
        CLEANUP_TEXT struct text text = {0};
        server->writes_metrics = false;
        if (counting->result == 0)
            append_metrics(server, &counting->stats, &text);
        if (text.length > 0)
            replace_file(server->metrics_path, &text);
    }
    call_free(counting->call);
    free(counting);
}

static struct counting_errand *make_counting(struct server *server)
{
    struct counting_errand *counting = calloc(1, sizeof(*counting));
    if (counting)
        *counting = (struct counting_errand){.errand = {.run = run_count, .done = end_count},
                                             .server = server};
    return counting;
}

void upkeep_stats(struct server *server, const struct call *call, bool prometheus)
{
    struct counting_errand *counting = make_counting(server);
    if (!counting) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        return;
    }
    counting->prometheus = prometheus;
    add_errand(server->upkeep, call, &counting->call, &counting->errand, counting);
}

void upkeep_write_metrics(struct server *server)
{
    struct counting_errand *counting = server->writes_metrics ? NULL : make_counting(server);
    if (!counting)
        return;
    server->writes_metrics = errands_add(server->upkeep, &counting->errand) == 0;
    if (!server->writes_metrics)
        free(counting);
}

static int on_listed(void *context, const struct pkgcache_entry *entry)
{
    struct listing_errand *listing = context;
    if (cache_is_cancelled(listing->stop_fd))
        return -ECANCELED;
    json_stream_add(&listing->answer, listing_build(entry));
    const struct text *text = &listing->answer.text;
    return text->length > LIST_BYTES_MAX ? -EMSGSIZE : text->error;
}

static void run_list(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct listing_errand *listing = CONTAINER_OF(errand, struct listing_errand, errand);
    message_open_result(&listing->answer, listing->call->id);
    json_stream_open(&listing->answer, "variants", '[');
    int result = cache ? pkgcache_list(cache, on_listed, listing, error) : -error->code;
    json_stream_close(&listing->answer, ']');
    message_close_result(&listing->answer);
    if (result == -EMSGSIZE)
        error_set(error, EMSGSIZE,
                  "the list is longer than an answer may be (%d MiB): list the variants without "
                  "the daemon",
                  LIST_BYTES_MAX >> 20);
    listing->result = result;
    listing->error = *error;
}

static void end_list(struct errand *errand)
{
    struct listing_errand *listing = CONTAINER_OF(errand, struct listing_errand, errand);
    struct call *call = listing->call;
    if (listing->result < 0)
        fail_call(call, &listing->error);
    else
        call_answer_stream(call, &listing->answer);
    call_free(call);
    json_stream_end(&listing->answer);
    free(listing);
}

void upkeep_list(struct server *server, const struct call *call)
{
    struct listing_errand *listing = calloc(1, sizeof(*listing));
    if (!listing) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        return;
    }
    *listing = (struct listing_errand){
        .errand = {.run = run_list, .done = end_list},
        .stop_fd = errands_stop_fd(server->listing),
    };
    add_errand(server->listing, call, &listing->call, &listing->errand, listing);
}
