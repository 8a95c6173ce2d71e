/* Leases of clients. Taking one needs the cache's lock, so it is an errand. */
#include "cache/service/holds.h"

#include "cache/service/server.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/** A variant that is leased. */
struct hold {
    struct hold *next;
    struct pkgcache_handle *handle;
};

/** What one connection has leased for one process. */
struct holder {
    struct source source; /* of the pidfd */
    struct holder *next;
    uint64_t connection;
    pid_t pid;
    int pidfd; /* -1: not to be had; then it ends with the connection */
    struct hold *holds;
    size_t count;
};

/** To take a lease, or to end some. */
struct lease_errand {
    struct errand errand;
    struct server *server;
    struct call *call; /* NULL: nobody asked */
    pid_t pid;
    struct hold *holds;
    int status; /* as of pkgcache_lease, or 0 */
    char *root;
    struct pkgcache_error error;
};

static void free_holds(struct hold *hold)
{
    for (struct hold *next; hold; hold = next) {
        next = hold->next;
        handle_free(hold->handle);
        free(hold);
    }
}

static void free_errand(struct lease_errand *lease)
{
    call_free(lease->call);
    free_holds(lease->holds);
    free(lease->root);
    free(lease);
}

static struct holder *find(const struct server *server, uint64_t connection, pid_t pid)
{
    struct holder *holder = server->holders;
    while (holder && (holder->connection != connection || holder->pid != pid))
        holder = holder->next;
    return holder;
}

static struct hold **find_hold(struct holder *holder, const struct pkgcache_handle *handle)
{
    struct hold **link = &holder->holds;
    while (*link && !handle_equal((*link)->handle, handle))
        link = &(*link)->next;
    return link;
}

/* Whether anybody holds a variant for a process. */
static bool is_held(const struct server *server, pid_t pid, const struct pkgcache_handle *handle)
{
    for (struct holder *holder = server->holders; holder; holder = holder->next)
        if (holder->pid == pid && *find_hold(holder, handle))
            return true;
    return false;
}

static void free_holder(struct server *server, struct holder *holder)
{
    struct holder **link = &server->holders;
    while (*link != holder)
        link = &(*link)->next;
    *link = holder->next;
    cleanup_close_fd(&holder->pidfd); /* and epoll forgets it */
    free_holds(holder->holds);
    free(holder);
}

/* --- Ending ---------------------------------------------------------------------------------- */

static void run_release(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    lease->error = *error;
    lease->status = cache ? 0 : -error->code;
    for (const struct hold *hold = lease->holds; cache && hold; hold = hold->next) {
        int result = pkgcache_release(cache, hold->handle, lease->pid, error);
        if (result < 0) {
            lease->status = result;
            lease->error = *error;
        }
    }
}

static void answer_release(struct errand *errand)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    if (lease->call && lease->status < 0) {
        call_fail(lease->call, MESSAGE_FAILED, lease->error.code, "%s", lease->error.message);
    } else if (lease->call) {
        text_append_string(call_begin(lease->call), "{\"released\": true}");
        call_end(lease->call);
    }
    free_errand(lease);
}

/* Ends leases on disk; takes over the holds. Where that cannot be, the process's end does it. */
static void release(struct server *server, struct call *call, pid_t pid, struct hold *holds)
{
    struct lease_errand *lease = calloc(1, sizeof(*lease));
    if (lease) {
        *lease = (struct lease_errand){.errand = {.run = run_release, .done = answer_release},
                                       .server = server,
                                       .call = call,
                                       .pid = pid,
                                       .holds = holds};
        if (errands_add(server->leasing, &lease->errand) == 0)
            return;
    }
    if (call)
        call_fail(call, MESSAGE_BUSY, 0, "too much waits already: try again later");
    call_free(call);
    free_holds(holds);
    free(lease);
}

/* Ends those of a holder that nobody else holds for the same process. */
static void end_holder(struct server *server, struct holder *holder)
{
    struct hold *holds = STEAL(holder->holds);
    struct hold *unheld = NULL;
    pid_t pid = holder->pid;
    free_holder(server, holder);
    for (struct hold *next; holds; holds = next) {
        next = holds->next;
        holds->next = NULL;
        if (is_held(server, pid, holds->handle)) {
            free_holds(holds);
            continue;
        }
        holds->next = unheld;
        unheld = holds;
    }
    if (unheld)
        release(server, NULL, pid, unheld);
}

void holds_forget(struct server *server, const struct connection *connection)
{
    uint64_t number = connection_number(connection);
    for (struct holder *holder = server->holders, *next; holder; holder = next) {
        next = holder->next;
        if (holder->connection == number)
            end_holder(server, holder);
    }
}

