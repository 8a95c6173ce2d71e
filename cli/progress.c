/*
 * The progress line. How much there is to do is not known before the trees are walked, so the time
 * left is guessed from the variants that are done.
 */
#include "cli/progress.h"

#include "cli/output_parts.h"
#include "engine/clock.h"

#include <inttypes.h>

static struct {
    bool line;
    bool json;
    bool shown;
    uint64_t start_ns;
} state;

void progress_start(const struct options *options)
{
    state.start_ns = clock_monotonic_ns();
    state.json = options->progress == WHEN_JSON;
    state.line = options->progress == WHEN_ALWAYS ||
                 (options->progress == WHEN_AUTO && isatty(STDERR_FILENO) &&
                  options->verbosity >= 0 && !options->json);
}

static void show_line(const struct pkgcache_progress *progress, double seconds)
{
    char bytes[16];
    char rate[16];
    char left[32] = "";
    char variants[48] = "";
    if (progress->variants)
        snprintf(variants, sizeof(variants), "%zu/%zu variants  ", progress->variants_done,
                 progress->variants);
    if (progress->variants_done > 0 && progress->variants_done < progress->variants) {
        double each_s = seconds / (double)progress->variants_done;
        double left_s = each_s * (double)(progress->variants - progress->variants_done);
        snprintf(left, sizeof(left), "  %.0f s left", left_s);
    }
    fprintf(stderr, "\r\033[K%s%" PRIu64 " files  %s  %s/s%s", variants, progress->files,
            output_bytes((double)progress->bytes, bytes),
            output_bytes(seconds > 0 ? (double)progress->bytes / seconds : 0, rate), left);
    fflush(stderr);
    state.shown = true;
}

static void show_json(const struct pkgcache_progress *progress, double seconds)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "variants", progress->variants);
    json_add_unsigned(object, "variants_done", progress->variants_done);
    json_add_unsigned(object, "files", progress->files);
    json_add_unsigned(object, "bytes", progress->bytes);
    json_add_decimal(object, "seconds", seconds, 3);
    output_json_line(object);
}

void progress_show(const struct pkgcache_progress *progress)
{
    double seconds = (double)(clock_monotonic_ns() - state.start_ns) / NS_PER_S;
    if (state.json)
        show_json(progress, seconds);
    else if (state.line)
        show_line(progress, seconds);
}

void progress_clear(void)
{
    if (state.shown)
        fputs("\r\033[K", stderr);
    state.shown = false;
}
