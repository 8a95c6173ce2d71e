/* Making, finding and locking the directory of a run. */
#include "cache/preload/farm_directory.h"

#include "cache/preload/farm_names.h"
#include "cache/store/own.h"
#include "cache/util/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

char *farm_directory_base(const char *given)
{
    char *path;
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (given)
        return strdup(given);
    if (state && *state == '/')
        length = asprintf(&path, "%s/pkgcache/runs", state);
    else if (home && *home == '/')
        length = asprintf(&path, "%s/.local/state/pkgcache/runs", home);
    else
        return NULL;
    return length < 0 ? NULL : path;
}

/* As mkdir -p; the last ones that are missing are this user's alone. */
static int make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int made = mkdir(path, S_IRWXU);
        int code = errno;
        *slash = '/';
        if (made < 0 && code != EEXIST)
            return -code;
    }
    return 0;
}

/* Whoever may write to a run's directory says what is started on the nodes. */
static int check_owner(const struct farm_directory *directory, struct pkgcache_error *error)
{
    struct stat own;
    struct stat parent;
    if (fstat(directory->fd, &own) < 0 || fstatat(directory->fd, "..", &parent, 0) < 0)
        return error_set(error, errno, "%s: %s", directory->path, strerror(errno));
    if (!own_is_ours(&own))
        return error_set(error, EPERM,
                         "the run's directory %s belongs to somebody else, or others may write to "
                         "it: a run is its maker's alone",
                         directory->path);
    if (parent.st_mode & S_IWOTH && !(parent.st_mode & S_ISVTX))
        return error_set(error, EPERM,
                         "everybody may replace the run's directory %s: name another --run-dir, or "
                         "give the directory that it is in a sticky bit (chmod +t)",
                         directory->path);
    return 0;
}

static int open_directory(struct farm_directory *directory, struct pkgcache_error *error)
{
    directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory->fd < 0
               ? error_set(error, errno, "%.800s: %s", directory->path, strerror(errno))
               : check_owner(directory, error);
}

int farm_directory_make(const char *base, const char *id, struct farm_directory *ret,
                        struct pkgcache_error *ret_error)
{
    *ret = FARM_DIRECTORY_NONE;
    if (asprintf(&ret->path, "%s/%s", base, id) < 0) {
        ret->path = NULL;
        return error_set(ret_error, ENOMEM, "out of memory");
    }
    int result = make_parents(ret->path);
    if (result == 0 && mkdir(ret->path, S_IRWXU) < 0)
        result = -errno;
    if (result < 0)
        return error_set(ret_error, -result, "the run's directory %s: %s%s", ret->path,
                         strerror(-result), error_advice(-result));
    result = open_directory(ret, ret_error);
    if (result < 0)
        rmdir(ret->path);
    return result;
}

int farm_directory_open(const char *base, const char *run, struct farm_directory *ret,
                        struct pkgcache_error *ret_error)
{
    *ret = FARM_DIRECTORY_NONE;
    bool is_path = strchr(run, '/') != NULL;
    int result = is_path ? 0 : farm_name_check("run", run, ret_error);
    if (result < 0)
        return result;
    if (is_path)
        ret->path = strdup(run);
    else if (asprintf(&ret->path, "%s/%s", base, run) < 0)
        ret->path = NULL;
    if (!ret->path)
        return error_set(ret_error, ENOMEM, "out of memory");
    struct stat status;
    CLEANUP_FREE char *file = NULL;
    if (asprintf(&file, "%s/" FARM_RUN_FILE, ret->path) < 0) {
        file = NULL;
        return error_set(ret_error, ENOMEM, "out of memory");
    }
    if (stat(file, &status) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return error_set(
            ret_error, ENOENT,
            "there is no run %s: %s is missing; give the --run-dir that it was started "
            "with",
            run, file);
    return open_directory(ret, ret_error);
}

int farm_directory_write(const struct farm_directory *directory, const char *name,
                         const struct text *text, struct pkgcache_error *ret_error)
{
    CLEANUP_CLOSE int fd = -1;
    int result = text->error;
    if (result == 0)
        result = file_make_bytes(directory->fd, name, text->bytes, text->length, &fd);
    return result < 0 ? error_set(ret_error, -result, "%s/%s: %s", directory->path, name,
                                  strerror(-result))
                      : 0;
}

static int open_file(const struct farm_directory *directory, const char *name, int flags,
                     struct pkgcache_error *error)
{
    int fd = openat(directory->fd, name, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? error_set(error, errno, "%s/%s: %s", directory->path, name, strerror(errno))
                  : fd;
}

int farm_directory_lock(struct farm_directory *directory, struct pkgcache_error *ret_error)
{
    CLEANUP_CLOSE int fd = open_file(directory, FARM_LOCK_FILE, O_RDWR, ret_error);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? error_set(ret_error, EBUSY,
                               "the run is under way; follow it with --follow, or end it with "
                               "--cancel")
                   : error_set(ret_error, errno, "%s/" FARM_LOCK_FILE ": %s", directory->path,
                               strerror(errno));
    int journal = open_file(directory, FARM_JOURNAL_FILE, O_WRONLY | O_APPEND, ret_error);
    if (journal < 0)
        return journal;
    unlinkat(directory->fd, FARM_CANCEL_FILE, 0); /* for a coordinator that was killed */
    directory->lock_fd = steal_fd(&fd);
    directory->journal_fd = journal;
    return 0;
}

int farm_directory_reopen(struct farm_directory *directory, struct pkgcache_error *ret_error)
{
    directory->journal_fd = -1;
    int result = open_directory(directory, ret_error);
    if (result < 0)
        return result;
    int journal = open_file(directory, FARM_JOURNAL_FILE, O_WRONLY | O_APPEND, ret_error);
    directory->journal_fd = MAX(journal, -1);
    return MIN(journal, 0);
}

int farm_directory_is_locked(const struct farm_directory *directory)
{
    CLEANUP_CLOSE int fd = file_open(directory->fd, FARM_LOCK_FILE, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? 1 : -errno;
}

/* A line that a crash cut off stays: the newline that begins each event ends it. */
int farm_directory_note(const struct farm_directory *directory, cJSON *event,
                        struct pkgcache_error *ret_error)
{
    CLEANUP_TEXT struct text line = {0};
    text_append_byte(&line, '\n');
    json_print(&line, event);
    text_append_byte(&line, '\n');
    int result = line.error;
    if (result == 0)
        result = file_write(directory->journal_fd, line.bytes);
    if (result == 0 && fdatasync(directory->journal_fd) < 0)
        result = -errno;
    return result < 0 ? error_set(ret_error, -result, "%s/" FARM_JOURNAL_FILE ": %s",
                                  directory->path, strerror(-result))
                      : 0;
}

void farm_directory_unlock(struct farm_directory *directory)
{
    cleanup_close_fd(&directory->journal_fd);
    cleanup_close_fd(&directory->lock_fd);
    directory->journal_fd = directory->lock_fd = -1;
}

void farm_directory_close(struct farm_directory *directory)
{
    farm_directory_unlock(directory);
    if (directory->fd >= 0)
        close(directory->fd);
    free(directory->path);
    *directory = FARM_DIRECTORY_NONE;
}
