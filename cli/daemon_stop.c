/* pkgcache daemon stop: asks the daemon of the cache to stop, and waits until it has. */
#include "cache/json/json.h"
#include "cache/pkgcache_client.h"
#include "cli/daemon.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>

/* The process that serves, to wait for; -1: it is not one that can be seen from here. */
static int open_process(struct pkgcache_client *client, pid_t *ret_pid)
{
    CLEANUP_FREE char *answer = NULL;
    CLEANUP_JSON struct json_document *document = NULL;
    int64_t pid = 0;
    if (pkgcache_client_call(client, "ping", NULL, &answer, NULL) < 0 ||
        json_parse(answer, strlen(answer), &document, NULL) < 0)
        return -1;
    const struct json *member = json_member(document->root, "pid");
    if (!member || json_integer(member, 1, INT_MAX, &pid) < 0)
        return -1;
    *ret_pid = (pid_t)pid;
    return pidfd_open((pid_t)pid, 0);
}

int daemon_stop(const struct options *options)
{
    const struct setting_value *values = options->settings.values;
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    pid_t pid = 0;
    if (pkgcache_client_open(values[SETTING_CACHE].text, values[SETTING_SOCKET].text, &client,
                             &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    CLEANUP_CLOSE int process_fd = open_process(client, &pid);
    int result = pkgcache_client_call(client, "shutdown", NULL, NULL, &error);
    pkgcache_client_close(client);
    if (result < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    struct pollfd ended = {.fd = process_fd, .events = POLLIN};
    while (process_fd >= 0 && poll(&ended, 1, -1) < 0 && errno == EINTR)
        continue;
    if (options->json) {
        cJSON *document = cJSON_CreateObject();
        json_add_integer(document, "stopped", pid);
        return output_document(options, document);
    }
    if (options->verbosity >= 0)
        output_line("process %d has stopped", (int)pid);
    return output_end(options, EXIT_DONE);
}
