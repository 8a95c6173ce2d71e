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
    size_t taken;   /* of `in` */
    size_t scanned; /* of `in`: there is no line feed up to here */
    struct text out;
    size_t sent; /* of `out` */
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
                     "own the cache %s. Run it as the owner of the cache",
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
                         : fd == -EACCES ? "; it does not serve this user (--clients)"
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
    text_free(&client->out);
    free(client);
}

static bool has_unsent(const struct pkgcache_client *client)
{
    return client->sent < client->out.length;
}

/* Sends what can be sent at once. */
static void send_some(struct pkgcache_client *client)
{
    struct text *out = &client->out;
    while (has_unsent(client)) {
        ssize_t bytes = send(client->fd, out->bytes + client->sent, out->length - client->sent,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0 && errno == EAGAIN)
            return;
        if (bytes < 0) /* it may have said why, before it went: that is to be read */
            break;
        client->sent += (size_t)bytes;
    }
    out->length = client->sent = 0;
}

/* Room for what is received next. */
static int make_room(struct pkgcache_client *client, struct pkgcache_error *error)
{
    struct text *in = &client->in;
    in->length -= client->taken;
    client->scanned -= client->taken;
    if (client->taken > 0 && in->length > 0)
        memmove(in->bytes, in->bytes + client->taken, in->length);
    client->taken = 0;
    if (in->length > ANSWER_MAX)
        return error_set(error, EBADMSG, "the daemon's answer is too long");
    return text_reserve(in, READ_BYTES) < 0 ? error_set(error, ENOMEM, "out of memory") : 0;
}

static int receive_some(struct pkgcache_client *client, struct pkgcache_error *error)
{
    struct text *in = &client->in;
    int result = make_room(client, error);
    if (result < 0)
        return result;
    ssize_t bytes = recv(client->fd, in->bytes + in->length, READ_BYTES, MSG_DONTWAIT);
    if (bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR))
        return error_set(error, ECONNRESET, "daemon: it closed the connection");
    in->length += (size_t)MAX(bytes, (ssize_t)0);
    return 0;
}

/* Waits until something can be sent or received, and does that. Returns 0, -ETIMEDOUT, -ECANCELED,
 * or another -errno. */
static int exchange_some(struct pkgcache_client *client, const struct client_wait *wait,
                         struct pkgcache_error *error)
{
    short events = has_unsent(client) ? POLLIN | POLLOUT : POLLIN;
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
    if (fds[1].revents)
        return error_set(error, ECANCELED, "interrupted");
    if (fds[0].revents & POLLOUT)
        send_some(client);
    return fds[0].revents & ~POLLOUT ? receive_some(client, error) : 0;
}

/* The line feed that ends the next line; NULL: it has not come yet. */
static const char *find_line_end(struct pkgcache_client *client)
{
    const struct text *in = &client->in;
    const char *feed = in->length > client->scanned
                           ? memchr(in->bytes + client->scanned, '\n', in->length - client->scanned)
                           : NULL;
    client->scanned = feed ? (size_t)(feed - in->bytes) : in->length;
    return feed;
}

int client_send(struct pkgcache_client *client, const char *method, const char *params,
                uint64_t *ret_number, struct pkgcache_error *ret_error)
{
    *ret_number = ++client->number;
    message_append_request(&client->out, *ret_number, method, params ? params : "{}");
    text_append_byte(&client->out, '\n');
    if (client->out.error < 0)
        return error_set(ret_error, ENOMEM, "out of memory");
    send_some(client);
    return 0;
}

int client_flush(struct pkgcache_client *client, const struct client_wait *wait,
                 struct pkgcache_error *ret_error)
{
    int result = 0;
    while (result == 0 && has_unsent(client)) {
        if (find_line_end(client))
            return 1;
        result = exchange_some(client, wait, ret_error);
    }
    return result;
}

/* The next line; it stays where it is until more is received. */
static int receive_line(struct pkgcache_client *client, const struct client_wait *wait,
                        const char **ret, size_t *ret_length, struct pkgcache_error *error)
{
    const char *feed;
    while (!(feed = find_line_end(client))) {
        int result = exchange_some(client, wait, error);
        if (result < 0)
            return result;
    }
    *ret = client->in.bytes + client->taken;
    *ret_length = (size_t)(feed - *ret);
    client->taken = client->scanned = (size_t)(feed - client->in.bytes) + 1;
    return 0;
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
    const char *line;
    size_t length;
    struct json_document *document = NULL;
    *ret_number = 0;
    int result = receive_line(client, wait, &line, &length, ret_error);
    if (result == 0)
        result = json_parse(line, length, &document, ret_error);
    if (!document)
        return result;
    result = read_message(document->root, wait, ret_number, &ret->result, ret_error);
    ret->document = document;
    if (result != 0)
        json_document_free(STEAL(ret->document));
    return result;
}

int client_ask(struct pkgcache_client *client, const char *method, const char *params,
               const struct client_wait *wait, struct client_answer *ret,
               struct pkgcache_error *ret_error)
{
    uint64_t number;
    uint64_t answered = 0;
    int result = client_send(client, method, params, &number, ret_error);
    while (result >= 0) {
        result = client_receive(client, wait, &answered, ret, ret_error);
        if (result < 0 || (result == 0 && answered == number))
            break;
        if (result == 0) /* of one that was given up */
            json_document_free(STEAL(ret->document));
    }
    return result;
}
