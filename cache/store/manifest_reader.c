/* Reading manifests with suspicion. */
#include "cache/store/manifest_reader.h"

#include "engine/compiler.h"

#include <ctype.h>
#include <string.h>

#define MANIFEST_HEAD "pkgcache-manifest "

enum { NANOSECOND_DIGITS = 9, ERRNO_MAX = 4095 };

/*
 * Takes a number and the character behind it off the text. strtoull(3) alone would accept blanks,
 * signs and prefixes.
 */
static bool take_number(const char **text, int base, char after, uint64_t maximum, uint64_t *ret)
{
    char *end;
    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    *ret = strtoull(*text, &end, base);
    if (errno || *ret > maximum || *end != after)
        return false;
    *text = end + (after != '\0');
    return true;
}

/* The seconds may be before the epoch. */
bool manifest_take_time(const char **text, char after, struct timespec *ret)
{
    uint64_t seconds;
    uint64_t nanoseconds;
    bool negative = **text == '-';
    *text += negative;
    if (!take_number(text, 10, '.', INT64_MAX, &seconds) ||
        strspn(*text, "0123456789") != NANOSECOND_DIGITS ||
        !take_number(text, 10, after, UINT32_MAX, &nanoseconds))
        return false;
    ret->tv_sec = negative ? -(time_t)seconds : (time_t)seconds;
    ret->tv_nsec = (long)nanoseconds;
    return true;
}

static int hexadecimal(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* A digest, -, or ! and why there is none; and the space behind it. */
static bool take_digest(const char **text, struct manifest_record *record)
{
    uint64_t error;
    if (strncmp(*text, "- ", 2) == 0) {
        *text += 2;
        return true;
    }
    if (**text == '!') {
        ++*text;
        if (!take_number(text, 10, ' ', ERRNO_MAX, &error) || error == 0)
            return false;
        record->error = (int)error;
        return true;
    }
    for (size_t i = 0; i < sizeof(record->digest); i++) {
        int high = hexadecimal(**text);
        int low = high < 0 ? -1 : hexadecimal((*text)[1]);
        if (low < 0)
            return false;
        record->digest[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    record->has_digest = true;
    return *(*text)++ == ' ';
}

/* Whether a path leads to something inside a tree. */
static bool is_inside(const char *path)
{
    if (strcmp(path, ".") == 0)
        return true;
    for (;;) {
        size_t length = strcspn(path, "/");
        if (length == 0 || (length == 1 && path[0] == '.') ||
            (length == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (!path[length])
            return true;
        path += length + 1;
    }
}

int manifest_record_parse(const char *text, struct manifest_record *ret)
{
    struct manifest_record record = {.type = *text};
    uint64_t mode;
    if (!*text || !strchr("fdlo", *text) || text[1] != ' ')
        return -EBADMSG;
    text += 2;
    if (!take_number(&text, 8, ' ', 07777, &mode) ||
        !take_number(&text, 10, ' ', INT64_MAX, &record.size) ||
        !manifest_take_time(&text, ' ', &record.mtime) || !take_digest(&text, &record) ||
        !is_inside(text))
        return -EBADMSG;
    record.mode = (mode_t)mode;
    record.path = text;
    *ret = record;
    return 0;
}

/* The next text that ends in NUL. Returns 1; 0: the file ends, and no text is left; or -errno. */
static int next_text(struct manifest_reader *reader, const char **ret)
{
    for (;;) {
        size_t length = reader->end - reader->at;
        const char *text = reader->buffer + reader->at;
        const char *nul = memchr(text, '\0', length);
        if (nul) {
            reader->at += (size_t)(nul - text) + 1;
            *ret = text;
            return 1;
        }
        memmove(reader->buffer, text, length);
        reader->at = 0;
        reader->end = length;
        if (length == sizeof(reader->buffer))
            return -EBADMSG;
        ssize_t bytes = pread(reader->fd, reader->buffer + length, sizeof(reader->buffer) - length,
                              (off_t)reader->offset);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return -errno;
        if (bytes == 0)
            return length == 0 ? 0 : -EBADMSG;
        reader->offset += (uint64_t)bytes;
        reader->end += (size_t)bytes;
    }
}

/* The version that the first text names; 0: none that is known. */
static unsigned parse_head(const char *head)
{
    size_t length = strlen(MANIFEST_HEAD);
    if (strncmp(head, MANIFEST_HEAD, length) != 0)
        return 0;
    return strcmp(head + length, "1") == 0 ? 1 : strcmp(head + length, "2") == 0 ? 2 : 0;
}

int manifest_reader_open(struct manifest_reader *reader, int fd, uint64_t offset)
{
    const char *head = "";
    reader->fd = fd;
    reader->offset = offset;
    reader->count = 0;
    reader->at = reader->end = 0;
    int result = next_text(reader, &head);
    if (result < 0)
        return result;
    reader->version = result == 1 ? parse_head(head) : 0;
    return reader->version > 0 ? 0 : -EBADMSG;
}

void manifest_reader_seek(struct manifest_reader *reader, int fd, uint64_t offset)
{
    reader->fd = fd;
    reader->offset = offset;
    reader->at = reader->end = 0;
}

unsigned manifest_version(int fd, uint64_t offset)
{
    char head[sizeof(MANIFEST_HEAD) + 1];
    ssize_t length = pread(fd, head, sizeof(head), (off_t)offset);
    return length == sizeof(head) && head[length - 1] == '\0' ? parse_head(head) : 0;
}

/* The last record: it counts the others, and nothing follows. */
static int check_end(struct manifest_reader *reader, const char *text)
{
    uint64_t count;
    if (!take_number(&text, 10, '\0', UINT64_MAX, &count) || count != reader->count)
        return -EBADMSG;
    int result = next_text(reader, &text);
    return result == 1 ? -EBADMSG : result;
}

int manifest_reader_next(struct manifest_reader *reader, struct manifest_record *ret)
{
    static const char end[] = "end ";
    const char *text = "";
    int result = next_text(reader, &text);
    if (result <= 0)
        return result < 0 ? result : -EBADMSG;
    if (strncmp(text, end, sizeof(end) - 1) == 0)
        return check_end(reader, text + sizeof(end) - 1);
    result = manifest_record_parse(text, ret);
    if (result < 0)
        return result;
    reader->count++;
    return 1;
}
