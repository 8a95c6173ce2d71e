/* A file of a few numbers a run. */
#include "cache/preload/farm_rates.h"

#include "cache/json/json.h"
#include "cache/preload/farm_names.h"
#include "cache/store/own.h"
#include "cache/util/names.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
    RUNS_MAX = 50, /* that are read */
    FILE_MAX_BYTES = 4096,
    MILLISECONDS_MIN = 100, /* shorter phases show nothing */
};

#define BYTES_MIN (UINT64_C(4) << 20) /* less shows how long programs take to start */

/* --- writing --- */

/* Milliseconds of the only phase of that name; 0: there is none, or several. */
static uint64_t measure_phase(const struct farm_run *run, const char *name)
{
    uint64_t found = 0;
    for (size_t i = 0; i < run->phase_count; i++) {
        const struct farm_phase *phase = &run->phases[i];
        if (strcmp(phase->name, name) != 0)
            continue;
        if (found > 0 || phase->end_s <= phase->begin_s)
            return 0;
        found = (uint64_t)((phase->end_s - phase->begin_s) * 1000);
    }
    return found >= MILLISECONDS_MIN ? found : 0;
}

void farm_rates_write(const struct farm_directory *directory, const struct farm_history *history,
                      uint64_t packed_bytes)
{
    const struct farm_run *run = &history->run;
    CLEANUP_TEXT struct text text = {0};
    uint64_t source_bytes = 0;
    uint64_t pack_bytes = 0;
    size_t nodes = 0;
    for (size_t i = 0; i < run->node_count; i++) {
        source_bytes += run->nodes[i].source_bytes;
        pack_bytes += run->nodes[i].pack_bytes;
        nodes += run->nodes[i].bytes > 0;
    }
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "launcher", history->plan.launcher);
    json_add_string(object, "partition", history->plan.partition);
    json_add_string(object, "fanout", run->fanout);
    json_add_unsigned(object, "nodes", nodes);
    json_add_unsigned(object, "source_bytes", source_bytes);
    json_add_unsigned(object, "pack_bytes", pack_bytes);
    json_add_unsigned(object, "packed_bytes", packed_bytes);
    json_add_unsigned(object, "pack_ms", measure_phase(run, "pack"));
    json_add_unsigned(object, "spread_ms", measure_phase(run, "spread"));
    json_add_unsigned(object, "warm_ms", measure_phase(run, "warm"));
    json_print(&text, object);
    unlinkat(directory->fd, FARM_RATES_FILE, 0);
    farm_directory_write(directory, FARM_RATES_FILE, &text, NULL);
}

/* --- reading --- */

static bool has_text(const struct json *root, const char *name, const char *text)
{
    const struct json *value = json_member(root, name);
    return text ? json_is_string(value, text) : !value || value->type == JSON_NULL;
}

static double read_number(const struct json *root, const char *name)
{
    int64_t number;
    return json_integer(json_member(root, name), 0, INT64_MAX, &number) == 0 ? (double)number : 0;
}

/* What newer runs have shown stays. */
static void take_rate(const struct json *root, const char *bytes_name, double times,
                      const char *ms_name, double *rate)
{
    double bytes = read_number(root, bytes_name);
    double ms = read_number(root, ms_name);
    if (*rate <= 0 && bytes >= (double)BYTES_MIN && ms >= MILLISECONDS_MIN)
        *rate = bytes * times * 1000 / ms;
}

static void take_run(const struct json *root, struct farm_rates *rates)
{
    double nodes = read_number(root, "nodes");
    if (nodes < 1)
        return;
    take_rate(root, "packed_bytes", 1, "pack_ms", &rates->packing_bytes_s);
    if (has_text(root, "fanout", "source"))
        take_rate(root, "source_bytes", 1, "warm_ms", &rates->source_bytes_s);
    else if (has_text(root, "fanout", "tree"))
        take_rate(root, "pack_bytes", 1 / nodes, "spread_ms", &rates->cast_bytes_s);
    else if (has_text(root, "fanout", "pack"))
        take_rate(root, "pack_bytes", 1, "warm_ms", &rates->share_bytes_s);
}

/* A run of somebody else's may say anything. */
static void read_run(int base, const char *name, const struct farm_plan *plan,
                     struct farm_rates *rates)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct stat status;
    CLEANUP_CLOSE int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || !own_is_ours(&status) ||
        json_read_file(fd, FARM_RATES_FILE, FILE_MAX_BYTES, &document, NULL) < 0)
        return;
    if (has_text(document->root, "launcher", plan->launcher) &&
        has_text(document->root, "partition", plan->partition))
        take_run(document->root, rates);
}

/* Keeps the greatest names: runs are called by their time. */
static void keep_newest(char newest[RUNS_MAX][FARM_NAME_MAX + 1], size_t *count, const char *name)
{
    size_t at = *count;
    while (at > 0 && strcmp(name, newest[at - 1]) > 0)
        at--;
    if (at == RUNS_MAX)
        return;
    size_t moved = MIN(*count, (size_t)RUNS_MAX - 1) - at;
    memmove(newest[at + 1], newest[at], moved * sizeof(newest[0]));
    strcpy(newest[at], name); /* it is no longer than that */
    *count = MIN(*count + 1, (size_t)RUNS_MAX);
}

void farm_rates_read(const struct farm_directory *directory, const struct farm_plan *plan,
                     struct farm_rates *ret)
{
    struct names names;
    char newest[RUNS_MAX][FARM_NAME_MAX + 1];
    size_t count = 0;
    *ret = (struct farm_rates){0};
    CLEANUP_CLOSE int base = openat(directory->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return;
    bool opened = names_open(&names, base) == 0;
    for (const char *name; opened && (name = names_next(&names));)
        if (farm_name_is_sound(name) && strcmp(name, plan->id) != 0)
            keep_newest(newest, &count, name);
    names_close(&names);
    for (size_t i = 0; i < count; i++)
        read_run(base, newest[i], plan, ret);
}
