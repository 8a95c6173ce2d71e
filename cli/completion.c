/*
 * Scripts that shells read to complete the command line. Each is whole: it calls pkgcache only for
 * the names of what is cached. What it knows of commands, options and settings is printed from the
 * tables here; the code around that is in completion_scripts.h.
 */
#include "cli/completion.h"

#include "cli/command_table.h"
#include "cli/completion_scripts.h"
#include "cli/exit.h"
#include "cli/output.h"

#include <string.h>

/* --- what an option's value can be --- */

/** A flag of either table. */
struct flag {
    const char *name;
    char letter;
    const char *argument;       /* NULL: none */
    const char *const *choices; /* NULL: none */
    bool directory;
    bool file;
    const char *help;
};

static struct flag flag_of_option(const struct option_row *row)
{
    static const char *const yes_no[] = {"yes", "no", NULL};
    return (struct flag){
        .name = row->name,
        .letter = row->letter,
        .argument = row->argument,
        .choices = row->kind == OPTION_YES_NO ? yes_no : row->choices,
        .directory = row->kind == OPTION_DIRECTORY,
        .file = row->kind == OPTION_FILE || row->kind == OPTION_STREAM,
        .help = row->help,
    };
}

static struct flag flag_of_setting(enum setting_id id)
{
    const struct setting *setting = &settings_table[id];
    return (struct flag){
        .name = setting->name,
        .argument = "VALUE",
        .choices = setting->choices,
        .directory = id == SETTING_CACHE || id == SETTING_LOCAL_PATH || id == SETTING_REPOSITORIES,
        .file = id == SETTING_SOCKET,
        .help = setting->help,
    };
}

typedef void flag_printer(const struct flag *flag);

static void visit_options(unsigned commands, bool common, flag_printer *print)
{
    for (size_t i = 0; i < option_count; i++) {
        bool is_common = option_table[i].commands == (unsigned)EVERY_COMMAND;
        struct flag flag = flag_of_option(&option_table[i]);
        if (common == is_common && option_table[i].commands & commands)
            print(&flag);
    }
}

static void visit_settings(flag_printer *print)
{
    for (int id = 0; id < SETTING_COUNT; id++) {
        struct flag flag = flag_of_setting((enum setting_id)id);
        print(&flag);
    }
}

static void visit_all(flag_printer *print)
{
    for (size_t i = 0; i < option_count; i++) {
        struct flag flag = flag_of_option(&option_table[i]);
        print(&flag);
    }
    visit_settings(print);
}

