/* Handles and their hash: all of rez's vectors, and every reason to refuse one. */
#include "cache/store/handle.h"
#include "tests/unit/vectors.h"

#include <stdint.h>

/* Checks a handle of any kind, as it stands, against what rez printed for it. */
static void expect_hash(const struct json *handle, const struct json *expected, const char *label)
{
    CLEANUP_TEXT struct text repr = {0};
    CLEANUP_TEXT struct text path = {0};
    char sha1[SHA1_HEX_SIZE];
    cr_assert(handle_repr_json(&repr, handle) == 0);
    cr_assert(handle_hash_json(handle, sha1, &path) == 0);
    cr_expect(json_is_string(vectors_member(expected, "repr"), repr.bytes), "%s: %s", label,
              repr.bytes);
    cr_expect(json_is_string(vectors_member(expected, "sha1"), sha1), "%s: %s", label, sha1);
    sha1[4] = '\0';
    cr_expect(json_is_string(vectors_member(expected, "hash4"), sha1), "%s: %s", label, sha1);
    cr_expect(json_is_string(vectors_member(expected, "relpath"), path.bytes), "%s: %s", label,
              path.bytes);
}

/* Checks a handle that is accepted against what rez makes of it before it hashes. */
static void expect_accepted(const struct pkgcache_handle *handle, const struct json *read_back)
{
    CLEANUP_TEXT struct text expected = {0};
    CLEANUP_TEXT struct text written = {0};
    const struct json *variables = vectors_member(vectors_member(read_back, "handle"), "variables");
    cr_expect(json_is_string(vectors_member(read_back, "relpath"), handle->relative_path));
    cr_expect(json_is_string(vectors_member(read_back, "hash4"), handle->hash4));
    cr_expect(json_is_string(vectors_member(variables, "location"), handle->location_text));
    cr_expect(json_is_string(vectors_member(variables, "name"), handle->name));
    if (json_has_key(variables->first,
                     "location")) { /* else: given in an order that rez never writes */
        json_write(&expected, vectors_member(read_back, "handle"));
        handle_to_json(&written, handle);
        cr_expect(text_is(&written, expected.bytes, expected.length), "%s", written.bytes);
    }
    CLEANUP_HANDLE struct pkgcache_handle *again = NULL;
    CLEANUP_TEXT struct text text = {0};
    handle_to_json(&text, handle);
    cr_assert(handle_parse(text.bytes, text.length, &again, NULL) == 0);
    cr_expect(handle_equal(handle, again));
    cr_expect_str_eq(handle->relative_path, again->relative_path);
}

static void check_vector(struct json *vector, size_t *accepted)
{
    const struct json *handle_json = vectors_member(vector, "handle");
    const char *label = vectors_member(vector, "label")->text;
    const struct json *read_back = vectors_member(vector, "via_get_variant");
    const struct json *variables = vectors_member(handle_json, "variables");

    CLEANUP_TEXT struct text sidecar = {0};
    text_append_string(&sidecar, "{\"handle\": ");
    json_write(&sidecar, handle_json);
    text_append_byte(&sidecar, '}');
    cr_expect(json_is_string(vectors_member(vector, "sidecar_handle_json"), sidecar.bytes),
              "%s: %s", label, sidecar.bytes);
    if (strcmp(label, "extra = tuple 2") == 0) /* which JSON cannot express */
        ((struct json *)vectors_member(variables, "extra"))->type = JSON_TUPLE;
    expect_hash(handle_json, vector, label);
    bool readable = !json_member(read_back, "error");
    if (readable)
        expect_hash(vectors_member(read_back, "handle"), read_back, label);

    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    struct pkgcache_error error = {0};
    int result = handle_from_json(handle_json, &handle, &error);
    bool ours = readable && !json_member(variables, "extra") && !json_member(variables, "ext");
    cr_expect(result == (ours ? 0 : -EINVAL), "%s: %d %s", label, result, error.message);
    if (result == 0) {
        cr_expect(handle_equals_json(handle, handle_json), "%s", label);
        expect_accepted(handle, read_back);
        (*accepted)++;
    }
}

