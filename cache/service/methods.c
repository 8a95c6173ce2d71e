/* Methods. Each reads its parameters and answers, or hands the call to what will. */
#include "cache/service/methods.h"

#include "cache/service/look_ups.h"
#include "cache/service/report.h"
#include "cache/service/upkeep.h"
#include "cache/service/warming.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct method {
    const char *name;
    const char *params[7]; /* that it knows; ends with NULL */
    bool owner;            /* only for the daemon's own user, and root */
    unsigned (*run)(struct server *server, const struct call *call, const struct json *params);
};

static unsigned refuse_params(const struct call *call, const char *why)
{
    call_fail(call, MESSAGE_BAD_PARAMS, 0, "%s", why);
    return 1;
}

/* Reads the handle in a request. Fails the call, and returns NULL, when there is none. */
static struct pkgcache_handle *take_handle(const struct call *call, const struct json *params)
{
    struct pkgcache_error error;
    struct pkgcache_handle *handle = NULL;
    const struct json *value = params ? json_member(params, "handle") : NULL;
    if (!value)
        refuse_params(call, "\"handle\" is missing");
    else if (handle_from_json(value, &handle, &error) < 0)
        refuse_params(call, error.message);
    return handle;
}

static unsigned run_ping(struct server *server, const struct call *call, const struct json *params)
{
    (void)params;
    cJSON *result = cJSON_CreateObject();
    json_add_integer(result, "protocol", MESSAGE_PROTOCOL);
    json_add_string_reference(result, "version", server->version);
    json_add_integer(result, "pid", getpid());
    json_add_string_reference(result, "cache", pkgcache_path(server->cache));
    call_answer(call, result);
    return 1;
}

/* --- Looking up ------------------------------------------------------------------------------ */

static unsigned run_get(struct server *server, const struct call *call, const struct json *params)
{
    bool touch;
    CLEANUP_HANDLE struct pkgcache_handle *handle = take_handle(call, params);
    if (!handle)
        return 1;
    if (!message_boolean(params, "touch", true, &touch))
        return refuse_params(call, "\"touch\" is not true or false");
    look_up_answer_one(server, call, handle, touch);
    return 1;
}

/* Reads an array of at most MESSAGE_HANDLES_MAX. Fails the call, and returns NULL, otherwise. */
static const struct json *take_array(const struct call *call, const struct json *params,
                                     const char *key)
{
    size_t count = 0;
    const struct json *array = params ? json_member(params, key) : NULL;
    if (!array || array->type != JSON_ARRAY) {
        call_fail(call, MESSAGE_BAD_PARAMS, 0, "\"%s\" is not an array", key);
        return NULL;
    }
    for (const struct json *value = array->first; value; value = value->next)
        count++;
    if (count <= MESSAGE_HANDLES_MAX)
        return array;
    call_fail(call, MESSAGE_BAD_PARAMS, 0, "\"%s\" has more than %d elements", key,
              MESSAGE_HANDLES_MAX);
    return NULL;
}

static unsigned run_get_many(struct server *server, const struct call *call,
                             const struct json *params)
{
    bool touch;
    const struct json *handles = take_array(call, params, "handles");
    if (!handles)
        return 1;
    if (!message_boolean(params, "touch", true, &touch))
        return refuse_params(call, "\"touch\" is not true or false");
    look_up_answer_many(server, call, handles, touch);
    return 1;
}

/* --- Warming --------------------------------------------------------------------------------- */

