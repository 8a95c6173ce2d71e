/* Reads the command line, by the tables of commands, options and settings. */
#include "cli/options.h"

#include "cli/command_table.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/exit.h"
#include "cli/help.h"
#include "cli/mistakes.h"
#include "cli/output.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

enum {
    FIRST_SETTING = 1000, /* getopt's value of the first setting's flag; below: letters */
    FIRST_OPTION = 2000,  /* and of the first option's name */
    LETTERS_SIZE = 2 * OPTION_COUNT_MAX + 2,
};

/* Where an option stores what it is given. */
static void *field_of(struct options *options, const struct option_row *row)
{
    return (char *)options + row->offset;
}

static int refuse_value(const struct options *options, const struct option_row *row,
                        const char *text, const char *expected)
{
    return output_error(options, EXIT_USAGE, EINVAL, "--%s: \"%s\" is not %s", row->name, text,
                        expected);
}

static int read_choice(struct options *options, const struct option_row *row, const char *text)
{
    char expected[128] = "";
    for (size_t i = 0; row->choices[i]; i++) {
        if (strcmp(text, row->choices[i]) == 0) {
            int choice = (int)row->minimum + (int)i;
            memcpy(field_of(options, row), &choice, sizeof(choice));
            return -1;
        }
        size_t length = strlen(expected);
        snprintf(expected + length, sizeof(expected) - length, "%s%s",
                 i == 0                ? ""
                 : row->choices[i + 1] ? ", "
                                       : " or ",
                 row->choices[i]);
    }
    return refuse_value(options, row, text, expected);
}

static int read_yes_no(struct options *options, const struct option_row *row, const char *text)
{
    bool *field = field_of(options, row);
    *field = strcmp(text, "yes") == 0;
    return *field || strcmp(text, "no") == 0 ? -1 : refuse_value(options, row, text, "yes or no");
}

static int read_whole(struct options *options, const struct option_row *row, const char *text)
{
    uint64_t *field = field_of(options, row);
    char *end;
    errno = 0;
    *field = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && !*end && errno == 0 && (double)*field >= row->minimum &&
        (double)*field <= row->maximum)
        return -1;
    return refuse_value(options, row, text, row->expected);
}

static int read_real(struct options *options, const struct option_row *row, const char *text)
{
    double *field = field_of(options, row);
    bool percent = row->kind == OPTION_PERCENT;
    char *end;
    double number = strtod(text, &end);
    end += percent && *end == '%';
    *field = percent ? number / 100 : number;
    if (*text && !*end && number > row->minimum && number <= row->maximum)
        return -1;
    return refuse_value(options, row, text, row->expected);
}

static int read_text(struct options *options, const struct option_row *row, const char *text)
{
    *(const char **)field_of(options, row) = text;
    if (row->kind == OPTION_FILE && strcmp(text, "-") == 0)
        return refuse_value(options, row, text,
                            "the name of a file; write ./- if it has that name");
    return *text ? -1 : refuse_value(options, row, text, "a value");
}

/* One option that is no setting. Returns an exit code, or -1: go on. */
static int read_option(struct options *options, const struct option_row *row, const char *text)
{
    switch (row->kind) {
    case OPTION_VERBOSE:
        options->verbosity = 1;
        return -1;
    case OPTION_QUIET:
        options->verbosity = -1;
        return -1;
    case OPTION_FLAG:
        *(bool *)field_of(options, row) = true;
        return -1;
    case OPTION_YES_NO:
        return read_yes_no(options, row, text);
    case OPTION_TEXT:
    case OPTION_FILE:
    case OPTION_STREAM:
    case OPTION_DIRECTORY:
        return read_text(options, row, text);
    case OPTION_CHOICE:
        return read_choice(options, row, text);
    case OPTION_WHOLE:
        return read_whole(options, row, text);
    case OPTION_REAL:
    case OPTION_PERCENT:
        return read_real(options, row, text);
    default: /* only noted: help and version */
        return -1;
    }
}

/* Whether an option of this kind was used. */
static bool is_used(uint64_t used, enum option_kind kind)
{
    for (size_t i = 0; i < option_count; i++)
        if (option_table[i].kind == kind && used & 1ULL << i)
            return true;
    return false;
}

