/* Where the manifests of slots are, and whose they are. What is in them is others' business. */
#include "cache/store/slot_manifest.h"

#include "cache/store/slot_name.h"
#include "cache/util/file.h"
#include "cache/util/names.h"
#include "cache/util/share.h"

#include "engine/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum {
    QNAME_MAX = 180, /* of a file's name: HASH4 and INC have room beside it */
    FIRST_TEXT_MAX = 64 << 10,
};

static int open_manifests(const struct pkgcache *cache, bool make)
{
    return cache_open_private(cache, "manifests", make);
}

static void format_name(const struct pkgcache_handle *handle, const char *slot_name,
                        char ret[static NAME_MAX + 1])
{
    snprintf(ret, NAME_MAX + 1, "%.*s.%s.%s", QNAME_MAX, handle->qualified_name, handle->hash4,
             slot_name);
}

int slot_manifest_stat_payload(int hash_fd, const char *slot_name,
                               struct slot_manifest_payload *ret)
{
    struct statx status;
    struct stat seen;
    if (names_stat(hash_fd, slot_name, &seen) < 0) /* nothing is mounted there */
        return -errno;
    if (statx(hash_fd, slot_name, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_TYPE | STATX_BTIME,
              &status) < 0)
        return -errno;
    if (!S_ISDIR(status.stx_mode))
        return -ENOTDIR;
    bool born = status.stx_mask & STATX_BTIME && status.stx_btime.tv_sec > 0;
    *ret = (struct slot_manifest_payload){
        .inode = status.stx_ino,
        .born_ns =
            born ? (uint64_t)status.stx_btime.tv_sec * NS_PER_S + status.stx_btime.tv_nsec : 0,
    };
    return 0;
}

static void write_first_text(struct text *text, const struct pkgcache_handle *handle,
                             const struct slot_manifest_payload *payload)
{
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", handle);
    json_add_string(object, "by", payload ? "verify" : "copy");
    if (payload) {
        json_add_unsigned(object, "inode", payload->inode);
        json_add_unsigned(object, "born", payload->born_ns);
    }
    json_print(text, object);
}

int slot_manifest_create(const struct pkgcache *cache, int staging_fd, const char *name,
                         const struct pkgcache_handle *handle,
                         const struct slot_manifest_payload *payload)
{
    CLEANUP_TEXT struct text text = {0};
    write_first_text(&text, handle, payload);
    if (text.error < 0)
        return text.error;
    unlinkat(staging_fd, name, 0); /* of an earlier attempt */
    CLEANUP_CLOSE int fd = names_open_file(staging_fd, name, O_RDWR | O_CREAT | O_EXCL, 0666);
    if (fd < 0)
        return -errno;
    share_follow(fd, &cache->root, share_file_bits(cache->root.st_mode));
    ssize_t written = write(fd, text.bytes, text.length + 1);
    if (written < 0)
        return -errno;
    return (size_t)written == text.length + 1 ? steal_fd(&fd) : -ENOSPC;
}

int slot_manifest_keep(const struct pkgcache *cache, int staging_fd, const char *name,
                       const struct pkgcache_handle *handle, const char *slot_name)
{
    char kept[NAME_MAX + 1];
    CLEANUP_CLOSE int fd = open_manifests(cache, true);
    format_name(handle, slot_name, kept);
    if (fd < 0)
        return fd;
    return renameat(staging_fd, name, fd, kept) < 0 ? -errno : 0;
}

/* Whether a member is this number. What does not fit an int64 wraps in both. */
static bool is_number(const struct json *object, const char *key, uint64_t number)
{
    char text[24];
    const struct json *value = json_member(object, key);
    snprintf(text, sizeof(text), "%" PRIu64, number);
    return value && value->type == JSON_INTEGER && strcmp(value->text, text) == 0;
}

/* The first text of a file. Returns its length with the NUL, or -errno. */
static ssize_t read_first_text(int fd, char buffer[static FIRST_TEXT_MAX])
{
    ssize_t bytes = pread(fd, buffer, FIRST_TEXT_MAX, 0);
    if (bytes < 0)
        return -errno;
    const char *nul = memchr(buffer, '\0', (size_t)bytes);
    return nul ? nul - buffer + 1 : -EBADMSG;
}

