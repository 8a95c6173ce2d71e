/*
 * Many clients of the daemon at once, each with one request under way: how long answers take.
 *
 *     crowd SOCKET CLIENTS SECONDS PAUSE_MS < MESSAGES
 *
 * Each client sends one of the messages, a line each, at random, and after the answer waits for a
 * random time of this mean (exponentially distributed). Prints the number of requests, and median
 * and 99th percentile from before sending until the whole answer was read, in microseconds.
 *
 * In C and one thread, so that on a machine with two processors it is the daemon that is measured.
 */
#include "engine/clock.h"
#include "engine/compiler.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 1024, ANSWER_PIECE = 1 << 16 };

struct client {
    int fd;
    uint64_t due_ns;  /* the next request */
    uint64_t sent_ns; /* 0: none is under way */
};

struct crowd {
    struct client clients[CLIENTS_MAX];
    size_t count;
    double pause_ns;
    int epoll_fd;
    char **messages;
    size_t message_count;
    uint64_t *latencies_ns;
    size_t latency_count, latency_room;
};

static void die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grow(void *memory, size_t count, size_t size)
{
    void *grown = reallocarray(memory, count, size);
    if (!grown)
        die("memory");
    return grown;
}

static void read_messages(struct crowd *crowd)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        crowd->messages = grow(crowd->messages, crowd->message_count + 1, sizeof(*crowd->messages));
        crowd->messages[crowd->message_count++] = line;
        line = NULL;
        room = 0;
    }
    free(line);
    if (crowd->message_count == 0) {
        fprintf(stderr, "crowd: no messages on standard input\n");
        exit(2);
    }
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die(path);
    return fd;
}

static uint64_t pause_for(const struct crowd *crowd)
{
    return (uint64_t)(-log(1 - drand48()) * crowd->pause_ns);
}

static void start(struct crowd *crowd, const char *path)
{
    crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < crowd->count; i++) {
        struct client *client = &crowd->clients[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
        client->fd = connect_to(path);
        client->due_ns = clock_monotonic_ns() + pause_for(crowd);
        if (epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
            die("epoll");
    }
}

static void ask(const struct crowd *crowd, struct client *client)
{
    const char *message = crowd->messages[(size_t)lrand48() % crowd->message_count];
    size_t length = strlen(message);
    client->sent_ns = clock_monotonic_ns();
    if (send(client->fd, message, length, MSG_NOSIGNAL) != (ssize_t)length)
        die("send");
}

/* Asks for those whose time has come. Returns when the next one's comes. */
static uint64_t ask_for_due(struct crowd *crowd)
{
    uint64_t next_ns = UINT64_MAX;
    for (size_t i = 0; i < crowd->count; i++) {
        struct client *client = &crowd->clients[i];
        if (client->sent_ns)
            continue;
        if (client->due_ns <= clock_monotonic_ns())
            ask(crowd, client);
        else
            next_ns = MIN(next_ns, client->due_ns);
    }
    return next_ns;
}

static void take_answer(struct crowd *crowd, struct client *client)
{
    static char piece[ANSWER_PIECE];
    ssize_t length = recv(client->fd, piece, sizeof(piece), 0);
    if (length <= 0)
        die("the daemon has gone");
    if (piece[length - 1] != '\n')
        return;
    uint64_t now_ns = clock_monotonic_ns();
    if (crowd->latency_count == crowd->latency_room) {
        crowd->latency_room = MAX(2 * crowd->latency_room, (size_t)1024);
        crowd->latencies_ns =
            grow(crowd->latencies_ns, crowd->latency_room, sizeof(*crowd->latencies_ns));
    }
    crowd->latencies_ns[crowd->latency_count++] = now_ns - client->sent_ns;
    client->sent_ns = 0;
    client->due_ns = now_ns + pause_for(crowd);
}

static void run(struct crowd *crowd, uint64_t end_ns)
{
    struct epoll_event events[64];
    for (uint64_t now_ns; (now_ns = clock_monotonic_ns()) < end_ns;) {
        uint64_t wait_ns = MIN(ask_for_due(crowd), end_ns) - now_ns;
        struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
        int count = epoll_pwait2(crowd->epoll_fd, events, ARRAY_LENGTH(events), &wait, NULL);
        if (count < 0)
            die("epoll");
        for (int i = 0; i < count; i++)
            take_answer(crowd, events[i].data.ptr);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    static struct crowd crowd;
    if (argc != 5 || (crowd.count = strtoul(argv[2], NULL, 10)) == 0 || crowd.count > CLIENTS_MAX) {
        fprintf(stderr, "usage: crowd SOCKET CLIENTS SECONDS PAUSE_MS < MESSAGES\n");
        return 2;
    }
    crowd.pause_ns = strtod(argv[4], NULL) * NS_PER_MS;
    read_messages(&crowd);
    start(&crowd, argv[1]);
    run(&crowd, clock_monotonic_ns() + (uint64_t)(strtod(argv[3], NULL) * NS_PER_S));
    qsort(crowd.latencies_ns, crowd.latency_count, sizeof(*crowd.latencies_ns), compare);
    if (crowd.latency_count == 0)
        die("no answer");
    size_t median = crowd.latency_count / 2;
    size_t percentile_99 = crowd.latency_count * 99 / 100;
    printf("%zu %.0f %.0f\n", crowd.latency_count, (double)crowd.latencies_ns[median] / 1000,
           (double)crowd.latencies_ns[percentile_99] / 1000);
    return 0;
}
