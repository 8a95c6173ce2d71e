/* pkgcache pack: puts variants into one file; lists what is in such a file, and checks it. */
#include "cache/packing/pack_output.h"
#include "cache/packing/pack_writer.h"
#include "cache/rez/source_packs.h"
#include "cache/rez/sources.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/interruption.h"
#include "cli/output.h"
#include "cli/pack_show.h"
#include "cli/progress.h"
#include "engine/clock.h"

#include <inttypes.h>
#include <linux/ioprio.h>
#include <sys/syscall.h>

struct pack_run {
    struct options *options;
    struct sources sources;
    struct pack_source *packed;
    size_t count;
    size_t refused; /* variants that no cache would have */
    char *temporary;
};

static void on_progress(void *context, const struct pkgcache_progress *progress)
{
    (void)context;
    progress_show(progress, NULL);
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct pack_run *run = context;
    output_warning(run->options, path, text);
}

/* From here on an interruption is too late: the pack is made. */
static void on_complete(void *context)
{
    (void)context;
    interruption_end();
}

/* --- What is packed -------------------------------------------------------------------------- */

/* Takes what can be packed. Returns an exit code, or -1: go on. */
static int take_variants(struct pack_run *run)
{
    const struct source_variants *variants = &run->sources.variants;
    size_t failed = 0;
    run->packed = calloc(variants->count + 1, sizeof(*run->packed));
    if (!run->packed)
        return output_error(run->options, EXIT_FAILED, ENOMEM, "out of memory");
    for (size_t i = 0; i < variants->count; i++) {
        const struct source_variant *variant = &variants->items[i];
        if (!variant->reason) {
            run->packed[run->count++] =
                (struct pack_source){variant->handle, variant->root, variant->requires_json};
            continue;
        }
        run->refused += variant->is_refused;
        failed += !variant->is_refused;
        output_error(run->options, 0, variant->code, "%s: %s", variant->text, variant->reason);
    }
    if (failed > 0)
        return output_error(run->options, EXIT_FAILED, 0,
                            "no pack was made: %zu of %zu variants cannot be packed", failed,
                            variants->count);
    if (run->count > 0)
        return -1;
    if (variants->passed_over > 0)
        return output_error(run->options, EXIT_FAILED, 0,
                            "no pack was made: %zu %s not cachable: say cachable = True in their "
                            "definitions, or default_cachable = True in rez's settings",
                            variants->passed_over,
                            output_plural(variants->passed_over, "variant is", "variants are"));
    return output_error(run->options, EXIT_FAILED, 0,
                        "no pack was made: no variant is to be packed");
}

static int find_variants(struct pack_run *run)
{
    struct options *options = run->options;
    struct rezconfig *config = NULL;
    struct pkgcache_error error;
    if (settings_rez(&options->settings, &config) < 0 ||
        sources_open(&run->sources, config, &error) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "out of memory");
    if (sources_read(&run->sources, (const char *const *)options->arguments,
                     (size_t)options->argument_count, &error) < 0 ||
        sources_find_roots(&run->sources, NULL, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "%s", error.message);
    if (run->sources.variants.passed_over > 0)
        output_verbose(options, "ignored because they are not cachable: %zu variants",
                       run->sources.variants.passed_over);
    sources_close(&run->sources);
    return take_variants(run);
}

/* --- Making it ------------------------------------------------------------------------------- */

static int print_json(const struct pack_run *run, const struct pack_summary *summary,
                      double seconds)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "pack", run->options->output);
    pack_show_digest(object, "digest", summary->digest);
    json_add_unsigned(object, "variants", run->count);
    json_add_unsigned(object, "skipped", run->refused);
    json_add_unsigned(object, "entries", summary->entries);
    json_add_unsigned(object, "files", summary->files);
    json_add_unsigned(object, "bytes", summary->bytes);
    json_add_unsigned(object, "equal_files", summary->equal);
    json_add_unsigned(object, "pack_bytes", summary->pack_bytes);
    json_add_decimal(object, "seconds", seconds, 3);
    return output_document(run->options, object);
}