/* Prints a text between single quotes; `escaped` are letters that get a backslash in there. */
static void print_quoted(const char *text, const char *quote, const char *escaped)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("%s", quote);
        else if (strchr(escaped, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void print_choices(const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        printf("%s%s", i ? " " : "", choices[i]);
}

/* --- bash --- */

static void print_bash_flag(const struct flag *flag)
{
    printf(" --%s%s", flag->name, flag->argument ? "=" : "");
}

static void print_bash_values(const struct flag *flag)
{
    if (!flag->argument)
        return;
    printf("    --%s) ", flag->name);
    if (flag->choices) {
        printf("values='");
        print_choices(flag->choices);
        printf("'");
    } else {
        printf("kind=%s", flag->directory ? "@directory" : flag->file ? "@file" : "@none");
    }
    printf(" ;;\n");
}

static void print_bash(void)
{
    printf("%s    local commands='", bash_begin);
    for (size_t i = 0; i < command_count; i++)
        printf("%s%s", i ? " " : "", command_table[i].name);
    printf("'\n    local common='");
    visit_options((unsigned)EVERY_COMMAND, true, print_bash_flag);
    visit_settings(print_bash_flag);
    printf("'\n%s", bash_find_command);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        printf("    %s) words='%s'; options='", command->name, command->completes);
        visit_options(command->flag, false, print_bash_flag);
        printf("' ;;\n");
    }
    printf("%s", bash_find_values);
    visit_all(print_bash_values);
    printf("%s", bash_end);
}

/* --- zsh --- */

static void print_zsh_flag(const struct flag *flag)
{
    if (flag->letter)
        printf("    '(-%c --%s)'{-%c%s,--%s%s}'[", flag->letter, flag->name, flag->letter,
               flag->argument ? "+" : "", flag->name, flag->argument ? "=" : "");
    else
        printf("    '--%s%s[", flag->name, flag->argument ? "=" : "");
    print_quoted(flag->help, "'\\''", "[]:");
    printf("]");
    if (flag->argument && flag->choices) {
        printf(":%s:(", flag->argument);
        print_choices(flag->choices);
        printf(")");
    } else if (flag->argument) {
        printf(":%s:%s", flag->argument,
               flag->directory ? "_directories"
               : flag->file    ? "_files"
                               : " ");
    }
    printf("'\n");
}

static void print_zsh_operands(const struct command *command)
{
    static const char *const kinds[][2] = {
        {COMPLETE_FILE, "_files"},
        {COMPLETE_DIRECTORY, "_directories"},
        {COMPLETE_VARIANT, "_pkgcache_variants"},
        {COMPLETE_COMMAND, "_pkgcache_commands"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strcmp(command->completes, kinds[i][0]) == 0) {
            printf("'*: :%s'", kinds[i][1]);
            return;
        }
    if (*command->completes)
        printf("'*: :(%s)'", command->completes);
}

static void print_zsh(void)
{
    printf("%s", zsh_begin);
    for (size_t i = 0; i < command_count; i++) {
        printf("    '%s:", command_table[i].name);
        print_quoted(command_table[i].summary, "'\\''", ":");
        printf("'\n");
    }
    printf("%s", zsh_common);
    visit_options((unsigned)EVERY_COMMAND, true, print_zsh_flag);
    visit_settings(print_zsh_flag);
    printf("%s", zsh_find_command);
    for (size_t i = 0; i < command_count; i++) {
        printf("  %s) options=(\n", command_table[i].name);
        visit_options(command_table[i].flag, false, print_zsh_flag);
        printf("    ");
        print_zsh_operands(&command_table[i]);
        printf(") ;;\n");
    }
    printf("%s", zsh_end);
}

/* --- fish --- */

static void print_fish_flag_for(const struct flag *flag, const char *command)
{
    printf("complete -c pkgcache");
    if (command)
        printf(" -n '__fish_seen_subcommand_from %s'", command);
    if (flag->letter)
        printf(" -s %c", flag->letter);
    printf(" -l %s", flag->name);
    if (flag->argument && flag->choices) {
        printf(" -xa '");
        print_choices(flag->choices);
        printf("'");
    } else if (flag->argument) {
        printf("%s", flag->directory ? " -xa '(__fish_complete_directories)'"
                     : flag->file    ? " -rF"
                                     : " -x");
    }
    printf(" -d '");
    print_quoted(flag->help, "\\'", "\\");
    printf("'\n");
}

static void print_fish_flag(const struct flag *flag)
{
    print_fish_flag_for(flag, NULL);
}

static void print_fish_operands(const struct command *command)
{
    static const char *const kinds[][2] = {
        {COMPLETE_FILE, "-F"},
        {COMPLETE_DIRECTORY, "-a '(__fish_complete_directories)'"},
        {COMPLETE_VARIANT, "-a '(__pkgcache_variants)'"},
        {COMPLETE_COMMAND, "-a \"$pkgcache_commands\""},
    };
    const char *how = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (strcmp(command->completes, kinds[i][0]) == 0)
            how = kinds[i][1];
    if (how)
        printf("complete -c pkgcache -n '__fish_seen_subcommand_from %s' %s\n", command->name, how);
    else if (*command->completes)
        printf("complete -c pkgcache -n '__fish_seen_subcommand_from %s' -a '%s'\n", command->name,
               command->completes);
}

static void print_fish(void)
{
    printf("%s", fish_begin);
    for (size_t i = 0; i < command_count; i++)
        printf(" %s", command_table[i].name);
    printf("\ncomplete -c pkgcache -f\n");
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &command_table[i];
        printf("complete -c pkgcache -n \"not __fish_seen_subcommand_from $pkgcache_commands\" "
               "-a %s -d '",
               command->name);
        print_quoted(command->summary, "\\'", "\\");
        printf("'\n");
        print_fish_operands(command);
        for (size_t j = 0; j < option_count; j++) {
            struct flag flag = flag_of_option(&option_table[j]);
            if (option_table[j].commands != (unsigned)EVERY_COMMAND &&
                option_table[j].commands & command->flag)
                print_fish_flag_for(&flag, command->name);
        }
    }
    visit_options((unsigned)EVERY_COMMAND, true, print_fish_flag);
    visit_settings(print_fish_flag);
}

int completion_print(const struct options *options, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return output_error(options, EXIT_USAGE, EINVAL,
                            "completion: \"%s\" is not bash, zsh or fish", shell);
    return output_end(options, EXIT_DONE);
}
