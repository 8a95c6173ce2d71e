/* Rounds: whom can we have, start them, see what they report. */
#include "cache/preload/farm_coordinator.h"

#include "cache/preload/farm_attempts.h"
#include "cache/preload/farm_cast.h"
#include "cache/preload/farm_child.h"
#include "cache/preload/farm_choice.h"
#include "cache/preload/farm_hosts.h"
#include "cache/preload/farm_packing.h"
#include "cache/preload/farm_report.h"
#include "cache/preload/farm_silence.h"
#include "cache/preload/farm_slurm.h"
#include "cache/util/file.h"
#include "engine/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum {
    DEAF_S = 600,      /* how long Slurm may not answer */
    ASK_S = 5,         /* how often Slurm is asked for its nodes */
    GATHER_S = 10,     /* how long the first cast waits for nodes that are free in a moment */
    ORPHANS_S = 30,    /* how long what is to end may take, until it is killed */
    MEASURE_MS = 1000, /* how long the source is looked at, to see how much is lacking */
};

const struct farm_launcher *farm_launcher_find(const char *name)
{
    static const struct farm_launcher *const all[] = {&farm_launcher_slurm, &farm_launcher_clush,
                                                      &farm_launcher_pdsh, &farm_launcher_parallel};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

/* --- starts --- */

static bool is_wanted(const struct coordinator *coordinator, size_t place, enum farm_step step)
{
    const struct farm_node *node = &coordinator->history->run.nodes[place];
    return node->state == FARM_WAITING && !(step == FARM_STEP_LOOK && node->has_looked);
}

/* A controller that does not answer for some time does not end the run. */
static int ask_slurm(struct coordinator *coordinator)
{
    uint64_t now_ns = clock_monotonic_ns();
    struct farm_slurm_nodes nodes;
    struct pkgcache_error error;
    if (coordinator->asked_ns && now_ns < coordinator->asked_ns + ASK_S * NS_PER_S)
        return 0;
    coordinator->asked_ns = now_ns;
    int result = farm_slurm_ask(coordinator->history->plan.partition, NULL, &nodes, &error);
    farm_slurm_nodes_free(&coordinator->slurm);
    if (result == -ENOMEM)
        return error_set(coordinator->error, ENOMEM, "out of memory");
    if (result < 0) {
        if (coordinator->deaf_ns == 0)
            coordinator->deaf_ns = now_ns;
        snprintf(coordinator->deaf, sizeof(coordinator->deaf), "%.250s", error.message);
        return 0;
    }
    coordinator->deaf_ns = 0;
    coordinator->slurm = nodes;
    return 0;
}

/* Whether a job can begin on a node now. */
static bool is_free(const struct coordinator *coordinator, size_t place)
{
    if (clock_monotonic_ns() < coordinator->patience[place].until_ns)
        return false;
    if (!coordinator->launcher->has_rounds)
        return true;
    const struct farm_slurm_node *node =
        farm_slurm_find(&coordinator->slurm, coordinator->history->run.nodes[place].name);
    return node && node->is_free;
}

static int start(struct coordinator *coordinator, enum farm_step step, const size_t *places,
                 size_t count)
{
    char order[40];
    if (step != FARM_STEP_RECEIVE)
        return farm_attempts_start(coordinator, step, places, count, NULL);
    int result = farm_cast_prepare(coordinator, order);
    return result < 0 ? result : farm_attempts_start(coordinator, step, places, count, order);
}

/* Starts what can be started. ret_waiting: how many nodes cannot be had now. */
static int start_attempts(struct coordinator *coordinator, enum farm_step step, size_t running,
                          size_t *ret_waiting, size_t *ret_started)
{
    const struct farm_run *run = &coordinator->history->run;
    const struct farm_launcher *launcher = coordinator->launcher;
    /* a look and a cast ask nothing of the file server */
    bool is_joint = step == FARM_STEP_LOOK || step == FARM_STEP_RECEIVE || !launcher->has_rounds;
    size_t at_once = is_joint ? SIZE_MAX : coordinator->history->plan.at_once;
    size_t most = is_joint ? launcher->nodes_max : 1;
    CLEANUP_FREE size_t *places = calloc(most + 1, sizeof(*places));
    size_t count = 0;
    int result = 0;
    *ret_waiting = *ret_started = 0;
    if (!places)
        return error_set(coordinator->error, ENOMEM, "out of memory");
    if (!launcher->has_rounds && running > 0)
        return result; /* how many at once is the launcher's to see to: so one of them */
    for (size_t i = 0; i < run->node_count && result == 0; i++) {
        if (!is_wanted(coordinator, i, step))
            continue;
        if (!is_free(coordinator, i)) {
            ++*ret_waiting;
            continue;
        }
        if (running + *ret_started + count >= at_once)
            break;
        if (coordinator->patience[i].is_alone) {
            result = start(coordinator, step, &i, 1);
            ++*ret_started;
            continue;
        }
        places[count++] = i;
        if (count < most)
            continue;
        if (!launcher->has_rounds)
            break;
        result = start(coordinator, step, places, count);
        *ret_started += count;
        count = 0;
    }
    if (result == 0 && count > 0) {
        result = start(coordinator, step, places, count);
        *ret_started += count;
    }
    return result;
}

/* --- what ends a run early --- */

/* Names the nodes that were not taken. */
static int give_up(struct coordinator *coordinator, enum farm_step step)
{
    const struct farm_run *run = &coordinator->history->run;
    int result = 0;
    for (size_t i = 0; i < run->node_count && result == 0; i++) {
        char why[FARM_WHY_MAX];
        if (!is_wanted(coordinator, i, step))
            continue;
        const struct farm_slurm_node *node =
            farm_slurm_find(&coordinator->slurm, run->nodes[i].name);
        const char *state = node ? node->state : "not in the partition";
        if (coordinator->deaf_ns)
            snprintf(why, sizeof(why), "not taken: Slurm does not answer: %s", coordinator->deaf);
        else if (coordinator->ending && !coordinator->launcher->has_rounds)
            snprintf(why, sizeof(why), "not taken: %s", coordinator->ending);
        else if (coordinator->ending)
            snprintf(why, sizeof(why), "not taken: %s (it is %s)", coordinator->ending, state);
        else if (run->nodes[i].attempts > 0 && run->nodes[i].why)
            snprintf(why, sizeof(why), "%.400s; not taken again: it is %s", run->nodes[i].why,
                     state);
        else
            snprintf(why, sizeof(why), "not taken: it is %s; --time-limit says how long to wait",
                     state);
        result = farm_attempts_note(coordinator, farm_event_node(run->nodes[i].name, why, true));
    }
    return result;
}

/* --- one step on all nodes --- */

/* Whether a node may be had in a moment: a try is left, a job of ours is just over, or a controller
 * that has just begun does not know it yet. */
static bool is_unsettled(const struct coordinator *coordinator, size_t place)
{
    const struct farm_slurm_node *node =
        farm_slurm_find(&coordinator->slurm, coordinator->history->run.nodes[place].name);
    return coordinator->patience[place].until_ns > clock_monotonic_ns() ||
           (node && (strncmp(node->state, "unknown", strlen("unknown")) == 0 ||
                     strcmp(node->state, "completing") == 0));
}

/* Whether it is worth while to wait for nodes, although no time limit says so. */
static bool is_worth_waiting(struct coordinator *coordinator, enum farm_step step)
{
    uint64_t now_ns = clock_monotonic_ns();
    for (size_t i = 0; i < coordinator->history->run.node_count; i++)
        if (is_wanted(coordinator, i, step) && is_unsettled(coordinator, i)) {
            if (coordinator->unsettled_ns == 0)
                coordinator->unsettled_ns = now_ns;
            return now_ns < coordinator->unsettled_ns + DEAF_S * NS_PER_S;
        }
    return false;
}

/* Whether a cast waits for nodes on which a job is just over: those that are taken later need a
 * cast of their own. */
static bool is_gathering(struct coordinator *coordinator)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool is_worth_it = false;
    for (size_t i = 0; i < coordinator->history->run.node_count; i++)
        is_worth_it = is_worth_it || (is_wanted(coordinator, i, FARM_STEP_RECEIVE) &&
                                      is_unsettled(coordinator, i));
    if (coordinator->gathering_ns == 0)
        coordinator->gathering_ns = now_ns;
    if (!is_worth_it || now_ns > coordinator->gathering_ns + GATHER_S * NS_PER_S)
        return false;
    if (now_ns > coordinator->asked_ns + NS_PER_S)
        coordinator->asked_ns = 0; /* it may be free by now */
    return true;
}

