/*
 * YAML from libyaml's events, composed as PyYAML composes them. What an alias stands for is copied,
 * and each copy counted, so a document that would expand without end is refused on the way.
 */
#include "cache/rez/yaml.h"

#include "cache/json/json_members.h"
#include "cache/rez/yaml_scalar.h"
#include "cache/util/utf8.h"

#include <string.h>
#include <yaml.h>

enum { MAX_VALUES = 1 << 20 }; /* some 100 MiB */

struct anchor {
    struct anchor *next;
    struct json *value; /* NULL: it is not whole yet */
    char name[];
};

struct composer {
    yaml_parser_t parser;
    yaml_event_t event; /* the present one */
    struct values *values;
    struct anchor *anchors;
    size_t anchor_count;
    size_t value_count;
    struct pkgcache_error *error;
};

static int compose(struct composer *composer, int depth, struct json **ret_value);

static int refuse_at(struct composer *composer, const yaml_mark_t *mark, const char *problem)
{
    error_set(composer->error, EBADMSG, "line %zu, column %zu: %s", mark->line + 1,
              mark->column + 1, problem);
    return -EBADMSG;
}

/* Refuses the present event. */
static int refuse(struct composer *composer, const char *problem)
{
    return refuse_at(composer, &composer->event.start_mark, problem);
}

static int out_of_memory(struct composer *composer)
{
    error_set(composer->error, ENOMEM, "out of memory");
    return -ENOMEM;
}

static int advance(struct composer *composer)
{
    yaml_event_delete(&composer->event);
    if (yaml_parser_parse(&composer->parser, &composer->event))
        return 0;
    const yaml_parser_t *parser = &composer->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return out_of_memory(composer);
    return refuse_at(composer, &parser->problem_mark,
                     parser->problem ? parser->problem : "not YAML");
}

static int make(struct composer *composer, enum json_type type, struct json **ret_value)
{
    if (composer->value_count++ == MAX_VALUES)
        return refuse(composer, "there are too many values, or aliases that stand for them");
    *ret_value = values_new(composer->values, type);
    return *ret_value ? 0 : out_of_memory(composer);
}

static int set_text(struct composer *composer, struct json *value, const char *bytes, size_t length)
{
    value->text = values_copy(composer->values, bytes, length);
    value->text_length = length;
    return value->text ? 0 : out_of_memory(composer);
}

/* --- anchors and aliases ------------------------------------------------------------------------
 */

static struct anchor *find_anchor(const struct composer *composer, const yaml_char_t *name)
{
    for (struct anchor *anchor = composer->anchors; anchor; anchor = anchor->next) {
        if (strcmp(anchor->name, (const char *)name) == 0)
            return anchor;
    }
    return NULL;
}

/* Before the value is read. *ret_anchor: NULL: it has none. */
static int add_anchor(struct composer *composer, const yaml_char_t *name,
                      struct anchor **ret_anchor)
{
    enum { MAX_ANCHORS = 1024 }; /* they are looked for one by one */
    *ret_anchor = NULL;
    if (!name)
        return 0;
    if (find_anchor(composer, name))
        return refuse(composer, "an anchor has this name already");
    if (composer->anchor_count++ == MAX_ANCHORS)
        return refuse(composer, "there are too many anchors");
    size_t length = strlen((const char *)name);
    struct anchor *anchor = malloc(sizeof(*anchor) + length + 1);
    if (!anchor)
        return out_of_memory(composer);
    *anchor = (struct anchor){.next = composer->anchors};
    memcpy(anchor->name, name, length + 1);
    composer->anchors = *ret_anchor = anchor;
    return 0;
}

/* The value is whole. What is kept is a copy of its head: a later member with the same name takes
   the place of an earlier one, which the anchor goes on to stand for. */
static int end_anchor(struct composer *composer, struct anchor *anchor, const struct json *value)
{
    if (!anchor)
        return 0;
    anchor->value = values_new(composer->values, value->type);
    if (!anchor->value)
        return out_of_memory(composer);
    *anchor->value = *value;
    return 0;
}

/* A value for a second place: a value has one only. Texts are shared. */
static int copy_value(struct composer *composer, const struct json *value, int depth,
                      struct json **ret_copy)
{
    if (depth > JSON_MAX_DEPTH)
        return refuse(composer, "an alias nests values too deeply");
    int result = make(composer, value->type, ret_copy);
    if (result < 0)
        return result;
    struct json *copy = *ret_copy;
    *copy = *value;
    copy->next = NULL;
    struct json **link = &copy->first;
    for (const struct json *child = value->first; child && result == 0; child = child->next) {
        result = copy_value(composer, child, depth + 1, link);
        if (result == 0)
            link = &(*link)->next;
    }
    return result;
}