/* Whether the option that is stored there was used. */
static bool is_given(uint64_t used, size_t offset)
{
    for (size_t i = 0; i < option_count; i++)
        if (option_table[i].argument && option_table[i].offset == offset && used & 1ULL << i)
            return true;
    return false;
}

/* The commands that print what stands in the tables. Returns an exit code. */
static int answer(struct options *options)
{
    const char *name = options->argument_count > 0 ? options->arguments[0] : NULL;
    if (options->command->flag == COMMAND_VERSION)
        return help_print_version(options);
    if (name && options->command->flag == COMMAND_COMPLETION)
        return completion_print(options, name);
    const struct command *command = name ? command_find(name) : NULL;
    return name && !command ? mistake_command(options, name) : help_print(options, command);
}

static int check_command(struct options *options, uint64_t used)
{
    bool help = is_used(used, OPTION_HELP);
    if (options->argument_count == 0)
        return help ? help_print(options, NULL)
                    : output_error(options, EXIT_USAGE, EINVAL,
                                   "no command: try pkgcache warm, or pkgcache --help");
    const char *name = options->arguments[0];
    const struct command *command = command_find(name);
    if (!command)
        return mistake_command(options, name);
    if (help)
        return help_print(options, command);
    options->command = command;
    options->arguments++;
    options->argument_count--;
    for (size_t i = 0; i < option_count; i++)
        if (used & 1ULL << i && !(option_table[i].commands & command->flag))
            return output_error(options, EXIT_USAGE, EINVAL,
                                "%s: this command has no option --%s; see pkgcache %s --help", name,
                                option_table[i].name, name);
    if (options->argument_count == 0 && (options->list || options->check) &&
        command->flag == COMMAND_PACK)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "pack: --list and --check expect PACK...; see pkgcache pack --help");
    if (options->argument_count < command->arguments_min ||
        (command->arguments_max >= 0 && options->argument_count > command->arguments_max))
        return output_error(options, EXIT_USAGE, EINVAL, "%s: expected %s; see pkgcache %s --help",
                            name, *command->synopsis ? command->synopsis : "no arguments", name);
    return command->run ? -1 : answer(options);
}

/* @param ret room for all options and settings, and the end */
static void fill_getopt_table(struct option *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < option_count; i++)
        ret[count++] = (struct option){option_table[i].name,
                                       option_table[i].argument ? required_argument : no_argument,
                                       NULL, FIRST_OPTION + (int)i};
    for (int i = 0; i < SETTING_COUNT; i++)
        ret[count++] =
            (struct option){settings_table[i].name, required_argument, NULL, FIRST_SETTING + i};
    ret[count] = (struct option){0};
}

/* The option that a letter means, in that command rather than in another. */
static const struct option_row *find_letter(const struct command *command, char letter)
{
    const struct option_row *row = command ? option_find_letter(letter, command->flag) : NULL;
    return row ? row : option_find_letter(letter, (unsigned)EVERY_COMMAND);
}

/* The letters as getopt wants them. @param command NULL: as if none took a value */
static void fill_letters(const struct command *command, char ret[static LETTERS_SIZE])
{
    size_t length = 0;
    ret[length++] = ':';
    for (size_t i = 0; i < option_count; i++) {
        char letter = option_table[i].letter;
        if (!letter || memchr(ret, letter, length))
            continue;
        ret[length++] = letter;
        if (command && find_letter(command, letter)->argument)
            ret[length++] = ':';
    }
    ret[length] = '\0';
}

static bool is_number(const char *word)
{
    return *word && word[strspn(word, "0123456789")] == '\0';
}

/*
 * The command, before the options are read: what a letter means depends on it. A number before it
 * belongs to a letter (-n 5 logs). NULL: there is none, which is said later.
 */
static const struct command *find_command(int argc, char **argv, const struct option *table)
{
    char letters[LETTERS_SIZE];
    CLEANUP_FREE char **words = calloc((size_t)argc + 1, sizeof(*words));
    if (!words)
        return NULL;
    memcpy(words, argv, (size_t)argc * sizeof(*words)); /* getopt changes the order */
    fill_letters(NULL, letters);
    optind = 0;
    while (getopt_long(argc, words, letters, table, NULL) != -1)
        continue;
    int at = optind;
    at += at + 1 < argc && is_number(words[at]);
    return at < argc ? command_find(words[at]) : NULL;
}

