/* Making the table, and reading it. */
#include "cache/pack/seek_table.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

enum { ENTRY_BYTES = 8 };

static void put_number(uint8_t *at, uint32_t number)
{
    uint32_t little = htole32(number);
    memcpy(at, &little, sizeof(little));
}

static uint32_t get_number(const uint8_t *at)
{
    uint32_t little;
    memcpy(&little, at, sizeof(little));
    return le32toh(little);
}

size_t seek_table_bytes(size_t frame_count)
{
    return SEEK_TABLE_HEAD + frame_count * ENTRY_BYTES + SEEK_TABLE_FOOT;
}

void seek_table_fill(const struct frames_size *const sizes[2], const size_t counts[2], uint8_t *ret)
{
    size_t count = counts[0] + counts[1];
    put_number(ret, SEEK_TABLE_SKIPPABLE);
    put_number(ret + 4, (uint32_t)(seek_table_bytes(count) - SEEK_TABLE_HEAD));
    uint8_t *at = ret + SEEK_TABLE_HEAD;
    for (size_t part = 0; part < 2; part++)
        for (size_t i = 0; i < counts[part]; i++, at += ENTRY_BYTES) {
            put_number(at, sizes[part][i].stored);
            put_number(at + 4, sizes[part][i].size);
        }
    put_number(at, (uint32_t)count);
    at[4] = 0; /* no checksums: the frames have them */
    put_number(at + 5, SEEK_TABLE_MAGIC);
}

size_t seek_table_count(const uint8_t *table, size_t bytes)
{
    size_t count = (bytes - SEEK_TABLE_HEAD - SEEK_TABLE_FOOT) / ENTRY_BYTES;
    const uint8_t *foot = table + bytes - SEEK_TABLE_FOOT;
    bool is_one = bytes == seek_table_bytes(count) && get_number(table) == SEEK_TABLE_SKIPPABLE &&
                  get_number(table + 4) == bytes - SEEK_TABLE_HEAD && get_number(foot) == count &&
                  foot[4] == 0 && get_number(foot + 5) == SEEK_TABLE_MAGIC;
    return is_one ? count : 0;
}

struct frames_size seek_table_entry(const uint8_t *table, size_t number)
{
    const uint8_t *at = table + SEEK_TABLE_HEAD + number * ENTRY_BYTES;
    return (struct frames_size){get_number(at), get_number(at + 4)};
}
