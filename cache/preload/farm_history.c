/* Replays the journal, and reads what the nodes have said; both from where it stopped last time. */
#include "cache/preload/farm_history.h"

#include "cache/json/json.h"
#include "cache/util/file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PLAN_MAX_BYTES = 256 << 20,
    EVENT_MAX_BYTES = 64 << 20,
    CHUNK_BYTES = 64 << 10,
};

/* --- one attempt's lines --- */

static size_t node_of(const struct farm_history *history, const struct json *name)
{
    if (!name || name->type != JSON_STRING)
        return FARM_NO_NODE;
    const struct farm_node *node = farm_run_find(&history->run, name->text, name->text_length);
    return node ? (size_t)(node - history->run.nodes) : FARM_NO_NODE;
}

static struct farm_report *report_of(const struct farm_history *history,
                                     const struct farm_attempt *attempt, const char *name)
{
    const struct farm_node *node = farm_run_find(&history->run, name, strlen(name));
    for (size_t i = 0; node && i < attempt->count; i++)
        if (&history->run.nodes[attempt->reports[i].node] == node)
            return &attempt->reports[i];
    return NULL;
}

/* What became of one variant on one node. */
static int take_variant(struct farm_history *history, size_t node_index,
                        const struct farm_line *line)
{
    struct farm_node *node = &history->run.nodes[node_index];
    if (line->variant >= history->plan.variant_count ||
        node->done + node->failed >= history->plan.variant_count) /* it says something twice */
        return 0;
    switch (line->status) {
    case FARM_LINE_MISSING:
        history->lacks[line->variant] = true;
        return 0;
    case FARM_LINE_FOUND:
        node->found++;
        break;
    case FARM_LINE_CREATED:
        node->created++;
        node->files += line->files;
        node->bytes += line->bytes;
        *(line->is_packed ? &node->pack_bytes : &node->source_bytes) += line->bytes;
        break;
    default:
        node->failed++;
        return farm_run_add_failure(&history->run, node_index,
                                    history->plan.variants[line->variant], line->reason);
    }
    node->done = node->found + node->created;
    return 0;
}

static int take_end(struct farm_history *history, const struct farm_attempt *attempt,
                    struct farm_report *report, const struct farm_line *line)
{
    struct farm_node *node = &history->run.nodes[report->node];
    size_t wanted = history->plan.variant_count;
    char why[64] = "";
    if (line->lines != report->lines)
        return 0; /* some were lost: it has not reported */
    report->has_ended = true;
    node->seconds = line->seconds;
    if (attempt->step != FARM_STEP_LOOK)
        node->failed = wanted - MIN(node->done, wanted);
    if (*line->reason) {
        node->state = FARM_FAILED;
        return farm_node_set_why(node, line->reason);
    }
    if (node->done == wanted) {
        node->state = FARM_DONE;
        return farm_node_set_why(node, NULL);
    }
    if (attempt->step == FARM_STEP_LOOK) {
        node->has_looked = true;
        node->state = FARM_WAITING;
        snprintf(why, sizeof(why), "%zu are missing", wanted - node->done);
    } else {
        node->state = FARM_FAILED;
        snprintf(why, sizeof(why), "%zu of %zu variants failed", wanted - node->done, wanted);
    }
    return farm_node_set_why(node, why);
}

static int take_line(struct farm_history *history, struct farm_attempt *attempt, const char *text,
                     size_t length)
{
    struct farm_line line;
    if (farm_line_parse(text, length, &line) < 0)
        return 0; /* what else a program or a shell there says */
    struct farm_report *report = report_of(history, attempt, line.node);
    if (!report || report->has_ended)
        return 0;
    if (line.kind == FARM_LINE_END)
        return take_end(history, attempt, report, &line);
    report->lines++;
    report->has_begun = true;
    if (line.kind == FARM_LINE_BEGIN)
        history->run.nodes[report->node].sees_share = line.sees_share;
    if (line.kind == FARM_LINE_READY) {
        report->is_ready = true;
        report->job = line.job;
        report->job_step = line.step;
    }
    if (line.kind == FARM_LINE_PART && line.is_bad)
        report->bad++;
    else if (line.kind == FARM_LINE_PART && line.part == report->parts)
        report->parts++;
    return line.kind == FARM_LINE_VARIANT ? take_variant(history, report->node, &line) : 0;
}

