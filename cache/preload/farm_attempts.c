/* Starting launchers and seeing their ends, whoever started them. */
#include "cache/preload/farm_attempts.h"

#include "cache/preload/farm_child.h"
#include "cache/preload/farm_silence.h"
#include "cache/util/file.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    BUSY_S = 10,  /* when a node that was not to be had is tried again */
    BUSY_MAX = 6, /* how often, where no time limit ends it */
    GRACE_S = 60, /* how long jobs that were cancelled may take to end */
    ERRORS_MAX_BYTES = 64 << 10,
    OUTPUT_SPARE_BYTES = 1 << 20, /* of a launcher's output, beside the nodes' lines */
    FLOOD_ENDS_MAX = 10, /* how often the job of a launcher that writes more than that is ended */
};

int farm_attempts_note(struct coordinator *coordinator, cJSON *event)
{
    int result = farm_directory_note(coordinator->directory, event, coordinator->error);
    return result < 0 ? result
                      : farm_history_read(coordinator->directory, coordinator->history,
                                          coordinator->error);
}

/* --- ends --- */

void farm_attempts_read_errors(const struct coordinator *coordinator, const char *name,
                               struct text *text)
{
    CLEANUP_CLOSE int fd = file_open(coordinator->directory->fd, name, O_RDONLY);
    ssize_t got = -1;
    if (fd >= 0 && text_reserve(text, ERRORS_MAX_BYTES) == 0)
        got = read(fd, text->bytes, ERRORS_MAX_BYTES);
    text->length = got > 0 ? (size_t)got : 0;
    if (!text->bytes)
        return;
    for (size_t i = 0; i < text->length; i++)
        if (text->bytes[i] == '\0')
            text->bytes[i] = ' ';
    text->bytes[text->length] = '\0';
}

/* Whether a node that has not reported is to be tried again: it was taken by somebody else, or what
 * the launcher said may be about others. */
static bool is_for_later(struct coordinator *coordinator, const struct farm_attempt *attempt,
                         const struct farm_report *report, bool busy)
{
    struct patience *patience = &coordinator->patience[report->node];
    if (!attempt->is_ours && !coordinator->ending)
        return true; /* who started it was killed, perhaps before it began */
    if (attempt->count > 1 && !busy && !coordinator->ending) {
        patience->is_alone = true;
        return true;
    }
    if (!busy || report->has_begun || coordinator->ending)
        return false;
    patience->until_ns = clock_monotonic_ns() + BUSY_S * NS_PER_S;
    return ++patience->busy < BUSY_MAX || coordinator->deadline_ns != UINT64_MAX;
}

/* Nodes whose cast was ended because of others begin anew. */
static int try_again(struct coordinator *coordinator, size_t index)
{
    struct farm_history *history = coordinator->history;
    const struct farm_attempt *attempt = &history->attempts[index];
    int result = 0;
    for (size_t i = 0; i < attempt->count && result == 0; i++) {
        const struct farm_node *node = &history->run.nodes[attempt->reports[i].node];
        struct patience *patience = &coordinator->patience[attempt->reports[i].node];
        bool again = patience->again && !coordinator->ending;
        if (node->state != FARM_FAILED || (!again && !*patience->why))
            continue;
        result =
            farm_attempts_note(coordinator, farm_event_node(node->name, patience->why, !again));
        patience->again = false;
        *patience->why = '\0';
    }
    return result;
}

/* The launcher has ended, or is given up. Who has not reported by now has failed. */
static int end_attempt(struct coordinator *coordinator, size_t index)
{
    struct farm_history *history = coordinator->history;
    CLEANUP_TEXT struct text errors = {0};
    int result = farm_history_read(coordinator->directory, history, coordinator->error);
    if (result < 0)
        return result;
    const struct farm_attempt *attempt = &history->attempts[index];
    char name_of_errors[32];
    farm_attempt_name(attempt, "err", name_of_errors);
    farm_attempts_read_errors(coordinator, name_of_errors, &errors);
    const char *said = errors.bytes ? errors.bytes : "";
    bool busy = coordinator->launcher->has_rounds && farm_slurm_is_busy(said);
    cJSON *silent;
    cJSON *event = farm_event_attempt_end(attempt->number, farm_now_s(), &silent);
    for (size_t i = 0; i < attempt->count; i++) {
        char why[FARM_WHY_MAX];
        const struct farm_report *report = &attempt->reports[i];
        const char *name = history->run.nodes[report->node].name;
        if (report->has_ended)
            continue;
        farm_silence_explain(said, name, attempt->count == 1, why);
        if (attempt->floods > 0)
            snprintf(why, sizeof(why),
                     "no report: its job was ended: it wrote more than any report");
        if (coordinator->ending)
            snprintf(why, sizeof(why), "no report: %s", coordinator->ending);
        farm_event_add_silent(silent, name, why, is_for_later(coordinator, attempt, report, busy));
    }
    result = farm_attempts_note(coordinator, event);
    return result < 0 ? result : try_again(coordinator, index);
}