/* The process has ended, and its leases on disk with it. */
static void on_process_ended(struct source *source, uint32_t events)
{
    (void)events;
    free_holder(source->server, CONTAINER_OF(source, struct holder, source));
}

void holds_give_back(struct server *server, const struct call *call, struct pkgcache_handle *given,
                     pid_t pid)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = given;
    struct holder *holder = find(server, connection_number(call->connection), pid);
    struct hold **link = holder ? find_hold(holder, handle) : NULL;
    struct hold *hold = link ? *link : NULL;
    if (hold) {
        *link = hold->next;
        hold->next = NULL;
        if (--holder->count == 0)
            free_holder(server, holder);
    }
    struct call *kept = hold && !is_held(server, pid, handle) ? call_keep(call) : NULL;
    if (kept) {
        release(server, kept, pid, hold);
        return;
    }
    free_holds(hold);
    text_append_string(call_begin(call), hold ? "{\"released\": true}" : "{\"released\": false}");
    call_end(call);
}

/* --- Taking ---------------------------------------------------------------------------------- */

static void run_lease(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    lease->status =
        cache ? pkgcache_lease(cache, lease->holds->handle, lease->pid, &lease->root, error)
              : -error->code;
    lease->error = *error;
}

static struct holder *make_holder(struct server *server, uint64_t connection, pid_t pid)
{
    struct holder *holder = calloc(1, sizeof(*holder));
    if (!holder)
        return NULL;
    *holder = (struct holder){.source = {.handle = on_process_ended},
                              .next = server->holders,
                              .connection = connection,
                              .pid = pid,
                              .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
    server->holders = holder;
    if (holder->pidfd >= 0)
        server_watch(server, holder->pidfd, EPOLLIN, &holder->source);
    return holder;
}

/* Writes down that a connection holds what was leased. Takes over the hold. */
static bool note(struct server *server, const struct call *call, pid_t pid, struct hold *hold)
{
    uint64_t connection = connection_number(call->connection);
    struct holder *holder = find(server, connection, pid);
    if (!holder)
        holder = make_holder(server, connection, pid);
    if (!holder)
        return false;
    struct hold **link = find_hold(holder, hold->handle);
    if (*link) {
        free_holds(hold);
        return true;
    }
    *link = hold;
    holder->count++;
    return true;
}

static void answer_lease(struct errand *errand)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    struct server *server = lease->server;
    bool leased = lease->status == PKGCACHE_FOUND;
    struct hold *hold = leased ? STEAL(lease->holds) : NULL;
    if (leased && (!call_is_open(lease->call) || !note(server, lease->call, lease->pid, hold)))
        release(server, NULL, lease->pid, hold); /* whoever asked is gone */
    if (lease->status < 0) {
        call_fail(lease->call, lease->status == -ETIMEDOUT ? MESSAGE_BUSY : MESSAGE_FAILED,
                  lease->error.code, "%s", lease->error.message);
    } else {
        struct text *text = call_begin(lease->call);
        text_printf(text, "{\"status\": \"%s\", \"root\": ", pkgcache_status_name(lease->status));
        message_write_string(text, lease->root);
        text_append_byte(text, '}');
        call_end(lease->call);
    }
    free_errand(lease);
}

static size_t holds_of(const struct server *server, uint64_t connection)
{
    size_t count = 0;
    for (const struct holder *holder = server->holders; holder; holder = holder->next)
        count += holder->connection == connection ? holder->count : 0;
    return count;
}

void holds_take(struct server *server, const struct call *call, struct pkgcache_handle *handle,
                pid_t pid)
{
    struct lease_errand *lease = calloc(1, sizeof(*lease));
    struct hold *hold = calloc(1, sizeof(*hold));
    struct call *kept = lease && hold ? call_keep(call) : NULL;
    if (!kept) {
        call_fail(call, MESSAGE_FAILED, ENOMEM, "out of memory");
        handle_free(handle);
        free(lease);
        free(hold);
        return;
    }
    hold->handle = handle;
    *lease = (struct lease_errand){.errand = {.run = run_lease, .done = answer_lease},
                                   .server = server,
                                   .call = kept,
                                   .pid = pid,
                                   .holds = hold};
    if (holds_of(server, connection_number(call->connection)) < HOLDS_OF_CONNECTION_MAX &&
        errands_add(server->leasing, &lease->errand) == 0)
        return;
    call_fail(kept, MESSAGE_BUSY, 0, "too many leases, or too many wait: try again later");
    free_errand(lease);
}

size_t holds_count(const struct server *server)
{
    size_t count = 0;
    for (const struct holder *holder = server->holders; holder; holder = holder->next)
        count += holder->count;
    return count;
}

void holds_free(struct server *server)
{
    while (server->holders)
        free_holder(server, server->holders);
}
