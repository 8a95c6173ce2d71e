/* pkgcache preload: brings variants into the caches of many nodes. Here a run is made of the
 * command line, or found again; the rest is in preload_*.c and cache/preload/. */
#include "cache/preload/farm_coordinator.h"
#include "cache/preload/farm_hosts.h"
#include "cache/preload/farm_report.h"
#include "cache/preload/farm_slurm.h"
#include "cache/rez/source_packs.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/preload.h"
#include "cli/signals.h"

#include <limits.h>
#include <string.h>

enum { AT_ONCE_DEFAULT = 16 };

static int fail(const struct options *options, const struct pkgcache_error *error)
{
    return output_error(options, error->code == EINVAL ? EXIT_USAGE : EXIT_FAILED, error->code,
                        "%s", error->message);
}

char *preload_make_absolute(const char *path)
{
    char *absolute;
    if (*path == '/')
        return strdup(path);
    CLEANUP_FREE char *here = getcwd(NULL, 0);
    return here && asprintf(&absolute, "%s/%s", here, path) >= 0 ? absolute : NULL;
}

/* Where runs are. */
static char *find_base(const struct options *options)
{
    CLEANUP_FREE char *given = options->run_dir ? preload_make_absolute(options->run_dir) : NULL;
    return options->run_dir && !given ? NULL : farm_directory_base(given);
}

/* --- a new run: its plan --- */

static int find_program(const struct options *options, struct farm_plan *plan,
                        struct pkgcache_error *error)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[MAX(length, 0)] = '\0';
    plan->program = strdup(options->program ? options->program : own);
    return plan->program ? farm_program_check(plan->program, error)
                         : error_set(error, ENOMEM, "out of memory");
}

static int copy_text(const char *text, char **ret, struct pkgcache_error *error)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? error_set(error, ENOMEM, "out of memory") : 0;
}

/* The cache that was named on the command line: on the nodes. */
static const char *named_cache(const struct options *options)
{
    const struct setting_value *cache = &options->settings.values[SETTING_CACHE];
    return cache->text && strcmp(cache->origin, SETTINGS_COMMAND_LINE) == 0 ? cache->text : NULL;
}

static int fill_plan(const struct options *options, struct farm_plan *plan,
                     struct pkgcache_error *error)
{
    static const char *const launchers[] = {"slurm", "clush", "pdsh", "parallel"};
    static const char *const fanouts[] = {"auto", "source", "pack", "tree"};
    const char *cache = named_cache(options);
    if (cache && *cache != '/')
        return error_set(error, EINVAL, "--cache=%s: it is on the nodes: name an absolute path",
                         cache);
    if (options->fanout == FANOUT_TREE && !cache)
        return error_set(
            error, EINVAL,
            "--fanout=tree: Slurm casts to one path on all nodes: name it with --cache");
    if (options->fanout == FANOUT_PACK && !options->run_dir)
        return error_set(error, EINVAL,
                         "--fanout=pack: all nodes read the pack: name a --run-dir on a share");
    plan->id = farm_plan_make_id();
    plan->is_dry = options->dry_run;
    plan->at_once = options->at_once ? (unsigned)options->at_once : AT_ONCE_DEFAULT;
    plan->level = (unsigned)options->level;
    plan->time_limit_s = options->time_limit_s;
    plan->report = options->report ? preload_make_absolute(options->report) : NULL;
    if (!plan->id || (options->report && !plan->report))
        return error_set(error, ENOMEM, "out of memory");
    int result = plan->report ? farm_report_check(plan->report, error) : 0;
    if (result == 0)
        result = copy_text(launchers[options->with], &plan->launcher, error);
    if (result == 0)
        result = copy_text(fanouts[options->fanout], &plan->fanout, error);
    if (result == 0)
        result = copy_text(cache, &plan->cache, error);
    if (result == 0)
        result = copy_text(options->partition, &plan->partition, error);
    return result < 0 ? result : find_program(options, plan, error);
}

/* Which nodes: those of the expression, or all of the partition. */
static int find_slurm_nodes(const struct options *options, struct farm_plan *plan,
                            struct pkgcache_error *error)
{
    CLEANUP_SLURM_NODES struct farm_slurm_nodes nodes = {0};
    const char *partition = options->partition;
    int result = partition ? farm_name_check("partition", partition, error) : 0;
    if (result == 0 && options->nodes)
        result = farm_expression_check(options->nodes, error);
    if (result == 0)
        result = farm_slurm_ask(partition, NULL, &nodes, error);
    if (result == 0 && nodes.count == 0)
        result = error_set(error, ENOENT, "Slurm has no nodes in %s%s: see sinfo",
                           partition ? "partition " : "its default partition, or has none",
                           partition ? partition : "");
    if (result == 0 && options->nodes)
        result = farm_slurm_expand(options->nodes, &plan->nodes, error);
    for (size_t i = 0; i < plan->nodes.count && result == 0; i++)
        if (!farm_slurm_find(&nodes, plan->nodes.items[i]))
            result = error_set(
                error, ENOENT, "node %s is not in %s%s: see sinfo", plan->nodes.items[i],
                partition ? "partition " : "Slurm's default partition", partition ? partition : "");
    for (size_t i = 0; i < nodes.count && result == 0 && !options->nodes; i++)
        result = farm_names_add(&plan->nodes, nodes.items[i].name, error);
    if (result == 0 && plan->nodes.count == 0)
        result = error_set(error, EINVAL, "--nodes=%s: it names no node", options->nodes);
    farm_names_sort(&plan->nodes);
    return result;
}

