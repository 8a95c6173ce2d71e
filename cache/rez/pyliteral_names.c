/*
 * The names of a module. Python compares names in Unicode's normal form NFKC: one that is not ASCII
 * may be any other, so it counts as all of them.
 */
#include "cache/rez/pyliteral_names.h"

#include <string.h>
#include <xxhash.h>

enum { FIRST_SLOTS = 256 };

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] >= 0x80)
            return false;
    }
    return true;
}

/* The slot of a name, or a free one. */
static uint32_t *find_slot(const struct names *names, const char *text, size_t length)
{
    size_t mask = names->slot_count - 1;
    for (size_t i = XXH3_64bits(text, length) & mask;; i = (i + 1) & mask) {
        if (names->slots[i] == 0)
            return &names->slots[i];
        const struct name_record *record = &names->records[names->slots[i] - 1];
        if (record->length == length && memcmp(record->text, text, length) == 0)
            return &names->slots[i];
    }
}

/* Half of the slots stay free. */
static int grow(struct names *names)
{
    size_t slot_count = MAX(names->slot_count * 2, (size_t)FIRST_SLOTS);
    struct name_record *records = realloc(names->records, slot_count / 2 * sizeof(*names->records));
    if (!records)
        return -ENOMEM;
    names->records = records;
    names->capacity = slot_count / 2;
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(names->slots);
    names->slots = slots;
    names->slot_count = slot_count;
    for (size_t i = 0; i < names->count; i++)
        *find_slot(names, records[i].text, records[i].length) = (uint32_t)i + 1;
    return 0;
}

static int find(struct names *names, const char *text, size_t length,
                struct name_record **ret_record)
{
    if (names->count == names->slot_count / 2 && grow(names) < 0)
        return -ENOMEM;
    uint32_t *slot = find_slot(names, text, length);
    if (*slot == 0) {
        if (names->count == NAMES_MAX)
            return -E2BIG;
        names->records[names->count] = (struct name_record){.text = text, .length = length};
        *slot = (uint32_t)++names->count;
    }
    *ret_record = &names->records[*slot - 1];
    return 0;
}

int names_assign(struct names *names, const char *text, size_t length, struct json *value,
                 unsigned line)
{
    struct name_record *record;
    if (!is_ascii(text, length)) {
        names_forget(names, line);
        return 0;
    }
    int result = find(names, text, length, &record);
    if (result < 0)
        return result;
    record->value = value;
    record->line = line;
    record->era = names->era;
    return 0;
}

int names_use(struct names *names, const char *text, size_t length)
{
    struct name_record *record;
    if (!is_ascii(text, length)) {
        names->all_used = true;
        return 0;
    }
    int result = find(names, text, length, &record);
    if (result == 0)
        record->used = true;
    return result;
}

int names_hold(struct names *names, const char *text, size_t length, unsigned line)
{
    struct name_record *record;
    if (!is_ascii(text, length)) {
        names_lose(names, line);
        return 0;
    }
    int result = find(names, text, length, &record);
    if (result < 0)
        return result;
    record->held_line = line;
    return 0;
}

int names_set_scope(struct names *names, const char *text, size_t length, struct json *value,
                    unsigned line)
{
    struct name_record *record;
    int result = find(names, text, length, &record);
    if (result < 0)
        return result;
    if (record->scope)
        record->held_line = line;
    record->scope = value;
    record->scope_line = line;
    return 0;
}

void names_forget(struct names *names, unsigned line)
{
    names->era++;
    names->era_line = line;
}

void names_lose(struct names *names, unsigned line)
{
    names_forget(names, line);
    names->all_held = true;
}

static bool is_mutable(const struct json *value)
{
    if (value->type == JSON_ARRAY || value->type == JSON_OBJECT)
        return true;
    for (const struct json *child = value->first; child; child = child->next) {
        if (is_mutable(child))
            return true;
    }
    return false;
}

/* Nothing that was seen can have changed the value: of what functions do at any time, see below. */
static bool is_certain(const struct names *names, const struct name_record *record)
{
    if (!record->value || record->era != names->era || record->held_line > 0 || names->all_held)
        return false;
    return !(record->used || names->all_used) || !is_mutable(record->value);
}

/* Where it is assigned, or what makes that doubtful stands. */
static unsigned line_of(const struct names *names, const struct name_record *record)
{
    if (record->held_line > 0)
        return record->held_line;
    if (names->all_held)
        return names->era_line;
    if (record->scope)
        return record->scope_line;
    return record->era == names->era ? record->line : names->era_line;
}

static struct json *value_of(const struct names *names, const struct name_record *record)
{
    if (record->held_line > 0 || names->all_held)
        return NULL;
    if (record->scope)
        return record->scope;
    return is_certain(names, record) ? record->value : NULL;
}

int names_list(const struct names *names, struct values *values, struct pyliteral_name **ret_names)
{
    struct pyliteral_name **link = ret_names;
    *link = NULL;
    for (size_t i = 0; i < names->count; i++) {
        const struct name_record *record = &names->records[i];
        if (record->line == 0 && record->held_line == 0 && !record->scope)
            continue;
        struct json *value = value_of(names, record);
        bool call = value && value->type == JSON_OBJECT && value->text;
        struct pyliteral_name name = {
            .name = values_copy(values, record->text, record->length),
            .line = line_of(names, record),
            .value = call ? NULL : value,
            .call = call ? value->text : NULL,
            .arguments = call ? value : NULL,
        };
        if (!name.name)
            return -ENOMEM;
        *link =
            (struct pyliteral_name *)(void *)values_copy(values, (const char *)&name, sizeof(name));
        if (!*link)
            return -ENOMEM;
        link = &(*link)->next;
    }
    return 0;
}

void names_free(struct names *names)
{
    free(names->records);
    free(names->slots);
    *names = (struct names){0};
}
