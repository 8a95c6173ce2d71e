/* Keeping the facts, and saying them as JSON. */
#include "cache/preload/farm_run.h"

#include "cache/json/json_stream.h"

#include <string.h>

enum { TIME_DIGITS = 3 };

const char *farm_state_name(enum farm_state state)
{
    static const char *const names[] = {"waiting", "running", "done", "failed"};
    return names[state];
}

int farm_run_set_nodes(struct farm_run *run, const struct farm_names *names)
{
    run->nodes = calloc(names->count + 1, sizeof(*run->nodes));
    if (!run->nodes)
        return -ENOMEM;
    for (size_t i = 0; i < names->count; i++) {
        run->nodes[i].name = strdup(names->items[i]);
        if (!run->nodes[i].name)
            return -ENOMEM;
        run->node_count++;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strverscmp(((const struct farm_node *)a)->name, ((const struct farm_node *)b)->name);
}

struct farm_node *farm_run_find(const struct farm_run *run, const char *name, size_t length)
{
    char copy[FARM_NAME_MAX + 1] = "";
    if (length > FARM_NAME_MAX || run->node_count == 0)
        return NULL;
    memcpy(copy, name, length);
    const struct farm_node key = {.name = copy};
    return bsearch(&key, run->nodes, run->node_count, sizeof(key), compare);
}

int farm_node_set_why(struct farm_node *node, const char *why)
{
    char *copy = why ? strdup(why) : NULL;
    if (why && !copy)
        return -ENOMEM;
    free(node->why);
    node->why = copy;
    return 0;
}

int farm_run_add_failure(struct farm_run *run, size_t node, const char *variant, const char *why)
{
    if (run->failure_count == FARM_FAILURES_MAX)
        return 0;
    if (run->failure_count == run->failure_capacity) {
        size_t capacity = MAX(2 * run->failure_capacity, (size_t)16);
        struct farm_failure *items = reallocarray(run->failures, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        run->failures = items;
        run->failure_capacity = capacity;
    }
    struct farm_failure *failure = &run->failures[run->failure_count++];
    *failure = (struct farm_failure){
        .node = node, .variant = strdup(variant), .why = strdup(why ? why : "it did not say why")};
    return failure->variant && failure->why ? 0 : -ENOMEM;
}

static void free_failure(struct farm_failure *failure)
{
    free(failure->variant);
    free(failure->why);
}

void farm_run_drop_failures(struct farm_run *run, size_t node)
{
    size_t kept = 0;
    for (size_t i = 0; i < run->failure_count; i++)
        if (run->failures[i].node == node)
            free_failure(&run->failures[i]);
        else
            run->failures[kept++] = run->failures[i];
    run->failure_count = kept;
}

void farm_run_begin_phase(struct farm_run *run, const char *name, double at_s)
{
    if (run->phase_count > 0 && run->phases[run->phase_count - 1].end_s == 0)
        run->phases[run->phase_count - 1].end_s = at_s;
    if (name && run->phase_count < FARM_PHASES)
        run->phases[run->phase_count++] = (struct farm_phase){.name = name, .begin_s = at_s};
}

int farm_run_exit_code(const struct farm_run *run)
{
    size_t whole = 0;
    size_t some = 0;
    bool refused = false;
    for (size_t i = 0; i < run->node_count; i++) {
        whole += run->nodes[i].state == FARM_DONE;
        some += run->nodes[i].done > 0;
    }
    for (size_t i = 0; i < run->failure_count; i++)
        refused = refused || run->failures[i].node == FARM_NO_NODE;
    if (whole == run->node_count && !refused)
        return FARM_EXIT_DONE;
    return whole > 0 || some > 0 ? FARM_EXIT_PARTLY : FARM_EXIT_FAILED;
}

/* --- as JSON --- */

static const char *run_state(const struct farm_run *run)
{
    if (run->end_s == 0)
        return "running";
    switch (run->exit_code) {
    case FARM_EXIT_DONE:
        return "done";
    case FARM_EXIT_PARTLY:
        return "partly";
    case FARM_EXIT_CANCELLED:
        return "cancelled";
    default:
        return "failed";
    }
}

/* 0 stands for what has not been yet. */
static void add_time(cJSON *object, const char *name, double at_s)
{
    if (at_s == 0)
        json_add_null(object, name);
    else
        json_add_decimal(object, name, at_s, TIME_DIGITS);
}

static cJSON *build_head(const struct farm_run *run)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "run", run->id);
    json_add_string(object, "launcher", run->launcher);
    json_add_string(object, "state", run_state(run));
    if (run->end_s == 0)
        json_add_null(object, "exit");
    else
        json_add_integer(object, "exit", run->exit_code);
    add_time(object, "begin", run->begin_s);
    add_time(object, "end", run->end_s);
    cJSON *fanout = json_add_object(object, "fanout");
    json_add_string(fanout, "asked", run->fanout_asked);
    json_add_string(fanout, "chosen", run->fanout);
    json_add_string(fanout, "why", run->fanout_why);
    json_add_string(object, "cache", run->cache);
    json_add_unsigned(object, "variants", run->variants);
    return object;
}