static off_t size_of(const struct coordinator *coordinator, const struct farm_attempt *attempt,
                     const char *ending)
{
    char name[32];
    struct stat status;
    farm_attempt_name(attempt, ending, name);
    return fstatat(coordinator->directory->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_size
               : 0;
}

/* Ends the jobs of a run: those on an attempt's nodes (NULL: all). */
static int end_jobs(const struct farm_launcher *launcher, const struct farm_history *history,
                    const struct farm_attempt *attempt, struct pkgcache_error *error)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    CLEANUP_TEXT struct text errors = {0};
    struct farm_launch launch = {.run = history->plan.id, .count = attempt ? attempt->count : 0};
    CLEANUP_FREE const char **names = calloc(launch.count + 1, sizeof(*names));
    int status = 0;
    if (!names)
        return error_set(error, ENOMEM, "out of memory");
    for (size_t i = 0; i < launch.count; i++)
        names[i] = history->run.nodes[attempt->reports[i].node].name;
    launch.nodes = names;
    launcher->build_cancel(&launch, &arguments);
    int result = farm_child_ask(&arguments, FARM_HELPER_S, ERRORS_MAX_BYTES, &output, &errors,
                                &status, error);
    return result < 0 || status == 0
               ? result
               : error_set(error, EIO, "%s failed: %.200s", arguments.items[0],
                           errors.length > 0 ? errors.bytes : "it did not say why");
}

int farm_attempts_end_job(const struct coordinator *coordinator, const struct farm_attempt *attempt)
{
    return end_jobs(coordinator->launcher, coordinator->history, attempt, NULL);
}

/* Whether a launcher writes beyond all reason. */
static bool is_flooding(const struct coordinator *coordinator, const struct farm_attempt *attempt)
{
    off_t most = OUTPUT_SPARE_BYTES + (off_t)(attempt->count * FARM_LINE_MAX) *
                                          (off_t)(coordinator->history->plan.variant_count + 2);
    return size_of(coordinator, attempt, "out") > most ||
           size_of(coordinator, attempt, "err") > most;
}

/* Ends a launcher that floods at once, for the sake of our disk, whoever started it. It cannot end
 * its job then, so we do: Slurm need not notice that it is gone (InactiveLimit). */
static void end_flood(const struct coordinator *coordinator, struct farm_attempt *attempt)
{
    const struct farm_launcher *launcher = coordinator->launcher;
    char name[32];
    farm_attempt_name(attempt, "out", name);
    farm_child_end_all(coordinator->directory->fd, name, SIGKILL);
    if (attempt->pid > 0)
        kill(-attempt->pid, SIGKILL);
    attempt->floods++;
    attempt->flood_is_ended =
        !launcher->build_cancel || farm_attempts_end_job(coordinator, attempt) == 0;
}

/* Whether a launcher still runs, or has a job that is to be ended. */
static bool is_running(const struct coordinator *coordinator, struct farm_attempt *attempt)
{
    char name[32];
    bool is_tried = attempt->flood_is_ended || attempt->floods == FLOOD_ENDS_MAX;
    if (!is_tried && is_flooding(coordinator, attempt))
        end_flood(coordinator, attempt);
    if (attempt->pid > 0 && waitpid(attempt->pid, NULL, WNOHANG) == attempt->pid)
        attempt->pid = 0;
    if (attempt->pid > 0 || (attempt->floods > 0 && !is_tried && !attempt->flood_is_ended))
        return true;
    farm_attempt_name(attempt, "out", name);
    return farm_child_runs(coordinator->directory->fd, name) == 1;
}

static bool is_given_up(const struct coordinator *coordinator)
{
    return coordinator->ending &&
           clock_monotonic_ns() > coordinator->ending_ns + GRACE_S * NS_PER_S;
}

/* Ends the attempts whose launchers have ended. Returns 0 or -errno. */
int farm_attempts_end(struct coordinator *coordinator, enum farm_step step, size_t *ret_running)
{
    struct farm_history *history = coordinator->history;
    int result = 0;
    *ret_running = 0;
    for (size_t i = 0; i < history->attempt_count && result == 0; i++) {
        struct farm_attempt *attempt = &history->attempts[i];
        if (attempt->has_ended)
            continue;
        if (is_running(coordinator, attempt) && !is_given_up(coordinator))
            *ret_running +=
                step == FARM_STEP_LOOK && attempt->step != FARM_STEP_LOOK ? 0 : attempt->count;
        else
            result = end_attempt(coordinator, i);
    }
    return result;
}