Test(handle, vectors)
{
    CLEANUP_JSON struct json_document *document = vectors_load("handles.json");
    size_t count = 0;
    size_t accepted = 0;
    for (struct json *vector = document->root->first; vector; vector = vector->next, count++)
        check_vector(vector, &accepted);
    cr_expect(count == 47);
    cr_expect(accepted == 31, "%zu", accepted);
}

Test(handle, equality_is_that_of_the_parts)
{
    CLEANUP_HANDLE struct pkgcache_handle *a = NULL;
    cr_assert(handle_create("/svr", "foo", "1.0", 0, &a, NULL) == 0);
    static const struct {
        const char *location;
        const char *name;
        const char *version;
        int32_t index;
        bool equal;
    } others[] = {
        {"/svr", "foo", "1.0", 0, true},  {"/svr/", "foo", "1.0", 0, false},
        {"/svr", "foa", "1.0", 0, false}, {"/svr", "foo", "1", 0, false},
        {"/svr", "foo", NULL, 0, false},  {"/svr", "foo", "1.0", -1, false},
        {"/svr", "foo", "1.0", 1, false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        CLEANUP_HANDLE struct pkgcache_handle *b = NULL;
        cr_assert(handle_create(others[i].location, others[i].name, others[i].version,
                                others[i].index, &b, NULL) == 0);
        cr_expect(handle_equal(a, b) == others[i].equal, "%zu", i);
        cr_expect(handle_equal(b, a) == others[i].equal, "%zu", i);
        CLEANUP_TEXT struct text text = {0};
        CLEANUP_JSON struct json_document *document = NULL;
        handle_to_json(&text, b);
        cr_assert(json_parse(text.bytes, text.length, &document, NULL) == 0);
        cr_expect(handle_equals_json(a, document->root) == others[i].equal, "%zu", i);
    }
}

Test(handle, parts_without_version)
{
    static const char *const versions[] = {NULL, "", HANDLE_NO_VERSION};
    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
        cr_assert(handle_create("/svr/packages", "foo", versions[i], -1, &handle, NULL) == 0);
        cr_expect(handle->version == NULL);
        cr_expect_str_eq(handle->qualified_name, "foo");
        cr_expect_str_eq(handle->relative_path, "foo/_NO_VERSION/5b09");
    }
}

Test(handle, undecodable_locations)
{
    CLEANUP_HANDLE struct pkgcache_handle *made = NULL;
    CLEANUP_HANDLE struct pkgcache_handle *parsed = NULL;
    CLEANUP_TEXT struct text text = {0};
    cr_assert(handle_create("/svr/\xff", "foo", "1.0.0", INT32_MAX, &made, NULL) == 0);
    cr_expect_str_eq(made->location, "/svr/\xff");
    cr_expect_str_eq(made->location_text, "/svr/\xed\xb3\xbf");
    cr_expect_str_eq(made->qualified_name, "foo-1.0.0");
    handle_to_json(&text, made);
    cr_expect(strstr(text.bytes, "\"/svr/\\udcff\""));
    cr_expect(strstr(text.bytes, "\"index\": 2147483647"));
    cr_assert(handle_parse(text.bytes, text.length, &parsed, NULL) == 0);
    cr_expect(handle_equal(made, parsed));
    cr_expect_str_eq(parsed->location, "/svr/\xff");
    cr_expect_str_eq(parsed->relative_path, made->relative_path);
}

