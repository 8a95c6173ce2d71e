/*
 * A file system for tests that shows a directory as a slow server would: read-only, each answer
 * late.
 *
 *     slowfs [OPTION...] DIRECTORY MOUNTPOINT
 *
 * It stays in the foreground until it is unmounted or gets SIGTERM. What it can do wrong:
 * slowfs_options.h.
 *
 * Unless told otherwise, it asks the kernel to remember names and attributes for an hour, and to
 * forget contents at each open, so counts do not depend on time.
 *
 * One thread does it all, so that the server costs little of the machine that its client is
 * measured on. A request that it takes becomes an answer in a queue, sorted by when that is due;
 * what the answer says is looked up at that time. Between answers it sleeps until the next is due
 * or a request comes.
 */
#define FUSE_USE_VERSION 312
#include "slowfs_nodes.h"
#include "slowfs_options.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS        1000000LL
#define NS_PER_SECOND    1000000000LL
#define REMEMBER_SECONDS 3600.0 /* names */

struct open_file {
    struct node *node;
    int fd;
    bool hangs;
};

struct answer;
typedef void answer_function(const struct answer *answer);

/* What is to be answered, and when. */
struct answer {
    long long due_ns;
    fuse_req_t request;
    answer_function *give;
    union {
        struct node *node;
        struct open_file *file;
        DIR *directory;
    };
    size_t size;
    off_t offset;
};

struct slowfs {
    struct options options;
    FILE *counts; /* NULL: not wanted */
    struct fuse_session *session;
    struct nodes nodes;
    struct answer *queue; /* a binary heap of at most options.at_once */
    size_t queued;
    long long reads_free_at_ns;
    unsigned held_reads; /* of the file that is held */
    unsigned seed;
    char *buffer; /* for the contents of one answer */
    size_t buffer_size;
};

/* --- The queue ------------------------------------------------------------------------------- */

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

static void queue_put(struct slowfs *fs, const struct answer *answer)
{
    size_t place = fs->queued++;
    while (place && fs->queue[(place - 1) / 2].due_ns > answer->due_ns) {
        fs->queue[place] = fs->queue[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    fs->queue[place] = *answer;
}

/* Takes the answer that is due first out of a queue that has one. */
static struct answer queue_take(struct slowfs *fs)
{
    struct answer first = fs->queue[0], last = fs->queue[--fs->queued];
    size_t place = 0, child;
    while ((child = 2 * place + 1) < fs->queued) {
        if (child + 1 < fs->queued && fs->queue[child + 1].due_ns < fs->queue[child].due_ns)
            child++;
        if (fs->queue[child].due_ns >= last.due_ns)
            break;
        fs->queue[place] = fs->queue[child];
        place = child;
    }
    fs->queue[place] = last;
    return first;
}

/* When a server that is asked now answers. */
static long long server_due_ns(struct slowfs *fs)
{
    long long wait_ns = fs->options.delay_ms * NS_PER_MS;
    if (fs->options.jitter_ms)
        wait_ns +=
            (long long)((double)rand_r(&fs->seed) / RAND_MAX * fs->options.jitter_ms * NS_PER_MS);
    return now_ns() + wait_ns;
}

/* When so many bytes, sent at due_ns, have come through a line that all readers share in the order
   in which they ask. */
static long long line_due_ns(struct slowfs *fs, long long due_ns, size_t size_bytes)
{
    if (fs->reads_free_at_ns < due_ns)
        fs->reads_free_at_ns = due_ns;
    double seconds = (double)size_bytes / (double)fs->options.bandwidth_bytes;
    fs->reads_free_at_ns += (long long)(seconds * NS_PER_SECOND);
    return fs->reads_free_at_ns;
}

/* A node's number is its address, but for the root's. */
static struct node *node_numbered(struct slowfs *fs, fuse_ino_t number)
{
    return number == FUSE_ROOT_ID ? fs->nodes.root : (struct node *)(uintptr_t)number;
}

/* Has something said about a node when a server would say it. */
static void answer_later(fuse_req_t request, answer_function *give, fuse_ino_t number)
{
    struct slowfs *fs = fuse_req_userdata(request);
    queue_put(fs, &(struct answer){.due_ns = server_due_ns(fs),
                                   .request = request,
                                   .give = give,
                                   .node = node_numbered(fs, number)});
}

/* Room for one answer's contents, until the next answer; NULL: out of memory. */
static char *answer_buffer(struct slowfs *fs, size_t size)
{
    if (size > fs->buffer_size) {
        free(fs->buffer);
        fs->buffer = malloc(size);
        fs->buffer_size = fs->buffer ? size : 0;
    }
    return fs->buffer;
}

/* --- Names and attributes -------------------------------------------------------------------- */

static void answer_lookup(const struct answer *answer)
{
    const struct slowfs *fs = fuse_req_userdata(answer->request);
    struct fuse_entry_param entry = {.ino = (fuse_ino_t)(uintptr_t)answer->node,
                                     .attr_timeout = fs->options.attr_seconds,
                                     .entry_timeout = REMEMBER_SECONDS};
    if (lstat(node_relative(answer->node), &entry.attr))
        fuse_reply_err(answer->request, errno);
    else
        fuse_reply_entry(answer->request, &entry);
}

static void slowfs_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct slowfs *fs = fuse_req_userdata(request);
    struct node *node = nodes_get(&fs->nodes, node_numbered(fs, parent), name);
    if (node)
        answer_later(request, answer_lookup, (fuse_ino_t)(uintptr_t)node);
    else
        fuse_reply_err(request, errno);
}

static void answer_getattr(const struct answer *answer)
{
    const struct slowfs *fs = fuse_req_userdata(answer->request);
    struct stat attributes;
    if (lstat(node_relative(answer->node), &attributes))
        fuse_reply_err(answer->request, errno);
    else
        fuse_reply_attr(answer->request, &attributes, fs->options.attr_seconds);
}

static void slowfs_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    (void)info;
    answer_later(request, answer_getattr, number);
}

