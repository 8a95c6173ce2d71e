/* pkgcache status: what the daemon does, and for whom; once, or again and again. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/signals.h"

#include "cache/json/json.h"
#include "cache/pkgcache_client.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum { FOLLOW_MS = 1000 };

static const char *text_of(const struct json *object, const char *key)
{
    const struct json *value = json_member(object, key);
    return value && value->type == JSON_STRING ? value->text : "";
}

static double seconds_of(const struct json *object)
{
    const struct json *value = json_member(object, "seconds");
    return value && value->text ? strtod(value->text, NULL) : 0;
}

static void print_job(const struct json *job)
{
    char bytes[16];
    char rate[16];
    double seconds = seconds_of(job);
    double copied = (double)json_count(job, "bytes");
    printf("job %" PRIu64 " of user %" PRIu64 " (process %" PRIu64 "): %" PRIu64 " of %" PRIu64
           " %s, %" PRIu64 " %s, %s (%s/s)\n",
           json_count(job, "job"), json_count(job, "user"), json_count(job, "process"),
           json_count(job, "done"), json_count(job, "variants"),
           output_plural(json_count(job, "variants"), "variant", "variants"),
           json_count(job, "files"), output_plural(json_count(job, "files"), "file", "files"),
           output_bytes(copied, bytes), output_bytes(seconds > 0 ? copied / seconds : 0, rate));
}

static void print_work(const struct json *work)
{
    char bytes[16];
    const struct json *stalled = json_member(work, "stalled");
    output_line("  %s: %s%s, %" PRIu64 " %s, %s, from %s", text_of(work, "variant"),
                text_of(work, "state"), stalled && stalled->boolean ? " (stalled)" : "",
                json_count(work, "files"),
                output_plural(json_count(work, "files"), "file", "files"),
                output_bytes((double)json_count(work, "bytes"), bytes), text_of(work, "source"));
}

static const struct json *first_of(const struct json *object, const char *key)
{
    const struct json *array = json_member(object, key);
    return array ? array->first : NULL;
}

static void print_status(const struct json *status)
{
    const struct json *counters = json_member(status, "counters");
    if (!counters)
        return;
    output_line("process %" PRIu64 " has served %s for %.0f s: clients %" PRIu64
                ", requests %" PRIu64 ", look-ups %" PRIu64 ", leases %" PRIu64
                ", variants done %" PRIu64 ", waiting %" PRIu64,
                json_count(status, "pid"), text_of(status, "cache"), seconds_of(status),
                json_count(counters, "connections"), json_count(counters, "requests"),
                json_count(counters, "look_ups"), json_count(counters, "leases"),
                json_count(counters, "variants_done"), json_count(counters, "waiting"));
    for (const struct json *job = first_of(status, "jobs"); job; job = job->next)
        print_job(job);
    for (const struct json *work = first_of(status, "work"); work; work = work->next)
        print_work(work);
}

/* Asks once, and prints. Returns an exit code, or -1: go on. */
static int show(const struct options *options, struct pkgcache_client *client)
{
    struct pkgcache_error error;
    CLEANUP_FREE char *status = NULL;
    CLEANUP_JSON struct json_document *document = NULL;
    if (pkgcache_client_call(client, "status", NULL, &status, &error) < 0 ||
        (!options->json && json_parse(status, strlen(status), &document, &error) < 0))
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (options->follow && !options->json && isatty(STDOUT_FILENO))
        printf("\033[H\033[J"); /* in place of what was printed before */
    if (options->json)
        printf("%s\n", status);
    else
        print_status(document->root);
    int code = output_end(options, EXIT_DONE);
    return code == EXIT_DONE ? -1 : code;
}

int cmd_status(struct options *options)
{
    const struct setting_value *values = options->settings.values;
    struct pkgcache_client *client = NULL;
    struct pkgcache_error error;
    struct pollfd signals = {.fd = options->follow ? signals_open() : -1, .events = POLLIN};
    if (pkgcache_client_open(values[SETTING_CACHE].text, values[SETTING_SOCKET].text, &client,
                             &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    int code = show(options, client);
    while (code < 0 && options->follow) {
        if (poll(&signals, 1, FOLLOW_MS) > 0)
            code = EXIT_SIGNALED + signals_received();
        else
            code = show(options, client);
    }
    pkgcache_client_close(client);
    return code < 0 ? EXIT_DONE : code;
}
