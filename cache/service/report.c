/* What a daemon reports of itself. */
#include "cache/service/report.h"

#include "cache/service/job_report.h"
#include "cache/store/figures.h"

#include "engine/clock.h"

enum { FIGURES = 18 };

#define COUNT(key, metric, help, value)                                           \
    {                                                                             \
        key, "pkgcache_daemon_" metric, NULL, help, UNIT_COUNT, false, (value), 0 \
    }

static void list_figures(const struct server *server, struct figure ret[static FIGURES])
{
    const struct counters *counters = &server->counters;
    const struct jobs *jobs = &server->jobs;
    const struct figure figures[FIGURES] = {
        COUNT("requests", "requests_total", "Messages received.", counters->messages),
        COUNT("errors", "errors_total", "Answers that were errors.", counters->errors),
        COUNT("look_ups", "look_ups_total", "Variants looked up.", counters->look_ups),
        COUNT("hits", "look_up_hits_total", "Variants looked up that were cached.", counters->hits),
        COUNT("connections", "connections", "Open connections.", server->connections.count),
        COUNT("accepted", "connections_total", "Connections accepted.", counters->accepted),
        COUNT("refused", "refused_connections_total", "Connections refused.", counters->refused),
        COUNT("dropped", "dropped_connections_total", "Connections closed by the daemon.",
              counters->dropped),
        COUNT("jobs", "jobs", "Jobs in progress.", jobs->count),
        COUNT("jobs_ever", "jobs_total", "Jobs started.", counters->jobs),
        COUNT("waiting", "variants", "Variants in progress or waiting.", jobs->work_count),
        COUNT("variants_done", "variants_total", "Variants done.", counters->variants_done),
        COUNT("variants_failed", "failed_variants_total", "Variants that failed.",
              counters->variants_failed),
        COUNT("copied_files", "files_total", "Files copied.", jobs->files),
        COUNT("copied_bytes", "bytes_total", "Bytes copied.", jobs->bytes),
        COUNT("reused_files", "reused_files_total",
              "Of the files copied, those whose contents another cached variant had.",
              jobs->reused_files),
        COUNT("reused_bytes", "reused_bytes_total",
              "Of the bytes copied, those that another cached variant had.", jobs->reused_bytes),
        COUNT("leases", "leases", "Leases held by clients.", holds_count(&server->holds)),
    };
    for (size_t i = 0; i < FIGURES; i++)
        ret[i] = figures[i];
}

cJSON *report_build_counters(const struct server *server)
{
    struct figure figures[FIGURES];
    cJSON *counters = cJSON_CreateObject();
    list_figures(server, figures);
    for (size_t i = 0; i < FIGURES; i++)
        json_add_unsigned(counters, figures[i].key, figures[i].whole);
    return counters;
}

void report_append_metrics(const struct server *server, struct text *text)
{
    struct figure figures[FIGURES];
    list_figures(server, figures);
    figures_append_prometheus(text, pkgcache_path(server->cache), figures, FIGURES);
}

cJSON *report_build_status(const struct server *server)
{
    uint64_t age_ns = clock_monotonic_ns() - server->started_ns;
    cJSON *status = cJSON_CreateObject();
    json_add_integer(status, "pid", getpid());
    json_add_string_reference(status, "cache", pkgcache_path(server->cache));
    json_add_decimal(status, "seconds", (double)age_ns / (double)NS_PER_S, 3);
    json_add_item(status, "counters", report_build_counters(server));
    job_add_status(status, server->jobs.first, server->jobs.works);
    return status;
}