static int compose_alias(struct composer *composer, int depth, struct json **ret_value)
{
    const struct anchor *anchor = find_anchor(composer, composer->event.data.alias.anchor);
    if (!anchor)
        return refuse(composer, "an alias without an anchor");
    if (!anchor->value)
        return refuse(composer, "an alias inside what it stands for");
    int result = copy_value(composer, anchor->value, depth, ret_value);
    if (result < 0)
        return result;
    (*ret_value)->key = NULL;
    (*ret_value)->key_length = 0;
    return advance(composer);
}

/* --- scalars ------------------------------------------------------------------------------------
 */

/* The type that a tag asks for, of those that JSON has. */
static bool tag_type(const char *tag, enum json_type *ret_type)
{
    static const struct {
        const char *tag;
        enum json_type type;
    } types[] = {
        {YAML_NULL_TAG, JSON_NULL},  {YAML_BOOL_TAG, JSON_BOOLEAN}, {YAML_INT_TAG, JSON_INTEGER},
        {YAML_FLOAT_TAG, JSON_REAL}, {YAML_STR_TAG, JSON_STRING},   {YAML_SEQ_TAG, JSON_ARRAY},
        {YAML_MAP_TAG, JSON_OBJECT},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        if (strcmp(types[i].tag, tag) == 0) {
            *ret_type = types[i].type;
            return true;
        }
    }
    return false;
}

/* Resolves the present scalar, also as a tag asks for. */
static int resolve(struct composer *composer, struct yaml_scalar *ret_scalar)
{
    const char *tag = (const char *)composer->event.data.scalar.tag;
    const char *bytes = (const char *)composer->event.data.scalar.value;
    size_t length = composer->event.data.scalar.length;
    enum json_type wanted = JSON_STRING;
    *ret_scalar = (struct yaml_scalar){.type = JSON_STRING};
    bool plain = composer->event.data.scalar.plain_implicit != 0;
    if (tag && strcmp(tag, "!") == 0) { /* to PyYAML: as if it were plain, also in quotes */
        tag = NULL;
        plain = true;
    }
    if (tag && !tag_type(tag, &wanted))
        return refuse(composer, "a tag that is not known");
    if (plain || (tag && wanted != JSON_STRING))
        yaml_scalar_resolve(bytes, length, ret_scalar);
    if (ret_scalar->kind == YAML_SCALAR_INVALID)
        return refuse(composer, "a number that cannot be read");
    if (tag && (ret_scalar->kind != YAML_SCALAR_VALUE || ret_scalar->type != wanted))
        return refuse(composer, "a value that is not what its tag says");
    return 0;
}

static int compose_resolved(struct composer *composer, const struct yaml_scalar *scalar,
                            struct json **ret_value)
{
    if (scalar->kind == YAML_SCALAR_MERGE || scalar->kind == YAML_SCALAR_DEFAULT)
        return refuse(composer, "this stands for no value here; put it into quotes");
    int result = make(composer, scalar->type, ret_value);
    if (result < 0)
        return result;
    (*ret_value)->boolean = scalar->boolean;
    if (scalar->type == JSON_STRING)
        return set_text(composer, *ret_value, (const char *)composer->event.data.scalar.value,
                        composer->event.data.scalar.length);
    if (scalar->type == JSON_INTEGER || scalar->type == JSON_REAL)
        return set_text(composer, *ret_value, scalar->text.bytes, scalar->text.length);
    return 0;
}

static int compose_scalar(struct composer *composer, struct json **ret_value)
{
    struct anchor *anchor;
    struct yaml_scalar scalar = {0};
    int result = add_anchor(composer, composer->event.data.scalar.anchor, &anchor);
    if (result == 0)
        result = resolve(composer, &scalar);
    if (result == 0)
        result = compose_resolved(composer, &scalar, ret_value);
    text_free(&scalar.text);
    if (result == 0)
        result = end_anchor(composer, anchor, *ret_value);
    return result < 0 ? result : advance(composer);
}

/* --- sequences and mappings ---------------------------------------------------------------------
 */

