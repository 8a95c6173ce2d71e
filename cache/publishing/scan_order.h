/* The records of a scan (engine/manifest.h) in the order of a walk with sorted names. */
#pragma once

#include <stddef.h>

/** Starts as `struct scan_order order = {0};`. */
struct scan_order {
    const char **records; /* each ends in NUL; manifest_record_parse reads them */
    size_t count;
    char *bytes; /* private: the file, mapped */
    size_t length;
};

/**
 * Sorts. The file stays on the disk: memory is that of a pointer for each record.
 *
 * @param fd  of the manifest that a scan wrote, complete, which nobody writes to any more
 * @param max records; more are refused
 * @param ret freed with scan_order_free, whatever is returned
 * @return    0; -EBADMSG: it is none; -E2BIG: it has more records; -ENOMEM; or what mmap says
 */
int scan_order_open(int fd, size_t max, struct scan_order *ret);

void scan_order_free(struct scan_order *order);
