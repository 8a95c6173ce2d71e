/*
 * Handles and their hash. Whether rez can read a handle back was tried on rez 3.4.0; the repr that
 * is hashed is that of rez's ResourceHandle._hashable_repr(), src/rez/utils/resources.py.
 */
#include "cache/store/handle.h"

#include "cache/json/repr.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define VARIANT_KEY     "filesystem.variant"
#define REPOSITORY_TYPE "filesystem"

enum { HASH4_LENGTH = 4 };

/** What a handle is made of, before it is one; `version` is NULL for none. */
struct parts {
    const struct json *location;
    const struct json *name;
    const struct json *version;
    int32_t index;
};

/** A handle's variables, as JSON. */
struct variables {
    struct json index;
    struct json location;
    struct json name;
    struct json repository_type;
    struct json version;
    char digits[12];
};

static struct json string_value(const char *key, const char *bytes, size_t length)
{
    return (struct json){.type = JSON_STRING,
                         .text = bytes,
                         .text_length = length,
                         .key = key,
                         .key_length = strlen(key)};
}

static void describe_index(struct variables *variables, int32_t index)
{
    int length = snprintf(variables->digits, sizeof(variables->digits), "%" PRId32, index);
    variables->index = string_value("index", variables->digits, (size_t)length);
    variables->index.type = index == HANDLE_NO_INDEX ? JSON_NULL : JSON_INTEGER;
}

static void append_repr(struct text *text, const struct json *key, const struct json *const *sorted,
                        size_t count)
{
    text_append_byte(text, '(');
    repr_append(text, key);
    text_append_string(text, ", (");
    for (size_t i = 0; i < count; i++) {
        text_append_string(text, i > 0 ? ", (" : "(");
        repr_append_string(text, sorted[i]->key, sorted[i]->key_length);
        text_append_string(text, ", ");
        repr_append(text, sorted[i]);
        text_append_byte(text, ')');
    }
    text_append_string(text, count == 1 ? ",))" : "))");
}

static int compare_member_names(const void *a, const void *b)
{
    const struct json *left = *(const struct json *const *)a;
    const struct json *right = *(const struct json *const *)b;
    size_t common = MIN(left->key_length, right->key_length);
    int order = memcmp(left->key, right->key, common);
    if (order != 0)
        return order;
    return (left->key_length > right->key_length) - (left->key_length < right->key_length);
}

int handle_repr_json(struct text *text, const struct json *value)
{
    const struct json *key = json_member(value, "key");
    const struct json *variables = json_member(value, "variables");
    if (!key || !variables || variables->type != JSON_OBJECT)
        return -EINVAL;

    size_t count = 0;
    for (const struct json *member = variables->first; member; member = member->next)
        count++;
    CLEANUP_FREE const struct json **sorted = malloc((count + 1) * sizeof(const struct json *));
    if (!sorted)
        return -ENOMEM;
    const struct json **next = sorted;
    for (const struct json *member = variables->first; member; member = member->next)
        *next++ = member;
    qsort(sorted, count, sizeof(const struct json *), compare_member_names);
    append_repr(text, key, sorted, count);
    return text->error;
}

int handle_hash_json(const struct json *value, char ret_sha1[SHA1_HEX_SIZE], struct text *ret_path)
{
    CLEANUP_TEXT struct text repr = {0};
    int result = handle_repr_json(&repr, value);
    if (result == 0)
        result = sha1_hex(&repr, ret_sha1);
    if (result < 0 || !ret_path)
        return result;

    const struct json *variables = json_member(value, "variables");
    const struct json *name = json_member(variables, "name");
    const struct json *version = json_member(variables, "version");
    if (!name || name->type != JSON_STRING)
        return -EINVAL;
    text_append(ret_path, name->text, name->text_length);
    text_append_byte(ret_path, '/');
    if (version && version->type == JSON_STRING && version->text_length > 0)
        text_append(ret_path, version->text, version->text_length);
    else
        text_append_string(ret_path, HANDLE_NO_VERSION);
    text_append_byte(ret_path, '/');
    text_append(ret_path, ret_sha1, HASH4_LENGTH);
    return ret_path->error;
}