/* Takes the whole lines of some bytes. Returns how many bytes these were, or -ENOMEM. */
static ssize_t take_lines(struct farm_history *history, struct farm_attempt *attempt,
                          const char *bytes, size_t length)
{
    size_t begin = 0;
    for (const char *end; (end = memchr(bytes + begin, '\n', length - begin));) {
        size_t line_end = (size_t)(end - bytes);
        if (!attempt->is_skipping &&
            take_line(history, attempt, bytes + begin, line_end - begin) < 0)
            return -ENOMEM;
        attempt->is_skipping = false;
        begin = line_end + 1;
    }
    if (length - begin < CHUNK_BYTES)
        return (ssize_t)begin;
    attempt->is_skipping = true; /* no line of ours is as long as that */
    return (ssize_t)length;
}

static int read_output(const struct farm_directory *directory, struct farm_history *history,
                       struct farm_attempt *attempt)
{
    char name[32];
    char bytes[CHUNK_BYTES];
    struct stat status;
    farm_attempt_name(attempt, "out", name);
    CLEANUP_CLOSE int fd = file_open(directory->fd, name, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    /* A node that writes faster than we read is not to keep us here: what it adds is for later. */
    if (fstat(fd, &status) < 0)
        return -errno;
    while (attempt->offset < status.st_size) {
        ssize_t got = pread(fd, bytes, sizeof(bytes), attempt->offset);
        if (got < 0)
            return -errno;
        ssize_t taken = take_lines(history, attempt, bytes, (size_t)got);
        if (taken < 0)
            return (int)taken;
        attempt->offset += taken;
        if (taken == 0)
            return 0;
    }
    return 0;
}

/* --- events --- */

static double read_time(const struct json *event)
{
    const struct json *at = json_member(event, "at");
    return at && (at->type == JSON_REAL || at->type == JSON_INTEGER) ? strtod(at->text, NULL) : 0;
}

static int read_why(const struct json *event, struct farm_node *node)
{
    const struct json *why = json_member(event, "why");
    return farm_node_set_why(node, why && why->type == JSON_STRING ? why->text : NULL);
}

static int begin(struct farm_history *history, const struct json *event)
{
    struct farm_run *run = &history->run;
    if (run->begin_s == 0)
        run->begin_s = read_time(event);
    run->end_s = 0;
    for (size_t i = 0; i < run->node_count; i++)
        if (run->nodes[i].state == FARM_FAILED) { /* tried again */
            run->nodes[i].state = FARM_WAITING;
            run->nodes[i].attempts = 0;
        }
    return 0;
}

static int take_phase(struct farm_history *history, const struct json *event)
{
    static const char *const names[] = {"resolve", "look", "pack", "spread", "warm"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (json_is_string(json_member(event, "name"), names[i]))
            farm_run_begin_phase(&history->run, names[i], read_time(event));
    return 0;
}

static int take_text(const struct json *value, char **ret)
{
    free(STEAL(*ret));
    *ret = strdup(value && value->type == JSON_STRING ? value->text : "");
    return *ret ? 0 : -ENOMEM;
}

static int take_fanout(struct farm_history *history, const struct json *event)
{
    int result = take_text(json_member(event, "fanout"), &history->run.fanout);
    return result < 0 ? result : take_text(json_member(event, "why"), &history->run.fanout_why);
}

/* A new attempt begins from nothing on each of its nodes. */
static void clear_node(struct farm_run *run, size_t index, enum farm_step step, double at_s)
{
    struct farm_node *node = &run->nodes[index];
    node->done = node->found = node->created = node->failed = 0;
    node->files = node->bytes = node->source_bytes = node->pack_bytes = 0;
    node->state = FARM_RUNNING;
    node->begin_s = at_s;
    node->end_s = 0;
    node->attempts += step != FARM_STEP_LOOK;
    farm_run_drop_failures(run, index);
}

static struct farm_attempt *add_attempt(struct farm_history *history)
{
    if (history->attempt_count == history->attempt_capacity) {
        size_t capacity = MAX(2 * history->attempt_capacity, (size_t)16);
        struct farm_attempt *items = reallocarray(history->attempts, capacity, sizeof(*items));
        if (!items)
            return NULL;
        history->attempts = items;
        history->attempt_capacity = capacity;
    }
    struct farm_attempt *attempt = &history->attempts[history->attempt_count++];
    *attempt = (struct farm_attempt){0};
    return attempt;
}

static int take_attempt(struct farm_history *history, const struct json *event)
{
    int64_t number = 0;
    const struct json *nodes = json_member(event, "nodes");
    struct farm_attempt *attempt = add_attempt(history);
    if (!attempt)
        return -ENOMEM;
    attempt->has_ended = true; /* until all of it is read */
    if (json_integer(json_member(event, "number"), 0, UINT32_MAX, &number) < 0 || !nodes ||
        nodes->type != JSON_ARRAY)
        return 0;
    attempt->number = (unsigned)number;
    if (!farm_step_find(json_member(event, "step"), &attempt->step))
        return 0;
    attempt->reports = calloc(history->run.node_count + 1, sizeof(*attempt->reports));
    if (!attempt->reports)
        return -ENOMEM;
    for (const struct json *name = nodes->first; name; name = name->next) {
        size_t node = node_of(history, name);
        if (node == FARM_NO_NODE || attempt->count == history->run.node_count)
            continue;
        attempt->reports[attempt->count++].node = node;
        clear_node(&history->run, node, attempt->step, read_time(event));
    }
    attempt->has_ended = false;
    return 0;
}

static int take_silent(struct farm_history *history, const struct json *entry)
{
    size_t index = node_of(history, json_member(entry, "node"));
    const struct json *again = json_member(entry, "again");
    if (index == FARM_NO_NODE)
        return 0;
    struct farm_node *node = &history->run.nodes[index];
    node->state =
        again && again->type == JSON_BOOLEAN && again->boolean ? FARM_WAITING : FARM_FAILED;
    return read_why(entry, node);
}

static int take_attempt_end(const struct farm_directory *directory, struct farm_history *history,
                            const struct json *event)
{
    int64_t number = -1;
    int result = 0;
    const struct json *silent = json_member(event, "silent");
    json_integer(json_member(event, "number"), 0, UINT32_MAX, &number);
    for (size_t i = 0; i < history->attempt_count && result == 0; i++) {
        struct farm_attempt *attempt = &history->attempts[i];
        if (attempt->number != (unsigned)number || attempt->has_ended)
            continue;
        result = read_output(directory, history, attempt);
        attempt->has_ended = true;
        for (size_t j = 0; j < attempt->count; j++)
            history->run.nodes[attempt->reports[j].node].end_s = read_time(event);
    }
    for (const struct json *one = silent ? silent->first : NULL; one && result == 0;
         one = one->next)
        result = take_silent(history, one);
    return result;
}

static int take_node(struct farm_history *history, const struct json *event)
{
    size_t index = node_of(history, json_member(event, "node"));
    const struct json *failed = json_member(event, "failed");
    if (index == FARM_NO_NODE)
        return 0;
    struct farm_node *node = &history->run.nodes[index];
    if (failed && failed->type == JSON_BOOLEAN && failed->boolean)
        node->state = FARM_FAILED;
    else if (node->state == FARM_FAILED)
        node->state = FARM_WAITING;
    return read_why(event, node);
}

static int take_run_end(struct farm_history *history, const struct json *event)
{
    int64_t code = FARM_EXIT_FAILED;
    json_integer(json_member(event, "exit"), 0, UINT8_MAX, &code);
    history->run.exit_code = (int)code;
    history->run.end_s = read_time(event);
    farm_run_begin_phase(&history->run, NULL, history->run.end_s);
    return 0;
}

static int take_event(const struct farm_directory *directory, struct farm_history *history,
                      const struct json *event)
{
    static const struct {
        const char *name;
        int (*take)(struct farm_history *history, const struct json *event);
    } kinds[] = {
        {"begin", begin},          {"phase", take_phase}, {"fanout", take_fanout},
        {"attempt", take_attempt}, {"node", take_node},   {"end", take_run_end},
    };
    const struct json *name = json_member(event, "event");
    if (json_is_string(name, "attempt_end"))
        return take_attempt_end(directory, history, event);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (json_is_string(name, kinds[i].name))
            return kinds[i].take(history, event);
    return 0;
}

/* --- all of it --- */

static int read_journal(const struct farm_directory *directory, struct farm_history *history,
                        struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_CLOSE int fd = file_open(directory->fd, FARM_JOURNAL_FILE, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (lseek(fd, history->journal_offset, SEEK_SET) < 0)
        return -errno;
    int result = file_read(fd, EVENT_MAX_BYTES, &text, error);
    const char *bytes = text.bytes;
    size_t begin = 0;
    for (const char *end;
         result == 0 && bytes && (end = memchr(bytes + begin, '\n', text.length - begin));) {
        CLEANUP_JSON struct json_document *document = NULL;
        size_t line_end = (size_t)(end - bytes);
        if (json_parse(bytes + begin, line_end - begin, &document, NULL) == 0)
            result = take_event(directory, history, document->root);
        begin = line_end + 1;
    }
    history->journal_offset += (off_t)begin;
    return result;
}

int farm_history_read(const struct farm_directory *directory, struct farm_history *history,
                      struct pkgcache_error *ret_error)
{
    struct pkgcache_error why = {0};
    int result = read_journal(directory, history, &why);
    for (size_t i = 0; i < history->attempt_count && result == 0; i++)
        if (!history->attempts[i].has_ended)
            result = read_output(directory, history, &history->attempts[i]);
    return result < 0 ? error_set(ret_error, -result, "%s: %s", directory->path, strerror(-result))
                      : 0;
}

static int start_run(struct farm_history *history)
{
    const struct farm_plan *plan = &history->plan;
    struct farm_run *run = &history->run;
    run->id = strdup(plan->id);
    run->launcher = strdup(plan->launcher);
    run->fanout_asked = strdup(plan->fanout);
    run->cache = plan->cache ? strdup(plan->cache) : NULL;
    run->variants = plan->variant_count;
    history->lacks = calloc(plan->variant_count + 1, sizeof(*history->lacks));
    if (!run->id || !run->launcher || !run->fanout_asked || (plan->cache && !run->cache) ||
        !history->lacks || farm_run_set_nodes(run, &plan->nodes) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < plan->refusal_count; i++)
        if (farm_run_add_failure(run, FARM_NO_NODE, plan->refusals[i].variant,
                                 plan->refusals[i].why) < 0)
            return -ENOMEM;
    return 0;
}

int farm_history_open(const struct farm_directory *directory, struct farm_history *ret,
                      struct pkgcache_error *ret_error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    *ret = (struct farm_history){0};
    int result = json_read_file(directory->fd, FARM_RUN_FILE, PLAN_MAX_BYTES, &document, ret_error);
    if (result == 0)
        result = farm_plan_read(document->root, &ret->plan, ret_error);
    if (result == 0 && start_run(ret) < 0)
        result = error_set(ret_error, ENOMEM, "out of memory");
    if (result < 0)
        farm_history_free(ret);
    return result;
}

void farm_attempt_name(const struct farm_attempt *attempt, const char *ending, char ret[static 32])
{
    snprintf(ret, 32, "attempt-%u.%s", attempt->number, ending);
}

void farm_history_free(struct farm_history *history)
{
    for (size_t i = 0; i < history->attempt_count; i++)
        free(history->attempts[i].reports);
    free(history->attempts);
    free(history->lacks);
    farm_plan_free(&history->plan);
    farm_run_free(&history->run);
    *history = (struct farm_history){0};
}