/* Starts what can be started. Returns 1 when the step has nothing left to do, 0, or -errno. */
static int advance(struct coordinator *coordinator, enum farm_step step, size_t running)
{
    size_t waiting = 0;
    size_t started = 0;
    uint64_t begin_ns = clock_monotonic_ns();
    if (coordinator->ending)
        return running == 0;
    int result = coordinator->launcher->has_rounds ? ask_slurm(coordinator) : 0;
    if (result == 0 && step == FARM_STEP_RECEIVE && is_gathering(coordinator))
        return 0;
    if (result == 0)
        result = start_attempts(coordinator, step, running, &waiting, &started);
    if (running > 0 || started > 0)
        coordinator->unsettled_ns = 0;
    if (result < 0 || running > 0 || started > 0)
        return result;
    bool is_deaf =
        coordinator->deaf_ns && clock_monotonic_ns() < coordinator->deaf_ns + DEAF_S * NS_PER_S;
    if (waiting == 0)
        return 1;
    if (is_deaf || is_worth_waiting(coordinator, step))
        return 0;
    if (step != FARM_STEP_LOOK && coordinator->deadline_ns != UINT64_MAX)
        return 0;
    /* who cannot be had now, is not looked at: it is taken later; but what Slurm said a while ago
     * may have been about a job of ours that is over */
    if (coordinator->launcher->has_rounds && coordinator->asked_ns < begin_ns) {
        coordinator->asked_ns = 0;
        return 0;
    }
    return 1;
}

