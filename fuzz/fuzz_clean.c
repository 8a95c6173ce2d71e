/*
 * What clean reads that others may have written: the state of the clean before, and sizes. A path
 * in a state leads nowhere but into a slot, and what is accepted survives being written.
 */
#include "cache/clean/clean_state.h"
#include "cache/store/size.h"
#include "fuzz/fuzz.h"

#include <string.h>

static void check_path(const char *path, int slashes)
{
    FUZZ_CHECK(strlen(path) < CLEAN_PATH_MAX && *path != '/' && *path != '.');
    FUZZ_CHECK(!strstr(path, "/.") && !strstr(path, "//"));
    for (; (path = strchr(path, '/')); path++)
        slashes--;
    FUZZ_CHECK(slashes == 0);
}

static void check_state(const char *text, size_t length)
{
    struct clean_state state = {.limit = 8};
    struct clean_state again = {.limit = 8};
    struct text written = {0};
    if (clean_state_parse(text, length, &state) < 0)
        return;
    check_path(state.after, 2);
    FUZZ_CHECK(state.count <= state.limit && (state.sized || state.count == 0));
    for (size_t i = 0; i < state.count; i++)
        check_path(state.oldest[i].path, 3);
    clean_state_format(&written, &state);
    FUZZ_CHECK(written.error == 0);
    FUZZ_CHECK(clean_state_parse(written.bytes, written.length, &again) == 0);
    FUZZ_CHECK(again.count == state.count && again.bytes == state.bytes);
    FUZZ_CHECK(strcmp(again.after, state.after) == 0);
    clean_state_sort(&again);
    text_free(&written);
    clean_state_clear(&state);
    clean_state_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct size found;
    check_state((const char *)data, size);
    if (size_parse((const char *)data, size, &found) == 0)
        FUZZ_CHECK(found.bytes <= INT64_MAX && found.files <= INT64_MAX);
    return 0;
}
