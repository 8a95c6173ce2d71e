/* Look-ups for clients. */
#include "cache/service/look_ups.h"

#include <limits.h>

/** A get_many under way. */
struct many {
    struct request_steps steps;
    struct server *server;
    struct call call;
    const struct json *next; /* handle; NULL: all are done */
    struct json_stream answer;
    bool touch;
};

/* Looks one up. *path: "" when it is not found. */
static int look_up(struct server *server, const struct pkgcache_handle *handle, bool touch,
                   char path[static PATH_MAX], enum pkgcache_status *ret_status,
                   struct pkgcache_error *error)
{
    int result = pkgcache_get_into(server->cache, handle, touch, path, PATH_MAX, ret_status, error);
    server->counters.look_ups++;
    server->counters.hits += result > 0;
    return result;
}

void look_up_answer_one(struct server *server, const struct call *call,
                        const struct pkgcache_handle *handle, bool touch)
{
    char path[PATH_MAX];
    struct pkgcache_error error;
    enum pkgcache_status status;
    if (look_up(server, handle, touch, path, &status, &error) < 0) {
        call_fail(call, MESSAGE_FAILED, error.code, "%s", error.message);
        return;
    }
    call_answer(call, message_build_found(status, *path ? path : NULL, NULL));
}

/* --- Many ------------------------------------------------------------------------------------ */

/* Looks up the handle that a value is, and appends what was found. */
static void append_look_up(struct many *many, const struct json *value)
{
    char path[PATH_MAX] = "";
    struct pkgcache_error error;
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    enum pkgcache_status status = PKGCACHE_FAILED;
    int result = handle_from_json(value, &handle, &error);
    if (result == 0)
        result = look_up(many->server, handle, many->touch, path, &status, &error);
    json_stream_add(&many->answer, message_build_found(status, *path ? path : NULL,
                                                       result < 0 ? error.message : NULL));
}

static void free_many(struct many *many)
{
    json_stream_end(&many->answer);
    free(many);
}

/* One more of them, or the answer. */
static unsigned look_up_next(struct request_steps *steps)
{
    struct many *many = CONTAINER_OF(steps, struct many, steps);
    if (many->next) {
        append_look_up(many, many->next);
        many->next = many->next->next;
        steps->held_bytes = many->answer.text.capacity;
        return 1;
    }
    json_stream_close(&many->answer, ']');
    message_close_result(&many->answer);
    call_answer_stream(&many->call, &many->answer);
    free_many(many);
    return 0;
}

static void drop_many(struct request_steps *steps)
{
    struct many *many = CONTAINER_OF(steps, struct many, steps);
    call_drop(&many->call);
    free_many(many);
}

void look_up_answer_many(struct server *server, const struct call *call, const struct json *handles,
                         bool touch)
{
    struct many *many = calloc(1, sizeof(*many));
    if (!many) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        return;
    }
    *many = (struct many){
        .steps = {.take_step = look_up_next, .drop = drop_many},
        .server = server,
        .call = *call,
        .next = handles->first,
        .touch = touch,
    };
    message_open_result(&many->answer, call->id);
    json_stream_open(&many->answer, "variants", '[');
    requests_answer_in_steps(call, &many->steps);
}
