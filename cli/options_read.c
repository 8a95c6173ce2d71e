/* The command line. Settings come from their own table; here are the options that are none. */
#include "cli/options.h"

#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

/* Which of rez's settings a command needs; its files are read for no other. */
enum {
    NEEDS_CACHE = SETTING_BIT(SETTING_CACHE),
    NEEDS_ROOM = SETTING_BIT(SETTING_SPACE_BUFFER) | SETTING_BIT(SETTING_USED_THRESHOLD),
    TO_FILL =
        NEEDS_CACHE | NEEDS_ROOM | SETTING_BIT(SETTING_SAME_DEVICE) | SETTING_BIT(SETTING_LOCAL),
    TO_CLEAN = NEEDS_CACHE | SETTING_BIT(SETTING_MAX_VARIANT_DAYS) | SETTING_BIT(SETTING_LOG_DAYS),
};

static const struct command commands[] = {
    {"warm", "SOURCE...", "copy all variants that the sources name into the cache", COMMAND_WARM, 1,
     -1, cmd_warm, TO_FILL},
    {"add", "VARIANT...", "copy these variants into the cache", COMMAND_ADD, 1, -1, cmd_add,
     TO_FILL},
    {"get", "VARIANT...", "print the cached root of each variant", COMMAND_GET, 1, -1, cmd_get,
     NEEDS_CACHE},
    {"list", "[PATTERN]", "list the variants in the cache and their states", COMMAND_LIST, 0, 1,
     cmd_list, NEEDS_CACHE},
    {"remove", "VARIANT...", "remove variants; the next clean deletes the files", COMMAND_REMOVE, 1,
     -1, cmd_remove, NEEDS_CACHE},
    {"clean", "", "delete unused, removed, damaged and abandoned data", COMMAND_CLEAN, 0, 0,
     cmd_clean, TO_CLEAN},
    {"verify", "[VARIANT...]", "read payloads again and compare their digests", COMMAND_VERIFY, 0,
     -1, cmd_verify, NEEDS_CACHE | NEEDS_ROOM},
    {"stats", "", "print hits, misses, copies, time saved, size, room", COMMAND_STATS, 0, 0,
     cmd_stats, NEEDS_CACHE},
    {"logs", "", "print the log", COMMAND_LOGS, 0, 0, cmd_logs, NEEDS_CACHE},
    {"copy", "SRC DST", "copy a directory tree; DST must not exist", COMMAND_COPY, 2, 2, cmd_copy,
     0},
    {"doctor", "[SOURCE...]", "check this machine and the cache, advise what to do", COMMAND_DOCTOR,
     0, -1, cmd_doctor, NEEDS_CACHE},
    {"daemon", "", "serve look-ups and warming to other programs", COMMAND_DAEMON, 0, 0, cmd_daemon,
     TO_FILL | TO_CLEAN},
    {"status", "", "show what the daemon does, and for which users", COMMAND_STATUS, 0, 0,
     cmd_status, NEEDS_CACHE},
};

enum {
    EVERY_COMMAND = ~0,
    FIRST_SETTING = 1000, /* getopt's value of the first setting's flag */
    LONG_ONLY = 2000,     /* and of the first option that has no letter */
};

enum option_id {
    OPTION_HELP = 'h',
    OPTION_JSON = LONG_ONLY,
    OPTION_VERBOSE = 'v',
    OPTION_QUIET = 'q',
    OPTION_PROGRESS = LONG_ONLY + 1,
    OPTION_COLOR,
    OPTION_VERSION,
    OPTION_HELP_SETTINGS,
    OPTION_FORCE,
    OPTION_ROOT,
    OPTION_NO_WAIT,
    OPTION_REPORT,
    OPTION_ALL,
    OPTION_TOUCH,
    OPTION_LEASE,
    OPTION_COLUMNS,
    OPTION_TIME_LIMIT,
    OPTION_DRY_RUN,
    OPTION_REPAIR,
    OPTION_SAMPLE,
    OPTION_MANIFEST,
    OPTION_OWNER,
    OPTION_SET_ID,
    OPTION_FORMAT,
    OPTION_ZERO,
    OPTION_FOREGROUND,
    OPTION_IDLE_EXIT,
    OPTION_METRICS,
    OPTION_FOLLOW = 'f',
    OPTION_LINES = 'n',
};

