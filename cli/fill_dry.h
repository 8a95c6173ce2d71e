/* What warm would do. */
#pragma once

#include "cache/rez/sources.h"
#include "cli/options.h"

/** Prints what would become of each variant; changes nothing. @return an exit code */
int fill_dry(const struct options *options, struct sources *sources);
