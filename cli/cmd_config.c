/* pkgcache config: every setting with its value and where that comes from; and what is wrong. */
#include "cache/rez/settings_file.h"
#include "cache/rez/settings_files.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/leave.h"
#include "cli/output.h"
#include "cli/setting_list.h"

#include <string.h>

enum { VALUE_WIDTH = 40 };

static void add_files(cJSON *document, const struct settings_files *files)
{
    cJSON *array = json_add_array(document, "files");
    for (int i = 0; i < SETTINGS_FILE_COUNT; i++) {
        if (!files->sources[i].path)
            continue;
        cJSON *object = json_add_object(array, NULL);
        json_add_string(object, "path", files->sources[i].path);
        json_add_boolean(object, "found", files->sources[i].found);
    }
}

static int print_json(const struct options *options)
{
    cJSON *document = cJSON_CreateObject();
    add_files(document, options->settings.files);
    json_add_item(document, "settings", setting_list_build(&options->settings));
    return output_document(options, document);
}

/*
 * NAME = VALUE, as a file would have it: its reader reads the same value, in which paths are
 * absolute. *ret is allocated. Returns 0 or -errno.
 */
static int write_line(enum setting_id id, const char *value, char **ret)
{
    CLEANUP_TEXT struct text line = {0};
    CLEANUP_FREE char *directory = getcwd(NULL, 0);
    CLEANUP_FREE char *absolute = strdup(value);
    int result = absolute ? 0 : -ENOMEM;
    if (result == 0 && settings_is_path(id) && *absolute)
        result = id == SETTING_REPOSITORIES ? leave_resolve_list(directory, &absolute)
                                            : leave_resolve(directory, &absolute);
    if (result < 0)
        return result;
    text_printf(&line, "%s = ", settings_table[id].name);
    settings_file_write_value(&line, absolute);
    return text_steal(&line, ret, NULL);
}

/* What is printed can be the contents of a file. */
static int print_text(const struct options *options)
{
    const struct settings *settings = &options->settings;
    for (int i = 0; i < SETTINGS_FILE_COUNT; i++)
        if (settings->files->sources[i].path)
            output_line("# %s: %s", settings->files->sources[i].path,
                        settings->files->sources[i].found ? "read" : "not there");
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_value *value = &settings->values[i];
        CLEANUP_FREE char *line = NULL;
        int result = write_line((enum setting_id)i, value->text, &line);
        if (result < 0)
            return output_error(options, EXIT_FAILED, -result, "%s: %s", settings_table[i].name,
                                strerror(-result));
        output_line("%-*s  # %s", VALUE_WIDTH, line, value->origin);
    }
    return output_end(options, EXIT_DONE);
}

static int print_problems(const struct options *options, const struct settings_problems *problems)
{
    int code = problems->count > 0 ? EXIT_USAGE : EXIT_DONE;
    if (!options->json) {
        for (size_t i = 0; i < problems->count; i++)
            output_error(options, 0, 0, "%s: %s", problems->items[i].where,
                         problems->items[i].what);
        if (code == EXIT_DONE && options->verbosity >= 0)
            printf("no problems\n");
        return output_end(options, code);
    }
    cJSON *document = cJSON_CreateObject();
    cJSON *array = json_add_array(document, "problems");
    for (size_t i = 0; i < problems->count; i++) {
        cJSON *object = json_add_object(array, NULL);
        json_add_string(object, "where", problems->items[i].where);
        json_add_string(object, "text", problems->items[i].what);
    }
    int written = output_document(options, document);
    return written == EXIT_DONE ? code : written;
}

static int check(const struct options *options)
{
    struct settings_problems problems;
    int code = settings_check(&problems) < 0
                   ? output_error(options, EXIT_FAILED, ENOMEM, "out of memory")
                   : print_problems(options, &problems);
    settings_problems_free(&problems);
    return code;
}

int cmd_config(struct options *options)
{
    if (options->check)
        return check(options);
    return options->json ? print_json(options) : print_text(options);
}