static void answer_readlink(const struct answer *answer)
{
    char target[PATH_MAX];
    ssize_t length = readlink(node_relative(answer->node), target, sizeof(target) - 1);
    if (length < 0) {
        fuse_reply_err(answer->request, errno);
        return;
    }
    target[length] = '\0';
    fuse_reply_readlink(answer->request, target);
}

static void slowfs_readlink(fuse_req_t request, fuse_ino_t number)
{
    answer_later(request, answer_readlink, number);
}

/* --- Files ----------------------------------------------------------------------------------- */

static void answer_open(const struct answer *answer)
{
    struct slowfs *fs = fuse_req_userdata(answer->request);
    struct open_file *file = calloc(1, sizeof(*file));
    if (!file) {
        fuse_reply_err(answer->request, ENOMEM);
        return;
    }
    file->node = answer->node;
    /* Not to wait for a writer, should it have become a pipe. */
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    file->fd = open(node_relative(file->node), flags);
    if (file->fd < 0) {
        fuse_reply_err(answer->request, errno);
        free(file);
        return;
    }
    file->hangs = fs->options.hang_suffix && node_ends_with(file->node, fs->options.hang_suffix);
    file->node->opens++;
    struct fuse_file_info info = {.fh = (uint64_t)(uintptr_t)file,
                                  .keep_cache = fs->options.keep_cache != 0,
                                  .direct_io = fs->options.direct_io != 0};
    fuse_reply_open(answer->request, &info);
}

static void answer_read_only(const struct answer *answer)
{
    fuse_reply_err(answer->request, EROFS);
}

static void slowfs_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    bool reads = (info->flags & O_ACCMODE) == O_RDONLY;
    answer_later(request, reads ? answer_open : answer_read_only, number);
}

/* Waits until the file has been changed, say. */
static void hold(struct slowfs *fs, const struct open_file *file)
{
    const char *suffix = fs->options.hold_suffix;
    if (!suffix || !node_ends_with(file->node, suffix) || ++fs->held_reads != 2)
        return;
    int fd = open(fs->options.hold_fifo, O_RDONLY | O_CLOEXEC);
    char nothing;
    while (fd >= 0 && read(fd, &nothing, 1) > 0)
        continue;
    if (fd >= 0)
        close(fd);
}

static void answer_read(const struct answer *answer)
{
    struct slowfs *fs = fuse_req_userdata(answer->request);
    hold(fs, answer->file);
    char *buffer = answer_buffer(fs, answer->size);
    ssize_t length = buffer ? pread(answer->file->fd, buffer, answer->size, answer->offset) : -1;
    if (length < 0)
        fuse_reply_err(answer->request, errno);
    else
        fuse_reply_buf(answer->request, buffer, (size_t)length);
}

/* How much of the file a read will find. */
static size_t readable_bytes(const struct open_file *file, size_t size, off_t offset)
{
    struct stat attributes;
    if (fstat(file->fd, &attributes) || attributes.st_size <= offset)
        return 0;
    off_t rest = attributes.st_size - offset;
    return (uintmax_t)rest < size ? (size_t)rest : size;
}

static void fail_interrupted(fuse_req_t request, void *nothing)
{
    (void)nothing;
    fuse_reply_err(request, EINTR);
}

