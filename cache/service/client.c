/* A connection to the daemon: lines out, lines in. What is asked for is client_calls.c's. */
#include "cache/service/client.h"

#include "cache/service/listener.h"
#include "cache/service/message.h"
#include "cache/util/error.h"

#include "engine/clock.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    READ_BYTES = 64 << 10,
    ANSWER_MAX = 64 << 20,
};

struct pkgcache_client {
    int fd;
    uint64_t number; /* of the last request */
    struct text in;
    size_t taken; /* of `in` */
    size_t scanned;
};

/* Whoever can write to the cache's .sys could put a socket there, and tell lies. */
static int check_daemon(int fd, const char *path, const char *socket_path,
                        struct pkgcache_error *error)
{
    struct peer peer;
    struct stat status;
    int result = peer_read(fd, &peer);
    if (result < 0)
        return error_set(error, -result, "daemon at %s: %s", socket_path, strerror(-result));
    if (peer_is_owner(&peer) || (stat(path, &status) == 0 && status.st_uid == peer.uid))
        return 0;
    return error_set(error, EPERM,
                     "daemon at %s: it is not trusted, because it runs as user %u, who does not "
                     "own the cache %s",
                     socket_path, (unsigned)peer.uid, path);
}

int pkgcache_client_open(const char *path, const char *socket_path, struct pkgcache_client **ret,
                         struct pkgcache_error *ret_error)
{
    CLEANUP_FREE char *default_path = socket_path ? NULL : listener_default_path(path);
    const char *address = socket_path ? socket_path : default_path;
    if (!address)
        return error_set(ret_error, ENOMEM, "out of memory");
    CLEANUP_CLOSE int fd = listener_connect(address);
    if (fd < 0)
        return error_set(ret_error, -fd, "no daemon answers at %s: %s%s", address, strerror(-fd),
                         fd == -ENOENT || fd == -ECONNREFUSED ? "; start one with pkgcache daemon"
                                                              : "");
    int result = check_daemon(fd, path, address, ret_error);
    if (result < 0)
        return result;
    struct pkgcache_client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_set(ret_error, ENOMEM, "out of memory");
    client->fd = steal_fd(&fd);
    *ret = client;
    return 0;
}

void pkgcache_client_close(struct pkgcache_client *client)
{
    if (!client)
        return;
    cleanup_close_fd(&client->fd);
    text_free(&client->in);
    free(client);
}

/* Waits until the socket can be used. Returns 0, -ETIMEDOUT or -ECANCELED. */
static int wait_for_socket(const struct pkgcache_client *client, short events,
                           const struct client_wait *wait, struct pkgcache_error *error)
{
    struct pollfd fds[] = {{.fd = client->fd, .events = events},
                           {.fd = wait->cancel_fd, .events = POLLIN}};
    int count = poll(fds, ARRAY_LENGTH(fds), wait->timeout_ms);
    if (count < 0 && errno == EINTR)
        return 0; /* tried again */
    if (count < 0)
        return error_set(error, errno, "poll: %s", strerror(errno));
    if (count == 0)
        return error_set(error, ETIMEDOUT, "the daemon did not answer for %d s",
                         wait->timeout_ms / 1000);
    return fds[1].revents ? error_set(error, ECANCELED, "interrupted") : 0;
}

static int fail_disconnected(struct pkgcache_error *error)
{
    return error_set(error, ECONNRESET, "daemon: it closed the connection");
}

