/* For the tests of the engine: copies of small trees, and what they warn of. */
#pragma once

#include "tests/unit/engine_support.h"

static inline void make_files(int count)
{
    char name[32];
    cr_assert_eq(mkdir("source", 0755), 0);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "source/%d", i);
        make_file(name, i % 2 ? "odd" : "even", 0644);
    }
}

/* What a job warns of. */
struct told {
    unsigned count;
    char first[PATH_MAX + 512];
    char last[PATH_MAX + 512];
};

static inline void note_warning(void *context, const char *path, const char *text)
{
    struct told *told = context;
    snprintf(told->last, sizeof(told->last), "%s: %s", path, text);
    if (told->count++ == 0)
        snprintf(told->first, sizeof(told->first), "%s: %s", path, text);
}

static inline struct told copy_tree(const char *source, const char *destination)
{
    struct told told = {0};
    struct copyengine_copy copy = copy_of(source, destination);
    copy.on_warning = note_warning;
    copy.context = &told;
    struct copyengine_result result = run(copy);
    cr_assert_eq(result.error.code, 0, "%s %s: %s", result.error.operation, result.error.path,
                 strerror(result.error.code));
    return told;
}
