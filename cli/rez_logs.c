/* rez-pkg-cache --logs: all files of the log, the oldest first, in the colours of their levels. */
#include "cache/store/log.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cli/exit.h"
#include "cli/rez_print.h"
#include "cli/rez_program.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>

struct log_file {
    char *name;
    struct timespec changed;
};

struct logs {
    int fd; /* .sys/log */
    struct log_file *files;
    size_t count;
};

static const struct {
    const char *level;
    enum rez_style style;
} levels[] = {
    {"DEBUG", REZ_BLUE},
    {"INFO", REZ_GREEN},
    {"WARNING", REZ_YELLOW},
    {"ERROR", REZ_RED},
};

/* rez takes whatever is called *.log. */
static bool is_log(const char *name)
{
    size_t length = strlen(name);
    return *name != '.' && length >= 4 && strcmp(name + length - 4, ".log") == 0;
}

static int find_files(struct logs *logs)
{
    struct names names;
    int result = names_open(&names, logs->fd);
    for (const char *name; result == 0 && (name = names_next(&names));) {
        struct stat status;
        if (!is_log(name) || fstatat(logs->fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        struct log_file *files = realloc(logs->files, (logs->count + 1) * sizeof(*files));
        if (!files) {
            result = -ENOMEM;
            break;
        }
        logs->files = files;
        files[logs->count] = (struct log_file){.name = strdup(name), .changed = status.st_ctim};
        result = files[logs->count++].name ? 0 : -ENOMEM;
    }
    names_close(&names);
    return result;
}

static int compare_files(const void *left, const void *right)
{
    const struct log_file *a = left;
    const struct log_file *b = right;
    if (a->changed.tv_sec != b->changed.tv_sec)
        return a->changed.tv_sec < b->changed.tv_sec ? -1 : 1;
    if (a->changed.tv_nsec != b->changed.tv_nsec)
        return a->changed.tv_nsec < b->changed.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

/* The style of a line: that of its level, the fifth word; without one, that of the line before. */
static enum rez_style line_style(const char *line, enum rez_style before)
{
    const char *at = line;
    for (int word = 0; word < 4; word++) {
        at += strspn(at, " \t");
        at += strcspn(at, " \t");
    }
    at += strspn(at, " \t");
    size_t length = strcspn(at, " \t");
    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++)
        if (strlen(levels[i].level) == length && strncmp(at, levels[i].level, length) == 0)
            return levels[i].style;
    return before;
}

static void print_file(FILE *file, enum rez_style *style)
{
    CLEANUP_FREE struct log_line *line = malloc(sizeof(*line));
    while (line && log_read_line(file, line)) {
        while (line->length > 0 && isspace((unsigned char)line->text[line->length - 1]))
            line->text[--line->length] = '\0';
        *style = line_style(line->text, *style);
        rez_print_line(stdout, *style, line->text);
    }
}

static int print_all(struct logs *logs)
{
    enum rez_style style = REZ_PLAIN;
    int result = logs->fd < 0 ? 0 : find_files(logs);
    if (result < 0)
        return rez_fail("%s", strerror(-result));
    if (logs->count == 0)
        fprintf(stderr, "No logs.\n");
    else
        qsort(logs->files, logs->count, sizeof(*logs->files), compare_files);
    for (size_t i = 0; i < logs->count; i++) {
        int fd = -1;
        struct pkgcache_error error = {0};
        result = file_open_regular(logs->fd, logs->files[i].name, &fd, &error);
        CLEANUP_FCLOSE FILE *file = result < 0 ? NULL : fdopen(fd, "r");
        if (file)
            print_file(file, &style);
        else if (result != -ENOENT)
            rez_message(REZ_ERROR, "%s: %s", logs->files[i].name,
                        result < 0 ? error.message : strerror(errno));
    }
    return EXIT_DONE;
}

int rez_logs(struct rez_program *program)
{
    struct logs logs = {.fd = cache_open_private(program->cache, "log", false)};
    int code = print_all(&logs);
    for (size_t i = 0; i < logs.count; i++)
        free(logs.files[i].name);
    free(logs.files);
    cleanup_close_fd(&logs.fd);
    return code;
}