static int send_all(struct pkgcache_client *client, const struct text *text,
                    const struct client_wait *wait, struct pkgcache_error *error)
{
    for (size_t sent = 0; sent < text->length;) {
        int result = wait_for_socket(client, POLLOUT, wait, error);
        if (result < 0)
            return result;
        ssize_t bytes =
            send(client->fd, text->bytes + sent, text->length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (bytes < 0 && errno != EAGAIN && errno != EINTR)
            return 0; /* it may have said why, before it went: that is to be read */
        sent += (size_t)MAX(bytes, (ssize_t)0);
    }
    return 0;
}

int client_send(struct pkgcache_client *client, const char *method, const char *params,
                const struct client_wait *wait, uint64_t *ret_number,
                struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text text = {0};
    *ret_number = ++client->number;
    message_append_request(&text, *ret_number, method, params ? params : "{}");
    text_append_byte(&text, '\n');
    if (text.error < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    return send_all(client, &text, wait, ret_error);
}

static int receive_more(struct pkgcache_client *client, const struct client_wait *wait,
                        struct pkgcache_error *error)
{
    struct text *in = &client->in;
    int result = wait_for_socket(client, POLLIN, wait, error);
    if (result < 0)
        return result;
    in->length -= client->taken;
    client->scanned -= client->taken;
    if (in->length > 0)
        memmove(in->bytes, in->bytes + client->taken, in->length);
    client->taken = 0;
    if (in->length > ANSWER_MAX)
        return error_set(error, EBADMSG, "the daemon's answer is too long");
    if (text_reserve(in, READ_BYTES) < 0)
        return error_set(error, ENOMEM, "out of memory");
    ssize_t bytes = recv(client->fd, in->bytes + in->length, READ_BYTES, MSG_DONTWAIT);
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
        return fail_disconnected(error);
    in->length += (size_t)MAX(bytes, (ssize_t)0);
    return 0;
}

/* The next line; it stays where it is until more is received. */
static int receive_line(struct pkgcache_client *client, const struct client_wait *wait,
                        const char **ret, size_t *ret_length, struct pkgcache_error *error)
{
    struct text *in = &client->in;
    for (;;) {
        char *feed = in->length > client->scanned
                         ? memchr(in->bytes + client->scanned, '\n', in->length - client->scanned)
                         : NULL;
        if (feed) {
            *ret = in->bytes + client->taken;
            *ret_length = (size_t)(feed - *ret);
            client->taken = client->scanned = (size_t)(feed - in->bytes) + 1;
            return 0;
        }
        client->scanned = in->length;
        int result = receive_more(client, wait, error);
        if (result < 0)
            return result;
    }
}

/* What an error of the daemon is as an errno value. */
static int errno_of(const struct json *answer)
{
    int64_t code = 0;
    int64_t number = 0;
    const struct json *data = json_member(answer, "data");
    json_integer(json_member(answer, "code"), INT32_MIN, INT32_MAX, &code);
    if (data && json_integer(json_member(data, "errno"), 1, 4095, &number) == 0)
        return (int)number;
    switch (code) {
    case MESSAGE_BUSY:
        return EAGAIN;
    case MESSAGE_FORBIDDEN:
        return EPERM;
    case MESSAGE_NOT_FOUND:
        return ENOENT;
    case MESSAGE_STOPPING:
        return ECONNRESET;
    case MESSAGE_NO_METHOD:
        return ENOSYS;
    default:
        return EINVAL;
    }
}

static int read_error(const struct json *answer, struct pkgcache_error *error)
{
    const struct json *message = json_member(answer, "message");
    return error_set(error, errno_of(answer), "daemon: %s",
                     message && message->type == JSON_STRING ? message->text : "the daemon failed");
}

/* One message. Returns 1: it was a notification. */
static int read_message(const struct json *message, const struct client_wait *wait,
                        uint64_t *ret_number, const struct json **ret_result,
                        struct pkgcache_error *error)
{
    int64_t number = 0;
    const struct json *id = json_member(message, "id");
    const struct json *method = json_member(message, "method");
    const struct json *failure = json_member(message, "error");
    if (method && method->type == JSON_STRING) {
        const struct json *params = json_member(message, "params");
        if (wait->on_notification && params &&
            wait->on_notification(wait->context, method->text, params) != 0)
            return error_set(error, ECANCELED, "interrupted");
        return 1;
    }
    if (id)
        json_integer(id, 1, INT64_MAX, &number);
    *ret_number = (uint64_t)number;
    *ret_result = json_member(message, "result");
    if (failure)
        return read_error(failure, error);
    return *ret_result ? 0 : error_set(error, EBADMSG, "the daemon's answer has no result");
}

int client_receive(struct pkgcache_client *client, const struct client_wait *wait,
                   uint64_t *ret_number, struct client_answer *ret,
                   struct pkgcache_error *ret_error)
{
    *ret_number = 0;
    for (;;) {
        const char *line;
        size_t length;
        struct json_document *document = NULL;
        int result = receive_line(client, wait, &line, &length, ret_error);
        if (result == 0)
            result = json_parse(line, length, &document, ret_error);
        if (!document)
            return result;
        result = read_message(document->root, wait, ret_number, &ret->result, ret_error);
        ret->document = document;
        if (result != 0)
            json_document_free(STEAL(ret->document));
        if (result <= 0)
            return result;
    }
}

int client_ask(struct pkgcache_client *client, const char *method, const char *params,
               const struct client_wait *wait, struct client_answer *ret,
               struct pkgcache_error *ret_error)
{
    uint64_t number;
    uint64_t answered = 0;
    int result = client_send(client, method, params, wait, &number, ret_error);
    while (result == 0) {
        result = client_receive(client, wait, &answered, ret, ret_error);
        if (result < 0 || answered == number)
            break;
        json_document_free(STEAL(ret->document)); /* of one that was given up */
    }
    return result;
}
