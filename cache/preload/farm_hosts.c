/*
 * clush, pdsh, parallel. All three exit with 0 though hosts failed, unless they are told (-S); what
 * counts is the hosts' own reports anyway. clush hands its standard input to each host, and writes
 * the host's name before each line. pdsh and parallel do neither, so for them a fixed script of the
 * local shell does both around each ssh. (pdsh could write names, but it cuts their domains off.)
 *
 * ssh joins the words of a command with spaces, and the shell of the other host reads them: these
 * are fixed, but for the program's path, which is checked (farm_names.h). The order's path is in
 * the environment, so that no shell reads what is in it.
 */
#include "cache/preload/farm_hosts.h"

#include "cache/util/file.h"

#include <fcntl.h>
#include <string.h>

enum {
    NODES_MAX = 400, /* a word of a command line has 128 KiB at most (execve(2), MAX_ARG_STRLEN) */
    FILE_MAX_BYTES = FARM_NODES_MAX * (FARM_NAME_MAX + 1),
};

#define ORDER_VARIABLE "PKGCACHE_PRELOAD_ORDER"
#define BLANK          " \t\r"

/* --- launchers --- */

static void build_clush(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    farm_arguments_add(arguments, "clush");
    farm_arguments_add(arguments, "-S");
    farm_arguments_add(arguments, "--color=never");
    farm_arguments_printf(arguments, "--fanout=%u", launch->at_once);
    farm_arguments_add(arguments, "-w");
    farm_arguments_add_nodes(arguments, "", launch);
    farm_arguments_add(arguments, "--");
    farm_arguments_add_command(arguments, launch->program);
}

/* Runs the command on one host, with the order as its input and the host's name before all that it
   says. @param host how the launcher's shell has the name */
static void add_script(const struct farm_launch *launch, const char *host,
                       struct farm_arguments *arguments)
{
    farm_arguments_printf(arguments,
                          "{ ssh -x -o BatchMode=yes %s %s preload --on-node "
                          "<\"$" ORDER_VARIABLE "\" 2>&1 >&3 | sed -u \"s/^/%s: /\" >&2; } 3>&1 | "
                          "sed -u \"s/^/%s: /\"",
                          host, launch->program, host, host);
}

/* env(1) sets the variable: the order's path is a word of its own, which no shell reads. */
static void add_environment(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    farm_arguments_add(arguments, "env");
    farm_arguments_printf(arguments, ORDER_VARIABLE "=%s", launch->order_path);
}

static void build_pdsh(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    add_environment(launch, arguments);
    farm_arguments_add(arguments, "pdsh");
    farm_arguments_add(arguments, "-S");
    farm_arguments_add(arguments, "-N");
    farm_arguments_add(arguments, "-R");
    farm_arguments_add(arguments, "exec");
    farm_arguments_add(arguments, "-f");
    farm_arguments_printf(arguments, "%u", launch->at_once);
    farm_arguments_add(arguments, "-w");
    farm_arguments_add_nodes(arguments, "", launch);
    farm_arguments_add(arguments, "sh");
    farm_arguments_add(arguments, "-c");
    add_script(launch, "$0", arguments);
    farm_arguments_add(arguments, "%h");
}

static void build_parallel(const struct farm_launch *launch, struct farm_arguments *arguments)
{
    add_environment(launch, arguments);
    farm_arguments_add(arguments, "PARALLEL_SHELL=/bin/sh");
    farm_arguments_add(arguments, "parallel");
    farm_arguments_add(arguments, "--will-cite");
    farm_arguments_add(arguments, "--line-buffer");
    farm_arguments_printf(arguments, "--jobs=%u", launch->at_once);
    add_script(launch, "{}", arguments);
    farm_arguments_add(arguments, ":::");
    for (size_t i = 0; i < launch->count; i++)
        farm_arguments_add(arguments, launch->nodes[i]);
}

const struct farm_launcher farm_launcher_clush = {
    .name = "clush", .nodes_max = NODES_MAX, .build = build_clush};

const struct farm_launcher farm_launcher_pdsh = {
    .name = "pdsh", .nodes_max = NODES_MAX, .build = build_pdsh};

const struct farm_launcher farm_launcher_parallel = {
    .name = "parallel", .nodes_max = NODES_MAX, .build = build_parallel};

int farm_hosts_check_launcher(const char *name, struct pkgcache_error *ret_error)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        CLEANUP_FREE char *program = NULL;
        size_t length = strcspn(path, ":");
        if (asprintf(&program, "%.*s/%s", (int)length, path, name) < 0) {
            program = NULL;
            return error_set(ret_error, ENOMEM, "out of memory");
        }
        if (access(program, X_OK) == 0)
            return 0;
        path += length + (path[length] == ':');
    }
    return error_set(ret_error, ENOENT,
                     "%s is not in PATH: install it, or name another with --with", name);
}

/* --- the file --- */

/* One line without its newline. */
static int add_line(const char *path, size_t number, const char *line, size_t length,
                    struct farm_names *names, struct pkgcache_error *error)
{
    char name[FARM_NAME_MAX + 2]; /* room for one byte too many, which is refused */
    struct pkgcache_error reason;
    if (memchr(line, '\0', length))
        return error_set(error, EINVAL, "%s, line %zu: there is a NUL byte", path, number);
    while (length > 0 && strchr(BLANK, *line)) {
        line++;
        length--;
    }
    while (length > 0 && strchr(BLANK, line[length - 1]))
        length--;
    if (length == 0 || *line == '#')
        return 0;
    length = MIN(length, sizeof(name) - 1);
    memcpy(name, line, length);
    name[length] = '\0';
    int result = farm_name_check("host", name, &reason);
    if (result == 0)
        result = farm_names_add(names, name, &reason);
    return result < 0 ? error_set(error, -result, "%s, line %zu: %s", path, number, reason.message)
                      : 0;
}

int farm_hosts_parse(const char *path, const char *text, size_t length, struct farm_names *ret,
                     struct pkgcache_error *ret_error)
{
    const char *end = text + length;
    int result = 0;
    for (size_t number = 1; text < end && result == 0; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline ? newline : end;
        result = add_line(path, number, text, (size_t)(stop - text), ret, ret_error);
        text = newline ? newline + 1 : end;
    }
    if (result == 0 && ret->count == 0)
        result = error_set(ret_error, ENODATA, "%s names no hosts: write one on each line", path);
    farm_names_sort(ret);
    return result;
}

int farm_hosts_read(const char *path, struct farm_names *ret, struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text text = {0};
    struct pkgcache_error error;
    CLEANUP_CLOSE int fd = file_open(AT_FDCWD, path, O_RDONLY);
    if (fd < 0)
        return error_set(ret_error, errno, "%s: %s", path, strerror(errno));
    int result = file_read(fd, FILE_MAX_BYTES, &text, &error);
    if (result < 0)
        return error_set(ret_error, -result, "%s: %s", path, error.message);
    return farm_hosts_parse(path, text.bytes ? text.bytes : "", text.length, ret, ret_error);
}