static const struct {
    const char *name;
    enum option_id id;
    unsigned commands;
    const char *argument; /* what its help calls it; NULL: none */
    const char *help;
} option_table[] = {
    {"help", OPTION_HELP, EVERY_COMMAND, NULL, "print this help, or the help of a command"},
    {"help-settings", OPTION_HELP_SETTINGS, EVERY_COMMAND, NULL,
     "print all settings and where their values come from"},
    {"version", OPTION_VERSION, EVERY_COMMAND, NULL, "print the version"},
    {"json", OPTION_JSON, EVERY_COMMAND, NULL, "print one JSON document on standard output"},
    {"verbose", OPTION_VERBOSE, EVERY_COMMAND, NULL,
     "say more, such as which backend runs and why"},
    {"quiet", OPTION_QUIET, EVERY_COMMAND, NULL, "print errors only"},
    {"progress", OPTION_PROGRESS, EVERY_COMMAND, "WHEN",
     "show progress: auto, always, never or json"},
    {"color", OPTION_COLOR, EVERY_COMMAND, "WHEN", "use colours: auto, always or never"},
    {"no-wait", OPTION_NO_WAIT, COMMAND_WARM | COMMAND_ADD, NULL,
     "do not wait for copies by other processes"},
    {"report", OPTION_REPORT, COMMAND_WARM, "FILE", "also write the summary as JSON to FILE"},
    {"all", OPTION_ALL, COMMAND_WARM, NULL, "accept directories: take all variants in them"},
    {"force", OPTION_FORCE, COMMAND_ADD, NULL, "even if a setting or the definition forbids it"},
    {"root", OPTION_ROOT, COMMAND_ADD, "DIR", "directory of the variant's payload"},
    {"touch", OPTION_TOUCH, COMMAND_GET, "yes|no", "mark the variants as used now (default: yes)"},
    {"lease", OPTION_LEASE, COMMAND_GET, "PID", "protect the variants from clean until PID ends"},
    {"columns", OPTION_COLUMNS, COMMAND_LIST, "LIST", "the columns to print, separated by commas"},
    {"time-limit", OPTION_TIME_LIMIT, COMMAND_CLEAN, "S", "stop after S seconds"},
    {"dry-run", OPTION_DRY_RUN, COMMAND_CLEAN, NULL,
     "delete nothing; print what would be deleted, why"},
    {"repair", OPTION_REPAIR, COMMAND_VERIFY, NULL,
     "copy damaged payloads again from their sources"},
    {"sample", OPTION_SAMPLE, COMMAND_VERIFY, "PERCENT",
     "read only PERCENT of the files, others each time"},
    {"manifest", OPTION_MANIFEST, COMMAND_COPY, "FILE",
     "also write a manifest of the copy to FILE"},
    {"owner", OPTION_OWNER, COMMAND_COPY, NULL, "keep owners and groups (root only)"},
    {"set-id", OPTION_SET_ID, COMMAND_COPY, NULL, "keep set-user-ID and set-group-ID bits"},
    {"format", OPTION_FORMAT, COMMAND_STATS, "FORMAT", "output format: text, json or prometheus"},
    {"zero", OPTION_ZERO, COMMAND_STATS, NULL, "print the counters, then reset them to zero"},
    {"foreground", OPTION_FOREGROUND, COMMAND_DAEMON, NULL,
     "stay in the foreground, log to standard error"},
    {"idle-exit", OPTION_IDLE_EXIT, COMMAND_DAEMON, "S",
     "exit after S seconds without clients and work"},
    {"metrics", OPTION_METRICS, COMMAND_DAEMON, "FILE", "write metrics for Prometheus to FILE"},
    {"follow", OPTION_FOLLOW, COMMAND_LOGS | COMMAND_STATUS, NULL,
     "keep printing new lines, or the current status"},
    {"lines", OPTION_LINES, COMMAND_LOGS, "N", "print only the last N lines (with -f: 10)"},
};

static void print_options(unsigned mask, bool common)
{
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++) {
        if (common != (option_table[i].commands == (unsigned)EVERY_COMMAND) ||
            !(option_table[i].commands & mask))
            continue;
        char name[64];
        bool letter = (int)option_table[i].id < FIRST_SETTING;
        snprintf(name, sizeof(name), "%s%c%c--%s%s%s", letter ? "-" : " ",
                 letter ? (char)option_table[i].id : ' ', letter ? ',' : ' ', option_table[i].name,
                 option_table[i].argument ? "=" : "",
                 option_table[i].argument ? option_table[i].argument : "");
        printf("  %-22s %s\n", name, option_table[i].help);
    }
}

