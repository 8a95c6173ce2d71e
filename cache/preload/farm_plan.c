/* run.json: written once, read by whoever follows or resumes. */
#include "cache/preload/farm_plan.h"

#include "cache/json/json_build.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { FORMAT = 1, AT_ONCE_MAX = 100000, LEVEL_MAX = 99 };

char *farm_plan_make_id(void)
{
    char *id;
    char stamp[32];
    unsigned char random[4] = {0};
    struct tm now;
    time_t seconds = time(NULL);
    if (getrandom(random, sizeof(random), GRND_NONBLOCK) < 0)
        memcpy(random, &(uint32_t){(uint32_t)getpid()}, sizeof(random));
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&seconds, &now));
    return asprintf(&id, "%s-%02x%02x%02x%02x", stamp, random[0], random[1], random[2], random[3]) <
                   0
               ? NULL
               : id;
}

/* Room for one more. Returns the array, or NULL. */
static void *grow(void *items, size_t size, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return items;
    size_t more = MAX(2 * *capacity, (size_t)64);
    void *larger = reallocarray(items, more, size);
    if (larger)
        *capacity = more;
    return larger;
}

int farm_plan_add_variant(struct farm_plan *plan, const char *text)
{
    char **items =
        grow(plan->variants, sizeof(*plan->variants), plan->variant_count, &plan->variant_capacity);
    if (!items)
        return -ENOMEM;
    plan->variants = items;
    plan->variants[plan->variant_count] = strdup(text);
    return plan->variants[plan->variant_count++] ? 0 : -ENOMEM;
}

int farm_plan_add_refusal(struct farm_plan *plan, const char *text, const char *why)
{
    struct farm_refusal *items =
        grow(plan->refusals, sizeof(*plan->refusals), plan->refusal_count, &plan->refusal_capacity);
    if (!items)
        return -ENOMEM;
    plan->refusals = items;
    struct farm_refusal *refusal = &plan->refusals[plan->refusal_count++];
    *refusal = (struct farm_refusal){.variant = strdup(text), .why = strdup(why)};
    return refusal->variant && refusal->why ? 0 : -ENOMEM;
}

/* --- the texts that are there or not --- */

static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    {"run", offsetof(struct farm_plan, id)},
    {"launcher", offsetof(struct farm_plan, launcher)},
    {"fanout", offsetof(struct farm_plan, fanout)},
    {"cache", offsetof(struct farm_plan, cache)},
    {"program", offsetof(struct farm_plan, program)},
    {"partition", offsetof(struct farm_plan, partition)},
    {"report", offsetof(struct farm_plan, report)},
};

static char **text_of(const struct farm_plan *plan, size_t i)
{
    return (char **)((char *)plan + texts[i].offset);
}

void farm_plan_print(struct text *text, const struct farm_plan *plan)
{
    cJSON *object = cJSON_CreateObject();
    json_add_integer(object, "format", FORMAT);
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        json_add_string(object, texts[i].key, *text_of(plan, i));
    json_add_boolean(object, "dry", plan->is_dry);
    json_add_unsigned(object, "at_once", plan->at_once);
    json_add_unsigned(object, "level", plan->level);
    json_add_decimal(object, "time_limit_s", plan->time_limit_s, 3);
    cJSON *nodes = json_add_array(object, "nodes");
    for (size_t i = 0; i < plan->nodes.count; i++)
        json_add_string(nodes, NULL, plan->nodes.items[i]);
    cJSON *variants = json_add_array(object, "variants");
    for (size_t i = 0; i < plan->variant_count; i++)
        json_add_string(variants, NULL, plan->variants[i]);
    cJSON *refusals = json_add_array(object, "refused");
    for (size_t i = 0; i < plan->refusal_count; i++) {
        cJSON *refusal = json_add_object(refusals, NULL);
        json_add_string(refusal, "variant", plan->refusals[i].variant);
        json_add_string(refusal, "why", plan->refusals[i].why);
    }
    json_print(text, object);
}

/* --- reading --- */

