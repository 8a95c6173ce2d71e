/* What the program says. */
#include "cli/output.h"

#include "cache/json/json_stream.h"
#include "cli/exit.h"
#include "cli/progress.h"
#include "cli/signals.h"

#include <stdarg.h>
#include <string.h>

static bool wants_color(const struct options *options)
{
    return options->color == WHEN_ALWAYS ||
           (options->color == WHEN_AUTO && isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
}

/* `exit_code` 0: the program does not end with that. */
static void write_json_line(const char *key, const char *text, int code, int exit_code)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, key, text);
    if (code)
        json_add_integer(object, "errno", code);
    if (exit_code)
        json_add_integer(object, "exit", exit_code);
    output_json_line(object);
}

void output_warning(const struct options *options, const char *path, const char *text)
{
    CLEANUP_FREE char *message = NULL;
    if (options->verbosity < 0 || asprintf(&message, "%s: %s", path, text) < 0)
        return;
    if (options->json)
        write_json_line("warning", message, 0, 0);
    else
        fprintf(stderr, "pkgcache: %s\n", message);
}

int output_error(const struct options *options, int exit_code, int code, const char *format, ...)
{
    CLEANUP_FREE char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0)
        message = NULL;
    va_end(arguments);
    const char *text = message ? message : "out of memory";
    progress_clear();
    if (options->json) {
        write_json_line("error", text, code, exit_code);
    } else {
        bool color = wants_color(options);
        fprintf(stderr, "%spkgcache:%s %s\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "",
                text);
    }
    return exit_code;
}

void output_verbose(const struct options *options, const char *format, ...)
{
    if (options->verbosity < 1)
        return;
    va_list arguments;
    va_start(arguments, format);
    progress_clear();
    fputs("pkgcache: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

int output_document(const struct options *options, cJSON *item)
{
    struct json_stream stream = {.file = stdout};
    json_stream_add(&stream, item);
    return output_end_document(options, json_stream_end(&stream));
}

int output_end_document(const struct options *options, int result)
{
    if (result == -ENOMEM)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (result < 0)
        return output_error(options, EXIT_FAILED, -result, "standard output: %s",
                            strerror(-result));
    putchar('\n');
    return output_end(options, EXIT_DONE);
}

int output_end(const struct options *options, int exit_code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    return output_error(options, EXIT_FAILED, errno, "standard output: %s", strerror(errno));
}

const char *output_status(int status)
{
    return pkgcache_status_name(status < 0 ? PKGCACHE_FAILED : (enum pkgcache_status)status);
}

int output_exit_code(int result)
{
    if (result == -ECANCELED)
        return EXIT_SIGNALED + signals_received();
    return result == -ETIMEDOUT ? EXIT_LOCKED : EXIT_FAILED;
}
