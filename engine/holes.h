/*
 * Where the holes of a file are, as its file system tells: SEEK_DATA in lseek(2). It is asked of
 * files that have fewer blocks than their size needs, so others pay nothing for it.
 */
#pragma once

#include "engine/io.h"

enum holes {
    HOLES_NONE,   /* none is to be expected */
    HOLES_TOLD,   /* holes_find_data tells where they are */
    HOLES_UNTOLD, /* there are some, and the file system does not tell where */
};

/** How many bytes of a file are data, at most. @param blocks that it takes, as statx(2) counts */
uint64_t holes_data_bytes(uint64_t size, uint64_t blocks);

/**
 * Learns what is known of the holes of a file, which is open for reading.
 *
 * @param stacked its file system keeps contents in another one
 */
enum holes holes_learn(const struct io_port *port, int fd, bool stacked, uint64_t size,
                       uint64_t blocks);

/**
 * Finds the next data.
 *
 * @param fd         of a file whose holes are told
 * @param offset     from here on, less than `end`
 * @param end        up to here
 * @param ret_offset where it begins; `end`: there is no more
 * @param ret_end    where it ends
 */
void holes_find_data(const struct io_port *port, int fd, uint64_t offset, uint64_t end,
                     uint64_t *ret_offset, uint64_t *ret_end);
