/* One cast for each attempt under way: ready, then part by part. */
#include "cache/preload/farm_cast.h"

#include "cache/preload/farm_child.h"
#include "cache/preload/farm_digest.h"
#include "cache/preload/farm_packing.h"
#include "cache/preload/farm_silence.h"
#include "cache/util/file.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum {
    READY_S = 180, /* how long a node may take until parts can be cast to it */
    STOP_S = 120,  /* how long jobs may take to end */
    KEEP_S = 60,   /* how long nodes may take to end and keep what they have */
    ARRIVE_S = 60, /* how long after a cast a node may take to check a part */
    TRIES_MAX = 3, /* to cast a part */
};

#define KEEP_SIGNAL "INT" /* FARM_KEEP_SIGNAL */

/** The cast to one attempt's nodes. */
struct farm_cast {
    struct farm_cast *next;
    unsigned attempt;
    size_t part;    /* that is cast, or the next one */
    unsigned tries; /* to cast it */
    uint64_t bad;   /* how many bad parts nodes had told of when it was cast */
    pid_t pid;      /* sbcast's; 0: it does not run */
    bool is_cast;   /* the part was cast: nodes check it */
    bool is_over;   /* given up, or all is cast */
    bool is_given_up;
    uint64_t until_ns; /* what is waited for now */
    bool *dropped;     /* of each of the attempt's nodes */
};

static struct farm_cast *find_cast(struct coordinator *coordinator,
                                   const struct farm_attempt *attempt)
{
    struct farm_cast *cast = coordinator->casts;
    while (cast && cast->attempt != attempt->number)
        cast = cast->next;
    if (cast)
        return cast;
    cast = calloc(1, sizeof(*cast));
    if (cast)
        cast->dropped = calloc(attempt->count + 1, sizeof(*cast->dropped));
    if (!cast || !cast->dropped) {
        free(cast);
        return NULL;
    }
    cast->attempt = attempt->number;
    cast->until_ns = clock_monotonic_ns() + READY_S * NS_PER_S;
    cast->next = coordinator->casts;
    coordinator->casts = cast;
    return cast;
}

static void name_directory(const struct farm_history *history, unsigned attempt, char *ret,
                           size_t size)
{
    snprintf(ret, size, "preload-%s-%u", history->plan.id, attempt);
}

int farm_cast_prepare(struct coordinator *coordinator, char ret_name[static 40])
{
    struct farm_pack *pack = &coordinator->pack;
    unsigned attempt = (unsigned)coordinator->history->attempt_count + 1;
    char staging[128];
    name_directory(coordinator->history, attempt, staging, sizeof(staging));
    snprintf(ret_name, 40, "order-receive-%u.json", attempt);
    free(STEAL(pack->staging));
    pack->staging = strdup(staging);
    return pack->staging ? farm_packing_write_order(coordinator, FARM_STEP_RECEIVE, ret_name)
                         : error_set(coordinator->error, ENOMEM, "out of memory");
}

/* --- nodes that fail --- */

static bool is_over(const struct farm_cast *cast)
{
    return clock_monotonic_ns() > cast->until_ns;
}

static bool is_live(const struct farm_cast *cast, const struct farm_attempt *attempt, size_t i)
{
    return !cast->dropped[i] && !attempt->reports[i].has_ended;
}

static int drop(struct coordinator *coordinator, struct farm_cast *cast,
                const struct farm_attempt *attempt, size_t i, const char *why)
{
    struct patience *patience = &coordinator->patience[attempt->reports[i].node];
    snprintf(patience->why, sizeof(patience->why), "%s", why); /* whatever it reports in the end */
    cast->dropped[i] = true;
    return farm_attempts_note(
        coordinator,
        farm_event_node(coordinator->history->run.nodes[attempt->reports[i].node].name, why, true));
}

/* Has the nodes of an attempt that wait for a part report, and keep what they have. */
static void ask_to_keep(const struct farm_attempt *attempt)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    CLEANUP_TEXT struct text errors = {0};
    int status;
    uint64_t job = 0;
    for (size_t i = 0; i < attempt->count && job == 0; i++)
        job = attempt->reports[i].job;
    farm_arguments_add(&arguments, "scancel");
    farm_arguments_add(&arguments, "--signal=" KEEP_SIGNAL);
    farm_arguments_printf(&arguments, "%" PRIu64, job);
    if (job > 0)
        farm_child_ask(&arguments, FARM_HELPER_S, FARM_LINE_MAX, &output, &errors, &status, NULL);
}

