/* What programs ask the daemon for: the calls of pkgcache_client.h. */
#include "cache/service/client.h"
#include "cache/service/listing.h"
#include "cache/service/message.h"
#include "cache/store/elements.h"
#include "cache/store/figures.h"
#include "cache/store/status.h"
#include "cache/store/warnings.h"
#include "cache/util/error.h"

#include <string.h>

enum {
    TIMEOUT_MS = 30000,
    AT_ONCE = 1000,             /* variants in one message */
    MESSAGE_BYTES = 512 << 10,  /* after which another is begun */
    REQUIRES_BYTES = 128 << 10, /* of one variant; with more, a message might be too long */
    SEEN_JOBS_MAX = 64,
};

static const struct client_wait plain_wait = {.timeout_ms = TIMEOUT_MS, .cancel_fd = -1};

int pkgcache_client_call(struct pkgcache_client *client, const char *method, const char *params,
                         char **ret_result, struct pkgcache_error *ret_error)
{
    struct client_answer answer;
    struct text text = {0};
    int result = client_ask(client, method, params, &plain_wait, &answer, ret_error);
    if (result < 0)
        return result;
    if (ret_result) {
        json_write(&text, answer.result);
        result = text_steal(&text, ret_result, NULL);
    }
    json_document_free(answer.document);
    return result < 0 ? error_set(ret_error, -result, "out of memory") : 0;
}

/* A status by its name; "found" is what a warm calls what was there. */
static int read_status(const struct json *value)
{
    if (json_is_string(value, "found"))
        return PKGCACHE_FOUND;
    for (int status = PKGCACHE_NOT_FOUND; status <= PKGCACHE_FAILED; status++)
        if (json_is_string(value, pkgcache_status_name((enum pkgcache_status)status)))
            return status;
    return PKGCACHE_FAILED;
}

static char *copy_string(const struct json *value)
{
    return value && value->type == JSON_STRING ? strdup(value->text) : NULL;
}

static void read_result(const struct json *value, struct pkgcache_result *ret)
{
    const struct json *status = json_member(value, "status");
    *ret = (struct pkgcache_result){
        .status = status ? (enum pkgcache_status)read_status(status) : PKGCACHE_FAILED,
        .reason = copy_string(json_member(value, "reason")),
    };
    figures_read_copied(value, ret);
    message_path(json_member(value, "root"), &ret->root);
    warnings_read(json_member(value, "warnings"), ret);
}

/* Returns the status, or -errno. */
static int ask_about(struct pkgcache_client *client, const char *method,
                     const struct pkgcache_handle *handle, bool touch, char **ret_root,
                     struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text params = {0};
    struct client_answer answer;
    struct pkgcache_result found;
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", handle);
    if (!touch)
        json_add_boolean(object, "touch", false);
    json_print(&params, object);
    if (params.error < 0)
        return error_set(error, ENOMEM, "out of memory");
    int result = client_ask(client, method, params.bytes, &plain_wait, &answer, error);
    if (result < 0)
        return result;
    read_result(answer.result, &found);
    json_document_free(answer.document);
    int status = (int)found.status;
    if (ret_root)
        *ret_root = STEAL(found.root);
    pkgcache_results_free(&found, sizeof(found), 1);
    return status;
}

int pkgcache_client_get(struct pkgcache_client *client, const struct pkgcache_handle *handle,
                        bool touch, char **ret_root, enum pkgcache_status *ret_status,
                        struct pkgcache_error *ret_error)
{
    *ret_root = NULL;
    int status = ask_about(client, "get", handle, touch, ret_root, ret_error);
    return status_answer(status, PKGCACHE_FOUND, ret_status);
}

int pkgcache_client_lease(struct pkgcache_client *client, const struct pkgcache_handle *handle,
                          char **ret_root, enum pkgcache_status *ret_status,
                          struct pkgcache_error *ret_error)
{
    *ret_root = NULL;
    int status = ask_about(client, "lease", handle, true, ret_root, ret_error);
    return status_answer(status, PKGCACHE_FOUND, ret_status);
}