static void slowfs_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                        struct fuse_file_info *info)
{
    (void)number;
    struct slowfs *fs = fuse_req_userdata(request);
    struct open_file *file = (struct open_file *)(uintptr_t)info->fh;
    node_note_read(file->node, offset, (long long)size);
    if (file->hangs) {
        fuse_req_interrupt_func(request, fail_interrupted, NULL);
        return;
    }
    long long due_ns = server_due_ns(fs);
    if (fs->options.bandwidth_bytes)
        due_ns = line_due_ns(fs, due_ns, readable_bytes(file, size, offset));
    queue_put(fs, &(struct answer){.due_ns = due_ns,
                                   .request = request,
                                   .give = answer_read,
                                   .file = file,
                                   .size = size,
                                   .offset = offset});
}

static void slowfs_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    (void)number;
    struct open_file *file = (struct open_file *)(uintptr_t)info->fh;
    close(file->fd);
    free(file);
    fuse_reply_err(request, 0);
}

/* --- Directories ----------------------------------------------------------------------------- */

static void slowfs_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    struct slowfs *fs = fuse_req_userdata(request);
    int fd = open(node_relative(node_numbered(fs, number)),
                  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        fuse_reply_err(request, errno);
        if (fd >= 0)
            close(fd);
        return;
    }
    info->fh = (uint64_t)(uintptr_t)directory;
    fuse_reply_open(request, info);
}

static void answer_readdir(const struct answer *answer)
{
    struct slowfs *fs = fuse_req_userdata(answer->request);
    char *buffer = answer_buffer(fs, answer->size);
    size_t filled = 0;
    seekdir(answer->directory, answer->offset);
    errno = buffer ? 0 : ENOMEM;
    struct dirent *entry;
    while (buffer && (entry = readdir(answer->directory))) {
        struct stat attributes = {.st_ino = entry->d_ino, .st_mode = DTTOIF((mode_t)entry->d_type)};
        size_t room = answer->size - filled;
        size_t length = fuse_add_direntry(answer->request, buffer + filled, room, entry->d_name,
                                          &attributes, entry->d_off);
        if (length > room)
            break;
        filled += length;
    }
    if (errno)
        fuse_reply_err(answer->request, errno);
    else
        fuse_reply_buf(answer->request, buffer, filled);
}

/* The first costs a round trip; what does not fit into its answer has come with it. */
static void slowfs_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                           struct fuse_file_info *info)
{
    (void)number;
    struct slowfs *fs = fuse_req_userdata(request);
    queue_put(fs, &(struct answer){.due_ns = offset ? 0 : server_due_ns(fs),
                                   .request = request,
                                   .give = answer_readdir,
                                   .directory = (DIR *)(uintptr_t)info->fh,
                                   .size = size,
                                   .offset = offset});
}

static void slowfs_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
    (void)number;
    closedir((DIR *)(uintptr_t)info->fh);
    fuse_reply_err(request, 0);
}

/* --- What is answered at once ---------------------------------------------------------------- */

static void slowfs_statfs(fuse_req_t request, fuse_ino_t number)
{
    (void)number;
    struct statvfs attributes;
    if (statvfs(".", &attributes))
        fuse_reply_err(request, errno);
    else
        fuse_reply_statfs(request, &attributes);
}

/* Answers with the value of an extended attribute, or the list of their names if name is NULL; with
   its length alone if size is 0. */
static void answer_xattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t size)
{
    struct slowfs *fs = fuse_req_userdata(request);
    const char *path = node_relative(node_numbered(fs, number));
    char *buffer = answer_buffer(fs, size);
    ssize_t length = -1;
    if (buffer || !size)
        length = name ? lgetxattr(path, name, buffer, size) : llistxattr(path, buffer, size);
    if (length < 0)
        fuse_reply_err(request, errno);
    else if (!size)
        fuse_reply_xattr(request, (size_t)length);
    else
        fuse_reply_buf(request, buffer, (size_t)length);
}

static void slowfs_getxattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t size)
{
    answer_xattr(request, number, name, size);
}

static void slowfs_listxattr(fuse_req_t request, fuse_ino_t number, size_t size)
{
    answer_xattr(request, number, NULL, size);
}

/* --- The server ------------------------------------------------------------------------------ */

static void slowfs_init(void *userdata, struct fuse_conn_info *connection)
{
    const struct slowfs *fs = userdata;
    connection->max_background = fs->options.at_once;
    connection->congestion_threshold = fs->options.at_once;
    /* Names of one directory are looked up side by side, as with NFS. */
    connection->want |= connection->capable & FUSE_CAP_PARALLEL_DIROPS;
    if (fs->options.keep_cache)
        connection->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
}

/* Without readdirplus: each name is looked up by itself, as the slowest servers have it. Without
   forget: nodes are kept. */
