/* The client's end of a connection, against daemons that keep to the protocol and are no help. */
#include "tests/unit/place.h"

#include "cache/service/client.h"
#include "engine/compiler.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    VARIANTS = 5000,            /* in several requests, each larger than what a socket holds */
    ROOT_BYTES = 600,           /* of a variant */
    ANSWER_BYTES = 1 << 20,     /* more than what a socket holds */
    SHORT_TIME_MS = 50,         /* for answers that never come */
    REQUEST_MAX_BYTES = 1 << 20 /* the line feed included */
};

/** Somebody who listens in the place of a daemon. */
struct place {
    char directory[PLACE_BYTES];
    char socket_path[PLACE_BYTES + 16];
    int listener_fd;
    pthread_t thread;
    unsigned requests; /* that were read; the thread's until it has ended */
};

static void set_up(struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *place = (struct place){0};
    cr_assert_not_null(place_make(place->directory));
    snprintf(place->socket_path, sizeof(place->socket_path), "%s/socket", place->directory);
    strcpy(address.sun_path, place->socket_path);
    place->listener_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(place->listener_fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(place->listener_fd, 1), 0);
}

static void tear_down(struct place *place, struct pkgcache_client *client)
{
    pkgcache_client_close(client);
    close(place->listener_fd);
    cr_assert_eq(copyengine_remove_tree(NULL, AT_FDCWD, place->directory, NULL), 0);
}

static struct pkgcache_client *connect_client(const struct place *place)
{
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    cr_assert_eq(pkgcache_client_open(place->directory, place->socket_path, &client, &error), 0,
                 "%s", error.message);
    return client;
}

/* How many variants the next request names; 0: none comes. */
static unsigned read_request(FILE *stream, char *line)
{
    unsigned variants = 0;
    if (!fgets(line, REQUEST_MAX_BYTES + 1, stream))
        return 0;
    cr_assert_eq(line[strlen(line) - 1], '\n');
    for (const char *at = line; (at = strstr(at, "\"root\"")); at++)
        variants++;
    return variants;
}

/* There is much to say about each. */
static void write_answer(FILE *stream, unsigned number, unsigned variants)
{
    fprintf(stream, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"results\":[", number);
    for (unsigned i = 0; i < variants; i++)
        fprintf(stream, "%s{\"status\":\"failed\",\"reason\":\"%*s\"}", i ? "," : "",
                (int)(ANSWER_BYTES / variants), "no");
    fprintf(stream, "]}}\n");
    fflush(stream);
}

/* Answers each request at once, and reads no other before that is read. */
static void *serve(void *argument)
{
    static const char notification[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{}}\n";
    struct place *place = argument;
    int fd = accept(place->listener_fd, NULL, NULL);
    CLEANUP_FREE char *line = malloc(REQUEST_MAX_BYTES + 1);
    CLEANUP_FCLOSE FILE *out = fdopen(dup(fd), "w");
    CLEANUP_FCLOSE FILE *in = fdopen(fd, "r");
    cr_assert(line && in && out);
    for (unsigned variants; (variants = read_request(in, line)) > 0;) {
        fputs(notification, out);
        write_answer(out, ++place->requests, variants);
    }
    return NULL;
}

/* Who sends all before he reads would wait for ever: the daemon does not read, either. */
Test(client, takes_answers_while_it_sends, .timeout = PATIENCE_S)
{
    static struct pkgcache_variant variants[VARIANTS];
    static struct pkgcache_result results[VARIANTS];
    static char root[ROOT_BYTES + 1];
    struct place place;
    struct pkgcache_handle *handle = NULL;
    struct pkgcache_error error = {0};
    memset(root, 'x', ROOT_BYTES);
    *root = '/';
    set_up(&place);
    cr_assert_eq(pkgcache_handle_new("/svr", "foo", "1.0", -1, &handle, &error), 0);
    for (size_t i = 0; i < VARIANTS; i++)
        variants[i] = (struct pkgcache_variant){.handle = handle, .root = root};
    const struct pkgcache_warm warm = {.size = sizeof(warm),
                                       .variants = variants,
                                       .variant_size = sizeof(variants[0]),
                                       .count = VARIANTS,
                                       .result_size = sizeof(results[0]),
                                       .cancel_fd = -1};
    struct pkgcache_client *client = connect_client(&place);
    cr_assert_eq(pthread_create(&place.thread, NULL, serve, &place), 0);
    cr_assert_eq(pkgcache_client_warm(client, &warm, results, &error), 0, "%s", error.message);
    for (size_t i = 0; i < VARIANTS; i++)
        cr_assert_eq(results[i].status, PKGCACHE_FAILED);
    pkgcache_results_free(results, sizeof(results[0]), VARIANTS);
    pkgcache_handle_free(handle);
    tear_down(&place, client);
    pthread_join(place.thread, NULL);
    cr_expect_gt(place.requests, 4);
}

/* Asks somebody who never answers. Returns the result. */
static int ask_in_vain(const struct place *place, size_t params_bytes, int timeout_ms,
                       int cancel_fd, struct pkgcache_error *error)
{
    const struct client_wait wait = {.timeout_ms = timeout_ms, .cancel_fd = cancel_fd};
    struct client_answer answer;
    struct pkgcache_client *client = connect_client(place);
    CLEANUP_FREE char *params = malloc(params_bytes + 1);
    memset(params, ' ', params_bytes);
    params[0] = '{';
    params[params_bytes - 1] = '}';
    params[params_bytes] = '\0';
    int result = client_ask(client, "get", params, &wait, &answer, error);
    pkgcache_client_close(client);
    return result;
}

/* Whether the request can be sent or not. */
Test(client, gives_up_who_does_not_answer, .timeout = PATIENCE_S)
{
    struct place place;
    struct pkgcache_error error;
    set_up(&place);
    cr_expect_eq(ask_in_vain(&place, 2, SHORT_TIME_MS, -1, &error), -ETIMEDOUT);
    cr_expect_not_null(strstr(error.message, "did not answer"), "%s", error.message);
    cr_expect_eq(ask_in_vain(&place, 8 << 20, SHORT_TIME_MS, -1, &error), -ETIMEDOUT);
    tear_down(&place, NULL);
}

Test(client, is_interrupted_while_it_sends, .timeout = PATIENCE_S)
{
    struct place place;
    struct pkgcache_error error;
    int fds[2];
    set_up(&place);
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(write(fds[1], "", 1), 1);
    cr_expect_eq(ask_in_vain(&place, 8 << 20, -1, fds[0], &error), -ECANCELED);
    close(fds[0]);
    close(fds[1]);
    tear_down(&place, NULL);
}

/* Refuses, and goes, before it has read all. */
static void *refuse(void *argument)
{
    static const char refusal[] =
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,\"message\":\"not today\"}}\n";
    const struct place *place = argument;
    CLEANUP_CLOSE int fd = accept(place->listener_fd, NULL, NULL);
    cr_assert_eq(write(fd, refusal, strlen(refusal)), (ssize_t)strlen(refusal));
    return NULL;
}

Test(client, reads_why_it_was_refused, .timeout = PATIENCE_S)
{
    struct place place;
    struct pkgcache_error error;
    set_up(&place);
    cr_assert_eq(pthread_create(&place.thread, NULL, refuse, &place), 0);
    cr_expect_eq(ask_in_vain(&place, 8 << 20, -1, -1, &error), -EAGAIN);
    cr_expect_not_null(strstr(error.message, "not today"), "%s", error.message);
    pthread_join(place.thread, NULL);
    tear_down(&place, NULL);
}