/* Whose manifest a file is. Returns the length of its first text, or -errno. */
static ssize_t read_owner(int fd, struct json_document **ret_document,
                          struct pkgcache_handle **ret_handle)
{
    CLEANUP_FREE char *buffer = malloc(FIRST_TEXT_MAX);
    if (!buffer)
        return -ENOMEM;
    ssize_t length = read_first_text(fd, buffer);
    int result =
        length < 0 ? (int)length : json_parse(buffer, (size_t)length - 1, ret_document, NULL);
    if (result == 0)
        result = handle_from_json(json_member((*ret_document)->root, "handle"), ret_handle, NULL);
    return result < 0 ? (result == -EINVAL ? -EBADMSG : result) : length;
}

int slot_manifest_open_directory(const struct pkgcache *cache)
{
    return open_manifests(cache, false);
}

int slot_manifest_open(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                       const char *slot_name, const struct slot_manifest_payload *payload,
                       uint64_t *ret_offset)
{
    CLEANUP_CLOSE int directory_fd = open_manifests(cache, false);
    return directory_fd < 0
               ? directory_fd
               : slot_manifest_open_in(directory_fd, handle, slot_name, payload, ret_offset);
}

int slot_manifest_open_in(int directory_fd, const struct pkgcache_handle *handle,
                          const char *slot_name, const struct slot_manifest_payload *payload,
                          uint64_t *ret_offset)
{
    char name[NAME_MAX + 1];
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *owner = NULL;
    format_name(handle, slot_name, name);
    int result = file_open_regular(directory_fd, name, &fd, NULL);
    if (result < 0)
        return result;
    ssize_t length = read_owner(fd, &document, &owner);
    if (length < 0)
        return (int)length;
    bool by_copy = json_is_string(json_member(document->root, "by"), "copy");
    bool same = by_copy || (is_number(document->root, "inode", payload->inode) &&
                            is_number(document->root, "born", payload->born_ns));
    if (!same || !handle_equal(owner, handle))
        return -EBADMSG;
    *ret_offset = (uint64_t)length;
    return steal_fd(&fd);
}

void slot_manifest_forget(const struct pkgcache *cache, const struct pkgcache_handle *handle,
                          const char *slot_name)
{
    char name[NAME_MAX + 1];
    CLEANUP_CLOSE int fd = open_manifests(cache, false);
    format_name(handle, slot_name, name);
    if (fd >= 0)
        unlinkat(fd, name, 0);
}

/*
 * Whether the slot of a manifest is gone: none of its names is there. They are all there before its
 * manifest is, so it does not matter that the lock is not held.
 */
static bool is_orphan(const struct pkgcache *cache, int directory_fd, const char *name)
{
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *owner = NULL;
    char file[SLOT_FILE_MAX];
    struct stat status;
    const char *slot_name = strrchr(name, '.');
    int result = file_open_regular(directory_fd, name, &fd, NULL);
    if (result < 0)
        return result == -EBADMSG;
    ssize_t length = read_owner(fd, &document, &owner);
    if (length < 0)
        return length == -EBADMSG;
    if (!slot_name || strlen(slot_name) > SLOT_NAME_MAX)
        return true;
    slot_name++;
    CLEANUP_CLOSE int hash_fd = cache_open_hash_directory(cache, owner, false);
    if (hash_fd < 0)
        return hash_fd == -ENOENT;
    snprintf(file, sizeof(file), "%s.json", slot_name);
    return names_stat(hash_fd, file, &status) < 0 && errno == ENOENT &&
           names_stat(hash_fd, slot_name, &status) < 0 && errno == ENOENT;
}

int slot_manifest_visit_orphans(const struct pkgcache *cache,
                                int (*visit)(void *context, int directory_fd, const char *name),
                                void *context)
{
    struct names names;
    CLEANUP_CLOSE int fd = open_manifests(cache, false);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int result = names_open(&names, fd);
    for (const char *name; result == 0 && (name = names_next(&names));)
        if (is_orphan(cache, fd, name))
            result = visit(context, fd, name);
    if (result == 0)
        result = names.error;
    names_close(&names);
    return result;
}