static int find_nodes(const struct options *options, struct farm_plan *plan,
                      struct pkgcache_error *error)
{
    if (options->slurm)
        return find_slurm_nodes(options, plan, error);
    int result = farm_hosts_check_launcher(plan->launcher, error);
    return result < 0 ? result : farm_hosts_read(options->hosts, &plan->nodes, error);
}

static int plan_variants(const struct sources *sources, struct farm_plan *plan,
                         struct pkgcache_error *error)
{
    for (size_t i = 0; i < sources->variants.count; i++) {
        const struct source_variant *variant = &sources->variants.items[i];
        if (variant->is_policy && variant->is_refused)
            continue; /* not cachable, and nobody named it by itself */
        int result = variant->reason ? farm_plan_add_refusal(plan, variant->text, variant->reason)
                                     : farm_plan_add_variant(plan, variant->text);
        if (result < 0)
            return error_set(error, ENOMEM, "out of memory");
    }
    if (plan->variant_count > 0)
        return 0;
    return plan->refusal_count > 0
               ? error_set(error, ENODATA, "no variant can be brought to a node: %s: %s",
                           plan->refusals[0].variant, plan->refusals[0].why)
               : error_set(error, ENODATA, "none of the variants can be cached: see pkgcache list");
}

/* --- a new run: its files --- */

/* A file with its own name in it, which nodes look for where the run's directory is on a share. */
static int write_share(const struct farm_directory *directory, char **ret,
                       struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    if (asprintf(ret, "%s/" FARM_SHARE_FILE, directory->path) < 0) {
        *ret = NULL;
        return error_set(error, ENOMEM, "out of memory");
    }
    text_append_string(&text, *ret);
    return farm_directory_write(directory, FARM_SHARE_FILE, &text, error);
}

static int write_orders(const struct options *options, const struct farm_directory *directory,
                        const struct sources *sources, struct pkgcache_error *error)
{
    CLEANUP_FREE char *share = NULL;
    struct farm_setting settings[SETTING_COUNT];
    struct farm_order_settings given = {.items = settings, .jitter_s = (unsigned)options->jitter_s};
    int result = options->run_dir ? write_share(directory, &share, error) : 0;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_value *value = &options->settings.values[i];
        if (value->text && strcmp(value->origin, SETTINGS_COMMAND_LINE) == 0)
            settings[given.count++] = (struct farm_setting){settings_table[i].name, value->text};
    }
    for (enum farm_step step = FARM_STEP_LOOK; step <= FARM_STEP_WARM && result == 0; step++) {
        CLEANUP_TEXT struct text text = {0};
        char name[32];
        snprintf(name, sizeof(name), "order-%s.json", farm_step_name(step));
        farm_order_print(&text, step, &given, &sources->variants,
                         step == FARM_STEP_LOOK ? share : NULL);
        result = farm_directory_write(directory, name, &text, error);
    }
    return result;
}

static int make_run(const struct options *options, const struct farm_plan *plan,
                    const struct sources *sources, struct farm_directory *ret,
                    struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_FREE char *base = find_base(options);
    if (!base)
        return error_set(error, ENOENT, "there is no home directory: name a --run-dir");
    int result = farm_directory_make(base, plan->id, ret, error);
    if (result == 0)
        result = write_orders(options, ret, sources, error);
    farm_plan_print(&text, plan);
    return result < 0 ? result : farm_directory_write(ret, FARM_RUN_FILE, &text, error);
}

static int read_sources(struct options *options, struct sources *sources,
                        struct pkgcache_error *error)
{
    struct rezconfig *config = NULL;
    if (settings_rez(&options->settings, &config) < 0)
        return error_set(error, ENOMEM, "out of memory");
    int result = sources_open(sources, config, error);
    if (result == 0)
        result = sources_read(sources, (const char *const *)options->arguments,
                              (size_t)options->argument_count, error);
    if (result == 0)
        result = sources_find_roots(sources, NULL, error);
    if (result == 0 && sources->variants.count == 0)
        result = error_set(error, ENODATA, "preload: the sources name no variants");
    return result;
}