static int read_numbers(const struct json *root, struct farm_plan *plan)
{
    int64_t number;
    const struct json *limit = json_member(root, "time_limit_s");
    const struct json *dry = json_member(root, "dry");
    const struct json *level = json_member(root, "level");
    if (json_integer(json_member(root, "format"), FORMAT, FORMAT, &number) < 0 || !limit ||
        (limit->type != JSON_INTEGER && limit->type != JSON_REAL) ||
        json_integer(json_member(root, "at_once"), 0, AT_ONCE_MAX, &number) < 0)
        return -EBADMSG;
    plan->at_once = (unsigned)number;
    if (level && json_integer(level, 0, LEVEL_MAX, &number) < 0)
        return -EBADMSG;
    plan->level = level ? (unsigned)number : 0; /* earlier versions did not write it */
    plan->time_limit_s = strtod(limit->text, NULL);
    plan->is_dry = dry && dry->type == JSON_BOOLEAN && dry->boolean;
    return 0;
}

static int read_names(const struct json *list, struct farm_plan *plan)
{
    if (!list || list->type != JSON_ARRAY)
        return -EBADMSG;
    for (const struct json *one = list->first; one; one = one->next) {
        CLEANUP_FREE char *name = NULL;
        int result = json_take_path(one, &name);
        if (result == 0)
            result = name ? farm_names_add(&plan->nodes, name, NULL) : -EBADMSG;
        if (result < 0)
            return result == -ENOMEM ? -ENOMEM : -EBADMSG;
    }
    farm_names_sort(&plan->nodes);
    return 0;
}

static int read_variants(const struct json *list, struct farm_plan *plan)
{
    if (!list || list->type != JSON_ARRAY)
        return -EBADMSG;
    for (const struct json *one = list->first; one; one = one->next) {
        CLEANUP_FREE char *text = NULL;
        int result = json_take_path(one, &text);
        if (result == 0)
            result = text ? farm_plan_add_variant(plan, text) : -EBADMSG;
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_refusals(const struct json *list, struct farm_plan *plan)
{
    if (!list || list->type != JSON_ARRAY)
        return -EBADMSG;
    for (const struct json *one = list->first; one; one = one->next) {
        CLEANUP_FREE char *variant = NULL;
        CLEANUP_FREE char *why = NULL;
        int result = json_take_path(json_member(one, "variant"), &variant);
        if (result == 0)
            result = json_take_path(json_member(one, "why"), &why);
        if (result == 0)
            result = variant && why ? farm_plan_add_refusal(plan, variant, why) : -EBADMSG;
        if (result < 0)
            return result;
    }
    return 0;
}

int farm_plan_read(const struct json *root, struct farm_plan *ret, struct pkgcache_error *ret_error)
{
    int result = root->type == JSON_OBJECT ? 0 : -EBADMSG;
    for (size_t i = 0; i < ARRAY_LENGTH(texts) && result == 0; i++)
        result = json_take_path(json_member(root, texts[i].key), text_of(ret, i));
    if (result == 0)
        result = read_numbers(root, ret);
    if (result == 0)
        result = read_names(json_member(root, "nodes"), ret);
    if (result == 0)
        result = read_variants(json_member(root, "variants"), ret);
    if (result == 0)
        result = read_refusals(json_member(root, "refused"), ret);
    if (result == 0 &&
        (!ret->id || !farm_name_is_sound(ret->id) || !ret->launcher || !ret->fanout ||
         !ret->program || farm_program_check(ret->program, NULL) < 0 ||
         (ret->partition && !farm_name_is_sound(ret->partition))))
        result = -EBADMSG;
    if (result == -EBADMSG)
        return error_set(ret_error, EBADMSG, "run.json is not what pkgcache preload wrote");
    return result < 0 ? error_set(ret_error, ENOMEM, "out of memory") : 0;
}

void farm_plan_free(struct farm_plan *plan)
{
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        free(*text_of(plan, i));
    for (size_t i = 0; i < plan->variant_count; i++)
        free(plan->variants[i]);
    free(plan->variants);
    for (size_t i = 0; i < plan->refusal_count; i++) {
        free(plan->refusals[i].variant);
        free(plan->refusals[i].why);
    }
    free(plan->refusals);
    farm_names_free(&plan->nodes);
    *plan = (struct farm_plan){0};
}