static unsigned run_warm(struct server *server, const struct call *call, const struct json *params)
{
    static const char *const priorities[] = {"normal", "interactive", "bulk", NULL};
    _Static_assert(COPYENGINE_INTERACTIVE == 1 && COPYENGINE_BULK == 2, "see priorities");
    struct job_options options = {0};
    unsigned priority = COPYENGINE_NORMAL;
    bool by_sources = params && json_member(params, "sources");
    if (by_sources && json_member(params, "variants"))
        return refuse_params(call, "give either \"variants\" or \"sources\", not both");
    const struct json *wanted = take_array(call, params, by_sources ? "sources" : "variants");
    if (!wanted)
        return 1;
    if (!message_word(params, "priority", priorities, &priority))
        return refuse_params(call, "\"priority\" is not normal, interactive or bulk");
    if (!message_boolean(params, "wait", true, &options.wait))
        return refuse_params(call, "\"wait\" is not true or false");
    if (!message_boolean(params, "progress", false, &options.progress))
        return refuse_params(call, "\"progress\" is not true or false");
    if (!message_boolean(params, "force", false, &options.force))
        return refuse_params(call, "\"force\" is not true or false");
    const struct peer *peer = connection_peer(call->connection);
    if (geteuid() == 0 && peer->uid != 0) {
        /* what root can read, the peer may not; and whoever checks that first, checks too early */
        call_fail(call, MESSAGE_FORBIDDEN, 0, "a daemon that runs as root copies for root only");
        return 1;
    }
    if (options.force && !peer_is_owner(peer)) {
        call_fail(call, MESSAGE_FORBIDDEN, 0,
                  "only the daemon's own user and root may use \"force\"");
        return 1;
    }
    if (by_sources && !peer_is_owner(peer)) {
        call_fail(call, MESSAGE_FORBIDDEN, 0,
                  "only the daemon's own user and root may send \"sources\", since the daemon "
                  "reads them with its own rights: send \"variants\"");
        return 1;
    }
    options.priority = (enum copyengine_priority)priority;
    if (by_sources)
        warming_begin_sources(server, call, wanted, &options);
    else
        warming_begin(server, call, wanted, &options);
    return 1;
}

/* Answers {"KEY": true}. */
static unsigned answer_true(const struct call *call, const char *key)
{
    cJSON *result = cJSON_CreateObject();
    json_add_boolean(result, key, true);
    call_answer(call, result);
    return 1;
}

static bool read_job(const struct json *params, int64_t *ret)
{
    return message_number(params, "job", 1, INT64_MAX, 0, ret);
}

static unsigned fail_no_job(const struct call *call, int64_t job)
{
    call_fail(call, MESSAGE_NOT_FOUND, 0, "there is no job %" PRId64 ", or it has ended", job);
    return 1;
}

static unsigned run_cancel(struct server *server, const struct call *call,
                           const struct json *params)
{
    int64_t job;
    if (!read_job(params, &job) || job == 0)
        return refuse_params(call, "\"job\" is not the number of a job");
    int result = jobs_cancel(&server->jobs, connection_peer(call->connection), (uint64_t)job);
    if (result == -ENOENT)
        return fail_no_job(call, job);
    if (result < 0) {
        call_fail(call, MESSAGE_FORBIDDEN, 0, "job %" PRId64 " belongs to another user", job);
        return 1;
    }
    return answer_true(call, "cancelled");
}

static unsigned run_subscribe(struct server *server, const struct call *call,
                              const struct json *params)
{
    int64_t job;
    if (!read_job(params, &job))
        return refuse_params(call, "\"job\" is not the number of a job");
    if (job != 0 && !jobs_contain(&server->jobs, (uint64_t)job))
        return fail_no_job(call, job);
    if (connection_subscribe(call->connection, (uint64_t)job) < 0) {
        call_fail(call, MESSAGE_BUSY, 0,
                  "too many subscriptions; subscribe to all jobs by leaving out \"job\"");
        return 1;
    }
    return answer_true(call, "subscribed");
}

static unsigned run_status(struct server *server, const struct call *call,
                           const struct json *params)
{
    (void)params;
    call_answer(call, report_build_status(server));
    return 1;
}

/* --- Leases ---------------------------------------------------------------------------------- */

/* Whether a process is the peer's to speak for. */
static bool may_lease_for(const struct peer *peer, pid_t pid)
{
    char path[32];
    struct stat status;
    if (pid == peer->pid || peer_is_owner(peer))
        return true;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return stat(path, &status) == 0 && status.st_uid == peer->uid;
}

/* Reads whose lease it is. Fails the call, and returns 0, when that cannot be. */
static pid_t take_process(const struct call *call, const struct json *params)
{
    int64_t pid;
    const struct peer *peer = connection_peer(call->connection);
    if (!message_number(params, "pid", 1, INT_MAX, peer->pid, &pid)) {
        refuse_params(call, "\"pid\" is not a process ID");
        return 0;
    }
    if (pid == 0)
        refuse_params(call, "the daemon cannot see your process, so \"pid\" is needed");
    else if (!may_lease_for(peer, (pid_t)pid))
        call_fail(call, MESSAGE_FORBIDDEN, 0, "process %d belongs to another user", (int)pid);
    else
        return (pid_t)pid;
    return 0;
}