static void print_help(const struct command *command)
{
    if (command) {
        printf("usage: pkgcache [OPTION...] %s %s\n\n%s\n\n", command->name, command->synopsis,
               command->summary);
        print_options(command->flag, false);
    } else {
        printf("usage: pkgcache [OPTION...] COMMAND ...\n\nCopies package payloads from shared "
               "storage into a cache on local disk.\nThe package manager rez can use the same "
               "cache.\n\n");
        for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
            printf("  %-7s %-12s %s\n", commands[i].name, commands[i].synopsis,
                   commands[i].summary);
    }
    printf("\nOptions of all commands, before or after the command's name:\n");
    print_options(EVERY_COMMAND, true);
    printf("  --SETTING=VALUE        change a setting; --help-settings lists them\n");
}

static int print_settings(struct options *options)
{
    struct pkgcache_error error;
    if (settings_complete(&options->settings, SETTINGS_ALL, &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings_table[i];
        const struct setting_value *value = &options->settings.values[i];
        printf("--%s=%s\n    %s\n    from %s; variable %s", setting->name, value->text,
               setting->help, value->origin, setting->variable);
        if (setting->rez != SETTING_OURS)
            printf(", then rez's %s", rezconfig_name(setting->rez));
        if (setting->choices) {
            printf("\n    one of");
            for (const char *const *choice = setting->choices; *choice; choice++)
                printf(" %s", *choice);
        }
        printf("\n");
    }
    return output_end(options, EXIT_DONE);
}

static int read_when(struct options *options, const char *name, const char *text, bool json,
                     enum when *ret)
{
    static const char *const words[] = {"auto", "always", "never", "json"};
    for (int i = 0; i < (json ? 4 : 3); i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum when)i;
            return -1;
        }
    return output_error(options, EXIT_USAGE, EINVAL, "--%s: \"%s\" is not auto, always%s", name,
                        text, json ? ", never or json" : " or never");
}

static int read_yes_no(struct options *options, const char *name, const char *text, bool *ret)
{
    *ret = strcmp(text, "yes") == 0;
    if (*ret || strcmp(text, "no") == 0)
        return -1;
    return output_error(options, EXIT_USAGE, EINVAL, "--%s: \"%s\" is not yes or no", name, text);
}

static int read_time_limit(struct options *options, const char *text)
{
    char *end;
    options->time_limit_s = strtod(text, &end);
    if (*text && !*end && options->time_limit_s > 0 && options->time_limit_s <= 1e9)
        return -1;
    return output_error(options, EXIT_USAGE, EINVAL,
                        "--time-limit: \"%s\" is not a number of seconds above 0", text);
}

/* 5 and 5% are the same. */
static int read_sample(struct options *options, const char *text)
{
    char *end;
    double percent = strtod(text, &end);
    end += *end == '%';
    if (*text && !*end && percent > 0 && percent <= 100) {
        options->sample = percent / 100;
        return -1;
    }
    return output_error(options, EXIT_USAGE, EINVAL,
                        "--sample: \"%s\" is not a percentage above 0, up to 100", text);
}

static int read_lease(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    long pid = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || pid < 1 || pid > INT_MAX)
        return output_error(options, EXIT_USAGE, EINVAL, "--lease: \"%s\" is not a process ID",
                            text);
    options->lease_pid = (int)pid;
    return -1;
}

static int read_format(struct options *options, const char *text)
{
    static const char *const words[] = {"text", "json", "prometheus"};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(text, words[i]) == 0) {
            options->format = (enum format)(FORMAT_TEXT + i);
            return -1;
        }
    return output_error(options, EXIT_USAGE, EINVAL,
                        "--format: \"%s\" is not text, json or prometheus", text);
}

static int read_lines(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long lines = strtoull(text, &end, 10);
    options->lines_given = true;
    options->lines = (size_t)lines;
    if (*text >= '0' && *text <= '9' && !*end && errno == 0)
        return -1;
    return output_error(options, EXIT_USAGE, EINVAL, "--lines: \"%s\" is not a number of lines",
                        text);
}

static int read_idle_exit(struct options *options, const char *text)
{
    char *end;
    errno = 0;
    unsigned long seconds = strtoul(text, &end, 10);
    options->idle_exit_s = (unsigned)seconds;
    if (*text >= '0' && *text <= '9' && !*end && errno == 0 && seconds <= INT_MAX)
        return -1;
    return output_error(options, EXIT_USAGE, EINVAL,
                        "--idle-exit: \"%s\" is not a number of seconds", text);
}

