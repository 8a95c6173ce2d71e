/* What a daemon reports of itself. */
#include "cache/service/report.h"

#include "cache/service/job_report.h"

#include "engine/clock.h"

#include <inttypes.h>

/** A number, and what it is called in JSON and in Prometheus. */
struct figure {
    const char *key;
    const char *metric;
    const char *help;
    uint64_t value;
};

enum { FIGURES = 16 };

static void list_figures(const struct server *server, struct figure ret[static FIGURES])
{
    const struct counters *counters = &server->counters;
    const struct jobs *jobs = &server->jobs;
    const struct figure figures[FIGURES] = {
        {"requests", "requests_total", "Messages received.", counters->messages},
        {"errors", "errors_total", "Answers that were errors.", counters->errors},
        {"look_ups", "look_ups_total", "Variants looked up.", counters->look_ups},
        {"hits", "look_up_hits_total", "Variants looked up that were cached.", counters->hits},
        {"connections", "connections", "Open connections.", server->connections.count},
        {"accepted", "connections_total", "Connections accepted.", counters->accepted},
        {"refused", "refused_connections_total", "Connections refused.", counters->refused},
        {"dropped", "dropped_connections_total", "Connections closed by the daemon.",
         counters->dropped},
        {"jobs", "jobs", "Jobs in progress.", jobs->count},
        {"jobs_ever", "jobs_total", "Jobs started.", counters->jobs},
        {"waiting", "variants", "Variants in progress or waiting.", jobs->work_count},
        {"variants_done", "variants_total", "Variants done.", counters->variants_done},
        {"variants_failed", "failed_variants_total", "Variants that failed.",
         counters->variants_failed},
        {"copied_files", "files_total", "Files copied.", jobs->files},
        {"copied_bytes", "bytes_total", "Bytes copied.", jobs->bytes},
        {"leases", "leases", "Leases held by clients.", holds_count(&server->holds)},
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
        json_add_unsigned(counters, figures[i].key, figures[i].value);
    return counters;
}

void report_append_metrics(const struct server *server, struct text *text)
{
    static const char suffix[] = "_total";
    struct figure figures[FIGURES];
    list_figures(server, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        const struct figure *figure = &figures[i];
        size_t length = strlen(figure->metric);
        bool counter = length > strlen(suffix) &&
                       strcmp(figure->metric + length - strlen(suffix), suffix) == 0;
        text_printf(text,
                    "# HELP pkgcache_daemon_%s %s\n# TYPE pkgcache_daemon_%s %s\n"
                    "pkgcache_daemon_%s %" PRIu64 "\n",
                    figure->metric, figure->help, figure->metric, counter ? "counter" : "gauge",
                    figure->metric, figure->value);
    }
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