static int hash_parts(const struct parts *parts, unsigned char ret_sha1[SHA1_BYTES])
{
    static const struct json key = {
        .type = JSON_STRING, .text = VARIANT_KEY, .text_length = sizeof(VARIANT_KEY) - 1};
    struct variables variables;
    describe_index(&variables, parts->index);
    variables.location =
        string_value("location", parts->location->text, parts->location->text_length);
    variables.name = string_value("name", parts->name->text, parts->name->text_length);
    variables.repository_type =
        string_value("repository_type", REPOSITORY_TYPE, sizeof(REPOSITORY_TYPE) - 1);
    size_t count = 4;
    if (parts->version) {
        variables.version =
            string_value("version", parts->version->text, parts->version->text_length);
        count++;
    }
    const struct json *sorted[] = {&variables.index, &variables.location, &variables.name,
                                   &variables.repository_type, &variables.version};
    CLEANUP_TEXT struct text repr = {0};
    append_repr(&repr, &key, sorted, count);
    return sha1_digest(&repr, ret_sha1);
}

#define IS_MISSING "is missing"

/* Why a value cannot be the name of a directory in the cache; NULL: it can. */
static const char *component_fault(const struct json *value)
{
    if (!value)
        return IS_MISSING;
    if (value->type != JSON_STRING)
        return "must be a string";
    if (value->text_length == 0)
        return "must not be empty";
    if (value->text_length > HANDLE_COMPONENT_MAX)
        return "is longer than 255 bytes, and cannot be a directory's name";
    if (json_is_string(value, ".") || json_is_string(value, ".."))
        return "cannot be a directory's name";
    size_t used;
    for (size_t i = 0; i < value->text_length; i += used) {
        uint32_t code_point;
        used = utf8_decode(value->text + i, value->text_length - i, UTF8_STRICT, &code_point);
        if (used == 0)
            return "is not UTF-8";
        if (code_point == '/')
            return "must not contain '/'";
        if (code_point < 0x20 || (code_point >= 0x7f && code_point <= 0x9f))
            return "must not contain control characters";
    }
    return NULL;
}

static bool is_in_token(uint32_t code_point)
{
    return (code_point >= '0' && code_point <= '9') || (code_point >= 'a' && code_point <= 'z') ||
           (code_point >= 'A' && code_point <= 'Z') || code_point == '_';
}

/*
 * Whether rez can parse a version: tokens of ASCII letters, digits and `_`, with one character of
 * any other kind between two (src/rez/version/_version.py, Version.__init__). rez parses the
 * versions of all handles when it lists or cleans a cache, and gives up at the first that it
 * cannot.
 */
static bool is_version(const struct json *value)
{
    bool between = true; /* no token ends here */
    size_t used;
    for (size_t i = 0; i < value->text_length; i += used) {
        uint32_t code_point = 0;
        used = utf8_decode(value->text + i, value->text_length - i, UTF8_GENERALISED, &code_point);
        if (used == 0)
            return false;
        bool in_token = is_in_token(code_point);
        if (!in_token && between)
            return false;
        between = !in_token;
    }
    return !between;
}

static const char *version_fault(const struct json *value)
{
    const char *fault = component_fault(value);
    return fault || is_version(value)
               ? fault
               : "is none that rez can parse (letters, digits and _, with single characters "
                 "between them): with it in the cache, rez could neither list nor clean that";
}

static const char *name_fault(const struct json *value)
{
    const char *fault = component_fault(value);
    if (!fault && value->text[0] == '.')
        fault = "must not begin with '.': rez would not see it in the cache";
    return fault;
}

static const char *location_fault(const struct json *value)
{
    if (!value)
        return IS_MISSING;
    if (value->type != JSON_STRING)
        return "must be a string";
    if (value->text_length == 0)
        return "must not be empty";
    if (value->text[0] != '/')
        return "must be an absolute path";
    if (memchr(value->text, '\0', value->text_length))
        return "must not contain NUL";
    return NULL;
}

static int refuse(struct pkgcache_error *error, const char *what, const struct json *value,
                  const char *why)
{
    char quoted[JSON_QUOTE_SIZE];
    if (!value && strcmp(why, IS_MISSING) == 0)
        return error_set(error, EINVAL, "handle: %s %s", what, why);
    if (!value)
        return error_set(error, EINVAL, "handle: %s is missing: it %s", what, why);
    return error_set(error, EINVAL, "handle: %s %s %s", what, json_quote(value, quoted), why);
}

