/* What the program says. */
#include "cli/output.h"

#include "cache/json/json_stream.h"
#include "cache/json/visible.h"
#include "cache/util/text.h"
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

/* Whether standard error is read by a program: each line of it is one object then. */
static bool writes_json_errors(const struct options *options)
{
    return options->json || options->progress == WHEN_JSON;
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

/* Prints a message that may have in it what others wrote. */
static void print_visible(FILE *stream, const char *text)
{
    CLEANUP_TEXT struct text visible = {0};
    visible_append(&visible, text, strlen(text));
    if (visible.error == 0 && visible.length > 0)
        fputs(visible.bytes, stream);
    fputc('\n', stream);
}

void output_line(const char *format, ...)
{
    CLEANUP_FREE char *line = NULL;
    va_list arguments;
    va_start(arguments, format);
    line = text_vformat(format, arguments);
    va_end(arguments);
    if (line)
        print_visible(stdout, line);
}

void output_data(const char *text)
{
    if (isatty(STDOUT_FILENO))
        print_visible(stdout, text);
    else
        printf("%s\n", text);
}

char *output_shown(const char *text)
{
    struct text visible = {0};
    char *shown = NULL;
    visible_append(&visible, text, strlen(text));
    return text_steal(&visible, &shown, NULL) < 0 ? NULL : shown;
}

void output_warning(const struct options *options, const char *path, const char *text)
{
    CLEANUP_FREE char *message = NULL;
    if (options->verbosity < 0 || asprintf(&message, "%s: %s", path, text) < 0)
        return;
    if (writes_json_errors(options)) {
        write_json_line("warning", message, 0, 0);
    } else {
        fputs("pkgcache: ", stderr);
        print_visible(stderr, message);
    }
}

void output_problems(const struct options *options, const struct settings_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        output_warning(options, problems->items[i].where, problems->items[i].what);
}

int output_error(const struct options *options, int exit_code, int code, const char *format, ...)
{
    CLEANUP_FREE char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    message = text_vformat(format, arguments);
    va_end(arguments);
    const char *text = message ? message : "out of memory";
    progress_clear();
    if (writes_json_errors(options)) {
        write_json_line("error", text, code, exit_code);
    } else {
        bool color = wants_color(options);
        fprintf(stderr, "%spkgcache:%s ", color ? "\033[1;31m" : "", color ? "\033[0m" : "");
        print_visible(stderr, text);
    }
    return exit_code;
}

void output_verbose(const struct options *options, const char *format, ...)
{
    if (options->verbosity < 1)
        return;
    CLEANUP_FREE char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    message = text_vformat(format, arguments);
    va_end(arguments);
    const char *text = message ? message : "out of memory";
    progress_clear();
    if (writes_json_errors(options)) {
        write_json_line("message", text, 0, 0);
    } else {
        fputs("pkgcache: ", stderr);
        print_visible(stderr, text);
    }
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
