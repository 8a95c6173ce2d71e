/* Packs: who can have made one, and which variants it brings. */
#include "cache/rez/source_packs.h"

#include "cache/util/file.h"
#include "cache/util/own_path.h"
#include "cache/warm/pack_supply.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#define TRUST_ADVICE                                                                       \
    "it would decide what is in the cache under every name. If you know who made it, say " \
    "--trust-pack"

static bool is_meant(const void *beginning, size_t length)
{
    return pack_detect(beginning, length);
}

/* --- Trust ------------------------------------------------------------------------------------ */

/* Why others may have made an open file; NULL: they cannot. */
static const char *find_stranger(const struct stat *status)
{
    if (!S_ISREG(status->st_mode))
        return "it is no file, so it cannot be told who made it";
    if (status->st_uid != 0 && status->st_uid != geteuid())
        return "it belongs to another user";
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return "others may write to it";
    return NULL;
}

/* Whether a path leads to the open file by nobody's links but root's and this user's. */
static const char *find_foreign_link(const char *path, const struct stat *status)
{
    char absolute[PATH_MAX];
    struct stat found;
    size_t length = 0;
    if (*path != '/' && getcwd(absolute, sizeof(absolute) - 1)) {
        length = strlen(absolute);
        absolute[length++] = '/';
    }
    if (length + strlen(path) >= sizeof(absolute))
        return "its path is too long";
    strcpy(absolute + length, path);
    CLEANUP_CLOSE int fd = own_path_open(absolute, O_PATH);
    if (fd < 0 || fstat(fd, &found) < 0)
        return "a symbolic link on the way to it belongs to another user";
    return found.st_dev == status->st_dev && found.st_ino == status->st_ino
               ? NULL
               : "another file has taken its place: try again";
}

static int check_trust(const struct source_packs *packs, const char *path, int fd,
                       struct pkgcache_error *error)
{
    struct stat status;
    const char *name = path ? path : "standard input";
    if (packs->trusted)
        return 0;
    if (fstat(fd, &status) < 0)
        return error_set(error, errno, "%s: %s", name, strerror(errno));
    const char *why = find_stranger(&status);
    if (!why && path)
        why = find_foreign_link(path, &status);
    return why ? error_set(error, EPERM, "the pack %s is not taken: %s; " TRUST_ADVICE, name, why)
               : 0;
}

/* --- Standard input --------------------------------------------------------------------------- */

/* Opens a file in a directory that has no name, or none any more. */
static int open_unnamed(const char *directory)
{
    char path[PATH_MAX];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd >= 0 || errno != EOPNOTSUPP ||
        snprintf(path, sizeof(path), "%s/.pkgcache-pack-XXXXXX", directory) >= (int)sizeof(path))
        return fd;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* Opens the file that keeps a pack; where the directory is not there yet, in the one above. */
static int open_spool(const char *directory)
{
    char above[PATH_MAX];
    int fd = open_unnamed(directory);
    if (fd >= 0 || errno != ENOENT || strlen(directory) >= sizeof(above))
        return fd;
    strcpy(above, directory);
    char *slash = strrchr(above, '/');
    if (!slash || slash == above)
        return -1;
    *slash = '\0';
    return open_unnamed(above);
}

/* Opens a pack that comes through a pipe. What has to be kept of it until it is needed is in a file
 * without a name. */
static int open_piped(struct source_packs *packs, int fd, const struct text *beginning,
                      struct pack_file **ret, struct pkgcache_error *error)
{
    int spool_fd = open_spool(packs->spool_directory);
    if (spool_fd < 0)
        return error_set(error, errno,
                         "standard input: nothing of the pack can be kept at the cache %s: %s",
                         packs->spool_directory, strerror(errno));
    int result = pack_file_open_stream(fd, beginning->bytes, beginning->length, spool_fd,
                                       packs->bytes_per_s, "standard input", ret, error);
    if (result < 0)
        return result;
    pack_file_reference(*ret);
    packs->piped = *ret;
    return 0;
}

