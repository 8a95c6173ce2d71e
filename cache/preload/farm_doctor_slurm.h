/* The part of farm_doctor.h that is about what starts programs: Slurm, and launchers over ssh. */
#pragma once

#include "cache/doctor/examination.h"

/** Examines Slurm and launchers. @param name this host's; NULL: it has none that can be asked for
 */
void farm_doctor_examine_launchers(const struct examination *examination, const char *name);
