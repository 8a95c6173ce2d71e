/* sinfo, scontrol, srun, scancel. */
#include "cache/preload/farm_slurm.h"

#include "cache/json/visible.h"
#include "cache/preload/farm_child.h"

#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

enum {
    OUTPUT_MAX_BYTES = 64 << 20,
    IMMEDIATE_S = 60, /* how long srun waits for nodes that were free a moment ago */
    S_PER_MINUTE = 60,
};

/* --- command lines --- */

/* The name that all jobs of a run have, by which they are cancelled. */
static void add_job_name(struct farm_arguments *arguments, const char *run)
{
    farm_arguments_printf(arguments, "--job-name=pkgcache-%s", run);
}

static void build(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    farm_arguments_add(arguments, "srun");
    add_job_name(arguments, launch->run);
    if (launch->partition)
        farm_arguments_printf(arguments, "--partition=%s", launch->partition);
    farm_arguments_add_nodes(arguments, "--nodelist=", launch);
    farm_arguments_printf(arguments, "--nodes=%zu-%zu", launch->count, launch->count);
    farm_arguments_printf(arguments, "--ntasks=%zu", launch->count);
    farm_arguments_add(arguments, "--ntasks-per-node=1");
    /* One bad node is not to end the work of the others: not when it dies, nor when it fails. */
    farm_arguments_add(arguments, "--no-kill");
    farm_arguments_add(arguments, "--kill-on-bad-exit=0");
    farm_arguments_add(arguments, "--wait=0");
    /* A node that somebody took meanwhile, or that is drained, would be waited for for ever. */
    farm_arguments_printf(arguments, "--immediate=%d", IMMEDIATE_S);
    farm_arguments_add(arguments, "--mpi=none");
    farm_arguments_add(arguments, "--chdir=/"); /* our directory may not be there */
    if (launch->time_limit_s > 0)
        farm_arguments_printf(arguments, "--time=%" PRIu64,
                              (uint64_t)launch->time_limit_s / S_PER_MINUTE + 1);
    farm_arguments_add(arguments, "--");
    farm_arguments_add_command(arguments, launch->program);
}

static void build_cancel(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    farm_arguments_add(arguments, "scancel");
    farm_arguments_printf(arguments, "--name=pkgcache-%s", launch->run);
    farm_arguments_add(arguments, "--me");
    if (launch->count > 0)
        farm_arguments_add_nodes(arguments, "--nodelist=", launch);
}

const struct farm_launcher farm_launcher_slurm = {
    .name = "slurm",
    .nodes_max = 64,
    .has_rounds = true,
    .build = build,
    .build_cancel = build_cancel,
};

bool farm_slurm_is_busy(const char *errors)
{
    static const char *const said[] = {
        "Requested nodes are busy",      "Requested node configuration is not available",
        "Required node not available",   "Requested partition configuration not available now",
        "Unable to create step for job", "Job/step already completing or completed",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(said); i++)
        if (strstr(errors, said[i]))
            return true;
    return false;
}

/* --- nodes --- */

/* Its last line: the reason stands at the end. */
static int say_why(const struct farm_arguments *arguments, const struct text *errors, int status,
                   struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text line = {0};
    const char *bytes = errors->bytes ? errors->bytes : "";
    size_t end = errors->length;
    while (end > 0 && bytes[end - 1] == '\n')
        end--;
    const char *begin = memrchr(bytes, '\n', end);
    begin = begin ? begin + 1 : bytes;
    visible_append(&line, begin, MIN((size_t)(bytes + end - begin), (size_t)400));
    return error_set(error, EIO, "%s failed with exit status %d: %s", arguments->items[0],
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                     line.error == 0 && line.length > 0 ? line.bytes : "it did not say why");
}

/* Whether it is `idle`, say, and nothing follows but what Slurm itself sees to before a job begins:
   powered off (~), powering up (#), planned for another job (-). */
static bool is_free(const char *state)
{
    static const char *const states[] = {"idle", "mixed"};
    for (size_t i = 0; i < ARRAY_LENGTH(states); i++) {
        size_t length = strlen(states[i]);
        if (strncmp(state, states[i], length) == 0)
            return state[length] == '\0' ||
                   (strchr("~#-", state[length]) && state[length + 1] == '\0');
    }
    return false;
}

