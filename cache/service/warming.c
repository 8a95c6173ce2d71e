/* Warming: from what is named to a job. */
#include "cache/service/warming.h"

#include "cache/rez/sources.h"
#include "cache/util/error.h"

#include <string.h>

enum { SOURCES_MAX = 64 };

/** Sources that are being read. */
struct warming {
    struct errand errand;
    struct server *server;
    struct call *call;
    struct job_options options;
    struct sources sources;
    int result;
    struct pkgcache_error error;
    size_t count;
    char *paths[SOURCES_MAX];
};

/* Begins a job with what was found out meanwhile, if it is still of use. */
static void begin_job(struct server *server, const struct call *call, struct sources *sources,
                      const struct job_options *options)
{
    if (server->loop.stopping)
        call_fail(call, MESSAGE_STOPPING, 0, "the daemon is stopping");
    else if (!call_is_open(call))
        call_fail(call, MESSAGE_FAILED, ECANCELED, "the client has gone");
    else
        jobs_begin(&server->jobs, call, &sources->variants, options);
}

/* --- Variants -------------------------------------------------------------------------------- */

/* Reads a list of requirements. *ret: as JSON; NULL: there is none. */
static int read_requires(const struct json *value, char **ret)
{
    struct text text = {0};
    if (!value || value->type == JSON_NULL)
        return 0;
    if (value->type != JSON_ARRAY)
        return -EINVAL;
    json_write(&text, value);
    return text_steal(&text, ret, NULL);
}

static int read_variant(struct source_names *names, const struct json *variant)
{
    static const char *const members[] = {"handle", "root", "requires", NULL};
    char *text;
    if (asprintf(&text, "variants[%zu]", names->count) < 0)
        return -ENOMEM;
    int result = source_names_add_handle(names, json_member(variant, "handle"),
                                         json_member(variant, "root"), text);
    if (result < 0)
        return result;
    struct source_name *name = source_names_last(names);
    result = read_requires(json_member(variant, "requires"), &name->requires_json);
    if (result == -EINVAL)
        source_name_give_reason(name, "its requirements are not a list");
    if (!message_has_only(variant, members))
        source_name_give_reason(
            name, "a variant is {\"handle\": {...}, \"root\": \"/...\", \"requires\": [...]}");
    return result == -ENOMEM ? result : 0;
}

/** Variants that a guest wants, whose roots are being vetted. */
struct guest_warming {
    struct server *server;
    struct call *call;
    struct job_options options;
    struct sources sources;
};

static void free_guest_warming(struct guest_warming *warming)
{
    call_free(warming->call);
    sources_free(&warming->sources);
    free(warming);
}

static void end_vetting(void *context)
{
    struct guest_warming *warming = context;
    begin_job(warming->server, warming->call, &warming->sources, &warming->options);
    free_guest_warming(warming);
}

static int vet(struct server *server, struct guest_warming *warming)
{
    const struct connection *connection = warming->call->connection;
    CLEANUP_FREE gid_t *groups = NULL;
    size_t count = 0;
    int result = connection_read_groups(connection, &groups, &count);
    const struct access_user user = {connection_peer(connection)->uid, groups, count};
    return result < 0 ? result
                      : vetting_begin(&server->vettings, &warming->sources.variants, &user,
                                      end_vetting, warming);
}

/* Takes over the sources. */
static void begin_for_guest(struct server *server, const struct call *call, struct sources *sources,
                            const struct job_options *options)
{
    struct guest_warming *warming = calloc(1, sizeof(*warming));
    struct call *kept = warming ? call_keep(call) : NULL;
    if (!kept) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        free(warming);
        return;
    }
    *warming = (struct guest_warming){server, kept, *options, *sources};
    *sources = (struct sources){0};
    int result = vet(server, warming);
    if (result == 0)
        return;
    if (result == -EBUSY)
        call_fail(kept, MESSAGE_BUSY, 0, "too many variants are waiting already: try again later");
    else
        call_fail(kept, MESSAGE_FAILED, -result, "%s", strerror(-result));
    free_guest_warming(warming);
}

void warming_begin(struct server *server, const struct call *call, const struct json *variants,
                   const struct job_options *options)
{
    struct sources sources = {0};
    int result = 0;
    for (const struct json *one = variants->first; one && result == 0; one = one->next)
        result = read_variant(&sources.names, one);
    if (result == 0)
        result = sources_find_handles(&sources, NULL);
    if (result < 0)
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
    else if (peer_is_owner(connection_peer(call->connection)))
        jobs_begin(&server->jobs, call, &sources.variants, options);
    else
        begin_for_guest(server, call, &sources, options);
    sources_free(&sources);
}

/* --- Sources --------------------------------------------------------------------------------- */

static void free_warming(struct warming *warming)
{
    call_free(warming->call);
    sources_free(&warming->sources);
    for (size_t i = 0; i < warming->count; i++)
        free(warming->paths[i]);
    free(warming);
}

/* The errand. rez's settings are read anew each time. */
static void run_warming(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct warming *warming = CONTAINER_OF(errand, struct warming, errand);
    struct sources *sources = &warming->sources;
    struct rezconfig *config = NULL;
    int result = cache ? 0 : -error->code;
    if (cache && rezconfig_new(&config) < 0)
        result = error_set(error, ENOMEM, "out of memory");
    if (result == 0)
        result = sources_open(sources, config, error);
    if (result == 0)
        result = sources_read(sources, (const char *const *)warming->paths, warming->count, error);
    if (result == 0)
        result = sources_find_roots(sources, cache, error);
    sources_close(sources);
    rezconfig_free(config);
    if (result < 0)
        sources_clear(sources);
    warming->result = result;
    warming->error = *error;
}

static void end_warming(struct errand *errand)
{
    struct warming *warming = CONTAINER_OF(errand, struct warming, errand);
    if (warming->result < 0 && call_is_open(warming->call) && !warming->server->loop.stopping)
        call_fail(warming->call, MESSAGE_FAILED, warming->error.code, "%s", warming->error.message);
    else
        begin_job(warming->server, warming->call, &warming->sources, &warming->options);
    free_warming(warming);
}

/* Reads the paths; or fails the call. */
static bool take_paths(struct warming *warming, const struct json *sources)
{
    for (const struct json *value = sources->first; value; value = value->next) {
        if (warming->count == SOURCES_MAX) {
            call_fail(warming->call, MESSAGE_BAD_PARAMS, 0, "\"sources\" has more than %d elements",
                      SOURCES_MAX);
            return false;
        }
        char **path = &warming->paths[warming->count];
        int result = message_path(value, path);
        if (result < 0 || !*path) {
            call_fail(warming->call, MESSAGE_BAD_PARAMS, -result,
                      "a source must be an absolute path or a URI");
            return false;
        }
        warming->count++;
    }
    return true;
}

void warming_begin_sources(struct server *server, const struct call *call,
                           const struct json *sources, const struct job_options *options)
{
    struct warming *warming = calloc(1, sizeof(*warming));
    struct call *kept = warming ? call_keep(call) : NULL;
    if (!kept) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        free(warming);
        return;
    }
    *warming = (struct warming){
        .errand = {.run = run_warming, .done = end_warming},
        .server = server,
        .call = kept,
        .options = *options,
        .sources = {.force = options->force, .names = {.guarded = true}},
    };
    warming->options.named = true;
    bool taken = take_paths(warming, sources);
    if (taken && errands_add(server->reading, &warming->errand) == 0)
        return;
    if (taken)
        call_fail(kept, MESSAGE_BUSY, 0, "too many requests wait already: try again later");
    free_warming(warming);
}