/* What an option sets that takes no argument; NULL: it is another one. */
static bool *flag_of(struct options *options, int id)
{
    switch (id) {
    case OPTION_JSON:
        return &options->json;
    case OPTION_ALL:
        return &options->all;
    case OPTION_FORCE:
        return &options->force;
    case OPTION_NO_WAIT:
        return &options->no_wait;
    case OPTION_DRY_RUN:
        return &options->dry_run;
    case OPTION_REPAIR:
        return &options->repair;
    case OPTION_OWNER:
        return &options->owner;
    case OPTION_SET_ID:
        return &options->set_id;
    case OPTION_ZERO:
        return &options->zero;
    case OPTION_FOREGROUND:
        return &options->foreground;
    case OPTION_FOLLOW:
        return &options->follow;
    default:
        return NULL;
    }
}

/* Where an argument goes that may be any text; NULL: it is another option's. */
static const char **text_of(struct options *options, int id)
{
    switch (id) {
    case OPTION_ROOT:
        return &options->root;
    case OPTION_REPORT:
        return &options->report;
    case OPTION_COLUMNS:
        return &options->columns;
    case OPTION_MANIFEST:
        return &options->manifest;
    case OPTION_METRICS:
        return &options->metrics;
    default:
        return NULL;
    }
}

/* One option that is no setting. Returns an exit code, or -1: go on. */
static int read_option(struct options *options, int id, const char *text)
{
    bool *flag = flag_of(options, id);
    const char **argument = text_of(options, id);
    if (flag)
        *flag = true;
    if (argument)
        *argument = text;
    if (flag || argument)
        return -1;
    switch (id) {
    case OPTION_VERBOSE:
        options->verbosity = 1;
        return -1;
    case OPTION_QUIET:
        options->verbosity = -1;
        return -1;
    case OPTION_PROGRESS:
        return read_when(options, "progress", text, true, &options->progress);
    case OPTION_COLOR:
        return read_when(options, "color", text, false, &options->color);
    case OPTION_TIME_LIMIT:
        return read_time_limit(options, text);
    case OPTION_TOUCH:
        return read_yes_no(options, "touch", text, &options->touch);
    case OPTION_SAMPLE:
        return read_sample(options, text);
    case OPTION_LEASE:
        return read_lease(options, text);
    case OPTION_FORMAT:
        return read_format(options, text);
    case OPTION_IDLE_EXIT:
        return read_idle_exit(options, text);
    case OPTION_LINES:
        return read_lines(options, text);
    default:
        return EXIT_USAGE;
    }
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int check_command(struct options *options, uint64_t used, bool help)
{
    if (options->argument_count == 0) {
        if (help) {
            print_help(NULL);
            return output_end(options, EXIT_DONE);
        }
        return output_error(options, EXIT_USAGE, EINVAL,
                            "no command: try pkgcache warm, or pkgcache --help");
    }
    const char *name = options->arguments[0];
    const struct command *command = find_command(name);
    if (!command)
        return output_error(options, EXIT_USAGE, EINVAL, "%s: unknown command; see pkgcache --help",
                            name);
    if (help) {
        print_help(command);
        return output_end(options, EXIT_DONE);
    }
    options->command = command;
    options->arguments++;
    options->argument_count--;
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++)
        if (used & 1ULL << i && !(option_table[i].commands & command->flag))
            return output_error(options, EXIT_USAGE, EINVAL,
                                "%s: this command has no option --%s; see pkgcache %s --help", name,
                                option_table[i].name, name);
    if (options->argument_count < command->arguments_min ||
        (command->arguments_max >= 0 && options->argument_count > command->arguments_max))
        return output_error(options, EXIT_USAGE, EINVAL, "%s: expected %s; see pkgcache %s --help",
                            name, *command->synopsis ? command->synopsis : "no arguments", name);
    return -1;
}

static void fill_getopt_table(struct option *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++)
        ret[count++] = (struct option){option_table[i].name,
                                       option_table[i].argument ? required_argument : no_argument,
                                       NULL, (int)option_table[i].id};
    for (int i = 0; i < SETTING_COUNT; i++)
        ret[count++] =
            (struct option){settings_table[i].name, required_argument, NULL, FIRST_SETTING + i};
    ret[count] = (struct option){0};
}