/* The cast failed: bad nodes are dropped, and the others begin anew. */
static int give_up(struct coordinator *coordinator, struct farm_cast *cast,
                   const struct farm_attempt *attempt, const char *said)
{
    int result = 0;
    size_t named = 0;
    char why[FARM_WHY_MAX];
    cast->is_over = cast->is_given_up = true;
    cast->until_ns = clock_monotonic_ns() + KEEP_S * NS_PER_S;
    for (size_t i = 0; i < attempt->count && result == 0; i++) {
        const char *name = coordinator->history->run.nodes[attempt->reports[i].node].name;
        if (!is_live(cast, attempt, i) || !farm_silence_names(said, name))
            continue;
        named++;
        farm_silence_explain(said, name, false, why);
        result = drop(coordinator, cast, attempt, i, why);
    }
    ask_to_keep(attempt);
    for (size_t i = 0; i < attempt->count && result == 0; i++) {
        struct patience *patience = &coordinator->patience[attempt->reports[i].node];
        if (!is_live(cast, attempt, i))
            continue;
        patience->again = ++patience->casts < FARM_CASTS_MAX;
        patience->is_alone = patience->casts > 1 && named == 0;
        farm_silence_explain(said, "", true, patience->why);
    }
    return result;
}

/* --- parts --- */

/* The file that is cast: the pack, if it is one part. */
static int make_part(struct coordinator *coordinator, const struct farm_cast *cast, char **ret)
{
    const struct farm_pack *pack = &coordinator->pack;
    char digest[FARM_DIGEST_SIZE];
    if (pack->part_count == 1) {
        *ret = strdup(pack->path);
        return *ret ? 0 : -ENOMEM;
    }
    uint64_t offset = 0;
    for (size_t i = 0; i < cast->part; i++)
        offset += pack->parts[i].bytes;
    if (asprintf(ret, "%s/part-%u", coordinator->directory->path, cast->attempt) < 0) {
        *ret = NULL;
        return -ENOMEM;
    }
    unlink(*ret);
    CLEANUP_CLOSE int from = open(pack->path, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int to = open(*ret, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        return -errno;
    return farm_digest_copy(from, (off_t)offset, pack->parts[cast->part].bytes, to, digest);
}

/* Each try has names of its own; so has that of a coordinator that takes over, since its process is
 * another one. */
static void name_files(const struct farm_cast *cast, char output[static 64], char errors[static 64])
{
    snprintf(output, 64, "cast-%u-%zu-%d-%u.out", cast->attempt, cast->part, getpid(), cast->tries);
    snprintf(errors, 64, "cast-%u-%zu-%d-%u.err", cast->attempt, cast->part, getpid(), cast->tries);
}

static uint64_t count_bad(const struct farm_attempt *attempt)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < attempt->count; i++)
        bad += attempt->reports[i].bad;
    return bad;
}

static int start_cast(struct coordinator *coordinator, struct farm_cast *cast,
                      const struct farm_attempt *attempt)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_FREE char *part = NULL;
    char directory[128];
    char output[64];
    char errors[64];
    uint64_t job = 0;
    for (size_t i = 0; i < attempt->count; i++)
        job = MAX(job, attempt->reports[i].job);
    int result = make_part(coordinator, cast, &part);
    if (result < 0)
        return error_set(coordinator->error, -result, "a part of the pack: %s", strerror(-result));
    name_directory(coordinator->history, cast->attempt, directory, sizeof(directory));
    cast->tries++;
    cast->bad = count_bad(attempt);
    name_files(cast, output, errors);
    farm_arguments_add(&arguments, "sbcast");
    farm_arguments_printf(&arguments, "--jobid=%" PRIu64, job);
    farm_arguments_add(&arguments, "--");
    farm_arguments_add(&arguments, part);
    farm_arguments_printf(&arguments, "%s/.sys/staging/%s/part-%zu.%d.%u",
                          coordinator->history->plan.cache, directory, cast->part, getpid(),
                          cast->tries);
    cast->is_cast = false;
    return farm_child_start(&arguments, coordinator->directory->fd, FARM_RUN_FILE, output, errors,
                            &cast->pid, coordinator->error);
}

/* Whether a part is to be cast once more: somewhere it has other bytes, or has not all of them. */
static bool is_for_again(const struct farm_cast *cast, const struct farm_attempt *attempt)
{
    return cast->tries < TRIES_MAX && (count_bad(attempt) > cast->bad || is_over(cast));
}

/* Whether all nodes that are left have said something; those that took too long are dropped. */
static int await_all(struct coordinator *coordinator, struct farm_cast *cast,
                     const struct farm_attempt *attempt, const char *why, size_t *ret_missing)
{
    bool is_late = is_over(cast) && (!cast->is_cast || cast->tries >= TRIES_MAX);
    int result = 0;
    *ret_missing = 0;
    for (size_t i = 0; i < attempt->count && result == 0; i++) {
        const struct farm_report *report = &attempt->reports[i];
        bool has_said = cast->is_cast ? report->parts > cast->part : report->is_ready;
        if (!is_live(cast, attempt, i) || has_said)
            continue;
        ++*ret_missing;
        if (is_late)
            result = drop(coordinator, cast, attempt, i, why);
    }
    return result;
}

