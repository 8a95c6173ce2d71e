/* Settings as JSON. */
#pragma once

#include "cache/json/json_build.h"
#include "cache/rez/settings.h"

/** All settings, as an array of objects. They are complete. @return the caller's; NULL: no memory
 */
cJSON *setting_list_build(const struct settings *settings);

/** An array of words. @param choices ends with NULL. @return the caller's; NULL: no memory */
cJSON *setting_list_build_choices(const char *const *choices);
