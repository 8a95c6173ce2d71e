/* pkgcache copy: the engine alone. Copies a tree to a destination that does not exist. */
#include "cache/store/cache.h"
#include "cache/store/size.h"
#include "cache/util/file.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "engine/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct copying {
    const struct options *options;
    int event_fd; /* readable when the job is done */
};

static int on_progress(void *context, const struct copyengine_progress *progress)
{
    (void)context;
    progress_show(
        &(struct pkgcache_progress){.files = progress->files,
                                    .bytes = progress->bytes,
                                    .files_total = progress->walked ? progress->files_found : 0},
        NULL);
    return 0;
}

static void on_warning(void *context, const char *path, const char *text)
{
    const struct copying *copying = context;
    output_warning(copying->options, path, text);
}

static void on_done(void *context)
{
    const struct copying *copying = context;
    eventfd_write(copying->event_fd, 1);
}

/* Waits for the job, which ends soon when a signal comes. Returns 0, or the signal. */
static int wait_for_job(struct copyengine_job *job, int event_fd, int signal_fd)
{
    struct pollfd fds[] = {{.fd = event_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    if (fds[0].revents)
        return 0;
    copyengine_cancel(job);
    return signals_received();
}

static int flush_destination(const char *destination)
{
    CLEANUP_CLOSE int fd = open(destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || syncfs(fd) < 0 ? -errno : 0;
}

static cJSON *build_summary(const struct copyengine_progress *done, double seconds)
{
    cJSON *object = cJSON_CreateObject();
    json_add_unsigned(object, "files", done->files);
    json_add_unsigned(object, "directories", done->directories);
    json_add_unsigned(object, "symlinks", done->symlinks);
    json_add_unsigned(object, "skipped", done->skipped);
    json_add_unsigned(object, "bytes", done->bytes);
    json_add_decimal(object, "seconds", seconds, 3);
    return object;
}

static int print_summary(const struct options *options, const struct copyengine_progress *done,
                         double seconds)
{
    char bytes[16];
    char rate[16];
    if (options->json)
        return output_document(options, build_summary(done, seconds));
    if (options->verbosity >= 0)
        printf("%" PRIu64 " %s, %" PRIu64 " %s, %" PRIu64 " %s, %s in %.2f s (%s/s)%s\n",
               done->files, output_plural(done->files, "file", "files"), done->directories,
               output_plural(done->directories, "directory", "directories"), done->symlinks,
               output_plural(done->symlinks, "link", "links"),
               output_bytes((double)done->bytes, bytes), seconds,
               output_bytes((double)done->bytes / MAX(seconds, 1e-6), rate),
               done->skipped ? "; what the warnings name was left out" : "");
    return output_end(options, EXIT_DONE);
}

static int finish(struct options *options, struct copyengine_job *job, double seconds)
{
    const struct copyengine_result *result = copyengine_wait(job);
    char text[PATH_MAX + 256];
    progress_clear();
    if (result->error.code)
        return output_error(options, EXIT_FAILED, result->error.code, "%s",
                            copyengine_error_text(&result->error, text, sizeof(text)));
    int flushed = 0;
    if (options->durability_given &&
        options->settings.values[SETTING_DURABILITY].number != PKGCACHE_DURABILITY_NONE)
        flushed = flush_destination(options->arguments[1]);
    if (flushed < 0)
        return output_error(options, EXIT_FAILED, -flushed, "flush %s: %s", options->arguments[1],
                            strerror(-flushed));
    return print_summary(options, result->progress, seconds);
}

/* Copies, and says how it went. The manifest is written to `manifest_fd`, unless that is -1. */
static int copy(struct options *options, struct copyengine *engine, int manifest_fd)
{
    struct copying copying = {.options = options, .event_fd = eventfd(0, EFD_CLOEXEC)};
    struct pkgcache_options settings = settings_cache_options(&options->settings);
    struct copyengine_job *job = NULL;
    struct copyengine_copy what = {
        .size = sizeof(what),
        .source = options->arguments[0],
        .destination_dirfd = AT_FDCWD,
        .destination = options->arguments[1],
        .symlinks = settings.symlinks,
        .on_progress = on_progress,
        .on_warning = on_warning,
        .on_done = on_done,
        .context = &copying,
        .owner = options->owner,
        .set_id = options->set_id,
        .digest = manifest_fd >= 0 && !settings.no_digests,
        .manifest = manifest_fd >= 0,
        .manifest_fd = manifest_fd,
    };
    progress_start(options);
    uint64_t start_ns = clock_monotonic_ns();
    int result = copying.event_fd < 0 ? -errno : copyengine_submit_copy(engine, &what, &job);
    if (result < 0)
        return output_error(options, EXIT_FAILED, -result, "copy \"%s\" to \"%s\": %s", what.source,
                            what.destination, strerror(-result));
    assert(job);
    int signal = wait_for_job(job, copying.event_fd, signals_fd());
    double seconds = (double)(clock_monotonic_ns() - start_ns) / NS_PER_S;
    int code = signal ? output_error(options, EXIT_SIGNALED + signal, ECANCELED, "interrupted")
                      : finish(options, job, seconds);
    copyengine_wait(job);
    copyengine_job_free(job);
    close(copying.event_fd);
    return code;
}

/* As copy, with a manifest, which is written aside and renamed: nobody reads half of one. */
static int copy_with_manifest(struct options *options, struct copyengine *engine)
{
    const char *path = options->manifest;
    struct pkgcache_error error;
    CLEANUP_FREE char *aside = NULL;
    if (file_check_place(path, &error) < 0)
        return output_error(options, EXIT_FAILED, error.code, "manifest: %s", error.message);
    if (asprintf(&aside, "%s.%d.tmp", path, getpid()) < 0)
        return output_error(options, EXIT_FAILED, ENOMEM, "manifest %s: out of memory", path);
    CLEANUP_CLOSE int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return output_error(options, EXIT_FAILED, errno, "manifest %s: %s", path, strerror(errno));
    int code = copy(options, engine, fd);
    if (code == EXIT_DONE && (fsync(fd) < 0 || rename(aside, path) < 0))
        code = output_error(options, EXIT_FAILED, errno, "manifest %s: %s", path, strerror(errno));
    if (code != EXIT_DONE)
        unlink(aside);
    return code;
}

/* Whether this process may give files to others: root may, unless a container took that away. */
static bool may_change_owners(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1U << CAP_CHOWN;
}

/* Counts a tree, whatever file system it is on. @return as size_count */
static int count_source(const char *source, struct size *ret)
{
    CLEANUP_CLOSE int fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : size_count(fd, ".", ret);
}

/* --dry-run: what there is to copy, and whether the destination can be made. */
static int show_copy(const struct options *options)
{
    const char *source = options->arguments[0];
    const char *destination = options->arguments[1];
    struct size size = {0};
    struct stat status;
    char bytes[16];
    int counted = count_source(source, &size);
    if (counted < 0)
        return output_error(options, EXIT_FAILED, -counted, "%s: %s", source, strerror(-counted));
    if (lstat(destination, &status) == 0)
        return output_error(options, EXIT_FAILED, EEXIST,
                            "%s: it already exists: remove it, or give another path", destination);
    CLEANUP_FREE char *copy = strdup(destination);
    const char *parent = copy ? dirname(copy) : ".";
    if (access(parent, W_OK | X_OK) < 0)
        return output_error(options, EXIT_FAILED, errno, "%s: %s", parent, strerror(errno));
    if (options->json) {
        cJSON *object = cJSON_CreateObject();
        json_add_boolean(object, "dry_run", true);
        json_add_unsigned(object, "files", size.files);
        json_add_unsigned(object, "bytes", size.bytes);
        return output_document(options, object);
    }
    if (options->verbosity >= 0)
        output_line("would copy %" PRIu64 " %s, %s%s", size.files,
                    output_plural(size.files, "file", "files"),
                    output_bytes((double)size.bytes, bytes),
                    counted > 0 ? ", and what could not be read" : "");
    return output_end(options, EXIT_DONE);
}

int cmd_copy(struct options *options)
{
    struct pkgcache_options settings = settings_cache_options(&options->settings);
    struct copyengine_options engine_options = cache_engine_options(&settings);
    struct copyengine *engine;
    struct copyengine_error error;
    if (options->owner && !may_change_owners())
        return output_error(options, EXIT_FAILED, EPERM,
                            "--owner: only root may keep owners and groups (CAP_CHOWN)");
    if (options->dry_run)
        return show_copy(options);
    signals_open();
    int result = copyengine_new(&engine_options, &engine, &error);
    if (result < 0)
        return output_error(options, EXIT_FAILED, -result, "cannot start the copy engine: %s",
                            error.explanation ? error.explanation : strerror(-result));
    output_verbose(options, "backend: %s", copyengine_backend_description(engine));
    int code = options->manifest ? copy_with_manifest(options, engine) : copy(options, engine, -1);
    copyengine_free(engine);
    return code;
}
