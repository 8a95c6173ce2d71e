/* Variants as method list answers them, there and back. What is not known is null. */
#include "cache/service/listing.h"

#include "cache/service/message.h"

#include <string.h>

static void add_number(cJSON *object, const char *key, uint64_t number)
{
    if (number == PKGCACHE_NOT_COUNTED)
        json_add_null(object, key);
    else
        json_add_unsigned(object, key, number);
}

/* A double has not enough digits for nanoseconds. */
static void add_time(cJSON *object, const char *key, const struct timespec *time)
{
    char seconds[48];
    snprintf(seconds, sizeof(seconds), "%lld.%09ld", (long long)time->tv_sec, time->tv_nsec);
    json_add_raw(object, key, seconds);
}

cJSON *listing_build(const struct pkgcache_entry *entry)
{
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", entry->handle);
    json_add_string_reference(object, "status", pkgcache_status_name(entry->status));
    json_add_string_reference(object, "orig_path", entry->source_root);
    json_add_string_reference(object, "cache_path", entry->cached_root);
    add_number(object, "size", entry->bytes);
    add_number(object, "files", entry->files);
    if (entry->status == PKGCACHE_PENDING)
        json_add_null(object, "last_used");
    else
        add_time(object, "last_used", &entry->last_used);
    return object;
}

static bool is_null(const struct json *value)
{
    return !value || value->type == JSON_NULL;
}

static int read_status(const struct json *value, enum pkgcache_status *ret)
{
    static const enum pkgcache_status listed[] = {PKGCACHE_FOUND, PKGCACHE_COPYING,
                                                  PKGCACHE_COPY_STALLED, PKGCACHE_PENDING};
    for (size_t i = 0; i < ARRAY_LENGTH(listed); i++)
        if (json_is_string(value, pkgcache_status_name(listed[i]))) {
            *ret = listed[i];
            return 0;
        }
    return -EBADMSG;
}

static int read_number(const struct json *value, uint64_t *ret)
{
    int64_t number;
    *ret = PKGCACHE_NOT_COUNTED;
    if (is_null(value))
        return 0;
    if (json_integer(value, 0, INT64_MAX, &number) < 0)
        return -EBADMSG;
    *ret = (uint64_t)number;
    return 0;
}

/* The text is what counts, see add_time. */
static int read_time(const struct json *value, struct timespec *ret)
{
    enum { DIGITS = 9 };
    char *end;
    *ret = (struct timespec){0};
    if (is_null(value))
        return 0;
    if (value->type != JSON_REAL)
        return -EBADMSG;
    ret->tv_sec = strtoll(value->text, &end, 10);
    if (*end != '.' || strlen(end + 1) != DIGITS)
        return -EBADMSG;
    ret->tv_nsec = strtol(end + 1, &end, 10);
    return *end ? -EBADMSG : 0;
}

static int read_path(const struct json *value, char **ret)
{
    int result = message_path(value, ret);
    return result == -EINVAL ? -EBADMSG : result;
}

static int read_handle(const struct json *value, struct pkgcache_handle **ret)
{
    int result = value ? handle_from_json(value, ret, NULL) : -EBADMSG;
    return result == -EINVAL ? -EBADMSG : result;
}

int listing_show(const struct json *value,
                 int (*visit)(void *context, const struct pkgcache_entry *entry), void *context,
                 struct pkgcache_error *ret_error)
{
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    CLEANUP_FREE char *cached_root = NULL;
    CLEANUP_FREE char *source_root = NULL;
    struct pkgcache_entry entry = {0};
    int result = read_handle(json_member(value, "handle"), &handle);
    if (result == 0)
        result = read_status(json_member(value, "status"), &entry.status);
    if (result == 0)
        result = read_path(json_member(value, "cache_path"), &cached_root);
    if (result == 0)
        result = read_path(json_member(value, "orig_path"), &source_root);
    if (result == 0)
        result = read_number(json_member(value, "size"), &entry.bytes);
    if (result == 0)
        result = read_number(json_member(value, "files"), &entry.files);
    if (result == 0)
        result = read_time(json_member(value, "last_used"), &entry.last_used);
    if (result < 0)
        return error_set(ret_error, -result, "daemon: its answer is not understood: %s",
                         strerror(-result));
    entry.handle = handle;
    entry.cached_root = cached_root;
    entry.source_root = source_root;
    result = visit(context, &entry);
    return result < 0 ? error_set(ret_error, -result, "cannot list: %s", strerror(-result))
                      : result;
}
