/* Sorting the records of a scan, which come in any order. */
#include "cache/publishing/scan_order.h"

#include "cache/pack/pack.h"
#include "cache/pack/records.h"
#include "engine/compiler.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { FIELDS = 5 }; /* before the path */

/* Where the path of a record is; records come from our own engine. */
static const char *path_of(const char *record)
{
    for (int i = 0; i < FIELDS; i++)
        record += strcspn(record, " ") + 1;
    return record;
}

/* The root comes first, and "." would come behind names such as "+". */
static int compare(const void *a, const void *b)
{
    const char *path_a = path_of(*(const char *const *)a);
    const char *path_b = path_of(*(const char *const *)b);
    bool root_a = strcmp(path_a, ".") == 0;
    bool root_b = strcmp(path_b, ".") == 0;
    return root_a || root_b ? root_b - root_a : pack_compare_paths(path_a, path_b);
}

static int map(int fd, struct scan_order *order)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size == 0)
        return -EBADMSG;
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    order->bytes = bytes;
    order->length = (size_t)status.st_size;
    return 0;
}

/* Whether a text begins with as many fields as a record has. */
static bool has_fields(const char *record)
{
    for (int i = 0; i < FIELDS; i++) {
        record = strchr(record, ' ');
        if (!record++)
            return false;
    }
    return true;
}

static int find_records(struct scan_order *order, size_t max)
{
    const char *at = order->bytes;
    const char *end = at + order->length;
    size_t capacity = 0;
    const char *text = "";
    for (size_t number = 0; at < end; number++) {
        const char *nul = memchr(at, '\0', (size_t)(end - at));
        text = at;
        if (!nul)
            return -EBADMSG;
        at = nul + 1;
        if (number == 0 || at == end) /* the version; the end */
            continue;
        if (order->count == max)
            return -E2BIG;
        if (!has_fields(text))
            return -EBADMSG;
        if (record_grow(&order->records, &capacity, order->count, sizeof(*order->records)) < 0)
            return -ENOMEM;
        order->records[order->count++] = text;
    }
    uint64_t count;
    return record_take_word(&text, "end") && record_take_number(&text, '\0', max, &count) &&
                   count == order->count
               ? 0
               : -EBADMSG;
}

int scan_order_open(int fd, size_t max, struct scan_order *ret)
{
    *ret = (struct scan_order){0};
    int result = map(fd, ret);
    if (result == 0)
        result = find_records(ret, max);
    if (result == 0 && ret->count > 0)
        qsort(ret->records, ret->count, sizeof(*ret->records), compare);
    return result;
}

void scan_order_free(struct scan_order *order)
{
    if (order->bytes)
        munmap(order->bytes, order->length);
    free(order->records);
    *order = (struct scan_order){0};
}