static int finish(void *context, int cancel_fd, struct pkgcache_error *error)
{
    struct source_packs *packs = context;
    struct pack_file *piped = STEAL(packs->piped);
    if (!piped)
        return 0;
    int result = pack_file_finish_stream(piped, cancel_fd, error);
    pack_file_release(piped);
    return result;
}

/* --- Variants --------------------------------------------------------------------------------- */

/* What is wrong with a variant is its reason, and does not stop the others. */
static int add_handle(struct source_names *names, const struct pack_variant *variant, char *text)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct pkgcache_error why;
    int result = json_parse(variant->handle, strlen(variant->handle), &document, &why);
    int added = source_names_add_handle(names, result < 0 ? NULL : document->root, NULL, text);
    if (added == 0 && result < 0)
        source_name_give_reason(source_names_last(names), why.message);
    return added;
}

static bool is_json(const char *text)
{
    CLEANUP_JSON struct json_document *document = NULL;
    return json_parse(text, strlen(text), &document, NULL) == 0;
}

static int add_variant(struct source_names *names, struct pack_file *file, size_t number,
                       const char *pack_name)
{
    size_t count;
    const struct pack_variant *variant = &pack_variants(pack_file_pack(file), &count)[number];
    char *text;
    if (asprintf(&text, "%s: variant %zu", pack_name, number + 1) < 0)
        return -ENOMEM;
    int result = add_handle(names, variant, text);
    if (result < 0)
        return result;
    struct source_name *name = source_names_last(names);
    name->root = strdup(variant->root);
    if (*variant->root != '/')
        source_name_give_reason(name, "its root is not an absolute path");
    if (variant->requires && !is_json(variant->requires))
        source_name_give_reason(name, "its requirements are not JSON");
    else if (variant->requires)
        name->requires_json = strdup(variant->requires);
    if (!name->root || (variant->requires && !name->requires_json && !name->reason))
        return -ENOMEM;
    return pack_supply_new(file, number, &name->supply);
}

static int add_variants(struct source_names *names, struct pack_file *file, const char *pack_name,
                        struct pkgcache_error *error)
{
    size_t count;
    int result = 0;
    pack_variants(pack_file_pack(file), &count);
    for (size_t i = 0; i < count && result == 0; i++)
        result = add_variant(names, file, i, pack_name);
    return result < 0 ? error_set(error, -result, "out of memory") : 0;
}

static int read_pack(void *context, struct source_names *names, const char *path, int fd,
                     const struct text *beginning, struct pkgcache_error *error)
{
    struct source_packs *packs = context;
    const char *name = path ? path : "standard input";
    struct pack_file *file = NULL;
    struct stat status;
    int own_fd = -1;
    int result = check_trust(packs, path, fd, error);
    if (result < 0)
        return result;
    if (beginning && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)))
        result = open_piped(packs, fd, beginning, &file, error);
    else if ((own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        result = error_set(error, errno, "%s: %s", name, strerror(errno));
    else
        result = pack_file_open(own_fd, packs->bytes_per_s, name, &file, error);
    if (result < 0)
        return result;
    result = add_variants(names, file, name, error);
    pack_file_release(file);
    return result;
}

void source_packs_init(struct source_packs *packs, bool trusted, const char *spool_directory,
                       uint64_t bytes_per_s)
{
    *packs = (struct source_packs){
        .archives = {.is_meant = is_meant, .read = read_pack, .finish = finish, .context = packs},
        .trusted = trusted,
        .spool_directory = spool_directory,
        .bytes_per_s = bytes_per_s};
}

void source_packs_free(struct source_packs *packs)
{
    if (packs->piped)
        pack_file_release(packs->piped);
    packs->piped = NULL;
}

static int refuse_pack(void *context, struct source_names *names, const char *path, int fd,
                       const struct text *beginning, struct pkgcache_error *error)
{
    (void)context;
    (void)names;
    (void)fd;
    (void)beginning;
    return error_set(error, EINVAL,
                     "%s: is a pack, which only warm takes: name the sources that it was made of",
                     path ? path : "standard input");
}

const struct source_archives source_packs_refused = {.is_meant = is_meant, .read = refuse_pack};