int pkgcache_client_release(struct pkgcache_client *client, const struct pkgcache_handle *handle,
                            struct pkgcache_error *ret_error)
{
    int result = ask_about(client, "release", handle, true, NULL, ret_error);
    return MIN(result, 0);
}

/* Takes as many results as there should be. */
static int take_results(const struct json *array, struct pkgcache_result *results, size_t count,
                        struct pkgcache_error *error)
{
    const struct json *value = array ? array->first : NULL;
    size_t taken = 0;
    for (; value && taken < count; value = value->next)
        read_result(value, &results[taken++]);
    return taken == count && !value
               ? 0
               : error_set(error, EBADMSG, "the daemon's answer has another number of variants");
}

static cJSON *build_handle(const struct pkgcache_handle *handle)
{
    CLEANUP_TEXT struct text text = {0};
    handle_to_json(&text, handle);
    return text.error < 0 ? NULL : cJSON_CreateRaw(text.bytes);
}

/* Writes the next request of a get_many. Returns how many handles it has. */
static size_t write_handles(struct text *text, const struct pkgcache_handle *const *handles,
                            size_t count, bool touch)
{
    struct json_stream params = {0};
    size_t written = 0;
    cJSON *members = cJSON_CreateObject();
    json_add_boolean(members, "touch", touch);
    json_stream_open(&params, NULL, '{');
    json_stream_add_members(&params, members);
    json_stream_open(&params, "handles", '[');
    for (; written < count && written < AT_ONCE && params.text.length < MESSAGE_BYTES; written++)
        json_stream_add(&params, build_handle(handles[written]));
    json_stream_close(&params, ']');
    json_stream_close(&params, '}');
    *text = params.text;
    return written;
}

int pkgcache_client_get_many(struct pkgcache_client *client,
                             const struct pkgcache_handle *const *handles, size_t count, bool touch,
                             struct pkgcache_result *results, size_t result_size,
                             struct pkgcache_error *ret_error)
{
    if (!elements_have_result(result_size))
        return error_struct_size(ret_error, "get_many", "pkgcache_result");
    memset(results, 0, count * result_size);
    CLEANUP_FREE struct pkgcache_result *found = calloc(AT_ONCE, sizeof(*found));
    if (!found)
        return error_set(ret_error, ENOMEM, "out of memory");
    for (size_t done = 0, asked; done < count; done += asked) {
        CLEANUP_TEXT struct text params = {0};
        struct client_answer answer;
        asked = write_handles(&params, handles + done, count - done, touch);
        if (params.error < 0)
            return error_set(ret_error, ENOMEM, "out of memory");
        int result = client_ask(client, "get_many", params.bytes, &plain_wait, &answer, ret_error);
        if (result < 0)
            return result;
        result = take_results(json_member(answer.result, "variants"), found, asked, ret_error);
        json_document_free(answer.document);
        for (size_t i = 0; i < asked; i++) {
            elements_give_result(results, result_size, done + i, &found[i]);
            found[i] = (struct pkgcache_result){0};
        }
        if (result < 0)
            return result;
    }
    return 0;
}

int pkgcache_client_list(struct pkgcache_client *client,
                         int (*visit)(void *context, const struct pkgcache_entry *entry),
                         void *context, struct pkgcache_error *ret_error)
{
    struct client_answer answer;
    int result = client_ask(client, "list", NULL, &plain_wait, &answer, ret_error);
    if (result < 0)
        return result;
    const struct json *variants = json_member(answer.result, "variants");
    if (!variants || variants->type != JSON_ARRAY)
        result = error_set(ret_error, EBADMSG, "daemon: its answer has no variants");
    else
        for (const struct json *value = variants->first; value && result == 0; value = value->next)
            result = listing_show(value, visit, context, ret_error);
    json_document_free(answer.document);
    return result;
}

/* --- Warming --------------------------------------------------------------------------------- */

/* A message's part of the variants. */
struct piece {
    uint64_t number;
    size_t begin;
    size_t count;
    bool answered;
};

