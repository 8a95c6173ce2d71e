/* What other users may have copied by us. */
#include "cache/service/guest.h"

#include "cache/store/own.h"
#include "cache/util/as_user.h"
#include "engine/compiler.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

bool guest_is_listed(const char *location, const char *list)
{
    CLEANUP_FREE char *resolved = realpath(location, NULL);
    for (const char *begin = list; resolved && *begin;) {
        size_t length = strcspn(begin, ":");
        CLEANUP_FREE char *path = strndup(begin, length);
        CLEANUP_FREE char *other = path && *path ? realpath(path, NULL) : NULL;
        if (other && strcmp(other, resolved) == 0)
            return true;
        begin += length + (begin[length] == ':');
    }
    return false;
}

int guest_walk(const struct access_user *user, const char *path)
{
    char name[NAME_MAX + 1];
    int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = open("/", flags);
    for (path += strspn(path, "/"); fd >= 0 && *path; path += strspn(path, "/")) {
        size_t length = strcspn(path, "/");
        bool passes = length < sizeof(name) && access_is_permitted_on(user, fd, ACCESS_SEARCH);
        memcpy(name, path, MIN(length, sizeof(name) - 1));
        name[MIN(length, sizeof(name) - 1)] = '\0';
        int next = passes ? openat(fd, name, flags) : -1;
        close(fd);
        fd = next;
        path += length;
    }
    if (fd >= 0 && !access_is_permitted_on(user, fd, ACCESS_READ | ACCESS_SEARCH)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Whether the group may write to a file, and is not the one that its owner has alone: many systems
 * give each user such a group, with the same number, and a umask that lets it write. */
static bool is_of_group(const struct stat *file)
{
    return file->st_mode & S_IWGRP && file->st_gid != file->st_uid;
}

bool guest_is_none(const struct pending *pending, const struct pending_entry *entry)
{
    const struct stat *file = &entry->file;
    struct stat queue;
    return fstat(pending->fd, &queue) == 0 && own_is_ours(&queue) &&
           (file->st_uid == 0 || file->st_uid == geteuid()) && file->st_nlink == 1 &&
           !(file->st_mode & S_IWOTH) && !is_of_group(file);
}

int guest_may_queue(const struct pending_entry *entry, struct rezconfig *config,
                    struct pkgcache_error *ret_error)
{
    const struct json *list;
    int result = rezconfig_get(config, REZCONFIG_PACKAGES_PATH, &list, NULL, ret_error);
    for (const struct json *value = result == 0 ? list->first : NULL; value; value = value->next) {
        CLEANUP_FREE char *path = rezconfig_path(value);
        if (path && guest_is_listed(entry->handle->location, path))
            return 1;
    }
    return result;
}

/* As whom an entry's root must be readable: its owner; or, if others may have written it, any of
 * them. */
int guest_may_read(const struct pending_entry *entry, const char *root)
{
    const uid_t anybody = (uid_t)-1;
    const struct stat *file = &entry->file;
    CLEANUP_FREE gid_t *groups = NULL;
    CLEANUP_FREE char *resolved = realpath(root, NULL);
    size_t count = 0;
    struct access_user user = {.uid = anybody};
    if (is_of_group(file)) {
        user.groups = &file->st_gid;
        user.group_count = !(file->st_mode & S_IWOTH);
    } else if (!(file->st_mode & S_IWOTH)) {
        int result = as_user_find_groups(file->st_uid, &groups, &count);
        if (result < 0)
            return result;
        user = (struct access_user){file->st_uid, groups, count};
    }
    CLEANUP_CLOSE int fd = resolved ? guest_walk(&user, resolved) : -1;
    return fd >= 0;
}