/* At the start of a container: makes it, and steps inside. */
static int open_container(struct composer *composer, enum json_type type, const yaml_char_t *tag,
                          const yaml_char_t *name, int depth, struct json **ret_value,
                          struct anchor **ret_anchor)
{
    enum json_type wanted = type;
    if (depth > JSON_MAX_DEPTH)
        return refuse(composer, "values are nested too deeply");
    if (tag && strcmp((const char *)tag, "!") != 0 &&
        (!tag_type((const char *)tag, &wanted) || wanted != type))
        return refuse(composer, "a tag that is not known");
    int result = add_anchor(composer, name, ret_anchor);
    if (result == 0)
        result = make(composer, type, ret_value);
    return result < 0 ? result : advance(composer);
}

static int compose_sequence(struct composer *composer, int depth, struct json **ret_value)
{
    struct anchor *anchor;
    int result =
        open_container(composer, JSON_ARRAY, composer->event.data.sequence_start.tag,
                       composer->event.data.sequence_start.anchor, depth, ret_value, &anchor);
    if (result < 0)
        return result;
    for (struct json **link = &(*ret_value)->first; composer->event.type != YAML_SEQUENCE_END_EVENT;
         link = &(*link)->next) {
        result = compose(composer, depth + 1, link);
        if (result < 0)
            return result;
    }
    result = end_anchor(composer, anchor, *ret_value);
    return result < 0 ? result : advance(composer);
}

/* A mapping that is being read: merged members go before its own, as in PyYAML, where the last of
   the same name counts. */
struct mapping {
    struct json *merged;
    struct json **merged_end;
    struct json *own;
    struct json **own_end;
};

/* Takes over all members of an object. */
static void merge_object(struct mapping *mapping, struct json *object)
{
    *mapping->merged_end = object->first;
    while (*mapping->merged_end)
        mapping->merged_end = &(*mapping->merged_end)->next;
    object->first = NULL;
}

/* A sequence's mappings: the first one wins, so it is the last. */
static int merge_sequence(struct composer *composer, struct mapping *mapping, struct json *sequence,
                          const yaml_mark_t *mark)
{
    struct json *reversed = NULL;
    for (struct json *element = sequence->first, *next; element; element = next) {
        if (element->type != JSON_OBJECT)
            return refuse_at(composer, mark, "only mappings can be merged");
        next = element->next;
        element->next = reversed;
        reversed = element;
    }
    for (struct json *element = reversed; element; element = element->next)
        merge_object(mapping, element);
    return 0;
}

/* Behind `<<`. The value is this place's alone, so its members can be moved; unless it has an
   anchor of its own. */
static int compose_merge(struct composer *composer, int depth, struct mapping *mapping)
{
    struct json *value;
    struct json *copy = NULL;
    yaml_mark_t mark = composer->event.start_mark;
    int result = compose(composer, depth, &value);
    if (result == 0)
        result = copy_value(composer, value, depth, &copy);
    if (result < 0 || !copy)
        return result;
    if (copy->type == JSON_OBJECT) {
        merge_object(mapping, copy);
        return 0;
    }
    if (copy->type != JSON_ARRAY)
        return refuse_at(composer, &mark, "only mappings can be merged");
    return merge_sequence(composer, mapping, copy, &mark);
}

/* What a key is. *ret_key: NULL: no string, or a merge (*ret_merge). */
static int compose_key(struct composer *composer, int depth, struct json **ret_key, bool *ret_merge)
{
    struct yaml_scalar scalar = {0};
    struct anchor *anchor;
    struct json *key = NULL;
    *ret_merge = false;
    *ret_key = NULL;
    if (composer->event.type == YAML_ALIAS_EVENT) {
        int result = compose_alias(composer, depth, &key);
        if (result == 0 && (key->type == JSON_ARRAY || key->type == JSON_OBJECT))
            return refuse(composer, "before here: a key that is neither string nor number");
        *ret_key = result == 0 && key->type == JSON_STRING ? key : NULL;
        return result;
    }
    if (composer->event.type != YAML_SCALAR_EVENT)
        return refuse(composer, "a key that is neither string nor number");
    int result = add_anchor(composer, composer->event.data.scalar.anchor, &anchor);
    if (result == 0)
        result = resolve(composer, &scalar);
    if (result == 0)
        *ret_merge = scalar.kind == YAML_SCALAR_MERGE;
    if (result == 0 && scalar.kind == YAML_SCALAR_DEFAULT)
        scalar.kind = YAML_SCALAR_VALUE; /* as a key it is a string */
    if (result == 0 && !*ret_merge)
        result = compose_resolved(composer, &scalar, &key);
    if (result == 0 && key)
        result = end_anchor(composer, anchor, key);
    if (result == 0 && !*ret_merge && scalar.kind == YAML_SCALAR_VALUE && key->type == JSON_STRING)
        *ret_key = key;
    text_free(&scalar.text);
    return result < 0 ? result : advance(composer);
}

