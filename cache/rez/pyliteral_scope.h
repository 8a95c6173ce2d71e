/*
 * rez's scopes: `with scope("config") as c:` and a block of `c.key = literal` is how it writes an
 * attribute that is a dictionary. Not for other blocks, nor for a scope that does more.
 */
#pragma once

#include "cache/rez/pyliteral_names.h"
#include "cache/rez/pyliteral_value.h"

/**
 * The present token is `with`; afterwards the one behind the block.
 *
 * @return 1: it is such a block, and its attribute known; 0: it is not, and reading stands
 * somewhere in it; or as of literal_read
 */
int pyscope_read(struct literals *literals, struct names *names);