/** A warm that the daemon does. */
struct warming {
    const struct pkgcache_warm *warm;
    struct pkgcache_result *results;
    struct piece *pieces;
    size_t piece_count;
    size_t answered; /* pieces */
    struct {
        uint64_t job;
        struct pkgcache_progress progress;
    } seen[SEEN_JOBS_MAX];
    size_t seen_count;
};

static int on_notification(void *context, const char *method, const struct json *params)
{
    struct warming *warming = context;
    const struct pkgcache_warm *warm = warming->warm;
    struct pkgcache_progress sum = {.variants = warm->count};
    uint64_t job = json_count(params, "job");
    size_t place = 0;
    if (strcmp(method, "progress") != 0 || !warm->on_progress)
        return 0;
    while (place < warming->seen_count && warming->seen[place].job != job)
        place++;
    if (place == SEEN_JOBS_MAX)
        return 0;
    warming->seen_count = MAX(warming->seen_count, place + 1);
    warming->seen[place].job = job;
    warming->seen[place].progress =
        (struct pkgcache_progress){.variants_done = json_count(params, "done"),
                                   .files = json_count(params, "files"),
                                   .bytes = json_count(params, "bytes")};
    for (size_t i = 0; i < warming->seen_count; i++) {
        sum.variants_done += warming->seen[i].progress.variants_done;
        sum.files += warming->seen[i].progress.files;
        sum.bytes += warming->seen[i].progress.bytes;
    }
    return warm->on_progress(warm->context, &sum);
}

static bool are_alike(const struct pkgcache_variant *a, const struct pkgcache_variant *b)
{
    return a->force == b->force && a->priority == b->priority;
}

/* What is no JSON is sent as a string, so that the daemon fails that variant and no other. */
static void add_requires(cJSON *object, const char *requires_json)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_TEXT struct text list = {0};
    if (json_parse(requires_json, strlen(requires_json), &document, NULL) < 0) {
        json_add_string_reference(object, "requires", "");
        return;
    }
    json_write(&list, document->root);                   /* on one line */
    if (list.error < 0 || list.length <= REQUIRES_BYTES) /* it is for people only */
        json_add_text(object, "requires", &list);
}

static cJSON *build_variant(const struct pkgcache_variant *variant)
{
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", variant->handle);
    json_add_string_reference(object, "root", variant->root);
    if (variant->requires_json)
        add_requires(object, variant->requires_json);
    return object;
}

/* Writes the next request of a warm. Returns how many variants it has. */
static size_t write_piece(struct text *text, const struct pkgcache_warm *warm, size_t begin)
{
    static const char *const priorities[] = {"normal", "interactive", "bulk"};
    const struct pkgcache_variant *first = &warm->variants[begin];
    struct json_stream params = {0};
    size_t at = begin;
    cJSON *members = cJSON_CreateObject();
    json_add_string_reference(members, "priority", priorities[first->priority]);
    json_add_boolean(members, "force", first->force);
    json_add_boolean(members, "progress", warm->on_progress);
    json_add_boolean(members, "wait", !warm->no_wait);
    json_stream_open(&params, NULL, '{');
    json_stream_add_members(&params, members);
    json_stream_open(&params, "variants", '[');
    for (; at < warm->count && at - begin < AT_ONCE && params.text.length < MESSAGE_BYTES &&
           are_alike(first, &warm->variants[at]);
         at++)
        json_stream_add(&params, build_variant(&warm->variants[at]));
    json_stream_close(&params, ']');
    json_stream_close(&params, '}');
    *text = params.text;
    return at - begin;
}

static void report_result(const struct pkgcache_warm *warm, size_t index,
                          const struct pkgcache_result *result)
{
    for (size_t i = 0; warm->on_warning && i < result->warning_count; i++)
        warm->on_warning(warm->context, result->warnings[i].path, result->warnings[i].text);
    if (warm->on_result)
        warm->on_result(warm->context, index, result);
}

