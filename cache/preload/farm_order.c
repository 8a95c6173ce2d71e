/* Orders: printed by the coordinator, read on a node. */
#include "cache/preload/farm_order.h"

#include "cache/preload/farm_names.h"
#include "cache/util/error.h"

#include <inttypes.h>
#include <string.h>

static const char *const step_names[] = {"look", "warm", "pack", "receive"};

const char *farm_step_name(enum farm_step step)
{
    return step_names[step];
}

bool farm_step_find(const struct json *name, enum farm_step *ret)
{
    for (size_t i = 0; i < ARRAY_LENGTH(step_names); i++)
        if (json_is_string(name, step_names[i])) {
            *ret = (enum farm_step)i;
            return true;
        }
    return false;
}

void farm_pack_free(struct farm_pack *pack)
{
    free(pack->path);
    free(pack->staging);
    free(pack->parts);
    *pack = (struct farm_pack){0};
}

static cJSON *build_variant(const struct source_variant *variant)
{
    cJSON *object = cJSON_CreateObject();
    handle_add_json(object, "handle", variant->handle);
    json_add_string(object, "root", variant->root);
    if (variant->requires_json)
        json_add_raw(object, "requires", variant->requires_json);
    return object;
}

void farm_order_print(struct text *text, enum farm_step step,
                      const struct farm_order_settings *settings,
                      const struct source_variants *variants, const char *share)
{
    cJSON *object = cJSON_CreateObject();
    json_add_integer(object, "order", FARM_ORDER_FORMAT);
    json_add_string(object, "step", farm_step_name(step));
    json_add_string(object, "share", share);
    json_add_unsigned(object, "jitter_s", settings->jitter_s);
    cJSON *values = json_add_object(object, "settings");
    for (size_t i = 0; i < settings->count; i++)
        json_add_string(values, settings->items[i].name, settings->items[i].value);
    cJSON *list = json_add_array(object, "variants");
    for (size_t i = 0; i < variants->count; i++)
        if (!variants->items[i].reason)
            json_add_item(list, NULL, build_variant(&variants->items[i]));
    json_print(text, object);
}

static cJSON *build_pack(const struct farm_pack *pack)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "path", pack->path);
    json_add_string(object, "digest", pack->digest);
    json_add_unsigned(object, "bytes", pack->bytes);
    json_add_unsigned(object, "payload_bytes", pack->payload_bytes);
    json_add_string(object, "staging", pack->staging);
    cJSON *parts = json_add_array(object, "parts");
    for (size_t i = 0; i < pack->part_count; i++) {
        cJSON *part = json_add_object(parts, NULL);
        json_add_unsigned(part, "bytes", pack->parts[i].bytes);
        json_add_string(part, "digest", pack->parts[i].digest);
    }
    return object;
}

/* Adds a member as it stands there. */
static void add_member(cJSON *object, const char *name, const struct json *value)
{
    CLEANUP_TEXT struct text text = {0};
    if (value)
        json_write(&text, value);
    if (value)
        json_add_text(object, name, &text);
}

void farm_order_print_pack(struct text *text, const struct json *root, enum farm_step step,
                           const struct farm_pack *pack)
{
    static const char *const kept[] = {"jitter_s", "settings", "variants"};
    cJSON *object = cJSON_CreateObject();
    json_add_integer(object, "order", FARM_ORDER_FORMAT);
    json_add_string(object, "step", farm_step_name(step));
    json_add_item(object, "pack", build_pack(pack));
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
        add_member(object, kept[i], json_member(root, kept[i]));
    json_print(text, object);
}

void farm_order_print_manifest(struct text *text, const struct json *root, const bool *wanted)
{
    const struct json *list = json_member(root, "variants");
    const char *separator = "";
    text_append_string(text, "{\"variants\": [");
    for (const struct json *one = list ? list->first : NULL; one; one = one->next) {
        if (!*wanted++)
            continue;
        text_append_string(text, separator);
        json_write(text, one);
        separator = ",\n";
    }
    text_append_string(text, "]}\n");
}

/* --- on the node --- */

static int read_variants(const struct json *list, struct sources *sources, struct farm_order *order,
                         struct pkgcache_error *error)
{
    if (!list || list->type != JSON_ARRAY)
        return error_set(error, EBADMSG, "the order names no variants");
    for (const struct json *one = list->first; one; one = one->next) {
        char *text = NULL;
        if (asprintf(&text, "variant %zu of the order", order->variants++) < 0)
            text = NULL;
        const struct json *handle = json_member(one, "handle");
        const struct json *requires = json_member(one, "requires");
        if (source_names_add_handle(&sources->names, handle, json_member(one, "root"), text) < 0)
            return error_set(error, ENOMEM, "out of memory");
        if (!requires)
            continue;
        CLEANUP_TEXT struct text json = {0};
        json_write(&json, requires);
        if (text_steal(&json, &source_names_last(&sources->names)->requires_json, NULL) < 0)
            return error_set(error, ENOMEM, "out of memory");
    }
    return 0;
}