/* What getopt does not know. It has passed over that already: the word before the next one. */
static int refuse_option(const struct options *options, int id, char **argv)
{
    return output_error(
        options, EXIT_USAGE, EINVAL, "%s: %s; see pkgcache --help", argv[optind - 1],
        id == ':' ? "a value is missing" : "unknown option, or an option that takes no value");
}

/*
 * getopt_long(3) takes the beginning of a name for the name, as long as no other begins like that.
 * What a script writes must not mean something else, or nothing, when an option is added.
 */
static int refuse_abbreviation(const struct options *options, char **argv,
                               const struct option *option)
{
    const char *word = argv[optind - 1];
    if (word == optarg) /* a value of its own; then the option is before that */
        word = argv[optind - 2];
    size_t length = strcspn(word, "=");
    if (length == strlen("--") + strlen(option->name))
        return -1;
    return output_error(options, EXIT_USAGE, EINVAL, "%.*s: unknown option; write --%s in full",
                        (int)length, word, option->name);
}

/* Reads all options. Returns an exit code, or -1: go on. *ret_used: a bit for each of the table. */
static int read_options(int argc, char **argv, struct options *options, uint64_t *ret_used)
{
    struct option table[ARRAY_LENGTH(option_table) + SETTING_COUNT + 1];
    struct pkgcache_error error;
    fill_getopt_table(table);
    opterr = 0;
    int place = -1; /* in the table; a letter leaves it */
    for (int id; (id = getopt_long(argc, argv, ":hvqfn:", table, &place)) != -1; place = -1) {
        if (id == '?' || id == ':')
            return refuse_option(options, id, argv);
        int refused = place >= 0 ? refuse_abbreviation(options, argv, &table[place]) : -1;
        if (refused >= 0)
            return refused;
        if (id >= FIRST_SETTING && id < FIRST_SETTING + SETTING_COUNT) {
            if (settings_set(&options->settings, (enum setting_id)(id - FIRST_SETTING), optarg,
                             "the command line", &error) < 0)
                return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
            continue;
        }
        for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++)
            if ((int)option_table[i].id == id)
                *ret_used |= 1ULL << i;
        if (id == OPTION_VERSION) {
            printf("pkgcache %s\n", PKGCACHE_VERSION_STRING);
            return output_end(options, EXIT_DONE);
        }
        bool only_noted = id == OPTION_HELP || id == OPTION_HELP_SETTINGS;
        int code = only_noted ? -1 : read_option(options, id, optarg);
        if (code >= 0)
            return code;
    }
    options->arguments = argv + optind;
    options->argument_count = argc - optind;
    return -1;
}

/* Whether an option of the table was used. */
static bool is_used(uint64_t used, enum option_id id)
{
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++)
        if (option_table[i].id == id)
            return used & 1ULL << i;
    return false;
}

/* Errors are JSON wherever on the line --json stands. */
static bool asks_for_json(char **argv)
{
    while (*++argv && strcmp(*argv, "--") != 0)
        if (strcmp(*argv, "--json") == 0)
            return true;
    return false;
}

int options_read(int argc, char **argv, struct options *ret)
{
    struct pkgcache_error error;
    uint64_t used = 0;
    *ret = (struct options){.touch = true, .json = asks_for_json(argv)};
    unsetenv("POSIXLY_CORRECT"); /* options may stand behind the command, whatever else does not */
    int code = read_options(argc, argv, ret, &used);
    if (code < 0 && is_used(used, OPTION_HELP_SETTINGS))
        return print_settings(ret);
    if (code < 0)
        code = check_command(ret, used, is_used(used, OPTION_HELP));
    if (code >= 0)
        return code;
    const struct setting_value *digest = &ret->settings.values[SETTING_DIGEST];
    if (ret->command->flag == COMMAND_COPY && digest->text && digest->number && !ret->manifest)
        return output_error(
            ret, EXIT_USAGE, EINVAL,
            "--digest=yes: copy writes digests into a manifest: add --manifest=FILE");
    const char *durability = getenv("PKGCACHE_DURABILITY");
    ret->durability_given =
        ret->settings.values[SETTING_DURABILITY].text || (durability && *durability);
    if (settings_complete(&ret->settings, ret->command->settings, &error) < 0)
        return output_error(ret, EXIT_USAGE, error.code, "%s", error.message);
    return -1;
}

void options_free(struct options *options)
{
    settings_free(&options->settings);
}