static int run_step(struct coordinator *coordinator, enum farm_step step)
{
    int result = 0;
    while (result == 0) {
        size_t running = 0;
        result =
            farm_history_read(coordinator->directory, coordinator->history, coordinator->error);
        if (result == 0)
            result = farm_attempts_end(coordinator, step, &running);
        if (result < 0)
            return result;
        farm_attempts_look_for_ends(coordinator);
        if (step == FARM_STEP_RECEIVE)
            result = farm_cast_advance(coordinator);
        if (result == 0)
            result = advance(coordinator, step, running);
        if (result == 0)
            farm_attempts_wait(coordinator);
    }
    bool is_last = step != FARM_STEP_LOOK || coordinator->history->plan.is_dry;
    return result < 0 || !is_last ? MIN(result, 0) : give_up(coordinator, step);
}

static int begin_phase(struct coordinator *coordinator, const char *name)
{
    return farm_attempts_note(coordinator, farm_event_phase(name, farm_now_s()));
}

/* How many bytes are lacking, as far as that is seen in a moment. */
static int measure(const struct coordinator *coordinator, struct farm_size *ret)
{
    CLEANUP_JSON struct json_document *order = NULL;
    int result = farm_packing_read_order(coordinator, &order);
    if (result == 0)
        farm_size_measure(json_member(order->root, "variants"), coordinator->history->lacks,
                          MEASURE_MS, coordinator->directory->lock_fd, ret);
    return result;
}

/* What nodes lack is known: how are they to get it? The reason is told. */
static int choose(const struct coordinator *coordinator, const char **ret_fanout,
                  char why[static FARM_WHY_MAX])
{
    const struct farm_plan *plan = &coordinator->history->plan;
    const struct farm_run *run = &coordinator->history->run;
    struct farm_situation situation = {
        .can_cast = coordinator->launcher->has_rounds && plan->cache,
        .can_share = true,
    };
    *ret_fanout = plan->fanout;
    snprintf(why, FARM_WHY_MAX, "it was asked for");
    if (strcmp(plan->fanout, "auto") != 0)
        return 0;
    for (size_t i = 0; i < run->node_count; i++) {
        if (run->nodes[i].state != FARM_WAITING)
            continue;
        situation.nodes++;
        situation.can_share =
            situation.can_share && (run->nodes[i].sees_share || !run->nodes[i].has_looked);
    }
    for (size_t i = 0; i < plan->variant_count; i++)
        situation.variants += coordinator->history->lacks[i];
    farm_rates_read(coordinator->directory, plan, &situation.rates);
    int result = measure(coordinator, &situation.size);
    if (result == 0)
        *ret_fanout = farm_choice_make(&situation, why);
    return result;
}

