/*
 * Floating-point numbers as Python reads and prints them: the shortest digits that read back as the
 * same double, laid out as repr(float) does. Independent of the locale. Not for general formatting.
 */
#pragma once

#include "cache/util/text.h"

/**
 * Reads a JSON number.
 *
 * @param literal   a number in JSON's grammar, with a final NUL
 * @param ret_value receives the nearest double, a finite one
 * @return          0, or -ERANGE: too large for a double, or -ENOMEM
 */
int real_parse(const char *literal, double *ret_value);

/** Appends repr(value) of a finite number: `1.0`, `1e+16`, `1e-05`, `-0.0`. */
void real_append(struct text *text, double value);
