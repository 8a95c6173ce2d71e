/* The state between two cleans. What is done about a candidate is clean's business. */
#include "cache/clean/clean_state.h"

#include "cache/json/json_stream.h"
#include "cache/store/slot_name.h"
#include "cache/util/file.h"
#include "cache/util/names.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

enum { FILE_NAME_SIZE = 24 };

/* Each user has a file: what another wrote down decides nothing. */
static void format_file_name(char ret[static FILE_NAME_SIZE])
{
    snprintf(ret, FILE_NAME_SIZE, CLEAN_STATE_PREFIX "%u", (unsigned)geteuid());
}

static bool is_older(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

static void swap(struct clean_candidate *a, struct clean_candidate *b)
{
    struct clean_candidate kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct clean_state *state, size_t i)
{
    for (size_t above; i > 0; i = above) {
        above = (i - 1) / 2;
        if (!is_older(state->oldest[above].last_used, state->oldest[i].last_used))
            return;
        swap(&state->oldest[above], &state->oldest[i]);
    }
}

static void sift_down(struct clean_state *state, size_t i)
{
    for (;;) {
        size_t newest = i;
        for (size_t below = 2 * i + 1; below <= 2 * i + 2 && below < state->count; below++)
            if (is_older(state->oldest[newest].last_used, state->oldest[below].last_used))
                newest = below;
        if (newest == i)
            return;
        swap(&state->oldest[newest], &state->oldest[i]);
        i = newest;
    }
}

static bool make_room(struct clean_state *state)
{
    assert(state->count < state->limit && state->count <= state->capacity);
    if (state->count < state->capacity)
        return true;
    size_t capacity = MIN(MAX(state->capacity * 2, (size_t)64), state->limit);
    void *oldest = realloc(state->oldest, capacity * sizeof(*state->oldest));
    if (!oldest)
        return false;
    state->oldest = oldest;
    state->capacity = capacity;
    assert(state->count < state->capacity);
    return true;
}

/* Takes ownership of the path, also when it fails. */
static int add_candidate(struct clean_state *state, char *path, struct timespec last_used,
                         uint64_t bytes)
{
    assert(state->count <= state->limit);
    struct clean_candidate candidate = {.path = path, .last_used = last_used, .bytes = bytes};
    if (!path || (state->count < state->limit && !make_room(state))) {
        free(path);
        return -ENOMEM;
    }
    if (state->count < state->limit) {
        state->oldest[state->count++] = candidate;
        sift_up(state, state->count - 1);
        return 0;
    }
    if (state->count == 0 || !is_older(last_used, state->oldest[0].last_used)) {
        free(path);
        return 0;
    }
    free(state->oldest[0].path);
    state->oldest[0] = candidate;
    sift_down(state, 0);
    return 0;
}

void clean_state_count(struct clean_state *state, uint64_t bytes)
{
    if (__builtin_add_overflow(state->bytes, bytes, &state->bytes))
        state->bytes = UINT64_MAX;
}

int clean_state_note(struct clean_state *state, const char *path, struct timespec last_used,
                     uint64_t bytes)
{
    clean_state_count(state, bytes);
    return add_candidate(state, strdup(path), last_used, bytes);
}

static int compare_candidates(const void *left, const void *right)
{
    const struct clean_candidate *a = left;
    const struct clean_candidate *b = right;
    if (is_older(a->last_used, b->last_used))
        return 1;
    return is_older(b->last_used, a->last_used) ? -1 : strcmp(b->path, a->path);
}

void clean_state_sort(struct clean_state *state)
{
    if (state->count > 0)
        qsort(state->oldest, state->count, sizeof(*state->oldest), compare_candidates);
    assert(state->count < 2 ||
           !is_older(state->oldest[0].last_used, state->oldest[state->count - 1].last_used));
}

void clean_state_clear(struct clean_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        free(state->oldest[i].path);
    free(state->oldest);
    *state = (struct clean_state){.limit = state->limit};
}

/* The format. */

/* Whether a path is that of a hash directory, NAME/VERSION/HASH4, or of a slot in one. */
static bool is_path(const char *path, bool slot)
{
    const char *part = path;
    const char *parts[4];
    int count = 0;
    for (size_t length; count < 4; part += length + 1) {
        length = strcspn(part, "/");
        if (length == 0 || length > NAME_MAX || *part == '.')
            return false;
        parts[count++] = part;
        if (part[length] == '\0')
            break;
    }
    if (count != (slot ? 4 : 3) || strspn(parts[2], "0123456789abcdef") != 4)
        return false;
    if (!slot)
        return parts[2][4] == '\0';
    size_t letters = strspn(parts[3], "abcdefghijklmnopqrstuvwxyz");
    return parts[2][4] == '/' && letters < SLOT_NAME_MAX && parts[3][letters] == '\0';
}

static char *parse_path(const struct json *value, bool slot)
{
    if (!value || value->type != JSON_STRING || value->text_length >= CLEAN_PATH_MAX ||
        memchr(value->text, '\0', value->text_length))
        return NULL;
    CLEANUP_FREE char *path = malloc(value->text_length + 1);
    if (!path || utf8_to_path(value->text, value->text_length, path) < 0 || !is_path(path, slot))
        return NULL;
    return STEAL(path);
}

static int parse_candidate(const struct json *value, struct clean_state *state)
{
    int64_t seconds = 0;
    int64_t nanoseconds = 0;
    int64_t bytes = 0;
    CLEANUP_FREE char *path = parse_path(json_member(value, "slot"), true);
    const struct json *s = json_member(value, "seconds");
    const struct json *ns = json_member(value, "nanoseconds");
    const struct json *size = json_member(value, "bytes");
    if (!path || !s || !ns || !size || json_integer(s, INT64_MIN, INT64_MAX, &seconds) < 0 ||
        json_integer(ns, 0, 999999999, &nanoseconds) < 0 ||
        json_integer(size, 0, INT64_MAX, &bytes) < 0)
        return -EBADMSG;
    return add_candidate(state, STEAL(path), (struct timespec){seconds, nanoseconds},
                         (uint64_t)bytes);
}

static int parse_sizes(const struct json *root, struct clean_state *state)
{
    int64_t bytes;
    const struct json *total = json_member(root, "bytes");
    const struct json *oldest = json_member(root, "oldest");
    if (!total)
        return 0;
    if (json_integer(total, 0, INT64_MAX, &bytes) < 0 || !oldest || oldest->type != JSON_ARRAY)
        return -EBADMSG;
    state->sized = true;
    state->bytes = (uint64_t)bytes;
    int result = 0;
    for (const struct json *value = oldest->first; value && result == 0; value = value->next)
        result = parse_candidate(value, state);
    return result;
}

int clean_state_parse(const char *text, size_t length, struct clean_state *ret)
{
    CLEANUP_JSON struct json_document *document = NULL;
    struct clean_state state = {.limit = ret->limit};
    if (json_parse(text, length, &document, NULL) < 0)
        return -EBADMSG;
    CLEANUP_FREE char *after = parse_path(json_member(document->root, "after"), false);
    if (!after)
        return -EBADMSG;
    strcpy(state.after, after);
    int result = parse_sizes(document->root, &state);
    if (result < 0) {
        clean_state_clear(&state);
        return result;
    }
    *ret = state;
    return 0;
}

static cJSON *build_candidate(const struct clean_candidate *candidate)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string_reference(object, "slot", candidate->path);
    json_add_integer(object, "seconds", candidate->last_used.tv_sec);
    json_add_integer(object, "nanoseconds", candidate->last_used.tv_nsec);
    json_add_unsigned(object, "bytes", candidate->bytes);
    return object;
}

