/* A handle that is accepted survives being written, and never names a place outside the cache. */
#include "cache/store/handle.h"
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <string.h>

static void check_component(const char *component, size_t length)
{
    FUZZ_CHECK(length > 0 && length <= HANDLE_COMPONENT_MAX);
    FUZZ_CHECK(!(length == 1 && component[0] == '.'));
    FUZZ_CHECK(!(length == 2 && memcmp(component, "..", 2) == 0));
    FUZZ_CHECK(utf8_is_valid(component, length, UTF8_STRICT));
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK(!iscntrl((unsigned char)component[i]));
}

static void check_path(const struct pkgcache_handle *handle)
{
    const char *name = handle->relative_path;
    const char *version = strchr(name, '/');
    FUZZ_CHECK(version && name[0] != '.');
    version++;
    const char *hash4 = strchr(version, '/');
    FUZZ_CHECK(hash4 && !strchr(hash4 + 1, '/'));
    hash4++;
    check_component(name, (size_t)(version - 1 - name));
    check_component(version, (size_t)(hash4 - 1 - version));
    FUZZ_CHECK(hash4 == handle->hash4 && strlen(hash4) == 4);
    FUZZ_CHECK(strspn(hash4, "0123456789abcdef") == 4);
    FUZZ_CHECK(handle->location[0] == '/');
    FUZZ_CHECK(handle->index >= HANDLE_NO_INDEX);
    FUZZ_CHECK(!strchr(handle->qualified_name, '/'));
}

static void check_accepted(const struct pkgcache_handle *handle)
{
    CLEANUP_TEXT struct text text = {0};
    CLEANUP_TEXT struct text path = {0};
    CLEANUP_HANDLE struct pkgcache_handle *again = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *made = NULL;
    CLEANUP_JSON struct json_document *document = NULL;
    char sha1[SHA1_HEX_SIZE];
    check_path(handle);
    handle_to_json(&text, handle);
    FUZZ_CHECK(text.error == 0);
    FUZZ_CHECK(handle_parse(text.bytes, text.length, &again, NULL) == 0);
    FUZZ_CHECK(handle_equal(handle, again));
    FUZZ_CHECK(strcmp(handle->relative_path, again->relative_path) == 0);

    FUZZ_CHECK(json_parse(text.bytes, text.length, &document, NULL) == 0);
    FUZZ_CHECK(handle_equals_json(handle, document->root));
    FUZZ_CHECK(handle_hash_json(document->root, sha1, &path) == 0);
    FUZZ_CHECK(strcmp(path.bytes, handle->relative_path) == 0);

    FUZZ_CHECK(handle_create(handle->location, handle->name, handle->version, handle->index, &made,
                             NULL) == 0);
    FUZZ_CHECK(strcmp(made->location, handle->location) == 0);
    bool same_text = strcmp(made->location_text, handle->location_text) == 0;
    FUZZ_CHECK(handle_equal(made, handle) == same_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_JSON struct json_document *document = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    struct pkgcache_error error = {0};
    if (json_parse((const char *)data, size, &document, &error) < 0)
        return 0;
    char sha1[SHA1_HEX_SIZE];
    CLEANUP_TEXT struct text path = {0};
    int hashed = handle_hash_json(document->root, sha1, &path);
    FUZZ_CHECK(hashed == 0 || hashed == -EINVAL);

    int result = handle_from_json(document->root, &handle, &error);
    FUZZ_CHECK(result == -error.code && (result == 0) == (handle != NULL));
    FUZZ_CHECK(result == 0 || (result == -EINVAL && error.message[0]));
    if (result == 0) {
        FUZZ_CHECK(handle_equals_json(handle, document->root));
        check_accepted(handle);
    }
    return 0;
}