static unsigned run_lease(struct server *server, const struct call *call, const struct json *params)
{
    pid_t pid = take_process(call, params);
    struct pkgcache_handle *handle = pid ? take_handle(call, params) : NULL;
    if (handle)
        holds_take(&server->holds, call, handle, pid);
    return 1;
}

static unsigned run_release(struct server *server, const struct call *call,
                            const struct json *params)
{
    pid_t pid = take_process(call, params);
    struct pkgcache_handle *handle = pid ? take_handle(call, params) : NULL;
    if (handle)
        holds_give_back(&server->holds, call, handle, pid);
    return 1;
}

/* --- The rest -------------------------------------------------------------------------------- */

static unsigned run_clean(struct server *server, const struct call *call, const struct json *params)
{
    bool dry_run;
    int64_t time_limit_s;
    if (!message_boolean(params, "dry_run", false, &dry_run))
        return refuse_params(call, "\"dry_run\" is not true or false");
    if (!message_number(params, "time_limit", 1, 1000000000, 0, &time_limit_s))
        return refuse_params(call, "\"time_limit\" is not a number of seconds");
    upkeep_clean(server, call, dry_run, (unsigned)time_limit_s);
    return 1;
}

static unsigned run_stats(struct server *server, const struct call *call, const struct json *params)
{
    static const char *const formats[] = {"json", "prometheus", NULL};
    unsigned format = 0;
    if (!message_word(params, "format", formats, &format))
        return refuse_params(call, "\"format\" is not json or prometheus");
    upkeep_stats(server, call, format == 1);
    return 1;
}

static unsigned run_list(struct server *server, const struct call *call, const struct json *params)
{
    (void)params;
    if (call->batch) /* nothing bounds what the answers of a batch are together */
        call_fail(call, MESSAGE_FAILED, EMSGSIZE, "list is not allowed in a batch: send it alone");
    else
        upkeep_list(server, call);
    return 1;
}

static unsigned run_shutdown(struct server *server, const struct call *call,
                             const struct json *params)
{
    (void)params;
    loop_stop(&server->loop, 0);
    return answer_true(call, "stopping");
}

static const struct method methods[] = {
    {"get", {"handle", "touch"}, false, run_get},
    {"get_many", {"handles", "touch"}, false, run_get_many},
    {"warm", {"variants", "sources", "priority", "wait", "progress", "force"}, false, run_warm},
    {"cancel", {"job"}, false, run_cancel},
    {"status", {NULL}, false, run_status},
    {"subscribe", {"job"}, false, run_subscribe},
    {"lease", {"handle", "pid"}, false, run_lease},
    {"release", {"handle", "pid"}, false, run_release},
    {"stats", {"format"}, false, run_stats},
    {"list", {NULL}, false, run_list},
    {"clean", {"dry_run", "time_limit"}, true, run_clean},
    {"ping", {NULL}, false, run_ping},
    {"shutdown", {NULL}, true, run_shutdown},
};

static const struct method *find_method(const struct json *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(methods); i++)
        if (json_is_string(name, methods[i].name))
            return &methods[i];
    return NULL;
}

unsigned method_answer(struct server *server, const struct call *call,
                       const struct message *message)
{
    char quoted[JSON_QUOTE_SIZE];
    const struct method *method = find_method(message->method);
    server->counters.warms += method && method->run == run_warm;
    if (!method)
        call_fail(call, MESSAGE_NO_METHOD, 0, "there is no method %s",
                  json_quote(message->method, quoted));
    else if (!message_has_only(message->params, method->params))
        call_fail(call, MESSAGE_BAD_PARAMS, 0, "%s has no such parameter", method->name);
    else if (method->owner && !peer_is_owner(connection_peer(call->connection)))
        call_fail(call, MESSAGE_FORBIDDEN, 0, "only the daemon's own user and root may call %s",
                  method->name);
    else if (server->loop.stopping)
        call_fail(call, MESSAGE_STOPPING, 0, "the daemon is stopping");
    else
        return method->run(server, call, message->params);
    return 1;
}
