/*
 * A file system for tests that shows a directory as a slow server would: read-only, each answer
 * late.
 *
 *     slowfs [OPTION...] DIRECTORY MOUNTPOINT
 *
 * It stays in the foreground until it is unmounted or gets SIGTERM. What it can do wrong, and no
 * more:
 *
 *     --delay-ms N        sleeps N ms before it answers a lookup, getattr, open, read or readdir
 *     --jitter-ms N       and up to N ms more, evenly spread
 *     --bandwidth BYTES   reads share this many bytes a second
 *     --hang-file SUFFIX  reads of a file whose path ends so are not answered while it is mounted;
 *                         they fail with EINTR when the reader is killed
 *     --count-file FILE   at the end, writes "OPENS READS PATH" and a NUL for each file that was
 * opened
 *     --threads N         answers at most so many requests at once (512)
 *
 * It asks the kernel to remember names and attributes for an hour, and to forget contents at each
 * open, so counts do not depend on time.
 */
#define FUSE_USE_VERSION 312
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS        1000000LL
#define NS_PER_SECOND    1000000000LL
#define HANG_POLL_NS     (20 * NS_PER_MS)
#define REMEMBER_SECONDS 3600.0

struct options {
    unsigned delay_ms;
    unsigned jitter_ms;
    unsigned long long bandwidth_bytes;
    char *hang_suffix;
    char *count_path;
    unsigned threads;
};

/* How often one file was opened and read; a node of a tsearch tree, kept by path. */
struct file_count {
    unsigned long opens;
    unsigned long reads;
    char path[];
};

/* An open file: its descriptor, and where to count. */
struct open_file {
    int fd;
    bool hangs;
    struct file_count *count;
};

struct slowfs {
    struct options options;
    int root_fd;
    int count_fd;
    pthread_mutex_t mutex; /* for all that follows */
    long long reads_free_at_ns;
    void *counts;
};

static struct slowfs *slowfs_get(void)
{
    return fuse_get_context()->private_data;
}