static int read_digest(const struct json *value, char ret[static FARM_DIGEST_SIZE])
{
    if (!value || value->type != JSON_STRING || value->text_length != FARM_DIGEST_SIZE - 1 ||
        strspn(value->text, "0123456789abcdef") != FARM_DIGEST_SIZE - 1)
        return -EBADMSG;
    memcpy(ret, value->text, FARM_DIGEST_SIZE);
    return 0;
}

/* Sums of three of them are numbers, too. */
static int read_bytes(const struct json *object, const char *name, uint64_t *ret)
{
    int64_t number;
    if (json_integer(json_member(object, name), 0, FARM_PACK_BYTES_MAX, &number) < 0)
        return -EBADMSG;
    *ret = (uint64_t)number;
    return 0;
}

static int read_parts(const struct json *list, struct farm_pack *pack)
{
    size_t count = 0;
    if (!list || list->type != JSON_ARRAY)
        return -EBADMSG;
    for (const struct json *one = list->first; one; one = one->next)
        if (++count > FARM_PARTS_MAX)
            return -EBADMSG;
    pack->parts = calloc(count + 1, sizeof(*pack->parts));
    if (!pack->parts)
        return -ENOMEM;
    for (const struct json *one = list->first; one; one = one->next) {
        struct farm_part *part = &pack->parts[pack->part_count++];
        if (read_bytes(one, "bytes", &part->bytes) < 0 ||
            read_digest(json_member(one, "digest"), part->digest) < 0)
            return -EBADMSG;
    }
    return 0;
}

static int read_pack(const struct json *object, struct farm_order *order)
{
    struct farm_pack *pack = &order->pack;
    int result = json_take_path(json_member(object, "path"), &pack->path);
    if (result == 0)
        result = json_take_path(json_member(object, "staging"), &pack->staging);
    if (result == 0)
        result = read_digest(json_member(object, "digest"), pack->digest);
    if (result == 0)
        result = read_bytes(object, "bytes", &pack->bytes);
    if (result == 0)
        result = read_bytes(object, "payload_bytes", &pack->payload_bytes);
    if (result == 0)
        result = read_parts(json_member(object, "parts"), pack);
    if (result < 0)
        return result;
    bool sound = order->step == FARM_STEP_PACK
                     ? pack->path && *pack->path == '/'
                     : pack->staging && farm_name_is_sound(pack->staging) && pack->part_count > 0;
    return sound ? 0 : -EBADMSG;
}

static int read_step(const struct json *root, struct farm_order *order)
{
    int64_t jitter_s;
    order->settings = json_member(root, "settings");
    if (!farm_step_find(json_member(root, "step"), &order->step) || !order->settings ||
        order->settings->type != JSON_OBJECT ||
        json_integer(json_member(root, "jitter_s"), 0, FARM_JITTER_MAX_S, &jitter_s) < 0)
        return -EBADMSG;
    order->jitter_s = (unsigned)jitter_s;
    int result = json_take_path(json_member(root, "share"), &order->share);
    if (result == 0 && order->step >= FARM_STEP_PACK)
        result = read_pack(json_member(root, "pack"), order);
    return result;
}

int farm_order_read(const char *text, size_t length, struct sources *sources,
                    struct farm_order *ret, struct pkgcache_error *ret_error)
{
    struct pkgcache_error why;
    int64_t format;
    int result = json_parse(text, length, &ret->document, &why);
    if (result < 0)
        return error_set(ret_error, -result, "standard input is no order: %.900s", why.message);
    const struct json *root = ret->document->root;
    if (json_integer(json_member(root, "order"), 0, INT64_MAX, &format) < 0)
        return error_set(ret_error, EBADMSG, "standard input is no order");
    if (format != FARM_ORDER_FORMAT)
        return error_set(ret_error, ENOTSUP,
                         "the order has format %" PRId64 ", and this pkgcache (%s) knows %d: "
                         "install the same version on all nodes",
                         format, PKGCACHE_VERSION_STRING, FARM_ORDER_FORMAT);
    if (read_step(root, ret) < 0)
        return error_set(ret_error, EBADMSG, "the order has no step that this pkgcache (%s) knows",
                         PKGCACHE_VERSION_STRING);
    ret->list = json_member(root, "variants");
    return read_variants(ret->list, sources, ret, ret_error);
}

void farm_order_free(struct farm_order *order)
{
    json_document_free(order->document);
    farm_pack_free(&order->pack);
    free(order->share);
    *order = (struct farm_order){0};
}
