/* Why a node has not reported: what its launcher said on standard error. */
#pragma once

#include "cache/preload/farm_history.h"

enum { FARM_WHY_MAX = 512 };

/**
 * Finds the line that tells most about a node.
 *
 * @param errors standard error of the launcher; any bytes
 * @param alone  the launcher started this node only, so that each line is about it
 * @param ret    receives "no report: …"
 */
void farm_silence_explain(const char *errors, const char *node, bool alone,
                          char ret[static FARM_WHY_MAX]);

/** Whether a node is named in what a launcher said, and not as a part of another name. */
bool farm_silence_names(const char *errors, const char *node);