/* The path as FUSE has it, relative to our root. */
static const char *relative(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static void sleep_ns(long long duration_ns)
{
    struct timespec duration = {.tv_sec = duration_ns / NS_PER_SECOND,
                                .tv_nsec = duration_ns % NS_PER_SECOND};
    while (duration_ns > 0 && nanosleep(&duration, &duration) && errno == EINTR)
        continue;
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* Sleeps as long as the server takes before it answers. */
static void wait_for_server(const struct options *options)
{
    static _Thread_local unsigned seed;
    if (!seed)
        seed = (unsigned)now_ns() | 1;
    long long wait_ns = options->delay_ms * NS_PER_MS;
    if (options->jitter_ms)
        wait_ns += (long long)((double)rand_r(&seed) / RAND_MAX * options->jitter_ms * NS_PER_MS);
    sleep_ns(wait_ns);
}

/* Sleeps as long as size_bytes take on a line that all readers share. */
static void wait_for_line(struct slowfs *fs, size_t size_bytes)
{
    if (!fs->options.bandwidth_bytes)
        return;
    double seconds = (double)size_bytes / (double)fs->options.bandwidth_bytes;
    pthread_mutex_lock(&fs->mutex);
    long long now = now_ns();
    if (fs->reads_free_at_ns < now)
        fs->reads_free_at_ns = now;
    fs->reads_free_at_ns += (long long)(seconds * NS_PER_SECOND);
    long long wait_ns = fs->reads_free_at_ns - now;
    pthread_mutex_unlock(&fs->mutex);
    sleep_ns(wait_ns);
}

/* Does not return before the reader is killed or the file system is unmounted. */
static void hang(void)
{
    struct fuse_session *session = fuse_get_session(fuse_get_context()->fuse);
    while (!fuse_interrupted() && !fuse_session_exited(session))
        sleep_ns(HANG_POLL_NS);
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t path_length = strlen(path), suffix_length = strlen(suffix);
    return path_length >= suffix_length && !strcmp(path + path_length - suffix_length, suffix);
}

static int compare_counts(const void *a, const void *b)
{
    return strcmp(((const struct file_count *)a)->path, ((const struct file_count *)b)->path);
}

/* The count of this path, which lives as long as the file system; NULL: out of memory. */
static struct file_count *count_for(struct slowfs *fs, const char *path)
{
    struct file_count *count = calloc(1, sizeof(*count) + strlen(path) + 1);
    if (!count)
        return NULL;
    strcpy(count->path, path);
    struct file_count **node = tsearch(count, &fs->counts, compare_counts);
    if (!node || *node != count)
        free(count);
    return node ? *node : NULL;
}

static void print_count(const void *node, VISIT visit, void *stream)
{
    const struct file_count *count = *(const struct file_count *const *)node;
    if (visit == postorder || visit == leaf)
        fprintf(stream, "%lu %lu %s%c", count->opens, count->reads, count->path, '\0');
}

static void write_counts(const struct slowfs *fs)
{
    FILE *stream = fs->count_fd >= 0 ? fdopen(fs->count_fd, "w") : NULL;
    if (!stream)
        return;
    twalk_r(fs->counts, print_count, stream);
    fclose(stream);
}

static void *slowfs_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    struct slowfs *fs = slowfs_get();
    /* Each name is looked up by itself, as the slowest servers have it. */
    connection->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
    connection->max_background = fs->options.threads;
    connection->congestion_threshold = fs->options.threads;
    config->use_ino = 1;
    config->nullpath_ok = 0;
    config->intr = 1;
    config->entry_timeout = REMEMBER_SECONDS;
    config->attr_timeout = REMEMBER_SECONDS;
    config->negative_timeout = 0;
    return fs;
}

/* FUSE asks this for lookups too. */
static int slowfs_getattr(const char *path, struct stat *attributes, struct fuse_file_info *info)
{
    (void)info;
    struct slowfs *fs = slowfs_get();
    wait_for_server(&fs->options);
    return fstatat(fs->root_fd, relative(path), attributes, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int slowfs_readlink(const char *path, char *target, size_t size)
{
    struct slowfs *fs = slowfs_get();
    wait_for_server(&fs->options);
    ssize_t length = readlinkat(fs->root_fd, relative(path), target, size - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    return 0;
}

static int slowfs_open(const char *path, struct fuse_file_info *info)
{
    struct slowfs *fs = slowfs_get();
    wait_for_server(&fs->options);
    if ((info->flags & O_ACCMODE) != O_RDONLY)
        return -EROFS;
    struct open_file *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->fd = openat(fs->root_fd, relative(path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file->fd < 0) {
        free(file);
        return -errno;
    }
    file->hangs = fs->options.hang_suffix && ends_with(path, fs->options.hang_suffix);
    pthread_mutex_lock(&fs->mutex);
    file->count = count_for(fs, relative(path));
    if (file->count)
        file->count->opens++;
    pthread_mutex_unlock(&fs->mutex);
    info->fh = (uint64_t)(uintptr_t)file;
    return 0;
}

static struct open_file *open_file_of(const struct fuse_file_info *info)
{
    return (struct open_file *)(uintptr_t)info->fh;
}

static int slowfs_read(const char *path, char *buffer, size_t size, off_t offset,
                       struct fuse_file_info *info)
{
    (void)path;
    struct slowfs *fs = slowfs_get();
    struct open_file *file = open_file_of(info);
    pthread_mutex_lock(&fs->mutex);
    if (file->count)
        file->count->reads++;
    pthread_mutex_unlock(&fs->mutex);
    if (file->hangs) {
        hang();
        return -EINTR;
    }
    wait_for_server(&fs->options);
    ssize_t length = pread(file->fd, buffer, size, offset);
    if (length < 0)
        return -errno;
    wait_for_line(fs, (size_t)length);
    return (int)length;
}

static int slowfs_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    struct open_file *file = open_file_of(info);
    close(file->fd);
    free(file);
    return 0;
}

static int slowfs_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                          struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)offset, (void)info, (void)flags;
    struct slowfs *fs = slowfs_get();
    wait_for_server(&fs->options);
    int fd = openat(fs->root_fd, relative(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory)
        return -errno;
    struct dirent *entry;
    int error = 0;
    while (!error && (entry = readdir(directory))) {
        struct stat attributes = {.st_ino = entry->d_ino, .st_mode = DTTOIF((mode_t)entry->d_type)};
        error = fill(buffer, entry->d_name, &attributes, 0, 0) ? -ENOMEM : 0;
    }
    closedir(directory);
    return error;
}

static int slowfs_statfs(const char *path, struct statvfs *attributes)
{
    (void)path;
    return fstatvfs(slowfs_get()->root_fd, attributes) ? -errno : 0;
}

/* Extended attributes have no call relative to a descriptor: name the file through /proc. */
static int slowfs_getxattr(const char *path, const char *name, char *value, size_t size)
{
    char full[PATH_MAX];
    int length = snprintf(full, sizeof(full), "/proc/self/fd/%d%s", slowfs_get()->root_fd, path);
    if (length >= (int)sizeof(full))
        return -ENAMETOOLONG;
    ssize_t result = lgetxattr(full, name, value, size);
    return result < 0 ? -errno : (int)result;
}

static int slowfs_listxattr(const char *path, char *list, size_t size)
{
    char full[PATH_MAX];
    int length = snprintf(full, sizeof(full), "/proc/self/fd/%d%s", slowfs_get()->root_fd, path);
    if (length >= (int)sizeof(full))
        return -ENAMETOOLONG;
    ssize_t result = llistxattr(full, list, size);
    return result < 0 ? -errno : (int)result;
}

static const struct fuse_operations operations = {
    .init = slowfs_init,
    .getattr = slowfs_getattr,
    .readlink = slowfs_readlink,
    .open = slowfs_open,
    .read = slowfs_read,
    .release = slowfs_release,
    .readdir = slowfs_readdir,
    .statfs = slowfs_statfs,
    .getxattr = slowfs_getxattr,
    .listxattr = slowfs_listxattr,
};

static const struct fuse_opt option_table[] = {
    {"--delay-ms %u", offsetof(struct options, delay_ms), 0},
    {"--jitter-ms %u", offsetof(struct options, jitter_ms), 0},
    {"--bandwidth %llu", offsetof(struct options, bandwidth_bytes), 0},
    {"--hang-file %s", offsetof(struct options, hang_suffix), 0},
    {"--count-file %s", offsetof(struct options, count_path), 0},
    {"--threads %u", offsetof(struct options, threads), 0},
    FUSE_OPT_END,
};

/* Mounts and answers until the end; returns the exit status. */
static int serve(struct slowfs *fs, struct fuse_args *arguments, const char *mountpoint)
{
    struct fuse *fuse = fuse_new(arguments, &operations, sizeof(operations), fs);
    if (!fuse)
        return 1;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 0);
    fuse_loop_cfg_set_max_threads(config, fs->options.threads);
    fuse_loop_cfg_set_idle_threads(config, fs->options.threads);
    int status = 1;
    if (!fuse_set_signal_handlers(fuse_get_session(fuse)) && !fuse_mount(fuse, mountpoint)) {
        status = fuse_loop_mt(fuse, config) < 0;
        fuse_unmount(fuse);
    }
    write_counts(fs);
    fuse_loop_cfg_destroy(config);
    fuse_destroy(fuse);
    return status;
}

static void ignore(int number)
{
    (void)number;
}

/* libfuse wakes a thread by this signal when its reader is interrupted, but 3.14 forgets to catch
   it when the file system asks for that as late as in init. */
static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGUSR1, &action, NULL);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct slowfs fs = {
        .options = {.threads = 512}, .count_fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};
    if (argc < 3) {
        fprintf(stderr, "usage: slowfs [OPTION...] DIRECTORY MOUNTPOINT\n");
        return 2;
    }
    const char *directory = argv[argc - 2], *mountpoint = argv[argc - 1];
    struct fuse_args arguments = FUSE_ARGS_INIT(argc - 2, argv);
    if (fuse_opt_parse(&arguments, &fs.options, option_table, NULL) ||
        fuse_opt_add_arg(&arguments, "-oro,fsname=slowfs,default_permissions") ||
        (!geteuid() && fuse_opt_add_arg(&arguments, "-oallow_other")))
        return 2;
    fs.root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs.root_fd < 0) {
        perror(directory);
        return 1;
    }
    if (fs.options.count_path) {
        fs.count_fd = open(fs.options.count_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fs.count_fd < 0) {
            perror(fs.options.count_path);
            return 1;
        }
    }
    raise_descriptor_limit();
    catch_interrupts();
    int status = serve(&fs, &arguments, mountpoint);
    fuse_opt_free_args(&arguments);
    close(fs.root_fd);
    return status;
}