static cJSON *build_phase(const struct farm_phase *phase)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "name", phase->name);
    add_time(object, "begin", phase->begin_s);
    add_time(object, "end", phase->end_s);
    return object;
}

static cJSON *build_node(const struct farm_run *run, const struct farm_node *node)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "node", node->name);
    json_add_string(object, "state", farm_state_name(node->state));
    json_add_unsigned(object, "variants", run->variants);
    json_add_unsigned(object, "done", node->done);
    json_add_unsigned(object, "found", node->found);
    json_add_unsigned(object, "created", node->created);
    json_add_unsigned(object, "failed", node->failed);
    json_add_unsigned(object, "files", node->files);
    json_add_unsigned(object, "bytes", node->bytes);
    json_add_unsigned(object, "source_bytes", node->source_bytes);
    json_add_unsigned(object, "pack_bytes", node->pack_bytes);
    add_time(object, "begin", node->begin_s);
    add_time(object, "end", node->end_s);
    json_add_decimal(object, "seconds", node->seconds, TIME_DIGITS);
    json_add_unsigned(object, "attempts", node->attempts);
    json_add_string(object, "why", node->why);
    return object;
}

static cJSON *build_failure(const struct farm_run *run, const struct farm_failure *failure)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "node",
                    failure->node == FARM_NO_NODE ? NULL : run->nodes[failure->node].name);
    json_add_string(object, "variant", failure->variant);
    json_add_string(object, "why", failure->why);
    return object;
}

int farm_run_write(FILE *file, const struct farm_run *run)
{
    struct json_stream stream = {.file = file};
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, build_head(run));
    json_stream_open(&stream, "phases", '[');
    for (size_t i = 0; i < run->phase_count; i++)
        json_stream_add(&stream, build_phase(&run->phases[i]));
    json_stream_close(&stream, ']');
    json_stream_open(&stream, "nodes", '[');
    for (size_t i = 0; i < run->node_count; i++)
        json_stream_add(&stream, build_node(run, &run->nodes[i]));
    json_stream_close(&stream, ']');
    json_stream_open(&stream, "failures", '[');
    for (size_t i = 0; i < run->failure_count; i++)
        json_stream_add(&stream, build_failure(run, &run->failures[i]));
    json_stream_close(&stream, ']');
    json_stream_close(&stream, '}');
    return json_stream_end(&stream);
}

void farm_run_free(struct farm_run *run)
{
    for (size_t i = 0; i < run->node_count; i++) {
        free(run->nodes[i].name);
        free(run->nodes[i].why);
    }
    for (size_t i = 0; i < run->failure_count; i++)
        free_failure(&run->failures[i]);
    free(run->nodes);
    free(run->failures);
    free(run->id);
    free(run->launcher);
    free(run->fanout_asked);
    free(run->fanout);
    free(run->fanout_why);
    free(run->cache);
    *run = (struct farm_run){0};
}
