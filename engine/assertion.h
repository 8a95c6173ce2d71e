/* For functions that only assertions call: release builds leave those out (NDEBUG). */
#pragma once

#include <assert.h>

#define ASSERTION_ONLY __attribute__((unused))
