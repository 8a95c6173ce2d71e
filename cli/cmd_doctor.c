/* pkgcache doctor: what this machine can do, how the cache is, and what to change. */
#include "cache/json/json_stream.h"
#include "cache/packing/archive.h"
#include "cache/preload/farm_doctor.h"
#include "cache/util/error.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/policy.h"
#include "cli/preload.h"

#include <limits.h>

struct visit {
    const struct options *options;
    struct json_stream document;
    size_t to_do; /* warnings and problems */
};

static const char *const severities[] = {
    [PKGCACHE_SEVERITY_OK] = "well",
    [PKGCACHE_SEVERITY_NOTE] = "note",
    [PKGCACHE_SEVERITY_WARNING] = "warning",
    [PKGCACHE_SEVERITY_PROBLEM] = "problem",
};

static cJSON *build_finding(const struct pkgcache_finding *finding)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "severity", severities[finding->severity]);
    json_add_string(object, "subject", finding->subject);
    json_add_string(object, "path", finding->path);
    json_add_string(object, "text", finding->text);
    json_add_string(object, "advice", finding->advice);
    return object;
}

static void on_finding(void *context, const struct pkgcache_finding *finding)
{
    struct visit *visit = context;
    if (finding->severity >= PKGCACHE_SEVERITY_WARNING)
        visit->to_do++;
    if (visit->options->json)
        json_stream_add(&visit->document, build_finding(finding));
    else if (visit->options->verbosity >= 0 || finding->severity >= PKGCACHE_SEVERITY_WARNING)
        output_line("%-8s%s %s%s%s", severities[finding->severity],
                    finding->path ? finding->path : finding->subject, finding->text,
                    finding->advice ? ". " : "", finding->advice ? finding->advice : "");
}

static int end_document(struct visit *visit)
{
    json_stream_close(&visit->document, ']');
    json_stream_close(&visit->document, '}');
    return output_end_document(visit->options, json_stream_end(&visit->document));
}

/* Packs are made with libarchive, which is loaded then. */
static void examine_packing(const struct examination *examination)
{
    struct archive_library library;
    struct pkgcache_error error;
    if (archive_load(&library, &error) == 0)
        doctor_report(examination, PKGCACHE_SEVERITY_OK, "packing", NULL, NULL,
                      "libarchive and libzstd are there: packs can be made here");
    else
        doctor_report(examination, PKGCACHE_SEVERITY_WARNING, "packing", NULL,
                      "Install libarchive on hosts that start preloads; nodes do not need it",
                      "no pack can be made here, so a preload copies from the source: %s",
                      error.message);
}

static int examine_farm(const struct options *options, const struct pkgcache_options *cache_options,
                        const struct pkgcache_doctor *doctor, struct pkgcache_error *error)
{
    const struct examination examination = {.request = doctor};
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[MAX(length, 0)] = '\0';
    CLEANUP_FREE char *run_dir = options->run_dir ? preload_make_absolute(options->run_dir) : NULL;
    if (options->run_dir && !run_dir)
        return error_set(error, ENOMEM, "out of memory");
    farm_doctor_examine(&(struct farm_doctor){
        .request = doctor,
        .cache = options->settings.values[SETTING_CACHE].text,
        .cache_options = cache_options,
        .program = options->program ? options->program : own,
        .run_dir = run_dir,
    });
    examine_packing(&examination);
    return 0;
}

int cmd_doctor(struct options *options)
{
    struct visit visit = {.options = options, .document = {.file = stdout}};
    struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pkgcache_error error;
    struct pkgcache_doctor doctor = {
        .size = sizeof(doctor),
        .sources = (const char *const *)options->arguments,
        .source_count = (size_t)options->argument_count,
        .on_finding = on_finding,
        .context = &visit,
    };
    if (!options->farm && (options->program || options->run_dir))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "doctor: --program and --run-dir go with --farm");
    if (options->json) {
        json_stream_open(&visit.document, NULL, '{');
        json_stream_open(&visit.document, "findings", '[');
    }
    int result = pkgcache_doctor(options->settings.values[SETTING_CACHE].text, &cache_options,
                                 &doctor, &error);
    if (result == 0 && policy_examine(&options->settings, doctor.sources, doctor.source_count,
                                      on_finding, &visit) < 0)
        result = error_set(&error, ENOMEM, "out of memory");
    if (result == 0 && options->farm)
        result = examine_farm(options, &cache_options, &doctor, &error);
    int code = options->json ? end_document(&visit) : output_end(options, EXIT_DONE);
    if (result < 0)
        code = output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    return code == EXIT_DONE && visit.to_do > 0 ? EXIT_FINDINGS : code;
}