static int out_of_memory(struct pkgcache_error *error)
{
    return error_set(error, ENOMEM, "not enough memory for a handle");
}

static char *keep(char **room, const char *bytes, size_t length)
{
    char *kept = *room;
    memcpy(kept, bytes, length);
    kept[length] = '\0';
    *room += length + 1;
    return kept;
}

/* parts: checked, except for surrogates in the location. */
static int handle_build(const struct parts *parts, struct pkgcache_handle **ret_handle,
                        struct pkgcache_error *error)
{
    size_t location_size = parts->location->text_length + 1;
    size_t name_size = parts->name->text_length + 1;
    size_t version_size =
        parts->version ? parts->version->text_length + 1 : sizeof(HANDLE_NO_VERSION);
    size_t strings_size = 2 * location_size + 3 * name_size + 3 * version_size + HASH4_LENGTH + 1;
    CLEANUP_HANDLE struct pkgcache_handle *handle = malloc(sizeof(*handle) + strings_size);
    char hex[SHA1_HEX_SIZE];
    int result = handle ? hash_parts(parts, handle->sha1) : -ENOMEM;
    if (result == -ENOTSUP)
        return error_set(error, ENOTSUP, "handle: OpenSSL does not provide SHA-1 here");
    if (result < 0)
        return out_of_memory(error);

    char *room = (char *)(handle + 1);
    char *path = room;
    if (utf8_to_path(parts->location->text, parts->location->text_length, path) < 0)
        return refuse(error, "location", parts->location,
                      "contains a surrogate that stands for no byte: rez cannot encode it");
    room += location_size;
    handle->location = path;
    handle->location_text = keep(&room, parts->location->text, location_size - 1);
    handle->name = keep(&room, parts->name->text, name_size - 1);
    handle->version = parts->version ? keep(&room, parts->version->text, version_size - 1) : NULL;
    handle->index = parts->index;

    const char *version = handle->version ? handle->version : "";
    handle->qualified_name = room;
    room = stpcpy(stpcpy(stpcpy(room, handle->name), handle->version ? "-" : ""), version) + 1;
    sha1_print(handle->sha1, hex);
    handle->relative_path = room;
    room = stpcpy(stpcpy(room, handle->name), "/");
    room = stpcpy(stpcpy(room, handle->version ? version : HANDLE_NO_VERSION), "/");
    handle->hash4 = room;
    keep(&room, hex, HASH4_LENGTH);
    assert(room <= (char *)(handle + 1) + strings_size);
    *ret_handle = STEAL(handle);
    return 0;
}

static bool means_no_version(const struct json *version)
{
    return !version || version->type == JSON_NULL ||
           (version->type == JSON_BOOLEAN && !version->boolean) || json_is_string(version, "") ||
           json_is_string(version, HANDLE_NO_VERSION);
}

static int check_and_build(struct parts *parts, struct pkgcache_handle **ret_handle,
                           struct pkgcache_error *error)
{
    if (means_no_version(parts->version))
        parts->version = NULL;
    const char *fault = location_fault(parts->location);
    if (fault)
        return refuse(error, "location", parts->location, fault);
    fault = name_fault(parts->name);
    if (fault)
        return refuse(error, "name", parts->name, fault);
    fault = parts->version ? version_fault(parts->version) : NULL;
    if (fault)
        return refuse(error, "version", parts->version, fault);
    return handle_build(parts, ret_handle, error);
}

int handle_create(const char *location, const char *name, const char *version, int32_t index,
                  struct pkgcache_handle **ret_handle, struct pkgcache_error *error)
{
    CLEANUP_TEXT struct text location_text = {0};
    text_reserve(&location_text, strlen(location));
    utf8_append_path(&location_text, location, strlen(location));
    if (location_text.error)
        return out_of_memory(error);
    if (index < HANDLE_NO_INDEX)
        return error_set(error, EINVAL, "handle: index %" PRId32 " must not be negative", index);
    struct json values[] = {
        string_value("location", location_text.bytes, location_text.length),
        string_value("name", name, strlen(name)),
        string_value("version", version, version ? strlen(version) : 0),
    };
    struct parts parts = {&values[0], &values[1], version ? &values[2] : NULL, index};
    return check_and_build(&parts, ret_handle, error);
}