static int compose_member(struct composer *composer, int depth, struct mapping *mapping)
{
    struct json *key;
    struct json *value;
    bool merge;
    int result = compose_key(composer, depth, &key, &merge);
    if (result < 0)
        return result;
    if (merge)
        return compose_merge(composer, depth, mapping);
    result = compose(composer, depth, &value);
    if (result < 0 || !key)
        return result;
    value->key = key->text;
    value->key_length = key->text_length;
    *mapping->own_end = value;
    mapping->own_end = &value->next;
    return 0;
}

static int compose_mapping(struct composer *composer, int depth, struct json **ret_value)
{
    struct anchor *anchor;
    struct mapping mapping = {.merged_end = &mapping.merged, .own_end = &mapping.own};
    int result =
        open_container(composer, JSON_OBJECT, composer->event.data.mapping_start.tag,
                       composer->event.data.mapping_start.anchor, depth, ret_value, &anchor);
    while (result == 0 && composer->event.type != YAML_MAPPING_END_EVENT)
        result = compose_member(composer, depth + 1, &mapping);
    if (result < 0)
        return result;
    *mapping.merged_end = mapping.own;
    (*ret_value)->first = mapping.merged;
    size_t count = 0;
    for (const struct json *member = mapping.merged; member; member = member->next)
        count++;
    if (json_merge_members(*ret_value, count) < 0)
        return out_of_memory(composer);
    result = end_anchor(composer, anchor, *ret_value);
    return result < 0 ? result : advance(composer);
}

static int compose(struct composer *composer, int depth, struct json **ret_value)
{
    switch (composer->event.type) {
    case YAML_ALIAS_EVENT:
        return compose_alias(composer, depth, ret_value);
    case YAML_SCALAR_EVENT:
        return compose_scalar(composer, ret_value);
    case YAML_SEQUENCE_START_EVENT:
        return compose_sequence(composer, depth, ret_value);
    case YAML_MAPPING_START_EVENT:
        return compose_mapping(composer, depth, ret_value);
    default:
        return refuse(composer, "a value is missing");
    }
}

/* --- the document -------------------------------------------------------------------------------
 */

static int compose_document(struct composer *composer, struct json **ret_root)
{
    int result = advance(composer); /* to the start of the stream */
    if (result == 0)
        result = advance(composer);
    if (result < 0)
        return result;
    if (composer->event.type == YAML_STREAM_END_EVENT)
        return make(composer, JSON_NULL, ret_root);
    result = advance(composer);
    if (result == 0)
        result = compose(composer, 1, ret_root);
    if (result == 0)
        result = advance(composer); /* over the document's end */
    if (result == 0 && composer->event.type != YAML_STREAM_END_EVENT)
        return refuse(composer, "there are several documents");
    return result;
}

static int check_text(const char *text, size_t length, struct pkgcache_error *ret_error)
{
    if (length > 0 && memchr(text, '\0', length))
        return error_set(ret_error, EBADMSG, "it contains a NUL");
    if (!utf8_is_valid(text, length, UTF8_STRICT))
        return error_set(ret_error, EBADMSG, "it is not UTF-8");
    return 0;
}

int yaml_parse(const char *text, size_t length, struct values *values, struct json **ret_root,
               struct pkgcache_error *ret_error)
{
    struct composer composer = {.values = values, .error = ret_error};
    int result = check_text(text, length, ret_error);
    if (result < 0)
        return result;
    if (!yaml_parser_initialize(&composer.parser))
        return out_of_memory(&composer);
    yaml_parser_set_encoding(&composer.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&composer.parser, (const unsigned char *)text, length);
    result = compose_document(&composer, ret_root);
    yaml_event_delete(&composer.event);
    yaml_parser_delete(&composer.parser);
    while (composer.anchors) {
        struct anchor *next = composer.anchors->next;
        free(composer.anchors);
        composer.anchors = next;
    }
    return result;
}
