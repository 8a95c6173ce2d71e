/* Leases of clients. Taking one needs the cache's lock, so it is an errand. */
#include "cache/service/holds.h"

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
    struct loop_watch watch; /* of the pidfd */
    struct holds *all;
    struct holder *next;
    uint64_t connection;
    pid_t pid;
    int pidfd; /* -1: not to be had; then it ends with the connection */
    struct hold *first;
    size_t count;
};

/** To take a lease, or to end some. */
struct lease_errand {
    struct errand errand;
    struct holds *all;
    struct call *call; /* NULL: nobody asked */
    pid_t pid;
    struct hold *first;
    int result; /* of pkgcache_lease, or 0 or -errno */
    enum pkgcache_status status;
    char *root;
    struct pkgcache_error error;
};

static void free_list(struct hold *hold)
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
    free_list(lease->first);
    free(lease->root);
    free(lease);
}

static struct holder *find_holder(const struct holds *holds, uint64_t connection, pid_t pid)
{
    struct holder *holder = holds->first;
    while (holder && (holder->connection != connection || holder->pid != pid))
        holder = holder->next;
    return holder;
}

static struct hold **find_hold(struct holder *holder, const struct pkgcache_handle *handle)
{
    struct hold **link = &holder->first;
    while (*link && !handle_equal((*link)->handle, handle))
        link = &(*link)->next;
    return link;
}

/* Whether anybody holds a variant for a process. */
static bool is_held(const struct holds *holds, pid_t pid, const struct pkgcache_handle *handle)
{
    for (struct holder *holder = holds->first; holder; holder = holder->next)
        if (holder->pid == pid && *find_hold(holder, handle))
            return true;
    return false;
}

static void free_holder(struct holds *holds, struct holder *holder)
{
    struct holder **link = &holds->first;
    while (*link != holder)
        link = &(*link)->next;
    *link = holder->next;
    cleanup_close_fd(&holder->pidfd); /* and epoll forgets it */
    free_list(holder->first);
    free(holder);
}

/* --- Ending ---------------------------------------------------------------------------------- */

static void run_release(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    lease->error = *error;
    lease->result = cache ? 0 : -error->code;
    for (const struct hold *hold = lease->first; cache && hold; hold = hold->next) {
        int result = pkgcache_release(cache, hold->handle, lease->pid, error);
        if (result < 0) {
            lease->result = result;
            lease->error = *error;
        }
    }
}

static void answer_released(const struct call *call, bool released)
{
    cJSON *result = cJSON_CreateObject();
    json_add_boolean(result, "released", released);
    call_answer(call, result);
}

static void end_release(struct errand *errand)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    if (lease->call && lease->result < 0) {
        call_fail(lease->call, MESSAGE_FAILED, lease->error.code, "%s", lease->error.message);
    } else if (lease->call) {
        answer_released(lease->call, true);
    }
    free_errand(lease);
}

/* Ends leases on disk; takes over the list. Where that cannot be, the process's end does it. */
static void start_release(struct holds *holds, struct call *call, pid_t pid, struct hold *list)
{
    struct lease_errand *lease = calloc(1, sizeof(*lease));
    if (lease) {
        *lease = (struct lease_errand){.errand = {.run = run_release, .done = end_release},
                                       .all = holds,
                                       .call = call,
                                       .pid = pid,
                                       .first = list};
        if (errands_add(holds->errands, &lease->errand) == 0)
            return;
    }
    if (call)
        call_fail(call, MESSAGE_BUSY, 0, "too many requests wait already: try again later");
    call_free(call);
    free_list(list);
    free(lease);
}

/* Ends those of a holder that nobody else holds for the same process. */
static void end_holder(struct holds *holds, struct holder *holder)
{
    struct hold *list = STEAL(holder->first);
    struct hold *unheld = NULL;
    pid_t pid = holder->pid;
    free_holder(holds, holder);
    for (struct hold *next; list; list = next) {
        next = list->next;
        list->next = NULL;
        if (is_held(holds, pid, list->handle)) {
            free_list(list);
            continue;
        }
        list->next = unheld;
        unheld = list;
    }
    if (unheld)
        start_release(holds, NULL, pid, unheld);
}

void holds_end_connection(struct holds *holds, const struct connection *connection)
{
    uint64_t number = connection_number(connection);
    for (struct holder *holder = holds->first, *next; holder; holder = next) {
        next = holder->next;
        if (holder->connection == number)
            end_holder(holds, holder);
    }
}