static int index_from_json(const struct json *value, int32_t *ret_index,
                           struct pkgcache_error *error)
{
    int64_t number = HANDLE_NO_INDEX;
    if (!value)
        return error_set(error, EINVAL, "handle: the index is missing; null means no variants");
    int result = value->type == JSON_NULL ? 0 : json_integer(value, 0, INT32_MAX, &number);
    if (result == -ERANGE)
        return refuse(error, "index", value, "is not between 0 and 2147483647");
    if (result < 0)
        return refuse(error, "index", value, "must be a whole number or null");
    *ret_index = (int32_t)number;
    return 0;
}

bool handle_json_is_foreign(const struct json *value, struct text *ret_name)
{
    const struct json *key = json_member(value, "key");
    const struct json *variables = json_member(value, "variables");
    const struct json *name = json_member(variables, "name");
    const struct json *version = json_member(variables, "version");
    const struct json *type = json_member(variables, "repository_type");
    if (!key || key->type != JSON_STRING || !name || name->type != JSON_STRING || !type ||
        type->type != JSON_STRING)
        return false;
    if (json_is_string(key, VARIANT_KEY) && json_is_string(type, REPOSITORY_TYPE))
        return false;
    if (!ret_name)
        return true;
    text_append(ret_name, name->text, name->text_length);
    if (version && version->type == JSON_STRING && !means_no_version(version)) {
        text_append_byte(ret_name, '-');
        text_append(ret_name, version->text, version->text_length);
    }
    return true;
}

bool handle_json_breaks_rez(const struct json *value)
{
    const struct json *version = json_member(json_member(value, "variables"), "version");
    return version && version->type == JSON_STRING && !means_no_version(version) &&
           !is_version(version);
}

static const char *const handle_members[] = {"key", "variables"};
static const char *const variable_names[] = {"location", "name", "version", "index",
                                             "repository_type"};

static int refuse_other_members(const struct json *object, const char *const *names, size_t count,
                                struct pkgcache_error *error)
{
    for (const struct json *member = object->first; member; member = member->next) {
        size_t i = 0;
        while (i < count && !json_has_key(member, names[i]))
            i++;
        if (i < count)
            continue;
        struct json name = string_value("", member->key, member->key_length);
        return refuse(error, "member", &name, "is not one that rez can read");
    }
    return 0;
}

int handle_from_json(const struct json *value, struct pkgcache_handle **ret_handle,
                     struct pkgcache_error *error)
{
    if (!value || value->type != JSON_OBJECT)
        return refuse(error, "value", value, "must be an object");
    int result = refuse_other_members(value, handle_members, ARRAY_LENGTH(handle_members), error);
    if (result < 0)
        return result;
    const struct json *key = json_member(value, "key");
    if (!json_is_string(key, VARIANT_KEY))
        return refuse(error, "key", key, "must be \"" VARIANT_KEY "\"");
    const struct json *variables = json_member(value, "variables");
    if (!variables || variables->type != JSON_OBJECT)
        return refuse(error, "variables", variables, "must be an object");
    result = refuse_other_members(variables, variable_names, ARRAY_LENGTH(variable_names), error);
    if (result < 0)
        return result;
    const struct json *type = json_member(variables, "repository_type");
    if (!json_is_string(type, REPOSITORY_TYPE))
        return refuse(error, "repository_type", type, "must be \"" REPOSITORY_TYPE "\"");

    struct parts parts = {.location = json_member(variables, "location"),
                          .name = json_member(variables, "name"),
                          .version = json_member(variables, "version")};
    result = index_from_json(json_member(variables, "index"), &parts.index, error);
    return result < 0 ? result : check_and_build(&parts, ret_handle, error);
}

int handle_parse(const char *text, size_t length, struct pkgcache_handle **ret_handle,
                 struct pkgcache_error *error)
{
    CLEANUP_JSON struct json_document *document = NULL;
    int result = json_parse(text, length, &document, error);
    return result < 0 ? result : handle_from_json(document->root, ret_handle, error);
}

