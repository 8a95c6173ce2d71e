/*
 * Project ids, by which XFS, ext4 and F2FS count what directory trees use (quotas, chattr -p). A
 * directory may give its own to all that is made in it; then nothing with another one can be
 * renamed or linked into it (EXDEV).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * Asks which project id a directory gives to what is made in it.
 *
 * @return false: none
 */
bool project_find(int fd, uint32_t *ret);

/**
 * Gives a directory of ours, which is empty, the project id that another one gives. If that cannot
 * be done, the rename that it is for will fail.
 */
void project_follow(int fd, int directory_fd);