/* Nodes that cannot read the pack where it will lie. */
static int refuse_blind(struct coordinator *coordinator)
{
    const struct farm_run *run = &coordinator->history->run;
    int result = 0;
    for (size_t i = 0; i < run->node_count && result == 0; i++) {
        char why[FARM_WHY_MAX];
        const struct farm_node *node = &run->nodes[i];
        if (node->state != FARM_WAITING || node->sees_share || !node->has_looked)
            continue;
        snprintf(why, sizeof(why),
                 "it does not see the run's directory %.300s: name a --run-dir on "
                 "a share",
                 coordinator->directory->path);
        result = farm_attempts_note(coordinator, farm_event_node(run->nodes[i].name, why, true));
    }
    return result;
}

static size_t count_waiting(const struct farm_run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->node_count; i++)
        count += run->nodes[i].state == FARM_WAITING;
    return count;
}

/* Makes the pack. Returns whether nodes can warm from it, or -errno. */
static int pack(struct coordinator *coordinator, bool casts)
{
    int result = casts ? 0 : refuse_blind(coordinator);
    if (result < 0 || count_waiting(&coordinator->history->run) == 0)
        return result;
    result = begin_phase(coordinator, "pack");
    if (result == 0)
        result = farm_packing_make(coordinator);
    if (result < 0 || coordinator->lost || coordinator->ending)
        return result;
    result = casts ? farm_packing_divide(coordinator)
                   : farm_packing_write_order(coordinator, FARM_STEP_PACK, "order-pack.json");
    return result < 0 ? result : 1;
}

/* Brings in what is lacking, now that it is known. */
static int spread(struct coordinator *coordinator)
{
    const char *fanout;
    char why[FARM_WHY_MAX];
    int result = choose(coordinator, &fanout, why);
    if (result < 0)
        return result;
    bool casts = strcmp(fanout, "tree") == 0;
    result = farm_attempts_note(coordinator, farm_event_fanout(fanout, why));
    if (result == 0 && strcmp(fanout, "source") != 0)
        result = pack(coordinator, casts);
    if (result < 0 || coordinator->ending)
        return result;
    if (result == 1) {
        result = begin_phase(coordinator, casts ? "spread" : "warm");
        return result < 0 ? result
                          : run_step(coordinator, casts ? FARM_STEP_RECEIVE : FARM_STEP_PACK);
    }
    if (coordinator->lost) {
        snprintf(why, sizeof(why), "not %s: no pack was made: %.400s", fanout, coordinator->lost);
        result = farm_attempts_note(coordinator, farm_event_fanout("source", why));
    }
    if (result == 0)
        result = begin_phase(coordinator, "warm");
    return result < 0 ? result : run_step(coordinator, FARM_STEP_WARM);
}

static int run_phases(struct coordinator *coordinator)
{
    const struct farm_plan *plan = &coordinator->history->plan;
    bool looks = plan->is_dry || strcmp(plan->fanout, "source") != 0;
    int result = farm_attempts_note(coordinator, farm_event_begin(farm_now_s()));
    if (result == 0)
        result = farm_cast_stop_old(coordinator);
    if (result == 0 && looks)
        result = begin_phase(coordinator, "look");
    if (result == 0 && looks)
        result = run_step(coordinator, FARM_STEP_LOOK);
    if (result == 0 && !plan->is_dry && !coordinator->ending)
        result = spread(coordinator);
    return result == 0 && coordinator->ending ? give_up(coordinator, FARM_STEP_WARM) : result;
}

static int conclude(struct coordinator *coordinator)
{
    const struct farm_history *history = coordinator->history;
    int code = farm_run_exit_code(&history->run);
    if (file_exists(coordinator->directory->fd, FARM_CANCEL_FILE)) {
        unlinkat(coordinator->directory->fd, FARM_CANCEL_FILE, 0);
        code = FARM_EXIT_CANCELLED;
    }
    if (history->plan.is_dry) {
        code = FARM_EXIT_DONE;
        for (size_t i = 0; i < history->run.node_count; i++)
            if (history->run.nodes[i].state == FARM_FAILED)
                code = FARM_EXIT_PARTLY;
    }
    int result = farm_attempts_note(coordinator, farm_event_end(code, farm_now_s()));
    if (!history->plan.is_dry)
        farm_rates_write(coordinator->directory, history, coordinator->pack.payload_bytes);
    if (result < 0 || !history->plan.report)
        return result;
    result = farm_report_write(history->plan.report, &history->run, coordinator->error);
    if (result < 0 && code == FARM_EXIT_DONE) /* the log says why, and the follower says it */
        farm_directory_note(coordinator->directory, farm_event_end(FARM_EXIT_FAILED, farm_now_s()),
                            NULL);
    return result;
}

