/* What help and config print of settings. */
#include "cli/setting_list.h"

cJSON *setting_list_build_choices(const char *const *choices)
{
    cJSON *array = cJSON_CreateArray();
    for (; *choices; choices++)
        json_add_string(array, NULL, *choices);
    return array;
}

cJSON *setting_list_build(const struct settings *settings)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings_table[i];
        const struct setting_value *value = &settings->values[i];
        cJSON *object = json_add_object(array, NULL);
        json_add_string(object, "name", setting->name);
        json_add_string(object, "value", value->text);
        json_add_string(object, "origin", value->origin);
        json_add_string(object, "built_in", setting->built_in);
        json_add_string(object, "variable", setting->variable);
        json_add_string(object, "rez",
                        setting->rez == SETTING_OURS ? NULL : rezconfig_name(setting->rez));
        if (setting->choices)
            json_add_item(object, "choices", setting_list_build_choices(setting->choices));
        json_add_string(object, "help", setting->help);
    }
    return array;
}