/* The process has ended, and its leases on disk with it. */
static void on_process_ended(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    struct holder *holder = CONTAINER_OF(watch, struct holder, watch);
    free_holder(holder->all, holder);
}

void holds_give_back(struct holds *holds, const struct call *call, struct pkgcache_handle *given,
                     pid_t pid)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = given;
    struct holder *holder = find_holder(holds, connection_number(call->connection), pid);
    struct hold **link = holder ? find_hold(holder, handle) : NULL;
    struct hold *hold = link ? *link : NULL;
    if (hold) {
        *link = hold->next;
        hold->next = NULL;
        if (--holder->count == 0)
            free_holder(holds, holder);
    }
    struct call *kept = hold && !is_held(holds, pid, handle) ? call_keep(call) : NULL;
    if (kept) {
        start_release(holds, kept, pid, hold);
        return;
    }
    free_list(hold);
    answer_released(call, hold != NULL);
}

/* --- Taking ---------------------------------------------------------------------------------- */

static void run_lease(struct errand *errand, struct pkgcache *cache, struct pkgcache_error *error)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    lease->result = cache ? pkgcache_lease(cache, lease->first->handle, lease->pid, &lease->root,
                                           &lease->status, error)
                          : -error->code;
    lease->error = *error;
}

static struct holder *make_holder(struct holds *holds, uint64_t connection, pid_t pid)
{
    struct holder *holder = calloc(1, sizeof(*holder));
    if (!holder)
        return NULL;
    *holder = (struct holder){.watch = {.on_events = on_process_ended},
                              .all = holds,
                              .next = holds->first,
                              .connection = connection,
                              .pid = pid,
                              .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
    holds->first = holder;
    if (holder->pidfd >= 0)
        loop_watch_fd(holds->loop, holder->pidfd, EPOLLIN, &holder->watch);
    return holder;
}

/* Writes down that a connection holds what was leased. Takes over the hold. */
static bool note_hold(struct holds *holds, const struct call *call, pid_t pid, struct hold *hold)
{
    uint64_t connection = connection_number(call->connection);
    struct holder *holder = find_holder(holds, connection, pid);
    if (!holder)
        holder = make_holder(holds, connection, pid);
    if (!holder)
        return false;
    struct hold **link = find_hold(holder, hold->handle);
    if (*link) {
        free_list(hold);
        return true;
    }
    *link = hold;
    holder->count++;
    return true;
}

static void end_lease(struct errand *errand)
{
    struct lease_errand *lease = CONTAINER_OF(errand, struct lease_errand, errand);
    struct holds *holds = lease->all;
    bool leased = lease->result > 0;
    struct hold *hold = leased ? STEAL(lease->first) : NULL;
    if (leased && (!call_is_open(lease->call) || !note_hold(holds, lease->call, lease->pid, hold)))
        start_release(holds, NULL, lease->pid, hold); /* whoever asked is gone */
    if (lease->result < 0) {
        call_fail(lease->call, lease->result == -ETIMEDOUT ? MESSAGE_BUSY : MESSAGE_FAILED,
                  lease->error.code, "%s", lease->error.message);
    } else {
        call_answer(lease->call, message_build_found(lease->status, lease->root, NULL));
    }
    free_errand(lease);
}

static size_t count_of_connection(const struct holds *holds, uint64_t connection)
{
    size_t count = 0;
    for (const struct holder *holder = holds->first; holder; holder = holder->next)
        count += holder->connection == connection ? holder->count : 0;
    return count;
}

void holds_take(struct holds *holds, const struct call *call, struct pkgcache_handle *handle,
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
    *lease = (struct lease_errand){.errand = {.run = run_lease, .done = end_lease},
                                   .all = holds,
                                   .call = kept,
                                   .pid = pid,
                                   .first = hold};
    if (count_of_connection(holds, connection_number(call->connection)) < HOLDS_OF_CONNECTION_MAX &&
        errands_add(holds->errands, &lease->errand) == 0)
        return;
    call_fail(kept, MESSAGE_BUSY, 0, "too many leases, or too many requests wait: try again later");
    free_errand(lease);
}

size_t holds_count(const struct holds *holds)
{
    size_t count = 0;
    for (const struct holder *holder = holds->first; holder; holder = holder->next)
        count += holder->count;
    return count;
}

void holds_free(struct holds *holds)
{
    while (holds->first)
        free_holder(holds, holds->first);
}
