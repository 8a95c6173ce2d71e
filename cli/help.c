/* Help, from the tables. */
#include "cli/help.h"

#include "cache/pkgcache.h"
#include "cli/command_table.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/setting_list.h"

#include <stdarg.h>
#include <stdio.h>

static bool is_listed(const struct option_row *row, unsigned mask, bool common)
{
    return common == (row->commands == (unsigned)EVERY_COMMAND) && row->commands & mask;
}

static void print_options(unsigned mask, bool common)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_table[i];
        char name[64];
        if (!is_listed(row, mask, common))
            continue;
        snprintf(name, sizeof(name), "%c%c%c --%s%s%s", row->letter ? '-' : ' ',
                 row->letter ? row->letter : ' ', row->letter ? ',' : ' ', row->name,
                 row->argument ? "=" : "", row->argument ? row->argument : "");
        printf("  %-22s %s\n", name, row->help);
    }
}

/* What the arguments of the command, or of any command, are. */
static void print_operands(const struct command *command)
{
    unsigned mask = command ? command->flag : (unsigned)EVERY_COMMAND;
    if (mask & (COMMAND_ADD | COMMAND_GET | COMMAND_REMOVE | COMMAND_VERIFY))
        printf("\nVARIANT is a URI, such as '/svr/packages/foo/1.0/package.py[0]' (ending in []\n"
               "if the package has no variants), a handle as JSON, or, of what is cached, what\n"
               "list prints, such as foo-1.0 or 'foo-1.0[0]'; or - for such names on standard\n"
               "input.\n");
    if (command && mask & COMMAND_LIST)
        printf(
            "\nPATTERN is a name, in which * stands for anything, such as 'foo-*', or what list\n"
            "itself prints, a URI or a handle as JSON; or - for such on standard input.\n");
    if (mask & (COMMAND_WARM | COMMAND_PACK | COMMAND_PRELOAD))
        printf("\nSOURCE is a context (.rxt), a manifest (JSON), a URI, with --all a directory,\n"
               "or - for a list on standard input%s.\n",
               mask & COMMAND_WARM ? "; for warm also a pack" : "");
    if (mask & COMMAND_DOCTOR)
        printf("%sSOURCE of doctor is a directory of packages.\n", command ? "" : "\n");
}

static void print_text(const struct command *command)
{
    if (command) {
        printf("usage: pkgcache [OPTION...] %s%s%s\n\n%s\n\n", command->name,
               *command->synopsis ? " " : "", command->synopsis, command->summary);
        print_options(command->flag, false);
    } else {
        printf("usage: pkgcache [OPTION...] COMMAND ...\n\nCopies package payloads from shared "
               "storage into a cache on local disk.\nThe package manager rez can use the same "
               "cache.\n\n");
        for (size_t i = 0; i < command_count; i++)
            printf("  %-10s %-12s %s\n", command_table[i].name, command_table[i].synopsis,
                   command_table[i].summary);
    }
    print_operands(command);
    printf("\nOptions of all commands, before or after the command's name:\n");
    print_options(EVERY_COMMAND, true);
    printf("  --SETTING=VALUE        change a setting; --help-settings lists them\n");
}

static void add_options(cJSON *document, unsigned mask)
{
    cJSON *options = json_add_array(document, "options");
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_table[i];
        if (!(row->commands & mask))
            continue;
        cJSON *object = json_add_object(options, NULL);
        char letter[] = {row->letter, '\0'};
        json_add_string(object, "name", row->name);
        json_add_string(object, "letter", row->letter ? letter : NULL);
        json_add_string(object, "argument", row->argument);
        if (row->choices)
            json_add_item(object, "choices", setting_list_build_choices(row->choices));
        json_add_string(object, "help", row->help);
    }
}

static void add_command(cJSON *object, const struct command *command)
{
    json_add_string(object, "name", command->name);
    json_add_string(object, "arguments", command->synopsis);
    json_add_string(object, "help", command->summary);
}

static cJSON *build_help(const struct command *command)
{
    cJSON *document = cJSON_CreateObject();
    if (command) {
        add_command(document, command);
    } else {
        cJSON *commands = json_add_array(document, "commands");
        for (size_t i = 0; i < command_count; i++)
            add_command(json_add_object(commands, NULL), &command_table[i]);
    }
    add_options(document, command ? command->flag : (unsigned)EVERY_COMMAND);
    return document;
}

int help_print(const struct options *options, const struct command *command)
{
    if (options->json)
        return output_document(options, build_help(command));
    print_text(command);
    return output_end(options, EXIT_DONE);
}

int help_print_version(const struct options *options)
{
    if (options->json) {
        cJSON *document = cJSON_CreateObject();
        json_add_string(document, "version", PKGCACHE_VERSION_STRING);
        return output_document(options, document);
    }
    printf("pkgcache %s\n", PKGCACHE_VERSION_STRING);
    return output_end(options, EXIT_DONE);
}

/* Values and origins may be any bytes: scripts get them as they are. */
PRINTF_LIKE(1, 2)
static void print_data(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    CLEANUP_FREE char *line = text_vformat(format, arguments);
    va_end(arguments);
    output_data(line ? line : "out of memory");
}

static void print_setting(const struct setting *setting, const struct setting_value *value)
{
    print_data("--%s=%s", setting->name, value->text);
    printf("    %s\n", setting->help);
    print_data("    from %s; variable %s%s%s", value->origin, setting->variable,
               setting->rez == SETTING_OURS ? "" : ", then rez's ",
               setting->rez == SETTING_OURS ? "" : rezconfig_name(setting->rez));
    if (setting->choices) {
        printf("    one of");
        for (const char *const *choice = setting->choices; *choice; choice++)
            printf(" %s", *choice);
        printf("\n");
    }
}

int help_print_settings(struct options *options)
{
    struct pkgcache_error error;
    if (settings_complete(&options->settings, SETTINGS_ALL, &error) < 0)
        return output_error(options, EXIT_USAGE, error.code, "%s", error.message);
    output_problems(options, &options->settings.problems);
    if (options->json) {
        cJSON *document = cJSON_CreateObject();
        json_add_item(document, "settings", setting_list_build(&options->settings));
        return output_document(options, document);
    }
    for (int i = 0; i < SETTING_COUNT; i++)
        print_setting(&settings_table[i], &options->settings.values[i]);
    return output_end(options, EXIT_DONE);
}