static const struct fuse_lowlevel_ops operations = {
    .init = slowfs_init,
    .lookup = slowfs_lookup,
    .getattr = slowfs_getattr,
    .readlink = slowfs_readlink,
    .open = slowfs_open,
    .read = slowfs_read,
    .release = slowfs_release,
    .opendir = slowfs_opendir,
    .readdir = slowfs_readdir,
    .releasedir = slowfs_releasedir,
    .statfs = slowfs_statfs,
    .getxattr = slowfs_getxattr,
    .listxattr = slowfs_listxattr,
};

/* Sleeps until the first answer is due, a request comes that can be taken, or a signal that the
   mask lets through. */
static void wait_for_work(const struct slowfs *fs, const sigset_t *mask)
{
    struct pollfd device = {.fd = fuse_session_fd(fs->session), .events = POLLIN};
    long long wait_ns = fs->queued ? fs->queue[0].due_ns - now_ns() : 0;
    if (wait_ns < 0)
        wait_ns = 0;
    struct timespec timeout = {.tv_sec = wait_ns / NS_PER_SECOND,
                               .tv_nsec = wait_ns % NS_PER_SECOND};
    ppoll(&device, fs->queued < fs->options.at_once, fs->queued ? &timeout : NULL, mask);
}

/* Takes requests and answers them until it is unmounted or told to end; false: the kernel failed.
 */
static bool answer_all(struct slowfs *fs, const sigset_t *mask)
{
    struct fuse_buf request = {0};
    int taken = 0;
    while (!fuse_session_exited(fs->session) && (taken >= 0 || taken == -EAGAIN)) {
        while (fs->queued && fs->queue[0].due_ns <= now_ns()) {
            struct answer answer = queue_take(fs);
            answer.give(&answer);
        }
        bool full = fs->queued == fs->options.at_once;
        taken = full ? -EAGAIN : fuse_session_receive_buf(fs->session, &request);
        if (taken > 0)
            fuse_session_process_buf(fs->session, &request);
        else if (taken == -EAGAIN)
            wait_for_work(fs, mask);
    }
    free(request.mem);
    return taken >= 0 || taken == -EAGAIN;
}

/* Mounts and answers until the end; returns the exit status. What was not answered by then is
   failed by the kernel. */
static int serve(struct slowfs *fs, struct fuse_args *arguments, const char *mountpoint)
{
    /* Signals are taken while it sleeps, so that none comes between a look and the sleep. */
    sigset_t blocked, mask;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGHUP);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &mask);
    fs->session = fuse_session_new(arguments, &operations, sizeof(operations), fs);
    if (!fs->session)
        return 1;
    int status = 1;
    if (!fuse_set_signal_handlers(fs->session) && !fuse_session_mount(fs->session, mountpoint)) {
        int fd = fuse_session_fd(fs->session);
        status = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) || !answer_all(fs, &mask);
        fuse_session_unmount(fs->session);
    }
    fuse_session_destroy(fs->session);
    return status;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Opens what the arguments name, and goes to where all paths are relative to; false after a
   message. */
static bool get_ready(struct slowfs *fs, const char *directory)
{
    const char *count_path = fs->options.count_path;
    fs->counts = count_path ? fopen(count_path, "we") : NULL;
    if (count_path && !fs->counts) {
        perror(count_path);
        return false;
    }
    if (chdir(directory)) {
        perror(directory);
        return false;
    }
    fs->queue = calloc(fs->options.at_once, sizeof(*fs->queue));
    if (!fs->queue || nodes_init(&fs->nodes)) {
        perror("slowfs");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct slowfs fs = {.options = {.at_once = 512, .attr_seconds = 3600}, .seed = 1};
    if (argc < 3) {
        fprintf(stderr, "usage: slowfs [OPTION...] DIRECTORY MOUNTPOINT\n");
        return 2;
    }
    const char *directory = argv[argc - 2];
    char *mountpoint = realpath(argv[argc - 1], NULL);
    if (!mountpoint) {
        perror(argv[argc - 1]);
        return 1;
    }
    struct fuse_args arguments = FUSE_ARGS_INIT(argc - 2, argv);
    if (fuse_opt_parse(&arguments, &fs.options, option_table, NULL) || !fs.options.at_once ||
        fuse_opt_add_arg(&arguments, "-oro,fsname=slowfs,default_permissions") ||
        (!geteuid() && fuse_opt_add_arg(&arguments, "-oallow_other")))
        return 2;
    if (!get_ready(&fs, directory))
        return 1;
    raise_descriptor_limit();
    prctl(PR_SET_TIMERSLACK, 1UL); /* ns: else answers are some 50 microseconds late */
    int status = serve(&fs, &arguments, mountpoint);
    if (fs.counts) {
        nodes_write_counts(&fs.nodes, fs.counts);
        fclose(fs.counts);
    }
    fuse_opt_free_args(&arguments);
    nodes_free(&fs.nodes);
    free(fs.queue);
    free(fs.buffer);
    free(mountpoint);
    return status;
}