static cJSON *build_head(const struct clean_state *state)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string_reference(object, "after", state->after);
    if (state->sized)
        json_add_unsigned(object, "bytes", MIN(state->bytes, (uint64_t)INT64_MAX));
    return object;
}

void clean_state_format(struct text *text, const struct clean_state *state)
{
    struct json_stream stream = {.text = *text};
    json_stream_open(&stream, NULL, '{');
    json_stream_add_members(&stream, build_head(state));
    if (state->sized) {
        json_stream_open(&stream, "oldest", '[');
        for (size_t i = 0; i < state->count; i++)
            json_stream_add(&stream, build_candidate(&state->oldest[i]));
        json_stream_close(&stream, ']');
    }
    json_stream_close(&stream, '}');
    *text = stream.text;
    text_append_byte(text, '\n');
}

/* The file. */

/* Whether nobody else can have written a file. Another user can move a file of this user's here
 * that was copied from one of theirs; then they let this user read theirs, and so does the copy. */
static bool is_private(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_uid == geteuid() && status.st_nlink == 1 &&
           !(status.st_mode & (S_IRWXG | S_IRWXO));
}

void clean_state_load(const struct pkgcache *cache, struct clean_state *ret)
{
    char name[FILE_NAME_SIZE];
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_TEXT struct text text = {0};
    format_file_name(name);
    if (file_open_regular(cache->sys_fd, name, &fd, NULL) == 0 && is_private(fd) &&
        file_read(fd, CLEAN_STATE_MAX_BYTES, &text, NULL) == 0)
        clean_state_parse(text.bytes, text.length, ret);
}

/* Makes a file that only this user may write to, from its first moment. Returns 0 or -errno. */
static int make_private(int dirfd, const char *name, const char *text)
{
    CLEANUP_CLOSE int fd = names_open_file(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return -errno;
    int result = file_write(fd, text);
    if (result < 0)
        unlinkat(dirfd, name, 0);
    return result;
}

int clean_state_save(const struct pkgcache *cache, const struct clean_state *state)
{
    char name[FILE_NAME_SIZE];
    char aside[64];
    CLEANUP_TEXT struct text text = {0};
    if (!*state->after || cache->staging_fd < 0)
        return 0;
    clean_state_format(&text, state);
    if (text.error < 0)
        return text.error;
    format_file_name(name);
    cache_unique_name(name, aside, sizeof(aside)); /* left there, it belongs to nobody */
    int result = make_private(cache->staging_fd, aside, text.bytes);
    if (result == 0 && renameat(cache->staging_fd, aside, cache->sys_fd, name) < 0) {
        result = -errno;
        unlinkat(cache->staging_fd, aside, 0);
    }
    return result;
}

void clean_state_forget(const struct pkgcache *cache)
{
    char name[FILE_NAME_SIZE];
    format_file_name(name);
    unlinkat(cache->sys_fd, name, 0);
}
