/* Events of the journal, as JSON: what farm_history.c reads. */
#include "cache/preload/farm_history.h"
#include "engine/clock.h"

enum { TIME_DIGITS = 3 };

double farm_now_s(void)
{
    return (double)clock_ns(CLOCK_REALTIME) / NS_PER_S;
}

static cJSON *build(const char *event)
{
    cJSON *object = cJSON_CreateObject();
    json_add_string(object, "event", event);
    return object;
}

cJSON *farm_event_begin(double at_s)
{
    cJSON *object = build("begin");
    json_add_decimal(object, "at", at_s, TIME_DIGITS);
    json_add_integer(object, "pid", getpid());
    return object;
}

cJSON *farm_event_phase(const char *name, double at_s)
{
    cJSON *object = build("phase");
    json_add_string(object, "name", name);
    json_add_decimal(object, "at", at_s, TIME_DIGITS);
    return object;
}

cJSON *farm_event_fanout(const char *fanout, const char *why)
{
    cJSON *object = build("fanout");
    json_add_string(object, "fanout", fanout);
    json_add_string(object, "why", why);
    return object;
}

cJSON *farm_event_attempt(unsigned number, enum farm_step step, const char *const *nodes,
                          size_t count, double at_s)
{
    cJSON *object = build("attempt");
    json_add_unsigned(object, "number", number);
    json_add_string(object, "step", farm_step_name(step));
    json_add_decimal(object, "at", at_s, TIME_DIGITS);
    cJSON *names = json_add_array(object, "nodes");
    for (size_t i = 0; i < count; i++)
        json_add_string(names, NULL, nodes[i]);
    return object;
}

cJSON *farm_event_attempt_end(unsigned number, double at_s, cJSON **ret_nodes)
{
    cJSON *object = build("attempt_end");
    json_add_unsigned(object, "number", number);
    json_add_decimal(object, "at", at_s, TIME_DIGITS);
    *ret_nodes = json_add_array(object, "silent");
    return object;
}

void farm_event_add_silent(cJSON *nodes, const char *name, const char *why, bool again)
{
    cJSON *object = json_add_object(nodes, NULL);
    json_add_string(object, "node", name);
    json_add_string(object, "why", why);
    json_add_boolean(object, "again", again);
}

cJSON *farm_event_node(const char *name, const char *why, bool failed)
{
    cJSON *object = build("node");
    json_add_string(object, "node", name);
    json_add_string(object, "why", why);
    json_add_boolean(object, "failed", failed);
    return object;
}

cJSON *farm_event_end(int exit_code, double at_s)
{
    cJSON *object = build("end");
    json_add_integer(object, "exit", exit_code);
    json_add_decimal(object, "at", at_s, TIME_DIGITS);
    return object;
}