/* Takes an answer in, wherever it belongs. */
static int take_answer(const struct warming *warming, uint64_t number,
                       const struct client_answer *answer, struct pkgcache_error *error)
{
    const struct pkgcache_warm *warm = warming->warm;
    struct piece *piece = warming->pieces;
    while (piece < warming->pieces + warming->piece_count && piece->number != number)
        piece++;
    if (piece == warming->pieces + warming->piece_count || piece->answered)
        return error_set(error, EBADMSG, "the daemon sent an answer to no request");
    piece->answered = true;
    struct pkgcache_result *results = warming->results + piece->begin;
    int result = 0;
    if (warm->no_wait)
        for (size_t i = 0; i < piece->count; i++)
            results[i].status = PKGCACHE_COPYING;
    else
        result = take_results(json_member(answer->result, "results"), results, piece->count, error);
    for (size_t i = 0; result == 0 && i < piece->count; i++)
        report_result(warm, piece->begin + i, &results[i]);
    return result;
}

/* Takes what the daemon says next: an answer, or a notification. */
static int take_message(struct pkgcache_client *client, struct warming *warming,
                        const struct client_wait *wait, struct pkgcache_error *error)
{
    struct client_answer answer;
    uint64_t number;
    int result = client_receive(client, wait, &number, &answer, error);
    if (result != 0)
        return MIN(result, 0);
    warming->answered++;
    result = take_answer(warming, number, &answer, error);
    json_document_free(answer.document);
    return result;
}

/* Sends all requests, each as soon as the one before it is sent, and takes what comes meanwhile. */
static int send_pieces(struct pkgcache_client *client, struct warming *warming,
                       const struct client_wait *wait, struct pkgcache_error *error)
{
    const struct pkgcache_warm *warm = warming->warm;
    int result = 0;
    for (size_t begin = 0; result == 0 && begin < warm->count;) {
        CLEANUP_TEXT struct text params = {0};
        struct piece *piece = &warming->pieces[warming->piece_count++];
        piece->begin = begin;
        piece->count = write_piece(&params, warm, begin);
        begin += piece->count;
        if (params.error < 0)
            return error_set(error, ENOMEM, "out of memory");
        result = client_send(client, "warm", params.bytes, &piece->number, error);
        while (result == 0 && (result = client_flush(client, wait, error)) == 1)
            result = take_message(client, warming, wait, error);
    }
    return result;
}

static void fail_rest(const struct warming *warming, const struct pkgcache_error *error)
{
    for (size_t i = 0; i < warming->warm->count; i++) {
        struct pkgcache_result *result = &warming->results[i];
        if (result->status != PKGCACHE_NOT_FOUND)
            continue;
        result->status = PKGCACHE_FAILED;
        result->reason = strdup(error->message);
    }
}

int pkgcache_client_warm(struct pkgcache_client *client, const struct pkgcache_warm *warm,
                         struct pkgcache_result *results, struct pkgcache_error *ret_error)
{
    struct pkgcache_error error = {0};
    struct pkgcache_warm known;
    struct elements elements;
    if (take_struct(&known, sizeof(known), warm) < 0)
        return error_struct_size(ret_error, "warm", "pkgcache_warm");
    int result = elements_take(&known, results, &elements, ret_error);
    if (result < 0)
        return result;
    struct warming warming = {.warm = &known, .results = elements.results};
    const struct client_wait wait = {
        .timeout_ms = -1,
        .cancel_fd = known.cancel_fd > 0 ? known.cancel_fd : -1,
        .on_notification = on_notification,
        .context = &warming,
    };
    warming.pieces = calloc(known.count + 1, sizeof(*warming.pieces));
    result = warming.pieces ? send_pieces(client, &warming, &wait, &error)
                            : error_set(&error, ENOMEM, "out of memory");
    while (result == 0 && warming.answered < warming.piece_count)
        result = take_message(client, &warming, &wait, &error);
    if (result < 0)
        fail_rest(&warming, &error);
    elements_give(&elements, &known, results);
    free(warming.pieces);
    if (ret_error && result < 0)
        *ret_error = error;
    return result;
}