static void print_summary(const struct pack_run *run, const struct pack_summary *summary,
                          double seconds)
{
    char bytes[16];
    char packed[16];
    printf("%zu %s: %" PRIu64 " %s (%" PRIu64 " equal to another), %s, packed to %s in %.2f s\n",
           run->count, output_plural(run->count, "variant", "variants"), summary->files,
           output_plural(summary->files, "file", "files"), summary->equal,
           output_bytes((double)summary->bytes, bytes),
           output_bytes((double)summary->pack_bytes, packed), seconds);
}

static int make(struct pack_run *run)
{
    struct options *options = run->options;
    bool to_output = strcmp(options->output, "-") == 0;
    const struct pkgcache_options cache_options = settings_cache_options(&options->settings);
    struct pack_options pack_options = {
        .path = to_output ? NULL : options->output,
        .fd = STDOUT_FILENO,
        .level = options->level ? (int)options->level : PACK_LEVEL,
        .preserve_symlinks =
            options->settings.values[SETTING_SYMLINKS].number == COPYENGINE_SYMLINKS_PRESERVE,
        .in_flight = cache_options.in_flight,
        .bytes_per_s = cache_options.bytes_per_s,
        .any_room = options->any_room,
        .on_progress = on_progress,
        .on_warning = on_warning,
        .on_complete = on_complete,
        .context = run,
    };
    struct pack_summary summary;
    struct pkgcache_error error;
    run->temporary = to_output ? NULL : pack_output_temporary_name(options->output);
    interruption_remove(run->temporary);
    if (cache_options.idle_priority) /* of this thread, and of those that it starts */
        syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
    uint64_t start_ns = clock_monotonic_ns();
    progress_start(options);
    int result = pack_write(run->packed, run->count, &pack_options, &summary, &error);
    double seconds = (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
    progress_clear();
    if (result < 0)
        return output_error(options, EXIT_FAILED, error.code, "no pack was made: %s",
                            error.message);
    int code = run->refused > 0 ? EXIT_PARTLY : EXIT_DONE;
    if (options->json) {
        int printed = print_json(run, &summary, seconds);
        return printed == EXIT_DONE ? code : printed;
    }
    if (options->verbosity >= 0 && !to_output)
        print_summary(run, &summary, seconds);
    return to_output ? code : output_end(options, code);
}

/* What is wrong with the options taken together. Returns an exit code, or -1: nothing is. */
static int check_options(const struct options *options)
{
    bool makes = !options->list && !options->check;
    if (options->list && options->check)
        return output_error(options, EXIT_USAGE, EINVAL, "--list and --check: give one of them");
    if (makes && !options->output)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "no -o FILE: where is the pack to be written?");
    if (!makes && options->output)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "-o: it names the pack that is made; --list and --check take theirs "
                            "as arguments");
    if (makes && strcmp(options->output, "-") == 0 && options->json)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "--json and -o -: both would go to standard output; name a file");
    if (makes && strcmp(options->output, "-") == 0 && isatty(STDOUT_FILENO))
        return output_error(options, EXIT_USAGE, EINVAL,
                            "-o -: standard output is a terminal; name a file");
    if (makes && options->settings.values[SETTING_SYMLINKS].number == COPYENGINE_SYMLINKS_FOLLOW)
        return output_error(options, EXIT_USAGE, EINVAL,
                            "--symlinks=follow: a pack has the links themselves; use keep or "
                            "preserve");
    return -1;
}

int cmd_pack(struct options *options)
{
    int code = check_options(options);
    if (code >= 0)
        return code;
    if (options->list || options->check)
        return options->list ? pack_show_list(options) : pack_show_check(options);
    struct pack_run run = {
        .options = options,
        .sources = {.names = {.all = options->all, .archives = &source_packs_refused}}};
    /* all files of a pack under way have no name, so there is nothing to be waited for */
    interruption_begin(options, "interrupted: no pack was made");
    code = find_variants(&run);
    if (code < 0)
        code = make(&run);
    interruption_remove(NULL);
    sources_free(&run.sources);
    free(run.packed);
    free(run.temporary);
    return code;
}