int farm_attempts_start(struct coordinator *coordinator, enum farm_step step, const size_t *places,
                        size_t count, const char *input)
{
    struct farm_history *history = coordinator->history;
    const struct farm_plan *plan = &history->plan;
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_FREE const char **names = calloc(count + 1, sizeof(*names));
    CLEANUP_FREE char *order = NULL;
    char output[32];
    char errors[32];
    char usual[32];
    struct pkgcache_error error;
    if (!names)
        return error_set(coordinator->error, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        names[i] = history->run.nodes[places[i]].name;
    int result =
        farm_attempts_note(coordinator, farm_event_attempt((unsigned)history->attempt_count + 1,
                                                           step, names, count, farm_now_s()));
    if (result < 0)
        return result;
    struct farm_attempt *attempt = &history->attempts[history->attempt_count - 1];
    attempt->is_ours = true;
    snprintf(usual, sizeof(usual), "order-%s.json", farm_step_name(step));
    input = input ? input : usual;
    farm_attempt_name(attempt, "out", output);
    farm_attempt_name(attempt, "err", errors);
    if (asprintf(&order, "%s/%s", coordinator->directory->path, input) < 0)
        order = NULL;
    uint64_t now_ns = clock_monotonic_ns();
    const struct farm_launch launch = {
        .nodes = names,
        .count = count,
        .at_once = plan->at_once,
        .program = plan->program,
        .order_path = order,
        .run = plan->id,
        .partition = plan->partition,
        .time_limit_s =
            coordinator->deadline_ns == UINT64_MAX
                ? 0
                : (double)(MAX(coordinator->deadline_ns, now_ns + NS_PER_S) - now_ns) / NS_PER_S,
    };
    coordinator->launcher->build(&launch, &arguments);
    result = farm_child_start(&arguments, coordinator->directory->fd, input, output, errors,
                              &attempt->pid, &error);
    if (result == 0)
        return 0;
    attempt->pid = 0; /* it ends without a report: the next look finds that */
    return error_set(coordinator->error, -result, "%s", error.message);
}

int farm_attempts_end_jobs(const struct farm_directory *directory,
                           const struct farm_launcher *launcher, const struct farm_history *history,
                           struct pkgcache_error *error)
{
    if (!launcher->build_cancel) {
        farm_child_end_all(directory->fd, "attempt-", SIGTERM);
        return 0;
    }
    return end_jobs(launcher, history, NULL, error);
}

int farm_attempts_end_everything(const struct farm_directory *directory,
                                 const struct farm_launcher *launcher,
                                 const struct farm_history *history, struct pkgcache_error *error)
{
    farm_child_end_all(directory->fd, "pack-", SIGTERM);
    farm_child_end_all(directory->fd, "cast-", SIGTERM);
    return farm_attempts_end_jobs(directory, launcher, history, error);
}

/* Slurm may be busy: then it is asked again. */
static void end_all(struct coordinator *coordinator)
{
    coordinator->is_told_to_end =
        farm_attempts_end_everything(coordinator->directory, coordinator->launcher,
                                     coordinator->history, NULL) == 0;
}

void farm_attempts_look_for_ends(struct coordinator *coordinator)
{
    if (coordinator->ending) {
        if (!coordinator->is_told_to_end && !is_given_up(coordinator))
            end_all(coordinator);
        return;
    }
    if (file_exists(coordinator->directory->fd, FARM_CANCEL_FILE))
        coordinator->ending = "the run was cancelled";
    else if (clock_monotonic_ns() > coordinator->deadline_ns)
        coordinator->ending = "the run's time limit was reached";
    if (!coordinator->ending)
        return;
    coordinator->ending_ns = clock_monotonic_ns();
    end_all(coordinator);
}

/* Whether something was reported a moment ago: then more is to be expected, and waited for. */
static bool is_lively(struct coordinator *coordinator)
{
    const struct farm_history *history = coordinator->history;
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t seen = (uint64_t)history->journal_offset;
    for (size_t i = 0; i < history->attempt_count; i++)
        seen += (uint64_t)history->attempts[i].offset;
    if (seen != coordinator->seen)
        coordinator->changed_ns = now_ns;
    coordinator->seen = seen;
    return now_ns < coordinator->changed_ns + FARM_SOON_S * NS_PER_S;
}

void farm_attempts_wait(struct coordinator *coordinator)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    bool soon = coordinator && is_lively(coordinator);
    uint64_t pause_ms = soon ? FARM_LOOK_SOON_MS : FARM_LOOK_AT_MS;
    const struct timespec pause = {.tv_nsec = (long)(pause_ms * NS_PER_MS)};
    sigtimedwait(&set, NULL, &pause);
}