int farm_coordinate(struct farm_directory *directory, struct farm_history *history,
                    struct pkgcache_error *ret_error)
{
    sigset_t set;
    struct coordinator coordinator = {
        .directory = directory,
        .history = history,
        .launcher = farm_launcher_find(history->plan.launcher),
        .patience = calloc(history->run.node_count + 1, sizeof(struct patience)),
        .deadline_ns = UINT64_MAX,
        .error = ret_error,
    };
    CLEANUP_FREE struct patience *patience = coordinator.patience;
    if (!coordinator.launcher)
        return error_set(ret_error, EINVAL, "%s: unknown launcher", history->plan.launcher);
    if (!patience)
        return error_set(ret_error, ENOMEM, "out of memory");
    if (history->plan.time_limit_s > 0)
        coordinator.deadline_ns =
            clock_monotonic_ns() + (uint64_t)(history->plan.time_limit_s * NS_PER_S);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int result = farm_history_read(directory, history, ret_error);
    if (result == 0)
        result = run_phases(&coordinator);
    if (result == 0)
        result = conclude(&coordinator);
    farm_slurm_nodes_free(&coordinator.slurm);
    farm_cast_free(&coordinator);
    farm_pack_free(&coordinator.pack);
    free(coordinator.lost);
    return result;
}

/* What a coordinator that is gone has started. */
static int end_orphans(const struct farm_directory *directory, const struct farm_launcher *launcher,
                       const struct farm_history *history, struct pkgcache_error *error)
{
    uint64_t begin_ns = clock_monotonic_ns();
    int result = farm_attempts_end_everything(directory, launcher, history, error);
    while (result == 0 && clock_monotonic_ns() < begin_ns + ORPHANS_S * NS_PER_S * 2) {
        bool is_late = clock_monotonic_ns() > begin_ns + ORPHANS_S * NS_PER_S;
        if (farm_child_end_all(directory->fd, "", is_late ? SIGKILL : 0) == 0)
            break;
        farm_attempts_wait(NULL);
    }
    return result;
}

/* Writes down that a run without a coordinator has ended. */
static int note_cancelled(const struct farm_directory *directory, struct farm_history *history,
                          struct pkgcache_error *error)
{
    int result = farm_history_read(directory, history, error);
    for (size_t i = 0; i < history->run.node_count && result == 0; i++) {
        const struct farm_node *node = &history->run.nodes[i];
        if (node->state == FARM_WAITING || node->state == FARM_RUNNING)
            result = farm_directory_note(
                directory, farm_event_node(node->name, "the run was cancelled", true), error);
    }
    if (result == 0)
        result = farm_directory_note(directory, farm_event_end(FARM_EXIT_CANCELLED, farm_now_s()),
                                     error);
    return result;
}

static int ask_to_end(const struct farm_directory *directory, struct pkgcache_error *error)
{
    CLEANUP_CLOSE int fd = -1;
    int result = file_make(directory->fd, FARM_CANCEL_FILE, "", &fd);
    return result < 0 && result != -EEXIST
               ? error_set(error, -result, "%s/" FARM_CANCEL_FILE ": %s", directory->path,
                           strerror(-result))
               : 0;
}

int farm_cancel(struct farm_directory *directory, struct farm_history *history,
                struct pkgcache_error *ret_error)
{
    const struct farm_launcher *launcher = farm_launcher_find(history->plan.launcher);
    if (!launcher)
        return error_set(ret_error, EINVAL, "%s: unknown launcher", history->plan.launcher);
    int result = farm_directory_lock(directory, ret_error);
    if (result == -EBUSY)
        return ask_to_end(directory, ret_error);
    if (result == 0)
        result = farm_history_read(directory, history, ret_error);
    if (result == 0)
        result = end_orphans(directory, launcher, history, ret_error);
    if (result == 0 && history->run.end_s == 0)
        result = note_cancelled(directory, history, ret_error);
    farm_directory_unlock(directory);
    return result;
}