static void expect_refused(const char *text, const char *message)
{
    struct pkgcache_handle *handle = NULL;
    struct pkgcache_error error = {0};
    CLEANUP_HANDLE struct pkgcache_handle *some = NULL;
    CLEANUP_JSON struct json_document *document = NULL;
    cr_assert(handle_create("/svr", "foo", NULL, HANDLE_NO_INDEX, &some, NULL) == 0);
    if (json_parse(text, strlen(text), &document, NULL) == 0)
        cr_expect(!handle_equals_json(some, document->root), "%s", text);
    int result = handle_parse(text, strlen(text), &handle, &error);
    cr_expect(result == -EINVAL, "%s: %d", text, result);
    cr_expect(handle == NULL);
    cr_expect(strstr(error.message, message), "%s: %s", text, error.message);
}

/* A handle of which one variable, or some text of JSON, is as given. */
static void expect_refused_with(const char *location, const char *name, const char *version,
                                const char *index, const char *message)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "{\"key\": \"filesystem.variant\", \"variables\": {\"location\": %s, \"name\": %s, "
             "\"version\": %s, \"index\": %s, \"repository_type\": \"filesystem\"}}",
             location, name, version, index);
    expect_refused(text, message);
}

static void expect_component_refused(const char *component, const char *message)
{
    char expected[256];
    snprintf(expected, sizeof(expected), "handle: name %s", message);
    expect_refused_with("\"/svr\"", component, "\"1\"", "0", expected);
    snprintf(expected, sizeof(expected), "handle: version %s", message);
    expect_refused_with("\"/svr\"", "\"foo\"", component, "0", expected);
}

Test(handle, refuses_names_and_versions_that_are_no_directory_names)
{
    expect_component_refused("\"a/b\"", "\"a/b\" must not contain '/'");
    expect_component_refused("\"..\"", "\"..\" cannot be a directory's name");
    expect_component_refused("\".\"", "\".\" cannot be a directory's name");
    expect_component_refused("\"../../etc\"", "\"../../etc\" must not contain '/'");
    expect_component_refused("\"a\\u0000\"", "\"a\\u0000\" must not contain control characters");
    expect_component_refused("\"a\\n\"", "\"a\\n\" must not contain control characters");
    expect_component_refused("\"a\\u001b\"", "\"a\\u001b\" must not contain control characters");
    expect_component_refused("\"a\\u0085\"", "\"a\\u0085\" must not contain control characters");
    expect_component_refused("\"a\\udcff\"", "\"a\\udcff\" is not UTF-8");
    expect_component_refused("\"a\\ud800\"", "\"a\\ud800\" is not UTF-8");
    expect_component_refused("true", "true must be a string");
    expect_component_refused("0", "0 must be a string");
    expect_component_refused("[]", "[] must be a string");
    char component[303];
    snprintf(component, sizeof(component), "\"%0*d\"", 300, 0);
    expect_component_refused(component, "\"0000000");
    expect_refused_with("\"/svr\"", component, "\"1\"", "0", "... is longer than 255 bytes");
}

Test(handle, refuses_names_that_rez_would_not_see)
{
    expect_refused_with("\"/svr\"", "\".foo\"", "\"1\"", "0", "\".foo\" must not begin with '.'");
    expect_refused_with("\"/svr\"", "\"\"", "\"1\"", "0", "name \"\" must not be empty");
    expect_refused_with("\"/svr\"", "null", "\"1\"", "0", "name null must be a string");
}

Test(handle, accepts_names_of_255_bytes)
{
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    CLEANUP_HANDLE struct pkgcache_handle *handle = NULL;
    cr_assert(handle_create("/svr", name, name, 0, &handle, NULL) == 0);
    cr_expect(strlen(handle->relative_path) == 255 + 1 + 255 + 1 + 4);
    cr_expect(strlen(handle->qualified_name) == 255 + 1 + 255);
}

