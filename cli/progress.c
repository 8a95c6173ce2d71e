/*
 * The progress line, or a line now and then for logs, or JSON. Nothing here has a clock of its own:
 * when nothing completes, nothing is shown.
 */
#include "cli/progress.h"

#include "cache/json/visible.h"
#include "cache/util/text.h"
#include "cli/output_parts.h"
#include "engine/clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    RATE_SAMPLES = 10,
    RATE_STEP_MS = 500, /* between two of them: the rate is that of the last five seconds */
    COLUMNS_DEFAULT = 80,
    COLUMNS_MIN = 20,
};

struct sample {
    uint64_t ns; /* CLOCK_MONOTONIC */
    uint64_t bytes;
};

static struct {
    bool line;
    bool json;
    bool shown;
    uint64_t start_ns;
    uint64_t interval_ns;                /* at least, between two lines; 0: this is not for a log */
    uint64_t logged_ns;                  /* when the last one was due */
    struct sample samples[RATE_SAMPLES]; /* a ring; the newest is number sample_count - 1 */
    size_t sample_count;
} state;

void progress_start(const struct options *options)
{
    state.start_ns = state.logged_ns = clock_monotonic_ns();
    state.sample_count = 0;
    state.interval_ns = options->stats_interval_s * NS_PER_S;
    state.json = options->progress == WHEN_JSON;
    state.line = !state.interval_ns && (options->progress == WHEN_ALWAYS ||
                                        (options->progress == WHEN_AUTO && isatty(STDERR_FILENO) &&
                                         options->verbosity >= 0 && !options->json));
}

/* Bytes per second, lately. */
static double rate_of(uint64_t now_ns, uint64_t bytes)
{
    const struct sample first = {.ns = state.start_ns};
    size_t count = state.sample_count;
    const struct sample *newest = count ? &state.samples[(count - 1) % RATE_SAMPLES] : &first;
    const struct sample *oldest =
        count >= RATE_SAMPLES ? &state.samples[count % RATE_SAMPLES] : &first;
    double seconds = (double)(now_ns - oldest->ns) / NS_PER_S;
    double rate =
        seconds > 0 && bytes > oldest->bytes ? (double)(bytes - oldest->bytes) / seconds : 0;
    if (now_ns >= newest->ns + RATE_STEP_MS * NS_PER_MS)
        state.samples[state.sample_count++ % RATE_SAMPLES] = (struct sample){now_ns, bytes};
    return rate;
}

/* "1:02", "1:00:02" */
static void append_duration(struct text *text, uint64_t seconds)
{
    if (seconds >= 3600)
        text_printf(text, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60,
                    seconds % 60);
    else
        text_printf(text, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
}

/* The part that is done, for the time left; 0: not known. Where only variants are counted it is a
 * guess, which is not worth a percentage. */
static double part_done(const struct pkgcache_progress *progress)
{
    if (progress->files_total > 0)
        return (double)progress->files / (double)progress->files_total;
    if (progress->variants > 0)
        return (double)progress->variants_done / (double)progress->variants;
    return 0;
}

/* What matters most comes first: narrow terminals show no more. */
static void append_all(struct text *text, const struct pkgcache_progress *progress,
                       const char *current)
{
    char bytes[16];
    char rate[16];
    uint64_t now_ns = clock_monotonic_ns();
    double seconds = (double)(now_ns - state.start_ns) / NS_PER_S;
    double part = part_done(progress);
    if (progress->files_total > 0)
        text_printf(text, "%.0f%%  ", part * 100);
    if (progress->variants)
        text_printf(text, "%zu/%zu variants  ", progress->variants_done, progress->variants);
    text_printf(text, "%" PRIu64 " %s  %s  %s/s  ", progress->files,
                output_plural(progress->files, "file", "files"),
                output_bytes((double)progress->bytes, bytes),
                output_bytes(rate_of(now_ns, progress->bytes), rate));
    append_duration(text, (uint64_t)seconds);
    if (part > 0 && part < 1) {
        text_append_string(text, ", ");
        append_duration(text, (uint64_t)(seconds * (1 - part) / part + 0.5));
        text_append_string(text, " left");
    }
    if (current) {
        text_append_string(text, "  ");
        visible_append(text, current, strlen(current));
    }
}

/* Where a text ends that is to have so many columns; each character counts as one. */
static size_t fitting_length(const char *text, size_t columns)
{
    size_t length = 0;
    for (; text[length]; length++)
        if (((unsigned char)text[length] & 0xc0) != 0x80 && columns-- == 0) /* not inside UTF-8 */
            break;
    return length;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return MAX(size.ws_col, COLUMNS_MIN);
}

static void show_line(const struct pkgcache_progress *progress, const char *current)
{
    CLEANUP_TEXT struct text text = {0};
    append_all(&text, progress, current);
    if (text.error < 0)
        return;
    /* One column stays free: behind a full line, some terminals begin the next one. */
    fprintf(stderr, "\r\033[K%.*s", (int)fitting_length(text.bytes, terminal_columns() - 1),
            text.bytes);
    fflush(stderr);
    state.shown = true;
}

static void log_line(const struct pkgcache_progress *progress, const char *current)
{
    CLEANUP_TEXT struct text text = {0};
    append_all(&text, progress, current);
    if (text.error == 0)
        fprintf(stderr, "pkgcache: %s\n", text.bytes);
}

static void show_json(const struct pkgcache_progress *progress, const char *current)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "variants", progress->variants);
    json_add_unsigned(object, "variants_done", progress->variants_done);
    json_add_unsigned(object, "files", progress->files);
    json_add_unsigned(object, "bytes", progress->bytes);
    if (progress->files_total > 0)
        json_add_unsigned(object, "files_total", progress->files_total);
    if (current)
        json_add_string(object, "current", current);
    json_add_decimal(object, "seconds", (double)(clock_monotonic_ns() - state.start_ns) / NS_PER_S,
                     3);
    output_json_line(object);
}

/* Whether --stats, if it is there, wants to hear of it now. */
static bool is_due(void)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns < state.logged_ns + state.interval_ns)
        return false;
    state.logged_ns = now_ns;
    return true;
}

void progress_show(const struct pkgcache_progress *progress, const char *current)
{
    if (!is_due())
        return;
    if (state.json)
        show_json(progress, current);
    else if (state.interval_ns)
        log_line(progress, current);
    else if (state.line)
        show_line(progress, current);
}

void progress_clear(void)
{
    if (state.shown)
        fputs("\r\033[K", stderr);
    state.shown = false;
}