/* Makes the directory of a new run. Returns an exit code, or -1: go on. */
static int plan_run(struct options *options, struct farm_directory *ret)
{
    CLEANUP_PLAN struct farm_plan plan = {0};
    struct sources sources = {.names = {.all = options->all, .archives = &source_packs_refused}};
    struct pkgcache_error error;
    interruption_begin(options, "interrupted: no run was started");
    int result = fill_plan(options, &plan, &error);
    if (result == 0)
        result = read_sources(options, &sources, &error);
    if (result == 0)
        result = plan_variants(&sources, &plan, &error);
    if (result == 0)
        result = find_nodes(options, &plan, &error);
    interruption_end();
    signals_close();
    if (result == 0)
        result = make_run(options, &plan, &sources, ret, &error);
    sources_free(&sources);
    if (result < 0)
        return fail(options, &error);
    if (!options->json && options->verbosity >= 0 && !options->detach)
        output_line("run %s: %zu %s for %zu %s, in %s", plan.id, plan.variant_count,
                    output_plural(plan.variant_count, "variant", "variants"), plan.nodes.count,
                    output_plural(plan.nodes.count, "node", "nodes"), ret->path);
    fflush(stdout);
    return -1;
}

/* --- the commands --- */

static int say_started(const struct options *options, const struct farm_directory *directory,
                       const struct farm_run *run)
{
    if (!options->json) {
        output_data(run->id);
        return output_end(options, EXIT_DONE);
    }
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "run", run->id);
    json_add_string(object, "directory", directory->path);
    return output_document(options, object);
}

/* Starts the coordinator of a run that lies in its directory. */
static int go_on(const struct options *options, struct farm_directory *directory)
{
    CLEANUP_HISTORY struct farm_history history = {0};
    struct pkgcache_error error;
    int result = farm_history_open(directory, &history, &error);
    if (result == 0)
        result = farm_directory_lock(directory, &error);
    if (result == -EBUSY)
        return output_error(options, EXIT_LOCKED, error.code, "%s: %s", history.plan.id,
                            error.message);
    if (result < 0)
        return fail(options, &error);
    if (options->time_limit_s > 0)
        history.plan.time_limit_s = options->time_limit_s;
    int code = preload_start(options, directory, &history);
    if (code >= 0)
        return code;
    return options->detach ? say_started(options, directory, &history.run)
                           : preload_follow(options, directory, &history);
}

static int cancel(const struct options *options, struct farm_directory *directory,
                  struct farm_history *history)
{
    struct pkgcache_error error;
    if (farm_cancel(directory, history, &error) < 0)
        return fail(options, &error);
    int code = preload_follow(options, directory, history);
    return code == FARM_EXIT_CANCELLED ? EXIT_DONE : code;
}

/* --resume, --follow and --cancel, of a run that there is. */
static int find_run(struct options *options, const char *run)
{
    CLEANUP_FARM_DIRECTORY struct farm_directory directory = FARM_DIRECTORY_NONE;
    CLEANUP_HISTORY struct farm_history history = {0};
    CLEANUP_FREE char *base = find_base(options);
    CLEANUP_FREE char *path = strchr(run, '/') ? preload_make_absolute(run) : strdup(run);
    struct pkgcache_error error;
    if (!base || !path)
        return output_error(options, EXIT_FAILED, ENOENT,
                            "there is no home directory: name a --run-dir");
    if (farm_directory_open(base, path, &directory, &error) < 0)
        return fail(options, &error);
    if (options->resume)
        return go_on(options, &directory);
    if (farm_history_open(&directory, &history, &error) < 0)
        return fail(options, &error);
    return options->cancel ? cancel(options, &directory, &history)
                           : preload_follow(options, &directory, &history);
}

static int check_usage(const struct options *options)
{
    bool is_new = options->slurm || options->hosts;
    int modes = (options->resume != NULL) + (options->cancel != NULL) + options->follow +
                options->on_node + is_new;
    int arguments = is_new ? INT_MAX : options->follow;
    if (modes != 1)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "preload: say --slurm or --hosts, or one of --resume, --follow and "
                            "--cancel; see "
                            "pkgcache preload --help");
    if (is_new && options->argument_count == 0)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "preload: expected SOURCE...; see pkgcache preload --help");
    if (options->argument_count > arguments || (options->follow && options->argument_count != 1))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "preload: expected the name of one run, and no SOURCE; see pkgcache "
                            "preload --help");
    if ((options->hosts != NULL) != (options->with != WITH_NONE))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "preload: --hosts and --with go together: which hosts, and what "
                            "reaches them");
    if (options->hosts && (options->slurm || options->partition || options->nodes))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "preload: --slurm, --partition and --nodes are Slurm's: they do not "
                            "go with --hosts");
    return -1;
}

int cmd_preload(struct options *options)
{
    CLEANUP_FARM_DIRECTORY struct farm_directory directory = FARM_DIRECTORY_NONE;
    int code = check_usage(options);
    if (code >= 0)
        return code;
    if (options->on_node)
        return preload_on_node(options);
    if (!options->slurm && !options->hosts)
        return find_run(options, options->resume   ? options->resume
                                 : options->cancel ? options->cancel
                                                   : options->arguments[0]);
    code = plan_run(options, &directory);
    return code < 0 ? go_on(options, &directory) : code;
}