Test(handle, refuses_locations_that_are_no_absolute_path)
{
    expect_refused_with("\"\"", "\"foo\"", "\"1\"", "0", "location \"\" must not be empty");
    expect_refused_with("\"svr\"", "\"foo\"", "\"1\"", "0", "\"svr\" must be an absolute path");
    expect_refused_with("null", "\"foo\"", "\"1\"", "0", "location null must be a string");
    expect_refused_with("\"/a\\u0000b\"", "\"foo\"", "\"1\"", "0", "must not contain NUL");
    expect_refused_with("\"/\\ud800\"", "\"foo\"", "\"1\"", "0", "stands for no byte");
    expect_refused_with("\"/\\udc7f\"", "\"foo\"", "\"1\"", "0", "stands for no byte");
    expect_refused_with("\"/\\udd00\"", "\"foo\"", "\"1\"", "0", "stands for no byte");
}

Test(handle, refuses_indexes_that_are_no_whole_number)
{
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "-1", "index -1 is not between 0 and");
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "2147483648", "is not between 0 and");
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "99999999999999999999", "is not between");
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "0.0", "index 0.0 must be a whole number");
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "false", "false must be a whole number");
    expect_refused_with("\"/svr\"", "\"foo\"", "\"1\"", "\"0\"", "\"0\" must be a whole number");
}

#define WITH(key, variables) "{\"key\": " key ", \"variables\": " variables "}"
#define VARIABLES(type, more)                                                                    \
    "{\"location\": \"/svr\", \"name\": \"foo\", \"version\": \"1\", \"repository_type\": " type \
        more "}"

Test(handle, refuses_other_shapes)
{
    expect_refused("[]", "value [] must be an object");
    expect_refused("{}", "key is missing: it must be \"filesystem.variant\"");
    expect_refused(WITH("\"filesystem.package\"", "{}"), "key \"filesystem.package\" must be");
    expect_refused(WITH("\"filesystem.variant\\u0000\"", "{}"), "must be");
    expect_refused(WITH("1", "{}"), "key 1 must be");
    expect_refused(WITH("\"filesystem.variant\"", "[]"), "variables [] must be an object");
    expect_refused(WITH("\"filesystem.variant\"", "{}"), "repository_type is missing: it must be");
    expect_refused(WITH("\"filesystem.variant\"", VARIABLES("\"memory\"", "")),
                   "repository_type \"memory\" must be \"filesystem\"");
    expect_refused(WITH("\"filesystem.variant\"", VARIABLES("\"filesystem\"", "")),
                   "the index is missing");
    expect_refused(WITH("\"filesystem.variant\"", VARIABLES("\"filesystem\"", ", \"ext\": 1")),
                   "member \"ext\" is not one that rez can read");
    expect_refused("{\"handle\": {}, \"key\": \"filesystem.variant\", \"variables\": {}}",
                   "member \"handle\" is not one");
}

Test(handle, refuses_text_that_is_not_json)
{
    struct pkgcache_handle *handle = NULL;
    struct pkgcache_error error = {0};
    cr_expect(handle_parse("{", 1, &handle, &error) == -EBADMSG);
    cr_expect(handle_parse("{\"key\": \"\xff\"}", 12, &handle, &error) == -EBADMSG);
    cr_expect(strstr(error.message, "not UTF-8"));
    CLEANUP_TEXT struct text deep = {0};
    for (int i = 0; i < 10000; i++)
        text_append_string(&deep, "{\"key\":");
    cr_expect(handle_parse(deep.bytes, deep.length, &handle, &error) == -EBADMSG);
    cr_expect(handle == NULL);
}

Test(handle, refuses_bad_parts)
{
    struct pkgcache_handle *handle = NULL;
    cr_expect(handle_create("svr", "foo", "1", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("", "foo", "1", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("/svr", "f/o", "1", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("/svr", "", "1", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("/svr", "f\xff", "1", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("/svr", "foo", "..", 0, &handle, NULL) == -EINVAL);
    cr_expect(handle_create("/svr", "foo", "1", -2, &handle, NULL) == -EINVAL);
    cr_expect(handle == NULL);
}
