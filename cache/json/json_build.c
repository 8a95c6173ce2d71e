/*
 * Building JSON with cJSON. What cJSON cannot print goes into the item as raw JSON.
 */
#include "cache/json/json_build.h"

#include "cache/json/json_string.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
    NUMBER_SIZE = 32,  /* bytes of a whole number */
    USUAL_PRINT = 512, /* bytes that most items need */
    TYPE_BITS = 0xff,  /* of cJSON's `type`; those above say what belongs to the item */
};

/* Makes it a cJSON_Invalid, which is 0: cJSON does not print that, nor what it is part of. */
static void fail(cJSON *container)
{
    if (container)
        container->type &= ~TYPE_BITS;
}

void json_add_item(cJSON *container, const char *name, cJSON *item)
{
    bool added = container && item &&
                 (name ? cJSON_AddItemToObjectCS(container, name, item)
                       : cJSON_AddItemToArray(container, item));
    if (added)
        return;
    cJSON_Delete(item);
    fail(container);
}

static cJSON *add_container(cJSON *container, const char *name, cJSON *item)
{
    bool there = container && item;
    json_add_item(container, name, item);
    return there && !cJSON_IsInvalid(container) ? item : NULL;
}

cJSON *json_add_object(cJSON *container, const char *name)
{
    return add_container(container, name, cJSON_CreateObject());
}

cJSON *json_add_array(cJSON *container, const char *name)
{
    return add_container(container, name, cJSON_CreateArray());
}

/* Whether cJSON prints a string as json_write_string() does. */
static bool is_ascii(const char *string)
{
    for (; *string; string++)
        if ((unsigned char)*string >= 0x7f)
            return false;
    return true;
}

static cJSON *create_escaped(const char *string)
{
    CLEANUP_TEXT struct text text = {0};
    json_write_string(&text, string, strlen(string));
    return text.error ? NULL : cJSON_CreateRaw(text.bytes);
}

static cJSON *create_string(const char *string, cJSON *(*create)(const char *))
{
    if (!string)
        return cJSON_CreateNull();
    return is_ascii(string) ? create(string) : create_escaped(string);
}

cJSON *json_create_string(const char *string)
{
    return create_string(string, cJSON_CreateString);
}

void json_add_string(cJSON *container, const char *name, const char *string)
{
    json_add_item(container, name, json_create_string(string));
}

void json_add_string_reference(cJSON *container, const char *name, const char *string)
{
    json_add_item(container, name, create_string(string, cJSON_CreateStringReference));
}

/* cJSON's numbers are doubles, of which it prints those that are an int without loss. */
void json_add_integer(cJSON *container, const char *name, int64_t number)
{
    char digits[NUMBER_SIZE];
    if (number >= INT_MIN && number <= INT_MAX) {
        json_add_item(container, name, cJSON_CreateNumber((double)number));
        return;
    }
    snprintf(digits, sizeof(digits), "%" PRId64, number);
    json_add_raw(container, name, digits);
}

void json_add_unsigned(cJSON *container, const char *name, uint64_t number)
{
    char digits[NUMBER_SIZE];
    if (number <= INT_MAX) {
        json_add_item(container, name, cJSON_CreateNumber((double)number));
        return;
    }
    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    json_add_raw(container, name, digits);
}

void json_add_decimal(cJSON *container, const char *name, double number, int digits)
{
    CLEANUP_TEXT struct text text = {0};
    text_printf(&text, "%.*f", digits, number);
    json_add_text(container, name, &text);
}

void json_add_boolean(cJSON *container, const char *name, bool boolean)
{
    json_add_item(container, name, cJSON_CreateBool(boolean));
}

void json_add_null(cJSON *container, const char *name)
{
    json_add_item(container, name, cJSON_CreateNull());
}

void json_add_raw(cJSON *container, const char *name, const char *json)
{
    json_add_item(container, name, json ? cJSON_CreateRaw(json) : NULL);
}

void json_add_raw_reference(cJSON *container, const char *name, const char *json)
{
    cJSON *item = json ? cJSON_CreateStringReference(json) : NULL;
    if (item)
        item->type = cJSON_Raw | cJSON_IsReference;
    json_add_item(container, name, item);
}

void json_add_text(cJSON *container, const char *name, const struct text *json)
{
    json_add_raw(container, name, json->error ? NULL : json->bytes);
}

/* Prints where the item is to be, without a buffer of cJSON's own. Returns whether it fits. */
static bool print_in_place(struct text *text, cJSON *item)
{
    if (text->fixed || text_reserve(text, USUAL_PRINT) < 0)
        return false;
    char *end = text->bytes + text->length;
    size_t room = MIN(text->capacity - text->length, (size_t)INT_MAX);
    bool printed = cJSON_PrintPreallocated(item, end, (int)room, false);
    if (!printed)
        *end = '\0';
    text->length += strlen(end);
    return printed;
}

void json_print(struct text *text, cJSON *item)
{
    if (!print_in_place(text, item)) {
        char *printed = text->error ? NULL : cJSON_PrintBuffered(item, USUAL_PRINT, false);
        if (printed)
            text_append_string(text, printed);
        else if (!text->error) /* what failed first stays */
            text->error = -ENOMEM;
        cJSON_free(printed);
    }
    cJSON_Delete(item);
}