static int add_node(struct farm_slurm_nodes *nodes, const char *name, const char *state)
{
    if (nodes->count == nodes->capacity) {
        size_t capacity = MAX(2 * nodes->capacity, (size_t)64);
        struct farm_slurm_node *items = reallocarray(nodes->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        nodes->items = items;
        nodes->capacity = capacity;
    }
    struct farm_slurm_node *node = &nodes->items[nodes->count++];
    *node = (struct farm_slurm_node){
        .name = strdup(name), .state = strdup(state), .is_free = is_free(state)};
    return node->name && node->state ? 0 : -ENOMEM;
}

static int compare(const void *a, const void *b)
{
    return strverscmp(((const struct farm_slurm_node *)a)->name,
                      ((const struct farm_slurm_node *)b)->name);
}

static void free_node(struct farm_slurm_node *node)
{
    free(node->name);
    free(node->state);
}

/* A node stands there once for each partition. */
static void sort(struct farm_slurm_nodes *nodes)
{
    size_t kept = 0;
    if (nodes->count == 0)
        return;
    qsort(nodes->items, nodes->count, sizeof(*nodes->items), compare);
    for (size_t i = 1; i < nodes->count; i++)
        if (compare(&nodes->items[i], &nodes->items[kept]) == 0)
            free_node(&nodes->items[i]);
        else
            nodes->items[++kept] = nodes->items[i];
    nodes->count = kept + 1;
}

/* One line of sinfo's, which is changed. */
static int parse_line(char *line, bool default_partition, struct farm_slurm_nodes *nodes,
                      struct pkgcache_error *error)
{
    const char *name = strsep(&line, "|");
    const char *state = line ? strsep(&line, "|") : NULL;
    if (!state || !line || !farm_name_is_sound(name) || strlen(state) > FARM_NAME_MAX)
        return error_set(error, EBADMSG, "sinfo printed something else than nodes");
    if (default_partition && (*line == '\0' || line[strlen(line) - 1] != '*'))
        return 0;
    if (nodes->count == FARM_NODES_MAX)
        return error_set(error, E2BIG, "there are more than %d nodes", FARM_NODES_MAX);
    return add_node(nodes, name, state) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

int farm_slurm_parse(const char *text, bool default_partition, struct farm_slurm_nodes *ret,
                     struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *copy = strdup(text);
    int result = copy ? 0 : error_set(ret_error, ENOMEM, "out of memory");
    char *rest = copy;
    for (char *line; result == 0 && (line = strsep(&rest, "\n"));)
        if (*line)
            result = parse_line(line, default_partition, ret, ret_error);
    sort(ret);
    return result;
}

static int ask(const struct farm_arguments *arguments, struct text *output,
               struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text errors = {0};
    int status;
    int result =
        farm_child_ask(arguments, FARM_HELPER_S, OUTPUT_MAX_BYTES, output, &errors, &status, error);
    if (result < 0)
        return result;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return say_why(arguments, &errors, status, error);
    if (output->length > 0 && memchr(output->bytes, '\0', output->length))
        return error_set(error, EBADMSG, "%s printed a NUL byte", arguments->items[0]);
    return 0;
}

int farm_slurm_ask(const char *partition, const char *nodes, struct farm_slurm_nodes *ret,
                   struct pkgcache_error *ret_error)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    *ret = (struct farm_slurm_nodes){0};
    farm_arguments_add(&arguments, "sinfo");
    farm_arguments_add(&arguments, "--noheader");
    farm_arguments_add(&arguments, "--Node");
    farm_arguments_add(&arguments, "--format=%N|%T|%P");
    if (partition)
        farm_arguments_printf(&arguments, "--partition=%s", partition);
    if (nodes)
        farm_arguments_printf(&arguments, "--nodes=%s", nodes);
    int result = ask(&arguments, &output, ret_error);
    if (result == 0)
        result = farm_slurm_parse(output.bytes ? output.bytes : "", !partition && !nodes, ret,
                                  ret_error);
    if (result < 0)
        farm_slurm_nodes_free(ret);
    return result;
}

int farm_slurm_expand(const char *expression, struct farm_names *ret,
                      struct pkgcache_error *ret_error)
{
    CLEANUP_ARGUMENTS struct farm_arguments arguments = {0};
    CLEANUP_TEXT struct text output = {0};
    farm_arguments_add(&arguments, "scontrol");
    farm_arguments_add(&arguments, "show");
    farm_arguments_add(&arguments, "hostnames");
    farm_arguments_add(&arguments, expression);
    int result = ask(&arguments, &output, ret_error);
    char *rest = output.bytes;
    for (char *line; result == 0 && rest && (line = strsep(&rest, "\n"));)
        if (*line)
            result = farm_names_add(ret, line, ret_error);
    farm_names_sort(ret);
    return result;
}

const struct farm_slurm_node *farm_slurm_find(const struct farm_slurm_nodes *nodes,
                                              const char *name)
{
    const struct farm_slurm_node key = {.name = (char *)name};
    return nodes->count == 0 ? NULL
                             : bsearch(&key, nodes->items, nodes->count, sizeof(key), compare);
}

void farm_slurm_nodes_free(struct farm_slurm_nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        free_node(&nodes->items[i]);
    free(nodes->items);
    *nodes = (struct farm_slurm_nodes){0};
}
