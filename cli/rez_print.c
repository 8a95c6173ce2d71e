/* rez's messages: its logging handler (rez/__init__.py) and its colours (utils/colorize.py). */
#include "cli/rez_print.h"

#include "cache/json/visible.h"
#include "cli/exit.h"

#include <stdarg.h>
#include <strings.h>
#include <time.h>

static const struct {
    const char *name;
    enum rez_style style;
} levels[] = {
    [REZ_INFO] = {"INFO", REZ_GREEN},
    [REZ_WARNING] = {"WARNING", REZ_YELLOW},
    [REZ_ERROR] = {"ERROR", REZ_RED},
};

enum rez_style rez_level_style(enum rez_level level)
{
    return levels[level].style;
}

/* rez's setting color_enabled, as far as its variable goes: `force` does not reach past a pipe. */
static bool shows_styles(FILE *stream)
{
    static const char *const off[] = {"0", "false", "f", "no", "n", "off"};
    const char *enabled = getenv("REZ_COLOR_ENABLED");
    for (size_t i = 0; enabled && i < ARRAY_LENGTH(off); i++)
        if (strcasecmp(enabled, off[i]) == 0)
            return false;
    return isatty(fileno(stream));
}

void rez_print_line(FILE *stream, enum rez_style style, const char *text)
{
    CLEANUP_TEXT struct text visible = {0};
    const char *line = text;
    if (isatty(fileno(stream))) { /* others chose names in it, which are to do no harm there */
        visible_append(&visible, text, strlen(text));
        line = visible.length > 0 ? visible.bytes : "";
    }
    if (style == REZ_PLAIN || !shows_styles(stream))
        fprintf(stream, "%s\n", line);
    else
        fprintf(stream, "\033[%dm%s\033[0m\n", style, line);
}

static void print_message(enum rez_level level, const char *prefix, const char *format,
                          va_list arguments)
{
    char clock[16] = "";
    char text[4096];
    CLEANUP_TEXT struct text line = {0};
    time_t now = time(NULL);
    struct tm local = {0};
    localtime_r(&now, &local);
    strftime(clock, sizeof(clock), "%H:%M:%S", &local);
    vsnprintf(text, sizeof(text), format, arguments);
    text_printf(&line, "%s %-8s %s%s", clock, levels[level].name, prefix, text);
    rez_print_line(stderr, levels[level].style, line.error ? text : line.bytes);
}

void rez_message(enum rez_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(level, "", format, arguments);
    va_end(arguments);
}

int rez_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message(REZ_ERROR, "PackageCacheError: ", format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int rez_fail_settings(const struct pkgcache_error *error)
{
    rez_message(REZ_ERROR, "ConfigurationError: %s", error->message);
    return EXIT_FAILED;
}