static size_t count_live(const struct farm_cast *cast, const struct farm_attempt *attempt)
{
    size_t live = 0;
    for (size_t i = 0; i < attempt->count; i++)
        live += is_live(cast, attempt, i);
    return live;
}

/* sbcast has ended. */
static int end_cast(struct coordinator *coordinator, struct farm_cast *cast,
                    const struct farm_attempt *attempt, int status)
{
    CLEANUP_TEXT struct text text = {0};
    char output[64];
    char errors[64];
    cast->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        cast->is_cast = true;
        cast->until_ns = clock_monotonic_ns() + ARRIVE_S * NS_PER_S;
        return 0;
    }
    name_files(cast, output, errors);
    farm_attempts_read_errors(coordinator, errors, &text);
    return give_up(coordinator, cast, attempt, text.bytes ? text.bytes : "");
}

static int advance(struct coordinator *coordinator, const struct farm_attempt *attempt)
{
    struct farm_cast *cast = find_cast(coordinator, attempt);
    size_t missing = 0;
    int status;
    if (!cast)
        return error_set(coordinator->error, ENOMEM, "out of memory");
    if (cast->is_given_up && is_over(cast)) /* who does not hear, or is not there */
        cast->is_given_up = farm_attempts_end_job(coordinator, attempt) < 0;
    if (cast->is_over)
        return 0;
    if (cast->pid > 0)
        return waitpid(cast->pid, &status, WNOHANG) == cast->pid
                   ? end_cast(coordinator, cast, attempt, status)
                   : 0;
    int result = await_all(coordinator, cast, attempt,
                           cast->is_cast ? "a part of the pack did not arrive whole"
                                         : "it did not get ready for the pack",
                           &missing);
    if (result < 0)
        return result;
    if (missing > 0)
        return cast->is_cast && is_for_again(cast, attempt) ? start_cast(coordinator, cast, attempt)
                                                            : 0;
    cast->tries = 0;
    cast->is_cast = false;
    cast->part = coordinator->pack.part_count; /* the first that somebody lacks */
    for (size_t i = 0; i < attempt->count; i++)
        if (is_live(cast, attempt, i))
            cast->part = MIN(cast->part, attempt->reports[i].parts);
    if (cast->part == coordinator->pack.part_count || count_live(cast, attempt) == 0) {
        cast->is_over = true;
        return 0;
    }
    return start_cast(coordinator, cast, attempt);
}

int farm_cast_advance(struct coordinator *coordinator)
{
    const struct farm_history *history = coordinator->history;
    int result = 0;
    for (size_t i = 0; i < history->attempt_count && result == 0; i++)
        if (!history->attempts[i].has_ended && history->attempts[i].step == FARM_STEP_RECEIVE)
            result = advance(coordinator, &history->attempts[i]);
    return result;
}

/* How many attempts wait for parts; their nodes are to begin anew. @param asks whether they are
 * told to end, and to keep what they have */
static size_t mark_old(struct coordinator *coordinator, bool asks)
{
    const struct farm_history *history = coordinator->history;
    size_t count = 0;
    for (size_t i = 0; i < history->attempt_count; i++) {
        const struct farm_attempt *attempt = &history->attempts[i];
        if (attempt->has_ended || attempt->step != FARM_STEP_RECEIVE)
            continue;
        count++;
        if (asks)
            ask_to_keep(attempt);
        for (size_t j = 0; j < attempt->count; j++)
            coordinator->patience[attempt->reports[j].node].again = true;
    }
    return count;
}

int farm_cast_stop_old(struct coordinator *coordinator)
{
    uint64_t begin_ns = clock_monotonic_ns();
    bool is_asked = false;
    size_t running;
    int result = 0;
    if (mark_old(coordinator, true) == 0)
        return 0;
    farm_child_end_all(coordinator->directory->fd, "cast-", SIGTERM);
    while (result == 0 && mark_old(coordinator, false) > 0 &&
           clock_monotonic_ns() < begin_ns + STOP_S * NS_PER_S) {
        farm_attempts_wait(coordinator);
        if (!is_asked && clock_monotonic_ns() > begin_ns + KEEP_S * NS_PER_S) {
            farm_attempts_end_jobs(coordinator->directory, coordinator->launcher,
                                   coordinator->history, coordinator->error);
            is_asked = true;
        }
        result =
            farm_history_read(coordinator->directory, coordinator->history, coordinator->error);
        if (result == 0)
            result = farm_attempts_end(coordinator, FARM_STEP_RECEIVE, &running);
    }
    return result;
}

void farm_cast_free(struct coordinator *coordinator)
{
    for (struct farm_cast *cast; (cast = coordinator->casts);) {
        coordinator->casts = cast->next;
        free(cast->dropped);
        free(cast);
    }
}
