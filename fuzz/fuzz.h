/* What every fuzz target has: libFuzzer's entry, and a check that also holds in release builds. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/** Feeds one input to the target; returns 0, or does not return. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                         \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)
