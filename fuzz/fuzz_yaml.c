/* YAML documents: what is read stays in its bounds, and can be written. */
#include "cache/json/repr.h"
#include "cache/rez/yaml.h"
#include "fuzz/fuzz.h"

#include <string.h>

static size_t check(const struct json *value, int depth)
{
    size_t count = 1;
    FUZZ_CHECK(depth <= JSON_MAX_DEPTH + 1);
    for (const struct json *child = value->first; child; child = child->next) {
        FUZZ_CHECK((value->type == JSON_OBJECT) == (child->key != NULL));
        count += check(child, depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_VALUES struct values values = {0};
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text written = {0};
    struct pkgcache_error error = {0};
    struct json *root;
    int result = yaml_parse((const char *)data, size, &values, &root, &error);
    FUZZ_CHECK(result == 0 || (result == -EBADMSG && *error.message));
    if (result < 0)
        return 0;
    FUZZ_CHECK(check(root, 1) <= 1 << 20);
    repr_append(&repr, root);
    json_write(&written, root);
    FUZZ_CHECK(!repr.error && !written.error);
    return 0;
}
