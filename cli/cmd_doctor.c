/* pkgcache doctor: what this machine can do, how the cache is, and what to change. */
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"

struct visit {
    const struct options *options;
    struct text document;
    size_t findings;
    size_t to_do; /* warnings and problems */
};

static const char *const severities[] = {
    [PKGCACHE_WELL] = "well",
    [PKGCACHE_NOTE] = "note",
    [PKGCACHE_WARNING] = "warning",
    [PKGCACHE_PROBLEM] = "problem",
};

static void print_json(struct text *document, const struct pkgcache_finding *finding, bool first)
{
    text_printf(document,
                "%s{\"severity\": \"%s\", \"subject\": \"%s\", \"path\": ", first ? "" : ", ",
                severities[finding->severity], finding->subject);
    output_string(document, finding->path);
    text_append_string(document, ", \"text\": ");
    output_string(document, finding->text);
    text_append_string(document, ", \"advice\": ");
    output_string(document, finding->advice);
    text_append_byte(document, '}');
}

static void on_finding(void *context, const struct pkgcache_finding *finding)
{
    struct visit *visit = context;
    if (finding->severity >= PKGCACHE_WARNING)
        visit->to_do++;
    if (visit->options->json)
        print_json(&visit->document, finding, visit->findings == 0);
    else if (visit->options->verbosity >= 0 || finding->severity >= PKGCACHE_WARNING)
        printf("%-8s%s %s%s%s\n", severities[finding->severity],
               finding->path ? finding->path : finding->subject, finding->text,
               finding->advice ? ". " : "", finding->advice ? finding->advice : "");
    visit->findings++;
}

int cmd_doctor(struct options *options)
{
    struct visit visit = {.options = options};
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    struct pkgcache_doctor doctor = {
        .size = sizeof(doctor),
        .sources = (const char *const *)options->arguments,
        .source_count = (size_t)options->argument_count,
        .on_finding = on_finding,
        .context = &visit,
    };
    text_append_string(&visit.document, "{\"findings\": [");
    int result = pkgcache_doctor(options->settings.values[SETTING_CACHE].text, &cache_options,
                                 &doctor, &error);
    text_append_string(&visit.document, "]}");
    int code =
        options->json ? output_document(options, &visit.document) : output_end(options, EXIT_DONE);
    text_free(&visit.document);
    if (result < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    return code == EXIT_DONE && visit.to_do > 0 ? EXIT_FINDINGS : code;
}
