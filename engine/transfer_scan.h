/* One file of a scan. */
#pragma once

#include "engine/transfer.h"

/** Sets the first step of a transfer that begins with a file. */
void transfer_begin_scan(struct transfer *transfer);