int handle_copy(const struct pkgcache_handle *handle, struct pkgcache_handle **ret_handle)
{
    return handle_create(handle->location, handle->name, handle->version, handle->index, ret_handle,
                         NULL);
}

void handle_free(struct pkgcache_handle *handle)
{
    free(handle);
}

int handle_compare(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    int order = strcmp(a->relative_path, b->relative_path); /* tells name and version */
    if (order == 0)
        order = (a->index > b->index) - (a->index < b->index);
    return order ? order : strcmp(a->location_text, b->location_text);
}

bool handle_equal(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    return handle_compare(a, b) == 0;
}

static bool index_equals_json(int32_t index, const struct json *value)
{
    int64_t number = HANDLE_NO_INDEX;
    if (!value || (value->type != JSON_NULL && json_integer(value, 0, INT32_MAX, &number) < 0))
        return false;
    return number == index;
}

/* What equals the parts of a handle needs no checks of its own: they were made for the handle. */
bool handle_equals_json(const struct pkgcache_handle *handle, const struct json *value)
{
    const struct json *variables = json_member(value, "variables");
    const struct json *version = json_member(variables, "version");
    if (!variables || variables->type != JSON_OBJECT ||
        !json_is_string(json_member(value, "key"), VARIANT_KEY))
        return false;
    return json_is_string(json_member(variables, "name"), handle->name) &&
           (means_no_version(version)
                ? !handle->version
                : handle->version && json_is_string(version, handle->version)) &&
           index_equals_json(handle->index, json_member(variables, "index")) &&
           json_is_string(json_member(variables, "location"), handle->location_text) &&
           json_is_string(json_member(variables, "repository_type"), REPOSITORY_TYPE) &&
           refuse_other_members(value, handle_members, ARRAY_LENGTH(handle_members), NULL) == 0 &&
           refuse_other_members(variables, variable_names, ARRAY_LENGTH(variable_names), NULL) == 0;
}

void handle_to_json(struct text *text, const struct pkgcache_handle *handle)
{
    text_append_string(text, "{\"key\": \"" VARIANT_KEY "\", \"variables\": {\"location\": ");
    json_write_text(text, handle->location_text, strlen(handle->location_text), UTF8_GENERALISED);
    text_append_string(text, ", \"name\": ");
    json_write_string(text, handle->name, strlen(handle->name));
    if (handle->version) {
        text_append_string(text, ", \"version\": ");
        json_write_string(text, handle->version, strlen(handle->version));
    }
    text_append_string(text, ", \"index\": ");
    if (handle->index == HANDLE_NO_INDEX)
        text_append_string(text, "null");
    else
        text_printf(text, "%" PRId32, handle->index);
    text_append_string(text, ", \"repository_type\": \"" REPOSITORY_TYPE "\"}}");
}

void handle_add_json(cJSON *object, const char *name, const struct pkgcache_handle *handle)
{
    CLEANUP_TEXT struct text text = {0};
    handle_to_json(&text, handle);
    json_add_text(object, name, &text);
}

int pkgcache_handle_new(const char *location, const char *name, const char *version, int32_t index,
                        struct pkgcache_handle **ret, struct pkgcache_error *ret_error)
{
    return handle_create(location, name, version, index, ret, ret_error);
}

int pkgcache_handle_parse(const char *text, size_t length, struct pkgcache_handle **ret,
                          struct pkgcache_error *ret_error)
{
    return handle_parse(text, length, ret, ret_error);
}

void pkgcache_handle_free(struct pkgcache_handle *handle)
{
    handle_free(handle);
}

const char *pkgcache_handle_name(const struct pkgcache_handle *handle)
{
    return handle->qualified_name;
}

char *pkgcache_handle_json(const struct pkgcache_handle *handle)
{
    struct text text = {0};
    char *json = NULL;
    handle_to_json(&text, handle);
    return text_steal(&text, &json, NULL) < 0 ? NULL : json;
}

bool pkgcache_handle_equal(const struct pkgcache_handle *a, const struct pkgcache_handle *b)
{
    return handle_equal(a, b);
}