/* What getopt does not know. A word has been passed over by then, one with several letters not. */
static int refuse_option(const struct options *options, int id, char **argv)
{
    const char *word = argv[optind - 1];
    char letter[] = {'-', (char)optopt, '\0'};
    if (optopt > 0 && optopt < FIRST_SETTING)
        word = letter;
    if (id == ':')
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: a value is missing; see pkgcache --help", word);
    if (optopt >= FIRST_SETTING)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "%s: this option takes no value; see pkgcache --help", word);
    return mistake_option(options, word);
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

static int read_setting(struct options *options, enum setting_id id, const char *text)
{
    struct pkgcache_error error;
    if (settings_set(&options->settings, id, text, SETTINGS_COMMAND_LINE, &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    return -1;
}

/* Reads all options. Returns an exit code, or -1: go on. *ret_used: a bit for each of the table. */
static int read_options(int argc, char **argv, struct options *options, uint64_t *ret_used)
{
    struct option table[OPTION_COUNT_MAX + SETTING_COUNT + 1];
    char letters[LETTERS_SIZE];
    fill_getopt_table(table);
    opterr = 0;
    const struct command *command = find_command(argc, argv, table);
    fill_letters(command ? command : &command_table[0], letters);
    int place = -1; /* in the table; a letter leaves it */
    int code = -1;
    optind = 0;
    for (int id; code < 0 && (id = getopt_long(argc, argv, letters, table, &place)) != -1;
         place = -1) {
        if (id == '?' || id == ':')
            return refuse_option(options, id, argv);
        code = place >= 0 ? refuse_abbreviation(options, argv, &table[place]) : -1;
        if (code >= 0)
            break;
        if (id >= FIRST_SETTING && id < FIRST_OPTION) {
            code = read_setting(options, (enum setting_id)(id - FIRST_SETTING), optarg);
            continue;
        }
        const struct option_row *row =
            id >= FIRST_OPTION ? &option_table[id - FIRST_OPTION] : find_letter(command, (char)id);
        *ret_used |= 1ULL << (row - option_table);
        code = read_option(options, row, optarg);
    }
    options->arguments = argv + optind;
    options->argument_count = argc - optind;
    return code;
}

/* Errors are JSON wherever on the line --json stands. */
static bool asks_for_json(char **argv)
{
    while (*++argv && strcmp(*argv, "--") != 0)
        if (strcmp(*argv, "--json") == 0)
            return true;
    return false;
}

static int check_settings(struct options *options)
{
    struct pkgcache_error error;
    struct setting_value *values = options->settings.values;
    if (options->command->flag == COMMAND_COPY && values[SETTING_DIGEST].text &&
        values[SETTING_DIGEST].number && !options->manifest)
        return output_error(
            options, EXIT_USAGE, EINVAL,
            "--digest=yes: copy writes digests into a manifest: add --manifest=FILE");
    if (options->command->flag == COMMAND_CONFIG && options->check)
        return -1; /* they may be wrong */
    if (settings_complete(&options->settings, options->command->settings, &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    options->durability_given = strcmp(values[SETTING_DURABILITY].origin, SETTINGS_BUILT_IN) != 0;
    output_problems(options, &options->settings.problems);
    return -1;
}

int options_read(int argc, char **argv, struct options *ret)
{
    uint64_t used = 0;
    *ret = (struct options){.touch = true, .json = asks_for_json(argv)};
    unsetenv("POSIXLY_CORRECT"); /* options may stand behind the command, whatever else does not */
    int code = read_options(argc, argv, ret, &used);
    ret->lines_given = is_given(used, offsetof(struct options, lines));
    if (code < 0 && is_used(used, OPTION_VERSION))
        return help_print_version(ret);
    if (code < 0 && is_used(used, OPTION_HELP_SETTINGS))
        return help_print_settings(ret);
    if (code < 0)
        code = check_command(ret, used);
    return code < 0 ? check_settings(ret) : code;
}

void options_free(struct options *options)
{
    settings_free(&options->settings);
}
